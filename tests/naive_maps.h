/* naive_maps.h — the formulas of score maps in double, as they are written down: what tests and benches hold
 * a machine's answers against. */
#ifndef T2D_TEST_NAIVE_MAPS_H
#define T2D_TEST_NAIVE_MAPS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"

/* ---- readout ---- */

static inline double naive_bilinear(const double *map, int w, int h, int x, int y, int to_w, int to_h,
                                    bool corners)
{
    double at[2];
    int k[2], next[2];
    const int in[2] = {w, h}, out[2] = {to_w, to_h}, i[2] = {x, y};
    for (int a = 0; a < 2; a++) {
        const double scale =
            corners ? (out[a] > 1 ? (in[a] - 1.0) / (out[a] - 1.0) : 0) : (double)in[a] / out[a];
        const double v = corners ? scale * i[a] : fmax(scale * (i[a] + 0.5) - 0.5, 0);
        k[a] = (int)fmin(floor(v), in[a] - 1);
        next[a] = (int)fmin(k[a] + 1, in[a] - 1);
        at[a] = v - k[a];
    }
    const double *top = map + (size_t)k[1] * w, *bottom = map + (size_t)next[1] * w;
    return (1 - at[1]) * ((1 - at[0]) * top[k[0]] + at[0] * top[next[0]]) +
           at[1] * ((1 - at[0]) * bottom[k[0]] + at[0] * bottom[next[0]]);
}

static inline int naive_clamp(int v, int below) { return v < 0 ? 0 : v < below ? v : below - 1; }

/* PAMR of one map [h, w] with the guide [h, w, 3] (rows `guide_width` pixels apart), in place. */
static inline void naive_pamr(double *map, const uint8_t *guide, int guide_width, int w, int h)
{
    static const int distance[6] = {1, 2, 4, 8, 12, 24};
    double *weights = malloc((size_t)w * h * 48 * sizeof *weights),
           *next = malloc((size_t)w * h * sizeof *next);
    size_t *from = malloc((size_t)w * h * 48 * sizeof *from);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double a[48] = {0}, top = -1e300, sum = 0;
            const size_t p = ((size_t)y * w + x) * 48;
            for (int k = 0; k < 48; k++) {
                const int d = distance[k / 8],
                          s = k % 8 < 4 ? k % 8 : k % 8 + 1; /* 3 x 3 without its centre */
                from[p + k] =
                    (size_t)naive_clamp(y + (s / 3 - 1) * d, h) * w + naive_clamp(x + (s % 3 - 1) * d, w);
            }
            for (int c = 0; c < 3; c++) {
                double v[54], mean = 0, var = 0;
                const double centre = guide[((size_t)y * guide_width + x) * 3 + c];
                for (int k = 0; k < 54; k++) {
                    const size_t q = k < 48 ? from[p + k] : (size_t)y * w + x;
                    v[k] = guide[(q / w * guide_width + q % w) * 3 + c];
                    mean += v[k] / 54;
                }
                for (int k = 0; k < 54; k++) var += (v[k] - mean) * (v[k] - mean) / 53;
                for (int k = 0; k < 48; k++) a[k] -= fabs(v[k] - centre) / (1e-8 + 0.1 * sqrt(var)) / 3;
            }
            for (int k = 0; k < 48; k++) top = fmax(top, a[k]);
            for (int k = 0; k < 48; k++) sum += a[k] = exp(a[k] - top);
            for (int k = 0; k < 48; k++) weights[p + k] = a[k] / sum;
        }
    for (int i = 0; i < 10; i++) {
        for (size_t q = 0; q < (size_t)w * h; q++) {
            next[q] = 0;
            for (int k = 0; k < 48; k++) next[q] += weights[q * 48 + k] * map[from[q * 48 + k]];
        }
        memcpy(map, next, (size_t)w * h * sizeof *map);
    }
    free(weights);
    free(next);
    free(from);
}

