/* clang-format off */
/* readout.cu — label[y,x] = argmax_c resize(mean over windows of upsample(scores))[c,y,x], and the scores if asked
 * shapes   scores [windows, grid, grid, classes] f32, labels [height, width] u16, out [classes (+1), height, width] f32;
 *          any sizes and number of windows; at most 65536 channels
 * mapping  one thread per pixel of the result, a warp is 32 columns of one row, a block 32 x 8; CHUNK classes at a
 *          time from the first window to the vote, so nothing is as large as classes x pixels
 * memory   a warp's pixels share a few cells of the grid, so their loads are broadcasts from L1, which holds the cells
 *          of a tile; canvas rows are recomputed, not staged: how many a tile needs has no bound.  Shared memory keeps
 *          the list of windows that touch the tile.  Labels leave as 64 bytes per warp, scores as 128
 * numbers  f32, cpu/upsample.c's association to the bit: columns before rows, windows in their order.  Where the
 *          maximum leads the best class before it by less than 2^-21, softmax decides as in cpu/vote.c
 * launch   ceil(width / 32) x ceil(height / 8) blocks of 256
 * ptxas    readout 128 registers, 260 bytes shared (sm_80 and sm_90a): 2 blocks per SM; tables 30 (sm_80), 32 (sm_90a)
 * ceiling  issue rate: bytes are few (448 x 448 x 150 classes from a 32 x 32 grid: 0.6 MB in, 0.4 MB out), but a pixel
 *          and class cost 4 loads and 6 operations per window, four times that when resizing.  Not measured
 * oracle   cpu/readout.c, tests/simt/test_cuda_readout.c */
/* clang-format on */
#include "readout.cuh"

enum { COLUMNS = 32, ROWS = 8, CHUNK = 8, TOUCHES = 64 };

/* ---- tables ---- */

/* torch's area_pixel_compute_source_index: the scale is fp32, the coordinate is not. */
static __device__ Place place_of(int i, int out, int in, bool align_corners)
{
    const float scale =
        align_corners ? (out > 1 ? (float)(in - 1) / (float)(out - 1) : 0.f) : (float)in / (float)out;
    double x =
        align_corners ? __dmul_rn((double)scale, i) : __dadd_rn(__dmul_rn((double)scale, i + 0.5), -0.5);
    if (in == out) x = i;
    if (x < 0) x = 0;
    const int k = (int)x < in - 1 ? (int)x : in - 1;
    return {k, (float)(x - k)};
}

/* blockIdx.y: the axes of the result, then the windows. */
static __global__ __launch_bounds__(256) void tables_kernel(Tables t, Job job)
{
    const int i = blockIdx.x * 256 + threadIdx.x;
    for (int w = (int)blockIdx.y - 1; w < job.window_count; w += gridDim.y) {
        if (w < 0) {
            if (i < job.width) t.column[i] = place_of(i, job.width, job.canvas_width, false);
            if (i < job.height) t.row[i] = place_of(i, job.height, job.canvas_height, false);
            continue;
        }
        const t2d_rect r = job.windows[w];
        if (i < r.w) t.window_column[(size_t)w * t.stride + i] = place_of(i, r.w, job.grid, true);
        if (i < r.h) t.window_row[(size_t)w * t.stride + i] = place_of(i, r.h, job.grid, true);
    }
}

extern "C" size_t t2d_cuda_readout_bytes(const t2d_readout *job)
{
    return ((size_t)job->width + job->height + 2 * (size_t)job->window_count * longest_side(job)) *
           sizeof(Place);
}

extern "C" int t2d_cuda_readout_tables(void *tables, const t2d_readout *job, const t2d_rect *windows,
                                       void *stream)
{
    if (!job_is_sound(job)) return cudaErrorInvalidValue;
    const Tables t = tables_at(tables, job);
    const int longest = max(t.stride, max(job->width, job->height));
    return launch(tables_kernel, dim3(ceil_div(longest, 256), min(job->window_count + 1, 65535)), dim3(256),
                  0, static_cast<cudaStream_t>(stream), t, job_of(job, windows));
}

