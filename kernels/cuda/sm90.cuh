/* sm90.cuh — what Hopper's kernels need besides instructions: tensor maps for TMA and wgmma's matrix
 * descriptors. */
#pragma once
#include "gpu.cuh"

#ifndef T2D_SIMT /* the emulator has its own tensor maps */
enum TmaSwizzle { kSwizzleNone, kSwizzle32, kSwizzle64, kSwizzle128 };

/* Tensor map of a row-major matrix of two-byte elements.  The driver's encoder is looked up at run time,
 * because a program linked with libcuda does not start without a driver. */
inline cudaError_t tma_map_2d(CUtensorMap *map, const void *base, uint64_t cols, uint64_t rows,
                              uint64_t row_bytes, uint32_t box_cols, uint32_t box_rows, TmaSwizzle swizzle)
{
    typedef CUresult (*Encode)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                               const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
                               CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                               CUtensorMapFloatOOBfill);
    void *fn = nullptr;
    cudaDriverEntryPointQueryResult found;
    const cudaError_t e =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &fn, 12000, cudaEnableDefault, &found);
    if (e != cudaSuccess) return e;
    if (found != cudaDriverEntryPointSuccess) return cudaErrorNotSupported;
    const cuuint64_t dims[2] = {cols, rows}, strides[1] = {row_bytes};
    const cuuint32_t box[2] = {box_cols, box_rows}, step[2] = {1, 1};
    const CUresult r = reinterpret_cast<Encode>(fn)(
        map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void *>(base), dims, strides, box, step,
        CU_TENSOR_MAP_INTERLEAVE_NONE, (CUtensorMapSwizzle)swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return r == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}
#endif

/* Descriptor of an operand in shared memory.  K-major: sbo is the distance between groups of 8 rows, lbo is
 * unused when swizzled. */
__device__ __forceinline__ uint64_t wgmma_desc(const void *smem, uint32_t lbo, uint32_t sbo,
                                               TmaSwizzle swizzle)
{
    const uint64_t layout = swizzle == kSwizzle128  ? 1
                            : swizzle == kSwizzle64 ? 2
                            : swizzle == kSwizzle32 ? 3
                                                    : 0;
    return (uint64_t)((ptx::smem_u32(smem) & 0x3ffff) >> 4) | (uint64_t)(lbo >> 4) << 16 |
           (uint64_t)(sbo >> 4) << 32 | layout << 62;
}
