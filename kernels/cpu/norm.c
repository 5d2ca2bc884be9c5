/* norm.c — formulas that see one row at a time: layer norm, unit length, SwiGLU.
 * Layer norm takes two passes: DINO has outlier channels, and E[x^2] - E[x]^2 would cancel. */
#include <assert.h>
#include <math.h>

#include "cpu.h"
#include "vmath.h"

/* ---- one row ---- */

T2D_CLONES static void norm_row(float *y, t2d_bf16 *y16, const float *x, const float *w, const float *b,
                                int dim, float eps)
{
    const float mean = t2d_lane_sum(x, dim, 0.0f, 0) / (float)dim;
    const float square = t2d_lane_sum(x, dim, mean, 1);
    const float scale = 1.0f / sqrtf(square / (float)dim + eps);
    if (y16)
        for (int i = 0; i < dim; i++) y16[i] = t2d_to_bf16((x[i] - mean) * scale * w[i] + b[i]);
    else
        for (int i = 0; i < dim; i++) y[i] = (x[i] - mean) * scale * w[i] + b[i];
}

T2D_CLONES static void unit_row(float *y, const float *x, int dim)
{
    const float square = t2d_lane_sum(x, dim, 0.0f, 1);
    const float length = sqrtf(square), divisor = length > 1e-6f ? length : 1e-6f;
    for (int i = 0; i < dim; i++) y[i] = x[i] / divisor;
}

T2D_CLONES static void swiglu_row(float *y, const float *x, int hidden)
{
    for (int i = 0; i < hidden; i++) y[i] = x[i] * t2d_sigmoid(x[i]) * x[hidden + i];
}

T2D_CLONES static void swiglu_row16(t2d_bf16 *y, const t2d_bf16 *x, int hidden)
{
    for (int i = 0; i < hidden; i++) {
        const float gate = t2d_from_bf16(x[i]);
        y[i] = t2d_to_bf16(gate * t2d_sigmoid(gate) * t2d_from_bf16(x[hidden + i]));
    }
}

/* ---- all rows ---- */

void t2d_cpu_layernorm(t2d_backend *be, void *y, bool to_fp32, const float *x, const float *w, const float *b,
                       int rows, int dim, float eps)
{
    const bool half = be->dtype == T2D_DTYPE_BF16 && !to_fp32;
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int r = 0; r < rows; r++) {
        const size_t at = (size_t)r * (size_t)dim;
        norm_row(half ? NULL : (float *)y + at, half ? (t2d_bf16 *)y + at : NULL, x + at, w, b, dim, eps);
    }
}

void t2d_cpu_unit_rows(t2d_backend *be, float *y, const float *x, int sequences, int tokens, int skip,
                       int keep, int dim)
{
    assert(skip >= 0 && keep >= 0 && skip + keep <= tokens);
#pragma omp parallel for num_threads(be->threads) schedule(static) collapse(2)
    for (int s = 0; s < sequences; s++)
        for (int r = 0; r < keep; r++)
            unit_row(y + ((size_t)s * keep + r) * dim, x + ((size_t)s * tokens + skip + r) * dim, dim);
}

void t2d_cpu_swiglu(t2d_backend *be, void *y, const void *x, int rows, int hidden)
{
    const bool half = be->dtype == T2D_DTYPE_BF16;
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int r = 0; r < rows; r++) {
        const size_t out = (size_t)r * hidden, in = 2 * out;
        if (half)
            swiglu_row16((t2d_bf16 *)y + out, (const t2d_bf16 *)x + in, hidden);
        else
            swiglu_row((float *)y + out, (const float *)x + in, hidden);
    }
}
