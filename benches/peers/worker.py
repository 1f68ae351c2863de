"""python worker.py ENGINE DIR DTYPE THREADS: one engine with one network, for run.py.

Loads what convert.py made, runs once and prints a line of JSON, {"engine", "version", "answer"}; then for each line read,
a number, runs so many times and prints their nanoseconds, from an f32 image in memory to logits.
"""
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def onnxruntime(directory, dtype, threads, x):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(str(directory / f"{dtype}.onnx"), options, providers=["CPUExecutionProvider"])
    feed = {"x": nchw(x)}
    return ort.__version__, lambda: session.run(None, feed)[0]


def openvino(directory, dtype, threads, x, precision="f32"):
    import openvino as ov

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    if precision:
        options["INFERENCE_PRECISION_HINT"] = precision
    core = ov.Core()
    request = core.compile_model(core.read_model(str(directory / f"{dtype}.onnx")), "CPU", options).create_infer_request()
    image = nchw(x)
    request.set_input_tensor(ov.Tensor(image, shared_memory=True))
    y = request.get_output_tensor(0)

    def run():
        request.infer()
        return y.data

    run.image = image  # the tensor does not own it
    return ov.__version__.split("-")[0], run


def openvino_default(directory, dtype, threads, x):
    """bf16 where the CPU has instructions for it."""
    return openvino(directory, dtype, threads, x, precision=None)


def litert(directory, dtype, threads, x):
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(directory / f"{dtype}.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    (input,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()

    # Its models of bytes take and give bytes: the image is made bytes and the logits f32 here, as others do it inside.
    def run():
        image = x
        if input["dtype"] != np.float32:
            scale, zero = input["quantization"]
            image = np.clip(np.rint(x * np.float32(1 / scale) + np.float32(zero)), -128, 127).astype(np.int8)
        interpreter.set_tensor(input["index"], image)
        interpreter.invoke()
        y = interpreter.get_tensor(output["index"])
        if output["dtype"] != np.float32:
            scale, zero = output["quantization"]
            y = (y.astype(np.float32) - zero) * np.float32(scale)
        return y

    return version("ai-edge-litert"), run


def ncnn(directory, dtype, threads, x):
    import ncnn as n

    net = n.Net()
    net.opt.num_threads = threads
    for option in ["use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"]:
        setattr(net.opt, option, False)
    net.load_param(str(directory / f"{dtype}.ncnn.param"))
    net.load_model(str(directory / f"{dtype}.ncnn.bin"))
    pixels = nchw(x)[0]
    image = n.Mat(pixels).clone()  # a Mat of an array does not own it

    def run():
        extractor = net.create_extractor()
        extractor.input("in0", image)
        return np.array(extractor.extract("out0")[1])

    return n.__version__, run


def mnn(directory, dtype, threads, x):
    import MNN
    import MNN.expr as expr

    runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": threads},))
    module = MNN.nn.load_module_from_file(str(directory / f"{dtype}.mnn"), ["x"], ["y"], runtime_manager=runtime)
    image = expr.placeholder(list(nchw(x).shape), expr.NCHW, expr.float)
    image.write(nchw(x).ravel().tolist())

    def run():
        return np.array(expr.convert(module.forward([image])[0], expr.NCHW).read())

    return MNN.version(), run


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def main(engine, directory, dtype, threads):
    directory = Path(directory)
    x = np.fromfile(directory / "input.f32", np.float32).reshape(1, 224, 224, 3)
    # What an engine prints while it loads is no answer.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    version, run = globals()[engine](directory, dtype, int(threads), x)
    answer = np.array(run(), np.float32).ravel().tolist()
    print(json.dumps({"engine": engine, "version": version, "answer": answer}), file=out)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - start)
        print(json.dumps(times), file=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
