#!/usr/bin/env bash
# Every set of features that is likely to be asked for compiles without a warning, and the smallest ones run: about three minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

all=(std isa-env capi portable avxvnni amx neon_i8mm int8 pool shuffle squeeze-excite chain)
# All but those that are named.
without() {
    local off=" $* " on=()
    for feature in "${all[@]}"; do
        [[ $off == *" $feature "* ]] || on+=("$feature")
    done
    (IFS=,; echo "${on[*]}")
}

for features in '' avx2 std std,isa-env,levels,operators std,avx2 capi,avx2 std,levels std,operators "$(without int8)" "$(without pool squeeze-excite)" \
    "$(without shuffle)" "$(without squeeze-excite)" "$(without chain)" "$(without portable)" "$(without avxvnni)" \
    "$(without amx)"; do
    echo "features: $features"
    cargo clippy -q -p kolibri --no-default-features --features "$features" -- -D warnings
done
cargo test -q -p kolibri --no-default-features --features std,avx2 --test features --test golden
cargo test -q -p kolibri --no-default-features --features std,avx2,operators --lib --test kernels
