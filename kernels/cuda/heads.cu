/* heads.cu — where the CLS token's heads look: logits[s,h,p] = (q[s,CLS,h] / 8) . k[s,p,h], and the
 *          patches' features summed with such weights: 1/P sum_p w[h,p] features[p,:], w =
 *          softmax_p(logits) or logits
 * shapes   qkv [sequences, tokens, 3 * heads * 64] f32, f16 or bf16; logits [sequences, heads, patches],
 *          features [sequences, tokens, dim], sums [sequences, heads, dim] f32; patches = tokens - skip;
 *          sums: heads <= 32
 * mapping  logits: a warp reads 256 neighbouring channels of a key, 8 per lane, so 4 heads at once; 8 warps
 *          take 32 patches.  sums: a block owns 32 columns for all heads, warp w the heads w, w + 8, ...;
 *          features are read once
 * memory   logits: q in registers.  sums: 64 patches of features and of weights at a time in shared memory
 * numbers  f32; weights relative to the head's maximum; patches are added in their order
 * launch   (ceil(patches / 32), ceil(heads / 4), sequences) and (ceil(dim / 32), sequences) blocks of 256
 * ptxas    logits 40 registers; sums 64 (4 blocks per SM asked for), 16384 bytes static shared; no spills
 * ceiling  memory: keys once; features once and, per block, the logits from L2. Not measured
 * oracle   cpu/attention.c, tests/simt/test_cuda_heads.c */
#include "gpu.cuh"

enum { WARPS = 8, THREADS = 32 * WARPS };

/* ---- logits ---- */

enum { PATCHES = 32 }; /* of a block */

template <typename T>
static __global__ __launch_bounds__(THREADS) void cls_logits_kernel(float *__restrict__ logits,
                                                                    const T *__restrict__ qkv, int tokens,
                                                                    int skip, int heads)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, patches = tokens - skip;
    const int head = blockIdx.y * 4 + lane / 8, width = heads * T2D_HEAD;
    const bool real = head < heads; /* the last warp column may have heads to spare */
    const T *tokens_of = qkv + (size_t)blockIdx.z * tokens * 3 * width;
    const int channel = blockIdx.y * 256 + lane * 8;
    float q[8] = {}, k[8] = {};
    if (real) load8(q, tokens_of + channel);
    for (int i = warp; i < PATCHES; i += WARPS) {
        const int p = blockIdx.x * PATCHES + i;
        if (p >= patches) return; /* whole warps */
        if (real) load8(k, tokens_of + (size_t)(skip + p) * 3 * width + width + channel);
        float dot = 0.f;
#pragma unroll
        for (int j = 0; j < 8; j++) dot += q[j] * 0.125f * k[j];
        dot = warp_sum<8>(dot);
        if (real && lane % 8 == 0) logits[((size_t)blockIdx.z * heads + head) * patches + p] = dot;
    }
}

extern "C" int t2d_cuda_cls_logits(float *logits, const void *qkv, t2d_dtype type, int sequences, int tokens,
                                   int skip, int heads, void *stream)
{
    if (sequences < 1 || sequences > 65535 || heads < 1 || skip < 0 || skip >= tokens)
        return cudaErrorInvalidValue;
    const dim3 grid(ceil_div(tokens - skip, PATCHES), ceil_div(heads, 4), sequences);
    return with_act(type, [&](auto zero) {
        typedef decltype(zero) T;
        return launch(cls_logits_kernel<T>, grid, dim3(THREADS), 0, static_cast<cudaStream_t>(stream), logits,
                      static_cast<const T *>(qkv), tokens, skip, heads);
    });
}

/* ---- sums over patches ---- */

enum { COLUMNS = 32, TILE = 64, MOST_HEADS = 32 };

/* HEADS: of a warp, heads <= 8 * HEADS. */
template <bool SOFTMAX, int HEADS>
static __global__ __launch_bounds__(THREADS, 4) void head_sums_kernel(float *__restrict__ sums,
                                                                      const float *__restrict__ logits,
                                                                      const float *__restrict__ features,
                                                                      int tokens, int skip, int heads,
                                                                      int dim)
{
    __shared__ float tile[TILE][COLUMNS], weights[MOST_HEADS][TILE];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, patches = tokens - skip;
    const int column = blockIdx.x * COLUMNS + lane;
    logits += (size_t)blockIdx.y * heads * patches;
    features += ((size_t)blockIdx.y * tokens + skip) * dim;

    /* the heads' maxima and sums, which only their own warp needs */
    float top[HEADS] = {}, scale[HEADS], out[HEADS] = {};
#pragma unroll
    for (int i = 0; i < HEADS; i++) {
        const int h = warp + i * WARPS;
        scale[i] = 1.f / patches;
        if (!SOFTMAX || h >= heads) continue;
        float most = -INFINITY, sum = 0.f;
        for (int p = lane; p < patches; p += 32) most = fmaxf(most, logits[(size_t)h * patches + p]);
        top[i] = warp_max(most);
        for (int p = lane; p < patches; p += 32) sum += expf(logits[(size_t)h * patches + p] - top[i]);
        scale[i] /= warp_sum(sum);
    }

    for (int first = 0; first < patches; first += TILE) {
        const int count = min((int)TILE, patches - first);
        for (int r = warp; r < count; r += WARPS)
            tile[r][lane] = column < dim ? features[(size_t)(first + r) * dim + column] : 0.f;
#pragma unroll
        for (int i = 0; i < HEADS; i++) {
            const int h = warp + i * WARPS;
            for (int p = lane; h < heads && p < count; p += 32) {
                const float x = logits[(size_t)h * patches + first + p];
                weights[h][p] = SOFTMAX ? expf(x - top[i]) : x;
            }
        }
        __syncthreads(); /* features and weights of the tile are there */
        for (int p = 0; p < count; p++) {
            const float feature = tile[p][lane];
#pragma unroll
            for (int i = 0; i < HEADS; i++)
                if (warp + i * WARPS < heads) out[i] += weights[warp + i * WARPS][p] * feature;
        }
        __syncthreads(); /* all warps are done with the tile */
    }
#pragma unroll
    for (int i = 0; i < HEADS; i++)
        if (warp + i * WARPS < heads && column < dim)
            sums[((size_t)blockIdx.y * heads + warp + i * WARPS) * dim + column] = out[i] * scale[i];
}

template <bool SOFTMAX>
static int head_sums(float *sums, const float *logits, const float *features, int sequences, int tokens,
                     int skip, int heads, int dim, void *stream)
{
    if (sequences < 1 || sequences > 65535 || heads < 1 || heads > MOST_HEADS || dim < 1 || skip < 0 ||
        skip >= tokens)
        return cudaErrorInvalidValue;
    const auto kernel = heads <= 8    ? head_sums_kernel<SOFTMAX, 1>
                        : heads <= 16 ? head_sums_kernel<SOFTMAX, 2>
                                      : head_sums_kernel<SOFTMAX, 4>;
    return launch(kernel, dim3(ceil_div(dim, COLUMNS), sequences), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), sums, logits, features, tokens, skip, heads, dim);
}

extern "C" int t2d_cuda_head_pool(float *pooled, const float *logits, const float *features, int sequences,
                                  int tokens, int skip, int heads, int dim, void *stream)
{
    return head_sums<true>(pooled, logits, features, sequences, tokens, skip, heads, dim, stream);
}

extern "C" int t2d_cuda_head_views(float *views, const float *logits, const float *features, int sequences,
                                   int tokens, int skip, int heads, int dim, void *stream)
{
    return head_sums<false>(views, logits, features, sequences, tokens, skip, heads, dim, stream);
}
