"""Runs every case on its engines, checks the answers against the models of models.py, and stores them.

    python generate.py            writes the three .safetensors files beside this script
    python generate.py --fuzz 20  stores nothing; checks the models on 20 other sets of random cases
"""
import collections
import functools
import json
import pathlib
import sys

import numpy as np

from cases import cases
from engines import run_litert, run_onnxruntime
from models import MODELS

ENGINES = {
    "onnxruntime": (False, run_onnxruntime),
    "litert_xnnpack": (True, functools.partial(run_litert, xnnpack=True)),
    "litert_builtin": (True, functools.partial(run_litert, xnnpack=False)),
}


def run(engine, report, **seed):
    """Yields (name, params, tensors with y); counts cases, elements and elements that differ from the model."""
    tflite, runner = ENGINES[engine]
    for name, params, tensors in cases(tflite, **seed):
        y = runner(params, tensors)
        if y is None:                                       # XNNPACK leaves it to the builtin kernel
            continue
        y = np.ascontiguousarray(y)
        model = MODELS[engine][params["op"]](params, tensors)
        assert y.shape == tuple(params["y_shape"]) == model.shape, name
        report[engine, params["op"]] += (1, y.size, int((model != y).sum()))
        yield name, params, tensors | {"y": y}


def safetensors(tensors, metadata):
    """The file's bytes. The package's own writer orders the metadata at random; these are the same every time."""
    header, offset = {"__metadata__": metadata}, 0
    for name, a in tensors.items():
        kind = {"int8": "I8", "uint8": "U8", "int32": "I32"}[a.dtype.name]
        header[name] = {"dtype": kind, "shape": a.shape, "data_offsets": [offset, offset + a.nbytes]}
        offset += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in tensors.values())


def main():
    report = collections.defaultdict(lambda: np.zeros(3, np.int64))
    if sys.argv[1:2] == ["--fuzz"]:
        for seed in range(int(sys.argv[2])):
            for engine in ENGINES:
                collections.deque(run(engine, report, seed=seed), maxlen=0)
    else:
        for engine in ENGINES:
            tensors, metadata = {}, {}
            for name, params, arrays in run(engine, report):
                metadata[name] = json.dumps(params, separators=(",", ":"))
                tensors |= {f"{name}/{key}": a for key, a in arrays.items()}
            tensors = dict(sorted(tensors.items(), key=lambda kv: -kv[1].itemsize))     # i32 first, so that all are aligned
            data = safetensors(tensors, metadata)
            pathlib.Path(__file__).with_name(f"{engine}.safetensors").write_bytes(data)
            print(f"{engine}.safetensors: {len(metadata)} cases, {len(data)} bytes")
    print(f"{'engine':16}{'operator':18}{'cases':>8}{'elements':>12}{'differ from the model':>24}")
    for (engine, op), (count, elements, differ) in report.items():
        print(f"{engine:16}{op:18}{count:8}{elements:12}{differ:24}")
    sys.exit(int(any(r[2] for r in report.values())))


if __name__ == "__main__":
    main()
