/* kernels.h — what the suites of the machines share: numbers that repeat, buffers that tell when they are
 * overrun, bf16 in and out.
 * Behind every buffer lie NaNs: an operation that reads them spoils its result, one that writes them is
 * caught. */
#ifndef T2D_TEST_KERNELS_H
#define T2D_TEST_KERNELS_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "tolerance.h"

enum { GUARD = 256 }; /* bytes of NaN behind a buffer */

/* ---- numbers ---- */

static inline uint64_t random_next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Roughly normal: three uniforms; mean 0, deviation 1. */
static inline float random_normal(uint64_t *state)
{
    float sum = 0.0f;
    for (int i = 0; i < 3; i++) sum += (float)random_next(state) / 2147483648.0f * 2.0f - 1.0f;
    return sum;
}

static inline float *random_floats(size_t count, float scale, uint64_t seed)
{
    uint64_t state = seed * 7919 + 17;
    float *v = malloc(count * sizeof *v + 1);
    cr_assert(v != NULL);
    for (size_t i = 0; i < count; i++) v[i] = scale * random_normal(&state);
    return v;
}

static inline uint16_t bf16_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float bf16_value(uint16_t v)
{
    const uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* ---- machines and their memory ---- */

static inline t2d_backend *open_cpu(t2d_dtype dtype, int threads)
{
    t2d_error err;
    t2d_backend *be = NULL;
    const t2d_status status = t2d_backend_open("cpu", dtype, threads, &be, &err);
    cr_assert(status == T2D_OK, "%s", err.message);
    return be;
}

/* `bytes` of memory filled with 0xff (NaN in every format), and as much again of the guard. */
static inline void *guarded(t2d_backend *be, size_t bytes)
{
    void *p = be->op->alloc(be, bytes + GUARD);
    cr_assert(p != NULL);
    memset(p, 0xff, bytes + GUARD);
    return p;
}

static inline bool guard_holds(const void *p, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++)
        if (((const unsigned char *)p)[bytes + i] != 0xff) return false;
    return true;
}

/* Host fp32 -> act memory; with bf16, `values` become what was stored. */
static inline void *upload_act(t2d_backend *be, float *values, size_t count, bool fp32)
{
    const size_t bytes = count * (fp32 ? 4 : t2d_act_size(be));
    void *p = guarded(be, bytes);
    if (fp32 || be->dtype == T2D_DTYPE_FP32) {
        be->op->upload(be, p, values, bytes);
        return p;
    }
    uint16_t *packed = malloc(bytes + 1);
    cr_assert(packed != NULL);
    for (size_t i = 0; i < count; i++) {
        packed[i] = bf16_bits(values[i]);
        values[i] = bf16_value(packed[i]);
    }
    be->op->upload(be, p, packed, bytes);
    free(packed);
    return p;
}

static inline float *upload_fp32(t2d_backend *be, const float *values, size_t count)
{
    float *p = guarded(be, count * 4);
    be->op->upload(be, p, values, count * 4);
    return p;
}

/* Act memory -> host fp32; checks the guard and what the machine remembers. */
static inline float *download_act(t2d_backend *be, const void *p, size_t count, bool fp32)
{
    const bool wide = fp32 || be->dtype == T2D_DTYPE_FP32;
    t2d_error err;
    float *values = malloc(count * 4 + 1);
    uint16_t *packed = (uint16_t *)values;
    cr_assert(values != NULL);
    cr_assert(guard_holds(p, count * (wide ? 4 : 2)), "the operation wrote behind its result");
    cr_assert(be->op->download(be, values, p, count * (wide ? 4 : 2), &err) == T2D_OK, "%s", err.message);
    for (size_t i = count; !wide && i-- > 0;) values[i] = bf16_value(packed[i]);
    return values;
}

/* |got - want| within the row's limit of `scale`, and half a bf16 unit of the result where it was so stored.
 */
static inline void check_near(double got, double want, double scale, tolerance tol, bool half,
                              const char *where, size_t row, size_t column)
{
    const double limit = tol.limit * scale + (half ? BF16_ROUNDING * fabs(want) : 0);
    if (fabs(got - want) <= limit) return;
    cr_assert_fail("%s [%zu, %zu]: got %.9g, want %.9g, differs by %.3g, allowed %.3g: %g of %s; %s", where,
                   row, column, got, want, fabs(got - want), limit, tol.limit, tol.scale, tol.reason);
}

/* Suites loop over both compute types. */
static const t2d_dtype DTYPES[] = {T2D_DTYPE_FP32, T2D_DTYPE_BF16};

#endif
