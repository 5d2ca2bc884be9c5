/* test_cuda_similarity.c — kernels/cuda/similarity.cu against double precision. */
#include "kernel_test.h"

static void similarity_case(int rows, int classes, int dim, bool sigmoid)
{
    const size_t count = (size_t)rows * classes;
    float *x = test_floats((size_t)rows * dim, 1 / sqrtf((float)dim), 0), *y;
    float *t = test_floats((size_t)classes * dim, 1, 0);
    double *want = malloc(count * sizeof *want);
    for (size_t i = 0; i < count; i++) {
        double dot = 0;
        for (int k = 0; k < dim; k++) dot += (double)x[i / classes * dim + k] * t[i % classes * dim + k];
        want[i] = sigmoid ? 1 / (1 + exp(-dot)) : dot;
    }
    float *dx = test_device(x, (size_t)rows * dim * 4), *dt = test_device(t, (size_t)classes * dim * 4);
    float *dy = test_device(NULL, count * 4);
    char what[80];
    snprintf(what, sizeof what, "similarity [%d, %d, %d] sigmoid %d", rows, classes, dim, sigmoid);
    TEST_RUN(y, dy, count * 4, what, t2d_cuda_similarity(dy, dx, dt, rows, classes, dim, sigmoid, 0));
    test_close(what, y, T2D_DTYPE_FP32, want, count, test_tolerance(T2D_DTYPE_FP32));
    cudaFree(dx), cudaFree(dt), cudaFree(dy), free(x), free(t), free(y), free(want);
}

Test(cuda_similarity, scores)
{
    test_seed();
    similarity_case(1, 1, 1, false);
    similarity_case(65, 63, 17, true);
    similarity_case(16, 66, 200, false);
    similarity_case(7 + test_bits() % 60, 3, 64, true);
}

Test(cuda_similarity, merge_max)
{
    test_seed();
    enum { ROWS = 300, CLASSES = 7, GROUPS = 3 };
    const int32_t first[GROUPS + 1] = {0, 1, 5, 7};
    float *x = test_floats(ROWS * CLASSES, 1, -3), *y;
    float *dx = test_device(x, ROWS * CLASSES * 4), *dy = test_device(NULL, ROWS * GROUPS * 4);
    int32_t *df = test_device(first, sizeof first);
    TEST_RUN(y, dy, ROWS * GROUPS * 4, "merge_max", t2d_cuda_merge_max(dy, dx, df, ROWS, CLASSES, GROUPS, 0));
    for (int i = 0; i < ROWS * GROUPS; i++) {
        float best = -INFINITY;
        for (int c = first[i % GROUPS]; c < first[i % GROUPS + 1]; c++)
            best = fmaxf(best, x[i / GROUPS * CLASSES + c]);
        cr_assert(y[i] == best, "result %d: got %.9g, want %.9g", i, (double)y[i], (double)best);
    }
    cudaFree(dx), cudaFree(dy), cudaFree(df), free(x), free(y);
}
