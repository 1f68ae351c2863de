#!/usr/bin/env bash
# Makes `cargo test --target aarch64-unknown-linux-gnu` work on an x86-64 Debian machine, as root.
#
#   bash .ci/setup-cross.sh
#   . /usr/local/share/rust-cross/env.sh
#   cargo test --target aarch64-unknown-linux-gnu                        # on the emulated CPU "max"
#   CROSS_CPU=cortex-a53 cargo test --target aarch64-unknown-linux-gnu   # on another: see qemu-aarch64 -cpu help
#
# rustup's toolchain may have no std for another target, so the compiler is Debian's rustc-web. The target's std is the
# arm64 libstd-rust-web-dev of the very same version, unpacked beside the native one rather than installed, so that no
# foreign architecture is added to dpkg. Where that package cannot be had (a mirror with a stale index), std is built from
# rust-web-src. Cargo stays the one that is there. A second run asks the network nothing.
set -euo pipefail
MINIMUM=1.89 # rust-version of Cargo.toml
STATE=/usr/local/share/rust-cross
RUSTLIB=/usr/lib/rustlib
TARGET=aarch64-unknown-linux-gnu
GNU=aarch64-linux-gnu
export DEBIAN_FRONTEND=noninteractive
APT=(apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o APT::Sandbox::User=root)
log() { printf 'setup-cross: %s\n' "$*" >&2; }

# --- native packages -------------------------------------------------------------------------------------------------
status() { dpkg-query -W -f "\${$1}" "$2" 2>/dev/null || true; }
candidate() { apt-cache policy "$1" | sed -n 's/^ *Candidate: //p'; }
recent() { [ -n "$1" ] && [ "$1" != '(none)' ] && dpkg --compare-versions "$1" ge "$MINIMUM"; }

missing=()
for package in rustc-web qemu-user "gcc-$GNU" libc6-dev-arm64-cross; do
    [ "$(status db:Status-Status "$package")" = installed ] || missing+=("$package")
done
recent "$(status Version rustc-web)" || missing+=(rustc-web)
if [ ${#missing[@]} -gt 0 ]; then
    # An index that was made with the machine's image may still have a rustc-web that is too old.
    log "installing ${missing[*]}"
    recent "$(candidate rustc-web)" && "${APT[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        "${APT[@]}" update
        "${APT[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
    }
fi
version=$(status Version rustc-web)
recent "$version" || { log "rustc-web $version is older than $MINIMUM"; exit 1; }

# --- the target's std, of exactly rustc's version --------------------------------------------------------------------
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch_std() {
    mkdir -p "$work"/{lists,cache/archives}/partial "$work/root"
    : >"$work/status"
    # Package lists of this one architecture in a private place: the machine's own apt state stays as it is.
    local options=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::lists="$work/lists"
        -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o Acquire::Languages=none)
    for _ in 1 2; do # a mirror in the middle of a sync serves an index of the wrong size
        "${APT[@]}" "${options[@]}" update >"$work/log" 2>&1 || true
        if (cd "$work" && "${APT[@]}" "${options[@]}" download "libstd-rust-web-dev:arm64=$version" >>"$work/log" 2>&1); then
            dpkg-deb -x "$work"/libstd-rust-web-dev_*.deb "$work/root"
            mv "$work/root$RUSTLIB/$TARGET" "$RUSTLIB/$TARGET"
            return
        fi
    done
    log "no package of std: $(grep -m1 '^E:' "$work/log" | sed 's#[a-z]*://[^ ]*/#.../#')"
    return 1
}

build_std() {
    [ -e "$RUSTLIB/src/rust/library/Cargo.lock" ] ||
        "${APT[@]}" install -y --no-install-recommends "rust-web-src=$version" >/dev/null
    mkdir -p "$work/empty/src"
    : >"$work/empty/src/lib.rs"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n' >"$work/empty/Cargo.toml"
    (cd "$work/empty" && env -u CARGO_TARGET_DIR RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc cargo build -q --release \
        --target "$TARGET" --target-dir "$work/target" -Zbuild-std=std,panic_abort,panic_unwind,test)
    mkdir -p "$RUSTLIB/$TARGET/lib"
    find "$work/target/$TARGET/release/deps" -name 'lib*.r*' ! -name 'libempty-*' -exec cp {} "$RUSTLIB/$TARGET/lib/" \;
}

mkdir -p "$STATE"
if [ ! -d "$RUSTLIB/$TARGET/lib" ] || [ "$(cat "$STATE/$TARGET.version" 2>/dev/null)" != "$version" ]; then
    rm -rf "${RUSTLIB:?}/$TARGET"
    log "fetching std $version for $TARGET"
    fetch_std || { log "building std $version for $TARGET"; build_std; }
    echo "$version" >"$STATE/$TARGET.version"
fi

# --- the environment -------------------------------------------------------------------------------------------------
printf '#!/bin/sh\nexec qemu-aarch64 -L /usr/%s -cpu "${CROSS_CPU:-max}" "$@"\n' "$GNU" >"$STATE/run-aarch64"
chmod +x "$STATE/run-aarch64"
cat >"$STATE/env.sh" <<END
# source this: cargo then compiles with Debian's rustc and runs foreign programs under QEMU
export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$GNU-gcc
export CC_aarch64_unknown_linux_gnu=$GNU-gcc AR_aarch64_unknown_linux_gnu=$GNU-ar
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$STATE/run-aarch64
END

# --- proof: a program that uses std is built and run -----------------------------------------------------------------
echo 'fn main() { println!("{}", std::env::consts::ARCH) }' >"$work/a.rs"
/usr/bin/rustc --target "$TARGET" -C linker="$GNU-gcc" -o "$work/a" "$work/a.rs"
[ "$("$STATE/run-aarch64" "$work/a")" = aarch64 ]
log "$TARGET ready (rustc $(/usr/bin/rustc -V | cut -d' ' -f2))"
