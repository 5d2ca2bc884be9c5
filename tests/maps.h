/* maps.h — what the suites of score maps share: golden files, a readout with guards, and the same in double.
 */
#ifndef T2D_TEST_MAPS_H
#define T2D_TEST_MAPS_H

#include <jansson.h>

#include "kernels.h"
#include "naive_maps.h"

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
