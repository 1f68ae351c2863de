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
for target in operators c_abi files; do
    corpus=target/fuzz-corpus/$target
    rm -rf "$corpus"
    mkdir -p "$corpus"
    log=target/fuzz-corpus/$target.log
    # New inputs go where the first directory is.
    cargo +nightly fuzz run --features libfuzzer "$target" "$corpus" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 >"$log" 2>&1 ||
        { tail -n 60 "$log"; exit 1; }
    echo "$target: $(grep -oE 'stat::(number_of_executed_units|average_exec_per_sec): +[0-9]+' "$log" | xargs), $(
        grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1)"
done
