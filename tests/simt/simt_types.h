/* simt_types.h — CUDA's qualifiers, vector types and half types for a host compiler.
 *
 * __shared__ variables become thread_local, because the program's TLS segment then holds all of them and
 * nothing else: the runtime poisons it per block and checks it for races.  So test programs have no other
 * TLS. */
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- qualifiers ---- */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static /* AddressSanitizer puts red zones around statics, not around TLS */
#else
#define __shared__ thread_local
#endif

/* ---- vectors ---- */
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
#define SIMT_VECTOR(T, N)                                                                                    \
    struct __align__(2 * sizeof(T)) N##2 { T x, y; };                                                        \
    struct __align__(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) N##4 { T x, y, z, w; };                        \
    inline N##2 make_##N##2(T x, T y) { return {x, y}; }                                                     \
    inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMT_VECTOR(float, float)
SIMT_VECTOR(int, int)
SIMT_VECTOR(unsigned, uint)
SIMT_VECTOR(unsigned char, uchar)
SIMT_VECTOR(unsigned short, ushort)
#undef SIMT_VECTOR

/* ---- half types: round to nearest even, bit for bit as the CUDA headers (test_types.cpp) ---- */
namespace simt
{
template <typename To, typename From> inline To bits(From f)
{
    static_assert(sizeof(To) == sizeof(From), "bits() keeps the size");
    To t;
    memcpy(&t, &f, sizeof t);
    return t;
}

inline uint16_t float_to_bf16(float f)
{
    const uint32_t u = bits<uint32_t>(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}
inline float bf16_to_float(uint16_t h) { return bits<float>((uint32_t)h << 16); }

inline uint16_t float_to_half(float f)
{
    const uint32_t u = bits<uint32_t>(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) return 0x7fff;
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (a < 0x38800000) { /* subnormal: adding 1/2 puts the rounding at the right bit */
        const float r = bits<float>(a) + 0.5f;
        return (uint16_t)(sign | (bits<uint32_t>(r) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((a + 0xfff + (a >> 13 & 1) - 0x38000000u) >> 13));
}
inline float half_to_float(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    if (e == 31) return bits<float>(sign | 0x7f800000u | m << 13);
    if (e) return bits<float>(sign | ((e + 112) << 23) | m << 13);
    const float v = (float)m * 0x1p-24f;
    return sign ? -v : v;
}
} // namespace simt

struct __nv_bfloat16 {
    uint16_t bits;
};
struct __half {
    uint16_t bits;
};
struct __align__(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
struct __align__(4) __half2 { __half x, y; };
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u) { return {u}; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.bits; }
inline __nv_bfloat16 __float2bfloat16(float f) { return {simt::float_to_bf16(f)}; }
inline float __bfloat162float(__nv_bfloat16 h) { return simt::bf16_to_float(h.bits); }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b)
{
    return {__float2bfloat16(a), __float2bfloat16(b)};
}
inline float2 __bfloat1622float2(__nv_bfloat162 a) { return {__bfloat162float(a.x), __bfloat162float(a.y)}; }
inline __half __ushort_as_half(unsigned short u) { return {u}; }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline __half __float2half(float f) { return {simt::float_to_half(f)}; }
inline float __half2float(__half h) { return simt::half_to_float(h.bits); }
inline __half2 __floats2half2_rn(float a, float b) { return {__float2half(a), __float2half(b)}; }
inline float2 __half22float2(__half2 a) { return {__half2float(a.x), __half2float(a.y)}; }
