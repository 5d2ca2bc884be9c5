/* readout.h — what readout.c, upsample.c, vote.c and pamr.c share: from the grid's scores to a label per
 * pixel.
 *
 * Bilinear interpolation repeats PyTorch's CPU kernel to the last bit: a weight is w1 = float(x - floor(x))
 * of a coordinate in double with a float scale, and a blend is fma(a, w0, b * w1), columns before rows.  The
 * fma is written out everywhere, so that a value has the same bits on every machine and on every path to it.
 */
#ifndef T2D_CPU_READOUT_H
#define T2D_CPU_READOUT_H

#include <math.h>

#include "cpu/cpu.h"

/* Scratch slots of the score maps' operations, below those in cpu.h. */
enum {
    T2D_SCRATCH_LABELS = 6, /* readout: labels that are counted and not asked for */
    T2D_SCRATCH_SIMILARITY = 7,
    T2D_SCRATCH_CLEAN = 8,
    T2D_SCRATCH_TABLES = 9,  /* interpolation tables of a readout */
    T2D_SCRATCH_TILES = 10,  /* one tile per thread */
    T2D_SCRATCH_CANVAS = 11, /* PAMR: refined scores of the whole canvas */
    T2D_SCRATCH_PAMR = 12,   /* PAMR: guide, weights, iterates of one region */
};

enum {
    T2D_TILE = 64,  /* result columns computed together; the constant makes the inner loops branchless */
    T2D_BAND = 64,  /* result rows of a tile */
    T2D_CHUNK = 16, /* classes at a time: the rows a tile keeps stay in the nearest caches */
    T2D_TAPS = 2 * T2D_TILE,
};

/* out[i] = w0[i] * in[first[i]] + w1[i] * in[second[i]] */
typedef struct t2d_axis {
    int32_t *first, *second;
    float *w0, *w1;
} t2d_axis;

static inline float t2d_blend(float a, float b, float w0, float w1) { return fmaf(a, w0, b * w1); }

/* A readout with its tables. */
typedef struct t2d_plan {
    const t2d_readout *job;
    int channels;                         /* classes, and the background's */
    bool resize;                          /* canvas and result differ */
    t2d_axis column, row;                 /* result -> canvas */
    t2d_axis *window_column, *window_row; /* pixel of a window -> grid, per window */
    const float *canvas; /* refined scores (class n, row y: n * class_step + y * row_step), or NULL */
    size_t class_step, row_step;
    size_t pamr_bytes; /* memory for one region that is refined; larger windows are cut */
} t2d_plan;

size_t t2d_plan_bytes(const t2d_readout *job);
void t2d_plan_init(t2d_plan *plan, const t2d_readout *job, void *memory);

/* A window that touches a tile: where its columns fall, and the two grid rows last brought to them. */
typedef struct t2d_touch {
    int window;
    int held[2];                               /* grid row in slot row & 1, or -1 */
    int32_t first[T2D_TAPS], second[T2D_TAPS]; /* offsets in a grid row's scores */
    float w0[T2D_TAPS], w1[T2D_TAPS];          /* 0 outside the window */
    float inside[T2D_TAPS];                    /* 1 inside the window, 0 outside */
    float rows[2][T2D_CHUNK][T2D_TAPS];
} t2d_touch;

/* One thread's work: T2D_TILE columns of T2D_BAND rows of the result, T2D_CHUNK classes at a time. */
typedef struct t2d_tile {
    const t2d_plan *plan;
    int x, y, columns, rows;
    int taps;             /* canvas columns needed: one per result column, two when resizing */
    int32_t at[T2D_TAPS]; /* which */
    float w0[T2D_TILE], w1[T2D_TILE];
    int held[2]; /* canvas row in slot row & 1, or -1 */
    float count[T2D_TAPS];
    float sum[T2D_CHUNK][T2D_TAPS];
    float canvas_rows[2][T2D_CHUNK][T2D_TILE];
    float best[T2D_BAND][T2D_TILE], below[T2D_BAND][T2D_TILE]; /* below: the best of the classes before */
    int32_t label[T2D_BAND][T2D_TILE];
    float *pixel; /* [5, channels]: one pixel's scores, for near ties */
    int touches;
    t2d_touch *touch;
} t2d_tile;

/* Two rows [T2D_CHUNK][step] and the weights that blend them into a row of the result. */
typedef struct t2d_pair {
    const float *a, *b;
    float w0, w1;
    int step;
} t2d_pair;

/* upsample.c */
/* How many windows touch the tile at (x, y); they are placed in it, in their order, when it is not NULL. */
int t2d_tile_touches(const t2d_plan *plan, int x, int y, t2d_tile *tile);
void t2d_tile_place(t2d_tile *tile, const t2d_plan *plan, int x, int y);
void t2d_tile_restart(t2d_tile *tile); /* before every chunk */
/* first: the chunk's first class, or -1 for the background alone. */
t2d_pair t2d_tile_row(t2d_tile *tile, int y, int first, int classes);
/* All channels of one pixel of the result, same bits; spare: [4, channels]. */
void t2d_pixel_scores(const t2d_plan *plan, int x, int y, float *scores, float *spare);
/* dst[c][t] = w0[t] * src[first[t] + c] + w1[t] * src[second[t] + c], rows `step` apart. */
void t2d_bring_row(float *dst, size_t step, const float *src, const int32_t *first, const int32_t *second,
                   const float *w0, const float *w1, int classes, int taps);
void t2d_blend_rows(float *dst, const float *a, const float *b, float w0, float w1, size_t count);

/* vote.c */
void t2d_vote(float *best, float *below, int32_t *label, t2d_pair pair, int first, int classes);
/* A class that precedes the maximum by less than this may share its softmax. */
#define T2D_MERGE_BOUND 0x1p-21f
int t2d_softmax_label(const float *scores, int channels, float *spare);

/* pamr.c: refines every window; the refined canvas goes to `plan`, or, for a single window of the result's
 * size that asks for labels only, straight to labels (*done). */
t2d_status t2d_refine(t2d_cpu *cpu, t2d_plan *plan, bool *done, t2d_error *err);

/* exp as PyTorch's vector kernels compute it (SLEEF, 1 ulp): sigmoid and softmax get their bits from it. */
static inline float t2d_sleef_exp(float x)
{
    float d = x < -104.0f ? -104.0f : x > 100.0f ? 100.0f : x;
    float q = rintf(d * 1.44269504088896340736f);
    float s = fmaf(q, -1.428606765330187045e-06f, fmaf(q, -0.693145751953125f, d));
    float u = 0.000198527617612853646278381f;
    u = fmaf(u, s, 0.00139304355252534151077271f);
    u = fmaf(u, s, 0.00833336077630519866943359f);
    u = fmaf(u, s, 0.0416664853692054748535156f);
    u = fmaf(u, s, 0.166666671633720397949219f);
    u = fmaf(u, s, 0.5f);
    u = 1.0f + fmaf(s * s, u, s);
    int32_t n = (int32_t)(x == x ? q : 0.0f); /* NaN is no integer; y is NaN by s */
    int32_t half = n >> 1;                    /* 2^n in two steps: n may pass the exponent's range */
    union {
        int32_t i;
        float f;
    } up = {(half + 127) << 23}, rest = {(n - half + 127) << 23};
    float y = u * up.f * rest.f;
    return x < -104.0f ? 0.0f : y;
}

#endif
