/* selftest.cu — one kernel per primitive.  The same file runs on the emulator, on every commit, and on a chip
 * when there is one, against the same expectations (test_cuda_selftest.c): it is what says that the two
 * agree. */
#include "cuda/sm90.cuh"
#include "selftest.h"

static __global__ void shuffle_kernel(int *o)
{
    const int t = threadIdx.x, w[3] = {8, 16, 32};
    for (int i = 0; i < 3; i++) {
        o[(i * 4 + 0) * 32 + t] = __shfl_sync(kAllLanes, t * 10, t + 3, w[i]);
        o[(i * 4 + 1) * 32 + t] = __shfl_up_sync(kAllLanes, t * 10, 3, w[i]);
        o[(i * 4 + 2) * 32 + t] = __shfl_down_sync(kAllLanes, t * 10, 3, w[i]);
        o[(i * 4 + 3) * 32 + t] = __shfl_xor_sync(kAllLanes, t * 10, 5, w[i]);
    }
}

static __global__ void vote_kernel(int *o)
{
    const int t = threadIdx.x;
    int *r = o + t * 6;
    r[0] = (int)__ballot_sync(kAllLanes, t % 3 == 0);
    r[1] = __any_sync(kAllLanes, t == 70);
    r[2] = __all_sync(kAllLanes, t < 64);
    r[3] = __syncthreads_count(t % 5 == 0);
    r[4] = __syncthreads_or(t == 95);
    r[5] = __syncthreads_and(t != 95);
}

/* Warps 0-1 produce, warps 2-3 consume, through two named barriers. */
static __global__ void named_barrier_kernel(int *o)
{
    __shared__ int buf[64];
    for (int i = 0; i < 4; i++) {
        if (threadIdx.x < 64) {
            if (i) ptx::barrier_sync(2, 128);
            buf[threadIdx.x] = i * 1000 + threadIdx.x;
            ptx::barrier_arrive(1, 128);
        } else {
            ptx::barrier_sync(1, 128);
            o[i * 64 + threadIdx.x - 64] = buf[127 - threadIdx.x];
            if (i < 3) ptx::barrier_arrive(2, 128);
        }
    }
}

static __global__ void atomic_kernel(int *o)
{
    __shared__ int sum, most;
    if (threadIdx.x == 0) sum = most = 0;
    __syncthreads();
    atomicAdd(&sum, (int)threadIdx.x);
    atomicMax(&most, (int)((threadIdx.x * 37) % 101));
    atomicAdd(o + 2, 1);
    __syncthreads();
    if (threadIdx.x == 0 && blockIdx.x == 0) o[0] = sum, o[1] = most;
}

static __global__ void ldmatrix_kernel(unsigned *o)
{
    __shared__ __align__(16) unsigned short s[16 * 16];
    const int t = threadIdx.x;
    for (int i = t; i < 256; i += 32) s[i] = (unsigned short)i;
    __syncwarp();
    uint32_t r[4], q[4];
    ptx::ldmatrix_x4(r, s + (t & 15) * 16 + (t >> 4) * 8);
    ptx::ldmatrix_x4_trans(q, s + (t & 15) * 16 + (t >> 4) * 8);
    for (int i = 0; i < 4; i++) o[t * 8 + i] = r[i], o[t * 8 + 4 + i] = q[i];
}

/* a, b: fragments of bf16, then of fp16 */
static __global__ void mma_kernel(const uint32_t *a, const uint32_t *b, float *o)
{
    const int t = threadIdx.x;
    for (int h = 0; h < 2; h++) {
        uint32_t fa[4];
        float d[4] = {0.f, 1.f, 2.f, 3.f};
        for (int i = 0; i < 4; i++) fa[i] = a[h * 128 + t * 4 + i];
        if (h)
            ptx::mma_m16n8k16_f16(d, fa, b[64 + t * 2], b[64 + t * 2 + 1]);
        else
            ptx::mma_m16n8k16_bf16(d, fa, b[t * 2], b[t * 2 + 1]);
        for (int i = 0; i < 4; i++) o[h * 128 + t * 4 + i] = d[i];
    }
}

static __global__ void cp_async_kernel(const int4 *x, int4 *o)
{
    __shared__ int4 s[64];
    ptx::cp_async_16(&s[threadIdx.x], x + threadIdx.x);
    ptx::cp_async_commit_group();
    ptx::cp_async_16(&s[32 + threadIdx.x], x + threadIdx.x, threadIdx.x % 2);
    ptx::cp_async_commit_group();
    ptx::cp_async_wait_group<1>();
    __syncwarp();
    o[threadIdx.x] = s[threadIdx.x ^ 1];
    ptx::cp_async_wait_group<0>();
    __syncwarp();
    o[32 + threadIdx.x] = s[32 + (threadIdx.x ^ 1)];
}

