/* pamr.c — the weights of PAMR and its iterations, on one region of a picture.
 * Vectors are eight neighbouring pixels of one channel; four channels share the weights that are loaded.
 * Weights are computed once: they are exponentials, and cost as much as 15 iterations of four channels. */
#include <string.h>

#include "cpu/pamr.h"

enum {
    REACH = T2D_PAMR_REACH,
    NEIGHBOURS = T2D_PAMR_NEIGHBOURS,
    GROUP = T2D_PAMR_GROUP,
    SEGMENT = 64,
    LANES = 8
};

typedef struct offset {
    int x, y;
} offset;

static void neighbours(offset o[NEIGHBOURS])
{
    static const int distance[6] = {1, 2, 4, 8, 12, 24};
    static const offset side[8] = {{-1, -1}, {0, -1}, {1, -1}, {-1, 0}, {1, 0}, {-1, 1}, {0, 1}, {1, 1}};
    for (int d = 0; d < 6; d++)
        for (int i = 0; i < 8; i++) o[8 * d + i] = (offset){side[i].x * distance[d], side[i].y * distance[d]};
}

static int clamp(int v, int below) { return v < 0 ? 0 : v < below ? v : below - 1; }

/* ---- memory ---- */

static int pitch_of(int width) { return (width + 2 * REACH + 15) / 16 * 16 + 16; }
static int stride_of(int width) { return (width + 15) / 16 * 16; }
static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }
static size_t guide_bytes(int w, int h) { return round_up((size_t)3 * h * pitch_of(w)); }
static size_t weight_bytes(int w, int h) { return (size_t)h * NEIGHBOURS * stride_of(w) * sizeof(float); }
static size_t iterate_bytes(int w, int h, int n) { return (size_t)h * n * pitch_of(w) * sizeof(float); }

size_t t2d_pamr_bytes(int width, int height, int channels)
{
    return guide_bytes(width, height) + weight_bytes(width, height) +
           2 * iterate_bytes(width, height, channels);
}

void t2d_pamr_place(t2d_pamr *p, void *memory)
{
    char *at = memory;
    p->pitch = pitch_of(p->width);
    p->stride = stride_of(p->width);
    p->weights = (float *)(void *)at;
    at += weight_bytes(p->width, p->height);
    for (int i = 0; i < 2; i++) {
        p->iterate[i] = (float *)(void *)at;
        at += iterate_bytes(p->width, p->height, p->channels);
    }
    p->guide = (uint8_t *)at;
}

/* ---- weights ---- */

/* 1 / (3 (1e-8 + 0.1 sigma)): sigma over the centre, six times, and its neighbours, divided by 53 as
 * torch.std does.  The sums are of integers, and exact. */
T2D_CLONES static void inverse_spread(float *restrict inverse, const uint8_t *restrict centre,
                                      const uint8_t *const *restrict near, int count)
{
    enum { SAMPLES = NEIGHBOURS + 6 };
    int32_t sum[SEGMENT], squares[SEGMENT];
    for (int i = 0; i < count; i++) {
        sum[i] = 6 * centre[i];
        squares[i] = 6 * centre[i] * centre[i];
    }
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < count; i++) {
            int32_t v = near[k][i];
            sum[i] += v;
            squares[i] += v * v;
        }
    for (int i = 0; i < count; i++) {
        float variance = (float)(SAMPLES * squares[i] - sum[i] * sum[i]) / (float)(SAMPLES * (SAMPLES - 1));
        inverse[i] = 1.0f / (3.0f * (1e-8f + 0.1f * sqrtf(variance)));
    }
}

T2D_CLONES static void add_difference(float *restrict a, const uint8_t *restrict centre,
                                      const uint8_t *restrict near, const float *restrict inverse, int count)
{
    for (int i = 0; i < count; i++) {
        int32_t d = (int32_t)near[i] - centre[i];
        a[i] = fmaf(-(float)(d < 0 ? -d : d), inverse[i], a[i]);
    }
}

/* Softmax over the neighbours: w [48, stride]. */
T2D_CLONES static void normalise(float *restrict w, int stride, int count)
{
    float top[SEGMENT], sum[SEGMENT];
    for (int i = 0; i < count; i++) top[i] = w[i], sum[i] = 0;
    for (int k = 1; k < NEIGHBOURS; k++)
        for (int i = 0; i < count; i++) top[i] = w[k * stride + i] > top[i] ? w[k * stride + i] : top[i];
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < count; i++) {
            float e = t2d_sleef_exp(w[k * stride + i] - top[i]);
            w[k * stride + i] = e;
            sum[i] += e;
        }
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < count; i++) w[k * stride + i] /= sum[i];
}

