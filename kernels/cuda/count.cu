/* clang-format off */
/* count.cu — counts[t, f] = pixels whose truth is t and whose label is f: a picture's confusion matrix
 * shapes   found [pixels] u16 below labels, truth [pixels] u8, counts [labels, labels] u32, overwritten; any number of
 *          pixels below 2^32; labels 1..255; a truth that is no label is not counted
 * mapping  one thread per STRIP neighbouring pixels, in the picture's order over the ends of rows; blocks of 128
 * memory   a strip is 16 bytes of truth and 32 of labels in vectors, the last one in single values; the table lies in
 *          global memory, where L2 adds: it fits no block's shared memory (171 labels: 117 KB), and regions are wide
 *          and flat, so that few sums reach it: a strip's runs are added in registers, and the run that a strip ends
 *          with by the whole warp, one atomic for each pair that its lanes have (in one region: one for 512 pixels)
 * numbers  integers: the sums are the same in any order
 * launch   ceil(labels^2 / 256) blocks of 256 that clear, then ceil(pixels / 2048) blocks of 128
 * ptxas    count 32 registers (sm_80), 34 (sm_90a), no shared memory; clear 6, 8
 * ceiling  memory: 3 bytes a pixel, which the readout has just put into L2 (640 x 480: 0.9 MB).  Not measured
 * oracle   cpu/readout.c, host/eval/count.c, tests/simt/test_cuda_count.c */
/* clang-format on */
#include "gpu.cuh"

enum { THREADS = 128, STRIP = 16 };
static const unsigned kUncounted = 0xffffffffu;

static __global__ __launch_bounds__(256) void clear_kernel(uint32_t *counts, int cells)
{
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < cells) counts[i] = 0;
}

/* The place of a pixel in the table. */
static __device__ __forceinline__ unsigned place_of(unsigned truth, unsigned found, unsigned labels)
{
    return truth < labels ? truth * labels + found : kUncounted;
}

static __device__ __forceinline__ void load_strip(unsigned (&place)[STRIP], const uint16_t *found,
                                                  const uint8_t *truth, long long first, long long pixels,
                                                  unsigned labels)
{
    if (first + STRIP > pixels) {
#pragma unroll
        for (int i = 0; i < STRIP; i++)
            place[i] = first + i < pixels
                           ? place_of(__ldg(truth + first + i), __ldg(found + first + i), labels)
                           : kUncounted;
        return;
    }
    const uint4 t = __ldg(reinterpret_cast<const uint4 *>(truth + first));
    const uint4 a = __ldg(reinterpret_cast<const uint4 *>(found + first));
    const uint4 b = __ldg(reinterpret_cast<const uint4 *>(found + first) + 1);
    const uint32_t bytes[4] = {t.x, t.y, t.z, t.w}, halves[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < STRIP; i++)
        place[i] =
            place_of(bytes[i >> 2] >> 8 * (i & 3) & 0xff, halves[i >> 1] >> 16 * (i & 1) & 0xffff, labels);
}

static __device__ __forceinline__ unsigned lanes_sum(unsigned v)
{
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(kAllLanes, v, d);
    return v;
}

static __global__ __launch_bounds__(THREADS) void count_kernel(uint32_t *counts,
                                                               const uint16_t *__restrict__ found,
                                                               const uint8_t *__restrict__ truth,
                                                               long long pixels, unsigned labels)
{
    const long long first = ((long long)blockIdx.x * THREADS + threadIdx.x) * STRIP;
    unsigned place[STRIP];
    load_strip(place, found, truth, first, pixels, labels);

    unsigned run = place[0], length = 1; /* runs inside the strip are the thread's own */
#pragma unroll
    for (int i = 1; i < STRIP; i++) {
        if (place[i] != run) {
            if (run != kUncounted) atomicAdd(counts + run, length);
            run = place[i], length = 0;
        }
        length++;
    }
    /* what strips end with: one of the lanes' places after the other, until none is left */
    for (unsigned waiting = __ballot_sync(kAllLanes, run != kUncounted); waiting;) {
        const int leader = 31 - __clz((int)waiting);
        const bool same = run == __shfl_sync(kAllLanes, run, leader);
        const unsigned sum = lanes_sum(same ? length : 0);
        if ((int)(threadIdx.x & 31) == leader) atomicAdd(counts + run, sum);
        waiting &= ~__ballot_sync(kAllLanes, same);
    }
}

extern "C" int t2d_cuda_count(uint32_t *counts, const uint16_t *found, const uint8_t *truth, int64_t pixels,
                              int labels, void *stream)
{
    if (pixels < 1 || pixels > UINT32_MAX || labels < 1 || labels > T2D_MOST_COUNTED)
        return cudaErrorInvalidValue;
    const cudaStream_t s = static_cast<cudaStream_t>(stream);
    const cudaError_t cleared =
        launch(clear_kernel, dim3(ceil_div(labels * labels, 256)), dim3(256), 0, s, counts, labels * labels);
    if (cleared != cudaSuccess) return cleared;
    return launch(count_kernel, dim3(ceil_div(pixels, THREADS * STRIP)), dim3(THREADS), 0, s, counts, found,
                  truth, (long long)pixels, (unsigned)labels);
}
