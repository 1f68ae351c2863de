#!/usr/bin/env bash
# Installs the C library to a temporary prefix and builds and runs the C examples against it, as C99 and as C++17, with the
# shared library and with the archive. Prints the sizes of the shared library.
set -euo pipefail
cd "$(dirname "$0")/.."
to=$PWD/target/cinstall
rm -rf "$to"

install() { # prefix, profile, and what else cargo-c is told
    local prefix=$1 profile=$2
    shift 2
    cargo cinstall --locked -p kolibri --profile "$profile" --prefix "$prefix" --libdir "$prefix/lib" --target-dir target/capi "$@"
}

size() {
    strip --strip-all -o "$to/stripped.so" "$(readlink -f "$1/lib/libkolibri.so")"
    printf '%-40s %8d bytes, stripped\n' "libkolibri.so, $2" "$(stat -c %s "$to/stripped.so")"
    [ "$(stat -c %s "$to/stripped.so")" -le "$3" ] || { echo "more than $3 bytes"; return 1; }
}

install "$to/all" capi
(cd "$to/all" && find . -type f -o -type l | sort)
readelf -d "$to/all/lib/libkolibri.so" | grep SONAME
export PKG_CONFIG_PATH=$to/all/lib/pkgconfig
pkg-config --modversion kolibri
for static in OFF ON; do
    for cxx in OFF ON; do
        build=$to/build-static-$static-cxx-$cxx
        cmake -S examples/c -B "$build" -DKOLIBRI_STATIC=$static -DKOLIBRI_CXX=$cxx >/dev/null
        cmake --build "$build" >/dev/null
        ctest --test-dir "$build" --output-on-failure | tail -n 5
    done
done
size "$to/all" 'every level and operator' 3000000
install "$to/small" capi-small --no-default-features --features std,avx2
size "$to/small" 'avx2, f32' 500000
"${PYTHON:-python3}" -B examples/python/check.py "$to/small/lib/libkolibri.so"
