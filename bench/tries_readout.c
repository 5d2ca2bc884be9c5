/* tries_readout.c — score maps to labels, whole or by windows, with PAMR or without; and memory to and fro.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"
#include "naive_maps.h"

enum { PICTURES = 16, WINDOWS = 64, PIXELS = 16 };

typedef struct reading {
    t2d_readout job;   /* scores and canvas on the machine */
    t2d_readout plain; /* the same on the host */
    t2d_rect windows[WINDOWS];
    double *maps; /* [classes][window, grid * grid] */
    uint16_t *labels;
    float *out;
} reading;

static void readout_run(trial *t)
{
    t2d_error err;
    const reading *r = t->more;
    const t2d_status status = t->d->be->op->readout(t->d->be, &r->job, &err);
    if (status != T2D_OK) must(t, false, err.message);
}

/* ---- plain C, for one pixel of the result ---- */

static double canvas_at(const reading *r, int n, int x, int y)
{
    const t2d_readout *job = &r->plain;
    const size_t patches = (size_t)job->grid * (size_t)job->grid;
    double sum = 0;
    int count = 0;
    for (int i = 0; i < job->window_count; i++) {
        const t2d_rect w = r->windows[i];
        if (x < w.x || x >= w.x + w.w || y < w.y || y >= w.y + w.h) continue;
        const double *map = r->maps + ((size_t)n * (size_t)job->window_count + (size_t)i) * patches;
        sum += naive_bilinear(map, job->grid, job->grid, x - w.x, y - w.y, w.w, w.h, true);
        count++;
    }
    return sum / count;
}

/* The four places on the canvas that a pixel of the result takes, then their bilinear mean. */
static double score_at(const reading *r, int n, int x, int y)
{
    const t2d_readout *job = &r->plain;
    if (n < 0) return job->background;
    const int in[2] = {job->canvas_width, job->canvas_height}, out[2] = {job->width, job->height};
    int low[2], high[2];
    double t[2];
    for (int a = 0; a < 2; a++) {
        const double v = fmax((double)in[a] / out[a] * ((a ? y : x) + 0.5) - 0.5, 0);
        low[a] = (int)fmin(floor(v), in[a] - 1);
        high[a] = (int)fmin(low[a] + 1, in[a] - 1);
        t[a] = v - low[a];
    }
    const double top = (1 - t[0]) * canvas_at(r, n, low[0], low[1]) + t[0] * canvas_at(r, n, high[0], low[1]);
    const double down =
        (1 - t[0]) * canvas_at(r, n, low[0], high[1]) + t[0] * canvas_at(r, n, high[0], high[1]);
    return (1 - t[1]) * top + t[1] * down;
}

static void check_label(trial *t, const reading *r, size_t p)
{
    const t2d_readout *job = &r->plain;
    const int x = (int)(p % (size_t)job->width), y = (int)(p / (size_t)job->width);
    const int shift = job->with_background, label = r->labels[p];
    double best = -INFINITY;
    for (int n = -shift; n < job->classes; n++) best = fmax(best, score_at(r, n, x, y));
    const bool known = label < job->classes + shift;
    must(t, known, "a label beyond the classes");
    /* two scores may be off; softmax in fp32 merges what is 1e-6 apart */
    if (known) near(t, score_at(r, label - shift, x, y), best, 2 * 0.4 + 0.05, TOL_SCORES, false);
}

static void check_score(trial *t, const reading *r, size_t p, int n)
{
    const t2d_readout *job = &r->plain;
    const size_t pixels = (size_t)job->width * (size_t)job->height;
    near(t, r->out[(size_t)(n + job->with_background) * pixels + p],
         score_at(r, n, (int)(p % (size_t)job->width), (int)(p / (size_t)job->width)), 0.4, TOL_SCORES,
         false);
}

/* ---- PAMR: one class's map in double, and labels that are the best of the scores ---- */

