/* tokens.cu — windows of an 8-bit picture -> rows of the patch projection's product; what is in the
 *          residual stream before it is added; token ids -> rows; rows picked out
 * shapes   pixels [height, width, 3] u8; rows [count * grid * grid, ld] f32, f16 or bf16, columns channel,
 *          row, column, then zeros up to ld (ld % 4 == 0: the product wants rows of 16 bytes, and 3 * 14 *
 *          14 = 588 is none of bf16); x [count, 1 + registers + grid * grid, dim] f32; dim % 4 == 0
 * mapping  one thread per 4 neighbours of the result
 * memory   a window becomes rows at once, there is no fp32 picture; pixels are read from L1 and L2
 * numbers  torch's bilinear, align_corners false, coordinates in f32; a window of the right size is copied
 * launch   ceil(elements / 1024) blocks of 256
 * ptxas    patches 40 registers, the others at most 26; no shared memory, no spills
 * ceiling  memory: 3 bytes in per pixel, 6 or 12 out; x once. Not measured
 * oracle   cpu/tokens.c, tests/simt/test_cuda_tokens.c */
#include "gpu.cuh"

enum { THREADS = 256 };

/* ---- patches ---- */

struct Picture {
    const uint8_t *pixels;
    int width, size, patch, grid;
    float scale[3], shift[3]; /* v -> (v / 255 - mean) / std, by channel of the result */
    bool swap;
};

/* Where output pixel i of an axis takes its two samples, and the weight of the second. */
struct Tap {
    int low, high;
    float t;
};
static __device__ __forceinline__ Tap tap_at(int i, int from, int to)
{
    const float source = fmaxf((float)from / (float)to * (i + 0.5f) - 0.5f, 0.f);
    Tap tap;
    tap.low = min((int)source, from - 1);
    tap.high = min(tap.low + 1, from - 1);
    tap.t = source - (float)tap.low;
    return tap;
}

static __device__ __forceinline__ float sample(const Picture &in, const t2d_rect &window, int y, int x,
                                               int channel)
{
    const size_t stride = (size_t)in.width * 3;
    const uint8_t *p =
        in.pixels + window.y * stride + (size_t)window.x * 3 + (in.swap ? 2 - channel : channel);
    if (window.w == in.size && window.h == in.size) return p[y * stride + x * 3];
    const Tap v = tap_at(y, window.h, in.size), h = tap_at(x, window.w, in.size);
    const uint8_t *up = p + v.low * stride, *down = p + v.high * stride;
    const float top = (1.f - h.t) * up[h.low * 3] + h.t * up[h.high * 3];
    const float bottom = (1.f - h.t) * down[h.low * 3] + h.t * down[h.high * 3];
    return (1.f - v.t) * top + v.t * bottom;
}

static __device__ __forceinline__ void store4(float *p, const float (&v)[4])
{
    *reinterpret_cast<float4 *>(p) = make_float4(v[0], v[1], v[2], v[3]);
}
template <typename T> static __device__ __forceinline__ void store4(T *p, const float (&v)[4])
{
    *reinterpret_cast<uint2 *>(p) = make_uint2(pack2<T>(v[0], v[1]), pack2<T>(v[2], v[3]));
}

template <typename T>
static __global__
__launch_bounds__(THREADS) void patches_kernel(T *__restrict__ rows, const __grid_constant__ Picture in,
                                               const t2d_rect *__restrict__ windows, int ld, long long quads)
{
    const long long quad = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (quad >= quads) return;
    const int first = (int)(quad % (ld / 4)) * 4, row = (int)(quad / (ld / 4));
    const int patches = in.grid * in.grid, area = in.patch * in.patch;
    const t2d_rect window = windows[row / patches];
    const int top = row % patches / in.grid * in.patch, left = row % in.grid * in.patch;
    float v[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int channel = (first + j) / area, at = (first + j) % area;
        v[j] = 0.f;
        if (channel > 2) continue; /* zeros up to ld */
        const float raw = sample(in, window, top + at / in.patch, left + at % in.patch, channel);
        const float scale = channel == 0 ? in.scale[0] : channel == 1 ? in.scale[1] : in.scale[2];
        const float shift = channel == 0 ? in.shift[0] : channel == 1 ? in.shift[1] : in.shift[2];
        v[j] = raw * scale - shift;
    }
    store4(rows + quad * 4, v);
}

