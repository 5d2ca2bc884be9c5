/* attention.cu — mix[s,i,h,:] = sum_j softmax_j(q[s,i,h,:] . k[s,j,h,:] / 8) v[s,j,h,:]; causal: j <= i
 * shapes   qkv [sequences, tokens, 3 * heads * 64] as [q | k | v], head-major inside each; mix [sequences,
 *          tokens, heads * 64]; f16, bf16 or f32; any number of tokens
 * mapping  one block per 64 queries of one head; f16, bf16: 4 warps of 16 queries, keys in tiles of 64,
 *          mma.sync m16n8k16; f32: 256 threads of 4 x 4 scores
 * memory   scores never leave the block.  f16, bf16: q, two k and two v tiles in shared memory (40 KiB),
 *          filled by cp.async one tile ahead, 16-byte chunks permuted by row so that ldmatrix has no bank
 *          conflicts.  f32: q, k, v, p tiles (68 KiB), rows of 68 floats
 * numbers  f32 scores, online softmax and sums; p is rounded to the type for the second product.  A row's
 *          bits depend on its own sequence alone
 * tail     1029 = 16 * 64 + 5: in the last tile of keys (and on the diagonal when causal) only the groups of
 *          16 that hold a key are multiplied, and warps without a query only help loading: 2 % more products
 *          than needed, where whole tiles of 128 would make 25 %.  So a block has 64 queries and not 128
 * launch   (ceil(tokens / 64), heads, sequences) blocks of 128 (f32: 256)
 * ptxas    f16, bf16: 155 registers (sm_80), 156 (sm_90a), 168 (sm_100, 120), 40960 bytes shared: 3 blocks
 *          per SM asked for, without which sm_100 spills; f32: 95 registers, 69632 bytes
 * ceiling  tensor cores: 4 * tokens^2 * 64 flops per head; a warp reads 16 KiB of shared memory for the 64
 *          products of a tile, which on sm_80 takes as long as they do.  Not measured
 * oracle   cpu/attention.c, tests/simt/test_cuda_attention.c */
#include "gpu.cuh"

enum { DIM = T2D_HEAD, BLOCK_M = 64, BLOCK_N = 64 };

/* ---- f16 and bf16 ---- */

enum { THREADS = 128 };

template <typename T> struct Tiles {
    T q[BLOCK_M * DIM], k[2][BLOCK_N * DIM], v[2][BLOCK_N * DIM];
};

/* Element of a tile's row where its 16-byte chunk stands. */
static __device__ __forceinline__ int place(int row, int chunk)
{
    return row * DIM + ((chunk ^ (row & 7)) << 3);
}

/* Starts copying 64 rows; rows from `rows` on become zero. */
template <typename T>
static __device__ __forceinline__ void load_tile(T *tile, const T *from, int stride, int rows)
{
#pragma unroll
    for (int i = 0; i < BLOCK_N * 8 / THREADS; i++) {
        const int id = i * THREADS + threadIdx.x, row = id >> 3, chunk = id & 7;
        const bool in = row < rows;
        ptx::cp_async_16(tile + place(row, chunk), from + (in ? (size_t)row * stride : 0) + chunk * 8, in);
    }
}

static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                           __half)
{
    ptx::mma_m16n8k16_f16(d, a, b0, b1);
}
static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                           __nv_bfloat16)
{
    ptx::mma_m16n8k16_bf16(d, a, b0, b1);
}

struct State { /* of one warp's 16 queries; a lane holds rows lane / 4 and lane / 4 + 8 */
    uint32_t q[4][4];
    float out[8][4], most[2], sum[2];
};

/* One tile of keys.  FULL: all 64 count; else `groups` groups of 16 hold a key, and key c counts for the
 * lane's row r when c < limit[r]. */
