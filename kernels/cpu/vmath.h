/* vmath.h — the small functions of the CPU's hot loops: exp, erf.
 * They have no branches and call nothing, so that the compiler makes vectors of the loops around them. */
#ifndef T2D_CPU_VMATH_H
#define T2D_CPU_VMATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "half.h"

typedef float t2d_v8 __attribute__((vector_size(32), aligned(4), may_alias)); /* eight neighbours */

/* e^x within 2 ulp for x up to 88; below -87 it stays at e^-87 (1.6e-38, nothing to a softmax). */
static inline float t2d_exp_below(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, kept in the low bits */
    x = x < -87.0f ? -87.0f : x;
    const float shifted = x * 1.44269504f + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts, as in Cephes */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* The same for any x; above 88 it stays at e^88. */
static inline float t2d_exp(float x) { return t2d_exp_below(x > 88.0f ? 88.0f : x); }

/* erf(x) within 1e-7: a polynomial near 0, 1 - e^polynomial beyond; both are computed and one is taken. */
static inline float t2d_erf(float x)
{
    const float a = x < 0.0f ? -x : x;
    const float s = x * x;
    float near = -5.96761703e-4f;
    near = near * s + 4.99119423e-3f;
    near = near * s + -2.67681349e-2f;
    near = near * s + 1.12819925e-1f;
    near = near * s + -3.76125336e-1f;
    near = near * s + 1.28379166e-1f;
    near = near * x + x;
    float far = 1.72853470e-5f;
    far = far * a + -3.83197126e-4f;
    far = far * a + 3.88396438e-3f;
    far = far * a + -2.42546219e-2f;
    far = far * a + 1.06777877e-1f;
    far = far * a + 6.34846687e-1f;
    far = far * a + 1.28717512e-1f;
    far = 1.0f - t2d_exp(-(far * a + a));
    far = x < 0.0f ? -far : far;
    return a > 0.927734375f ? far : near;
}

static inline float t2d_gelu(float u) { return 0.5f * u * (1.0f + t2d_erf(u * 0.70710678f)); }

/* 1 / (1 + e^-x) */
static inline float t2d_sigmoid(float x) { return 1.0f / (1.0f + t2d_exp(-x)); }

/* tanh within 2e-7: a polynomial near 0, where 1 - 2 / (e^2x + 1) would cancel. */
static inline float t2d_tanh(float x)
{
    const float s = x * x;
    float near = -5.70498872745e-3f;
    near = near * s + 2.06390887954e-2f;
    near = near * s + -5.37397155531e-2f;
    near = near * s + 1.33314422036e-1f;
    near = near * s + -3.33332819422e-1f;
    near = near * s * x + x;
    const float far = 1.0f - 2.0f / (t2d_exp(2.0f * x) + 1.0f);
    return (x < 0.0f ? -x : x) > 0.625f ? far : near;
}

/* Sums of x - shift, or of its squares, in 16 lanes whatever the instruction set: as good as pairs for our
 * rows, and the same on every machine but for fused multiplies. */
static inline __attribute__((always_inline)) float t2d_lane_sum(const float *x, int count, float shift,
                                                                int squared)
{
    t2d_v8 a = {0}, b = {0};
    int i = 0;
    for (; i + 16 <= count; i += 16) {
        const t2d_v8 u = *(const t2d_v8 *)(x + i) - shift, v = *(const t2d_v8 *)(x + i + 8) - shift;
        if (squared) {
            a += u * u;
            b += v * v;
        } else {
            a += u;
            b += v;
        }
    }
    for (; i < count; i++) {
        const float u = x[i] - shift;
        a[i % 8] += squared ? u * u : u;
    }
    a += b;
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

#endif
