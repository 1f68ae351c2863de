/* Kolibri: SIMD kernels for light-weight convolutional networks, https://crates.io/crates/kolibri
 *
 * Made from src/capi/ by `BLESS=1 cargo test -p kolibri --features capi --test header`: edit there.
 * Licensed under either of MIT or Apache-2.0.
 */

#ifndef KOLIBRI_H
#define KOLIBRI_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of the ABI that this header declares. It grows where functions or fields are added; programs for an older
 * one keep working.
 */
#define KOLIBRI_ABI_VERSION 1

/**
 * How a call ended. `INVALID_..` is the caller's fault; `UNSUPPORTED_..` is valid, but not offered. Numbers are never
 * used again for something else; later versions may have more.
 */
enum kolibri_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * All is done.
   */
  KOLIBRI_STATUS_SUCCESS = 0,
  /**
   * A pointer that must not be NULL.
   */
  KOLIBRI_STATUS_INVALID_NULL = 1,
  /**
   * A `struct_size` below that of the first version of the struct.
   */
  KOLIBRI_STATUS_INVALID_STRUCT_SIZE = 2,
  /**
   * A value that its enumeration does not have.
   */
  KOLIBRI_STATUS_INVALID_VALUE = 3,
  /**
   * A pointer to elements that is not a multiple of their size.
   */
  KOLIBRI_STATUS_INVALID_ALIGNMENT = 4,
  /**
   * An array of the wrong length.
   */
  KOLIBRI_STATUS_INVALID_LENGTH = 5,
  /**
   * A size that must not be zero.
   */
  KOLIBRI_STATUS_INVALID_ZERO = 6,
  /**
   * A size that does not fit `size_t`, or memory that would go past the end of the address space.
   */
  KOLIBRI_STATUS_INVALID_OVERFLOW = 7,
  /**
   * An image of the wrong shape, or of the wrong type of elements.
   */
  KOLIBRI_STATUS_INVALID_SHAPE = 8,
  /**
   * A pixel stride below the channels.
   */
  KOLIBRI_STATUS_INVALID_STRIDE = 9,
  /**
   * An image smaller than the window, or padding that is not below the kernel of a pool.
   */
  KOLIBRI_STATUS_INVALID_WINDOW = 10,
  /**
   * Channels that the groups do not divide.
   */
  KOLIBRI_STATUS_INVALID_GROUPS = 11,
  /**
   * A layout of weights that does not fit the operator.
   */
  KOLIBRI_STATUS_INVALID_LAYOUT = 12,
  /**
   * Bounds of a clamp that are NaN or the wrong way round.
   */
  KOLIBRI_STATUS_INVALID_ACTIVATION = 13,
  /**
   * Scales or zero points out of range, or a residual of bytes whose quantisation was not given at creation.
   */
  KOLIBRI_STATUS_INVALID_QUANTIZATION = 14,
  /**
   * Memory of the output or of the workspace that is also that of something else.
   */
  KOLIBRI_STATUS_INVALID_OVERLAP = 15,
  /**
   * A workspace that is too small.
   */
  KOLIBRI_STATUS_INVALID_WORKSPACE = 16,
  /**
   * An input that the operator does not have, or one that it lacks.
   */
  KOLIBRI_STATUS_INVALID_INPUT = 17,
  /**
   * Convolutions that are no chain.
   */
  KOLIBRI_STATUS_INVALID_CHAIN = 18,
  /**
   * A level that does not exist.
   */
  KOLIBRI_STATUS_INVALID_LEVEL = 19,
  /**
   * An environment variable, `KOLIBRI_ISA` or `KOLIBRI_FUSE`, with a value that it cannot have.
   */
  KOLIBRI_STATUS_INVALID_ENVIRONMENT = 20,
  /**
   * No threads, or a `parallel_for` that did not run every task.
   */
  KOLIBRI_STATUS_INVALID_PARALLEL = 21,
  /**
   * An index past the last.
   */
  KOLIBRI_STATUS_INVALID_INDEX = 22,
  /**
   * A `struct_size` above that of this library, which is older than the header.
   */
  KOLIBRI_STATUS_UNSUPPORTED_STRUCT_SIZE = 100,
  /**
   * A level that this CPU lacks, or without which the library was built.
   */
  KOLIBRI_STATUS_UNSUPPORTED_LEVEL = 101,
  /**
   * An activation that the operator does not have on such elements.
   */
  KOLIBRI_STATUS_UNSUPPORTED_ACTIVATION = 102,
  /**
   * An operator without which the library was built.
   */
  KOLIBRI_STATUS_UNSUPPORTED_OPERATOR = 103,
  /**
   * Memory that cannot be had.
   */
  KOLIBRI_STATUS_OUT_OF_MEMORY = 200,
  /**
   * A defect of the library, which was caught. Outputs may be half written.
   */
  KOLIBRI_STATUS_INTERNAL_ERROR = 201,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_status kolibri_status;
