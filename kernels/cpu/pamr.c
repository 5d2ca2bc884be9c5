/* pamr.c — the weights of PAMR and its iterations, on one region of a picture.
 * Vectors are eight neighbouring pixels of one channel; four channels share the weights that are loaded.
 * Weights are computed once: they are exponentials, and cost as much as 15 iterations of four channels. */
#include <string.h>

#include "cpu/pamr.h"

enum {
    REACH = T2D_PAMR_REACH,
    NEIGHBOURS = T2D_PAMR_NEIGHBOURS,
    GROUP = T2D_PAMR_GROUP,
    LANES = 8,
    BLOCK = 2 * LANES, /* pixels whose weights lie together: [48][BLOCK] */
    TILE = 8,          /* blocks, and */
    BAND = 32,         /* rows, that are one piece of an iteration's work */
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

/* A row of a channel and a row of all channels are odd numbers of cache lines (a BLOCK of floats is one):
 * what a result needs of 13 rows and four channels then falls in different sets of the cache. */
static int pitch_of(int width) { return ((width + 2 * REACH + BLOCK - 1) / BLOCK | 1) * BLOCK; }
static size_t step_of(int width, int channels)
{
    return ((size_t)channels * pitch_of(width) / BLOCK | 1) * BLOCK;
}
static int blocks_of(int width) { return (width + BLOCK - 1) / BLOCK; }
static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }
static size_t guide_bytes(int w, int h) { return round_up((size_t)3 * h * pitch_of(w)); }
static size_t weight_bytes(int w, int h)
{
    return (size_t)h * blocks_of(w) * BLOCK * NEIGHBOURS * sizeof(float);
}
static size_t iterate_bytes(int w, int h, int n) { return (size_t)h * step_of(w, n) * sizeof(float); }

size_t t2d_pamr_bytes(int width, int height, int channels)
{
    return guide_bytes(width, height) + weight_bytes(width, height) +
           2 * iterate_bytes(width, height, channels);
}

void t2d_pamr_place(t2d_pamr *p, void *memory)
{
    char *at = memory;
    p->pitch = pitch_of(p->width);
    p->step = step_of(p->width, p->channels);
    p->blocks = blocks_of(p->width);
    p->weights = (float *)(void *)at;
    at += weight_bytes(p->width, p->height);
    for (int i = 0; i < 2; i++) {
        p->iterate[i] = (float *)(void *)at;
        at += iterate_bytes(p->width, p->height, p->channels);
    }
    p->guide = (uint8_t *)at;
}

float *t2d_pamr_row(const t2d_pamr *p, int y, int channel)
{
    return p->iterate[0] + (size_t)y * p->step + (size_t)channel * p->pitch;
}

/* ---- weights ---- */

/* 1 / (3 (1e-8 + 0.1 sigma)): sigma over the centre, six times, and its neighbours, divided by 53 as
 * torch.std does.  The sums are of integers, and exact. */
T2D_CLONES static void inverse_spread(float *restrict inverse, const uint8_t *restrict centre,
                                      const uint8_t *const *restrict near)
{
    enum { SAMPLES = NEIGHBOURS + 6 };
    int32_t sum[BLOCK], squares[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        sum[i] = 6 * centre[i];
        squares[i] = 6 * centre[i] * centre[i];
    }
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < BLOCK; i++) {
            int32_t v = near[k][i];
            sum[i] += v;
            squares[i] += v * v;
        }
    for (int i = 0; i < BLOCK; i++) {
        float variance = (float)(SAMPLES * squares[i] - sum[i] * sum[i]) / (float)(SAMPLES * (SAMPLES - 1));
        inverse[i] = 1.0f / (3.0f * (1e-8f + 0.1f * sqrtf(variance)));
    }
}

T2D_CLONES static void subtract_differences(float (*restrict w)[BLOCK], const uint8_t *restrict centre,
                                            const uint8_t *const *restrict near,
                                            const float *restrict inverse)
{
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < BLOCK; i++) {
            float d = (float)((int32_t)near[k][i] - centre[i]);
            w[k][i] = fmaf(-fabsf(d), inverse[i], w[k][i]);
        }
}

/* Softmax over the neighbours. */
T2D_CLONES static void normalise(float (*restrict w)[BLOCK])
{
    float top[BLOCK], sum[BLOCK] = {0};
    for (int i = 0; i < BLOCK; i++) top[i] = w[0][i];
    for (int k = 1; k < NEIGHBOURS; k++)
        for (int i = 0; i < BLOCK; i++) top[i] = w[k][i] > top[i] ? w[k][i] : top[i];
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < BLOCK; i++) {
            float e = t2d_sleef_exp(w[k][i] - top[i]);
            w[k][i] = e;
            sum[i] += e;
        }
    for (int k = 0; k < NEIGHBOURS; k++)
        for (int i = 0; i < BLOCK; i++) w[k][i] /= sum[i];
}

static float *weight_block(const t2d_pamr *p, int y, int block)
{
    return p->weights + ((size_t)y * p->blocks + block) * NEIGHBOURS * BLOCK;
}

