/* simt_ptx.h — the functions of kernels/cuda/ptx.cuh, emulated.  Same names, same operands. */
#pragma once
#include "simt_device.h"

/* An opaque 128 bytes, as in cuda.h. */
struct __align__(64) CUtensorMap { uint64_t opaque[16]; };
enum TmaSwizzle { kSwizzleNone, kSwizzle32, kSwizzle64, kSwizzle128 };
cudaError_t tma_map_2d(CUtensorMap *map, const void *base, uint64_t cols, uint64_t rows, uint64_t row_bytes,
                       uint32_t box_cols, uint32_t box_rows, TmaSwizzle swizzle);

namespace ptx
{
inline uint32_t smem_u32(const void *p) { return simt::smem_address(p); }
inline float ex2_approx(float x) { return exp2f(x); }

inline void cp_async_16(void *dst, const void *src, bool pred = true)
{
    simt::cp_async(dst, src, 16, pred ? 16 : 0);
}
inline void cp_async_commit_group() { simt::cp_async_commit(); }
template <int N> inline void cp_async_wait_group() { simt::cp_async_wait(N); }

inline void barrier_sync(int id, int n, SIMT_AT) { simt::barrier(id, n, true, 0, SIMT_HERE); }
inline void barrier_arrive(int id, int n, SIMT_AT) { simt::barrier(id, n, false, 0, SIMT_HERE); }

inline void ldmatrix_x4(uint32_t (&r)[4], const void *p, SIMT_AT)
{
    simt::LdmatrixArgs a = {r, p};
    simt::group_op("ldmatrix", 32, ~0u, true, SIMT_HERE, &a, [](void **v, int) { simt::ldmatrix(v, false); });
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *p, SIMT_AT)
{
    simt::LdmatrixArgs a = {r, p};
    simt::group_op("ldmatrix.trans", 32, ~0u, true, SIMT_HERE, &a,
                   [](void **v, int) { simt::ldmatrix(v, true); });
}
inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, SIMT_AT)
{
    simt::MmaArgs m = {d, a, {b0, b1}};
    simt::group_op("mma.m16n8k16.bf16", 32, ~0u, true, SIMT_HERE, &m,
                   [](void **v, int) { simt::mma_m16n8k16(v, false); });
}
inline void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, SIMT_AT)
{
    simt::MmaArgs m = {d, a, {b0, b1}};
    simt::group_op("mma.m16n8k16.f16", 32, ~0u, true, SIMT_HERE, &m,
                   [](void **v, int) { simt::mma_m16n8k16(v, true); });
}

inline void mbarrier_init(uint64_t *bar, unsigned count) { simt::mbarrier_init(bar, count); }
inline void fence_mbarrier_init() {}
inline void mbarrier_arrive(uint64_t *bar) { simt::mbarrier_arrive(bar, 0); }
inline void mbarrier_arrive_expect_tx(uint64_t *bar, unsigned bytes) { simt::mbarrier_arrive(bar, bytes); }
inline void mbarrier_wait_parity(uint64_t *bar, unsigned parity, SIMT_AT)
{
    simt::mbarrier_wait(bar, parity, SIMT_HERE);
}
inline void fence_proxy_async() { simt::fence_proxy_async(); }
__attribute__((noinline)) inline void cp_async_bulk_tensor_2d(void *dst, const CUtensorMap *map, int x, int y,
                                                              uint64_t *bar)
{
    simt::tma_load_2d(dst, map, x, y, bar, (uintptr_t)__builtin_return_address(0));
}

inline void wgmma_fence() {}
inline void wgmma_commit_group(SIMT_AT) { simt::wgmma_commit(SIMT_HERE); }
template <int N> inline void wgmma_wait_group(SIMT_AT) { simt::wgmma_wait(N, SIMT_HERE); }
inline void wgmma_m64n64k16_bf16(float (&d)[32], uint64_t desc_a, uint64_t desc_b, int scale_d, SIMT_AT)
{
    simt::wgmma_issue(d, desc_a, desc_b, false, scale_d, SIMT_HERE);
}
inline void wgmma_m64n64k16_bf16_bt(float (&d)[32], uint64_t desc_a, uint64_t desc_b, int scale_d, SIMT_AT)
{
    simt::wgmma_issue(d, desc_a, desc_b, true, scale_d, SIMT_HERE);
}
} // namespace ptx