#if defined(T2D_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
/* o [64, 64] = a [64, 64] b [64, 64], b stored [k][n], both in shared memory with the 128-byte swizzle */
static __device__ void product_64(const __nv_bfloat16 *a, const __nv_bfloat16 *b, float *o)
{
    float d[32] = {};
    ptx::wgmma_fence();
    for (int k = 0; k < 4; k++)
        ptx::wgmma_m64n64k16_bf16_bt(d, wgmma_desc(a + k * 16, 16, 1024, kSwizzle128),
                                     wgmma_desc(b + k * 16 * 64, 8192, 1024, kSwizzle128), k > 0);
    ptx::wgmma_commit_group();
    ptx::wgmma_wait_group<0>();
    const int row = (threadIdx.x >> 5) * 16 + ((threadIdx.x & 31) >> 2), col = (threadIdx.x & 3) * 2;
    for (int i = 0; i < 32; i++) o[(row + ((i & 3) >> 1) * 8) * 64 + col + i / 4 * 8 + (i & 1)] = d[i];
}
#endif

static __global__ __launch_bounds__(128) void tma_kernel(const __grid_constant__ CUtensorMap map_a,
                                                         const __grid_constant__ CUtensorMap map_b, float *o)
{
#if defined(T2D_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    __nv_bfloat16 *a = dynamic_smem<__nv_bfloat16>(), *b = a + 64 * 64;
    uint64_t *bar = reinterpret_cast<uint64_t *>(b + 64 * 64);
    if (threadIdx.x == 0) {
        ptx::mbarrier_init(bar, 1);
        ptx::fence_mbarrier_init();
        ptx::mbarrier_arrive_expect_tx(bar, 2 * 64 * 64 * 2);
        ptx::cp_async_bulk_tensor_2d(a, &map_a, 0, 0, bar);
        ptx::cp_async_bulk_tensor_2d(b, &map_b, 0, 0, bar);
    }
    __syncthreads();
    ptx::mbarrier_wait_parity(bar, 0);
    product_64(a, b, o);
#endif
}

/* The same with tiles written by ordinary stores, which the asynchronous proxy sees only after a fence. */
static __global__ __launch_bounds__(128) void proxy_kernel(const __nv_bfloat16 *ga, const __nv_bfloat16 *gb,
                                                           float *o)
{
#if defined(T2D_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    __nv_bfloat16 *a = dynamic_smem<__nv_bfloat16>(), *b = a + 64 * 64;
    for (int i = threadIdx.x; i < 64 * 64; i += 128) {
        const int at = (i * 2 ^ (i * 2 >> 3 & 0x70)) / 2;
        a[at] = ga[i];
        b[at] = gb[i];
    }
    ptx::fence_proxy_async();
    __syncthreads();
    product_64(a, b, o);
#endif
}

static int run_tma(const void *a, const void *b, float *o)
{
    CUtensorMap map_a, map_b;
    cudaError_t e = tma_map_2d(&map_a, a, 64, 64, 128, 64, 64, kSwizzle128);
    if (e == cudaSuccess) e = tma_map_2d(&map_b, b, 64, 64, 128, 64, 64, kSwizzle128);
    if (e != cudaSuccess) return e;
    return launch(tma_kernel, dim3(1), dim3(128), 2 * 64 * 64 * 2 + 64, 0, map_a, map_b, o);
}

extern "C" int selftest(enum selftest which, const void *a, const void *b, void *o)
{
    int *ints = static_cast<int *>(o);
    float *floats = static_cast<float *>(o);
    const uint32_t *wa = static_cast<const uint32_t *>(a), *wb = static_cast<const uint32_t *>(b);
    switch (which) {
    case SELF_SHUFFLE:
        return launch(shuffle_kernel, dim3(1), dim3(32), 0, 0, ints);
    case SELF_VOTE:
        return launch(vote_kernel, dim3(1), dim3(96), 0, 0, ints);
    case SELF_NAMED_BARRIER:
        return launch(named_barrier_kernel, dim3(1), dim3(128), 0, 0, ints);
    case SELF_ATOMIC:
        return launch(atomic_kernel, dim3(3), dim3(200), 0, 0, ints);
    case SELF_LDMATRIX:
        return launch(ldmatrix_kernel, dim3(1), dim3(32), 0, 0, static_cast<unsigned *>(o));
    case SELF_MMA:
        return launch(mma_kernel, dim3(1), dim3(32), 0, 0, wa, wb, floats);
    case SELF_CP_ASYNC:
        return launch(cp_async_kernel, dim3(1), dim3(32), 0, 0, static_cast<const int4 *>(a),
                      static_cast<int4 *>(o));
    case SELF_TMA:
        return run_tma(a, b, floats);
    case SELF_PROXY:
        return launch(proxy_kernel, dim3(1), dim3(128), 2 * 64 * 64 * 2, 0,
                      static_cast<const __nv_bfloat16 *>(a), static_cast<const __nv_bfloat16 *>(b), floats);
    }
    return cudaErrorInvalidValue;
}
