//! What the caller passes: plain structs, in which everything is checked.

use core::ffi::{c_char, c_void};

/// What images are made of.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_dtype {
    /// `float`.
    F32 = 1,
    /// `int8_t` that stands for a real number.
    I8 = 2,
    /// `uint8_t` that stands for a real number.
    U8 = 3,
}

/// An image that is read: batch, height, width, channels (NHWC).
///
/// Element `(i, y, x, j)` is `data[((i * h + y) * w + x) * pixel_stride + j]`. An image of some of the channels of
/// another has the other's stride and begins at its first channel: so a split copies nothing, and two operators that
/// write beside each other make a concat.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_image {
    /// `sizeof(kolibri_image)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`.
    pub dtype: u32,
    /// The first element; the caller's, a multiple of the size of an element, not NULL.
    pub data: *const c_void,
    /// Elements from `data` on that may be read: at least `(n * h * w - 1) * pixel_stride + c`.
    pub len: usize,
    /// Images.
    pub n: usize,
    /// Rows of each.
    pub h: usize,
    /// Pixels of a row.
    pub w: usize,
    /// Channels of a pixel.
    pub c: usize,
    /// Elements from a pixel to the next; 0 counts as `c`.
    pub pixel_stride: usize,
}

/// An image that is written; see `kolibri_image`. Only its channels are touched, not what lies between its pixels.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_image_mut {
    /// `sizeof(kolibri_image_mut)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`.
    pub dtype: u32,
    /// The first element; the caller's, a multiple of the size of an element, not NULL.
    pub data: *mut c_void,
    /// Elements from `data` on that may be written: at least `(n * h * w - 1) * pixel_stride + c`.
    pub len: usize,
    /// Images.
    pub n: usize,
    /// Rows of each.
    pub h: usize,
    /// Pixels of a row.
    pub w: usize,
    /// Channels of a pixel.
    pub c: usize,
    /// Elements from a pixel to the next; 0 counts as `c`.
    pub pixel_stride: usize,
}

/// How the rows and columns around an image are chosen. They count as zeros; in a pool they are left out.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_padding {
    /// None.
    Valid = 0,
    /// As TensorFlow's SAME: the output has `ceil(size / stride)` pixels, an odd pixel of padding goes to the bottom and
    /// the right.
    Same = 1,
    /// As many as `pads` says.
    Explicit = 2,
}

/// A window that slides over an image. The output has `(size + padding - ((kernel - 1) * dilation + 1)) / stride + 1`
/// pixels along an axis, rounded down.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_window {
    /// Height and width in taps.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step; 0 counts as 1.
    pub stride: [usize; 2],
    /// Vertical and horizontal distance of taps; 0 counts as 1.
    pub dilation: [usize; 2],
    /// A `kolibri_padding`.
    pub padding: u32,
    /// Rows above, columns to the left, rows below, columns to the right, where `padding` is
    /// `KOLIBRI_PADDING_EXPLICIT`; else not read.
    pub pads: [usize; 4],
}

/// What is applied to each output.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_activation {
    /// Nothing.
    None = 0,
    /// `max(x, 0)`.
    Relu = 1,
    /// `min(max(x, 0), 6)`.
    Relu6 = 2,
    /// `min(max(x, min), max)`.
    Clamp = 3,
    /// `x * (min(max(x + 3, 0), 6) * (1 / 6))`, each step rounded.
    HardSwish = 4,
    /// `1 / (1 + exp(-x))`, by one polynomial on every machine.
    Sigmoid = 5,
}

/// An activation with its parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_activation_params {
    /// A `kolibri_activation`.
    pub kind: u32,
    /// Lower bound of a clamp, a real number; else not read.
    pub min: f32,
    /// Upper bound of a clamp, a real number; else not read.
    pub max: f32,
}

