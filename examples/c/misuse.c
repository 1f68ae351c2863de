/* What callers do wrong, and what they are told: a status, a message, and nothing written. */
#include <kolibri.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int line, kolibri_status status, kolibri_status expected, const char *words) {
  char message[512] = "";
  size_t len = kolibri_last_error(message, sizeof message);
  if (status != expected || (expected != KOLIBRI_STATUS_SUCCESS && (len == 0 || strstr(message, words) == NULL))) {
    printf("line %d: expected status %d and '%s', got %d and '%s'\n", line, (int)expected, words, (int)status, message);
    failures++;
  }
}

#define EXPECT(call, name, words) expect(__LINE__, call, KOLIBRI_STATUS_##name, words)
#define OK(call) EXPECT(call, SUCCESS, "")
#define CHECK(condition) (void)((condition) || (printf("line %d: not so: %s\n", __LINE__, #condition), failures++))

enum { H = 4, W = 4, C = 8 };

static float weights[C * C * 9], bias[C], data[2 * H * W * C + 1], out[2 * H * W * C];
static int8_t weights_i8[C * C * 9], data_i8[H * W * C], out_i8[H * W * C];
static int32_t bias_i32[C];
static float scale = 0.5f;

static kolibri_conv2d_desc conv2d(void) {
  kolibri_conv2d_desc desc;
  memset(&desc, 0, sizeof desc);
  desc.struct_size = sizeof desc;
  desc.dtype = KOLIBRI_DTYPE_F32;
  desc.cin = desc.cout = C;
  desc.window.kernel[0] = desc.window.kernel[1] = 3;
  desc.window.padding = KOLIBRI_PADDING_SAME;
  desc.weights = weights;
  desc.weights_len = C * C * 9;
  desc.bias = bias;
  desc.bias_len = C;
  return desc;
}

static kolibri_conv2d_desc conv2d_i8(void) {
  kolibri_conv2d_desc desc = conv2d();
  desc.dtype = KOLIBRI_DTYPE_I8;
  desc.weights = weights_i8;
  desc.bias = bias_i32;
  desc.quantization.x.scale = desc.quantization.y.scale = 1.0f;
  desc.quantization.weight_scales = &scale;
  desc.quantization.weight_scales_len = 1;
  return desc;
}

static kolibri_image image(const void *at, uint32_t dtype) {
  kolibri_image image;
  memset(&image, 0, sizeof image);
  image.struct_size = sizeof image;
  image.dtype = dtype;
  image.data = at;
  image.len = H * W * C;
  image.n = 1;
  image.h = H;
  image.w = W;
  image.c = C;
  return image;
}

static kolibri_image_mut image_mut(void *at, uint32_t dtype) {
  kolibri_image from = image(at, dtype);
  kolibri_image_mut image;
  memset(&image, 0, sizeof image);
  image.struct_size = sizeof image;
  image.dtype = dtype;
  image.data = at;
  image.len = from.len;
  image.n = from.n;
  image.h = from.h;
  image.w = from.w;
  image.c = from.c;
  return image;
}

static void serial_for(void *ctx, size_t n, kolibri_task task, void *arg) {
  size_t i;
  (void)ctx;
  for (i = 0; i < n; i++)
    task(arg, i);
}

static void lazy_for(void *ctx, size_t n, kolibri_task task, void *arg) {
  (void)ctx, (void)n;
  task(arg, 0);
}

static void eager_for(void *ctx, size_t n, kolibri_task task, void *arg) {
  serial_for(ctx, n, task, arg);
  serial_for(ctx, n + 3, task, arg);
  task(arg, SIZE_MAX);
}

