/* clang-format off */
/* pamr.cu — s[p,c] <- sum_k w[p,k] s[p + o_k, c], ten times; w[p,:] = softmax_k of minus the colour differences
 *          |g(p + o_k) - g(p)| / (1e-8 + 0.1 sigma(p)), mean over R, G, B; o: 8 sides x distances 1 2 4 8 12 24
 * shapes   guide [canvas_height, canvas_width, 3] u8; weights [48, height, width] f32; iterates [classes / 4, height,
 *          width] float4: four neighbouring classes together; any window, its borders repeat
 * mapping  weights: one thread per pixel, 48 in registers.  Iterations: a block owns 32 x 24 pixels, a thread one of
 *          them with its 48 weights in registers, and walks through the classes four at a time
 * memory   a tile with its halo of 24 is 80 x 72 float4 = 92,160 bytes of shared memory (chips from sm_80 on have 99 KB
 *          or more), filled by cp.async; all 48 neighbours, the far ones too, come from there.  Weights are computed
 *          once and read once per iteration and group; the workspace decides how many classes are a group
 * numbers  f32, sums in the order of k with fmaf: the bits of cpu/pamr.c on a CPU with FMA
 * launch   ceil(width / 32) x ceil(height / 24) blocks of 768, one per SM; fill, weights, add: 256
 * ptxas    iterate 80 registers (sm_80), 79 (sm_90a), 92,160 bytes dynamic shared; weights 176, 177; fill 40; add 32;
 *          divide 24; zero 8
 * ceiling  bytes: 448 x 448 x 150 classes: weights 39 MB, scores 122 MB in and 122 MB out, ten times: 2.8 GB where no
 *          cache helps (the published module moves 347 GB).  The halo costs L2 7.5 reads of every score (a tile is
 *          5,760 of 768 pixels), shared memory 16 bytes per four fmaf.  Not measured
 * oracle   cpu/pamr.c, cpu/refine.c, tests/simt/test_cuda_pamr.c */
/* clang-format on */
#include "readout.cuh"

enum {
    NEIGHBOURS = 48,
    ITERATIONS = 10,
    REACH = 24,
    TILE_W = 32,
    TILE_H = 24,
    WIDE = TILE_W + 2 * REACH,
    HIGH = TILE_H + 2 * REACH,
    THREADS = TILE_W * TILE_H,
};

/* Neighbour k: sides from the upper left, row by row, for every distance; constants when unrolled. */
static __device__ __forceinline__ int side_of(int k) { return k % 8 < 4 ? k % 8 : k % 8 + 1; }
static __device__ __forceinline__ int distance_of(int k) { return k < 32 ? 1 << (k >> 3) : k < 40 ? 12 : 24; }
static __device__ __forceinline__ int offset_x(int k) { return (side_of(k) % 3 - 1) * distance_of(k); }
static __device__ __forceinline__ int offset_y(int k) { return (side_of(k) / 3 - 1) * distance_of(k); }

static __device__ __forceinline__ int clamp(int v, int below) { return min(max(v, 0), below - 1); }

/* ---- weights ---- */

/* 1 / (3 (1e-8 + 0.1 sigma)) over the centre, six times, and its neighbours; the sums are of integers. */
static __device__ __forceinline__ float inverse_spread(int sum, int squares)
{
    const int samples = NEIGHBOURS + 6;
    const float variance = (float)(samples * squares - sum * sum) / (float)(samples * (samples - 1));
    return 1.f / __fmul_rn(3.f, fmaf(0.1f, sqrtf(variance), 1e-8f));
}

/* weights [48, h, w] of a window at `guide`, whose rows are `pitch` bytes apart. */
static __global__ __launch_bounds__(256) void weights_kernel(float *__restrict__ weights,
                                                             const uint8_t *__restrict__ guide, size_t pitch,
                                                             int w, int h)
{
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
    if (x >= w || y >= h) return;
    float v[NEIGHBOURS];
#pragma unroll
    for (int k = 0; k < NEIGHBOURS; k++) v[k] = 0.f;
    for (int c = 0; c < 3; c++) {
        const int centre = __ldg(guide + y * pitch + 3 * x + c);
        int sum = 6 * centre, squares = 6 * centre * centre, near[NEIGHBOURS];
#pragma unroll
        for (int k = 0; k < NEIGHBOURS; k++) {
            near[k] = __ldg(guide + clamp(y + offset_y(k), h) * pitch + 3 * clamp(x + offset_x(k), w) + c);
            sum += near[k];
            squares += near[k] * near[k];
        }
        const float inverse = inverse_spread(sum, squares);
#pragma unroll
        for (int k = 0; k < NEIGHBOURS; k++) v[k] = fmaf(-(float)abs(near[k] - centre), inverse, v[k]);
    }
    float top = v[0], total = 0.f;
#pragma unroll
    for (int k = 1; k < NEIGHBOURS; k++) top = v[k] > top ? v[k] : top;
#pragma unroll
    for (int k = 0; k < NEIGHBOURS; k++) {
        v[k] = sleef_exp(__fadd_rn(v[k], -top));
        total = __fadd_rn(total, v[k]);
    }
#pragma unroll
    for (int k = 0; k < NEIGHBOURS; k++) weights[((size_t)k * h + y) * w + x] = v[k] / total;
}