#else
typedef int32_t kolibri_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What images are made of.
 */
enum kolibri_dtype
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * `float`.
   */
  KOLIBRI_DTYPE_F32 = 1,
  /**
   * `int8_t` that stands for a real number.
   */
  KOLIBRI_DTYPE_I8 = 2,
  /**
   * `uint8_t` that stands for a real number.
   */
  KOLIBRI_DTYPE_U8 = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_dtype kolibri_dtype;
#else
typedef uint32_t kolibri_dtype;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the rows and columns around an image are chosen. They count as zeros; in a pool they are left out.
 */
enum kolibri_padding
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * None.
   */
  KOLIBRI_PADDING_VALID = 0,
  /**
   * As TensorFlow's SAME: the output has `ceil(size / stride)` pixels, an odd pixel of padding goes to the bottom and
   * the right.
   */
  KOLIBRI_PADDING_SAME = 1,
  /**
   * As many as `pads` says.
   */
  KOLIBRI_PADDING_EXPLICIT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_padding kolibri_padding;
#else
typedef uint32_t kolibri_padding;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is applied to each output.
 */
enum kolibri_activation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Nothing.
   */
  KOLIBRI_ACTIVATION_NONE = 0,
  /**
   * `max(x, 0)`.
   */
  KOLIBRI_ACTIVATION_RELU = 1,
  /**
   * `min(max(x, 0), 6)`.
   */
  KOLIBRI_ACTIVATION_RELU6 = 2,
  /**
   * `min(max(x, min), max)`.
   */
  KOLIBRI_ACTIVATION_CLAMP = 3,
  /**
   * `x * (min(max(x + 3, 0), 6) * (1 / 6))`, each step rounded.
   */
  KOLIBRI_ACTIVATION_HARD_SWISH = 4,
  /**
   * `1 / (1 + exp(-x))`, by one polynomial on every machine.
   */
  KOLIBRI_ACTIVATION_SIGMOID = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_activation kolibri_activation;
#else
typedef uint32_t kolibri_activation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a sum of products becomes a byte.
 */
enum kolibri_requantization
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * By a factor in f32, rounded half to even: as ONNX Runtime and XNNPACK.
   */
  KOLIBRI_REQUANTIZATION_FLOAT_SCALE = 0,
  /**
   * By a multiplier of 31 bits and a shift, both rounded: as TensorFlow Lite's own kernels.
   */
  KOLIBRI_REQUANTIZATION_TFLITE_DOUBLE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_requantization kolibri_requantization;
#else
typedef uint32_t kolibri_requantization;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How the weights of a convolution lie.
 */
enum kolibri_weight_layout
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * `[cout][cin / groups][height][width]`: ONNX, PyTorch.
   */
  KOLIBRI_WEIGHT_LAYOUT_OIHW = 0,
  /**
   * `[cout][height][width][cin / groups]`: TensorFlow Lite's CONV_2D.
   */
  KOLIBRI_WEIGHT_LAYOUT_OHWI = 1,
  /**
   * `[height][width][cout]`, one input channel for each output channel: TensorFlow Lite's DEPTHWISE_CONV_2D.
   */
  KOLIBRI_WEIGHT_LAYOUT_HWC = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_weight_layout kolibri_weight_layout;
#else
typedef uint32_t kolibri_weight_layout;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a pool makes of a window.
 */
enum kolibri_pool
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The greatest element; NaN where one is.
   */
  KOLIBRI_POOL_MAX = 0,
  /**
   * The average of the elements inside the image. Of bytes, halves are rounded away from the byte 0.
   */
  KOLIBRI_POOL_AVERAGE = 1,
  /**
   * The average of the whole image; the window is not read. Of bytes, from quantisation `x` to `y`, half to even.
   */
  KOLIBRI_POOL_GLOBAL_AVERAGE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_pool kolibri_pool;
#else
typedef uint32_t kolibri_pool;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether a chain runs in strips.
 */
enum kolibri_fusion
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Where that is faster, by a rule that was fitted to measurements.
   */
  KOLIBRI_FUSION_BY_COST = 0,
  /**
   * One convolution after the other.
   */
  KOLIBRI_FUSION_NEVER = 1,
  /**
   * In strips as high as the rule would have them.
   */
  KOLIBRI_FUSION_ALWAYS = 2,
  /**
   * In strips of `strip_rows` rows of the output.
   */
  KOLIBRI_FUSION_STRIPS = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum kolibri_fusion kolibri_fusion;
