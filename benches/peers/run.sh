#!/usr/bin/env bash
# Kolibri beside other engines, on the same networks with the same weights and input, in turns: a quarter of an hour, after
# up to half an hour in which engines in Rust are built. Needs Python 3.10 or later and a Rust toolchain.
#
#   benches/peers/run.sh [ARGUMENTS OF run.py]     # such as --networks mobilenet_v2 --dtypes int8 --threads 1
#
# Leaves results.json, peers.md and charts in target/peers/report.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/peers
networks=(mobilenet_v1_1.0 mobilenet_v2 shufflenet_v1_1x_g3 shufflenet_v2_1.0x mnasnet_b1 nasnet_a_mobile_4at1056
    efficientnet_lite0 fd_mobilenet_1.0)
mkdir -p "$work/report"

if [ ! -e "$work/venv/ready" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q -r benches/peers/requirements.txt
    # Its binary is all that is needed, not the torch that it asks for.
    "$work/venv/bin/pip" install -q --no-deps pnnx==20261020
    touch "$work/venv/ready"
fi
python=$work/venv/bin/python
cargo build -q --release -p kolibri-zoo
cargo build -q --release --manifest-path benches/peers/rust/Cargo.toml

if [ ! -e "$work/data.ready" ]; then
    target/release/kolibri export "${networks[@]}" --out "$work/data"
    "$python" benches/peers/convert.py "$work/data"/* 2>"$work/convert.log"
    touch "$work/data.ready"
fi
"$python" benches/peers/run.py "$work/data" --out "$work/report/results.json" "$@"
layers=("$work/report/layers.json" "$work/report/layers-int8.json")
target/release/kolibri bench "${networks[@]}" --lone --json >"${layers[0]}"
target/release/kolibri bench "${networks[@]}" --lone --int8 --json >"${layers[1]}"
"$python" benches/peers/report.py "$work/report/results.json" "$work/report" --layers "${layers[@]}"
echo "$work/report/peers.md"
