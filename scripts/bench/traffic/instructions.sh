#!/usr/bin/env bash
# Instructions per request of the working tree and of a git ref, by callgrind.
#
#   scripts/bench/traffic/instructions.sh REF [60B|post-4KiB...]      (default: both works)
#       ROUNDS=3 SECONDS_EACH=4 BAR=1.03
#
# Both are built in the release profile, which has no debug symbols; the ref in a worktree of its
# own, which is removed again, with its own target folder. The programs built from a commit are
# kept: target/instructions/. Each runs alone under valgrind with one worker and the configuration
# of scripts/bench/peers/proxy.toml (access log off), before the same origin; instrumentation is
# switched on after a warm-up, and what it counts is divided by the answers that wrk gets. Rounds
# alternate between the two. Shown are medians, the spread of the rounds, and the ratio: at most
# BAR, or this ends with 1. Where they go: callgrind_annotate target/instructions/WORK.ref, WORK.tree
#
# Needs valgrind, nginx (as origin), wrk, taskset, pgrep and python3. A run takes about
# 2 x ROUNDS x (SECONDS_EACH + 4 s) for each work, and the builds.
set -euo pipefail
cd "$(dirname "$0")/../../.."

usage() { sed -n '2,/^set/{/^#/s/^# \?//p}' scripts/bench/traffic/instructions.sh; }
case ${1:-} in "" | -h | --help) usage; exit 2 ;; esac
ref=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "$1 is no commit" >&2; exit 2; }
shift
works=("$@")
[ ${#works[@]} -gt 0 ] || works=(60B post-4KiB)
ROUNDS=${ROUNDS:-3} SECONDS_EACH=${SECONDS_EACH:-4} BAR=${BAR:-1.03}
# Few, as those that are underway at the end are counted and have no answer.
CONNECTIONS=16
for tool in valgrind callgrind_control nginx wrk taskset pgrep python3 cargo; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done

dir=$(mktemp -d)
chmod 755 "$dir" # nginx workers run as another user
kept=$PWD/target/instructions
mkdir -p "$kept"
# shellcheck source=scripts/bench/proxies.sh
source scripts/bench/proxies.sh
# shellcheck source=scripts/bench/callgrind.sh
source scripts/bench/callgrind.sh
finish() {
    trap - EXIT INT TERM
    stop_all
    rm -rf "$dir"
    git worktree remove --force "$kept/tree" 2>/dev/null || true
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

build_ref() {
    [ ! -x "$kept/$ref" ] || return 0
    git worktree add --quiet --force --detach "$kept/tree" "$ref"
    (cd "$kept/tree" &&
        CARGO_TARGET_DIR=$kept/target cargo build --release --quiet --locked -p proxy)
    cp "$kept/target/release/proxy" "$kept/$ref"
    git worktree remove --force "$kept/tree"
}

request_load() { # work seconds: prints the answers, and the failures
    WORK=$1 taskset -c 1 wrk -t1 -c$CONNECTIONS -d"$2"s --timeout 10s -s scripts/bench/report.lua \
        -H 'Authorization: Bearer secret-token' \
        "http://127.0.0.1:$port/items/books" |
        awk '/^report/ { print $5, $6 }'
}

cargo build --release --quiet --locked -p proxy
build_ref
start_origin
fill proxy.toml false plain
for work in "${works[@]}"; do
    for _ in $(seq "$ROUNDS"); do
        for name in ref tree; do
            program=$ours
            [ "$name" = tree ] || program=$kept/$ref
            counted=$(count "$program" "$work" "$kept/$work.$name")
            echo "$work $name $counted" | tee -a "$dir/rows" >&2
        done
    done
done
python3 - "$dir/rows" "$BAR" <<'PY'
import statistics
import sys

rows = [line.split() for line in open(sys.argv[1])]
bar, missed, names = float(sys.argv[2]), False, ("ref", "tree")
print(f"{'':10}{'ref':>10}{'tree':>10}{'ratio':>8}   rounds")
for work in dict.fromkeys(row[0] for row in rows):
    each = {name: [int(row[2]) for row in rows if row[:2] == [work, name]] for name in names}
    ref, tree = (statistics.median(each[name]) for name in names)
    spread = ", ".join(f"{name} {min(some)}-{max(some)}" for name, some in each.items())
    print(f"{work:10}{ref:10.0f}{tree:10.0f}{tree / ref:8.3f}   {spread}")
    missed |= tree / ref > bar
print("FAIL" if missed else "ok  ", f" at most {bar}")
sys.exit(missed)
PY
