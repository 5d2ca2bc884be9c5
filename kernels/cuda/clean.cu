/* clean.cu — background cleaning: scores <- (scores + lambda * spread(A)) / (1 + lambda), where A[:,c] =
 *          softmax_p(sum_h W[h,c] logits[h,p]), W[:,c] = softmax_h(text[c] . unit(views[h])), views = 1/P
 *          sum_p logits[h,p] features[p], and spread maps A by the extremes of all classes and patches
 * shapes   scores [sequences, patches, classes], logits [sequences, heads, patches], features [sequences,
 *          tokens, dim], text [classes, dim], f32; heads <= 32; every sequence for itself
 * mapping  views: heads.cu.  weights: a block per class, a warp per head.  extremes: a block per 8 classes,
 *          32 threads along the patches.  spread: a thread per score
 * memory   A is never stored: its exponents are summed again, which costs heads FMA per score; extremes go
 *          through shared memory (1 KiB)
 * numbers  f32; the published divisor max(high, high - low)
 * launch   (classes, sequences) blocks of 128, (ceil(classes / 8), sequences) of 256, (ceil(patches *
 *          classes / 256), sequences) of 256
 * ptxas    weights 40 registers, 128 bytes static shared; extremes 48, 1024 bytes; spread 40, 128 bytes; no
 *          spills
 * ceiling  memory: scores twice in, once out; small beside the vision tower. Not measured
 * oracle   cpu/clean.c, tests/simt/test_cuda_clean.c */
#include "gpu.cuh"

enum { THREADS = 256, MOST_HEADS = 32 };

struct Extremes {      /* of a class */
    float top, sum;    /* of the softmax over patches */
    float low, high;   /* of A */
    float worst, best; /* of the scores */
};

/* ---- weights [sequences, heads, classes] ---- */

enum { WEIGHT_WARPS = 4 };

static __global__ __launch_bounds__(32 * WEIGHT_WARPS) void weights_kernel(float *__restrict__ weights,
                                                                           const float *__restrict__ views,
                                                                           const float *__restrict__ text,
                                                                           int heads, int dim, int classes)
{
    __shared__ float dots[MOST_HEADS];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, c = blockIdx.x;
    text += (size_t)c * dim;
    for (int h = warp; h < heads; h += WEIGHT_WARPS) {
        const float *view = views + ((size_t)blockIdx.y * heads + h) * dim;
        float dot = 0.f, squares = 0.f;
        for (int i = lane; i < dim; i += 32) {
            dot += text[i] * view[i];
            squares += view[i] * view[i];
        }
        dot = warp_sum(dot);
        squares = warp_sum(squares);
        if (lane == 0) dots[h] = squares > 0.f ? dot / sqrtf(squares) : 0.f;
    }
    __syncthreads(); /* all heads' products are there */
    if (warp > 0) return;
    const float dot = lane < heads ? dots[lane] : -INFINITY;
    float w = expf(dot - warp_max(dot));
    w /= warp_sum(w);
    w /= warp_sum(w); /* about 1: the published round-off */
    if (lane < heads) weights[((size_t)blockIdx.y * heads + lane) * classes + c] = w;
}

/* ---- extremes [sequences, classes] ---- */

enum { CLASSES = 8, STRIDE = THREADS / CLASSES };

static __device__ __forceinline__ float mixed(const float *weights, const float *logits, int heads,
                                              int patches, int classes, int p, int c)
{
    float g = 0.f;
    for (int h = 0; h < heads; h++) g += weights[(size_t)h * classes + c] * logits[(size_t)h * patches + p];
    return g;
}

/* Combines v over the threads of a class; every one of them gets the result. */
template <typename F> static __device__ float over_patches(float (*board)[CLASSES], float v, F combine)
{
    const int k = threadIdx.x % CLASSES, first = threadIdx.x / CLASSES;
    __syncthreads(); /* the board's last reader is done */
    board[first][k] = v;
    __syncthreads(); /* all have written */
    for (int i = 0; i < STRIDE; i++) v = i ? combine(v, board[i][k]) : board[0][k];
    return v;
}

