"""python run.py DATA --out FILE.json: times every engine on every network in DATA, side by side.

Each engine is a process of its own with its network loaded. They take turns, A B C A B C ..., so that what else the
machine does meets all of them. Before any is timed its answer is compared with Kolibri's in f32.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RUST = HERE / "rust/target/release/peer"
# Each with the data types that it has a network for.
ENGINES = {
    "kolibri": ["f32", "int8"],
    "onnxruntime": ["f32", "int8"],
    "openvino": ["f32", "int8"],
    "openvino_default": ["f32"],
    "litert": ["f32", "int8"],
    "ncnn": ["f32"],
    "mnn": ["f32"],
    "tract": ["f32", "int8"],
    "rten": ["f32", "int8"],
    "candle": ["f32"],
}
IN_RUST = ["kolibri", "tract", "rten", "candle"]
# The switches by which engines can be held to an instruction set; others sit out.
HOLD = {
    "full": {engine: {} for engine in ENGINES},
    "avx2": {"kolibri": {"KOLIBRI_ISA": "avx2"}, "openvino": {"ONEDNN_MAX_CPU_ISA": "AVX2"}},
    "avxvnni": {"kolibri": {"KOLIBRI_ISA": "avxvnni"}, "openvino": {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}},
    "avx512vnni": {"kolibri": {"KOLIBRI_ISA": "avx512vnni"}, "openvino": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}},
}
NEEDS = {"avx2": "avx2", "avxvnni": "avx_vnni", "avx512vnni": "avx512_vnni", "amx": "amx_int8"}
# What still counts as the same answer: the largest difference in f32, over the largest logit, and the cosine with f32's
# answer in fewer bits.
F32_DIFFERENCE, COSINE = 1e-3, 0.95
TURNS, TURN_MS, WARM = 9, 50, 2


class Engine:
    def __init__(self, name, directory, dtype, threads, hold):
        self.name, self.times = name, []
        worker = [RUST] if name in IN_RUST else [sys.executable, HERE / "worker.py"]
        command = [*worker, name, directory, dtype, str(threads)]
        environment = os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in ["OMP", "RAYON", "RTEN"]} | HOLD[hold][name]
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            _, error = self.process.communicate()
            raise RuntimeError(" ".join(error.split())[-200:] or f"exit status {self.process.returncode}")
        return json.loads(line)

    def run(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return [nanoseconds * 1e-6 for nanoseconds in self.read()]

    def load(self):
        loaded = self.read()
        self.version, self.answer = loaded["version"], np.array(loaded["answer"])
        # As many runs as fill a turn, by the fastest of a few.
        self.count = WARM + max(3, round(TURN_MS / min(self.run(3 + WARM))))

    def stop(self):
        self.process.kill()
        self.process.communicate()


def agreement(engine, dtype, reference):
    y = engine.answer
    scale = float(np.linalg.norm(y) * np.linalg.norm(reference))
    cosine = float(y @ reference) / scale if np.isfinite(scale) and scale > 0 else 0.0
    difference = float(np.abs(y - reference).max() / np.abs(reference).max())
    exact = dtype == "f32" and engine.name != "openvino_default"
    right = difference <= F32_DIFFERENCE if exact else cosine >= COSINE
    return {"cosine": round(cosine, 5), "difference": float(f"{difference:.2g}"), "right": bool(right)}


def compare(directory, dtype, threads, hold, names):
    """A dictionary for each engine."""
    truth = Engine("kolibri", directory, "f32", 1, "full")
    truth.load()
    reference = truth.answer
    truth.stop()
    engines, results = [], []
    for name in names:
        facts = {"network": directory.name, "dtype": dtype, "threads": threads, "hold": hold, "engine": name}
        engine = Engine(name, directory, dtype, threads, hold)
        try:
            engine.load()
            engines.append(engine)
            facts |= {"version": engine.version} | agreement(engine, dtype, reference)
        except RuntimeError as error:
            engine.stop()
            facts["error"] = str(error)
        results.append(facts)
    for _ in range(TURNS):
        for engine in engines:
            engine.times += engine.run(engine.count)[WARM:]
    times = {engine.name: engine.times for engine in engines}
    for facts in results:
        if measured := times.get(facts["engine"]):
            facts |= {"median_ms": round(statistics.median(measured), 4), "min_ms": round(min(measured), 4), "runs": len(measured)}
    for engine in engines:
        engine.stop()
    return results


def machine():
    lines = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    info = {key.strip(): value.strip() for key, value in lines}
    flags = info.get("flags", "").split()
    return {
        "cpu": f'{info.get("model name", platform.machine())}, family {info.get("cpu family")}, model {info.get("model")}',
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in flags if flag.startswith(("avx", "amx", "fma"))],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", help="some of them, by commas")
    parser.add_argument("--dtypes", default="f32,int8")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--hold", default="full,avx2,avxvnni,avx512vnni")
    parser.add_argument("--engines", default=",".join(ENGINES))
    arguments = parser.parse_args()
    about = machine()
    networks = arguments.networks.split(",") if arguments.networks else sorted(p.name for p in arguments.data.iterdir())
    # A CPU that has no more than a set is held to it already.
    best = [hold for hold, flag in NEEDS.items() if flag in about["flags"]]
    holds = [hold for hold in arguments.hold.split(",") if hold == "full" or hold in best[:-1]]
    if "avx512_bf16" not in about["flags"] and "amx_bf16" not in about["flags"]:
        del ENGINES["openvino_default"]  # it is f32 here
    asked = arguments.engines.split(",")
    results = []
    for hold in holds:
        for threads in map(int, arguments.threads.split(",")):
            for dtype in arguments.dtypes.split(","):
                names = [name for name, dtypes in ENGINES.items() if dtype in dtypes and name in HOLD[hold] and name in asked]
                for network in networks:
                    results += compare(arguments.data / network, dtype, threads, hold, names)
                    measured = [f'{r["engine"]} {r.get("median_ms", "-")}{"" if r.get("right", True) else " WRONG"}' for r in results if r["network"] == network]
                    print(f"{hold} {dtype} {threads} threads {network}:", ", ".join(measured[-len(names):]), flush=True)
                    facts = {"machine": about, "date": time.strftime("%Y-%m-%d"), "results": results}
                    arguments.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