static void about_creation(void) {
  const kolibri_conv2d_desc good = conv2d(), good_i8 = conv2d_i8();
  kolibri_operator *op = NULL;
  kolibri_conv2d_desc desc;

  EXPECT(kolibri_conv2d_create(NULL, &op), INVALID_NULL, "desc");
  EXPECT(kolibri_conv2d_create(&good, NULL), INVALID_NULL, "op");
#define WRONG(field, value, name, words)                                                                                 \
  (desc = good, desc.field = value, EXPECT(kolibri_conv2d_create(&desc, &op), name, words))
  WRONG(struct_size, 0, INVALID_STRUCT_SIZE, "struct_size");
  WRONG(struct_size, sizeof desc - 1, INVALID_STRUCT_SIZE, "struct_size");
  WRONG(struct_size, sizeof desc + 1, UNSUPPORTED_STRUCT_SIZE, "struct_size");
  WRONG(struct_size, SIZE_MAX, UNSUPPORTED_STRUCT_SIZE, "struct_size");
  WRONG(dtype, 0, INVALID_VALUE, "dtype");
  WRONG(dtype, 4, INVALID_VALUE, "dtype");
  WRONG(level, "avx9", INVALID_LEVEL, "avx9");
  WRONG(level, "", INVALID_LEVEL, "level");
  WRONG(cin, 0, INVALID_ZERO, "cin");
  WRONG(cout, 0, INVALID_ZERO, "cout");
  WRONG(cin, SIZE_MAX, INVALID_OVERFLOW, "weights");
  WRONG(cout, SIZE_MAX / 8, INVALID_OVERFLOW, "weights");
  WRONG(groups, 3, INVALID_GROUPS, "groups");
  WRONG(groups, SIZE_MAX, INVALID_GROUPS, "groups");
  WRONG(window.kernel[0], 0, INVALID_ZERO, "kernel");
  WRONG(window.kernel[1], SIZE_MAX, INVALID_OVERFLOW, "window");
  WRONG(window.kernel[1], SIZE_MAX / 128, INVALID_OVERFLOW, "weights");
  WRONG(window.dilation[0], SIZE_MAX, INVALID_OVERFLOW, "window");
  WRONG(window.padding, 3, INVALID_VALUE, "padding");
  WRONG(weight_layout, 3, INVALID_VALUE, "weight_layout");
  WRONG(weight_layout, KOLIBRI_WEIGHT_LAYOUT_HWC, INVALID_LAYOUT, "hwc");
  WRONG(weights, NULL, INVALID_NULL, "weights");
  WRONG(weights, (const char *)weights + 1, INVALID_ALIGNMENT, "weights");
  WRONG(weights_len, C * C * 9 - 1, INVALID_LENGTH, "weights");
  WRONG(weights_len, SIZE_MAX, INVALID_OVERFLOW, "weights");
  WRONG(weights_len, 0, INVALID_LENGTH, "weights");
  WRONG(bias, NULL, INVALID_NULL, "bias");
  WRONG(bias_len, C + 1, INVALID_LENGTH, "bias");
  WRONG(activation.kind, 6, INVALID_VALUE, "activation");
  desc = good, desc.activation.kind = KOLIBRI_ACTIVATION_CLAMP, desc.activation.min = 1;
  EXPECT(kolibri_conv2d_create(&desc, &op), INVALID_ACTIVATION, "clamp");
#undef WRONG
#define WRONG(field, value, name, words)                                                                                 \
  (desc = good_i8, desc.field = value, EXPECT(kolibri_conv2d_create(&desc, &op), name, words))
  WRONG(quantization.x.scale, 0, INVALID_QUANTIZATION, "x");
  WRONG(quantization.y.zero_point, 128, INVALID_QUANTIZATION, "y");
  WRONG(quantization.weight_scales, NULL, INVALID_NULL, "weight_scales");
  WRONG(quantization.weight_scales_len, 0, INVALID_LENGTH, "weight_scales");
  WRONG(quantization.weight_scales_len, SIZE_MAX / 2, INVALID_OVERFLOW, "weight_scales");
  WRONG(quantization.requantization, 2, INVALID_VALUE, "requantization");
  WRONG(activation.kind, KOLIBRI_ACTIVATION_SIGMOID, UNSUPPORTED_ACTIVATION, "sigmoid");
#undef WRONG
  CHECK(op == NULL);
}

