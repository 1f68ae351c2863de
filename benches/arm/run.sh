#!/usr/bin/env bash
# The NEON kernels of the compiled library on models of Arm cores: a table, or JSON with --json. For an x86-64 Debian
# machine, as root. mca.py says what is simulated, and what its other options are.
set -euo pipefail
cd "$(dirname "$0")/../.."
LLVM=22

# Versions differ in their models: this one, not whichever there is.
if ! command -v "llvm-mca-$LLVM" >/dev/null; then
    apt-get -qq update >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "llvm-$LLVM" >&2
fi
[ -e /usr/local/share/rust-cross/env.sh ] || bash .ci/setup-cross.sh >&2
. /usr/local/share/rust-cross/env.sh

# The compiler is another one than that of the native builds: so is the directory.
export CARGO_TARGET_DIR=target/cross
cargo build -q --release --lib -p kolibri --target aarch64-unknown-linux-gnu
release=$CARGO_TARGET_DIR/aarch64-unknown-linux-gnu/release
exec python3 benches/arm/mca.py --llvm "$LLVM" "$@" "$release/libkolibri.rlib"