static void check_pamr(trial *t, reading *r)
{
    const t2d_readout *job = &r->plain;
    const size_t pixels = (size_t)job->width * (size_t)job->height;
    t2d_error err;
    t2d_readout both = r->job;
    uint16_t *labels = malloc(pixels * sizeof *labels);
    double *canvas = calloc(pixels, sizeof *canvas);
    both.labels = labels;
    both.out = malloc(pixels * (size_t)job->classes * sizeof *both.out);
    const bool good = labels && canvas && both.out &&
                      t->d->be->op->readout(t->d->be, &both, &err) == T2D_OK &&
                      t->d->be->op->finish(t->d->be, &err) == T2D_OK;
    must(t, good, "no scores to check: out of memory, or the machine failed");
    if (good) {
        const int n = job->classes / 2;
        for (int i = 0; i < job->window_count; i++) naive_window(canvas, job, i, n);
        must(t, memcmp(labels, r->labels, pixels * sizeof *labels) == 0,
             "asking for scores changed the labels");
        for (int draw = 0; draw < 256; draw++) {
            const size_t p = pick(t, draw, pixels);
            const int x = (int)(p % (size_t)job->width), y = (int)(p / (size_t)job->width);
            int count = 0, best = 0;
            for (int i = 0; i < job->window_count; i++) {
                const t2d_rect w = r->windows[i];
                count += x >= w.x && x < w.x + w.w && y >= w.y && y < w.y + w.h;
            }
            near(t, both.out[(size_t)n * pixels + p], canvas[p] / count, 1, TOL_PAMR, false);
            for (int k = 1; k < job->classes; k++)
                if (both.out[(size_t)k * pixels + p] > both.out[(size_t)best * pixels + p]) best = k;
            must(t, labels[p] == best, "a label that is not the first best of its scores");
        }
    }
    free(labels);
    free(canvas);
    free(both.out);
}

static void readout_check(trial *t)
{
    reading *r = (reading *)(uintptr_t)t->more;
    const size_t pixels = (size_t)r->plain.width * (size_t)r->plain.height;
    if (t->d->spoil && strcmp(t->d->spoil, "readout") == 0) r->labels[0] = UINT16_MAX;
    if (r->plain.pamr) {
        check_pamr(t, r);
        return;
    }
    for (int k = 0; k < PIXELS; k++) check_label(t, r, pick(t, k, pixels));
    for (int k = 0; k < 4 * PIXELS && r->out; k++)
        check_score(t, r, pick(t, k, pixels), (int)pick(t, k, (size_t)r->plain.classes));
}

/* ---- setting up ---- */

static int place_windows(const readout_case *c, t2d_rect *windows)
{
    int count = 0;
    for (int y = 0;; y += c->stride) {
        const int top = y + c->side < c->canvas_height ? y : c->canvas_height - c->side;
        for (int x = 0;; x += c->stride) {
            const int left = x + c->side < c->canvas_width ? x : c->canvas_width - c->side;
            windows[count++] = c->side ? (t2d_rect){left, top, c->side, c->side}
                                       : (t2d_rect){0, 0, c->canvas_width, c->canvas_height};
            if (!c->side || left + c->side >= c->canvas_width || count == WINDOWS) break;
        }
        if (!c->side || top + c->side >= c->canvas_height || count == WINDOWS) return count;
    }
}

static bool fill(trial *t, reading *r, const readout_case *c, size_t scores)
{
    t2d_backend *be = t->d->be;
    const size_t pixels = (size_t)c->width * (size_t)c->height, patches = (size_t)c->grid * (size_t)c->grid,
                 canvas = (size_t)c->canvas_width * (size_t)c->canvas_height * 3;
    float *host = malloc(scores * sizeof *host);
    uint8_t *guide = malloc(canvas), *there = trial_memory(t, canvas);
    r->maps = malloc(scores * sizeof *r->maps);
    r->labels = malloc(pixels * sizeof *r->labels);
    r->out = c->scores ? malloc(pixels * (size_t)(c->classes + c->background) * sizeof *r->out) : NULL;
    r->plain.scores = host, r->plain.canvas = guide;
    r->job = r->plain;
    r->job.canvas = there, r->job.labels = r->labels, r->job.out = r->out;
    r->job.scores = trial_input(t, 0, scores, 0.2f, 0.5f, false)->at;
    if (!host || !guide || !r->maps || !r->labels || (c->scores && !r->out) || t->no_room) return false;
    for (size_t i = 0; i < scores; i++) host[i] = value_of(t, &t->in[0], i);
    for (size_t i = 0; i < scores; i++) { /* [window, patch, class] */
        const size_t n = i % (size_t)c->classes, p = i / (size_t)c->classes;
        r->maps[(n * (size_t)r->plain.window_count + p / patches) * patches + p % patches] = host[i];
    }
    for (size_t i = 0; i < canvas; i++) /* shapes with noise: PAMR has edges to follow */
        guide[i] = (uint8_t)((i / 3 % (size_t)c->canvas_width / 17 * 60 +
                              i / 3 / (size_t)c->canvas_width / 23 * 40) +
                             t2d_mix(i) % 9);
    be->op->upload(be, there, guide, canvas);
    return true;
}

