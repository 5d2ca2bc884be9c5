/* kernel_test.h — what every kernel test needs: device buffers, numbers in the three types, runs under
 * several schedules, comparison with a double precision oracle.
 *
 * The same test is compiled for the emulator and, with T2D_ON_GPU, for a chip. */
#ifndef KERNEL_TEST_H
#define KERNEL_TEST_H

#include "cuda/cuda.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef T2D_ON_GPU
#include <cuda_runtime_api.h>
enum { SIMT_FORWARD, SIMT_BACKWARD, SIMT_RANDOM, SIMT_ASYNC_EARLY = 0, SIMT_ASYNC_LATE, SIMT_ASYNC_RANDOM };
static inline void simt_config(uint64_t seed, int order, int mode) { (void)seed, (void)order, (void)mode; }
static inline long simt_errors(void) { return cudaDeviceSynchronize() != cudaSuccess; }
static inline const char *simt_first_error(void) { return cudaGetErrorString(cudaPeekAtLastError()); }
static inline const char *simt_build(void) { return "gpu"; }
#else
#include "simt_control.h"
#endif

/* ---- random numbers: fresh on every run, printed, repeatable with T2D_SEED ---- */
static uint64_t test_state;

static inline uint64_t test_seed(void)
{
    const char *given = getenv("T2D_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)(t2d_clock() * 1e6) & 0xffffff;
    fprintf(stderr, "T2D_SEED=%llu (%s)\n", (unsigned long long)seed, simt_build());
    test_state = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
    return seed;
}
static inline uint32_t test_bits(void)
{
    test_state ^= test_state << 13;
    test_state ^= test_state >> 7;
    test_state ^= test_state << 17;
    return (uint32_t)(test_state >> 16);
}
static inline float test_uniform(void) { return (float)(test_bits() >> 8) / 8388608.f - 1.f; }
static inline float test_gauss(void)
{
    return (test_uniform() + test_uniform() + test_uniform() + test_uniform()) * .87f;
}
static inline float *test_floats(size_t count, float scale, float offset)
{
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = test_gauss() * scale + offset;
    return x;
}

/* ---- the three activation types ---- */
static const char *const test_type_names[] = {"fp32", "fp16", "bf16"};

/* Half an ulp at 1, with room for a sum's round-off; results are compared relative to 1 + |expected|. */
static inline double test_tolerance(t2d_dtype type)
{
    return type == T2D_DTYPE_FP32 ? 3e-6 : type == T2D_DTYPE_FP16 ? 6e-4 : 4.2e-3;
}
static inline size_t test_size(t2d_dtype type) { return type == T2D_DTYPE_FP32 ? 4 : 2; }

static inline float test_get(const void *x, size_t i, t2d_dtype type)
{
    if (type == T2D_DTYPE_FP32) return ((const float *)x)[i];
    if (type == T2D_DTYPE_FP16) return (float)((const _Float16 *)x)[i];
    const uint32_t u = (uint32_t)((const uint16_t *)x)[i] << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline void test_put(void *x, size_t i, t2d_dtype type, float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    if (type == T2D_DTYPE_FP32)
        ((float *)x)[i] = f;
    else if (type == T2D_DTYPE_FP16)
        ((_Float16 *)x)[i] = (_Float16)f;
    else
        ((uint16_t *)x)[i] = (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
/* x rounded to the type; x itself is rounded too, so that an oracle sees what the kernel sees. */
static inline void *test_encode(float *x, size_t count, t2d_dtype type)
{
    void *y = malloc(count * 4);
    for (size_t i = 0; i < count; i++) {
        test_put(y, i, type, x[i]);
        x[i] = test_get(y, i, type);
    }
    return y;
}

/* ---- device memory ---- */
static inline void *test_device(const void *host, size_t bytes)
{
    void *p;
    cr_assert(cudaMalloc(&p, bytes) == 0, "no device memory for %zu bytes", bytes);
    if (host)
        cudaMemcpy(p, host, bytes, 1 /* host to device */);
    else
        cudaMemset(p, 0xff, bytes); /* NaN in every type */
    return p;
}
static inline void *test_host(const void *device, size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    cudaMemcpy(p, device, bytes, 2 /* device to host */);
    return p;
}

/* Shapes that cost too much under instrumentation are for the plain build and the chip. */
static inline bool test_fast_build(void) { return simt_build()[0] == 'p' || simt_build()[0] == 'g'; }

/* ---- running and comparing ---- */

/* Runs LAUNCH twice under different schedules; `out` [bytes] must have the same bits.  Assigns the first
 * result, in host memory, to RESULT. */
#define TEST_RUN(RESULT, out, bytes, what, LAUNCH)                                                           \
    do {                                                                                                     \
        void *first_ = test_launch_(0, out, bytes, what,                                                     \
                                    (simt_config(test_bits(), test_bits() % 3, test_bits() % 3), LAUNCH));   \
        void *second_ = test_launch_(1, out, bytes, what,                                                    \
                                     (simt_config(test_bits(), SIMT_RANDOM, SIMT_ASYNC_RANDOM), LAUNCH));    \
        cr_assert(memcmp(first_, second_, bytes) == 0, "%s: two runs differ", what);                         \
        free(second_);                                                                                       \
        (RESULT) = first_;                                                                                   \
    } while (0)

static inline void *test_launch_(int again, const void *out, size_t bytes, const char *what, int status)
{
    cr_assert(simt_errors() == 0, "%s, run %d: %s", what, again, simt_first_error());
    cr_assert(status == 0, "%s, run %d: the launcher answers %d", what, again, status);
    return test_host(out, bytes);
}

/* |got - want| <= tolerance * (1 + |want|) everywhere; NaN is never close. */
static inline void test_close(const char *what, const void *got, t2d_dtype type, const double *want,
                              size_t count, double tolerance)
{
    double worst = 0;
    size_t place = 0;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs(test_get(got, i, type) - want[i]) / (1 + fabs(want[i]));
        if (!(e <= worst)) worst = e, place = i;
        if (!(e <= tolerance)) break;
    }
    cr_assert(worst <= tolerance, "%s: at %zu of %zu: got %.9g, want %.9g (error %.2e, tolerance %.1e)", what,
              place, count, (double)test_get(got, place, type), want[place], worst, tolerance);
}

#endif
