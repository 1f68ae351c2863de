"""numpy models of the engines' arithmetic: each must equal its engine in every element of every stored case."""
import numpy as np

from cases import RANGE

F = np.float32


def round_away(x):
    """C's round(): halves away from zero (exact in f64 for f32 input)."""
    x = np.asarray(x, np.float64)
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


# ---- what all share: exact integer sums

def windows(p, x, fill):
    """[n, oh, ow, kh, kw, c]: the pixels under each output, i64; padding is `fill`."""
    (t, l, b, r), (_, oh, ow, _) = p["pads"], p["y_shape"]
    x = np.pad(x.astype(np.int64), ((0, 0), (t, b), (l, r), (0, 0)), constant_values=fill)
    rows = np.arange(oh)[:, None] * p["stride"][0] + np.arange(p["kernel"][0]) * p["dilation"][0]
    cols = np.arange(ow)[:, None] * p["stride"][1] + np.arange(p["kernel"][1]) * p["dilation"][1]
    return x[:, rows[:, None, :, None], cols[None, :, None, :], :]


def accumulate(p, t):
    """bias + sum (x - x_zero) * w, exact."""
    w = t["w"].astype(np.int64)
    if p["op"] == "fully_connected":
        acc = (t["x"].astype(np.int64) - p["x_zero"]) @ w[:, 0, 0, :].T
    else:
        x, m = windows(p, t["x"], p["x_zero"]) - p["x_zero"], p["y_shape"][3]
        if p["weights"] == "hwc":
            acc = np.einsum("nyxhwc,hwc->nyxc", np.repeat(x, m // x.shape[-1], axis=-1), w)
        else:
            x = x.reshape(*x.shape[:-1], p["groups"], -1)
            acc = np.einsum("nyxhwgi,gohwi->nyxgo", x, w.reshape(p["groups"], -1, *w.shape[1:])).reshape(p["y_shape"])
    acc = acc + (t["bias"].astype(np.int64) if "bias" in t else 0)
    assert np.abs(acc).max() < 2 ** 31
    return acc


def activation_range(p, xnnpack=False):
    """The clamp of a fused activation: 0 and 6 quantised with the output's scale. Exact halves of 6 / y_scale differ:
    XNNPACK rounds the sum with the zero point, halves to even; LiteRT rounds the quotient, halves away from zero."""
    low, high = RANGE[p["dtype"]]
    if p.get("activation", "none") != "none":
        low = max(low, p["y_zero"])
    if p.get("activation") == "relu6":
        six = F(6) / F(p["y_scale"])
        high = min(high, int(np.rint(six + F(p["y_zero"]))) if xnnpack else int(round_away(six)) + p["y_zero"])
    return low, high


# ---- FloatScale: ONNX Runtime, XNNPACK

def float_scale(acc, scale, p):
    """clamp(round_half_even(f32(acc) * scale) + zero), scale f32."""
    low, high = activation_range(p, xnnpack=True)
    y = np.clip(acc.astype(F) * scale, F(low - p["y_zero"]), F(high - p["y_zero"]))
    return np.rint(y).astype(np.int64) + p["y_zero"]


def dot_float_scale(p, t):
    return float_scale(accumulate(p, t), F(p["x_scale"]) * np.array(p["w_scales"], F) / F(p["y_scale"]), p)


# ---- fixed point: LiteRT's builtin kernels

def quantize_multiplier(real):
    """f64 -> (31-bit mantissa, exponent)."""
    mantissa, exponent = np.frexp(real)
    fixed = int(round_away(mantissa * 2.0 ** 31))
    if fixed == 2 ** 31:
        fixed, exponent = fixed // 2, exponent + 1
    return (0, 0) if exponent < -31 else (fixed, int(exponent))


def multiply(x, multiplier, shift, up):
    """Doubling high multiply, halves up; then a right shift, halves up (vector code) or away from zero (scalar code)."""
    high = ((x.astype(np.int64) << max(shift, 0)) * multiplier + (1 << 30)) >> 31
    right = max(-shift, 0)
    return (high + (1 << right >> 1) + (0 if up or not right else high >> 63)) >> right


def halves_up(p):
    """Which output channels LiteRT's builtin kernels round halves up."""
    channels = np.arange(p["y_shape"][3])
    if p["weights"] == "hwc":
        return channels < p["y_shape"][3] // 8 * 8          # eight at a time, and a scalar tail
    return channels < (len(channels) if p.get("groups", 1) == 1 else 0)


def dot_fixed(p, t):
    product = F if p["op"] == "fully_connected" and len(p["w_scales"]) == 1 else np.float64     # so it is
    acc, out, up = accumulate(p, t), np.empty(p["y_shape"], np.int64), halves_up(p)
    for c in range(out.shape[-1]):
        w_scale = p["w_scales"][c if len(p["w_scales"]) > 1 else 0]
        real = float(product(p["x_scale"]) * product(w_scale)) / p["y_scale"]
        out[..., c] = multiply(acc[..., c], *quantize_multiplier(real), up[c])
    return np.clip(out + p["y_zero"], *activation_range(p))


# ---- element by element

def add_onnxruntime(p, t):
    a, b = (F(F(p[f"{n}_scale"]) / F(p["y_scale"])) for n in "xb")
    fixed = F(p["y_zero"]) - fused(F(p["x_zero"]), a, F(p["b_zero"]) * b)
    r = fused(t["x"], a, fused(t["b"], b, fixed))
    return np.clip(np.rint(r).astype(np.int64), *RANGE[p["dtype"]])


def fused(x, y, z):
    """f32 fused multiply-add; the product of a byte and an f32 is exact in f64."""
    return (x.astype(np.float64) * np.float64(y) + np.float64(z)).astype(F)


def add_xnnpack(p, t):
    a, b = (F(p[f"{n}_scale"]) / F(p["y_scale"]) for n in "xb")
    shift = 20 - (int(np.frexp(max(a, b))[1]) - 1)
    a, b = (int(np.rint(np.float64(s) * 2.0 ** shift)) for s in (a, b))
    acc = (t["x"].astype(np.int64) - p["x_zero"]) * a + (t["b"].astype(np.int64) - p["b_zero"]) * b
    return np.clip(((acc + (1 << (shift - 1))) >> shift) + p["y_zero"], *activation_range(p, xnnpack=True))


def divide_by_power(x, exponent):
    """gemmlowp's RoundingDivideByPOT: halves away from zero."""
    return np.sign(x) * ((np.abs(x) + (1 << exponent >> 1)) >> exponent)


def high_mul(x, multiplier):
    """gemmlowp's SaturatingRoundingDoublingHighMul, i32: halves up."""
    return (x * multiplier + (1 << 30)) >> 31


def add_fixed(p, t):
    twice, size = 2 * max(p["x_scale"], p["b_scale"]), t["x"].size
    vector = (np.arange(size) < size // 16 * 16).reshape(p["y_shape"])     # sixteen at a time, and a scalar tail
    total = 0
    for n in "xb":
        m, s = quantize_multiplier(p[f"{n}_scale"] / twice)
        x = t[n].astype(np.int64) - p[f"{n}_zero"]
        total = total + np.where(vector, high_mul(x << (20 + s), m), divide_by_power(high_mul(x << 20, m), -s))
    m, s = quantize_multiplier(twice / ((1 << 20) * float(p["y_scale"])))
    return np.clip(divide_by_power(high_mul(total, m), -s) + p["y_zero"], *activation_range(p))


def concat_table(p, t):
    out = []
    low, high = RANGE[p["dtype"]]
    for n in "xb":
        real = F(p[f"{n}_scale"]) * (t[n].astype(np.int64) - p[f"{n}_zero"]).astype(F)
        y = np.clip(real / F(p["y_scale"]), F(low - p["y_zero"]), F(high - p["y_zero"]))
        out.append(np.rint(y).astype(np.int64) + p["y_zero"])
    return np.concatenate(out, axis=3)


def copy_concat(p, t):
    return np.concatenate([t["x"], t["b"]], axis=3).astype(np.int64)


# ---- pooling

def pool_counts(p):
    return windows(p, np.ones(p["x_shape"], np.int64), 0).sum(axis=(3, 4))


def max_pool(p, t, xnnpack=False):
    return np.clip(windows(p, t["x"], -1000).max(axis=(3, 4)), *activation_range(p, xnnpack))


def average_pool_integer(p, t):
    total, n = windows(p, t["x"], 0).sum(axis=(3, 4)), pool_counts(p)
    return np.clip(np.sign(total) * ((np.abs(total) + n // 2) // n), *activation_range(p))


def average_pool_onnxruntime(p, t):
    low, high = RANGE[p["dtype"]]
    w = windows(p, t["x"], p["x_zero"])
    total = np.zeros(p["y_shape"], F)
    for i in range(w.shape[3]):
        for j in range(w.shape[4]):
            total += F(p["x_scale"]) * (w[:, :, :, i, j] - p["x_zero"]).astype(F)
    n = w.shape[3] * w.shape[4] if p["count_include_pad"] else pool_counts(p)
    y = (total / np.asarray(n, F)) / F(p["y_scale"]) + F(p["y_zero"])
    return np.clip(np.rint(y), low, high).astype(np.int64)


def global_sum(p, t):
    return (t["x"].astype(np.int64) - p["x_zero"]).sum(axis=(1, 2), keepdims=True), p["x_shape"][1] * p["x_shape"][2]


def global_onnxruntime(p, t):
    acc, n = global_sum(p, t)
    return float_scale(acc, F(p["x_scale"]) / (F(p["y_scale"]) * F(n)), p)


def global_xnnpack(p, t):
    """The zero points are a float, added before rounding; the sum is of the bytes as they are."""
    total, n = t["x"].astype(np.int64).sum(axis=(1, 2), keepdims=True), F(p["x_shape"][1] * p["x_shape"][2])
    scale = F(p["x_scale"]) / F(p["y_scale"]) * (F(1) / n)
    zero = F(p["y_zero"]) - F(p["x_zero"]) * n * scale
    return np.clip(np.rint(total.astype(F) * scale + zero), *RANGE[p["dtype"]]).astype(np.int64)


def global_fixed(p, t):
    total, n = t["x"].astype(np.int64).sum(axis=(1, 2), keepdims=True), p["x_shape"][1] * p["x_shape"][2]
    bias = p["y_zero"] - int(round_away(F(p["x_zero"]) * F(p["x_scale"]) / F(p["y_scale"])))
    m, s = quantize_multiplier(float(F(p["x_scale"]) / (F(n) * F(p["y_scale"]))))
    vector = np.arange(total.shape[-1]) < total.shape[-1] // 16 * 16
    return np.clip(np.where(vector, multiply(total, m, s, True), multiply(total, m, s, False)) + bias, *RANGE[p["dtype"]])


def hard_swish_fixed(p, t):
    def multiplier16(real):
        m, s = quantize_multiplier(float(real))
        return min((m + (1 << 15)) >> 16, 32767), s

    def high16(x, m):                                       # saturating rounding doubling high multiply of i16
        return np.clip((x * m + (1 << 14)) >> 15, -32768, 32767)

    saturate = lambda x: np.clip(x, -32768, 32767)
    hires = F(1.0 / 128.0) * F(p["x_scale"])
    out_m, out_s = multiplier16(hires / F(p["y_scale"]))
    relu_m, relu_s = multiplier16(hires / F(3.0 / 32768.0))
    x = (t["x"].astype(np.int64) - p["x_zero"]) << 7
    preshift = high16(x, out_m)
    r = x
    if relu_s > 0:
        r = saturate(r << (relu_s - 1))
    r = high16(r, relu_m)
    if relu_s > 0:
        r = saturate(r << 1)
    if relu_s < 0:
        r = divide_by_power(r, -relu_s)
    r = (r + (1 << 15)) >> 1
    y = np.sign(preshift) * ((r * np.abs(preshift)) >> 15)   # truncates; r is not negative
    return np.clip(divide_by_power(y, -out_s) + p["y_zero"], -128, 127)


MODELS = {
    "onnxruntime": dict(conv2d=dot_float_scale, fully_connected=dot_float_scale, add=add_onnxruntime, concat=concat_table, max_pool=max_pool,
                        average_pool=average_pool_onnxruntime, global_average=global_onnxruntime),
    "litert_xnnpack": dict(conv2d=dot_float_scale, fully_connected=dot_float_scale, add=add_xnnpack, concat=copy_concat,
                           max_pool=lambda p, t: max_pool(p, t, xnnpack=True), global_average=global_xnnpack),
    "litert_builtin": dict(conv2d=dot_fixed, fully_connected=dot_fixed, add=add_fixed, concat=copy_concat, max_pool=max_pool,
                           average_pool=average_pool_integer, global_average=global_fixed, hard_swish=hard_swish_fixed),
}
