"""Random small int8 problems. A case knows nothing of the engine that will run it.

A case is (params, tensors): `params` is what is stored as JSON, `tensors` the numpy arrays x, w, bias, b.
Activations and weights are NHWC / OHWI (depthwise HWC) here; engines.py transposes for those that want otherwise.
"""
import numpy as np

SEED = 20260821
RANGE = {"i8": (-128, 127), "u8": (0, 255)}
DTYPE = {"i8": np.int8, "u8": np.uint8}
CHANNELS = [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 23, 24, 32, 33, 48, 58]
REGIMES = ["plain", "near_tie", "ties", "saturate", "big_bias", "plain", "extreme_data", "ties", "near_tie"]


def f32(x):
    """A float32 value, carried as the Python float that equals it: JSON then holds it exactly."""
    return float(np.float32(x))


def log_uniform(rng, low, high):
    return f32(np.exp(rng.uniform(np.log(low), np.log(high))))


def zero_point(rng, dtype):
    low, high = RANGE[dtype]
    return int(rng.choice([low, high, (low + high + 1) // 2, rng.integers(low, high + 1), rng.integers(low, high + 1)]))


def activations(rng, dtype, shape, regime="plain", zero=0):
    low, high = RANGE[dtype]
    if regime == "near_tie":
        return np.full(shape, zero, DTYPE[dtype])
    if regime == "extreme_data":
        kind = rng.integers(3)
        if kind < 2:
            return np.full(shape, (low, high)[kind], DTYPE[dtype])
        return rng.choice([low, high], size=shape).astype(DTYPE[dtype])
    return rng.integers(low, high + 1, size=shape).astype(DTYPE[dtype])


def same_padding(size, kernel, stride, dilation):
    """TFLite's SAME: (before, after)."""
    out = -(-size // stride)
    total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def output_size(size, kernel, stride, dilation, before, after):
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


def window(rng, tflite, kernel_max=7, dilated=True):
    """A random window over a random image: h, w, kernel, stride, dilation, pads (top, left, bottom, right), padding name."""
    while True:
        h, w = (int(v) for v in rng.integers(1, 12, 2))
        k = int(rng.integers(1, kernel_max + 1))
        kernel = [k, k] if rng.random() < 0.7 else [int(v) for v in rng.integers(1, kernel_max + 1, 2)]
        stride = [int(v) for v in ([rng.integers(1, 4)] * 2 if rng.random() < 0.8 else rng.integers(1, 4, 2))]
        dilation = [int(v) for v in rng.integers(1, 4, 2)] if dilated and stride == [1, 1] and rng.random() < 0.3 else [1, 1]
        padding = "SAME" if rng.random() < 0.6 else "VALID"
        if tflite and padding == "SAME":
            (t, b), (l, r) = (same_padding(s, kernel[i], stride[i], dilation[i]) for i, s in enumerate((h, w)))
        elif tflite:
            t = l = b = r = 0
        else:
            t, b = (int(v) for v in rng.integers(0, kernel[0], 2))
            l, r = (int(v) for v in rng.integers(0, kernel[1], 2))
            padding = "EXPLICIT"
        if h + t + b >= (kernel[0] - 1) * dilation[0] + 1 and w + l + r >= (kernel[1] - 1) * dilation[1] + 1:
            return h, w, kernel, stride, dilation, [t, l, b, r], padding


def requantisation(rng, regime, k, out_channels, per_channel, has_bias):
    """x_scale, w_scales, y_scale and an i32 bias, for k products an output."""
    spread = 74.0 * 74.0 * np.sqrt(k)                       # standard deviation of a sum of k products of two random bytes
    count = out_channels if per_channel else 1
    if regime == "ties":                                    # powers of two: many exact halves
        x_scale = f32(2.0 ** -rng.integers(2, 8))
        w_scales = [f32(2.0 ** -rng.integers(4, 7)) for _ in range(count)]
        y_scale = f32(x_scale * 2.0 ** -5 * 2.0 ** np.round(np.log2(spread / 60)))
    else:
        x_scale = log_uniform(rng, 1e-3, 0.3)
        w_scales = [log_uniform(rng, 1e-3, 1e-2) for _ in range(count)]
        ranges = dict(saturate=(0.01, 20), big_bias=(1e-6, 1e-5), near_tie=(2e-7, 1e-6))
        ratio = log_uniform(rng, *ranges[regime]) if regime in ranges else 45 / spread
        y_scale = f32(x_scale * w_scales[0] / ratio)
    bias = np.zeros(out_channels, np.int64)
    if has_bias:
        scales = np.resize(np.array(w_scales), out_channels) * x_scale / y_scale
        if regime == "near_tie":                            # x is its zero point throughout: the bias alone, beside a rounding boundary
            half = np.trunc(rng.uniform(-1, 1, out_channels) * np.minimum(120, 1.9e9 * scales)) + 0.5
            bias = np.rint(half / scales).astype(np.int64) + rng.integers(-60, 61, out_channels)
            return x_scale, w_scales, y_scale, bias.astype(np.int32)
        size = np.minimum(150 / scales, 2.0 ** 30) if regime == "big_bias" else np.full(out_channels, spread)
        bias = (rng.uniform(-1, 1, out_channels) * size).astype(np.int64)
    return x_scale, w_scales, y_scale, bias.astype(np.int32)


def weights(rng, tflite, shape, regime):
    low = -127 if tflite else -128                          # TFLite's specification excludes -128
    if regime == "extreme_data":
        return rng.choice([low, 127], size=shape).astype(np.int8) if rng.random() < 0.5 else np.full(shape, rng.choice([low, 127]), np.int8)
    return rng.integers(low, 128, size=shape).astype(np.int8)


def conv2d(rng, tflite, dtype, i):
    kind = ["standard", "depthwise", "pointwise", "depthwise", "grouped", "standard", "multiplier"][i % 7]
    regime = REGIMES[i // 7 % len(REGIMES)]
    h, w, kernel, stride, dilation, pads, padding = window(rng, tflite)
    c, m = (int(v) for v in rng.choice(CHANNELS, 2))
    groups = 1
    if kind == "pointwise":
        kernel, dilation, pads, padding = [1, 1], [1, 1], [0, 0, 0, 0], "VALID" if tflite else "EXPLICIT"
    elif kind == "depthwise":
        groups = m = c
    elif kind == "multiplier":
        c = min(c, 17)
        groups, m = c, c * int(rng.integers(2, 5))
    elif kind == "grouped":
        groups = int(rng.integers(2, 5))
        c, m = groups * int(rng.integers(2, 9)), groups * int(rng.integers(1, 9))
    elif c * m * kernel[0] * kernel[1] > 12000:
        c, m = min(c, 8), min(m, 13)
    depthwise = groups == c and groups > 1 or kind in ("depthwise", "multiplier")
    k = kernel[0] * kernel[1] * (c // groups)
    per_channel = tflite and depthwise or rng.random() < 0.7
    has_bias = rng.random() < 0.85 or tflite or regime in ("big_bias", "near_tie")     # LiteRT refuses int8 convolutions without
    x_scale, w_scales, y_scale, bias = requantisation(rng, regime, k, m, per_channel, has_bias)
    oh, ow = (output_size((h, w)[a], kernel[a], stride[a], dilation[a], pads[a], pads[a + 2]) for a in (0, 1))
    n = int(rng.choice([1, 1, 1, 2]))
    params = dict(
        op="conv2d", kind=kind, regime=regime, dtype=dtype, x_shape=[n, h, w, c], y_shape=[n, oh, ow, m], kernel=kernel, stride=stride,
        dilation=dilation, pads=pads, padding=padding, groups=groups, weights="hwc" if depthwise else "ohwi", has_bias=has_bias,
        x_scale=x_scale, x_zero=zero_point(rng, dtype), w_scales=w_scales, y_scale=y_scale, y_zero=zero_point(rng, dtype),
        activation=str(rng.choice(["none", "none", "relu", "relu6"])) if tflite else "none")
    wt = weights(rng, tflite, [*kernel, m] if depthwise else [m, *kernel, c // groups], regime)
    tensors = dict(x=activations(rng, dtype, params["x_shape"], regime, params["x_zero"]), w=wt)
    return params, tensors | ({"bias": bias} if has_bias else {})


def fully_connected(rng, tflite, dtype, i):
    regime = REGIMES[i % len(REGIMES)]
    n, c, m = int(rng.integers(1, 9)), int(rng.choice([*CHANNELS, 100, 257])), int(rng.choice(CHANNELS))
    has_bias = tflite and (rng.random() < 0.85 or regime == "near_tie")     # QLinearMatMul has none
    regime = "plain" if regime == "near_tie" and not has_bias else regime
    per_channel = bool(i // len(REGIMES) % 2)
    x_scale, w_scales, y_scale, bias = requantisation(rng, regime, c, m, per_channel, has_bias)
    params = dict(
        op="fully_connected", regime=regime, dtype=dtype, x_shape=[n, 1, 1, c], y_shape=[n, 1, 1, m], weights="ohwi", has_bias=has_bias,
        x_scale=x_scale, x_zero=zero_point(rng, dtype), w_scales=w_scales, y_scale=y_scale, y_zero=zero_point(rng, dtype),
        activation=str(rng.choice(["none", "none", "relu", "relu6"])) if tflite else "none")
    tensors = dict(x=activations(rng, dtype, params["x_shape"], regime, params["x_zero"]), w=weights(rng, tflite, [m, 1, 1, c], regime))
    return params, tensors | ({"bias": bias} if has_bias else {})


def add(rng, tflite, dtype, i):
    shape = [1, int(rng.integers(1, 9)), int(rng.integers(1, 9)), int(rng.choice(CHANNELS))]
    regime = ["plain", "near_tie", "ties", "uneven"][i % 4]
    if regime == "ties":
        x_scale, b_scale, y_scale = (f32(2.0 ** -rng.integers(3, 6)) for _ in range(3))
    else:
        wide = (0.002, 1.5) if regime == "uneven" else (0.3, 1.5)
        y_scale = log_uniform(rng, 1e-3, 1)
        x_scale, b_scale = (f32(y_scale * log_uniform(rng, *wide)) for _ in range(2))
    params = dict(
        op="add", regime=regime, dtype=dtype, x_shape=shape, b_shape=shape, y_shape=shape, x_scale=x_scale, x_zero=zero_point(rng, dtype),
        b_scale=b_scale, b_zero=zero_point(rng, dtype), y_scale=y_scale, y_zero=zero_point(rng, dtype),
        activation=["none", "relu", "relu6"][i // 4 % 3] if tflite else "none")
    x, b = activations(rng, dtype, shape), activations(rng, dtype, shape)
    if regime == "near_tie":                                # the pairs of bytes whose sum is nearest to a rounding boundary
        low, high = RANGE[dtype]
        pairs = np.stack(np.meshgrid(np.arange(low, high + 1), np.arange(low, high + 1)), -1).reshape(-1, 2)
        real = (pairs[:, 0] - params["x_zero"]) * (x_scale / y_scale) + (pairs[:, 1] - params["b_zero"]) * (b_scale / y_scale)
        pairs = pairs[np.abs(real + params["y_zero"] - (low + high) / 2) < 128]
        real = (pairs[:, 0] - params["x_zero"]) * (x_scale / y_scale) + (pairs[:, 1] - params["b_zero"]) * (b_scale / y_scale)
        order = np.argsort(np.abs(real - np.floor(real) - 0.5), kind="stable")
        if len(order):
            pairs = np.resize(pairs[order[:x.size]], (x.size, 2)).astype(DTYPE[dtype])
            x, b = pairs[:, 0].reshape(shape), pairs[:, 1].reshape(shape)
    return params, dict(x=x, b=b)


def concat(rng, tflite, dtype, i):
    n, h, w = 1, int(rng.integers(1, 8)), int(rng.integers(1, 8))
    c, d = (int(v) for v in rng.choice(CHANNELS, 2))
    y_scale, y_zero = log_uniform(rng, 1e-3, 1), zero_point(rng, dtype)
    operands = []
    for _ in range(2):
        scale = y_scale * [1, log_uniform(rng, 0.2, 2), 0.5, 0.25, log_uniform(rng, 0.01, 20)][int(rng.integers(5))]
        operands.append((f32(scale), zero_point(rng, dtype) if rng.random() < 0.7 else y_zero))
    if i % 3 == 0 or tflite:                                # LiteRT refuses anything else in int8
        operands = [(y_scale, y_zero)] * 2
    params = dict(
        op="concat", dtype=dtype, x_shape=[n, h, w, c], b_shape=[n, h, w, d], y_shape=[n, h, w, c + d], x_scale=operands[0][0],
        x_zero=operands[0][1], b_scale=operands[1][0], b_zero=operands[1][1], y_scale=y_scale, y_zero=y_zero, activation="none")
    return params, dict(x=activations(rng, dtype, params["x_shape"]), b=activations(rng, dtype, params["b_shape"]))


def pool(op):
    def make(rng, tflite, dtype, i):
        h, w, kernel, stride, _, pads, padding = window(rng, tflite, dilated=False)
        c = int(rng.choice(CHANNELS))
        oh, ow = (output_size((h, w)[a], kernel[a], stride[a], 1, pads[a], pads[a + 2]) for a in (0, 1))
        x_scale, x_zero = log_uniform(rng, 1e-3, 0.3), zero_point(rng, dtype)
        y_scale, y_zero = x_scale, x_zero
        if op == "average_pool" and not tflite and i % 4:
            y_scale, y_zero = f32(x_scale * log_uniform(rng, 0.2, 2)), zero_point(rng, dtype)
        params = dict(
            op=op, dtype=dtype, x_shape=[1, h, w, c], y_shape=[1, oh, ow, c], kernel=kernel, stride=stride, dilation=[1, 1], pads=pads,
            padding=padding, x_scale=x_scale, x_zero=x_zero, y_scale=y_scale, y_zero=y_zero,
            activation=str(rng.choice(["none", "none", "relu", "relu6"])) if tflite else "none")
        if op == "average_pool" and not tflite:
            params |= dict(count_include_pad=int(rng.integers(2)), channels_last=int(rng.integers(2)))
        return params, dict(x=activations(rng, dtype, params["x_shape"]))
    return make


def global_average(rng, tflite, dtype, i):
    h, w = [(7, 7), (1, 1), (14, 14), (4, 4), (2, 2)][int(rng.integers(5))] if rng.random() < 0.5 else rng.integers(1, 13, 2)
    shape = [int(rng.choice([1, 1, 2])), int(h), int(w), int(rng.choice(CHANNELS))]
    x_scale, x_zero = log_uniform(rng, 1e-3, 0.3), zero_point(rng, dtype)
    y_scale, y_zero = (x_scale, x_zero) if i % 3 == 0 else (f32(x_scale * log_uniform(rng, 0.05, 1.5)), zero_point(rng, dtype))
    if i % 3 == 1:                                          # averages move little: a scale that spreads them
        y_scale = f32(x_scale / np.sqrt(int(h) * int(w)))
    params = dict(op="global_average", dtype=dtype, x_shape=shape, y_shape=[shape[0], 1, 1, shape[3]], x_scale=x_scale, x_zero=x_zero,
                  y_scale=y_scale, y_zero=y_zero, activation="none")
    if not tflite:
        params |= dict(channels_last=int(i % 2))
    x = activations(rng, dtype, shape)
    if i % 4 == 3:                                          # the sums nearest to a rounding boundary
        low, high = RANGE[dtype]
        n = shape[1] * shape[2]
        sums = np.arange(low * n, high * n + 1)
        real = (sums - x_zero * n) * (x_scale / y_scale / n)
        sums = sums[np.abs(real + y_zero - (low + high) / 2) < 128]
        real = (sums - x_zero * n) * (x_scale / y_scale / n)
        sums = np.resize(sums[np.argsort(np.abs(real - np.floor(real) - 0.5), kind="stable")[:shape[3]]], shape[3])
        x = np.broadcast_to((sums + np.arange(n)[:, None]) // n, (shape[0], n, shape[3])).reshape(shape).astype(DTYPE[dtype])
    return params, dict(x=x)


def hard_swish(rng, tflite, dtype, i):
    shape = [1, 16, 16, 1]
    x_scale = log_uniform(rng, 0.005, 0.2)
    params = dict(op="hard_swish", dtype=dtype, x_shape=shape, y_shape=shape, x_scale=x_scale, x_zero=zero_point(rng, dtype),
                  y_scale=f32(x_scale * log_uniform(rng, 0.3, 1.5)), y_zero=zero_point(rng, dtype), activation="none")
    return params, dict(x=np.arange(*np.add(RANGE[dtype], (0, 1))).astype(DTYPE[dtype]).reshape(shape))     # every byte


MAKERS = dict(conv2d=conv2d, fully_connected=fully_connected, add=add, concat=concat, average_pool=pool("average_pool"),
              max_pool=pool("max_pool"), global_average=global_average, hard_swish=hard_swish)


def cases(tflite, seed=SEED):
    """Yields (name, params, tensors), the same for the same engine family on every machine."""
    counts = dict(conv2d=126, fully_connected=54, add=48, concat=24, average_pool=32, max_pool=20, global_average=36)
    for number, op in enumerate(MAKERS):
        if op == "hard_swish" and not tflite:
            continue
        for i in range(counts.get(op, 24)):
            dtype = "i8" if tflite or i % 2 else "u8"
            rng = np.random.default_rng([seed, int(tflite), number, i])
            params, tensors = MAKERS[op](rng, tflite, dtype, i // (1 if tflite else 2))
            yield f"{op}_{dtype}_{i:03}", params, tensors
