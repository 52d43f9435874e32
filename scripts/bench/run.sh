#!/usr/bin/env bash
# CPU per request of this proxy beside others, on the same work in the same run.
#
#   scripts/bench/run.sh [--out DIR] [work...] [peer...]
#       works: 60B 16KiB 1MiB post-4KiB 60B-log 1000 4000 tls-60B h2-60B h2c-60B handshakes idle,
#              or all (default: 60B)
#       peers: nginx haproxy envoy pingora caddy forwarder nginx-tuned haproxy-tuned ours-plain
#              (default: those that can be had; the tuned ones do 1MiB only, and with TLS and
#              HTTP/2 there are nginx, haproxy, envoy and ours-plain)
#   ROUNDS=5 SECONDS_EACH=4
#
# Ours is the program as scripts/release.sh builds it, ours-plain what `cargo build --release` makes.
# With --out, DIR/results.tsv keeps the figures: works measured again replace their old ones, for
# table.py and chart.py. What each work and peer is: proxy/docs/performance.md.
#
# The proxy under test has one worker and core 0 for itself; load and origin share core 1. Rounds
# are interleaved between the proxies, each with a fresh process, and medians are shown. Needs
# nginx (as origin), wrk, h2load, curl, openssl, taskset, pgrep and python3; Envoy, Pingora, the
# forwarder and the load of handshakes are installed or built on first use, in ${XDG_CACHE_HOME:-~/.cache}/proxy-bench.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/bench/proxies.sh
source scripts/bench/proxies.sh
# shellcheck source=scripts/bench/measure.sh
source scripts/bench/measure.sh

ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-4}
ALL_WORKS=(60B 16KiB 1MiB post-4KiB 60B-log 1000 4000 tls-60B h2-60B h2c-60B handshakes idle)
ALL_PEERS=(nginx haproxy envoy pingora caddy forwarder nginx-tuned haproxy-tuned ours-plain)
WORKS=()
PEERS=()
OUT=${OUT:-}
while [ $# -gt 0 ]; do
    case $1 in
        --out) OUT=${2:?--out needs a folder}; shift ;;
        all) WORKS=("${ALL_WORKS[@]}") ;;
        60B | 16KiB | 1MiB | post-4KiB | 60B-log | 1000 | 4000 | idle) WORKS+=("$1") ;;
        tls-60B | h2-60B | h2c-60B | handshakes) WORKS+=("$1") ;;
        nginx | haproxy | envoy | pingora | caddy | forwarder | nginx-tuned | haproxy-tuned | ours-plain) PEERS+=("$1") ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \?//p}' scripts/bench/run.sh; exit 0 ;;
        *) echo "$1 is neither a work nor a peer; see --help" >&2; exit 2 ;;
    esac
    shift
done
[ ${#WORKS[@]} -gt 0 ] || WORKS=(60B)

for tool in nginx wrk h2load curl openssl taskset pgrep python3 cargo; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done
[ "$(nproc)" -ge 2 ] || { echo "needs two cores" >&2; exit 1; }
# 4,000 clients are 8,000 connections for a proxy.
ulimit -Sn "$(ulimit -Hn)"
case $(ulimit -n) in
    unlimited) ;;
    *) [ "$(ulimit -n)" -ge 10000 ] || echo "warning: open files are limited to $(ulimit -n)" >&2 ;;
esac

cargo build --release --quiet --locked -p proxy
if scripts/release.sh >&2; then
    ours=$PWD/target/released/proxy
else
    echo "warning: ours is measured as cargo build --release makes it" >&2
fi
if [ ${#PEERS[@]} -eq 0 ]; then
    for peer in "${ALL_PEERS[@]}"; do
        if obtain "$peer"; then PEERS+=("$peer"); else echo "left out: $peer" >&2; fi
    done
else
    for peer in "${PEERS[@]}"; do obtain "$peer" || { echo "cannot have $peer" >&2; exit 1; }; done
fi

case " ${WORKS[*]} " in *" handshakes "*) obtain handshakes ;; esac

dir=$(mktemp -d)
chmod 755 "$dir" # nginx workers run as another user
finish() {
    trap - EXIT INT TERM
    stop_all
    [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

results=$dir/results.tsv
if [ -n "$OUT" ]; then
    mkdir -p "$OUT"
    results=$OUT/results.tsv
fi
touch "$results"
describe "$results"

make_certificate
start_origin
for work in "${WORKS[@]}"; do
    forget "$work" "$results"
    rounds=$ROUNDS
    [ "$work" != idle ] || rounds=1 # memory does not vary as time does
    for round in $(seq "$rounds"); do
        for name in ours "${PEERS[@]}"; do
            case $work/$name in
                1MiB/*) ;;
                */*-tuned) continue ;;
                tls-60B/* | h2*-60B/* | handshakes/*)
                    case $name in pingora | caddy | forwarder) continue ;; esac ;;
            esac
            measure "$work" "$name" "$round" >>"$results"
        done
        echo "$work: round $round of $rounds" >&2
    done
    python3 scripts/bench/table.py "$results" "$work"
done
python3 scripts/bench/table.py "$results" growth