#else
typedef uint32_t kolibri_fusion;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An operator. Made by the `kolibri_.._create` functions, immutable, shared by any number of threads, freed by
 * `kolibri_destroy`.
 */
typedef struct kolibri_operator kolibri_operator;

/**
 * A window that slides over an image. The output has `(size + padding - ((kernel - 1) * dilation + 1)) / stride + 1`
 * pixels along an axis, rounded down.
 */
typedef struct kolibri_window {
  /**
   * Height and width in taps.
   */
  size_t kernel[2];
  /**
   * Vertical and horizontal step; 0 counts as 1.
   */
  size_t stride[2];
  /**
   * Vertical and horizontal distance of taps; 0 counts as 1.
   */
  size_t dilation[2];
  /**
   * A `kolibri_padding`.
   */
  uint32_t padding;
  /**
   * Rows above, columns to the left, rows below, columns to the right, where `padding` is
   * `KOLIBRI_PADDING_EXPLICIT`; else not read.
   */
  size_t pads[4];
} kolibri_window;

/**
 * An activation with its parameters.
 */
typedef struct kolibri_activation_params {
  /**
   * A `kolibri_activation`.
   */
  uint32_t kind;
  /**
   * Lower bound of a clamp, a real number; else not read.
   */
  float min;
  /**
   * Upper bound of a clamp, a real number; else not read.
   */
  float max;
} kolibri_activation_params;

/**
 * What a byte `q` stands for: `scale * (q - zero_point)`.
 */
typedef struct kolibri_quant_params {
  /**
   * Positive and finite.
   */
  float scale;
  /**
   * -128 to 127 for `KOLIBRI_DTYPE_I8`, 0 to 255 for `KOLIBRI_DTYPE_U8`.
   */
  int32_t zero_point;
} kolibri_quant_params;

/**
 * What the bytes of a convolution or a fully connected layer stand for. Not read where images are `float`.
 */
typedef struct kolibri_quantization {
  /**
   * Of the input.
   */
  struct kolibri_quant_params x;
  /**
   * Of the output.
   */
  struct kolibri_quant_params y;
  /**
   * Of the weights, whose zero point is 0: one scale, or one for each output channel. The caller's, copied; not NULL.
   */
  const float *weight_scales;
  /**
   * Scales in `weight_scales`: 1 or `cout`.
   */
  size_t weight_scales_len;
  /**
   * Of the residual that a run may be given. The caller's, copied; NULL where there is none.
   */
  const struct kolibri_quant_params *residual;
  /**
   * A `kolibri_requantization`.
   */
  uint32_t requantization;
} kolibri_quantization;

/**
 * A convolution: standard, grouped, depthwise (with multiplier), pointwise.
 *
 * `y[i, oy, ox, o] = act(bias[o] + sum over ky, kx, j of x[i, oy * sy - top + ky * dy, ox * sx - left + kx * dx, j] *
 * w[o, ky, kx, j] + residual[i, oy, ox, o])`, outside the image zero. Of `float` each sum is one chain of fused
 * multiply-adds in that order, the same bits on every level that has them. Of bytes sums are exact.
 */
typedef struct kolibri_conv2d_desc {
  /**
   * `sizeof(kolibri_conv2d_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to pack for, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * Input channels.
   */
  size_t cin;
  /**
   * Output channels.
   */
  size_t cout;
  /**
   * Groups, which divide both; 0 counts as 1. As many as channels: depthwise.
   */
  size_t groups;
  /**
   * The sliding window.
   */
  struct kolibri_window window;
  /**
   * A `kolibri_weight_layout`.
   */
  uint32_t weight_layout;
  /**
   * `float` for images of `float`, else `int8_t`. The caller's, packed at creation and not read later; not NULL.
   */
  const void *weights;
  /**
   * Elements of `weights`: `cout * cin / groups * kernel height * kernel width`.
   */
  size_t weights_len;
  /**
   * `float` for images of `float`, else `int32_t`, in units of `x.scale * weight_scale`. The caller's, copied; NULL
   * for zeros.
   */
  const void *bias;
  /**
   * Elements of `bias`: `cout`; 0 where there is none.
   */
  size_t bias_len;
  /**
   * Applied to the output.
   */
  struct kolibri_activation_params activation;
  /**
   * What bytes stand for.
   */
  struct kolibri_quantization quantization;
} kolibri_conv2d_desc;

/**
 * A fully connected layer: `y[i, o] = act(bias[o] + sum over j of x[i, j] * w[o][j])`. Its images are `[n, 1, 1, cin]`
 * and `[n, 1, 1, cout]`.
 */
