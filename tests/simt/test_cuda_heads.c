/* test_cuda_heads.c — kernels/cuda/heads.cu against sums in double precision. */
#include "kernel_test.h"

static void cls_logits_case(t2d_dtype type, int sequences, int tokens, int skip, int heads)
{
    const int width = heads * 64, patches = tokens - skip;
    const size_t from = (size_t)sequences * tokens * 3 * width, count = (size_t)sequences * heads * patches;
    float *x = test_floats(from, 1.5f, 0), *logits;
    void *qkv = test_encode(x, from, type);
    double *want = calloc(count, sizeof *want);
    for (int s = 0; s < sequences; s++)
        for (int h = 0; h < heads; h++)
            for (int p = 0; p < patches; p++)
                for (int c = 0; c < 64; c++) {
                    const float *q = x + (size_t)s * tokens * 3 * width + h * 64;
                    const float *k = q + (size_t)(skip + p) * 3 * width + width;
                    want[((size_t)s * heads + h) * patches + p] += (double)q[c] / 8 * k[c];
                }
    void *in = test_device(qkv, from * test_size(type)), *out = test_device(NULL, count * 4);
    char what[80];
    snprintf(what, sizeof what, "cls_logits [%d, %d - %d, %d heads] %s", sequences, tokens, skip, heads,
             test_type_names[type]);
    TEST_RUN(logits, out, count * 4, what,
             t2d_cuda_cls_logits(out, in, type, sequences, tokens, skip, heads, 0));
    test_close(what, logits, T2D_DTYPE_FP32, want, count, 3e-6);
    cudaFree(in), cudaFree(out), free(x), free(qkv), free(logits), free(want);
}

Test(cuda_heads, cls_logits)
{
    test_seed();
    for (int type = 0; type < 3; type++) {
        cls_logits_case((t2d_dtype)type, 1, 2, 1, 1);
        cls_logits_case((t2d_dtype)type, 2, 38, 5, 6);
        cls_logits_case((t2d_dtype)type, 1, 101, 5, 12);
    }
}

/* Weights of one head: softmax of its logits, or the logits, over the number of patches. */
static void weights_oracle(double *w, const float *logits, int patches, bool softmax)
{
    double most = -INFINITY, sum = 0;
    for (int p = 0; p < patches; p++) most = fmax(most, logits[p]);
    for (int p = 0; p < patches; p++) sum += exp(logits[p] - most);
    for (int p = 0; p < patches; p++) w[p] = (softmax ? exp(logits[p] - most) / sum : logits[p]) / patches;
}

static void sums_case(bool softmax, int sequences, int tokens, int skip, int heads, int dim)
{
    const int patches = tokens - skip;
    const size_t weights = (size_t)sequences * heads * patches, from = (size_t)sequences * tokens * dim;
    const size_t count = (size_t)sequences * heads * dim;
    float *logits = test_floats(weights, 3, 1), *features = test_floats(from, 2, 0), *sums;
    double *want = calloc(count, sizeof *want), *w = malloc(patches * sizeof *w);
    for (int s = 0; s < sequences; s++)
        for (int h = 0; h < heads; h++) {
            weights_oracle(w, logits + ((size_t)s * heads + h) * patches, patches, softmax);
            for (int p = 0; p < patches; p++)
                for (int c = 0; c < dim; c++)
                    want[((size_t)s * heads + h) * dim + c] +=
                        w[p] * features[((size_t)s * tokens + skip + p) * dim + c];
        }
    void *dl = test_device(logits, weights * 4), *df = test_device(features, from * 4);
    void *out = test_device(NULL, count * 4);
    char what[96];
    snprintf(what, sizeof what, "%s [%d, %d - %d, %d heads, %d]", softmax ? "head_pool" : "head_views",
             sequences, tokens, skip, heads, dim);
    TEST_RUN(sums, out, count * 4, what,
             softmax ? t2d_cuda_head_pool(out, dl, df, sequences, tokens, skip, heads, dim, 0)
                     : t2d_cuda_head_views(out, dl, df, sequences, tokens, skip, heads, dim, 0));
    /* 1/P makes them small: compared as sums over the patches.  Views are sums of up to 128 terms as large as
     * 50 that cancel; a softmax's terms add up to 1. */
    for (size_t i = 0; i < count; i++) want[i] *= patches, sums[i] *= (float)patches;
    test_close(what, sums, T2D_DTYPE_FP32, want, count, softmax ? 5e-6 : 1e-4);
    cudaFree(dl), cudaFree(df), cudaFree(out);
    free(logits), free(features), free(sums), free(want), free(w);
}

Test(cuda_heads, sums)
{
    test_seed();
    for (int softmax = 0; softmax < 2; softmax++) {
        sums_case(softmax, 1, 2, 1, 1, 1);
        sums_case(softmax, 2, 70, 5, 6, 40);
        sums_case(softmax, 1, 133, 5, 12, 64);
        sums_case(softmax, 1, 65, 1, 24, 33);
        sums_case(softmax, 1, 64, 0, 32, 32);
    }
    cr_expect(t2d_cuda_head_pool(NULL, NULL, NULL, 1, 2, 1, 33, 8, 0) != 0);
}