extern "C" int t2d_cuda_patches(void *rows, t2d_dtype type, int ld, const t2d_embed *in,
                                const t2d_rect *windows, void *stream)
{
    if (in->count < 1 || in->patch < 1 || in->size < in->patch || in->size % in->patch || ld % 4 ||
        ld < 3 * in->patch * in->patch)
        return cudaErrorInvalidValue;
    Picture p = {in->pixels, in->width, in->size, in->patch, in->size / in->patch, {}, {}, in->swap};
    for (int c = 0; c < 3; c++) {
        p.scale[c] = 1.f / (255.f * in->std[c]);
        p.shift[c] = in->mean[c] / in->std[c];
    }
    const long long quads = (long long)in->count * p.grid * p.grid * (ld / 4);
    return with_act(type, [&](auto zero) {
        typedef decltype(zero) T;
        return launch(patches_kernel<T>, dim3(ceil_div(quads, THREADS)), dim3(THREADS), 0,
                      static_cast<cudaStream_t>(stream), static_cast<T *>(rows), p, windows, ld, quads);
    });
}

/* ---- rows of fp32 ---- */

static __device__ __forceinline__ float4 get4(const float *p)
{
    return __ldg(reinterpret_cast<const float4 *>(p));
}
static __device__ __forceinline__ void put4(float *p, float4 v) { *reinterpret_cast<float4 *>(p) = v; }

static __global__ __launch_bounds__(THREADS) void token_base_kernel(
    float *__restrict__ x, const float *__restrict__ cls, const float *__restrict__ registers,
    const float *__restrict__ position, int count, int tokens, int dim, long long quads)
{
    const long long quad = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (quad >= quads) return;
    const int token = (int)(quad * 4 / dim % tokens), c = (int)(quad * 4 % dim);
    const float *from = token == 0       ? cls
                        : token <= count ? registers + (size_t)(token - 1) * dim
                                         : position + (size_t)(token - 1 - count) * dim;
    put4(x + quad * 4, get4(from + c));
}

extern "C" int t2d_cuda_token_base(float *x, const t2d_embed *in, void *stream)
{
    if (in->count < 1 || in->patch < 1 || in->size < in->patch || in->dim < 4 || in->dim % 4 ||
        in->register_count < 0)
        return cudaErrorInvalidValue;
    const int grid = in->size / in->patch, tokens = 1 + in->register_count + grid * grid;
    const long long quads = (long long)in->count * tokens * in->dim / 4;
    return launch(token_base_kernel, dim3(ceil_div(quads, THREADS)), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), x, in->cls, in->registers, in->position,
                  in->register_count, tokens, in->dim, quads);
}

/* y[r,:] = table[index[r],:] (+ position[r % tokens,:] unless NULL) */
static __global__ __launch_bounds__(THREADS) void rows_kernel(float *__restrict__ y,
                                                              const float *__restrict__ table,
                                                              const int32_t *__restrict__ index,
                                                              const float *__restrict__ position, int tokens,
                                                              int dim, long long quads)
{
    const long long quad = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (quad >= quads) return;
    const int row = (int)(quad * 4 / dim), c = (int)(quad * 4 % dim);
    float4 v = get4(table + (size_t)__ldg(index + row) * dim + c);
    if (position) {
        const float4 p = get4(position + (size_t)(row % tokens) * dim + c);
        v = make_float4(v.x + p.x, v.y + p.y, v.z + p.z, v.w + p.w);
    }
    put4(y + quad * 4, v);
}

extern "C" int t2d_cuda_embed_text(float *x, const int32_t *ids, const float *table, const float *position,
                                   int sequences, int tokens, int dim, void *stream)
{
    if (sequences < 1 || tokens < 1 || dim < 4 || dim % 4) return cudaErrorInvalidValue;
    const long long quads = (long long)sequences * tokens * dim / 4;
    return launch(rows_kernel, dim3(ceil_div(quads, THREADS)), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), x, table, ids, position, tokens, dim, quads);
}

extern "C" int t2d_cuda_gather_rows(float *y, const float *x, const int32_t *index, int rows, int dim,
                                    void *stream)
{
    if (rows < 1 || dim < 4 || dim % 4) return cudaErrorInvalidValue;
    const long long quads = (long long)rows * dim / 4;
    return launch(rows_kernel, dim3(ceil_div(quads, THREADS)), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), y, x, index, static_cast<const float *>(nullptr), 1, dim,
                  quads);
}