typedef struct kolibri_fully_connected_desc {
  /**
   * `sizeof(kolibri_fully_connected_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to pack for, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * Inputs of a row.
   */
  size_t cin;
  /**
   * Outputs of a row.
   */
  size_t cout;
  /**
   * `[cout][cin]`; `float` for images of `float`, else `int8_t`. The caller's, packed at creation; not NULL.
   */
  const void *weights;
  /**
   * Elements of `weights`: `cout * cin`.
   */
  size_t weights_len;
  /**
   * `float` for images of `float`, else `int32_t`. The caller's, copied; NULL for zeros.
   */
  const void *bias;
  /**
   * Elements of `bias`: `cout`; 0 where there is none.
   */
  size_t bias_len;
  /**
   * Applied to the output.
   */
  struct kolibri_activation_params activation;
  /**
   * What bytes stand for. It has no residual.
   */
  struct kolibri_quantization quantization;
} kolibri_fully_connected_desc;

/**
 * A pool over a sliding window, or the whole image.
 */
typedef struct kolibri_pool2d_desc {
  /**
   * `sizeof(kolibri_pool2d_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to run on, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * A `kolibri_pool`.
   */
  uint32_t kind;
  /**
   * The sliding window; its padding stays below its kernel.
   */
  struct kolibri_window window;
  /**
   * Not 0: an average is divided by all of the window, and padding counts as zeros (of bytes as `x.zero_point`).
   */
  uint32_t count_include_padding;
  /**
   * What bytes of the input stand for. Of a maximum and of an average over a window only the zero point is read, and
   * that where padding counts. Not read where images are `float`.
   */
  struct kolibri_quant_params x;
  /**
   * What bytes of the output stand for: of a global average, and where there is an activation. Not read where images
   * are `float`.
   */
  struct kolibri_quant_params y;
  /**
   * Of bytes, a clamp that is applied to the output; of `float`, none.
   */
  struct kolibri_activation_params activation;
  /**
   * A `kolibri_requantization`: how bounds of the activation become bytes.
   */
  uint32_t requantization;
} kolibri_pool2d_desc;

/**
 * An addition: `y = act(x + b)`, all of one shape. Of bytes by integers, as XNNPACK computes it.
 */
typedef struct kolibri_add_desc {
  /**
   * `sizeof(kolibri_add_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to run on, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * Applied to the output.
   */
  struct kolibri_activation_params activation;
  /**
   * What bytes of the first input stand for. Not read where images are `float`, as the next two.
   */
  struct kolibri_quant_params x;
  /**
   * What bytes of the second input stand for: its scale is 2^-10 to below 2^8 of that of `y`, as is the first one's.
   */
  struct kolibri_quant_params b;
  /**
   * What bytes of the output stand for.
   */
  struct kolibri_quant_params y;
} kolibri_add_desc;

/**
 * `y = act(x)`. Of bytes, a table: without an activation a change of quantisation (as ONNX Runtime's QLinearConcat), with
 * a clamp that and the clamp, hard-swish as TensorFlow Lite's own kernel, sigmoid.
 */
typedef struct kolibri_activate_desc {
  /**
   * `sizeof(kolibri_activate_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to run on, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * What is applied.
   */
  struct kolibri_activation_params activation;
  /**
   * What bytes of the input stand for. Not read where images are `float`, as the next two.
   */
  struct kolibri_quant_params x;
  /**
   * What bytes of the output stand for.
   */
  struct kolibri_quant_params y;
  /**
   * A `kolibri_requantization`: how bounds of a clamp become bytes.
   */
  uint32_t requantization;
} kolibri_activate_desc;

/**
 * ShuffleNet's permutation: `y[.., j * groups + i] = x[.., i * (c / groups) + j]`.
 */
typedef struct kolibri_channel_shuffle_desc {
  /**
   * `sizeof(kolibri_channel_shuffle_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to run on, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * Groups, which divide the channels of the images.
   */
  size_t groups;
} kolibri_channel_shuffle_desc;

/**
 * Squeeze-excite: `y = x * s`, a factor for each channel of each image, with `a` the average of the channel,
 * `r = relu(b_reduce + w_reduce a)` and `s = sigmoid(b_expand + w_expand r)`.
 */