static void compute_block(const t2d_pamr *p, const offset *o, int y, int block)
{
    float(*w)[BLOCK] = (float(*)[BLOCK])(void *)weight_block(p, y, block), inverse[BLOCK];
    memset(w, 0, NEIGHBOURS * sizeof *w);
    for (int c = 0; c < 3; c++) {
        const uint8_t *plane = p->guide + (size_t)c * p->height * p->pitch + REACH + block * BLOCK,
                      *near[NEIGHBOURS];
        const uint8_t *centre = plane + (size_t)y * p->pitch;
        for (int k = 0; k < NEIGHBOURS; k++)
            near[k] = plane + (size_t)clamp(y + o[k].y, p->height) * p->pitch + o[k].x;
        inverse_spread(inverse, centre, near);
        subtract_differences(w, centre, near, inverse);
    }
    normalise(w);
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
        for (int b = 0; b < p->blocks; b++) compute_block(p, o, y, b);
}

/* ---- iterations ---- */

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Macros: a function with vectors in its signature has another ABI on every machine. */
#define LOAD(p) (*(const lanes *)(const void *)(p))
#define STORE(p, v) (*(lanes *)(void *)(p) = (v))

/* `count` blocks of a group of channels, `pitch` apart: dst = sum_k weights[k] * near[k]. */
T2D_CLONES static void gather_blocks(float *restrict dst, const float *const *restrict near,
                                     const float *restrict weights, size_t at, int pitch, int count)
{
    for (int block = 0; block < count; block++, at += BLOCK) {
        const size_t p1 = at, p2 = p1 + pitch, p3 = p2 + pitch, p4 = p3 + pitch;
        lanes a1 = {0}, a2 = a1, a3 = a1, a4 = a1, b1 = a1, b2 = a1, b3 = a1, b4 = a1;
        for (int k = 0; k < NEIGHBOURS; k++, weights += BLOCK) {
            const float *m = near[k];
            const lanes wa = LOAD(weights), wb = LOAD(weights + LANES);
            a1 += wa * LOAD(m + p1), b1 += wb * LOAD(m + p1 + LANES);
            a2 += wa * LOAD(m + p2), b2 += wb * LOAD(m + p2 + LANES);
            a3 += wa * LOAD(m + p3), b3 += wb * LOAD(m + p3 + LANES);
            a4 += wa * LOAD(m + p4), b4 += wb * LOAD(m + p4 + LANES);
        }
        STORE(dst + p1, a1), STORE(dst + p1 + LANES, b1);
        STORE(dst + p2, a2), STORE(dst + p2 + LANES, b2);
        STORE(dst + p3, a3), STORE(dst + p3 + LANES, b3);
        STORE(dst + p4, a4), STORE(dst + p4 + LANES, b4);
    }
}

void t2d_pamr_pad(const t2d_pamr *p, float *row, bool left, bool right)
{
    const int end = REACH + p->width;
    for (int x = 0; left && x < REACH; x++) row[x] = row[REACH];
    for (int x = end; right && x < p->pitch; x++) row[x] = row[end - 1];
}

/* TILE blocks of BAND rows: what they need of the rows around them stays in the second cache. */
static void iterate_tile(const t2d_pamr *p, const offset *o, int from, t2d_rect blocks, int channels)
{
    const int last = blocks.x + blocks.w;
    for (int y = blocks.y; y < blocks.y + blocks.h; y++) {
        const float *near[NEIGHBOURS];
        float *dst = p->iterate[1 - from] + (size_t)y * p->step;
        for (int k = 0; k < NEIGHBOURS; k++)
            near[k] = p->iterate[from] + (size_t)clamp(y + o[k].y, p->height) * p->step + REACH + o[k].x;
        for (int c = 0; c < channels; c += GROUP)
            gather_blocks(dst + REACH, near, weight_block(p, y, blocks.x),
                          (size_t)c * p->pitch + blocks.x * BLOCK, p->pitch, blocks.w);
        for (int c = 0; c < channels && (blocks.x == 0 || last == p->blocks); c++)
            t2d_pamr_pad(p, dst + (size_t)c * p->pitch, blocks.x == 0, last == p->blocks);
    }
}

static int smaller(int a, int b) { return a < b ? a : b; }

/* What a cut makes wrong moves inwards by REACH each time: it is not computed any more. */
void t2d_pamr_iterate(const t2d_pamr *p, int channels)
{
    offset o[NEIGHBOURS];
    neighbours(o);
    for (int i = 0; i < T2D_PAMR_ITERATIONS; i++) {
        const int lost = (i + 1) * REACH;
        const int top = p->cut_top ? lost : 0, bottom = p->height - (p->cut_bottom ? lost : 0);
        const int left = p->cut_left ? lost / BLOCK : 0;
        const int right = p->cut_right ? blocks_of(p->width - lost) : p->blocks;
        const int bands = (bottom - top + BAND - 1) / BAND, tiles = (right - left + TILE - 1) / TILE;
#pragma omp for schedule(static)
        for (int t = 0; t < tiles * bands; t++) {
            const int x = left + t / bands * TILE, y = top + t % bands * BAND;
            iterate_tile(p, o, i & 1, (t2d_rect){x, y, smaller(TILE, right - x), smaller(BAND, bottom - y)},
                         channels);
        }
    }
}