/* ---- scores in, scores out ---- */

/* to [quads, h, w]: window's classes first .. first + 4 quads - 1 at its pixels; zero beyond the last class.
 */
static __global__ __launch_bounds__(256) void fill_kernel(float4 *__restrict__ to, Job job, Tables t,
                                                          int window, int first, int quads, int w, int h)
{
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
    if (x >= w || y >= h) return;
    const Corners k = corners_of(job, t, window, x, y);
    for (int q = 0; q < quads; q++) {
        float v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int c = first + 4 * q + j;
            v[j] = c < job.classes ? corner_blend(k, c) : 0.f;
        }
        to[((size_t)q * h + y) * w + x] = make_float4(v[0], v[1], v[2], v[3]);
    }
}

/* refined[y, x, first ..] += from, at the window's place; classes are neighbours of one thread. */
static __global__ __launch_bounds__(256) void add_kernel(float *__restrict__ refined,
                                                         const float4 *__restrict__ from, t2d_rect r,
                                                         int canvas_width, int classes, int first, int quads)
{
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y;
    if (x >= r.w || y >= r.h) return;
    float *to = refined + ((size_t)(r.y + y) * canvas_width + r.x + x) * classes;
    for (int q = 0; q < quads; q++) {
        const float4 f = __ldg(from + ((size_t)q * r.h + y) * r.w + x);
        const float v[4] = {f.x, f.y, f.z, f.w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int c = first + 4 * q + j;
            if (c < classes) to[c] = __fadd_rn(to[c], v[j]);
        }
    }
}

static __global__ __launch_bounds__(256) void zero_kernel(float *to, size_t count)
{
    const size_t i = (size_t)blockIdx.x * 256 + threadIdx.x;
    if (i < count) to[i] = 0.f;
}

/* Divides by the number of windows over each pixel; one block per pixel. */
static __global__ __launch_bounds__(128) void divide_kernel(float *__restrict__ refined, Job job)
{
    const int x = blockIdx.x, y = blockIdx.y;
    float covers = 0.f;
    for (int i = 0; i < job.window_count; i++) {
        const t2d_rect r = job.windows[i];
        if (x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h) covers += 1.f;
    }
    if (covers <= 1.f) return;
    float *at = refined + ((size_t)y * job.canvas_width + x) * job.classes;
    for (int c = threadIdx.x; c < job.classes; c += 128) at[c] = at[c] / covers;
}

/* ---- iterations ---- */

static __global__ __launch_bounds__(THREADS, 1) void iterate_kernel(float4 *__restrict__ to,
                                                                    const float4 *__restrict__ from,
                                                                    const float *__restrict__ weights,
                                                                    int quads, int w, int h)
{
    float4 *tile = dynamic_smem<float4>(); /* [HIGH, WIDE] */
    const int tx = threadIdx.x % TILE_W, ty = threadIdx.x / TILE_W;
    const int left = blockIdx.x * TILE_W, top = blockIdx.y * TILE_H, x = left + tx, y = top + ty;
    const size_t plane = (size_t)w * h, pixel = (size_t)clamp(y, h) * w + clamp(x, w);
    float weight[NEIGHBOURS];
#pragma unroll
    for (int k = 0; k < NEIGHBOURS; k++) weight[k] = __ldg(weights + k * plane + pixel);
    for (int q = 0; q < quads; q++, from += plane, to += plane) {
        for (int i = threadIdx.x; i < WIDE * HIGH; i += THREADS) { /* borders repeat */
            const int sx = clamp(left + i % WIDE - REACH, w), sy = clamp(top + i / WIDE - REACH, h);
            ptx::cp_async_16(tile + i, from + (size_t)sy * w + sx);
        }
        ptx::cp_async_commit_group();
        ptx::cp_async_wait_group<0>();
        __syncthreads(); /* the tile has arrived for all threads */
        const float4 *centre = tile + (ty + REACH) * WIDE + tx + REACH;
        float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll
        for (int k = 0; k < NEIGHBOURS; k++) {
            const float4 v = centre[offset_y(k) * WIDE + offset_x(k)];
            sum.x = fmaf(weight[k], v.x, sum.x);
            sum.y = fmaf(weight[k], v.y, sum.y);
            sum.z = fmaf(weight[k], v.z, sum.z);
            sum.w = fmaf(weight[k], v.w, sum.w);
        }
        if (x < w && y < h) to[pixel] = sum;
        __syncthreads(); /* all threads are done with the tile before it is filled again */
    }
}

