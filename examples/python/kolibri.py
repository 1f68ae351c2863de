"""Convolution by libkolibri from Python, with ctypes and numpy."""

import ctypes as c

import numpy as np

size, F32 = c.c_size_t, 1
ACTIVATIONS = {None: 0, "relu": 1, "relu6": 2, "hard_swish": 4, "sigmoid": 5}


def struct(name, **fields):
    return type(name, (c.Structure,), {"_fields_": list(fields.items())})


Window = struct("Window", kernel=size * 2, stride=size * 2, dilation=size * 2, padding=c.c_uint32, pads=size * 4)
Activation = struct("Activation", kind=c.c_uint32, min=c.c_float, max=c.c_float)
Params = struct("Params", scale=c.c_float, zero_point=c.c_int32)
Quantization = struct("Quantization", x=Params, y=Params, weight_scales=c.c_void_p, weight_scales_len=size,
                      residual=c.c_void_p, requantization=c.c_uint32)
Desc = struct("Desc", struct_size=size, dtype=c.c_uint32, level=c.c_char_p, cin=size, cout=size, groups=size,
              window=Window, weight_layout=c.c_uint32, weights=c.c_void_p, weights_len=size, bias=c.c_void_p,
              bias_len=size, activation=Activation, quantization=Quantization)
Image = struct("Image", struct_size=size, dtype=c.c_uint32, data=c.c_void_p, len=size, n=size, h=size, w=size, c=size,
               pixel_stride=size)


class Conv2d:
    """`y = act(bias + conv(x, weights) + residual)` on float32 images [n, h, w, c]; weights [cout, cin / groups, kh, kw]."""

    def __init__(self, library, weights, bias=None, stride=(1, 1), dilation=(1, 1), pads=(0, 0, 0, 0), groups=1,
                 activation=None):
        self.library = c.CDLL(library) if isinstance(library, str) else library
        weights = np.ascontiguousarray(weights, np.float32)
        bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
        cout, cin, *kernel = weights.shape
        window = Window((size * 2)(*kernel), (size * 2)(*stride), (size * 2)(*dilation), 2, (size * 4)(*pads))
        desc = Desc(c.sizeof(Desc), F32, None, cin * groups, cout, groups, window, 0, weights.ctypes.data, weights.size,
                    None if bias is None else bias.ctypes.data, 0 if bias is None else bias.size,
                    Activation(ACTIVATIONS[activation]))
        self.handle = c.c_void_p()
        self._check(self.library.kolibri_conv2d_create(c.byref(desc), c.byref(self.handle)))

    def __call__(self, x, residual=None):
        shape, out, needed = (size * 4)(*x.shape), (size * 4)(), size()
        self._check(self.library.kolibri_output_shape(self.handle, shape, out))
        self._check(self.library.kolibri_workspace_size(self.handle, shape, size(1), c.byref(needed)))
        workspace, y = np.empty(needed.value, np.uint8), np.empty(tuple(out), np.float32)
        images = [None if a is None else np.ascontiguousarray(a, np.float32) for a in (x, residual, y)]
        views = [None if a is None else c.byref(Image(c.sizeof(Image), F32, a.ctypes.data, a.size, *a.shape))
                 for a in images]
        self._check(self.library.kolibri_run(self.handle, *views, c.c_void_p(workspace.ctypes.data), needed, None))
        return y

    def __del__(self):
        if getattr(self, "handle", None):
            self.library.kolibri_destroy(self.handle)

    def _check(self, status):
        if status:
            message = c.create_string_buffer(256)
            self.library.kolibri_last_error(message, size(len(message)))
            raise ValueError(f"kolibri: {message.value.decode()} (status {status})")