static void about_other_operators(void) {
  kolibri_operator *op = NULL;
  kolibri_fully_connected_desc fc;
  kolibri_pool2d_desc pool;
  kolibri_add_desc add;
  kolibri_activate_desc activate;
  kolibri_channel_shuffle_desc shuffle;
  kolibri_squeeze_excite_desc excite;
  kolibri_chain_desc chain;
  const kolibri_conv2d_desc conv = conv2d(), conv_i8 = conv2d_i8();
  kolibri_conv2d_desc wide = conv2d();
  const kolibri_conv2d_desc *convs[3];

#define NULLS(type, desc)                                                                                                \
  (memset(&desc, 0, sizeof desc), EXPECT(kolibri_##type##_create(NULL, &op), INVALID_NULL, "desc"),                      \
   EXPECT(kolibri_##type##_create(&desc, &op), INVALID_STRUCT_SIZE, "struct_size"), desc.struct_size = sizeof desc,      \
   EXPECT(kolibri_##type##_create(&desc, NULL), INVALID_NULL, "op"),                                                     \
   EXPECT(kolibri_##type##_create(&desc, &op), INVALID_VALUE, "dtype"), desc.dtype = KOLIBRI_DTYPE_F32)
  NULLS(fully_connected, fc);
  EXPECT(kolibri_fully_connected_create(&fc, &op), INVALID_NULL, "weights");
  fc.weights = weights;
  EXPECT(kolibri_fully_connected_create(&fc, &op), INVALID_ZERO, "cin");
  fc.cin = fc.cout = SIZE_MAX;
  EXPECT(kolibri_fully_connected_create(&fc, &op), INVALID_OVERFLOW, "weights");

  NULLS(pool2d, pool);
  EXPECT(kolibri_pool2d_create(&pool, &op), INVALID_ZERO, "kernel");
  pool.kind = 3;
  EXPECT(kolibri_pool2d_create(&pool, &op), INVALID_VALUE, "kind");
  pool.kind = KOLIBRI_POOL_MAX;
  pool.window.kernel[0] = pool.window.kernel[1] = 2;
  pool.window.padding = KOLIBRI_PADDING_EXPLICIT;
  pool.window.pads[0] = 2;
  EXPECT(kolibri_pool2d_create(&pool, &op), INVALID_WINDOW, "padding");
  pool.window.padding = KOLIBRI_PADDING_VALID;
  pool.activation.kind = KOLIBRI_ACTIVATION_RELU;
  EXPECT(kolibri_pool2d_create(&pool, &op), UNSUPPORTED_ACTIVATION, "activation");

  NULLS(add, add);
  add.dtype = KOLIBRI_DTYPE_U8;
  EXPECT(kolibri_add_create(&add, &op), INVALID_QUANTIZATION, "a");
  add.x.scale = 1000, add.b.scale = add.y.scale = 1;
  EXPECT(kolibri_add_create(&add, &op), INVALID_QUANTIZATION, "ratio");

  NULLS(activate, activate);
  activate.activation.kind = 17;
  EXPECT(kolibri_activate_create(&activate, &op), INVALID_VALUE, "activation");
  activate.dtype = KOLIBRI_DTYPE_I8, activate.activation.kind = KOLIBRI_ACTIVATION_HARD_SWISH;
  EXPECT(kolibri_activate_create(&activate, &op), INVALID_QUANTIZATION, "x");

  NULLS(channel_shuffle, shuffle);
  EXPECT(kolibri_channel_shuffle_create(&shuffle, &op), INVALID_ZERO, "groups");

  NULLS(squeeze_excite, excite);
  EXPECT(kolibri_squeeze_excite_create(&excite, &op), INVALID_NULL, "weights");
  excite.w_reduce = excite.w_expand = weights;
  EXPECT(kolibri_squeeze_excite_create(&excite, &op), INVALID_ZERO, "channels");
  excite.c = C, excite.reduced = SIZE_MAX / C + 2;
  EXPECT(kolibri_squeeze_excite_create(&excite, &op), INVALID_OVERFLOW, "weights");
  excite.reduced = 2;
  EXPECT(kolibri_squeeze_excite_create(&excite, &op), INVALID_LENGTH, "w_reduce");

  NULLS(chain, chain);
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_NULL, "convs");
  chain.convs = convs, convs[0] = convs[1] = &conv;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_CHAIN, "convs");
  chain.convs_len = 1;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_CHAIN, "convs");
  chain.convs_len = SIZE_MAX;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_OVERFLOW, "convs");
  chain.convs_len = 9;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_CHAIN, "convs");
  chain.convs_len = 2, convs[1] = NULL;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_NULL, "convs[1]");
  convs[1] = &conv_i8;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_CHAIN, "convs[1].dtype");
  wide.cin = 2 * C, wide.cout = wide.bias_len = C / 2, convs[1] = &wide;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_CHAIN, "convolution 1");
  convs[1] = &conv, chain.fusion = 4;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_VALUE, "fusion");
  chain.fusion = KOLIBRI_FUSION_STRIPS;
  EXPECT(kolibri_chain_create(&chain, &op), INVALID_ZERO, "strips");
  CHECK(op == NULL);
}

