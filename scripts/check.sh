#!/usr/bin/env bash
# The one gate: formatting, lints, tests, fuzz targets, documentation; licences and sources where
# cargo-deny is installed. CI runs just this.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
step cargo test
# The fuzz targets are no member of the workspace, and so in none of the above: they compile. Nothing is
# linked, so libFuzzer and the C++ compiler that it needs are left out.
CUSTOM_LIBFUZZER_PATH=/dev/null RUSTFLAGS="--cfg fuzzing" step cargo check --manifest-path tests/fuzz/Cargo.toml --bins \
    --target-dir target/fuzz --locked
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --locked --quiet
if command -v cargo-deny >/dev/null; then
    step cargo-deny --offline --config .deny.toml check --hide-inclusion-graph bans licenses sources
else
    echo "SKIPPED: cargo-deny is not installed (licences, bans and sources are not checked)"
fi
