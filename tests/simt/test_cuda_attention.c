/* test_cuda_attention.c — kernels/cuda/attention.cu against softmax attention in double precision. */
#include "kernel_test.h"

/* q, k and v are `scale` large.  fp32: a score's round-off grows with its size, and moves v.  Else p is
 * rounded to the type before the second product: half an ulp of max |v|, and the result's own rounding. */
static double tolerance(t2d_dtype type, double scale)
{
    if (type == T2D_DTYPE_FP32) return 1.3e-6 * scale * scale * scale;
    return (type == T2D_DTYPE_FP16 ? 1.1e-3 : 8e-3) * scale;
}

static void oracle_row(double *out, const float *qkv, int tokens, int width, int query, bool causal,
                       double *score)
{
    const float *q = qkv + (size_t)query * 3 * width, *k = qkv + width, *v = qkv + 2 * width;
    const int keys = causal ? query + 1 : tokens;
    double most = -INFINITY, sum = 0;
    for (int j = 0; j < keys; j++) {
        double dot = 0;
        for (int c = 0; c < 64; c++) dot += (double)q[c] * k[(size_t)j * 3 * width + c];
        score[j] = dot / 8;
        most = fmax(most, score[j]);
    }
    memset(out, 0, 64 * sizeof *out);
    for (int j = 0; j < keys; j++) {
        const double p = exp(score[j] - most);
        sum += p;
        for (int c = 0; c < 64; c++) out[c] += p * v[(size_t)j * 3 * width + c];
    }
    for (int c = 0; c < 64; c++) out[c] /= sum;
}

static double *oracle(const float *qkv, int sequences, int tokens, int heads, bool causal)
{
    const int width = heads * 64;
    double *out = malloc((size_t)sequences * tokens * width * sizeof *out),
           *score = malloc(tokens * sizeof *score);
    for (int s = 0; s < sequences; s++)
        for (int i = 0; i < tokens; i++)
            for (int h = 0; h < heads; h++)
                oracle_row(out + ((size_t)s * tokens + i) * width + h * 64,
                           qkv + (size_t)s * tokens * 3 * width + h * 64, tokens, width, i, causal, score);
    free(score);
    return out;
}

static void attention_case(t2d_dtype type, int sequences, int tokens, int heads, bool causal, float scale)
{
    const size_t count = (size_t)sequences * tokens * heads * 64, size = test_size(type);
    float *x = test_floats(3 * count, scale, 0);
    void *qkv = test_encode(x, 3 * count, type), *mix, *alone;
    void *in = test_device(qkv, 3 * count * size), *out = test_device(NULL, count * size);
    char what[96];
    snprintf(what, sizeof what, "attention [%d, %d, %d heads]%s %s", sequences, tokens, heads,
             causal ? " causal" : "", test_type_names[type]);
    TEST_RUN(mix, out, count * size, what,
             t2d_cuda_attention(out, in, type, sequences, tokens, heads, causal, 0));
    double *want = oracle(x, sequences, tokens, heads, causal);
    test_close(what, mix, type, want, count, tolerance(type, scale));

    if (sequences > 1) { /* the last sequence has the same bits when it travels alone */
        const size_t one = count / sequences, last = (sequences - 1) * one;
        void *in1 = test_device((char *)qkv + 3 * last * size, 3 * one * size),
             *out1 = test_device(NULL, one * size);
        TEST_RUN(alone, out1, one * size, what,
                 t2d_cuda_attention(out1, in1, type, 1, tokens, heads, causal, 0));
        cr_assert(memcmp(alone, (char *)mix + last * size, one * size) == 0, "%s: the batch changes bits",
                  what);
        cudaFree(in1), cudaFree(out1), free(alone);
    }
    cudaFree(in), cudaFree(out), free(x), free(qkv), free(mix), free(want);
}

static void lengths(t2d_dtype type)
{
    static const int some[] = {1, 5, 16, 17, 63, 64, 65, 77, 128, 257};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        attention_case(type, some[i] < 66 ? 2 : 1, some[i], some[i] < 130 ? 2 : 1, false, 1.5f);
    attention_case(type, 2, 77, 1, true, 1.5f);
    attention_case(type, 1, 1, 1, true, 1.5f);
    attention_case(type, 1, 130, 1, true, 1.5f);
    attention_case(type, 1, 129, 1, false, 6); /* sharp: one key takes nearly all */
    if (type != T2D_DTYPE_FP32 || test_fast_build()) attention_case(type, 1, 1029, 1, false, 1.5f);
    if (test_fast_build()) attention_case(type, 1, 1374, 1, false, 1.5f);
}

Test(cuda_attention, fp32) { test_seed(), lengths(T2D_DTYPE_FP32); }
Test(cuda_attention, fp16) { test_seed(), lengths(T2D_DTYPE_FP16); }
Test(cuda_attention, bf16) { test_seed(), lengths(T2D_DTYPE_BF16); }

#ifndef T2D_ON_GPU
Test(cuda_attention, no_bank_conflicts)
{
    test_seed();
    simt_get_stats(1);
    attention_case(T2D_DTYPE_BF16, 1, 130, 1, false, 1);
    const simt_stats stats = simt_get_stats(0);
    cr_expect(stats.ldmatrix > 0);
    cr_expect_eq(stats.ldmatrix_conflicts, 0);
}
#endif
