/* norm.cu — y[r,:] = (x[r,:] - mean) / sqrt(var + eps) * w + b, rows to unit length, and what follows a
 *           product: epilogue(x + bias), silu(gate) * value
 * shapes   x [rows, dim] f32, w, b [dim] f32, y [rows, dim] f32, f16 or bf16; any rows; dim % 8 == 0,
 *          dim <= 2048 (layernorm); out, hidden % 8 == 0
 * mapping  layernorm, unit_rows: one warp per row, 8 rows per block; lane owns 8 neighbours every 256.
 *          epilogue, swiglu: one thread per 8 neighbours
 * memory   layernorm keeps the row in registers (<= 64 per lane), unit_rows reads it twice (L1)
 * numbers  f32; layernorm in two passes: DINO has outlier tokens, E[x^2] - E[x]^2 would cancel.  GELU is the
 *          erf form (cuBLASLt's is tanh: wrong for DINOv2)
 * launch   ceil(rows / 8) blocks of 256; ceil(rows * out / 2048) blocks of 256
 * ptxas    layernorm 48 registers (dim <= 512), 56 (768, 1024), 80 (1536), 96 (2048) at most on sm_80, 90a,
 *          100, 120; without the blocks per SM asked for, sm_100 and 120 spill.  The others at most 40.  No
 *          shared memory
 * ceiling  memory: layernorm 4 bytes in, 2 or 4 out per element; epilogue 2 + 2 bytes in a half type.  Not
 *          measured
 * oracle   cpu/norm.c, tests/simt/test_cuda_norm.c */
#include "gpu.cuh"

enum { WARPS = 8, THREADS = 32 * WARPS };

/* ---- layer norm ---- */

template <typename T, int VECS> /* VECS: groups of 8 per lane; dim <= 256 * VECS */
static __global__ __launch_bounds__(THREADS, VECS <= 3 ? 4 : 2) void layernorm_kernel(
    T *__restrict__ y, const float *__restrict__ x, const float *__restrict__ w, const float *__restrict__ b,
    int rows, int dim, float eps)
{
    const int lane = threadIdx.x & 31, row = blockIdx.x * WARPS + (threadIdx.x >> 5);
    if (row >= rows) return; /* whole warps */
    x += (size_t)row * dim;
    y += (size_t)row * dim;
    float v[VECS][8], sum = 0.f;
#pragma unroll
    for (int i = 0; i < VECS; i++) {
        const int c = (i * 32 + lane) * 8;
        if (c >= dim) continue;
        load8(v[i], x + c);
#pragma unroll
        for (int j = 0; j < 8; j++) sum += v[i][j];
    }
    const float mean = warp_sum(sum) / dim;

    float squares = 0.f;
#pragma unroll
    for (int i = 0; i < VECS; i++) {
        if ((i * 32 + lane) * 8 >= dim) continue;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            v[i][j] -= mean;
            squares += v[i][j] * v[i][j];
        }
    }
    const float scale = 1.f / sqrtf(warp_sum(squares) / dim + eps);

#pragma unroll
    for (int i = 0; i < VECS; i++) {
        const int c = (i * 32 + lane) * 8;
        if (c >= dim) continue;
        float g[8], h[8];
        load8(g, w + c);
        load8(h, b + c);
#pragma unroll
        for (int j = 0; j < 8; j++) v[i][j] = v[i][j] * scale * g[j] + h[j];
        store8(y + c, v[i]);
    }
}

template <typename T>
static int layernorm(T *y, const float *x, const float *w, const float *b, int rows, int dim, float eps,
                     cudaStream_t stream)
{
    const dim3 grid(ceil_div(rows, WARPS)), block(THREADS);
    if (dim <= 512) return launch(layernorm_kernel<T, 2>, grid, block, 0, stream, y, x, w, b, rows, dim, eps);
    if (dim <= 768) return launch(layernorm_kernel<T, 3>, grid, block, 0, stream, y, x, w, b, rows, dim, eps);
    if (dim <= 1024)
        return launch(layernorm_kernel<T, 4>, grid, block, 0, stream, y, x, w, b, rows, dim, eps);
    if (dim <= 1536)
        return launch(layernorm_kernel<T, 6>, grid, block, 0, stream, y, x, w, b, rows, dim, eps);
    return launch(layernorm_kernel<T, 8>, grid, block, 0, stream, y, x, w, b, rows, dim, eps);
}

extern "C" int t2d_cuda_layernorm(void *y, t2d_dtype type, const float *x, const float *w, const float *b,
                                  int rows, int dim, float eps, void *stream)
{
    if (rows < 1 || dim < 8 || dim > 2048 || dim % 8) return cudaErrorInvalidValue;
    return with_act(type, [&](auto zero) {
        return layernorm(static_cast<decltype(zero) *>(y), x, w, b, rows, dim, eps,
                         static_cast<cudaStream_t>(stream));
    });
}

/* ---- unit rows ---- */

static __global__ __launch_bounds__(THREADS) void unit_rows_kernel(float *__restrict__ y,
                                                                   const float *__restrict__ x, int rows,
                                                                   int tokens, int skip, int keep, int dim)
{
    const int lane = threadIdx.x & 31, row = blockIdx.x * WARPS + (threadIdx.x >> 5);
    if (row >= rows) return; /* whole warps */
    x += ((size_t)(row / keep) * tokens + skip + row % keep) * dim;
    y += (size_t)row * dim;
    float v[8], squares = 0.f;
    for (int c = lane * 8; c < dim; c += 256) {
        load8(v, x + c);
#pragma unroll
        for (int j = 0; j < 8; j++) squares += v[j] * v[j];
    }
    const float scale = 1.f / fmaxf(sqrtf(warp_sum(squares)), 1e-6f);
    for (int c = lane * 8; c < dim; c += 256) {
        load8(v, x + c);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] *= scale;
        store8(y + c, v);
    }
}

