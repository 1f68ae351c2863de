#!/usr/bin/env bash
# Runs each fuzz target for as many seconds with AddressSanitizer, from its corpus on, which is left as it is; not without
# nightly Rust and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if ! { cargo +nightly --version && cargo fuzz --version; } 2>/dev/null; then
    echo 'SKIPPED: needs nightly Rust and cargo-fuzz'
    exit 0
fi
options() {
    case $1 in
    operators) echo -max_len=160 -len_control=0 -entropic=0 ;;
    c_abi) echo -max_len=600 -entropic=0 ;;
    files) echo -max_len=6000 -len_control=0 -malloc_limit_mb=512 ;;
    esac
}
for target in operators c_abi files; do
    corpus=target/fuzz-corpus/$target
    rm -rf "$corpus"
    mkdir -p "$corpus"
    log=target/fuzz-corpus/$target.log
    # New inputs go where the first directory is.
    # shellcheck disable=SC2046 # options are words
    cargo +nightly fuzz run --features libfuzzer --no-trace-compares "$target" "$corpus" "fuzz/corpus/$target" -- \
        $(options "$target") -max_total_time="$seconds" -timeout=20 -print_final_stats=1 >"$log" 2>&1 ||
        { tail -n 60 "$log"; exit 1; }
    echo "$target: $(grep -oE 'stat::(number_of_executed_units|average_exec_per_sec): +[0-9]+' "$log" | xargs), $(
        grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)"
done