/// What a byte `q` stands for: `scale * (q - zero_point)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_quant_params {
    /// Positive and finite.
    pub scale: f32,
    /// -128 to 127 for `KOLIBRI_DTYPE_I8`, 0 to 255 for `KOLIBRI_DTYPE_U8`.
    pub zero_point: i32,
}

/// How a sum of products becomes a byte.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_requantization {
    /// By a factor in f32, rounded half to even: as ONNX Runtime and XNNPACK.
    FloatScale = 0,
    /// By a multiplier of 31 bits and a shift, both rounded: as TensorFlow Lite's own kernels.
    TfliteDouble = 1,
}

/// What the bytes of a convolution or a fully connected layer stand for. Not read where images are `float`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_quantization {
    /// Of the input.
    pub x: kolibri_quant_params,
    /// Of the output.
    pub y: kolibri_quant_params,
    /// Of the weights, whose zero point is 0: one scale, or one for each output channel. The caller's, copied; not NULL.
    pub weight_scales: *const f32,
    /// Scales in `weight_scales`: 1 or `cout`.
    pub weight_scales_len: usize,
    /// Of the residual that a run may be given. The caller's, copied; NULL where there is none.
    pub residual: *const kolibri_quant_params,
    /// A `kolibri_requantization`.
    pub requantization: u32,
}

/// How the weights of a convolution lie.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_weight_layout {
    /// `[cout][cin / groups][height][width]`: ONNX, PyTorch.
    Oihw = 0,
    /// `[cout][height][width][cin / groups]`: TensorFlow Lite's CONV_2D.
    Ohwi = 1,
    /// `[height][width][cout]`, one input channel for each output channel: TensorFlow Lite's DEPTHWISE_CONV_2D.
    Hwc = 2,
}

/// A convolution: standard, grouped, depthwise (with multiplier), pointwise.
///
/// `y[i, oy, ox, o] = act(bias[o] + sum over ky, kx, j of x[i, oy * sy - top + ky * dy, ox * sx - left + kx * dx, j] *
/// w[o, ky, kx, j] + residual[i, oy, ox, o])`, outside the image zero. Of `float` each sum is one chain of fused
/// multiply-adds in that order, the same bits on every level that has them. Of bytes sums are exact.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_conv2d_desc {
    /// `sizeof(kolibri_conv2d_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to pack for, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Groups, which divide both; 0 counts as 1. As many as channels: depthwise.
    pub groups: usize,
    /// The sliding window.
    pub window: kolibri_window,
    /// A `kolibri_weight_layout`.
    pub weight_layout: u32,
    /// `float` for images of `float`, else `int8_t`. The caller's, packed at creation and not read later; not NULL.
    pub weights: *const c_void,
    /// Elements of `weights`: `cout * cin / groups * kernel height * kernel width`.
    pub weights_len: usize,
    /// `float` for images of `float`, else `int32_t`, in units of `x.scale * weight_scale`. The caller's, copied; NULL
    /// for zeros.
    pub bias: *const c_void,
    /// Elements of `bias`: `cout`; 0 where there is none.
    pub bias_len: usize,
    /// Applied to the output.
    pub activation: kolibri_activation_params,
    /// What bytes stand for.
    pub quantization: kolibri_quantization,
}

/// A fully connected layer: `y[i, o] = act(bias[o] + sum over j of x[i, j] * w[o][j])`. Its images are `[n, 1, 1, cin]`
/// and `[n, 1, 1, cout]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_fully_connected_desc {
    /// `sizeof(kolibri_fully_connected_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to pack for, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// Inputs of a row.
    pub cin: usize,
    /// Outputs of a row.
    pub cout: usize,
    /// `[cout][cin]`; `float` for images of `float`, else `int8_t`. The caller's, packed at creation; not NULL.
    pub weights: *const c_void,
    /// Elements of `weights`: `cout * cin`.
    pub weights_len: usize,
    /// `float` for images of `float`, else `int32_t`. The caller's, copied; NULL for zeros.
    pub bias: *const c_void,
    /// Elements of `bias`: `cout`; 0 where there is none.
    pub bias_len: usize,
    /// Applied to the output.
    pub activation: kolibri_activation_params,
    /// What bytes stand for. It has no residual.
    pub quantization: kolibri_quantization,
}