void try_readout(desk *d, const readout_case *c)
{
    static reading r;
    r = (reading){.plain = {.grid = c->grid,
                            .classes = c->classes,
                            .windows = r.windows,
                            .canvas_width = c->canvas_width,
                            .canvas_height = c->canvas_height,
                            .pamr = c->pamr,
                            .with_background = c->background,
                            .background = 0.6f,
                            .softmax = c->softmax,
                            .width = c->width,
                            .height = c->height}};
    r.plain.window_count = place_windows(c, r.windows);
    const double pixels = (double)c->width * c->height, channels = c->classes + c->background;
    const size_t scores = (size_t)(r.plain.window_count * c->grid * c->grid) * (size_t)c->classes;
    double areas = 0;
    for (int i = 0; i < r.plain.window_count; i++) areas += (double)r.windows[i].w * r.windows[i].h;
    trial t = trial_of(d, NULL, "readout", c->name, "%d windows -> %d x %d, %d classes", r.plain.window_count,
                       c->width, c->height, c->classes);
    t.classes = c->classes, t.more = &r;
    /* a bilinear value is two multiply-adds at least; PAMR's weights must be read once */
    if (!trial_wanted(&t, 4 * pixels * c->classes + (c->pamr ? 10 * 2 * 48.0 * areas * c->classes : 0),
                      4 * (double)scores + 2 * pixels + (c->scores ? 4 * pixels * channels : 0) +
                          (c->pamr ? 48 * 4 * areas : 0),
                      false))
        return;
    if (!fill(&t, &r, c, scores)) t.no_room = true;
    trial_finish(&t, readout_run, readout_check);
    free((float *)(uintptr_t)r.plain.scores);
    free((uint8_t *)(uintptr_t)r.plain.canvas);
    free(r.maps);
    free(r.labels);
    free(r.out);
}

/* ---- to the machine and back: more: host memory ---- */

typedef struct journey {
    char *host;
    size_t bytes;
} journey;

static void upload_run(trial *t)
{
    const journey *j = t->more;
    t->d->be->op->upload(t->d->be, t->out, j->host, j->bytes);
}

static void download_run(trial *t)
{
    t2d_error err;
    const journey *j = t->more;
    if (t->d->be->op->download(t->d->be, j->host, t->out, j->bytes, &err) != T2D_OK)
        must(t, false, err.message);
}

static void upload_check(trial *t)
{
    const journey *j = t->more;
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t at = pick(t, k, j->bytes / 4);
        must(t, memcmp(got_of(t, at, 1, false), j->host + 4 * at, 4) == 0,
             "what was sent is not what is there");
    }
}

void try_memory(desk *d)
{
    const journey j = {.bytes = 64 << 20, .host = malloc(64 << 20)};
    void (*const runs[])(trial *) = {upload_run, download_run};
    for (int i = 0; i < 2 && j.host; i++) {
        trial t = trial_of(d, NULL, i ? "download" : "upload", "", "64 MiB");
        if (!trial_wanted(&t, 0, 2.0 * (double)j.bytes, false)) continue;
        t.more = &j;
        roofs_fill(j.host, j.bytes);
        t.out = trial_memory(&t, j.bytes);
        if (t.out) upload_run(&t);
        trial_finish(&t, runs[i], upload_check);
    }
    free(j.host);
}