template <typename T, bool FULL>
static __device__ __forceinline__ void attend(State &st, const T *k, const T *v, int groups,
                                              const int (&limit)[2], float scale)
{
    const int lane = threadIdx.x & 31;
    const T type = T();

    /* scores = q k^T: 16 x 64 per warp */
    float p[8][4] = {};
#pragma unroll
    for (int g = 0; g < 4; g++) {
        if (!FULL && g >= groups) continue;
#pragma unroll
        for (int kk = 0; kk < 4; kk++) {
            uint32_t b[4];
            ptx::ldmatrix_x4(b,
                             k + place(g * 16 + (lane & 7) + ((lane >> 4) << 3), kk * 2 + ((lane >> 3) & 1)));
            mma(p[2 * g], st.q[kk], b[0], b[1], type);
            mma(p[2 * g + 1], st.q[kk], b[2], b[3], type);
        }
    }
    if (!FULL)
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (j * 8 + (lane & 3) * 2 + (e & 1) >= limit[e >> 1]) p[j][e] = -INFINITY;

                    /* online softmax; a row is spread over four lanes */
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float most = st.most[r];
#pragma unroll
        for (int j = 0; j < 8; j++) most = fmaxf(most, fmaxf(p[j][2 * r], p[j][2 * r + 1]));
        most = warp_max<4>(most);
        const float rescale = ptx::ex2_approx((st.most[r] - most) * scale), shift = most * scale;
        st.most[r] = most;
        st.sum[r] *= rescale;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            st.out[j][2 * r] *= rescale;
            st.out[j][2 * r + 1] *= rescale;
            p[j][2 * r] = ptx::ex2_approx(p[j][2 * r] * scale - shift);
            p[j][2 * r + 1] = ptx::ex2_approx(p[j][2 * r + 1] * scale - shift);
            st.sum[r] += p[j][2 * r] + p[j][2 * r + 1];
        }
    }

    /* out += p v; the accumulator layout of the scores is the A operand's */
#pragma unroll
    for (int g = 0; g < 4; g++) {
        if (!FULL && g >= groups) continue;
        const uint32_t a[4] = {pack2<T>(p[2 * g][0], p[2 * g][1]), pack2<T>(p[2 * g][2], p[2 * g][3]),
                               pack2<T>(p[2 * g + 1][0], p[2 * g + 1][1]),
                               pack2<T>(p[2 * g + 1][2], p[2 * g + 1][3])};
#pragma unroll
        for (int n = 0; n < 4; n++) {
            uint32_t b[4];
            ptx::ldmatrix_x4_trans(b, v + place(g * 16 + (lane & 15), n * 2 + (lane >> 4)));
            mma(st.out[2 * n], a, b[0], b[1], type);
            mma(st.out[2 * n + 1], a, b[2], b[3], type);
        }
    }
}

/* Divides by the sums and stores the warp's 16 rows, gathered in its own rows of the q tile for 16-byte
 * stores. */
template <typename T>
static __device__ __forceinline__ void finish(State &st, T *tile, T *mix, int stride, int rows)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const float inverse = 1.f / warp_sum<4>(st.sum[r]);
        const int row = (lane >> 2) + r * 8;
#pragma unroll
        for (int j = 0; j < 8; j++)
            *reinterpret_cast<uint32_t *>(tile + place(row, j) + (lane & 3) * 2) =
                pack2<T>(st.out[j][2 * r] * inverse, st.out[j][2 * r + 1] * inverse);
    }
    __syncwarp(); /* the rows are whole before other lanes read them */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = i * 4 + (lane >> 3), chunk = lane & 7;
        if (row < rows)
            *reinterpret_cast<uint4 *>(mix + (size_t)row * stride + chunk * 8) =
                *reinterpret_cast<const uint4 *>(tile + place(row, chunk));
    }
}