/// What a pool makes of a window.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_pool {
    /// The greatest element; NaN where one is.
    Max = 0,
    /// The average of the elements inside the image. Of bytes, halves are rounded away from the byte 0.
    Average = 1,
    /// The average of the whole image; the window is not read. Of bytes, from quantisation `x` to `y`, half to even.
    GlobalAverage = 2,
}

/// A pool over a sliding window, or the whole image.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_pool2d_desc {
    /// `sizeof(kolibri_pool2d_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to run on, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// A `kolibri_pool`.
    pub kind: u32,
    /// The sliding window; its padding stays below its kernel.
    pub window: kolibri_window,
    /// Not 0: an average is divided by all of the window, and padding counts as zeros (of bytes as `x.zero_point`).
    pub count_include_padding: u32,
    /// What bytes of the input stand for. Of a maximum and of an average over a window only the zero point is read, and
    /// that where padding counts. Not read where images are `float`.
    pub x: kolibri_quant_params,
    /// What bytes of the output stand for: of a global average, and where there is an activation. Not read where images
    /// are `float`.
    pub y: kolibri_quant_params,
    /// Of bytes, a clamp that is applied to the output; of `float`, none.
    pub activation: kolibri_activation_params,
    /// A `kolibri_requantization`: how bounds of the activation become bytes.
    pub requantization: u32,
}

/// An addition: `y = act(x + b)`, all of one shape. Of bytes by integers, as XNNPACK computes it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_add_desc {
    /// `sizeof(kolibri_add_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to run on, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// Applied to the output.
    pub activation: kolibri_activation_params,
    /// What bytes of the first input stand for. Not read where images are `float`, as the next two.
    pub x: kolibri_quant_params,
    /// What bytes of the second input stand for: its scale is 2^-10 to below 2^8 of that of `y`, as is the first one's.
    pub b: kolibri_quant_params,
    /// What bytes of the output stand for.
    pub y: kolibri_quant_params,
}

/// `y = act(x)`. Of bytes, a table: without an activation a change of quantisation (as ONNX Runtime's QLinearConcat), with
/// a clamp that and the clamp, hard-swish as TensorFlow Lite's own kernel, sigmoid.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_activate_desc {
    /// `sizeof(kolibri_activate_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to run on, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// What is applied.
    pub activation: kolibri_activation_params,
    /// What bytes of the input stand for. Not read where images are `float`, as the next two.
    pub x: kolibri_quant_params,
    /// What bytes of the output stand for.
    pub y: kolibri_quant_params,
    /// A `kolibri_requantization`: how bounds of a clamp become bytes.
    pub requantization: u32,
}

/// ShuffleNet's permutation: `y[.., j * groups + i] = x[.., i * (c / groups) + j]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_channel_shuffle_desc {
    /// `sizeof(kolibri_channel_shuffle_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to run on, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// Groups, which divide the channels of the images.
    pub groups: usize,
}