extern "C" int t2d_cuda_unit_rows(float *y, const float *x, int sequences, int tokens, int skip, int keep,
                                  int dim, void *stream)
{
    if (sequences < 1 || keep < 1 || skip < 0 || skip + keep > tokens || dim < 8 || dim % 8)
        return cudaErrorInvalidValue;
    const int rows = sequences * keep;
    return launch(unit_rows_kernel, dim3(ceil_div(rows, WARPS)), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), y, x, rows, tokens, skip, keep, dim);
}

/* ---- epilogues ---- */

template <int EPILOGUE> static __device__ __forceinline__ float apply(float u)
{
    if (EPILOGUE == T2D_EPI_GELU) return 0.5f * u * (1.f + erff(u * 0.70710678118654752f));
    if (EPILOGUE == T2D_EPI_QUICK_GELU) return u / (1.f + expf(-1.702f * u));
    if (EPILOGUE == T2D_EPI_TANH) return tanhf(u);
    return u;
}

/* TY is T, or float for ADD.  y and x may be the same memory: no __restrict__. */
template <typename TY, typename T, int EPILOGUE>
static __global__ __launch_bounds__(THREADS) void epilogue_kernel(TY *y, const T *x, const float *bias,
                                                                  long long vecs, int out)
{
    const long long vec = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (vec >= vecs) return;
    float v[8], b[8] = {}, sum[8];
    load8(v, x + vec * 8);
    if (bias) load8(b, bias + vec * 8 % out);
    if (EPILOGUE == T2D_EPI_ADD) load8(sum, y + vec * 8);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float u = apply<EPILOGUE>(v[j] + b[j]);
        v[j] = EPILOGUE == T2D_EPI_ADD ? sum[j] + u : u;
    }
    store8(y + vec * 8, v);
}

template <typename T>
static int epilogue_of(void *y, const void *x, const float *bias, long long vecs, int out,
                       t2d_epilogue epilogue, cudaStream_t stream)
{
    const dim3 grid(ceil_div(vecs, THREADS)), block(THREADS);
    const T *xs = static_cast<const T *>(x);
    T *ys = static_cast<T *>(y);
    switch (epilogue) {
    case T2D_EPI_NONE:
        return launch(epilogue_kernel<T, T, T2D_EPI_NONE>, grid, block, 0, stream, ys, xs, bias, vecs, out);
    case T2D_EPI_GELU:
        return launch(epilogue_kernel<T, T, T2D_EPI_GELU>, grid, block, 0, stream, ys, xs, bias, vecs, out);
    case T2D_EPI_QUICK_GELU:
        return launch(epilogue_kernel<T, T, T2D_EPI_QUICK_GELU>, grid, block, 0, stream, ys, xs, bias, vecs,
                      out);
    case T2D_EPI_TANH:
        return launch(epilogue_kernel<T, T, T2D_EPI_TANH>, grid, block, 0, stream, ys, xs, bias, vecs, out);
    case T2D_EPI_ADD:
        return launch(epilogue_kernel<float, T, T2D_EPI_ADD>, grid, block, 0, stream, static_cast<float *>(y),
                      xs, bias, vecs, out);
    }
    return cudaErrorInvalidValue;
}

extern "C" int t2d_cuda_epilogue(void *y, const void *x, t2d_dtype type, const float *bias, int rows, int out,
                                 t2d_epilogue epilogue, void *stream)
{
    if (rows < 1 || out < 8 || out % 8) return cudaErrorInvalidValue;
    return with_act(type, [&](auto zero) {
        return epilogue_of<decltype(zero)>(y, x, bias, (long long)rows * out / 8, out, epilogue,
                                           static_cast<cudaStream_t>(stream));
    });
}

/* ---- SwiGLU ---- */

template <typename T>
static __global__ __launch_bounds__(THREADS) void swiglu_kernel(T *__restrict__ y, const T *__restrict__ x,
                                                                long long vecs, int hidden)
{
    const long long vec = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (vec >= vecs) return;
    const long long row = vec * 8 / hidden, c = vec * 8 % hidden;
    float gate[8], value[8];
    load8(gate, x + row * 2 * hidden + c);
    load8(value, x + row * 2 * hidden + hidden + c);
#pragma unroll
    for (int j = 0; j < 8; j++) value[j] *= gate[j] / (1.f + expf(-gate[j]));
    store8(y + vec * 8, value);
}

extern "C" int t2d_cuda_swiglu(void *y, const void *x, t2d_dtype type, int rows, int hidden, void *stream)
{
    if (rows < 1 || hidden < 8 || hidden % 8) return cudaErrorInvalidValue;
    const long long vecs = (long long)rows * hidden / 8;
    return with_act(type, [&](auto zero) {
        typedef decltype(zero) T;
        return launch(swiglu_kernel<T>, dim3(ceil_div(vecs, THREADS)), dim3(THREADS), 0,
                      static_cast<cudaStream_t>(stream), static_cast<T *>(y), static_cast<const T *>(x), vecs,
                      hidden);
    });
}
