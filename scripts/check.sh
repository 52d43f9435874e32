#!/usr/bin/env bash
# The one gate: formatting, lints, tests, documentation; licences and sources where cargo-deny is
# installed. CI runs just this.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
step cargo test
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --locked --quiet
if command -v cargo-deny >/dev/null; then
    step cargo-deny --offline --config .deny.toml check --hide-inclusion-graph bans licenses sources
else
    echo "SKIPPED: cargo-deny is not installed (licences, bans and sources are not checked)"
fi