static void weight_segment(const t2d_pamr *p, const offset *o, int y, int x)
{
    const int count = p->stride - x < SEGMENT ? p->stride - x : SEGMENT;
    float *w = p->weights + (size_t)y * NEIGHBOURS * p->stride + x, inverse[SEGMENT];
    for (int k = 0; k < NEIGHBOURS; k++) memset(w + (size_t)k * p->stride, 0, (size_t)count * sizeof *w);
    for (int c = 0; c < 3; c++) {
        const uint8_t *plane = p->guide + (size_t)c * p->height * p->pitch + REACH + x, *near[NEIGHBOURS];
        const uint8_t *centre = plane + (size_t)y * p->pitch;
        for (int k = 0; k < NEIGHBOURS; k++)
            near[k] = plane + (size_t)clamp(y + o[k].y, p->height) * p->pitch + o[k].x;
        inverse_spread(inverse, centre, near, count);
        for (int k = 0; k < NEIGHBOURS; k++)
            add_difference(w + (size_t)k * p->stride, centre, near[k], inverse, count);
    }
    normalise(w, p->stride, count);
}

static void guide_row(const t2d_pamr *p, const uint8_t *pixels, int picture_width, int y)
{
    for (int c = 0; c < 3; c++) {
        uint8_t *row = p->guide + ((size_t)c * p->height + y) * p->pitch;
        const uint8_t *from = pixels + (size_t)y * picture_width * 3 + c;
        for (int x = 0; x < p->pitch; x++) row[x] = from[3 * clamp(x - REACH, p->width)];
    }
}

void t2d_pamr_weights(const t2d_pamr *p, const uint8_t *pixels, int picture_width)
{
    offset o[NEIGHBOURS];
    neighbours(o);
#pragma omp for schedule(static)
    for (int y = 0; y < p->height; y++) guide_row(p, pixels, picture_width, y);
#pragma omp for schedule(static)
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->stride; x += SEGMENT) weight_segment(p, o, y, x);
}

/* ---- iterations ---- */

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Macros: a function with vectors in its signature has another ABI on every machine. */
#define LOAD(p) (*(const lanes *)(const void *)(p))
#define STORE(p, v) (*(lanes *)(void *)(p) = (v))

/* dst[c][x] = sum_k weights[k][x] * near[k][c][x], channels `pitch` apart; x in steps of two vectors. */
T2D_CLONES static void gather_neighbours(float *restrict dst, const float *const *restrict near,
                                         const float *restrict weights, int from, int to, int channels,
                                         int pitch, int stride)
{
    for (int c = 0; c < channels; c += GROUP) {
        const size_t p1 = (size_t)c * pitch, p2 = p1 + pitch, p3 = p2 + pitch, p4 = p3 + pitch;
        for (int x = from; x < to; x += 2 * LANES) {
            lanes a1 = {0}, a2 = a1, a3 = a1, a4 = a1, b1 = a1, b2 = a1, b3 = a1, b4 = a1;
            for (int k = 0; k < NEIGHBOURS; k++) {
                const float *w = weights + (size_t)k * stride + x, *m = near[k] + x;
                const lanes wa = LOAD(w), wb = LOAD(w + LANES);
                a1 += wa * LOAD(m + p1), b1 += wb * LOAD(m + p1 + LANES);
                a2 += wa * LOAD(m + p2), b2 += wb * LOAD(m + p2 + LANES);
                a3 += wa * LOAD(m + p3), b3 += wb * LOAD(m + p3 + LANES);
                a4 += wa * LOAD(m + p4), b4 += wb * LOAD(m + p4 + LANES);
            }
            STORE(dst + p1 + x, a1), STORE(dst + p1 + x + LANES, b1);
            STORE(dst + p2 + x, a2), STORE(dst + p2 + x + LANES, b2);
            STORE(dst + p3 + x, a3), STORE(dst + p3 + x + LANES, b3);
            STORE(dst + p4 + x, a4), STORE(dst + p4 + x + LANES, b4);
        }
    }
}

void t2d_pamr_pad(const t2d_pamr *p, float *row)
{
    const int end = REACH + p->width;
    for (int x = 0; x < REACH; x++) row[x] = row[REACH];
    for (int x = end; x < p->pitch; x++) row[x] = row[end - 1];
}

static void iterate_row(const t2d_pamr *p, const offset *o, int from, int y, int left, int right,
                        int channels)
{
    const size_t step = (size_t)p->channels * p->pitch;
    const float *near[NEIGHBOURS];
    float *dst = p->iterate[1 - from] + y * step;
    for (int k = 0; k < NEIGHBOURS; k++)
        near[k] = p->iterate[from] + clamp(y + o[k].y, p->height) * step + REACH + o[k].x;
    gather_neighbours(dst + REACH, near, p->weights + (size_t)y * NEIGHBOURS * p->stride, left, right,
                      channels, p->pitch, p->stride);
    for (int c = 0; c < channels; c++) t2d_pamr_pad(p, dst + (size_t)c * p->pitch);
}

/* What a cut makes wrong moves inwards by REACH each time: it is not computed any more. */
void t2d_pamr_iterate(const t2d_pamr *p, int channels)
{
    offset o[NEIGHBOURS];
    neighbours(o);
    for (int i = 0; i < T2D_PAMR_ITERATIONS; i++) {
        const int lost = (i + 1) * REACH;
        const int top = p->cut_top ? lost : 0, bottom = p->height - (p->cut_bottom ? lost : 0);
        const int left = p->cut_left ? lost / 16 * 16 : 0, right = p->width - (p->cut_right ? lost : 0);
#pragma omp for schedule(static)
        for (int y = top; y < bottom; y++) iterate_row(p, o, i & 1, y, left, right, channels);
    }
}
