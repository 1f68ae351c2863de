"""Compares kolibri.Conv2d with numpy on random geometry: check.py libkolibri.so [CASES].

All values are small whole numbers, so that every sum is exact in float32 in any order, and results must be equal.
"""

import sys

import numpy as np

from kolibri import Conv2d


def reference(x, weights, bias, stride, dilation, pads, groups, residual):
    (top, left, bottom, right), (cout, cin, kh, kw) = pads, weights.shape
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    oh, ow = ((x.shape[i] - (k - 1) * d - 1) // s + 1 for i, k, d, s in zip((1, 2), (kh, kw), dilation, stride))
    y = np.zeros((x.shape[0], oh, ow, cout), np.float32)
    for ky in range(kh):
        for kx in range(kw):
            rows = slice(ky * dilation[0], ky * dilation[0] + (oh - 1) * stride[0] + 1, stride[0])
            columns = slice(kx * dilation[1], kx * dilation[1] + (ow - 1) * stride[1] + 1, stride[1])
            taps = x[:, rows, columns].reshape(x.shape[0], oh, ow, groups, cin)
            by_group = weights[:, :, ky, kx].reshape(groups, cout // groups, cin)
            y += np.einsum("nhwgi,goi->nhwgo", taps, by_group).reshape(y.shape)
    return np.maximum(y + bias + residual, 0)


def main(library, cases=300):
    rng = np.random.default_rng(7)
    whole = lambda *shape: rng.integers(-4, 5, shape).astype(np.float32)
    for case in range(int(cases)):
        groups = int(rng.choice([1, 1, 2, 5]))
        depthwise = rng.random() < 0.3
        cin, each = (1, 1) if depthwise else (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
        groups = int(rng.integers(1, 70)) if depthwise else groups
        kernel, stride, dilation = (tuple(int(i) for i in rng.integers(1, most, 2)) for most in (6, 4, 3))
        pads = tuple(int(i) for i in rng.integers(0, 4, 4))
        n, h, w = int(rng.integers(1, 3)), *((k - 1) * d + 1 + int(rng.integers(0, 9)) for k, d in zip(kernel, dilation))
        x, weights, bias = whole(n, h, w, groups * cin), whole(groups * each, cin, *kernel), whole(groups * each)
        geometry = dict(stride=stride, dilation=dilation, pads=pads, groups=groups)
        conv = Conv2d(library, weights, bias, activation="relu", **geometry)
        plain = reference(x, weights, bias, residual=0, **geometry)
        residual = whole(*plain.shape)
        for got, expected in ((conv(x), plain),
                              (conv(x, residual), reference(x, weights, bias, residual=residual, **geometry))):
            assert np.array_equal(got, expected), (case, x.shape, weights.shape, geometry)
    try:
        conv(np.zeros((n, h, w, groups * cin + 1), np.float32))
        raise AssertionError("an image of other channels was taken")
    except ValueError as error:
        assert "x: expected" in str(error), error
    print(f"{cases} random convolutions equal numpy's")


if __name__ == "__main__":
    main(*sys.argv[1:])