/* ---- one pixel of the canvas ---- */

/* The windows that a block looks at: a list in their order, or all when there are too many. */
struct Touching {
    const int *list;
    int count;
};

static __device__ __forceinline__ bool inside(t2d_rect r, int x, int y)
{
    return x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h;
}

/* CHUNK classes from c on; those beyond the last repeat it and are never used. */
static __device__ __forceinline__ void canvas_chunk(float (&sum)[CHUNK], const Job &job, const Tables &t,
                                                    Touching near, const float *refined, int x, int y, int c)
{
    if (refined) {
        const float *from = refined + ((size_t)y * job.canvas_width + x) * job.classes;
#pragma unroll
        for (int j = 0; j < CHUNK; j++) sum[j] = __ldg(from + min(c + j, job.classes - 1));
        return;
    }
    float covers = 0.f;
#pragma unroll
    for (int j = 0; j < CHUNK; j++) sum[j] = 0.f;
    for (int i = 0; i < near.count; i++) {
        const int w = near.list ? near.list[i] : i;
        const t2d_rect r = job.windows[w];
        if (!inside(r, x, y)) continue;
        const Corners k = corners_of(job, t, w, x - r.x, y - r.y);
#pragma unroll
        for (int j = 0; j < CHUNK; j++)
            sum[j] = __fadd_rn(sum[j], corner_blend(k, min(c + j, job.classes - 1)));
        covers += 1.f;
    }
    if (covers > 1.f)
#pragma unroll
        for (int j = 0; j < CHUNK; j++) sum[j] = sum[j] / covers;
}

/* The background of a pixel: as many equal terms as windows, divided by their number. */
static __device__ float canvas_background(const Job &job, Touching near, int x, int y)
{
    float sum = 0.f, covers = 0.f;
    for (int i = 0; i < near.count; i++)
        if (inside(job.windows[near.list ? near.list[i] : i], x, y)) {
            sum = __fadd_rn(sum, job.background_score);
            covers += 1.f;
        }
    return sum / covers;
}

/* ---- one pixel of the result ---- */

struct Pixel {
    const Job &job;
    const Tables &tables;
    Touching near;
    const float *refined;
    Ends h, v;
};

static __device__ __forceinline__ void pixel_chunk(float (&score)[CHUNK], const Pixel &p, int c)
{
    canvas_chunk(score, p.job, p.tables, p.near, p.refined, p.h.first, p.v.first, c);
    if (!p.job.resize) return;
    float b[CHUNK], d[CHUNK];
    canvas_chunk(b, p.job, p.tables, p.near, p.refined, p.h.second, p.v.first, c);
#pragma unroll
    for (int j = 0; j < CHUNK; j++) score[j] = blend(score[j], b[j], p.h.w0, p.h.w1);
    canvas_chunk(b, p.job, p.tables, p.near, p.refined, p.h.first, p.v.second, c);
    canvas_chunk(d, p.job, p.tables, p.near, p.refined, p.h.second, p.v.second, c);
#pragma unroll
    for (int j = 0; j < CHUNK; j++)
        score[j] = blend(score[j], blend(b[j], d[j], p.h.w0, p.h.w1), p.v.w0, p.v.w1);
}

static __device__ float pixel_background(const Pixel &p)
{
    const float a = canvas_background(p.job, p.near, p.h.first, p.v.first);
    if (!p.job.resize) return a;
    const float b = canvas_background(p.job, p.near, p.h.second, p.v.first);
    const float c = canvas_background(p.job, p.near, p.h.first, p.v.second);
    const float d = canvas_background(p.job, p.near, p.h.second, p.v.second);
    return blend(blend(a, b, p.h.w0, p.h.w1), blend(c, d, p.h.w0, p.h.w1), p.v.w0, p.v.w1);
}

