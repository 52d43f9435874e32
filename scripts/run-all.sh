#!/usr/bin/env bash
# The demo: builds both programs, starts the mock backend on 127.0.0.1:8000 and the proxy on
# 0.0.0.0:8080, and stops both on Ctrl-C or TERM.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release
# With a target directory elsewhere, the programs are there.
bin=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release

pids=()
stop() {
    trap - INT TERM EXIT
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    wait
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

"$bin/mock-backend" --listen 127.0.0.1:8000 &
pids+=($!)
"$bin/proxy" &
pids+=($!)

cat <<'TEXT'

  try:   curl http://localhost:8080/items/books -H 'Authorization: Bearer secret-token'
  admin: curl http://localhost:9901/metrics
  stop:  Ctrl-C

TEXT

# One that ends takes the other with it, and its exit code is ours.
wait -n "${pids[@]}"