/* ---- launchers ---- */

static size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }
static size_t weight_bytes(int w, int h) { return round_up((size_t)NEIGHBOURS * w * h * sizeof(float)); }
static size_t iterate_bytes(int w, int h, int quads)
{
    return round_up((size_t)quads * w * h * sizeof(float4));
}

extern "C" size_t t2d_cuda_pamr_bytes(int width, int height, int channels)
{
    return weight_bytes(width, height) + 2 * iterate_bytes(width, height, (channels + 3) / 4);
}

/* The most quads of classes that fit, but no more than needed; 0: not even one. */
static int quads_within(size_t bytes, int w, int h, int classes)
{
    const size_t fixed = weight_bytes(w, h) + 2 * 256, quad = 2 * (size_t)w * h * sizeof(float4);
    const size_t fit = bytes > fixed ? (bytes - fixed) / quad : 0, need = ((size_t)classes + 3) / 4;
    if (bytes >= t2d_cuda_pamr_bytes(w, h, classes)) return (int)need;
    if (fit == 0) return bytes >= t2d_cuda_pamr_bytes(w, h, 4);
    return (int)(fit < need ? fit : need);
}

static cudaError_t refine_quads(float *refined, const Job &job, const Tables &t, int window, t2d_rect r,
                                float *weights, float4 *const (&iterate)[2], int first, int quads,
                                cudaStream_t stream)
{
    const dim3 grid(ceil_div(r.w, 32), ceil_div(r.h, 8)), block(32, 8);
    const dim3 tiles(ceil_div(r.w, TILE_W), ceil_div(r.h, TILE_H));
    cudaError_t e =
        launch(fill_kernel, grid, block, 0, stream, iterate[0], job, t, window, first, quads, r.w, r.h);
    for (int i = 0; i < ITERATIONS && e == cudaSuccess; i++)
        e = launch(iterate_kernel, tiles, dim3(THREADS), WIDE * HIGH * sizeof(float4), stream,
                   iterate[1 - i % 2], iterate[i % 2], weights, quads, r.w, r.h);
    if (e != cudaSuccess) return e;
    return launch(add_kernel, grid, block, 0, stream, refined, iterate[0], r, job.canvas_width, job.classes,
                  first, quads);
}

static cudaError_t refine_window(float *refined, const Job &job, const Tables &t, const uint8_t *canvas,
                                 int window, t2d_rect r, char *workspace, size_t bytes, cudaStream_t stream)
{
    const int quads = quads_within(bytes, r.w, r.h, job.classes);
    if (quads == 0) return cudaErrorInvalidValue;
    float *weights = reinterpret_cast<float *>(workspace);
    float4 *first = reinterpret_cast<float4 *>(workspace + weight_bytes(r.w, r.h));
    float4 *const iterate[2] = {first, first + iterate_bytes(r.w, r.h, quads) / sizeof(float4)};
    const size_t pitch = (size_t)job.canvas_width * 3;
    cudaError_t e = launch(weights_kernel, dim3(ceil_div(r.w, 32), ceil_div(r.h, 8)), dim3(32, 8), 0, stream,
                           weights, canvas + r.y * pitch + 3 * (size_t)r.x, pitch, r.w, r.h);
    for (int c = 0; c < job.classes && e == cudaSuccess; c += 4 * quads)
        e = refine_quads(refined, job, t, window, r, weights, iterate, c,
                         min(quads, (job.classes - c + 3) / 4), stream);
    return e;
}

extern "C" int t2d_cuda_pamr(float *refined, const t2d_readout *job, const t2d_rect *windows,
                             const void *tables, void *workspace, size_t bytes, void *stream)
{
    if (!job_is_sound(job) || !job->canvas || job->canvas_height > 65535) return cudaErrorInvalidValue;
    const Job j = job_of(job, windows);
    const Tables t = tables_at(tables, job);
    const cudaStream_t s = static_cast<cudaStream_t>(stream);
    const size_t all = (size_t)j.canvas_width * j.canvas_height * j.classes;
    cudaError_t e = launch(zero_kernel, dim3(ceil_div((long long)all, 256)), dim3(256), 0, s, refined, all);
    for (int i = 0; i < j.window_count && e == cudaSuccess; i++)
        e = refine_window(refined, j, t, job->canvas, i, job->windows[i], static_cast<char *>(workspace),
                          bytes, s);
    if (e != cudaSuccess || j.window_count == 1) return e;
    return launch(divide_kernel, dim3(j.canvas_width, j.canvas_height), dim3(128), 0, s, refined, j);
}
