/* test_cuda_gemm.c — kernels/cuda/gemm.c and the library it opens (on the emulator: cublaslt_mock.c) against
 * sums in double precision: types, bias, addition, sequences apart, any number of them with the same bits. */
#include "cuda/gemm.h"
#include "kernel_test.h"

typedef struct shape {
    int sequences, tokens, out, in, gap; /* gap: rows of y between sequences that are not the product's */
} shape;

static const shape shapes[] = {{1, 1, 8, 8, 0}, {1, 33, 24, 72, 0}, {3, 5, 64, 40, 0}, {4, 7, 16, 592, 5}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* y [sequences, tokens + gap, out]; rows of the gap stay as they were. */
static double *oracle(const shape *s, const float *x, const float *w, const float *bias, const float *before,
                      bool add)
{
    const int rows = s->tokens + s->gap;
    double *y = malloc((size_t)s->sequences * rows * s->out * sizeof *y);
    for (int q = 0; q < s->sequences; q++)
        for (int t = 0; t < rows; t++)
            for (int o = 0; o < s->out; o++) {
                const size_t at = ((size_t)q * rows + t) * s->out + o;
                y[at] = before[at];
                if (t >= s->tokens) continue;
                double sum = (add ? before[at] : 0) + (bias ? bias[o] : 0);
                for (int c = 0; c < s->in; c++)
                    sum += (double)x[((size_t)q * s->tokens + t) * s->in + c] * w[(size_t)o * s->in + c];
                y[at] = sum;
            }
    return y;
}

static void product(t2d_gemm *gemm, const shape *s, t2d_dtype type, t2d_dtype result, bool with_bias,
                    bool add)
{
    const size_t xs = (size_t)s->sequences * s->tokens * s->in, ws = (size_t)s->out * s->in,
                 ys = (size_t)s->sequences * (s->tokens + s->gap) * s->out;
    float *x = test_floats(xs, 1, 0), *w = test_floats(ws, .2f, 0), *bias = test_floats(s->out, 1, 0),
          *before = test_floats(ys, 1, 0);
    void *hx = test_encode(x, xs, type), *hw = test_encode(w, ws, type),
         *hb = test_encode(bias, s->out, result), *hy = test_encode(before, ys, result);
    void *dx = test_device(hx, xs * test_size(type)), *dw = test_device(hw, ws * test_size(type)),
         *db = test_device(hb, s->out * test_size(result)), *dy = test_device(hy, ys * test_size(result));
    double *want = oracle(s, x, w, with_bias ? bias : NULL, before, add);
    t2d_gemm_job job = {.y = dy,
                        .x = dx,
                        .w = dw,
                        .bias = with_bias ? db : NULL,
                        .sequences = s->sequences,
                        .tokens = s->tokens,
                        .out = s->out,
                        .in = s->in,
                        .step = (size_t)(s->tokens + s->gap) * s->out,
                        .type = type,
                        .result = result,
                        .add = add};
    char what[96];
    snprintf(what, sizeof what, "[%d x %d, %d] x [%d], %s to %s%s%s", s->sequences, s->tokens, s->in, s->out,
             test_type_names[type], test_type_names[result], with_bias ? ", bias" : "", add ? ", add" : "");
    int e = t2d_gemm_run(gemm, &job, NULL);
    cr_assert_eq(e, 0, "%s: %s", what, t2d_gemm_explain(e));
    void *all = test_host(dy, ys * test_size(result));
    test_close(what, all, result, want, ys, test_tolerance(result) * (result == T2D_DTYPE_FP32 ? 10 : 1));

    /* the last sequence alone: the same bits */
    const size_t last = ys / s->sequences * (s->sequences - 1);
    cudaMemcpy(dy, hy, ys * test_size(result), cudaMemcpyHostToDevice);
    job.sequences = 1;
    job.x = (const char *)dx + xs / s->sequences * (s->sequences - 1) * test_size(type);
    job.y = (char *)dy + last * test_size(result);
    e = t2d_gemm_run(gemm, &job, NULL);
    cr_assert_eq(e, 0, "%s: %s", what, t2d_gemm_explain(e));
    void *alone = test_host(dy, ys * test_size(result));
    cr_assert(memcmp((char *)alone + last * test_size(result), (char *)all + last * test_size(result),
                     (ys - last) * test_size(result)) == 0,
              "%s: a sequence alone has other bits", what);
    cudaFree(dx), cudaFree(dw), cudaFree(db), cudaFree(dy);
    free(x), free(w), free(bias), free(before), free(hx), free(hw), free(hb), free(hy), free(want), free(all),
        free(alone);
}

Test(cuda_gemm, products)
{
    t2d_gemm *gemm;
    t2d_error err;
    char name[64];
    test_seed();
    cr_assert_eq(t2d_gemm_open(&gemm, name, &err), T2D_OK, "%s", err.message);
    cr_expect_eq(strncmp(name, "cuBLASLt ", 9), 0, "%s", name);
    for (int i = 0; i < SHAPES; i++)
        for (t2d_dtype type = T2D_DTYPE_FP32; type <= T2D_DTYPE_BF16; type++)
            for (int k = 0; k < 4; k++) {
                product(gemm, &shapes[i], type, type, k & 1, false);
                product(gemm, &shapes[i], type, T2D_DTYPE_FP32, k & 1, k >> 1);
            }
    t2d_gemm_close(gemm);
}

#ifndef T2D_ON_GPU
#include <dlfcn.h>

/* One algorithm per shape of a sequence, whatever the number of sequences; none that splits. */
Test(cuda_gemm, algorithms)
{
    t2d_gemm *gemm;
    t2d_error err;
    void *p = test_device(NULL, 1 << 20);
    cr_assert_eq(t2d_gemm_open(&gemm, NULL, &err), T2D_OK, "%s", err.message);
    void *mock = dlopen(T2D_MOCK, RTLD_NOW | RTLD_NOLOAD);
    cr_assert_not_null(mock);
    int *heuristics = dlsym(mock, "mock_heuristics"), *splits = dlsym(mock, "mock_splits");
    cr_assert(heuristics && splits, "this is not the mock");
    for (int sequences = 1; sequences < 20; sequences += 6) {
        const t2d_gemm_job job = {.y = p,
                                  .x = p,
                                  .w = p,
                                  .sequences = sequences,
                                  .tokens = 5,
                                  .out = 16,
                                  .in = 8,
                                  .step = 80,
                                  .type = T2D_DTYPE_BF16,
                                  .result = T2D_DTYPE_BF16};
        cr_assert_eq(t2d_gemm_run(gemm, &job, NULL), 0);
    }
    cr_expect_eq(*heuristics, 1);
    cr_expect_eq(*splits, 0);
    t2d_gemm_close(gemm);
    dlclose(mock);
    cudaFree(p);
}
#endif