static void about_queries(const kolibri_operator *op) {
  const size_t shape[4] = {1, H, W, C}, zero[4] = {1, 0, W, C}, huge[4] = {1, SIZE_MAX, SIZE_MAX, C};
  size_t y[4] = {7, 7, 7, 7}, size = 7, length = 0;
  char name[64] = "x", small[4] = "xyz";

  EXPECT(kolibri_output_shape(NULL, shape, y), INVALID_NULL, "op");
  EXPECT(kolibri_output_shape(op, NULL, y), INVALID_NULL, "x");
  EXPECT(kolibri_output_shape(op, shape, NULL), INVALID_NULL, "y");
  EXPECT(kolibri_output_shape(op, zero, y), INVALID_ZERO, "height");
  EXPECT(kolibri_output_shape(op, huge, y), INVALID_OVERFLOW, "padd");
  EXPECT(kolibri_workspace_size(NULL, shape, 1, &size), INVALID_NULL, "op");
  EXPECT(kolibri_workspace_size(op, NULL, 1, &size), INVALID_NULL, "x");
  EXPECT(kolibri_workspace_size(op, shape, 1, NULL), INVALID_NULL, "size");
  EXPECT(kolibri_workspace_size(op, shape, 0, &size), INVALID_PARALLEL, "threads");
  EXPECT(kolibri_workspace_size(op, zero, 1, &size), INVALID_ZERO, "height");
  EXPECT(kolibri_workspace_size(op, huge, 1, &size), INVALID_OVERFLOW, "size");
  CHECK(y[0] == 7 && y[3] == 7 && size == 7);
  OK(kolibri_workspace_size(op, shape, SIZE_MAX, &size));

  EXPECT(kolibri_operator_kernel(NULL, 0, name, sizeof name, &length), INVALID_NULL, "op");
  EXPECT(kolibri_operator_kernel(op, 99, name, sizeof name, &length), INVALID_INDEX, "index");
  EXPECT(kolibri_level(99, name, sizeof name, &length), INVALID_INDEX, "index");
  EXPECT(kolibri_kernel("portable", SIZE_MAX, name, sizeof name, &length), INVALID_INDEX, "index");
  EXPECT(kolibri_kernel("avx9", 0, name, sizeof name, &length), INVALID_LEVEL, "avx9");
  CHECK(strcmp(name, "x") == 0 && length == 0);
  OK(kolibri_kernel("portable", 0, NULL, 0, NULL));
  OK(kolibri_kernel("portable", 0, small, sizeof small, &length));
  CHECK(strlen(small) == 3 && length > 3);
  OK(kolibri_level(0, name, 1, &length));
  CHECK(name[0] == 0 && length > 0);
  OK(kolibri_selected_level(NULL, 9, &length));
}