typedef struct kolibri_squeeze_excite_desc {
  /**
   * `sizeof(kolibri_squeeze_excite_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of the images.
   */
  uint32_t dtype;
  /**
   * The level to pack for, ended by a NUL; NULL for the best that this CPU has.
   */
  const char *level;
  /**
   * Channels of the images.
   */
  size_t c;
  /**
   * Outputs of the first product.
   */
  size_t reduced;
  /**
   * `[reduced][c]`; `float` for images of `float`, else `int8_t`. The caller's, packed at creation, as the next three
   * arrays; not NULL.
   */
  const void *w_reduce;
  /**
   * Elements of `w_reduce`: `reduced * c`.
   */
  size_t w_reduce_len;
  /**
   * `[reduced]`; `float` for images of `float`, else `int32_t`. NULL for zeros.
   */
  const void *b_reduce;
  /**
   * Elements of `b_reduce`: `reduced`; 0 where there is none.
   */
  size_t b_reduce_len;
  /**
   * `[c][reduced]`, as `w_reduce`.
   */
  const void *w_expand;
  /**
   * Elements of `w_expand`: `c * reduced`.
   */
  size_t w_expand_len;
  /**
   * `[c]`, as `b_reduce`.
   */
  const void *b_expand;
  /**
   * Elements of `b_expand`: `c`; 0 where there is none.
   */
  size_t b_expand_len;
  /**
   * What bytes of the input stand for. From here on nothing is read where images are `float`.
   */
  struct kolibri_quant_params x;
  /**
   * Of the averages.
   */
  struct kolibri_quant_params average;
  /**
   * Of `w_reduce`: one scale, or `reduced` scales. The caller's, copied; not NULL.
   */
  const float *reduce_scales;
  /**
   * Scales in `reduce_scales`.
   */
  size_t reduce_scales_len;
  /**
   * Of the first product's output.
   */
  struct kolibri_quant_params reduced_params;
  /**
   * Of `w_expand`: one scale, or `c` scales. The caller's, copied; not NULL.
   */
  const float *expand_scales;
  /**
   * Scales in `expand_scales`.
   */
  size_t expand_scales_len;
  /**
   * Of the second product's output, before the sigmoid.
   */
  struct kolibri_quant_params expanded;
  /**
   * Of the sigmoid's output.
   */
  struct kolibri_quant_params gate;
  /**
   * Of the output.
   */
  struct kolibri_quant_params y;
  /**
   * A `kolibri_requantization`: how the sums of both products become bytes.
   */
  uint32_t requantization;
} kolibri_squeeze_excite_desc;

/**
 * Two to eight convolutions, each on the output of the one before it: a depthwise and a pointwise one, an inverted
 * residual, or any others. The same bits as one after the other; what lies between stays in the workspace.
 */
typedef struct kolibri_chain_desc {
  /**
   * `sizeof(kolibri_chain_desc)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`: of all images.
   */
  uint32_t dtype;
  /**
   * The convolutions, each of this `dtype`. The caller's, read at creation; not NULL.
   */
  const struct kolibri_conv2d_desc *const *convs;
  /**
   * Convolutions in `convs`.
   */
  size_t convs_len;
  /**
   * A `kolibri_fusion`.
   */
  uint32_t fusion;
  /**
   * Rows of a strip where `fusion` is `KOLIBRI_FUSION_STRIPS`; else not read.
   */
  size_t strip_rows;
} kolibri_chain_desc;

/**
 * An image that is read: batch, height, width, channels (NHWC).
 *
 * Element `(i, y, x, j)` is `data[((i * h + y) * w + x) * pixel_stride + j]`. An image of some of the channels of
 * another has the other's stride and begins at its first channel: so a split copies nothing, and two operators that
 * write beside each other make a concat.
 */
typedef struct kolibri_image {
  /**
   * `sizeof(kolibri_image)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`.
   */
  uint32_t dtype;
  /**
   * The first element; the caller's, a multiple of the size of an element, not NULL.
   */
  const void *data;
  /**
   * Elements from `data` on that may be read: at least `(n * h * w - 1) * pixel_stride + c`.
   */
  size_t len;
  /**
   * Images.
   */
  size_t n;
  /**
   * Rows of each.
   */
  size_t h;
  /**
   * Pixels of a row.
   */
  size_t w;
  /**
   * Channels of a pixel.
   */
  size_t c;
  /**
   * Elements from a pixel to the next; 0 counts as `c`.
   */
  size_t pixel_stride;
} kolibri_image;

/**
 * An image that is written; see `kolibri_image`. Only its channels are touched, not what lies between its pixels.
 */
typedef struct kolibri_image_mut {
  /**
   * `sizeof(kolibri_image_mut)`.
   */
  size_t struct_size;
  /**
   * A `kolibri_dtype`.
   */
  uint32_t dtype;
  /**
   * The first element; the caller's, a multiple of the size of an element, not NULL.
   */
  void *data;
  /**
   * Elements from `data` on that may be written: at least `(n * h * w - 1) * pixel_stride + c`.
   */
  size_t len;
  /**
   * Images.
   */
  size_t n;
  /**
   * Rows of each.
   */
  size_t h;
  /**
   * Pixels of a row.
   */
  size_t w;
  /**
   * Channels of a pixel.
   */
  size_t c;
  /**
   * Elements from a pixel to the next; 0 counts as `c`.
   */
  size_t pixel_stride;
} kolibri_image_mut;

