# One measurement of run.sh, and what is known of the machine. Sourced by run.sh.
# shellcheck shell=bash

cpu_ns() { # pid: of the process, its threads and its children, in ns
    local pid
    for pid in $(tree "$1"); do cat /proc/"$pid"/task/*/schedstat 2>/dev/null || true; done |
        awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

rss_kb() { # pid: of the process and its children
    local pid
    for pid in $(tree "$1"); do awk '/^VmRSS/ { print $2 }' /proc/"$pid"/status; done |
        awk '{ sum += $1 } END { print sum }'
}

transport() { # work -> plain, tls or h2c
    case $1 in
        tls-60B | h2-60B | handshakes) echo tls ;;
        h2c-60B) echo h2c ;;
        *) echo plain ;;
    esac
}

load() { # work seconds -> requests/s p50_us p99_us requests errors
    case $1 in
        h2-60B | h2c-60B) load_by_h2load "$@" ;;
        handshakes) taskset -c 1 "$cache/target/release/bench-handshakes" \
            "$port" "$dir/ca.pem" "$dir/cert.pem" 32 "$2" ;;
        *) load_by_wrk "$@" ;;
    esac | awk '/^report/ { print $2, $3, $4, $5, $6 }'
}

load_by_wrk() { # work seconds
    local path="" connections=64 base=http://127.0.0.1
    case $1 in
        16KiB | 1MiB) path=/$1 connections=16 ;;
        1000 | 4000) connections=$1 ;;
        tls-60B) base=https://localhost ;; # a name, so that it is sent as SNI
    esac
    taskset -c 1 env WORK="$1" OPENSSL_CONF="$dir/client.cnf" \
        wrk -t1 -c"$connections" -d"$2"s --timeout 10s --latency \
        -s scripts/bench/report.lua -H 'Authorization: Bearer secret-token' \
        "$base:$port/items/books$path"
}

load_by_h2load() { # work seconds
    local base=https://localhost
    [ "$1" = h2-60B ] || base=http://localhost
    rm -f "$dir/h2load.log"
    taskset -c 1 h2load -t1 -c8 -m10 -D "$2" -N 10s --tls13-ciphers=TLS_AES_128_GCM_SHA256 --groups=X25519 \
        --log-file="$dir/h2load.log" -H 'Authorization: Bearer secret-token' \
        "$base:$port/items/books" >"$dir/h2load.out"
    python3 scripts/bench/h2load.py "$dir/h2load.out" "$dir/h2load.log" "$2" "$(transport "$1")"
}

measure() { # work name round: prints one row of results.tsv
    local log=false figures how
    how=$(transport "$1")
    [ "$1" != 60B-log ] || log=true
    start "$2" "$log" "$how"
    python3 scripts/bench/same.py "$port" "$2" "$origins" "$how" "$dir" >&2
    if [ "$1" = idle ]; then
        figures=$(taskset -c 1 python3 scripts/bench/idle.py "$proxy_pid" "$port" 4000) || true
    else
        figures=$(under_load "$1" "$2")
    fi
    stop_proxy
    # One that does not get through a round has no figures for it; the others go on.
    [ -n "$figures" ] || { echo "warning: no figures of $2 in round $3 of $1" >&2; return 0; }
    echo "$1 $2 $3 $figures" | tr ' ' '\t'
}

under_load() { # work name -> cpu_ns/request requests/s p50_us p99_us rss_kb errors
    local before after rate p50 p99 requests errors warm
    warm=$(load "$1" 1 | cut -d' ' -f4)
    before=$(cpu_ns "$proxy_pid")
    read -r rate p50 p99 requests errors < <(load "$1" "$SECONDS_EACH") || true
    after=$(cpu_ns "$proxy_pid")
    [ "${requests:-0}" -gt 0 ] || return 0
    echo "$(((after - before) / requests)) $rate $p50 $p99 $(rss_kb "$proxy_pid") $errors"
    [ "$1" != 60B-log ] || logged "$2" $((warm + requests))
}

logged() { # name requests: says so if the access log lacks more than what is not written yet
    local lines
    [ "$2" -gt 0 ] && [ "$1" != forwarder ] || return 0
    sleep 0.3
    lines=$(wc -l <"$dir/$1.log")
    [ "$lines" -ge $(($2 * 98 / 100)) ] || echo "warning: $1 logged $lines of $2 requests" >&2
}

forget() { # work file: drops the rows of a work that is measured again
    awk -v work="$1" '$1 != work' "$2" >"$dir/kept"
    cat "$dir/kept" >"$2"
}

describe() { # file: machine and versions, as comments; those of peers not in this run stay
    local name
    awk -v names=" machine ours ${PEERS[*]} " '!/^#/ || !index(names, " " substr($2, 1, length($2) - 1) " ")' \
        "$1" >"$dir/kept"
    {
        echo "# machine: $(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), Linux $(uname -r | cut -d. -f1,2)"
        for name in ours "${PEERS[@]}"; do echo "# $name: $(version "$name")"; done
        cat "$dir/kept"
    } >"$1"
}
