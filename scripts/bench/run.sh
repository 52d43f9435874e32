#!/usr/bin/env bash
# CPU per request of this proxy beside nginx and HAProxy, on the same work in the same run.
#
#   scripts/bench/run.sh [work...] [peer...]
#       works: 60B 16KiB 1MiB post-4KiB (default: 60B)
#       peers: nginx haproxy (default: those that are installed)
#   ROUNDS=5 SECONDS_EACH=4
#
# The proxy under test has one worker and a core of its own; load and origin share another. Rounds
# are interleaved, and the median of each is shown. CPU time is that of the whole process tree,
# from /proc/PID/task/*/schedstat. Needs nginx (as origin) and wrk.
set -euo pipefail
cd "$(dirname "$0")/../.."

ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-4}
WORKS=()
PEERS=()
for word in "$@"; do
    case $word in
        60B | 16KiB | 1MiB | post-4KiB) WORKS+=("$word") ;;
        *) PEERS+=("$word") ;;
    esac
done
[ ${#WORKS[@]} -gt 0 ] || WORKS=(60B)
if [ ${#PEERS[@]} -eq 0 ]; then
    for peer in nginx haproxy; do
        if command -v "$peer" >/dev/null; then PEERS+=("$peer"); fi
    done
fi
for tool in nginx wrk taskset python3; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done
cargo build --release --quiet -p proxy

dir=$(mktemp -d)
chmod 755 "$dir" # nginx workers run as another user
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT

# Free ports, all held at once so that none is given twice.
read -r -a ports < <(python3 - <<'PY'
import socket
held = [socket.socket() for _ in range(8)]
for one in held: one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in held])
PY
)
fill() { # template port
    sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$2|g" -e "s|@ADMIN@|${ports[3]}|g" \
        -e "s|@ORIGIN1@|${ports[0]}|g" -e "s|@ORIGIN2@|${ports[1]}|g" -e "s|@ORIGIN3@|${ports[2]}|g" \
        "scripts/bench/peers/$1" >"$dir/$1"
}
wait_for() { # port
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.05
    done
    echo "nothing listens on port $1" >&2
    exit 1
}

fill origin.conf 0
mkdir -p "$dir/files/serverA/books"
head -c 16384 /dev/zero | tr '\0' x >"$dir/files/serverA/books/16KiB"
head -c 1048576 /dev/zero | tr '\0' x >"$dir/files/serverA/books/1MiB"
taskset -c 1 nginx -c "$dir/origin.conf" 2>/dev/null &
pids+=($!)
for port in "${ports[@]:0:3}"; do wait_for "$port"; done

declare -A port_of pid_of
start() { # name
    local port
    case $1 in
        ours) port=${ports[4]}; fill proxy.toml "$port"
            taskset -c 0 target/release/proxy run -c "$dir/proxy.toml" >/dev/null 2>"$dir/ours.err" & ;;
        nginx) port=${ports[5]}; fill nginx.conf "$port"
            taskset -c 0 nginx -c "$dir/nginx.conf" 2>/dev/null & ;;
        haproxy) port=${ports[6]}; fill haproxy.cfg "$port"
            taskset -c 0 haproxy -f "$dir/haproxy.cfg" >/dev/null 2>&1 & ;;
        *) echo "unknown peer $1" >&2; exit 1 ;;
    esac
    pid_of[$1]=$!
    port_of[$1]=$port
    pids+=($!)
    wait_for "$port"
}
for name in ours "${PEERS[@]}"; do start "$name"; done

cpu_ns() { # pid: of the process, its threads and its children
    local pid total=0 ns
    for pid in $1 $(pgrep -P "$1" || true); do
        ns=$(cat /proc/"$pid"/task/*/schedstat 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f", sum }')
        total=$((total + ns))
    done
    echo "$total"
}
rss_kb() { # pid
    local pid
    for pid in $1 $(pgrep -P "$1" || true); do awk '/^VmRSS/ { print $2 }' /proc/"$pid"/status; done |
        awk '{ sum += $1 } END { print sum }'
}
load() { # work name seconds -> requests/s p50_us p99_us requests errors
    local path="" connections=64
    case $1 in
        16KiB | 1MiB) path=/$1 connections=16 ;;
    esac
    taskset -c 1 env WORK="$1" wrk -t1 -c"$connections" -d"$3"s --latency \
        -s scripts/bench/report.lua -H 'Authorization: Bearer secret-token' \
        "http://127.0.0.1:${port_of[$2]}/items/books$path" |
        awk '/^report/ { print $2, $3, $4, $5, $6 }'
}

for work in "${WORKS[@]}"; do
    for name in "${!port_of[@]}"; do load "$work" "$name" 1 >/dev/null; done
    : >"$dir/results"
    for round in $(seq "$ROUNDS"); do
        for name in ours "${PEERS[@]}"; do
            before=$(cpu_ns "${pid_of[$name]}")
            read -r rate p50 p99 requests errors < <(load "$work" "$name" "$SECONDS_EACH")
            after=$(cpu_ns "${pid_of[$name]}")
            echo "$name $(((after - before) / requests)) $rate $p50 $p99 $(rss_kb "${pid_of[$name]}") $errors" >>"$dir/results"
        done
        echo "$work: round $round of $ROUNDS" >&2
    done
    python3 scripts/bench/table.py "$work" "$dir/results"
done
