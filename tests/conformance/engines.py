"""Builds a one-operator model of a case and runs it: ONNX Runtime, and LiteRT with or without its XNNPACK delegate."""
import flatbuffers
import numpy as np
import onnxruntime
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from cases import DTYPE

ONNX_TYPE = {"i8": TensorProto.INT8, "u8": TensorProto.UINT8}


def run_onnxruntime(params, tensors):
    """The answer, NHWC."""
    p, dtype, op = params, DTYPE[params["dtype"]], params["op"]
    inputs, constants = {}, {}

    def feed(name):
        """An activation, NCHW unless the operator takes NHWC."""
        a = tensors[name]
        inputs[name] = a.reshape(a.shape[0], -1) if op == "fully_connected" else a if p.get("channels_last") else a.transpose(0, 3, 1, 2)
        return name

    def const(name, value, dtype):
        constants[name] = np.array(value, dtype, order="C")
        return name

    def quantisation(name):
        return [const(f"{name}_scale", p[f"{name}_scale"], np.float32), const(f"{name}_zero", p[f"{name}_zero"], dtype)]

    def weights(array):
        scales = p["w_scales"] if len(p["w_scales"]) > 1 else p["w_scales"][0]
        return [const("w", array, np.int8), const("w_scale", scales, np.float32), const("w_zero", np.zeros_like(scales), np.int8)]

    domain = "com.microsoft"
    if op == "conv2d":
        w = tensors["w"][..., None].transpose(2, 3, 0, 1) if p["weights"] == "hwc" else tensors["w"].transpose(0, 3, 1, 2)
        names = [feed("x"), *quantisation("x"), *weights(w), *quantisation("y")]
        names += [const("bias", tensors["bias"], np.int32)] if p["has_bias"] else []
        attributes = dict(kernel_shape=p["kernel"], strides=p["stride"], dilations=p["dilation"], pads=p["pads"], group=p["groups"])
        kind, domain = "QLinearConv", ""
    elif op == "fully_connected":
        w = tensors["w"].reshape(tensors["w"].shape[0], -1).T
        kind, domain, attributes = "QLinearMatMul", "", {}
        names = [feed("x"), *quantisation("x"), *weights(w), *quantisation("y")]
    elif op == "add":
        kind, attributes = "QLinearAdd", {}
        names = [feed("x"), *quantisation("x"), feed("b"), *quantisation("b"), *quantisation("y")]
    elif op == "concat":
        kind, attributes = "QLinearConcat", dict(axis=1)
        names = [*quantisation("y"), feed("x"), *quantisation("x"), feed("b"), *quantisation("b")]
    elif op == "average_pool":
        kind = "QLinearAveragePool"
        attributes = dict(kernel_shape=p["kernel"], strides=p["stride"], pads=p["pads"],
                          count_include_pad=p["count_include_pad"], channels_last=p["channels_last"])
        names = [feed("x"), *quantisation("x"), *quantisation("y")]
    elif op == "global_average":
        kind, attributes = "QLinearGlobalAveragePool", dict(channels_last=p["channels_last"])
        names = [feed("x"), *quantisation("x"), *quantisation("y")]
    elif op == "max_pool":
        kind, domain, attributes = "MaxPool", "", dict(kernel_shape=p["kernel"], strides=p["stride"], pads=p["pads"])
        names = [feed("x")]
    node = helper.make_node(kind, names, ["y"], domain=domain, **attributes)
    graph = helper.make_graph(
        [node], op, [helper.make_tensor_value_info(n, ONNX_TYPE[p["dtype"]], a.shape) for n, a in inputs.items()],
        [helper.make_tensor_value_info("y", ONNX_TYPE[p["dtype"]], None)],
        initializer=[numpy_helper.from_array(a, n) for n, a in constants.items()])
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    y = session.run(None, {n: np.ascontiguousarray(a) for n, a in inputs.items()})[0]
    return y.reshape(p["y_shape"]) if op == "fully_connected" or p.get("channels_last") else y.transpose(0, 2, 3, 1)


