#!/usr/bin/env bash
# Tests under valgrind, on an x86-64 machine that has it, and AVX2: about three minutes on two cores. Memcheck sees reads of
# what was never written and all that is read or written beside an allocation, helgrind what threads share without order.
# Valgrind has no AVX-512 and hides it: levels are portable and avx2. `tests/guard.rs` has faults of its own and is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
unset KOLIBRI_ISA KOLIBRI_FUSE

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# TEST under TOOL with so many cases of each property.
check() {
    local tool=$1 cases=$2 test=$3 start=$SECONDS runner="valgrind -q --error-exitcode=1 --tool=$1"
    shift 3
    [ "$tool" = memcheck ] || runner+=" --suppressions=.ci/helgrind.supp"
    # A runner also tells the tests that nothing can be emulated.
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$runner QUICKCHECK_TESTS=$cases \
        cargo test -q $test -- --test-threads 1 "$@" >"$log" 2>&1 ||
        { cat "$log"; echo "valgrind: FAILED: $tool $test"; exit 1; }
    ! grep -q 'SKIPPED level avx2$' "$log" || { echo "valgrind: avx2 did not run"; exit 1; }
    echo "valgrind: $tool $test: $(grep -o '[0-9]* passed' "$log" || echo passed), $((SECONDS - start)) s"
}

valgrind --version
cargo test -q --no-run
check memcheck 200 '--test kernels' --nocapture
check memcheck 15 '--test ops'
check memcheck 10 '--test chain' --skip blocks
for test in '--test alloc' '--test errors' '--test features' '--test parallel' '--test threads' '--test weights'; do
    check memcheck 1 "$test"
done
check helgrind 1 '--test threads'
echo "valgrind: all passed in $SECONDS s"
