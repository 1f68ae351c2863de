"""python convert.py DIR...: makes of what `kolibri export` wrote into each directory the files of the other engines.

f32.onnx, f32.tflite: the network as its paper has it, each layer an operator of the format, batch normalisation folded.
int8.onnx: ONNX Runtime's quantiser, u8 activations, i8 weights for each channel, as QuantizeLinear and DequantizeLinear.
int8.tflite: the AI Edge quantiser, i8 both.
f32.ncnn.param, f32.ncnn.bin: pnnx. f32.mnn: MNN's converter.
All are calibrated on the same crops. What cannot be converted is said, and that engine goes without.
"""
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

FEW = 8  # of the crops, one of each photo and two more: quantisers run each through every layer


class Network:
    """graph.json and f32.safetensors."""

    def __init__(self, directory):
        graph = json.loads((directory / "graph.json").read_text())
        self.name, self.input, self.layers = graph["name"], graph["input"], graph["layers"]
        self.tensors = load_file(directory / "f32.safetensors")

    def shape(self, value):
        """Height, width, channels of the image, 0, or of a layer's output."""
        if value == 0:
            return self.input
        s = self.layers[value - 1]["shape"]
        return [s["hout"], s["wout"], s["cout"]]

    def weights(self, layer):
        """Output channels, kernel's rows and columns, input channels; and biases."""
        s, w = layer["shape"], self.tensors[layer["name"] + ".weight"]
        w = w.transpose(2, 0, 1)[..., None] if s["op"] == "dwconv" else w.reshape(s["cout"], s["k"], s["k"], -1)
        return w, self.tensors[layer["name"] + ".bias"]