/// Squeeze-excite: `y = x * s`, a factor for each channel of each image, with `a` the average of the channel,
/// `r = relu(b_reduce + w_reduce a)` and `s = sigmoid(b_expand + w_expand r)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_squeeze_excite_desc {
    /// `sizeof(kolibri_squeeze_excite_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of the images.
    pub dtype: u32,
    /// The level to pack for, ended by a NUL; NULL for the best that this CPU has.
    pub level: *const c_char,
    /// Channels of the images.
    pub c: usize,
    /// Outputs of the first product.
    pub reduced: usize,
    /// `[reduced][c]`; `float` for images of `float`, else `int8_t`. The caller's, packed at creation, as the next three
    /// arrays; not NULL.
    pub w_reduce: *const c_void,
    /// Elements of `w_reduce`: `reduced * c`.
    pub w_reduce_len: usize,
    /// `[reduced]`; `float` for images of `float`, else `int32_t`. NULL for zeros.
    pub b_reduce: *const c_void,
    /// Elements of `b_reduce`: `reduced`; 0 where there is none.
    pub b_reduce_len: usize,
    /// `[c][reduced]`, as `w_reduce`.
    pub w_expand: *const c_void,
    /// Elements of `w_expand`: `c * reduced`.
    pub w_expand_len: usize,
    /// `[c]`, as `b_reduce`.
    pub b_expand: *const c_void,
    /// Elements of `b_expand`: `c`; 0 where there is none.
    pub b_expand_len: usize,
    /// What bytes of the input stand for. From here on nothing is read where images are `float`.
    pub x: kolibri_quant_params,
    /// Of the averages.
    pub average: kolibri_quant_params,
    /// Of `w_reduce`: one scale, or `reduced` scales. The caller's, copied; not NULL.
    pub reduce_scales: *const f32,
    /// Scales in `reduce_scales`.
    pub reduce_scales_len: usize,
    /// Of the first product's output.
    pub reduced_params: kolibri_quant_params,
    /// Of `w_expand`: one scale, or `c` scales. The caller's, copied; not NULL.
    pub expand_scales: *const f32,
    /// Scales in `expand_scales`.
    pub expand_scales_len: usize,
    /// Of the second product's output, before the sigmoid.
    pub expanded: kolibri_quant_params,
    /// Of the sigmoid's output.
    pub gate: kolibri_quant_params,
    /// Of the output.
    pub y: kolibri_quant_params,
    /// A `kolibri_requantization`: how the sums of both products become bytes.
    pub requantization: u32,
}

/// Whether a chain runs in strips.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_fusion {
    /// Where that is faster, by a rule that was fitted to measurements.
    ByCost = 0,
    /// One convolution after the other.
    Never = 1,
    /// In strips as high as the rule would have them.
    Always = 2,
    /// In strips of `strip_rows` rows of the output.
    Strips = 3,
}

/// Two to eight convolutions, each on the output of the one before it: a depthwise and a pointwise one, an inverted
/// residual, or any others. The same bits as one after the other; what lies between stays in the workspace.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_chain_desc {
    /// `sizeof(kolibri_chain_desc)`.
    pub struct_size: usize,
    /// A `kolibri_dtype`: of all images.
    pub dtype: u32,
    /// The convolutions, each of this `dtype`. The caller's, read at creation; not NULL.
    pub convs: *const *const kolibri_conv2d_desc,
    /// Convolutions in `convs`.
    pub convs_len: usize,
    /// A `kolibri_fusion`.
    pub fusion: u32,
    /// Rows of a strip where `fusion` is `KOLIBRI_FUSION_STRIPS`; else not read.
    pub strip_rows: usize,
}

/// One task of a `parallel_for`: computes part `i` of the work that `arg` stands for. It does not unwind.
pub type kolibri_task = Option<unsafe extern "C" fn(arg: *mut c_void, i: usize)>;

/// Threads that the caller lends to a run. Results do not depend on them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kolibri_parallel {
    /// `sizeof(kolibri_parallel)`.
    pub struct_size: usize,
    /// Tasks that run at the same time, 1024 at most. Each does its part of the work, then what others have not begun.
    /// Not 0.
    pub threads: usize,
    /// Calls `task(arg, i)` once for each `i` below `n`, on any threads, and returns when all have returned. It does not
    /// throw, nor call `task` after it returned. Not NULL.
    pub parallel_for: Option<unsafe extern "C" fn(ctx: *mut c_void, n: usize, task: kolibri_task, arg: *mut c_void)>,
    /// Passed to `parallel_for`; the caller's, may be NULL. Runs on several threads at the same time share it.
    pub ctx: *mut c_void,
}