/**
 * One task of a `parallel_for`: computes part `i` of the work that `arg` stands for. It does not unwind.
 */
typedef void (*kolibri_task)(void *arg, size_t i);

/**
 * Threads that the caller lends to a run. Results do not depend on them.
 */
typedef struct kolibri_parallel {
  /**
   * `sizeof(kolibri_parallel)`.
   */
  size_t struct_size;
  /**
   * Tasks that run at the same time, 1024 at most. Each does its part of the work, then what others have not begun.
   * Not 0.
   */
  size_t threads;
  /**
   * Calls `task(arg, i)` once for each `i` below `n`, on any threads, and returns when all have returned. It does not
   * throw, nor call `task` after it returned. Not NULL.
   */
  void (*parallel_for)(void *ctx, size_t n, kolibri_task task, void *arg);
  /**
   * Passed to `parallel_for`; the caller's, may be NULL. Runs on several threads at the same time share it.
   */
  void *ctx;
} kolibri_parallel;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as `1.2.3`: text that lives as long as the library, ended by a NUL.
 */
const char *kolibri_version(void);

/**
 * The version of the ABI that the library has: at least `KOLIBRI_ABI_VERSION` of the header that a program was compiled
 * with, or the library is too old for it.
 */
uint32_t kolibri_abi_version(void);

/**
 * Names a level, an instruction set, that this CPU has.
 *
 * - `index`: which, from 0, the best, on.
 * - `buffer`: the caller's; takes as much of the name as fits, always ended by a NUL. May be NULL, and is not written
 *   then.
 * - `len`: bytes of `buffer`.
 * - `length`: takes the length of the whole name in bytes, without the NUL; may be NULL.
 *
 * Errors: `INVALID_INDEX` past the last.
 */
kolibri_status kolibri_level(size_t index, char *buffer, size_t len, size_t *length);

/**
 * Names the level that operators are made for where the caller asks for none: the best that this CPU has, narrowed by the
 * environment variable `KOLIBRI_ISA`, a list of levels to permit (`avx2`) or to take away (`-avx512`).
 *
 * - `buffer`, `len`, `length`: as in `kolibri_level`.
 *
 * Errors: `INVALID_ENVIRONMENT` where the variable names a level that does not exist.
 */
kolibri_status kolibri_selected_level(char *buffer,
                                      size_t len,
                                      size_t *length);

/**
 * Names a kernel of a level.
 *
 * - `level`: the name of the level, ended by a NUL; NULL for the one that is selected.
 * - `index`: which, from 0 on.
 * - `buffer`, `len`, `length`: as in `kolibri_level`.
 *
 * Errors: `INVALID_INDEX` past the last, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`, `UNSUPPORTED_LEVEL`.
 */
kolibri_status kolibri_kernel(const char *level, size_t index, char *buffer, size_t len, size_t *length);

/**
 * What was wrong with this thread's last call that failed: which argument, what was expected, what came.
 *
 * - `buffer`: the caller's; takes as much of the text as fits, always ended by a NUL. May be NULL, and is not written
 *   then.
 * - `len`: bytes of `buffer`.
 *
 * Returns the length of the whole text in bytes, without the NUL; 0 where no call of this thread has failed.
 */
size_t kolibri_last_error(char *buffer, size_t len);

/**
 * Makes a convolution; its second input is the residual, which may be left out.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`,
 * `INVALID_ZERO`, `INVALID_OVERFLOW`, `INVALID_GROUPS`, `INVALID_LAYOUT`, `INVALID_ACTIVATION`, `INVALID_QUANTIZATION`,
 * `UNSUPPORTED_ACTIVATION`.
 */
kolibri_status kolibri_conv2d_create(const struct kolibri_conv2d_desc *desc, struct kolibri_operator **op);

/**
 * Makes a fully connected layer.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`,
 * `INVALID_ZERO`, `INVALID_OVERFLOW`, `INVALID_ACTIVATION`, `INVALID_QUANTIZATION`, `UNSUPPORTED_ACTIVATION`.
 */
kolibri_status kolibri_fully_connected_create(const struct kolibri_fully_connected_desc *desc,
                                              struct kolibri_operator **op);

/**
 * Makes a pool.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ZERO`, `INVALID_OVERFLOW`,
 * `INVALID_WINDOW`, `INVALID_ACTIVATION`, `INVALID_QUANTIZATION`, `UNSUPPORTED_ACTIVATION`.
 */
kolibri_status kolibri_pool2d_create(const struct kolibri_pool2d_desc *desc, struct kolibri_operator **op);