static __global__ __launch_bounds__(THREADS) void extremes_kernel(Extremes *__restrict__ extremes,
                                                                  const float *__restrict__ scores,
                                                                  const float *__restrict__ weights,
                                                                  const float *__restrict__ logits, int heads,
                                                                  int patches, int classes)
{
    __shared__ float board[STRIDE][CLASSES];
    const int first = threadIdx.x / CLASSES, wanted = blockIdx.x * CLASSES + threadIdx.x % CLASSES;
    const int c = min(wanted, classes - 1); /* spare threads repeat the last class */
    scores += (size_t)blockIdx.y * patches * classes;
    weights += (size_t)blockIdx.y * heads * classes;
    logits += (size_t)blockIdx.y * heads * patches;
    const auto larger = [](float a, float b) { return fmaxf(a, b); };
    const auto smaller = [](float a, float b) { return fminf(a, b); };

    float top = -INFINITY, bottom = INFINITY, best = -INFINITY, worst = INFINITY, sum = 0.f;
    for (int p = first; p < patches; p += STRIDE) {
        const float g = mixed(weights, logits, heads, patches, classes, p, c);
        const float s = scores[(size_t)p * classes + c];
        top = fmaxf(top, g), bottom = fminf(bottom, g);
        best = fmaxf(best, s), worst = fminf(worst, s);
    }
    top = over_patches(board, top, larger);
    bottom = over_patches(board, bottom, smaller);
    best = over_patches(board, best, larger);
    worst = over_patches(board, worst, smaller);
    for (int p = first; p < patches; p += STRIDE)
        sum += expf(mixed(weights, logits, heads, patches, classes, p, c) - top);
    sum = over_patches(board, sum, [](float a, float b) { return a + b; });
    if (first == 0 && wanted < classes) {
        const Extremes e = {top, sum, expf(bottom - top) / sum, 1.f / sum, worst, best};
        extremes[(size_t)blockIdx.y * classes + c] = e;
    }
}

/* ---- the scores ---- */

static __global__ __launch_bounds__(THREADS) void spread_kernel(float *__restrict__ scores,
                                                                const Extremes *__restrict__ extremes,
                                                                const float *__restrict__ weights,
                                                                const float *__restrict__ logits, int heads,
                                                                int patches, int classes, float lambda)
{
    __shared__ float board[4][THREADS / 32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    extremes += (size_t)blockIdx.y * classes;
    float high = -INFINITY, low = INFINITY, best = -INFINITY, worst = INFINITY;
    for (int c = threadIdx.x; c < classes; c += THREADS) {
        high = fmaxf(high, extremes[c].high), low = fminf(low, extremes[c].low);
        best = fmaxf(best, extremes[c].best), worst = fminf(worst, extremes[c].worst);
    }
    const float found[4] = {warp_max(high), warp_max(-low), warp_max(best), warp_max(-worst)};
    if (lane == 0)
        for (int i = 0; i < 4; i++) board[i][warp] = found[i];
    __syncthreads(); /* all warps' extremes are there */
    float all[4];
    for (int i = 0; i < 4; i++) all[i] = warp_max(board[i][lane % (THREADS / 32)]);
    high = all[0], low = -all[1], best = all[2], worst = -all[3];

    const long long id = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (id >= (long long)patches * classes) return;
    const int p = (int)(id / classes), c = (int)(id % classes);
    weights += (size_t)blockIdx.y * heads * classes;
    logits += (size_t)blockIdx.y * heads * patches;
    const float g = mixed(weights, logits, heads, patches, classes, p, c);
    const float a = expf(g - extremes[c].top) / extremes[c].sum;
    const float spread = (a - low) / fmaxf(high, high - low) * (best - worst) + worst;
    float *score = scores + (size_t)blockIdx.y * patches * classes + id;
    *score = (*score + lambda * spread) / (1.f + lambda);
}

extern "C" size_t t2d_cuda_clean_bytes(int sequences, int heads, int dim, int classes)
{
    const size_t floats = (size_t)heads * (dim + classes);
    return sequences * (floats * sizeof(float) + classes * sizeof(Extremes));
}

extern "C" int t2d_cuda_clean(float *scores, const float *logits, const float *features, const float *text,
                              int sequences, int tokens, int skip, int heads, int dim, int classes,
                              float lambda, void *workspace, void *stream)
{
    if (classes < 1) return cudaErrorInvalidValue;
    const int patches = tokens - skip;
    const cudaStream_t queue = static_cast<cudaStream_t>(stream);
    float *views = static_cast<float *>(workspace), *weights = views + (size_t)sequences * heads * dim;
    Extremes *extremes = reinterpret_cast<Extremes *>(weights + (size_t)sequences * heads * classes);
    int e = t2d_cuda_head_views(views, logits, features, sequences, tokens, skip, heads, dim, stream);
    if (e == cudaSuccess)
        e = launch(weights_kernel, dim3(classes, sequences), dim3(32 * WEIGHT_WARPS), 0, queue, weights,
                   views, text, heads, dim, classes);
    if (e == cudaSuccess)
        e = launch(extremes_kernel, dim3(ceil_div(classes, CLASSES), sequences), dim3(THREADS), 0, queue,
                   extremes, scores, weights, logits, heads, patches, classes);
    if (e == cudaSuccess)
        e = launch(spread_kernel, dim3(ceil_div((long long)patches * classes, THREADS), sequences),
                   dim3(THREADS), 0, queue, scores, extremes, weights, logits, heads, patches, classes,
                   lambda);
    return e;
}
