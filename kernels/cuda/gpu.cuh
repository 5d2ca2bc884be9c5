/* gpu.cuh — what every kernel file includes first: CUDA or its emulation, launches, activation types, warp
 * sums.
 *
 * The one #ifdef of the kernels stands here: with T2D_SIMT the same files are compiled by g++ for the tests
 * (tests/simt).  So kernels use launch() instead of <<<>>>, dynamic_smem() instead of extern __shared__,
 * ptx:: instead of inline assembly, _sync intrinsics with full masks, and leave warps only as whole warps. */
#pragma once
#include "cuda.h"

#ifdef T2D_SIMT
#include "simt_ptx.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "ptx.cuh"

/* The block's dynamic shared memory. */
template <typename T> __device__ __forceinline__ T *dynamic_smem()
{
    extern __shared__ __align__(1024) unsigned char smem_bytes[];
    return reinterpret_cast<T *>(smem_bytes);
}

template <typename... P, typename... A>
inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, cudaStream_t stream,
                          A... args)
{
    if (smem > 48 * 1024) { /* beyond this a kernel must be asked */
        const cudaError_t e = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize, (int)smem);
        if (e != cudaSuccess) return e;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = smem;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, args...);
}
#endif

static const unsigned kAllLanes = 0xffffffffu;

inline unsigned ceil_div(long long a, int b) { return (unsigned)((a + b - 1) / b); }

/* ---- activation types: float, __half, __nv_bfloat16 ---- */

/* Calls f with a value of the type that `type` names, and returns what it returns. */
template <typename F> inline int with_act(t2d_dtype type, F f)
{
    switch (type) {
    case T2D_DTYPE_FP32:
        return f(float());
    case T2D_DTYPE_FP16:
        return f(__half());
    case T2D_DTYPE_BF16:
        return f(__nv_bfloat16());
    }
    return cudaErrorInvalidValue;
}

/* Two neighbours in one register, the first in the low half. */
template <typename T> __device__ __forceinline__ uint32_t pack2(float low, float high);
template <> __device__ __forceinline__ uint32_t pack2<__half>(float low, float high)
{
    const __half2 p = __floats2half2_rn(low, high);
    uint32_t u;
    memcpy(&u, &p, 4);
    return u;
}
template <> __device__ __forceinline__ uint32_t pack2<__nv_bfloat16>(float low, float high)
{
    const __nv_bfloat162 p = __floats2bfloat162_rn(low, high);
    uint32_t u;
    memcpy(&u, &p, 4);
    return u;
}
template <typename T> __device__ __forceinline__ float2 unpack2(uint32_t u);
template <> __device__ __forceinline__ float2 unpack2<__half>(uint32_t u)
{
    __half2 p;
    memcpy(&p, &u, 4);
    return __half22float2(p);
}
template <> __device__ __forceinline__ float2 unpack2<__nv_bfloat16>(uint32_t u)
{
    return make_float2(__uint_as_float(u << 16), __uint_as_float(u & 0xffff0000u));
}

/* Eight neighbours, aligned to eight: one 16-byte access of a half type, two of fp32. */
template <typename T> __device__ __forceinline__ void load8(float (&v)[8], const T *p)
{
    const uint4 u = __ldg(reinterpret_cast<const uint4 *>(p));
    const uint32_t w[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float2 f = unpack2<T>(w[j]);
        v[2 * j] = f.x;
        v[2 * j + 1] = f.y;
    }
}
template <> __device__ __forceinline__ void load8<float>(float (&v)[8], const float *p)
{
    const float4 a = __ldg(reinterpret_cast<const float4 *>(p));
    const float4 b = __ldg(reinterpret_cast<const float4 *>(p) + 1);
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
    v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}
template <typename T> __device__ __forceinline__ void store8(T *p, const float (&v)[8])
{
    *reinterpret_cast<uint4 *>(p) =
        make_uint4(pack2<T>(v[0], v[1]), pack2<T>(v[2], v[3]), pack2<T>(v[4], v[5]), pack2<T>(v[6], v[7]));
}
template <> __device__ __forceinline__ void store8<float>(float *p, const float (&v)[8])
{
    reinterpret_cast<float4 *>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

/* ---- sums over `width` neighbouring lanes; every lane gets the result ---- */
template <int width = 32> __device__ __forceinline__ float warp_sum(float v)
{
#pragma unroll
    for (int d = width / 2; d > 0; d >>= 1) v += __shfl_xor_sync(kAllLanes, v, d);
    return v;
}
template <int width = 32> __device__ __forceinline__ float warp_max(float v)
{
#pragma unroll
    for (int d = width / 2; d > 0; d >>= 1) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, d));
    return v;
}