/* One window's map of one class on the canvas, added; channel -1 is the background. */
static inline void naive_window(double *canvas, const t2d_readout *job, int window, int class)
{
    const t2d_rect r = job->windows[window];
    const int patches = job->grid * job->grid;
    double *grid = malloc(patches * sizeof *grid), *map = malloc((size_t)r.w * r.h * sizeof *map);
    for (int p = 0; class >= 0 && p < patches; p++)
        grid[p] = job->scores[((size_t)window * patches + p) * job->classes + class];
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++)
            map[y * r.w + x] = class < 0 ? job->background
                                         : naive_bilinear(grid, job->grid, job->grid, x, y, r.w, r.h, true);
    if (job->pamr && class >= 0)
        naive_pamr(map, job->canvas + ((size_t)r.y * job->canvas_width + r.x) * 3, job->canvas_width, r.w,
                   r.h);
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++)
            canvas[(size_t)(r.y + y) * job->canvas_width + r.x + x] += map[y * r.w + x];
    free(grid);
    free(map);
}

/* ---- cleaning ---- */

typedef struct clean_case {
    int sequences, tokens, skip, heads, dim, classes;
    float *scores, *logits, *features, *text;
} clean_case;

/* The published formula in double; `out` [patches, classes] of sequence q. */
static inline void naive_clean(const clean_case *k, int q, double *out)
{
    const int patches = k->tokens - k->skip;
    const float *scores = k->scores + (size_t)q * patches * k->classes;
    const float *logits = k->logits + (size_t)q * k->heads * patches;
    const float *features = k->features + ((size_t)q * k->tokens + k->skip) * k->dim;
    double low = 1e300, high = -1e300, s_low = 1e300, s_high = -1e300, dot[32], view[32][1536];
    for (int h = 0; h < k->heads; h++) {
        double squares = 0;
        for (int c = 0; c < k->dim; c++) {
            view[h][c] = 0;
            for (int p = 0; p < patches; p++)
                view[h][c] += (double)logits[h * patches + p] * features[(size_t)p * k->dim + c] / patches;
            squares += view[h][c] * view[h][c];
        }
        for (int c = 0; c < k->dim; c++) view[h][c] /= sqrt(squares);
    }
    for (int n = 0; n < k->classes; n++) {
        double sum = 0, total = 0;
        for (int h = 0; h < k->heads; h++) {
            dot[h] = 0;
            for (int c = 0; c < k->dim; c++) dot[h] += k->text[(size_t)n * k->dim + c] * view[h][c];
            sum += dot[h] = exp(dot[h]);
        }
        for (int p = 0; p < patches; p++) {
            double mix = 0;
            for (int h = 0; h < k->heads; h++) mix += dot[h] / sum * logits[h * patches + p];
            total += out[(size_t)p * k->classes + n] = exp(mix);
        }
        for (int p = 0; p < patches; p++) {
            const double a = out[(size_t)p * k->classes + n] /= total, s = scores[(size_t)p * k->classes + n];
            low = fmin(low, a), high = fmax(high, a), s_low = fmin(s_low, s), s_high = fmax(s_high, s);
        }
    }
    for (size_t i = 0; i < (size_t)patches * k->classes; i++) {
        const double spread = (out[i] - low) / high * (s_high - s_low) + s_low;
        out[i] = (scores[i] + (double)0.2f * spread) / (1 + (double)0.2f);
    }
}

/* Where pixel i of `to` takes its samples among `from`: the part of *high.  Coordinates are fp32, as torch
 * computes them: at 448 they move the weights by more than the sums do. */
static inline double naive_axis_sample(int i, int from, int to, int *low, int *high)
{
    const float scale = (float)from / (float)to, source = scale * ((float)i + 0.5f) - 0.5f;
    const float position = source < 0 ? 0 : source;
    *low = (int)position;
    *high = *low + 1 < from ? *low + 1 : from - 1;
    return position - (float)*low;
}

#endif