static void about_runs(const kolibri_operator *op, const kolibri_operator *add) {
  static char workspace[1 << 20];
  const kolibri_image good_x = image(data, KOLIBRI_DTYPE_F32);
  const kolibri_image_mut good_y = image_mut(out, KOLIBRI_DTYPE_F32);
  const size_t shape[4] = {1, H, W, C};
  kolibri_image x;
  kolibri_image_mut y;
  kolibri_parallel parallel;
  size_t size = 0, i;

  OK(kolibri_workspace_size(op, shape, 2, &size));
  CHECK(size > 0 && size <= sizeof workspace);
  memset(out, 0x55, sizeof out);
#define RUN(x, b, y) kolibri_run(op, x, b, y, workspace, size, NULL)
  EXPECT(kolibri_run(NULL, &good_x, NULL, &good_y, workspace, size, NULL), INVALID_NULL, "op");
  EXPECT(RUN(NULL, NULL, &good_y), INVALID_NULL, "x");
  EXPECT(RUN(&good_x, NULL, NULL), INVALID_NULL, "y");
  EXPECT(kolibri_run(op, &good_x, NULL, &good_y, NULL, size, NULL), INVALID_NULL, "workspace");
  EXPECT(kolibri_run(op, &good_x, NULL, &good_y, NULL, 0, NULL), INVALID_WORKSPACE, "workspace");
  EXPECT(kolibri_run(op, &good_x, NULL, &good_y, workspace, 1, NULL), INVALID_WORKSPACE, "workspace");
  EXPECT(kolibri_run(op, &good_x, NULL, &good_y, workspace, SIZE_MAX, NULL), INVALID_OVERFLOW, "workspace");
  EXPECT(kolibri_run(op, &good_x, NULL, &good_y, out, sizeof out, NULL), INVALID_OVERLAP, "workspace");
#define WRONG(field, value, name, words) (x = good_x, x.field = value, EXPECT(RUN(&x, NULL, &good_y), name, words))
  WRONG(struct_size, 8, INVALID_STRUCT_SIZE, "x");
  WRONG(struct_size, SIZE_MAX, UNSUPPORTED_STRUCT_SIZE, "x");
  WRONG(dtype, 77, INVALID_VALUE, "dtype");
  WRONG(dtype, KOLIBRI_DTYPE_I8, INVALID_SHAPE, "x");
  WRONG(data, NULL, INVALID_NULL, "x");
  WRONG(data, (const char *)data + 2, INVALID_ALIGNMENT, "x");
  WRONG(data, (const void *)(UINTPTR_MAX - 3), INVALID_OVERFLOW, "x");
  WRONG(len, H * W * C - 1, INVALID_LENGTH, "x");
  WRONG(len, 0, INVALID_LENGTH, "x");
  WRONG(len, SIZE_MAX, INVALID_OVERFLOW, "x");
  WRONG(n, 0, INVALID_ZERO, "batch");
  WRONG(n, SIZE_MAX / 64, INVALID_OVERFLOW, "x");
  WRONG(h, H + 1, INVALID_LENGTH, "x");
  WRONG(h, H - 1, INVALID_SHAPE, "y");
  WRONG(w, SIZE_MAX, INVALID_OVERFLOW, "x");
  WRONG(c, C - 1, INVALID_SHAPE, "x");
  WRONG(c, 0, INVALID_ZERO, "channels");
  WRONG(pixel_stride, C - 1, INVALID_STRIDE, "pixel_stride");
  WRONG(pixel_stride, SIZE_MAX, INVALID_OVERFLOW, "x");
  WRONG(data, out, INVALID_OVERLAP, "x");
  WRONG(data, out + H * W * C - 1, INVALID_OVERLAP, "x");
#undef WRONG
#define WRONG(field, value, name, words) (y = good_y, y.field = value, EXPECT(RUN(&good_x, NULL, &y), name, words))
  WRONG(struct_size, 0, INVALID_STRUCT_SIZE, "y");
  WRONG(data, NULL, INVALID_NULL, "y");
  WRONG(len, 3, INVALID_LENGTH, "y");
  WRONG(c, C / 2, INVALID_SHAPE, "y");
  WRONG(pixel_stride, 1, INVALID_STRIDE, "pixel_stride");
#undef WRONG
  x = good_x, x.h = 1;
  EXPECT(RUN(&good_x, &x, &good_y), INVALID_SHAPE, "residual");
  x = good_x, x.data = out;
  EXPECT(RUN(&good_x, &x, &good_y), INVALID_OVERLAP, "residual");
  EXPECT(kolibri_run(add, &good_x, NULL, &good_y, NULL, 0, NULL), INVALID_INPUT, "b");

  memset(&parallel, 0, sizeof parallel);
#define LENT kolibri_run(op, &good_x, NULL, &good_y, workspace, size, &parallel)
  EXPECT(LENT, INVALID_STRUCT_SIZE, "parallel");
  parallel.struct_size = sizeof parallel;
  EXPECT(LENT, INVALID_PARALLEL, "threads");
  parallel.threads = 2;
  EXPECT(LENT, INVALID_NULL, "parallel_for");
  parallel.parallel_for = serial_for, parallel.threads = 1000;
  EXPECT(LENT, INVALID_WORKSPACE, "workspace");
  for (i = 0; i < sizeof out; i++)
    if (((const unsigned char *)out)[i] != 0x55)
      break;
  CHECK(i == sizeof out); /* nothing was written */
  parallel.threads = 2, parallel.parallel_for = lazy_for;
  EXPECT(LENT, INVALID_PARALLEL, "1 tasks were not run");
  parallel.parallel_for = eager_for;
  OK(LENT);
  OK(RUN(&good_x, &good_x, &good_y));
  OK(kolibri_run(op, &good_x, NULL, &good_y, workspace + 1, sizeof workspace - 1, NULL)); /* of any alignment */
  x = good_x, x.len = sizeof data / sizeof *data; /* more is no harm */
  OK(RUN(&x, NULL, &good_y));
}

