#!/usr/bin/env bash
# Builds the program as it is released, target/released/proxy: the release build of cargo, laid out by
# what traffic was seen to do (profile-guided optimisation). Why: proxy/docs/adr/0008.
#
#   scripts/release.sh
#
# A build that counts, traffic for it (scripts/release/), and a build that knows the counts: eight
# minutes on two cores, and nothing if no source has changed since. Needs, beside what the build needs,
# llvm-profdata of the LLVM that rustc has (`rustup component add llvm-tools`, or Debian's llvm-N), wrk,
# h2load, openssl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
out=target/released
work=$PWD/$out

find_profdata() {
    local one
    for one in "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" \
        "/usr/lib/llvm-$llvm/bin/llvm-profdata" "llvm-profdata-$llvm" llvm-profdata; do
        if "$one" --version 2>/dev/null | grep -q "LLVM version $llvm\."; then
            echo "$one"
            return
        fi
    done
    echo "needs llvm-profdata of LLVM $llvm: rustup component add llvm-tools, or the package llvm-$llvm" >&2
    return 1
}

# The sources that a program was made of, and the compiler.
made_of() {
    rustc -vV
    find Cargo.toml Cargo.lock proxy mock-backend scripts/release scripts/release.sh -type f -not -path 'proxy/docs/*' \
        -exec sha256sum {} + | sort -k 2
}

build() { # folder flag: in a folder of its own, as the flag makes all crates others
    CARGO_TARGET_DIR=$work/$1 CARGO_ENCODED_RUSTFLAGS=$2 \
        cargo build --release --quiet --locked -p proxy --target "$host"
}

sources=$(made_of)
if [ -x "$out/proxy" ] && [ "$sources" = "$(cat "$out/made-of" 2>/dev/null)" ]; then
    echo "$out/proxy is up to date"
    exit 0
fi
profdata=$(find_profdata)
for tool in wrk h2load openssl python3; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done
mkdir -p "$out"
rm -rf "$out/counts" "$out/made-of"

echo "1/3 the build that counts"
build counting "-Cprofile-generate=$work/counts"
CARGO_TARGET_DIR=$work/plain cargo build --release --quiet --locked -p mock-backend
echo "2/3 traffic"
LLVM_PROFILE_FILE=$work/counts/%p.profraw scripts/release/train.sh \
    "$work/counting/$host/release/proxy" "$work/plain/release/mock-backend"
"$profdata" merge -o "$out/counts.profdata" "$out"/counts/*.profraw
echo "3/3 the build that knows the counts"
rm -rf "$out/knowing" # cargo does not see that the counts are others
build knowing "-Cprofile-use=$work/counts.profdata"
# By rename, so that one that runs is not written over.
cp "$out/knowing/$host/release/proxy" "$out/proxy.new"
mv "$out/proxy.new" "$out/proxy"
# What was saved meanwhile is not in it.
echo "$sources" >"$out/made-of"
echo "$out/proxy"
