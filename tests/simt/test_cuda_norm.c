/* test_cuda_norm.c — kernels/cuda/norm.cu against formulas in double precision. */
#include "kernel_test.h"

static const int dims[] = {8, 200, 256, 384, 520, 768, 1000, 1024, 1288, 1536, 2048};
static const int some_rows[] = {1, 7, 8, 9, 33};
enum { DIMS = sizeof dims / sizeof *dims, ROWS = sizeof some_rows / sizeof *some_rows };

/* Returns the greatest |mean| / deviation of a row: what round-off of its mean is multiplied by. */
static double layernorm_oracle(double *y, const float *x, const float *w, const float *b, int rows, int dim,
                               double eps)
{
    double worst = 0;
    for (int r = 0; r < rows; r++, x += dim, y += dim) {
        double mean = 0, var = 0;
        for (int c = 0; c < dim; c++) mean += x[c] / (double)dim;
        for (int c = 0; c < dim; c++) var += (x[c] - mean) * (x[c] - mean) / dim;
        for (int c = 0; c < dim; c++) y[c] = (x[c] - mean) / sqrt(var + eps) * w[c] + b[c];
        worst = fmax(worst, fabs(mean) / sqrt(var + eps));
    }
    return worst;
}

static void layernorm_case(int rows, int dim, t2d_dtype type)
{
    const size_t count = (size_t)rows * dim;
    float *x = test_floats(count, 2, 1), *w = test_floats(dim, .3f, 1), *b = test_floats(dim, 1, 0);
    if (rows > 1) /* a row far from zero, as DINO's outlier tokens */
        for (int c = 0; c < dim; c++) x[c] = x[c] * 5 + 600;
    x[count - 1 - test_bits() % dim] = 2000; /* and a single outlier */
    void *dx = test_device(x, count * 4), *dw = test_device(w, dim * 4), *db = test_device(b, dim * 4);
    void *dy = test_device(NULL, count * test_size(type)), *y;
    char what[64];
    snprintf(what, sizeof what, "layernorm [%d, %d] %s", rows, dim, test_type_names[type]);
    TEST_RUN(y, dy, count * test_size(type), what,
             t2d_cuda_layernorm(dy, type, dx, dw, db, rows, dim, 1e-6f, 0));
    double *want = malloc(count * sizeof *want);
    const double far = layernorm_oracle(want, x, w, b, rows, dim, 1e-6);
    test_close(what, y, type, want, count,
               test_tolerance(type) + 8 * far * 0x1p-24); /* the mean within 8 roundings */
    cudaFree(dx), cudaFree(dw), cudaFree(db), cudaFree(dy);
    free(x), free(w), free(b), free(y), free(want);
}

Test(cuda_norm, layernorm)
{
    test_seed();
    for (int d = 0; d < DIMS; d++) layernorm_case(some_rows[d % ROWS], dims[d], (t2d_dtype)(d % 3));
    for (int type = 0; type < 3; type++)
        for (int r = 0; r < ROWS; r++) layernorm_case(some_rows[r], 384, (t2d_dtype)type);
    cr_expect(t2d_cuda_layernorm(NULL, T2D_DTYPE_FP32, NULL, NULL, NULL, 1, 12, 0, 0) != 0);
    cr_expect(t2d_cuda_layernorm(NULL, T2D_DTYPE_FP32, NULL, NULL, NULL, 1, 2056, 0, 0) != 0);
}

static void unit_rows_case(int sequences, int tokens, int skip, int keep, int dim)
{
    const size_t from = (size_t)sequences * tokens * dim, count = (size_t)sequences * keep * dim;
    float *x = test_floats(from, 3, 0), *y;
    for (int c = 0; c < dim; c++) x[skip * dim + c] = 0; /* a row without direction stays zero */
    double *want = malloc(count * sizeof *want);
    for (int r = 0; r < sequences * keep; r++) {
        const float *row = x + ((size_t)(r / keep) * tokens + skip + r % keep) * dim;
        double squares = 0;
        for (int c = 0; c < dim; c++) squares += (double)row[c] * row[c];
        for (int c = 0; c < dim; c++) want[(size_t)r * dim + c] = row[c] / fmax(sqrt(squares), 1e-6);
    }
    void *dx = test_device(x, from * 4), *dy = test_device(NULL, count * 4);
    char what[80];
    snprintf(what, sizeof what, "unit_rows [%d, %d, %d], %d from %d", sequences, tokens, dim, keep, skip);
    TEST_RUN(y, dy, count * 4, what, t2d_cuda_unit_rows(dy, dx, sequences, tokens, skip, keep, dim, 0));
    test_close(what, y, T2D_DTYPE_FP32, want, count, 1e-6);
    cudaFree(dx), cudaFree(dy), free(x), free(y), free(want);
}