template <typename T, bool CAUSAL>
static __global__ __launch_bounds__(THREADS, 3) void attention_kernel(T *__restrict__ mix,
                                                                      const T *__restrict__ qkv, int tokens,
                                                                      int heads)
{
    Tiles<T> &s = *dynamic_smem<Tiles<T>>();
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, first = blockIdx.x * BLOCK_M;
    const int width = heads * DIM, stride = 3 * width, row = warp * 16;
    const T *q = qkv + (size_t)blockIdx.z * tokens * stride + blockIdx.y * DIM, *k = q + width,
            *v = k + width;
    const int keys = CAUSAL ? min(tokens, first + BLOCK_M) : tokens, tiles = (keys + BLOCK_N - 1) / BLOCK_N;
    const bool active = first + row < tokens; /* has the warp a query? */
    const float scale = 0.125f * 1.44269504f; /* exp(s / 8) = 2^(s scale) */

    load_tile(s.q, q + (size_t)first * stride, stride, tokens - first);
    load_tile(s.k[0], k, stride, keys);
    load_tile(s.v[0], v, stride, keys);
    ptx::cp_async_commit_group();

    State st = {};
    st.most[0] = st.most[1] = -INFINITY;
    for (int t = 0; t < tiles; t++) {
        const int buf = t & 1, begin = t * BLOCK_N, left = keys - begin;
        if (t + 1 < tiles) {
            load_tile(s.k[buf ^ 1], k + (size_t)(begin + BLOCK_N) * stride, stride, left - BLOCK_N);
            load_tile(s.v[buf ^ 1], v + (size_t)(begin + BLOCK_N) * stride, stride, left - BLOCK_N);
        }
        ptx::cp_async_commit_group();
        ptx::cp_async_wait_group<1>();
        __syncthreads(); /* tile t has arrived for all warps */
        if (t == 0)
#pragma unroll
            for (int kk = 0; kk < 4; kk++)
                ptx::ldmatrix_x4(st.q[kk], s.q + place(row + (lane & 15), kk * 2 + (lane >> 4)));

        const int diagonal = first + row - begin; /* of the warp's first query, in this tile */
        if (active && left >= BLOCK_N && (!CAUSAL || diagonal >= BLOCK_N)) {
            const int all[2] = {BLOCK_N, BLOCK_N};
            attend<T, true>(st, s.k[buf], s.v[buf], 4, all, scale);
        } else if (active) {
            int limit[2] = {left, left};
            if (CAUSAL) limit[0] = min(left, diagonal + (lane >> 2) + 1), limit[1] = min(left, limit[0] + 8);
            const int most = CAUSAL ? min(left, diagonal + 16) : left;
            attend<T, false>(st, s.k[buf], s.v[buf], (most + 15) >> 4, limit, scale);
        }
        __syncthreads(); /* all warps are done with tile t before its buffers are filled again */
    }
    if (!active) return; /* whole warps */
    T *to = mix + ((size_t)blockIdx.z * tokens + first + row) * width + blockIdx.y * DIM;
    finish(st, s.q + row * DIM, to, width, tokens - first - row);
}

/* ---- f32, without TF32 ---- */

enum { THREADS_F32 = 256, PITCH = DIM + 4 }; /* 16 lanes of float4 in 16 rows touch all banks */

struct TilesF32 {
    float q[BLOCK_M][PITCH], k[BLOCK_N][PITCH], v[BLOCK_N][PITCH], p[BLOCK_M][PITCH];
};

static __device__ __forceinline__ void load_tile_f32(float (*tile)[PITCH], const float *from, int stride,
                                                     int rows)
{
#pragma unroll
    for (int i = 0; i < BLOCK_N * 16 / THREADS_F32; i++) {
        const int id = i * THREADS_F32 + threadIdx.x, row = id >> 4, chunk = id & 15;
        const bool in = row < rows;
        ptx::cp_async_16(&tile[row][chunk * 4], from + (in ? (size_t)row * stride : 0) + chunk * 4, in);
    }
}

static __device__ __forceinline__ float4 get4(const float *p) { return *reinterpret_cast<const float4 *>(p); }

/* score[i][j] of query 4 ty + i and key tx + 16 j */
static __device__ __forceinline__ void scores_f32(float (&score)[4][4], const TilesF32 &s, int tx, int ty)
{
    for (int d = 0; d < DIM; d += 4) {
        float4 a[4];
#pragma unroll
        for (int i = 0; i < 4; i++) a[i] = get4(&s.q[ty * 4 + i][d]);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float4 b = get4(&s.k[tx + 16 * j][d]);
#pragma unroll
            for (int i = 0; i < 4; i++)
                score[i][j] += a[i].x * b.x + a[i].y * b.y + a[i].z * b.z + a[i].w * b.w;
        }
    }
}

/* out[i][:] of query 4 ty + i, channels 4 tx .. 4 tx + 3, += p v */
static __device__ __forceinline__ void mix_f32(float (&out)[4][4], const TilesF32 &s, int tx, int ty)
{
    for (int c = 0; c < BLOCK_N; c += 4) {
        float4 b[4];
#pragma unroll
        for (int j = 0; j < 4; j++) b[j] = get4(&s.v[c + j][tx * 4]);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float4 a = get4(&s.p[ty * 4 + i][c]);
            out[i][0] += a.x * b[0].x + a.y * b[1].x + a.z * b[2].x + a.w * b[3].x;
            out[i][1] += a.x * b[0].y + a.y * b[1].y + a.z * b[2].y + a.w * b[3].y;
            out[i][2] += a.x * b[0].z + a.y * b[1].z + a.z * b[2].z + a.w * b[3].z;
            out[i][3] += a.x * b[0].w + a.y * b[1].w + a.z * b[2].w + a.w * b[3].w;
        }
    }
}

