/* A separable block of MobileNet, depthwise 3x3 and pointwise with ReLU6, as a chain on threads of its own. Its answer
 * must equal that of the scalar reference bit for bit: both lie in separable.bin, which the library's tests write.
 *
 *   separable separable.bin
 */
#include "threads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { H = 9, W = 10, CIN = 11, COUT = 13, OH = 5, OW = 5 }; /* stride 2, SAME */

/* The file: little-endian floats. */
struct block {
  float x[H * W * CIN];
  float w_depthwise[CIN * 9], b_depthwise[CIN]; /* [channel][1][3][3] */
  float w_pointwise[COUT * CIN], b_pointwise[COUT];
  float y[OH * OW * COUT];
};

static void check(kolibri_status status, const char *what) {
  char message[256];
  if (status == KOLIBRI_STATUS_SUCCESS)
    return;
  kolibri_last_error(message, sizeof message);
  fprintf(stderr, "%s: status %d: %s\n", what, (int)status, message);
  exit(1);
}

static kolibri_conv2d_desc conv(size_t cin, size_t cout, const float *weights, size_t len, const float *bias) {
  kolibri_conv2d_desc desc;
  memset(&desc, 0, sizeof desc); /* what is not said below is left at its default */
  desc.struct_size = sizeof desc;
  desc.dtype = KOLIBRI_DTYPE_F32;
  desc.cin = cin;
  desc.cout = cout;
  desc.window.kernel[0] = desc.window.kernel[1] = 1;
  desc.weights = weights;
  desc.weights_len = len;
  desc.bias = bias;
  desc.bias_len = cout;
  desc.activation.kind = KOLIBRI_ACTIVATION_RELU6;
  return desc;
}

int main(int argc, char **argv) {
  static struct block block;
  static struct threads threads;
  static float y[OH * OW * COUT];
  const size_t shape[4] = {1, H, W, CIN};
  size_t out[4], size, i;
  kolibri_conv2d_desc depthwise, pointwise;
  const kolibri_conv2d_desc *convs[2];
  kolibri_chain_desc desc;
  kolibri_operator *chain = NULL;
  kolibri_parallel parallel;
  kolibri_image x;
  kolibri_image_mut to;
  void *workspace;
  char level[32], kernel[64];
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

  if (file == NULL || fread(&block, sizeof block, 1, file) != 1 || fgetc(file) != EOF) {
    fprintf(stderr, "usage: separable separable.bin\n");
    return 1;
  }
  fclose(file);
  if (kolibri_abi_version() < KOLIBRI_ABI_VERSION) {
    fprintf(stderr, "kolibri %s is older than its header\n", kolibri_version());
    return 1;
  }

  depthwise = conv(CIN, CIN, block.w_depthwise, CIN * 9, block.b_depthwise);
  depthwise.groups = CIN;
  depthwise.window.kernel[0] = depthwise.window.kernel[1] = 3;
  depthwise.window.stride[0] = depthwise.window.stride[1] = 2;
  depthwise.window.padding = KOLIBRI_PADDING_SAME;
  pointwise = conv(CIN, COUT, block.w_pointwise, COUT * CIN, block.b_pointwise);
  convs[0] = &depthwise;
  convs[1] = &pointwise;
  memset(&desc, 0, sizeof desc);
  desc.struct_size = sizeof desc;
  desc.dtype = KOLIBRI_DTYPE_F32;
  desc.convs = convs;
  desc.convs_len = 2;
  check(kolibri_chain_create(&desc, &chain), "kolibri_chain_create");

  check(kolibri_output_shape(chain, shape, out), "kolibri_output_shape");
  if (out[0] != 1 || out[1] != OH || out[2] != OW || out[3] != COUT) {
    fprintf(stderr, "an output of another shape\n");
    return 1;
  }
  check(kolibri_workspace_size(chain, shape, THREADS, &size), "kolibri_workspace_size");
  workspace = malloc(size);
  if (workspace == NULL || !threads_start(&threads)) {
    fprintf(stderr, "no memory or no threads\n");
    return 1;
  }
  memset(&parallel, 0, sizeof parallel);
  parallel.struct_size = sizeof parallel;
  parallel.threads = THREADS;
  parallel.parallel_for = threads_for;
  parallel.ctx = &threads;
  memset(&x, 0, sizeof x);
  x.struct_size = sizeof x;
  x.dtype = KOLIBRI_DTYPE_F32;
  x.data = block.x;
  x.len = H * W * CIN;
  x.n = 1;
  x.h = H;
  x.w = W;
  x.c = CIN;
  memset(&to, 0, sizeof to);
  to.struct_size = sizeof to;
  to.dtype = KOLIBRI_DTYPE_F32;
  to.data = y;
  to.len = OH * OW * COUT;
  to.n = 1;
  to.h = OH;
  to.w = OW;
  to.c = COUT;
  check(kolibri_run(chain, &x, NULL, &to, workspace, size, &parallel), "kolibri_run");

  check(kolibri_selected_level(level, sizeof level, NULL), "kolibri_selected_level");
  printf("kolibri %s, level %s, kernels", kolibri_version(), level);
  for (i = 0; kolibri_operator_kernel(chain, i, kernel, sizeof kernel, NULL) == KOLIBRI_STATUS_SUCCESS; i++)
    printf(" %s", kernel);
  kolibri_destroy(chain);
  threads_end(&threads);
  free(workspace);

  if (strcmp(level, "portable") == 0) { /* it may have no fused multiply-add */
    float worst = 0;
    for (i = 0; i < OH * OW * COUT; i++) {
      float apart = y[i] > block.y[i] ? y[i] - block.y[i] : block.y[i] - y[i];
      worst = apart > worst ? apart : worst;
    }
    printf(": at most %g apart from the reference\n", (double)worst);
    return worst > 1e-5f;
  }
  if (memcmp(y, block.y, sizeof y) != 0) {
    printf(": NOT the bits of the reference\n");
    return 1;
  }
  printf(": the bits of the reference\n");
  return 0;
}
