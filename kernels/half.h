/* half.h — numbers of 16 bits, on the host of either machine. */
#ifndef T2D_HALF_H
#define T2D_HALF_H

#include <stdint.h>
#include <string.h>

typedef uint16_t t2d_bf16;

static inline float t2d_from_bf16(t2d_bf16 v)
{
    const uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Rounds to nearest even; a NaN stays one. */
static inline t2d_bf16 t2d_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    const uint32_t quiet = bits | 0x400000u;
    return (t2d_bf16)(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

/* To nearest even; beyond its range infinity. */
static inline uint16_t t2d_to_fp16(float f)
{
    const float half = 0.5f, magnitude = f < 0 ? -f : f, shifted = magnitude + half;
    uint32_t u, a, sub, base;
    memcpy(&u, &f, sizeof u);
    memcpy(&sub, &shifted, sizeof sub);
    memcpy(&base, &half, sizeof base);
    const uint32_t sign = u >> 16 & 0x8000;
    a = u & 0x7fffffff;
    if (a >= 0x47800000) return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000)
        return (uint16_t)(sign | (sub - base)); /* a unit of 0.5's last place is fp16's smallest */
    return (uint16_t)(sign | (a + 0xfff + (a >> 13 & 1) - 0x38000000) >> 13);
}

#endif