/**
 * Makes an addition; both inputs are required.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ACTIVATION`,
 * `INVALID_QUANTIZATION`, `UNSUPPORTED_ACTIVATION`.
 */
kolibri_status kolibri_add_create(const struct kolibri_add_desc *desc, struct kolibri_operator **op);

/**
 * Makes a function of each element.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ACTIVATION`,
 * `INVALID_QUANTIZATION`.
 */
kolibri_status kolibri_activate_create(const struct kolibri_activate_desc *desc, struct kolibri_operator **op);

/**
 * Makes a channel shuffle.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ZERO`.
 */
kolibri_status kolibri_channel_shuffle_create(const struct kolibri_channel_shuffle_desc *desc,
                                              struct kolibri_operator **op);

/**
 * Makes a squeeze-excite.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
 * `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`,
 * `INVALID_ZERO`, `INVALID_OVERFLOW`, `INVALID_QUANTIZATION`.
 */
kolibri_status kolibri_squeeze_excite_create(const struct kolibri_squeeze_excite_desc *desc,
                                             struct kolibri_operator **op);

/**
 * Makes a chain; its second input is the residual of the last convolution, which may be left out.
 *
 * - `desc`: what it computes; the caller's, nothing of it is read later.
 * - `op`: takes the handle; not NULL, and not written where the call fails.
 *
 * Errors: those of `kolibri_conv2d_create`, and `INVALID_CHAIN`.
 */
kolibri_status kolibri_chain_create(const struct kolibri_chain_desc *desc, struct kolibri_operator **op);

/**
 * Frees an operator.
 *
 * - `op`: a handle, which nobody uses any more; NULL does nothing.
 */
void kolibri_destroy(struct kolibri_operator *op);

/**
 * Says what shape an output has.
 *
 * - `op`: a handle, not NULL.
 * - `x`: batch, height, width and channels of the input; four sizes, not NULL.
 * - `y`: takes those of the output; four sizes, not NULL. Not written where the call fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_ZERO`, `INVALID_WINDOW`, `INVALID_OVERFLOW`. Whether the operator takes that many
 * channels is told by the run.
 */
kolibri_status kolibri_output_shape(const struct kolibri_operator *op, const size_t *x, size_t *y);

/**
 * Says how much workspace a run needs.
 *
 * - `op`: a handle, not NULL.
 * - `x`: batch, height, width and channels of the input; four sizes, not NULL.
 * - `threads`: those of the `kolibri_parallel` of the run, or 1. Not 0.
 * - `size`: takes bytes, of memory that need not be aligned; 0 where none is needed. Not NULL; not written where the call
 *   fails.
 *
 * Errors: `INVALID_NULL`, `INVALID_ZERO`, `INVALID_WINDOW`, `INVALID_OVERFLOW`, `INVALID_PARALLEL`.
 */
kolibri_status kolibri_workspace_size(const struct kolibri_operator *op,
                                      const size_t *x,
                                      size_t threads,
                                      size_t *size);

/**
 * Names a kernel that an operator uses on images of usual size.
 *
 * - `op`: a handle, not NULL.
 * - `index`: which, from 0 on.
 * - `buffer`: the caller's; takes as much of the name as fits, always ended by a NUL. May be NULL, and is not written
 *   then.
 * - `len`: bytes of `buffer`.
 * - `length`: takes the length of the whole name in bytes, without the NUL; may be NULL.
 *
 * Errors: `INVALID_NULL`, `INVALID_INDEX` past the last.
 */
kolibri_status kolibri_operator_kernel(const struct kolibri_operator *op,
                                       size_t index,
                                       char *buffer,
                                       size_t len,
                                       size_t *length);

/**
 * Runs an operator.
 *
 * - `op`: a handle, not NULL. Any number of threads may run it at the same time, each with a workspace of its own.
 * - `x`: the input, not NULL.
 * - `b`: the second input: of a convolution and of a chain the residual, or NULL; of an addition the other term; NULL for
 *   all others. It may be `x`.
 * - `y`: the output, not NULL, of the shape that `kolibri_output_shape` says and apart from the inputs: channels beside
 *   those of an input within the same pixels are. Nothing is written where the call fails, but for `INTERNAL_ERROR` and
 *   a `parallel_for` that does not run every task.
 * - `workspace`: the caller's, of any alignment, apart from the images; its content before and after means nothing. May be
 *   NULL where `workspace_size` is 0.
 * - `workspace_size`: bytes, at least what `kolibri_workspace_size` says.
 * - `parallel`: threads that the caller lends; NULL for the calling thread only.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`, `INVALID_ZERO`,
 * `INVALID_OVERFLOW`, `INVALID_SHAPE`, `INVALID_STRIDE`, `INVALID_WINDOW`, `INVALID_GROUPS`, `INVALID_QUANTIZATION`,
 * `INVALID_OVERLAP`, `INVALID_WORKSPACE`, `INVALID_INPUT`, `INVALID_PARALLEL`, `UNSUPPORTED_STRUCT_SIZE`,
 * `INTERNAL_ERROR`.
 */
