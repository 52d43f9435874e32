#!/usr/bin/env bash
# What endpoints cost a request: instructions of 60 B with 10 and with 2,000 endpoints, and with 2,000 of
# which one is ejected, by callgrind, for each policy given.
#
#   scripts/bench/traffic/endpoints.sh [random round_robin...]      (default: random)
#       ROUNDS=2 SECONDS_EACH=4 WARM_UP=25 BAR=1.05
#
# One connection asks, so that no endpoint is asked twice at once and needs a second connection; the
# warm-up is to open one to each. Needs what instructions.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../../.."

case ${1:-} in -h | --help) sed -n '2,/^set/{/^#/s/^# \?//p}' "$0"; exit 2 ;; esac
policies=("$@")
[ ${#policies[@]} -gt 0 ] || policies=(random)
ROUNDS=${ROUNDS:-2} SECONDS_EACH=${SECONDS_EACH:-4} WARM_UP=${WARM_UP:-25} BAR=${BAR:-1.05}
for tool in valgrind callgrind_control nginx wrk taskset pgrep python3 cargo; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done
ulimit -n "$(ulimit -Hn)"

dir=$(mktemp -d)
chmod 755 "$dir" # nginx workers run as another user
# shellcheck source=scripts/bench/proxies.sh
source scripts/bench/proxies.sh
# shellcheck source=scripts/bench/callgrind.sh
source scripts/bench/callgrind.sh
finish() {
    trap - EXIT INT TERM
    stop_all
    rm -rf "$dir"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

request_load() { # work seconds: prints the answers, and the failures
    WORK=60B taskset -c 1 wrk -t1 -c1 -d"$2"s --timeout 10s -s scripts/bench/report.lua \
        -H 'Authorization: Bearer secret-token' "http://127.0.0.1:$port/items/books" |
        awk '/^report/ { print $5, $6 }'
}

configure() { # policy endpoints ejected(0 or 1)
    fill proxy.toml false plain
    python3 - "$dir/proxy.toml" "$origins" "$@" <<'PY'
import re
import sys

path, origins, policy, endpoints, ejected = sys.argv[1:]
ports = origins.split(",")
urls = [f'"http://127.0.0.1:{ports[one % 3]}/e{one}"' for one in range(int(endpoints))]
if ejected == "1":
    # Nobody listens on port 1; the weight is for being found soon.
    urls.append('{ url = "http://127.0.0.1:1", weight = 1000 }')
text = open(path).read()
text = re.sub(r"endpoints = \[.*?\]", f"endpoints = [{', '.join(urls)}]", text, flags=re.S)
text += f'balance = "{policy}"\n[services.books.outlier]\nconsecutive_failures = 1\nejection = "1h"\n'
open(path, "w").write(text)
PY
}

cargo build --release --quiet --locked -p proxy
start_origin
for policy in "${policies[@]}"; do
    for _ in $(seq "$ROUNDS"); do
        for work in "10 0" "2000 0" "1999 1"; do
            read -r endpoints ejected <<<"$work"
            configure "$policy" "$endpoints" "$ejected"
            counted=$(count "$ours" 60B "$dir/counted")
            echo "$policy $endpoints-$ejected $counted" | tee -a "$dir/rows" >&2
        done
    done
done
python3 - "$dir/rows" "$BAR" <<'PY'
import statistics
import sys

rows = [line.split() for line in open(sys.argv[1])]
bar, missed = float(sys.argv[2]), False
for policy in dict.fromkeys(row[0] for row in rows):
    of = lambda work: statistics.median(int(row[2]) for row in rows if row[:2] == [policy, work])
    ten = of("10-0")
    for name, work in (("2,000", "2000-0"), ("2,000, one of them ejected", "1999-1")):
        ratio = of(work) / ten
        print(f"{policy:14} 10: {ten:.0f}   {name}: {of(work):.0f}   ratio {ratio:.3f}")
        missed |= ratio > bar
print("FAIL" if missed else "ok  ", f" at most {bar}")
sys.exit(missed)
PY