TFLITE_TYPE = {np.dtype(np.int8): schema.TensorType.INT8, np.dtype(np.int32): schema.TensorType.INT32}
ACTIVATION = {"none": 0, "relu": 1, "relu6": 3}


def tflite_model(params, tensors):
    """The flatbuffer of a model of one operator."""
    p, op = params, params["op"]
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description, model.buffers = 3, op, [schema.BufferT()]
    graph.tensors, graph.inputs, graph.outputs = [], [], []

    def tensor(name, shape, dtype, scales=None, zero=0, axis=0, data=None):
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), TFLITE_TYPE[np.dtype(dtype)], 0
        if scales is not None:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale, t.quantization.zeroPoint, t.quantization.quantizedDimension = scales, [zero] * len(scales), axis
        if data is not None:
            t.buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    flat = op == "fully_connected"

    def activation(name):
        shape = p[f"{name}_shape"]
        index = tensor(name, [shape[0], shape[3]] if flat else shape, np.int8, [p[f"{name}_scale"]], p[f"{name}_zero"])
        (graph.outputs if name == "y" else graph.inputs).append(index)
        return index

    inputs = [activation("x")] + ([activation("b")] if "b" in tensors else [])
    if "w" in tensors:
        w = tensors["w"][None] if p["weights"] == "hwc" else tensors["w"]
        w = w.reshape(w.shape[0], -1) if flat else w
        inputs.append(tensor("w", w.shape, np.int8, p["w_scales"], 0, 3 if p["weights"] == "hwc" else 0, w))
        if p["has_bias"]:
            scales = [float(np.float32(p["x_scale"]) * np.float32(s)) for s in p["w_scales"]]
            inputs.append(tensor("bias", tensors["bias"].shape, np.int32, scales, 0, 0, tensors["bias"]))
        elif flat:
            inputs.append(-1)
    if op == "global_average":
        inputs.append(tensor("axes", [2], np.int32, data=np.array([1, 2], np.int32)))

    depthwise = p.get("weights") == "hwc"
    name, version, options = dict(
        conv2d=("DEPTHWISE_CONV_2D", 3, "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", 3, "Conv2DOptions"),
        fully_connected=("FULLY_CONNECTED", 4 if len(p.get("w_scales", [])) < 2 else 12, "FullyConnectedOptions"), add=("ADD", 2, "AddOptions"),
        concat=("CONCATENATION", 2, "ConcatenationOptions"), average_pool=("AVERAGE_POOL_2D", 2, "Pool2DOptions"),
        max_pool=("MAX_POOL_2D", 2, "Pool2DOptions"), global_average=("MEAN", 2, "ReducerOptions"),
        hard_swish=("HARD_SWISH", 1, "HardSwishOptions"))[op]
    o = getattr(schema, options + "T")()
    if hasattr(o, "fusedActivationFunction"):
        o.fusedActivationFunction = ACTIVATION[p["activation"]]
    if "kernel" in p:
        o.padding = {"SAME": 0, "VALID": 1}[p["padding"]]
        o.strideH, o.strideW = p["stride"]
        if op == "conv2d":
            o.dilationHFactor, o.dilationWFactor = p["dilation"]
            if depthwise:
                o.depthMultiplier = p["y_shape"][3] // p["x_shape"][3]
        else:
            o.filterHeight, o.filterWidth = p["kernel"]
    if op == "concat":
        o.axis = 3
    if op == "global_average":
        o.keepDims = True

    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [activation("y")]
    operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, options), o
    graph.operators, model.subgraphs, model.operatorCodes = [operator], [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run_litert(params, tensors, xnnpack):
    """The answer, or None where the XNNPACK delegate does not take the operator (or no engine takes the model)."""
    kind = litert.OpResolverType.BUILTIN if xnnpack else litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(model_content=tflite_model(params, tensors), num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    if xnnpack != any(o["op_name"] == "DELEGATE" for o in interpreter._get_ops_details()):
        return None
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], tensors[detail["name"]].reshape(detail["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(params["y_shape"])
