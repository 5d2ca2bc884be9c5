/* test_cuda_clean.c — kernels/cuda/clean.cu against the published steps in double precision. */
#include "kernel_test.h"

typedef struct shape {
    int sequences, tokens, skip, heads, dim, classes;
} shape;

static double dot(const double *a, const float *b, int dim)
{
    double sum = 0;
    for (int c = 0; c < dim; c++) sum += a[c] * b[c];
    return sum;
}

/* w [heads] of a class: softmax over heads of text . unit(view). */
static void weights_oracle(double *w, const double *views, const float *text, shape k)
{
    double sum = 0;
    for (int h = 0; h < k.heads; h++) {
        double squares = 0;
        for (int c = 0; c < k.dim; c++) squares += views[h * k.dim + c] * views[h * k.dim + c];
        sum += w[h] = exp(dot(views + h * k.dim, text, k.dim) / sqrt(squares));
    }
    for (int h = 0; h < k.heads; h++) w[h] /= sum;
}

static void clean_oracle(double *out, const float *scores, const float *logits, const float *features,
                         const float *text, shape k, double lambda)
{
    const int patches = k.tokens - k.skip;
    double *views = calloc((size_t)k.heads * k.dim, sizeof *views), *w = malloc(k.heads * sizeof *w);
    double *a = malloc((size_t)patches * k.classes * sizeof *a);
    double low = INFINITY, high = -INFINITY, worst = INFINITY, best = -INFINITY;
    for (int h = 0; h < k.heads; h++)
        for (int p = 0; p < patches; p++)
            for (int c = 0; c < k.dim; c++)
                views[h * k.dim + c] +=
                    (double)logits[h * patches + p] * features[(k.skip + p) * k.dim + c] / patches;
    for (int n = 0; n < k.classes; n++) {
        double sum = 0;
        weights_oracle(w, views, text + n * k.dim, k);
        for (int p = 0; p < patches; p++) {
            double g = 0;
            for (int h = 0; h < k.heads; h++) g += w[h] * logits[h * patches + p];
            sum += a[p * k.classes + n] = exp(g);
        }
        for (int p = 0; p < patches; p++) {
            const int i = p * k.classes + n;
            a[i] /= sum;
            low = fmin(low, a[i]), high = fmax(high, a[i]);
            worst = fmin(worst, scores[i]), best = fmax(best, scores[i]);
        }
    }
    for (int i = 0; i < patches * k.classes; i++)
        out[i] = (scores[i] + lambda * ((a[i] - low) / fmax(high, high - low) * (best - worst) + worst)) /
                 (1 + lambda);
    free(views), free(w), free(a);
}

static int clean_again(void *d, const float *scores, size_t count, void *logits, void *features, void *text,
                       shape k, void *workspace)
{
    cudaMemcpy(d, scores, count * 4, 1);
    return t2d_cuda_clean(d, logits, features, text, k.sequences, k.tokens, k.skip, k.heads, k.dim, k.classes,
                          .2f, workspace, 0);
}

static void clean_case(shape k)
{
    const int patches = k.tokens - k.skip;
    const size_t one = (size_t)patches * k.classes, count = k.sequences * one;
    const size_t views = (size_t)k.sequences * k.heads * patches,
                 tokens = (size_t)k.sequences * k.tokens * k.dim;
    float *scores = test_floats(count, .05f, .5f), *logits = test_floats(views, 1, 1);
    float *features = test_floats(tokens, 2, .5f), *text = test_floats((size_t)k.classes * k.dim, .1f, 0),
          *got;
    double *want = malloc(count * sizeof *want);
    for (int s = 0; s < k.sequences; s++)
        clean_oracle(want + s * one, scores + s * one, logits + (size_t)s * k.heads * patches,
                     features + (size_t)s * k.tokens * k.dim, text, k, .2f);
    void *ds = test_device(scores, count * 4), *dl = test_device(logits, views * 4);
    void *df = test_device(features, tokens * 4), *dt = test_device(text, (size_t)k.classes * k.dim * 4);
    void *dw = test_device(NULL, t2d_cuda_clean_bytes(k.sequences, k.heads, k.dim, k.classes));
    char what[96];
    snprintf(what, sizeof what, "clean [%d, %d - %d], %d heads, %d classes, dim %d", k.sequences, k.tokens,
             k.skip, k.heads, k.classes, k.dim);
    TEST_RUN(got, ds, count * 4, what, clean_again(ds, scores, count, dl, df, dt, k, dw));
    test_close(what, got, T2D_DTYPE_FP32, want, count, 3e-6);
    cudaFree(ds), cudaFree(dl), cudaFree(df), cudaFree(dt), cudaFree(dw);
    free(scores), free(logits), free(features), free(text), free(got), free(want);
}

Test(cuda_clean, shapes)
{
    test_seed();
    clean_case((shape){1, 2, 1, 1, 8, 1});
    clean_case((shape){2, 41, 5, 6, 40, 9});
    clean_case((shape){1, 70, 1, 12, 64, 21});
    clean_case((shape){1, 30, 5, 24, 33, 300});
    clean_case((shape){1, 33, 0, 32, 16, 8});
}
