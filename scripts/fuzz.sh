#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, one after the other, each for a bounded time:
#   scripts/fuzz.sh [TARGET]... [SECONDS]       all targets, 600 seconds each, unless said otherwise
#   SANITIZER=address scripts/fuzz.sh chunks    with AddressSanitizer (the proxy has no unsafe code)
# Needs cargo-fuzz. What a run learns stays in tests/fuzz/target/corpus; the committed corpus is
# only read. A finding is written to tests/fuzz/artifacts and ends the run with its status.
set -euo pipefail
cd "$(dirname "$0")/../tests/fuzz"

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
    exit 2
fi

seconds=600
targets=()
for word in "$@"; do
    case $word in
        *[!0-9]*) targets+=("$word") ;;
        *) seconds=$word ;;
    esac
done
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
fi

sanitizer=${SANITIZER:-none}
if [ "$sanitizer" != none ]; then
    # Sanitizers are unstable options of rustc.
    export RUSTC_BOOTSTRAP=1
fi

for target in "${targets[@]}"; do
    dictionary=http.dict
    most_bytes=4096
    case $target in
        # Beyond the bounds on size lines and trailers.
        chunks) most_bytes=20480 ;;
        config) dictionary=toml.dict most_bytes=8192 ;;
        # Beyond the longest header of version 2.
        proxy_protocol) dictionary=proxy_protocol.dict most_bytes=4224 ;;
    esac
    learnt=target/corpus/$target
    mkdir -p "$learnt"
    printf '\n== %s, %s s\n' "$target" "$seconds"
    nice -n 10 cargo fuzz run --fuzz-dir . -s "$sanitizer" "$target" "$learnt" "corpus/$target" -- \
        -dict="$dictionary" -max_len="$most_bytes" -max_total_time="$seconds" \
        -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
