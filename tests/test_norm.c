/* test_norm.c — layer norm, unit rows, SwiGLU against double precision. */
#include "kernels.h"

static const int DIMS[] = {1, 5, 64, 65, 384, 768, 1024, 1536};
static const int ROWS[] = {1, 5, 63, 65, 257};

/* Rows with everything DINO has: plain ones, a large mean, an outlier channel, a large scale, a constant. */
static float *difficult_rows(int rows, int dim)
{
    float *x = random_floats((size_t)rows * dim, 1.0f, 5);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < dim; i++) {
            float *v = &x[(size_t)r * dim + i];
            if (r % 5 == 1) *v += 100.0f;
            if (r % 5 == 2 && i == dim / 2) *v = 1000.0f;
            if (r % 5 == 3) *v *= 3000.0f;
            if (r % 5 == 4) *v = 0.25f;
        }
    return x;
}

static void check_layernorm(t2d_backend *be, int rows, int dim, bool to_fp32)
{
    const bool half = be->dtype == T2D_DTYPE_BF16 && !to_fp32;
    const double eps = 1e-6;
    const size_t count = (size_t)rows * dim;
    float *x = difficult_rows(rows, dim), *w = random_floats(dim, 1.0f, 6), *b = random_floats(dim, 1.0f, 7);
    float *xd = upload_fp32(be, x, count), *wd = upload_fp32(be, w, dim), *bd = upload_fp32(be, b, dim);
    void *y = guarded(be, count * (half ? 2 : 4));
    be->op->layernorm(be, y, to_fp32, xd, wd, bd, rows, dim, (float)eps);
    float *got = download_act(be, y, count, to_fp32);
    for (int r = 0; r < rows; r++) {
        double mean = 0, var = 0;
        for (int i = 0; i < dim; i++) mean += x[(size_t)r * dim + i] / (double)dim;
        for (int i = 0; i < dim; i++) var += pow(x[(size_t)r * dim + i] - mean, 2) / dim;
        const double sd = sqrt(var + (float)eps);
        for (int i = 0; i < dim; i++) {
            const double unit = (x[(size_t)r * dim + i] - mean) / sd;
            check_near(got[(size_t)r * dim + i], unit * w[i] + b[i],
                       fabs(w[i]) * (1 + fabs(unit) + fabs(mean) / sd) + fabs(b[i]), TOL_LAYERNORM, half,
                       "layernorm", r, i);
        }
    }
    free(got);
    be->op->release(be, y);
    be->op->release(be, xd);
    be->op->release(be, wd);
    be->op->release(be, bd);
    free(x);
    free(w);
    free(b);
}

Test(norm, layernorm_against_double)
{
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (size_t i = 0; i < sizeof DIMS / sizeof *DIMS; i++)
            for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++) {
                check_layernorm(be, ROWS[r], DIMS[i], false);
                check_layernorm(be, ROWS[r], DIMS[i], true);
            }
        be->op->close(be);
    }
}

/* A row alone and among others, by one thread or three: the same bits. */
Test(norm, layernorm_bits_do_not_depend_on_company)
{
    enum { TOKENS = 37, DIM = 771 };
    float *x = difficult_rows(TOKENS, DIM), *w = random_floats(DIM, 1.0f, 6),
          *b = random_floats(DIM, 1.0f, 7);
    float *all = malloc(sizeof(float) * TOKENS * DIM), *one = malloc(sizeof(float) * DIM);
    for (int threads = 1; threads <= 3; threads++) {
        t2d_backend *be = open_cpu(T2D_DTYPE_FP32, threads);
        be->op->layernorm(be, all, false, x, w, b, TOKENS, DIM, 1e-5f);
        for (int r = 0; r < TOKENS; r++) {
            be->op->layernorm(be, one, false, x + (size_t)r * DIM, w, b, 1, DIM, 1e-5f);
            cr_assert(memcmp(one, all + (size_t)r * DIM, sizeof(float) * DIM) == 0, "%d threads, row %d",
                      threads, r);
        }
        be->op->close(be);
    }
    free(x);
    free(w);
    free(b);
    free(all);
    free(one);
}

Test(norm, unit_rows_skips_and_keeps)
{
    const struct {
        int sequences, tokens, skip, keep, dim;
    } cases[] = {{1, 1, 0, 1, 64},
                 {2, 9, 5, 4, 768},
                 {3, 65, 1, 64, 100},
                 {1, 1029, 5, 1024, 384},
                 {7, 1, 0, 1, 1536}};
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int n = cases[c].sequences, tokens = cases[c].tokens, keep = cases[c].keep, dim = cases[c].dim;
        const size_t count = (size_t)n * keep * dim;
        float *x = difficult_rows(n * tokens, dim);
        memset(x + (size_t)cases[c].skip * dim, 0, sizeof(float) * dim); /* the length is at least 1e-6 */
        float *xd = upload_fp32(be, x, (size_t)n * tokens * dim), *y = guarded(be, count * 4);
        be->op->unit_rows(be, y, xd, n, tokens, cases[c].skip, keep, dim);
        float *got = download_act(be, y, count, true);
        for (int r = 0; r < n * keep; r++) {
            const float *from = x + ((size_t)(r / keep) * tokens + cases[c].skip + r % keep) * dim;
            double square = 0;
            for (int i = 0; i < dim; i++) square += (double)from[i] * from[i];
            const double length = fmax(sqrt(square), 1e-6f);
            for (int i = 0; i < dim; i++)
                check_near(got[(size_t)r * dim + i], from[i] / length, 1, TOL_UNIT, false, "unit_rows", r, i);
        }
        free(got);
        free(x);
        be->op->release(be, xd);
        be->op->release(be, y);
    }
    be->op->close(be);
}

Test(norm, swiglu_against_double)
{
    const int hiddens[] = {1, 7, 64, 341, 4096};
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (int c = 0; c < 5; c++) {
            enum { TOKENS = 65 };
            const int hidden = hiddens[c];
            const size_t count = (size_t)TOKENS * hidden;
            float *x = random_floats(2 * count, 3.0f, 8);
            x[0] = 90.0f; /* where e^x would overflow, both ways */
            x[2 * count - 2 * hidden] = -90.0f;
            void *xd = upload_act(be, x, 2 * count, false), *y = guarded(be, count * t2d_act_size(be));
            be->op->swiglu(be, y, xd, TOKENS, hidden);
            float *got = download_act(be, y, count, false);
            for (size_t i = 0; i < count; i++) {
                const size_t r = i / hidden, k = i % hidden;
                const double a = x[2 * r * hidden + k], b = x[(2 * r + 1) * hidden + k];
                check_near(got[i], a / (1 + exp(-a)) * b, fabs(a * b), TOL_SWIGLU, d == 1, "swiglu", r, k);
            }
            free(got);
            free(x);
            be->op->release(be, xd);
            be->op->release(be, y);
        }
        be->op->close(be);
    }
}