Test(cuda_norm, unit_rows)
{
    test_seed();
    unit_rows_case(1, 1, 0, 1, 8);
    unit_rows_case(2, 21, 5, 16, 384);
    unit_rows_case(3, 6, 5, 1, 1000);
    unit_rows_case(1, 10, 1, 9, 2056);
}

static double epilogue_oracle(t2d_epilogue epilogue, double u, double before)
{
    switch (epilogue) {
    case T2D_EPI_NONE:
        return u;
    case T2D_EPI_GELU:
        return .5 * u * (1 + erf(u / sqrt(2)));
    case T2D_EPI_QUICK_GELU:
        return u / (1 + exp(-1.702 * u));
    case T2D_EPI_TANH:
        return tanh(u);
    case T2D_EPI_ADD:
        return before + u;
    }
    return NAN;
}

/* Puts x back and runs; y is x's own memory unless the epilogue adds. */
static int epilogue_again(void *dy, const void *y, size_t y_bytes, void *dx, t2d_dtype type, const void *db,
                          int rows, int out, t2d_epilogue epilogue)
{
    cudaMemcpy(dy, y, y_bytes, 1);
    return t2d_cuda_epilogue(dy, dx, type, db, rows, out, epilogue, 0);
}

static void epilogue_case(t2d_epilogue epilogue, t2d_dtype type, int rows, int out, bool with_bias)
{
    const size_t count = (size_t)rows * out;
    float *u = test_floats(count, 3, 0), *bias = test_floats(out, 1, 0), *sum = test_floats(count, 10, 0);
    void *x = test_encode(u, count, type), *y;
    const bool add = epilogue == T2D_EPI_ADD;
    const t2d_dtype y_type = add ? T2D_DTYPE_FP32 : type;
    double *want = malloc(count * sizeof *want);
    for (size_t i = 0; i < count; i++)
        want[i] = epilogue_oracle(epilogue, u[i] + (with_bias ? bias[i % out] : 0), sum[i]);
    void *dx = test_device(x, count * test_size(type)), *db = test_device(bias, (size_t)out * 4);
    const size_t y_bytes = count * test_size(y_type);
    void *dy = add ? test_device(sum, y_bytes) : dx;
    char what[80];
    snprintf(what, sizeof what, "epilogue %d [%d, %d] %s", (int)epilogue, rows, out, test_type_names[type]);
    TEST_RUN(y, dy, y_bytes, what,
             epilogue_again(dy, add ? (void *)sum : x, y_bytes, dx, type, with_bias ? db : NULL, rows, out,
                            epilogue));
    test_close(what, y, y_type, want, count, test_tolerance(y_type));
    if (add) cudaFree(dy);
    cudaFree(dx), cudaFree(db), free(u), free(bias), free(sum), free(x), free(y), free(want);
}

Test(cuda_norm, epilogues)
{
    test_seed();
    for (int type = 0; type < 3; type++)
        for (int e = T2D_EPI_NONE; e <= T2D_EPI_ADD; e++) {
            epilogue_case((t2d_epilogue)e, (t2d_dtype)type, 1, 8, false);
            epilogue_case((t2d_epilogue)e, (t2d_dtype)type, 5, 520, true);
        }
}

static void swiglu_case(t2d_dtype type, int rows, int hidden)
{
    const size_t count = (size_t)rows * hidden;
    float *u = test_floats(2 * count, 2, 0);
    void *x = test_encode(u, 2 * count, type), *y;
    double *want = malloc(count * sizeof *want);
    for (size_t i = 0; i < count; i++) {
        const float *row = u + i / hidden * 2 * hidden + i % hidden;
        want[i] = (double)row[0] / (1 + exp(-(double)row[0])) * row[hidden];
    }
    void *dx = test_device(x, 2 * count * test_size(type)), *dy = test_device(NULL, count * test_size(type));
    char what[64];
    snprintf(what, sizeof what, "swiglu [%d, %d] %s", rows, hidden, test_type_names[type]);
    TEST_RUN(y, dy, count * test_size(type), what, t2d_cuda_swiglu(dy, dx, type, rows, hidden, 0));
    test_close(what, y, type, want, count, test_tolerance(type));
    cudaFree(dx), cudaFree(dy), free(u), free(x), free(y), free(want);
}

Test(cuda_norm, swiglu)
{
    test_seed();
    for (int type = 0; type < 3; type++) {
        swiglu_case((t2d_dtype)type, 1, 8);
        swiglu_case((t2d_dtype)type, 9, 344);
    }
}