kolibri_status kolibri_run(const struct kolibri_operator *op,
                           const struct kolibri_image *x,
                           const struct kolibri_image *b,
                           const struct kolibri_image_mut *y,
                           void *workspace,
                           size_t workspace_size,
                           const struct kolibri_parallel *parallel);

/**
 * Copies an image into another of its shape: what a concat of values that lie elsewhere is made of. Bytes are copied as
 * they are; `kolibri_activate_create` makes an operator that changes what they stand for.
 *
 * - `x`: the input, not NULL.
 * - `y`: the output, not NULL, of the same shape and type, apart from `x`. Not written where the call fails.
 * - `parallel`: threads that the caller lends; NULL for the calling thread only.
 *
 * Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`, `INVALID_ZERO`,
 * `INVALID_OVERFLOW`, `INVALID_SHAPE`, `INVALID_STRIDE`, `INVALID_OVERLAP`, `INVALID_PARALLEL`,
 * `UNSUPPORTED_STRUCT_SIZE`, `INTERNAL_ERROR`.
 */
kolibri_status kolibri_copy(const struct kolibri_image *x,
                            const struct kolibri_image_mut *y,
                            const struct kolibri_parallel *parallel);

/**
 * Planes to channels: `y[i, y, x, j] = x[i][j][y][x]`.
 *
 * - `x`: elements of the `dtype` of `y`, as `[n][c][h][w]`; the caller's, not NULL, apart from `y`.
 * - `len`: elements of `x`: `n * c * h * w` of `y`.
 * - `y`: the output, not NULL. Not written where the call fails.
 * - `parallel`: threads that the caller lends; NULL for the calling thread only.
 *
 * Errors: as `kolibri_copy`, and `INVALID_ENVIRONMENT`, `UNSUPPORTED_OPERATOR`.
 */
kolibri_status kolibri_nchw_to_nhwc(const void *x,
                                    size_t len,
                                    const struct kolibri_image_mut *y,
                                    const struct kolibri_parallel *parallel);

/**
 * Channels to planes: `y[i][j][y][x] = x[i, y, x, j]`.
 *
 * - `x`: the input, not NULL.
 * - `y`: takes elements of the `dtype` of `x`, as `[n][c][h][w]`; the caller's, not NULL, apart from `x`. Not written where
 *   the call fails.
 * - `len`: elements of `y`: `n * c * h * w` of `x`.
 * - `parallel`: threads that the caller lends; NULL for the calling thread only.
 *
 * Errors: as `kolibri_copy`, and `INVALID_ENVIRONMENT`, `UNSUPPORTED_OPERATOR`.
 */
kolibri_status kolibri_nhwc_to_nchw(const struct kolibri_image *x,
                                    void *y,
                                    size_t len,
                                    const struct kolibri_parallel *parallel);

/**
 * Real numbers to bytes: `y = clamp(round_half_even(x / scale) + zero_point)`; NaN becomes the zero point.
 *
 * - `x`: the caller's, not NULL.
 * - `y`: takes bytes of `dtype`; the caller's, not NULL, apart from `x`. Not written where the call fails.
 * - `len`: elements of both.
 * - `dtype`: `KOLIBRI_DTYPE_I8` or `KOLIBRI_DTYPE_U8`.
 * - `params`: what the bytes stand for.
 *
 * Errors: `INVALID_NULL`, `INVALID_VALUE`, `INVALID_ALIGNMENT`, `INVALID_OVERFLOW`, `INVALID_QUANTIZATION`,
 * `INVALID_OVERLAP`, `UNSUPPORTED_OPERATOR`.
 */
kolibri_status kolibri_quantize(const float *x,
                                void *y,
                                size_t len,
                                uint32_t dtype,
                                struct kolibri_quant_params params);

/**
 * Bytes to real numbers: `y = scale * (x - zero_point)`.
 *
 * - `x`: bytes of `dtype`; the caller's, not NULL.
 * - `y`: the caller's, not NULL, apart from `x`. Not written where the call fails.
 * - `len`: elements of both.
 * - `dtype`: `KOLIBRI_DTYPE_I8` or `KOLIBRI_DTYPE_U8`.
 * - `params`: what the bytes stand for.
 *
 * Errors: as `kolibri_quantize`.
 */
kolibri_status kolibri_dequantize(const void *x,
                                  float *y,
                                  size_t len,
                                  uint32_t dtype,
                                  struct kolibri_quant_params params);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KOLIBRI_H */