def missing(shape):
    """Rows and columns of zeros behind a subsample's last pixel."""
    first = -shape["pad"][0]
    return [out - -(-(size - first) // shape["stride"]) for out, size in [(shape["hout"], shape["hin"]), (shape["wout"], shape["win"])]]


class Onnx:
    """NCHW."""

    def __init__(self, network):
        self.nodes, self.constants = [], []
        names = ["x"]
        for i, layer in enumerate(network.layers):
            shape = layer["shape"]
            inputs = [names[value] for value in layer["inputs"]]
            if shape.get("pre_act") == "relu":
                inputs = [self.node("Relu", [x]) for x in inputs]
            y = getattr(self, shape["op"])(network, layer, shape, inputs)
            names.append(self.activate(shape["act"], y))
        self.node("Flatten", [names[-1]], out="y", axis=1)
        h, w, c = network.input
        value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, network.name, [value("x", 1, c, h, w)], [value("y", 1, 1000)], self.constants)
        self.model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
        onnx.checker.check_model(self.model)

    def node(self, kind, inputs, out=None, **attributes):
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], name=f"{kind}_{len(self.nodes)}", **attributes))
        return out

    def constant(self, array, dtype):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, dtype, order="C"), name))
        return name

    def activate(self, act, x):
        if act == "relu6":
            return self.node("Clip", [x, self.constant(0, np.float32), self.constant(6, np.float32)])
        return {"none": lambda: x, "relu": lambda: self.node("Relu", [x]), "sigmoid": lambda: self.node("Sigmoid", [x])}[act]()

    @staticmethod
    def window(s):
        top, bottom, left, right = s["pad"]
        return dict(kernel_shape=[s["k"]] * 2, strides=[s["stride"]] * 2, pads=[top, left, bottom, right])

    def conv(self, network, layer, s, inputs):
        w, bias = network.weights(layer)
        constants = [self.constant(w.transpose(0, 3, 1, 2), np.float32), self.constant(bias, np.float32)]
        return self.node("Conv", [inputs[0], *constants], group=s["groups"], **self.window(s))

    dwconv = pwconv = gconv = conv

    def fc(self, network, layer, s, inputs):
        w, bias = network.weights(layer)
        constants = [self.constant(w.reshape(s["cout"], s["cin"]), np.float32), self.constant(bias, np.float32)]
        return self.node("Gemm", [self.node("Flatten", inputs, axis=1), *constants], transB=1)

    def add(self, network, layer, s, inputs):
        return self.node("Add", inputs)

    def mul(self, network, layer, s, inputs):
        return self.node("Mul", inputs)

    def concat(self, network, layer, s, inputs):
        return self.node("Concat", inputs, axis=1)

    def shuffle(self, network, layer, s, inputs):
        h, w, c = s["hout"], s["wout"], s["cout"]
        x = self.node("Reshape", [inputs[0], self.constant([1, s["groups"], c // s["groups"], h, w], np.int64)])
        return self.node("Reshape", [self.node("Transpose", [x], perm=[0, 2, 1, 3, 4]), self.constant([1, c, h, w], np.int64)])

    def split(self, network, layer, s, inputs):
        bounds = [[s["offset"]], [s["offset"] + s["cout"]], [1]]
        return self.node("Slice", [inputs[0], *(self.constant(bound, np.int64) for bound in bounds)])

    def maxpool(self, network, layer, s, inputs):
        return self.node("MaxPool", inputs, **self.window(s))

    def avgpool(self, network, layer, s, inputs):
        if s["pad"][0] >= 0:
            return self.node("AveragePool", inputs, count_include_pad=int(s["count_include_pad"]), **self.window(s))
        bounds = [[-s["pad"][0]] * 2, [s["hin"], s["win"]], [2, 3], [s["stride"]] * 2]
        x = self.node("Slice", [inputs[0], *(self.constant(bound, np.int64) for bound in bounds)])
        pads = [self.constant([0] * 6 + missing(s), np.int64), self.constant(0, np.float32)]
        return self.node("Pad", [x, *pads], mode="constant") if any(missing(s)) else x

    def gap(self, network, layer, s, inputs):
        return self.node("GlobalAveragePool", inputs)

    def sigmoid(self, network, layer, s, inputs):
        return self.node("Sigmoid", inputs)


class Tflite:
    """NHWC."""

    ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 3}

    def __init__(self, network):
        self.model, self.graph, self.codes = schema.ModelT(), schema.SubGraphT(), {}
        self.model.version, self.model.description, self.model.buffers = 3, network.name, [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []
        values = [self.tensor([1, *network.input])]
        for i, layer in enumerate(network.layers):
            shape = layer["shape"]
            inputs = [values[value] for value in layer["inputs"]]
            if shape.get("pre_act") == "relu":
                inputs = [self.operator("RELU", [x], self.graph.tensors[x].shape) for x in inputs]
            y = getattr(self, shape["op"])(network, layer, shape, inputs, [1, *network.shape(i + 1)])
            values.append(self.operator("LOGISTIC", [y], self.graph.tensors[y].shape) if shape["act"] == "sigmoid" else y)
        self.graph.inputs, self.graph.outputs = [values[0]], [values[-1]]
        self.model.subgraphs, self.model.operatorCodes = [self.graph], list(self.codes.values())
        signature, x, y = schema.SignatureDefT(), schema.TensorMapT(), schema.TensorMapT()
        (x.name, x.tensorIndex), (y.name, y.tensorIndex) = ("x", values[0]), ("y", values[-1])
        signature.inputs, signature.outputs, signature.signatureKey, signature.subgraphIndex = [x], [y], "serving_default", 0
        self.model.signatureDefs = [signature]

    def bytes(self):
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def tensor(self, shape, data=None, dtype=np.float32):
        t = schema.TensorT()
        t.name, t.shape, t.buffer = f"t{len(self.graph.tensors)}", [int(n) for n in shape], 0
        t.type = {np.float32: schema.TensorType.FLOAT32, np.int32: schema.TensorType.INT32}[dtype]
        if data is not None:
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(schema.BufferT())
            self.model.buffers[-1].data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def constant(self, data, dtype=np.float32):
        return self.tensor(np.shape(data), data, dtype)

    def operator(self, kind, inputs, shape, options=None, version=1, **fields):
        """`fields` go into the options; an activation that is not of the operator's own is left out."""
        operator, code = schema.OperatorT(), schema.OperatorCodeT()
        code.builtinCode, code.version = getattr(schema.BuiltinOperator, kind), version
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        operator.opcodeIndex = list(self.codes).index(kind) if kind in self.codes else len(self.codes)
        self.codes.setdefault(kind, code)
        operator.inputs, operator.outputs = inputs, [self.tensor(shape)]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for field, value in fields.items():
                assert hasattr(operator.builtinOptions, field), field
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return operator.outputs[0]

    def act(self, s):
        return self.ACTIVATIONS.get(s["act"], 0)

    @staticmethod
    def is_same(s):
        """Whether the padding is TensorFlow's SAME."""
        same = []
        for size, out in [(s["hin"], s["hout"]), (s["win"], s["wout"])]:
            total = max((out - 1) * s["stride"] + s["k"] - size, 0)
            same += [total // 2, total - total // 2] if out == -(-size // s["stride"]) else [-1, -1]
        return s["pad"] == same

    def window(self, s, x):
        """What a window reads, and its options: padding that is not SAME is an operator."""
        if not self.is_same(s) and any(s["pad"]):
            top, bottom, left, right = s["pad"]
            x = self.pad(x, [top, bottom], [left, right])
        return x, dict(padding=0 if self.is_same(s) else 1, strideH=s["stride"], strideW=s["stride"])

    def pad(self, x, rows, columns):
        n, h, w, c = self.graph.tensors[x].shape
        pads = self.constant([[0, 0], rows, columns, [0, 0]], np.int32)
        return self.operator("PAD", [x, pads], [n, h + sum(rows), w + sum(columns), c], "PadOptions")

    def conv(self, network, layer, s, inputs, shape):
        w, bias = network.weights(layer)
        x, options = self.window(s, inputs[0])
        options |= dict(dilationHFactor=1, dilationWFactor=1, fusedActivationFunction=self.act(s))
        return self.operator("CONV_2D", [x, self.constant(w), self.constant(bias)], shape, "Conv2DOptions", **options)

    pwconv = gconv = conv

    def dwconv(self, network, layer, s, inputs, shape):
        w, bias = network.weights(layer)
        x, options = self.window(s, inputs[0])
        options |= dict(dilationHFactor=1, dilationWFactor=1, depthMultiplier=1, fusedActivationFunction=self.act(s))
        constants = [self.constant(w.transpose(3, 1, 2, 0)), self.constant(bias)]
        return self.operator("DEPTHWISE_CONV_2D", [x, *constants], shape, "DepthwiseConv2DOptions", **options)

    def fc(self, network, layer, s, inputs, shape):
        w, bias = network.weights(layer)
        x = self.operator("RESHAPE", [inputs[0], self.constant([1, s["cin"]], np.int32)], [1, s["cin"]], "ReshapeOptions")
        constants = [self.constant(w.reshape(s["cout"], s["cin"])), self.constant(bias)]
        return self.operator("FULLY_CONNECTED", [x, *constants], [1, s["cout"]], "FullyConnectedOptions")

    def add(self, network, layer, s, inputs, shape):
        return self.operator("ADD", inputs, shape, "AddOptions", fusedActivationFunction=self.act(s))

    def mul(self, network, layer, s, inputs, shape):
        return self.operator("MUL", inputs, shape, "MulOptions")

    def concat(self, network, layer, s, inputs, shape):
        y = self.operator("CONCATENATION", inputs, shape, "ConcatenationOptions", axis=3)
        return self.operator("RELU", [y], shape) if s["act"] == "relu" else y

    def shuffle(self, network, layer, s, inputs, shape):
        pixels, g, c = s["hout"] * s["wout"], s["groups"], s["cout"]
        split, joined = [1, pixels, g, c // g], [1, pixels, c // g, g]
        x = self.operator("RESHAPE", [inputs[0], self.constant(split, np.int32)], split, "ReshapeOptions")
        x = self.operator("TRANSPOSE", [x, self.constant([0, 1, 3, 2], np.int32)], joined, "TransposeOptions")
        return self.operator("RESHAPE", [x, self.constant(shape, np.int32)], shape, "ReshapeOptions")

    def split(self, network, layer, s, inputs, shape):
        bounds = [self.constant([0, 0, 0, s["offset"]], np.int32), self.constant(shape, np.int32)]
        return self.operator("SLICE", [inputs[0], *bounds], shape, "SliceOptions")

    def pool(self, kind, s, inputs, shape):
        x, options = self.window(s, inputs[0])
        return self.operator(kind, [x], shape, "Pool2DOptions", filterHeight=s["k"], filterWidth=s["k"], **options)

    def maxpool(self, network, layer, s, inputs, shape):
        before = network.layers[layer["inputs"][0] - 1]["shape"]
        # Zeros around it are the least of what a ReLU leaves.
        assert "relu" in before["act"] or self.is_same(s)
        return self.pool("MAX_POOL_2D", s, inputs, shape)

    def avgpool(self, network, layer, s, inputs, shape):
        if s["pad"][0] >= 0:
            # SAME counts only what is inside.
            assert s["count_include_pad"] != self.is_same(s) or not any(s["pad"])
            return self.pool("AVERAGE_POOL_2D", s, inputs, shape)
        rows, columns = missing(s)
        bounds = [[0, -s["pad"][0], -s["pad"][0], 0], [1, s["hin"], s["win"], s["cin"]], [1, s["stride"], s["stride"], 1]]
        bounds = [self.constant(bound, np.int32) for bound in bounds]
        inside = [1, shape[1] - rows, shape[2] - columns, shape[3]]
        fields = dict(beginMask=0, endMask=0, ellipsisMask=0, newAxisMask=0, shrinkAxisMask=0)
        x = self.operator("STRIDED_SLICE", [inputs[0], *bounds], inside, "StridedSliceOptions", **fields)
        return self.pad(x, [0, rows], [0, columns]) if rows or columns else x

    def gap(self, network, layer, s, inputs, shape):
        return self.operator("MEAN", [inputs[0], self.constant([1, 2], np.int32)], shape, "ReducerOptions", keepDims=True)

    def sigmoid(self, network, layer, s, inputs, shape):
        return self.operator("LOGISTIC", inputs, shape)


def quantise_onnx(directory, crops):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        inputs = iter([{"x": np.ascontiguousarray(crop.transpose(0, 3, 1, 2))} for crop in crops])

        def get_next(self):
            return next(self.inputs, None)

    with tempfile.TemporaryDirectory() as temporary:
        prepared = f"{temporary}/prepared.onnx"
        quant_pre_process(str(directory / "f32.onnx"), prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared, str(directory / "int8.onnx"), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def quantise_tflite(directory, crops):
    from ai_edge_quantizer import quantizer, recipe

    quantiser = quantizer.Quantizer(str(directory / "f32.tflite"))
    quantiser.load_quantization_recipe(recipe.static_wi8_ai8())
    observed = quantiser.calibrate({"serving_default": [{"x": crop} for crop in crops]})
    (directory / "int8.tflite").write_bytes(quantiser.quantize(observed).quantized_model)


def convert_ncnn(directory):
    # The binary inside the package: what is around it wants torch.
    tool = Path(importlib.util.find_spec("pnnx").origin).parent / "pnnx"
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "f32.onnx"
        copy.write_bytes((directory / "f32.onnx").read_bytes())
        subprocess.run([tool, copy, "inputshape=[1,3,224,224]f32", "fp16=0"], cwd=temporary, check=True, capture_output=True)
        for end in ["param", "bin"]:
            (directory / f"f32.ncnn.{end}").write_bytes((Path(temporary) / f"f32.ncnn.{end}").read_bytes())


def convert_mnn(directory):
    # Not by the command mnnconvert, which installs packages and reports who uses it. It ends the process that calls it.
    arguments = ["mnnconvert", "-f", "ONNX", "--modelFile", str(directory / "f32.onnx"), "--MNNModel", str(directory / "f32.mnn"), "--bizCode", "p"]
    subprocess.run([sys.executable, "-c", f"import _tools; _tools.mnnconvert({arguments})"], capture_output=True)
    assert (directory / "f32.mnn").exists(), "no file"


def convert(directory):
    network = Network(directory)
    onnx.save(Onnx(network).model, directory / "f32.onnx")
    (directory / "f32.tflite").write_bytes(Tflite(network).bytes())
    crops = np.fromfile(directory / "calibration.f32", np.float32).reshape(-1, 1, *network.input)
    crops = crops[:: len(crops) // FEW][:FEW]
    steps = [(quantise_onnx, [crops]), (quantise_tflite, [crops]), (convert_ncnn, []), (convert_mnn, [])]
    for step, arguments in steps:
        try:
            step(directory, *arguments)
        except Exception as error:
            print(f"{network.name}: {step.__name__}: {error}".splitlines()[0], flush=True)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        convert(Path(argument))