static void about_streams(void) {
  const kolibri_image good_x = image(data, KOLIBRI_DTYPE_F32);
  const kolibri_image_mut good_y = image_mut(out, KOLIBRI_DTYPE_F32);
  kolibri_image x = good_x;
  kolibri_image_mut y = good_y;
  kolibri_quant_params params, wrong;
  const size_t len = H * W * C;
  params.scale = 0.5f, params.zero_point = 3;

  EXPECT(kolibri_copy(NULL, &good_y, NULL), INVALID_NULL, "x");
  EXPECT(kolibri_copy(&good_x, NULL, NULL), INVALID_NULL, "y");
  x.dtype = 0;
  EXPECT(kolibri_copy(&x, &good_y, NULL), INVALID_VALUE, "dtype");
  x.dtype = KOLIBRI_DTYPE_U8;
  EXPECT(kolibri_copy(&x, &good_y, NULL), INVALID_SHAPE, "y");
  x = good_x, x.data = out;
  EXPECT(kolibri_copy(&x, &good_y, NULL), INVALID_OVERLAP, "x");
  y.h = 2, y.w = 8;
  EXPECT(kolibri_copy(&good_x, &y, NULL), INVALID_SHAPE, "y");

  EXPECT(kolibri_nchw_to_nhwc(NULL, len, &good_y, NULL), INVALID_NULL, "x");
  EXPECT(kolibri_nchw_to_nhwc(data, len, NULL, NULL), INVALID_NULL, "y");
  EXPECT(kolibri_nchw_to_nhwc(data, len + 1, &good_y, NULL), INVALID_LENGTH, "x");
  EXPECT(kolibri_nchw_to_nhwc(data, SIZE_MAX, &good_y, NULL), INVALID_OVERFLOW, "x");
  EXPECT(kolibri_nchw_to_nhwc((const char *)data + 1, len, &good_y, NULL), INVALID_ALIGNMENT, "x");
  EXPECT(kolibri_nchw_to_nhwc(out, len, &good_y, NULL), INVALID_OVERLAP, "x");
  EXPECT(kolibri_nhwc_to_nchw(NULL, out, len, NULL), INVALID_NULL, "x");
  EXPECT(kolibri_nhwc_to_nchw(&good_x, NULL, len, NULL), INVALID_NULL, "y");
  EXPECT(kolibri_nhwc_to_nchw(&good_x, out, len - 1, NULL), INVALID_LENGTH, "y");
  EXPECT(kolibri_nhwc_to_nchw(&good_x, data, len, NULL), INVALID_OVERLAP, "x");

  EXPECT(kolibri_quantize(NULL, out_i8, len, KOLIBRI_DTYPE_I8, params), INVALID_NULL, "x");
  EXPECT(kolibri_quantize(data, NULL, len, KOLIBRI_DTYPE_I8, params), INVALID_NULL, "y");
  EXPECT(kolibri_quantize(data, out_i8, SIZE_MAX, KOLIBRI_DTYPE_I8, params), INVALID_OVERFLOW, "x");
  EXPECT(kolibri_quantize(data, out_i8, len, KOLIBRI_DTYPE_F32, params), INVALID_VALUE, "dtype");
  EXPECT(kolibri_quantize(data, data, len, KOLIBRI_DTYPE_I8, params), INVALID_OVERLAP, "x");
  wrong = params, wrong.scale = -1;
  EXPECT(kolibri_quantize(data, out_i8, len, KOLIBRI_DTYPE_I8, wrong), INVALID_QUANTIZATION, "params");
  EXPECT(kolibri_dequantize(NULL, out, len, KOLIBRI_DTYPE_I8, params), INVALID_NULL, "x");
  EXPECT(kolibri_dequantize(data_i8, NULL, len, KOLIBRI_DTYPE_I8, params), INVALID_NULL, "y");
  EXPECT(kolibri_dequantize(data_i8, out, len, 9, params), INVALID_VALUE, "dtype");
  EXPECT(kolibri_dequantize(out, out, len, KOLIBRI_DTYPE_U8, params), INVALID_OVERLAP, "x");
  wrong = params, wrong.zero_point = -1;
  EXPECT(kolibri_dequantize(data_i8, out, len, KOLIBRI_DTYPE_U8, wrong), INVALID_QUANTIZATION, "params");
  OK(kolibri_quantize(data, out_i8, 0, KOLIBRI_DTYPE_I8, params));
}

