/* maps.h — what the suites of score maps share: golden files, a readout with guards, and the same in double.
 */
#ifndef T2D_TEST_MAPS_H
#define T2D_TEST_MAPS_H

#include <jansson.h>

#include "kernels.h"

static inline json_t *golden_open(const char *path)
{
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    cr_assert(root, "%s: %s", path, why.text);
    return root;
}

static inline double golden_number(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);
    cr_assert(json_is_number(v), "%s is missing", key);
    return json_number_value(v);
}

static inline double golden_at(const json_t *array, size_t index)
{
    const json_t *v = json_array_get(array, index);
    cr_assert(json_is_number(v), "number %zu is missing", index);
    return json_number_value(v);
}

/* Scores as after a sigmoid: in (0.5 - spread / 2, 0.5 + spread / 2). */
static inline float *random_scores(size_t count, float spread, uint64_t seed)
{
    uint64_t state = seed * 104729 + 3;
    float *v = malloc(count * sizeof *v);
    cr_assert(v != NULL);
    for (size_t i = 0; i < count; i++)
        v[i] = 0.5f + spread * ((float)random_next(&state) / 2147483648.0f - 0.5f);
    return v;
}

/* Smooth shapes with noise: PAMR has edges to follow. */
static inline uint8_t *random_picture(int width, int height)
{
    uint64_t state = 99;
    uint8_t *p = malloc((size_t)width * height * 3);
    cr_assert(p != NULL);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                p[((size_t)y * width + x) * 3 + c] =
                    (uint8_t)((x / 17 * 60 + y / 23 * 40 * (c + 1) + (int)(random_next(&state) % 9)) & 255);
    return p;
}

/* ---- a readout ---- */

typedef struct reading {
    uint16_t *labels; /* [height, width] */
    float *scores;    /* [channels, height, width], or NULL */
} reading;

static inline int channels_of(const t2d_readout *job) { return job->classes + job->with_background; }

static inline reading read_out(t2d_readout job, int threads, bool scores)
{
    t2d_error err;
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, threads);
    const size_t pixels = (size_t)job.width * job.height, count = pixels * channels_of(&job);
    reading r = {.labels = guarded(be, pixels * 2), .scores = scores ? guarded(be, count * 4) : NULL};
    job.labels = r.labels;
    job.out = r.scores;
    cr_assert_eq(be->op->readout(be, &job, &err), T2D_OK, "%s", err.message);
    cr_assert(guard_holds(r.labels, pixels * 2), "readout wrote behind its labels");
    cr_assert(!scores || guard_holds(r.scores, count * 4), "readout wrote behind its scores");
    be->op->close(be);
    return r;
}

static inline void reading_free(reading r)
{
    free(r.labels);
    free(r.scores);
}

/* The published label, or one whose score is as high within twice the tolerance of a score. */
static inline void check_label(reading r, size_t pixels, size_t p, int want, tolerance tol, const char *where)
{
    const float got = r.scores[r.labels[p] * pixels + p], other = r.scores[want * pixels + p];
    cr_assert(got - other <= 2 * tol.limit, "%s: pixel %zu is %d (%.9g), published %d (%.9g)", where, p,
              r.labels[p], got, want, other);
}

/* ---- the formulas in double ---- */

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

/* [channels, height, width] */
static inline double *naive_readout(const t2d_readout *job)
{
    const size_t pixels = (size_t)job->width * job->height,
                 places = (size_t)job->canvas_width * job->canvas_height;
    double *out = malloc(pixels * channels_of(job) * sizeof *out), *canvas = malloc(places * sizeof *canvas);
    cr_assert(out && canvas);
    for (int n = 0; n < channels_of(job); n++) {
        memset(canvas, 0, places * sizeof *canvas);
        for (int i = 0; i < job->window_count; i++) naive_window(canvas, job, i, n - job->with_background);
        for (size_t p = 0; p < places; p++) {
            const int x = (int)(p % job->canvas_width), y = (int)(p / job->canvas_width);
            int count = 0;
            for (int i = 0; i < job->window_count; i++) {
                const t2d_rect r = job->windows[i];
                count += x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h;
            }
            canvas[p] /= count;
        }
        for (size_t p = 0; p < pixels; p++)
            out[n * pixels + p] =
                naive_bilinear(canvas, job->canvas_width, job->canvas_height, (int)(p % job->width),
                               (int)(p / job->width), job->width, job->height, false);
    }
    free(canvas);
    return out;
}

#endif