template <bool CAUSAL>
static __global__ __launch_bounds__(THREADS_F32) void attention_f32_kernel(float *__restrict__ mix,
                                                                           const float *__restrict__ qkv,
                                                                           int tokens, int heads)
{
    TilesF32 &s = *dynamic_smem<TilesF32>();
    const int tx = threadIdx.x & 15, ty = threadIdx.x >> 4, first = blockIdx.x * BLOCK_M;
    const int width = heads * DIM, stride = 3 * width;
    const float *q = qkv + (size_t)blockIdx.z * tokens * stride + blockIdx.y * DIM, *k = q + width,
                *v = k + width;
    const int keys = CAUSAL ? min(tokens, first + BLOCK_M) : tokens;

    load_tile_f32(s.q, q + (size_t)first * stride, stride, tokens - first);
    float out[4][4] = {}, most[4], sum[4] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) most[i] = -INFINITY;

    for (int begin = 0; begin < keys; begin += BLOCK_N) {
        load_tile_f32(s.k, k + (size_t)begin * stride, stride, keys - begin);
        load_tile_f32(s.v, v + (size_t)begin * stride, stride, keys - begin);
        ptx::cp_async_commit_group();
        ptx::cp_async_wait_group<0>();
        __syncthreads(); /* the tiles have arrived for all threads */

        float p[4][4] = {};
        scores_f32(p, s, tx, ty);
#pragma unroll
        for (int i = 0; i < 4; i++) { /* a row is spread over 16 lanes */
            const int limit = CAUSAL ? min(keys - begin, first + ty * 4 + i - begin + 1) : keys - begin;
            float top = most[i];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                p[i][j] = tx + 16 * j < limit ? p[i][j] * 0.125f : -INFINITY;
                top = fmaxf(top, p[i][j]);
            }
            top = warp_max<16>(top);
            const float rescale = expf(most[i] - top);
            most[i] = top;
            sum[i] *= rescale;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                out[i][j] *= rescale;
                p[i][j] = expf(p[i][j] - top);
                sum[i] += p[i][j];
                s.p[ty * 4 + i][tx + 16 * j] = p[i][j];
            }
        }
        __syncwarp(); /* a row of p is written and read by the same 16 lanes */
        mix_f32(out, s, tx, ty);
        __syncthreads(); /* all threads are done with k and v before they are filled again */
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int query = first + ty * 4 + i;
        const float inverse = 1.f / warp_sum<16>(sum[i]);
        if (query < tokens)
            *reinterpret_cast<float4 *>(mix + ((size_t)blockIdx.z * tokens + query) * width +
                                        blockIdx.y * DIM + tx * 4) =
                make_float4(out[i][0] * inverse, out[i][1] * inverse, out[i][2] * inverse,
                            out[i][3] * inverse);
    }
}

/* ---- launch ---- */

template <typename T>
static int attention(T *mix, const T *qkv, dim3 grid, int tokens, int heads, bool causal, cudaStream_t stream)
{
    return launch(causal ? attention_kernel<T, true> : attention_kernel<T, false>, grid, dim3(THREADS),
                  sizeof(Tiles<T>), stream, mix, qkv, tokens, heads);
}
static int attention(float *mix, const float *qkv, dim3 grid, int tokens, int heads, bool causal,
                     cudaStream_t stream)
{
    return launch(causal ? attention_f32_kernel<true> : attention_f32_kernel<false>, grid, dim3(THREADS_F32),
                  sizeof(TilesF32), stream, mix, qkv, tokens, heads);
}

extern "C" int t2d_cuda_attention(void *mix, const void *qkv, t2d_dtype type, int sequences, int tokens,
                                  int heads, bool causal, void *stream)
{
    if (sequences < 1 || sequences > 65535 || tokens < 1 || heads < 1) return cudaErrorInvalidValue;
    const dim3 grid(ceil_div(tokens, BLOCK_M), heads, sequences);
    return with_act(type, [&](auto zero) {
        typedef decltype(zero) T;
        return attention(static_cast<T *>(mix), static_cast<const T *>(qkv), grid, tokens, heads, causal,
                         static_cast<cudaStream_t>(stream));
    });
}