static void about_bytes(void) {
  const kolibri_conv2d_desc desc = conv2d_i8();
  const kolibri_image x = image(data_i8, KOLIBRI_DTYPE_I8);
  const kolibri_image_mut y = image_mut(out_i8, KOLIBRI_DTYPE_I8);
  static char workspace[1 << 20];
  kolibri_operator *op = NULL;
  OK(kolibri_conv2d_create(&desc, &op));
  EXPECT(kolibri_run(op, &x, &x, &y, workspace, sizeof workspace, NULL), INVALID_QUANTIZATION, "residual");
  OK(kolibri_run(op, &x, NULL, &y, workspace, sizeof workspace, NULL));
  kolibri_destroy(op);
}

int main(void) {
  const kolibri_conv2d_desc desc = conv2d();
  kolibri_add_desc add_desc;
  kolibri_operator *op = NULL, *add = NULL;
  char text[8] = "xxxxxxx";

  CHECK(kolibri_last_error(NULL, 0) == 0); /* nothing has failed */
  CHECK(kolibri_last_error(text, sizeof text) == 0 && text[0] == 0);
  CHECK(kolibri_abi_version() == KOLIBRI_ABI_VERSION && strchr(kolibri_version(), '.') != NULL);
  about_creation();
  about_other_operators();
  OK(kolibri_conv2d_create(&desc, &op));
  memset(&add_desc, 0, sizeof add_desc);
  add_desc.struct_size = sizeof add_desc;
  add_desc.dtype = KOLIBRI_DTYPE_F32;
  OK(kolibri_add_create(&add_desc, &add));
  about_queries(op);
  about_runs(op, add);
  about_streams();
  about_bytes();
  CHECK(kolibri_last_error(text, 4) > 4 && strlen(text) == 3); /* as much as fits */
  kolibri_destroy(op);
  kolibri_destroy(add);
  op = NULL;
  kolibri_destroy(op); /* NULL is nothing to destroy, */
  kolibri_destroy(op); /* however often */
  printf("%d failures\n", failures);
  return failures != 0;
}