/* Calls f(channel, score) for every channel in its order. */
template <typename F> static __device__ __forceinline__ void each_channel(const Pixel &p, F f)
{
    if (p.job.background) f(0, pixel_background(p));
    for (int c = 0; c < p.job.classes; c += CHUNK) {
        float score[CHUNK];
        pixel_chunk(score, p, c);
#pragma unroll
        for (int j = 0; j < CHUNK; j++)
            if (c + j < p.job.classes) f(p.job.background + c + j, score[j]);
    }
}

/* The first maximum of softmax; rare (cpu/vote.c: why 2^-21 is safe), so the scores are computed again. */
static __device__ __forceinline__ int softmax_label(const Pixel &p, float top)
{
    float sum = 0.f, best = -1.f;
    int label = 0;
    each_channel(p, [&](int, float v) { sum = __fadd_rn(sum, sleef_exp(__fadd_rn(v, -top))); });
    each_channel(p, [&](int channel, float v) {
        const float share = sleef_exp(__fadd_rn(v, -top)) / sum;
        if (share > best) best = share, label = channel;
    });
    return label;
}

/* The windows under the block's part of the canvas, in their order; their number, which may pass TOUCHES. */
static __device__ int find_touching(int *list, const Job &job, const Tables &t)
{
    const int lane = threadIdx.x, x = blockIdx.x * COLUMNS, y = blockIdx.y * ROWS;
    const int left = t.column[x].first, right = t.column[min(x + COLUMNS, job.width) - 1].first + 1;
    const int top = t.row[y].first, bottom = t.row[min(y + ROWS, job.height) - 1].first + 1;
    int count = 0;
    for (int i = lane; i - lane < job.window_count; i += 32) {
        bool touches = false;
        if (i < job.window_count) {
            const t2d_rect r = job.windows[i];
            touches = r.x <= right && r.x + r.w > left && r.y <= bottom && r.y + r.h > top;
        }
        const unsigned who = __ballot_sync(kAllLanes, touches);
        const int at = count + __popc(who & ((1u << lane) - 1));
        if (touches && at < TOUCHES) list[at] = i;
        count += __popc(who);
    }
    return count;
}

static __global__ __launch_bounds__(COLUMNS *ROWS) void readout_kernel(uint16_t *__restrict__ labels,
                                                                       float *__restrict__ out, Job job,
                                                                       Tables t,
                                                                       const float *__restrict__ refined)
{
    __shared__ int list[TOUCHES];
    __shared__ int touching;
    if (threadIdx.y == 0) { /* one whole warp */
        const int count = find_touching(list, job, t);
        if (threadIdx.x == 0) touching = count;
    }
    __syncthreads(); /* the list is complete for all warps */
    const int x = blockIdx.x * COLUMNS + threadIdx.x, y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= job.width || y >= job.height) return; /* no barrier follows */
    const bool listed = touching <= TOUCHES;
    const Pixel p = {job,
                     t,
                     {listed ? list : nullptr, listed ? touching : job.window_count},
                     refined,
                     ends_of(t.column[x], job.canvas_width),
                     ends_of(t.row[y], job.canvas_height)};
    const size_t pixel = (size_t)y * job.width + x, plane = (size_t)job.width * job.height;
    float best = -INFINITY, below = -INFINITY;
    int label = 0;
    each_channel(p, [&](int channel, float v) {
        if (out) out[channel * plane + pixel] = v;
        if (v > best) below = best, best = v, label = channel; /* the first of equals stays */
    });
    if (!labels) return;
    if (job.softmax && best - below < 0x1p-21f) label = softmax_label(p, best);
    labels[pixel] = (uint16_t)label;
}

extern "C" int t2d_cuda_readout(uint16_t *labels, float *out, const t2d_readout *job, const t2d_rect *windows,
                                const void *tables, const float *refined, void *stream)
{
    if (!job_is_sound(job)) return cudaErrorInvalidValue;
    if (!labels && !out) return cudaSuccess;
    return launch(readout_kernel, dim3(ceil_div(job->width, COLUMNS), ceil_div(job->height, ROWS)),
                  dim3(COLUMNS, ROWS), 0, static_cast<cudaStream_t>(stream), labels, out,
                  job_of(job, windows), tables_at(tables, job), refined);
}
