/* tries_masks.c — from pixels to tokens, from tokens to scores, and the CLS token's heads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"
#include "naive_maps.h"

#define OP(t) (t)->d->be->op
#define BE(t) (t)->d->be

/* ---- embed: in = cls, registers, position; more: the job ---- */

enum { PATCH = 14, INNER = 3 * PATCH * PATCH };
static const float MEAN[3] = {0.485f, 0.456f, 0.406f}, STD[3] = {0.229f, 0.224f, 0.225f};

static uint8_t pixel(size_t index) { return (uint8_t)(t2d_mix(index / 8 + 99) >> 8 * (index % 8)); }

static void embed_run(trial *t) { OP(t)->embed(BE(t), t->out, t->more); }

static double pixel_of(const t2d_embed *e, t2d_rect w, int x, int y, int c)
{
    int x0, x1, y0, y1;
    const double tx = naive_axis_sample(x, w.w, e->size, &x0, &x1),
                 ty = naive_axis_sample(y, w.h, e->size, &y0, &y1);
#define AT(px, py) pixel(((size_t)(w.y + (py)) * (size_t)e->width + (size_t)(w.x + (px))) * 3 + (size_t)c)
    const double top = AT(x0, y0) * (1 - tx) + AT(x1, y0) * tx, low = AT(x0, y1) * (1 - tx) + AT(x1, y1) * tx;
#undef AT
    return ((top * (1 - ty) + low * ty) / 255 - MEAN[c]) / STD[c];
}

static void embed_check(trial *t)
{
    const t2d_embed *e = t->more;
    const size_t dim = (size_t)e->dim, patches = (size_t)(t->s->grid * t->s->grid),
                 tokens = (size_t)t->s->tokens;
    must(t, *got_of(t, 0, 1, false) == value_of(t, &t->in[0], 0), "the first value is not the CLS token's");
    for (int k = 0; k < CHECKS; k++) {
        const size_t window = pick(t, k, (size_t)e->count), p = pick(t, k, patches), o = pick(t, k, dim);
        double sum = (double)linear_bias((int)o) + value_of(t, &t->in[2], p * dim + o), size = 1 + fabs(sum);
        /* of a resized pixel that is rounded to 16 bits, fp32 and double may fall either side of a tie */
        double ties = 0;
        for (int i = 0; i < INNER; i++) {
            const int grid = t->s->grid, x = (int)p % grid * PATCH + i % PATCH,
                      y = (int)p / grid * PATCH + i / PATCH % PATCH;
            const double v = rounded(t->d, (float)pixel_of(e, e->windows[window], x, y, i / PATCH / PATCH));
            const double product = v * rounded(t->d, linear_value((int)dim, INNER, o * INNER + (size_t)i));
            sum += product, size += fabs(product), ties += product * product;
        }
        tolerance tol = TOL_EMBED;
        if (t->flag) tol.limit += 2 * rounding(t->d) * sqrt(ties) / size;
        near(t, *got_of(t, (window * tokens + (size_t)t->s->skip + p) * dim + o, 1, false), sum, size, tol,
             false);
    }
}

/* Windows cut out of a picture, or (flag) brought to size from another. */
static void embed(desk *d, const shape *s, bool resized)
{
    const int n = s->sequences, width = s->size * 3 / 2, height = s->size, patches = s->grid * s->grid;
    const size_t bytes = (size_t)width * (size_t)height * 3,
                 count = (size_t)n * (size_t)s->tokens * (size_t)s->dim;
    trial t = trial_of(d, s, "embed", resized ? "resized" : "cut out", "%d x %d x %d", n, s->size, s->size);
    const double pixels = resized ? (double)bytes : fmin((double)bytes, 3.0 * s->size * s->size * n);
    if (!trial_wanted(&t, 2.0 * n * patches * s->dim * INNER,
                      pixels + 4 * ((double)count + patches * (double)s->dim) +
                          (double)t2d_act_size(d->be) * s->dim * INNER,
                      true))
        return;
    t2d_rect *windows = calloc((size_t)n, sizeof *windows);
    uint8_t *host = malloc(bytes), *there = trial_memory(&t, bytes);
    if (!windows || !host || !there) t.no_room = true;
    for (size_t i = 0; i < bytes && host; i++) host[i] = pixel(i);
    if (host && there) d->be->op->upload(d->be, there, host, bytes);
    for (int i = 0; i < n && windows; i++)
        windows[i] = resized ? (t2d_rect){0, 0, width, height}
                             : (t2d_rect){i % 2 * (width - s->size), 0, s->size, s->size};
    trial_input(&t, 0, (size_t)s->dim, 1, 0, false);
    trial_input(&t, 1, (size_t)s->dim * 4, 1, 0, false);
    trial_input(&t, 2, (size_t)patches * (size_t)s->dim, 1, 0, false);
    trial_linear(&t, s->dim, INNER, false);
    t.out = trial_memory(&t, count * 4);
    const t2d_embed job = {.pixels = there,
                           .width = width,
                           .height = height,
                           .windows = windows,
                           .count = n,
                           .size = s->size,
                           .patch = PATCH,
                           .mean = {MEAN[0], MEAN[1], MEAN[2]},
                           .std = {STD[0], STD[1], STD[2]},
                           .projection = t.linear,
                           .cls = t.in[0].at,
                           .registers = t.in[1].at,
                           .position = t.in[2].at,
                           .register_count = s->skip - 1,
                           .dim = s->dim};
    t.more = &job, t.flag = resized;
    trial_finish(&t, embed_run, embed_check);
    free(windows);
    free(host);
}

/* ---- the heads of CLS: in = qkv, or logits and features ---- */

static void cls_logits_run(trial *t)
{
    OP(t)->cls_logits(BE(t), t->out, t->in[0].at, t->s->sequences, t->s->tokens, t->s->skip, t->s->heads);
}

static void cls_logits_check(trial *t)
{
    const shape *s = t->s;
    const size_t dim = (size_t)s->dim, tokens = (size_t)s->tokens, patches = tokens - (size_t)s->skip;
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t row = pick(t, k, (size_t)(s->sequences * s->heads)), p = pick(t, k, patches);
        const size_t first = row / (size_t)s->heads * tokens, head = row % (size_t)s->heads * T2D_HEAD;
        double dot = 0, size = 0;
        for (size_t c = head; c < head + T2D_HEAD; c++) {
            const double product = (double)value_of(t, &t->in[0], first * 3 * dim + c) / 8 *
                                   value_of(t, &t->in[0], (first + (size_t)s->skip + p) * 3 * dim + dim + c);
            dot += product, size += fabs(product);
        }
        near(t, *got_of(t, row * patches + p, 1, false), dot, size, TOL_CLS_LOGITS, false);
    }
}

static void head_pool_run(trial *t)
{
    OP(t)->head_pool(BE(t), t->out, t->in[0].at, t->in[1].at, t->s->sequences, t->s->tokens, t->s->skip,
                     t->s->heads, t->s->dim);
}

static void head_pool_check(trial *t)
{
    const shape *s = t->s;
    const size_t dim = (size_t)s->dim, heads = (size_t)s->heads, patches = (size_t)(s->tokens - s->skip);
    for (int k = 0; k < CHECKS; k++) {
        const size_t row = pick(t, k, (size_t)s->sequences * heads), c = pick(t, k, dim);
        double sum = 0, out = 0, size = 0, largest = 0;
        for (size_t p = 0; p < patches; p++) {
            const double logit = value_of(t, &t->in[0], row * patches + p), weight = exp(logit);
            const double v =
                value_of(t, &t->in[1], (row / heads * (size_t)s->tokens + (size_t)s->skip + p) * dim + c);
            sum += weight, out += weight * v;
            size = fmax(size, fabs(logit)), largest = fmax(largest, fabs(v));
        }
        near(t, *got_of(t, row * dim + c, 1, false), out / sum / (double)patches,
             (1 + size) * largest / (double)patches, TOL_HEAD_POOL, false);
    }
}

static void unit_rows_run(trial *t)
{
    const shape *s = t->s;
    OP(t)->unit_rows(BE(t), t->out, t->in[0].at, s->sequences, s->tokens, s->skip, s->tokens - s->skip,
                     s->dim);
}

static void unit_rows_check(trial *t)
{
    const shape *s = t->s;
    const size_t dim = (size_t)s->dim, keep = (size_t)(s->tokens - s->skip);
    for (int k = 0; k < CHECKS; k++) {
        const size_t row = pick(t, k, keep * (size_t)s->sequences), c = pick(t, k, dim);
        const size_t from = (row / keep * (size_t)s->tokens + (size_t)s->skip + row % keep) * dim;
        double square = 0;
        for (size_t i = 0; i < dim; i++) square += pow(value_of(t, &t->in[0], from + i), 2);
        near(t, *got_of(t, row * dim + c, 1, false), value_of(t, &t->in[0], from + c) / sqrt(square), 1,
             TOL_UNIT, false);
    }
}

static void cls_logits(desk *d, const shape *s)
{
    const double n = s->sequences, heads = n * s->heads * (s->tokens - s->skip), dim = s->dim;
    trial t = trial_of(d, s, "cls_logits", "", "%d x %d tokens, %d heads", s->sequences, s->tokens, s->heads);
    if (!trial_wanted(&t, 2 * T2D_HEAD * heads, (double)t2d_act_size(d->be) * T2D_HEAD * heads + 4 * heads,
                      false))
        return;
    trial_input(&t, 0, (size_t)(n * s->tokens * 3 * dim), 1, 0, true);
    t.out = trial_memory(&t, (size_t)heads * 4);
    trial_finish(&t, cls_logits_run, cls_logits_check);
}

void try_heads(desk *d, const shape *s)
{
    const double n = s->sequences, patches = s->tokens - s->skip, heads = n * s->heads * patches,
                 dim = s->dim;
    embed(d, s, false);
    embed(d, s, true);
    cls_logits(d, s);
    if (d->be->dtype != T2D_DTYPE_FP32) return; /* what follows is fp32 whatever the compute type */
    trial t = trial_of(d, s, "head_pool", "", "%d x %d tokens, %d heads", s->sequences, s->tokens, s->heads);
    if (trial_wanted(&t, 2 * heads * dim, 4 * (heads + n * patches * dim + n * s->heads * dim), false)) {
        trial_input(&t, 0, (size_t)heads, 2, 0, false);
        trial_input(&t, 1, (size_t)(n * s->tokens * dim), 3, 0, false);
        t.out = trial_memory(&t, (size_t)(n * s->heads * dim) * 4);
        trial_finish(&t, head_pool_run, head_pool_check);
    }
    t = trial_of(d, s, "unit_rows", "", "%.0f x %d", n * patches, s->dim);
    if (trial_wanted(&t, 3 * n * patches * dim, 8 * n * patches * dim, false)) {
        trial_input(&t, 0, (size_t)(n * s->tokens * dim), 3, 0, false);
        t.out = trial_memory(&t, (size_t)(n * patches * dim) * 4);
        trial_finish(&t, unit_rows_run, unit_rows_check);
    }
}

/* ---- similarity: n = rows; flag: sigmoid ---- */

static void similarity_run(trial *t)
{
    OP(t)->similarity(BE(t), t->out, t->in[0].at, t->in[1].at, t->n[0], t->classes, t->s->dim, t->flag);
}

static void similarity_check(trial *t)
{
    const size_t dim = (size_t)t->s->dim, classes = (size_t)t->classes;
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t row = pick(t, k, (size_t)t->n[0]), n = pick(t, k, classes);
        double dot = 0;
        for (size_t c = 0; c < dim; c++)
            dot += (double)value_of(t, &t->in[0], row * dim + c) * value_of(t, &t->in[1], n * dim + c);
        near(t, *got_of(t, row * classes + n, 1, false), t->flag ? 1 / (1 + exp(-dot)) : dot, 1,
             t->flag ? TOL_SIGMOID : TOL_SIMILARITY, false);
    }
}

static void similarity(desk *d, const shape *s, int classes, bool sigmoid)
{
    const double rows = (double)s->sequences * (s->tokens - s->skip), dim = s->dim;
    trial t = trial_of(d, s, "similarity", sigmoid ? "sigmoid" : "cosine", "%.0f x %d -> %d", rows, s->dim,
                       classes);
    t.classes = classes, t.n[0] = (int)rows, t.flag = sigmoid;
    if (!trial_wanted(&t, 2 * rows * dim * classes, 4 * (rows * dim + classes * dim + rows * classes), false))
        return;
    trial_input(&t, 0, (size_t)(rows * dim), sqrtf(3.0f / (float)s->dim), 0, false); /* about unit */
    trial_input(&t, 1, (size_t)(classes * dim), sqrtf(3.0f / (float)s->dim), 0, false);
    t.out = trial_memory(&t, (size_t)(rows * classes) * 4);
    trial_finish(&t, similarity_run, similarity_check);
}

/* ---- cleaning, in place: in = scores, logits, features, text ---- */

static void clean_run(trial *t)
{
    const shape *s = t->s;
    OP(t)->clean(BE(t), t->out, t->in[1].at, t->in[2].at, t->in[3].at, s->sequences, s->tokens, s->skip,
                 s->heads, s->dim, t->classes, 0.2f);
}

static float *on_the_host(const trial *t, const input *in, size_t count)
{
    float *values = malloc(count * sizeof *values);
    for (size_t i = 0; i < count && values; i++) values[i] = value_of(t, in, i);
    return values;
}

static void clean_check(trial *t)
{
    const shape *s = t->s;
    const size_t patches = (size_t)(s->tokens - s->skip), dim = (size_t)s->dim,
                 count = patches * (size_t)t->classes;
    const clean_case k = {1,
                          s->tokens,
                          s->skip,
                          s->heads,
                          s->dim,
                          t->classes,
                          on_the_host(t, &t->in[0], count),
                          on_the_host(t, &t->in[1], patches * (size_t)s->heads),
                          on_the_host(t, &t->in[2], (size_t)s->tokens * dim),
                          on_the_host(t, &t->in[3], (size_t)t->classes * dim)};
    double *want = malloc(count * sizeof *want);
    const bool room = want && k.scores && k.logits && k.features && k.text;
    if (room) naive_clean(&k, 0, want);
    must(t, room, "out of memory for the check");
    for (int draw = 0; draw < 4 * CHECKS && room; draw++) {
        const size_t at = pick(t, draw, count);
        near(t, *got_of(t, at, 1, false), want[at], 1, TOL_CLEAN, false);
    }
    float *const memory[] = {k.scores, k.logits, k.features, k.text};
    for (int i = 0; i < 4; i++) free(memory[i]);
    free(want);
}

static void clean(desk *d, const shape *s, int classes)
{
    const double n = s->sequences, patches = s->tokens - s->skip, dim = s->dim, heads = s->heads;
    trial t = trial_of(d, s, "clean", "", "%d x %.0f patches, %d classes", s->sequences, patches, classes);
    t.classes = classes;
    if (!trial_wanted(&t, 2 * n * heads * (patches * dim + classes * dim + patches * classes),
                      4 * n * (patches * dim + heads * patches + 2 * patches * classes) + 4 * classes * dim,
                      false))
        return;
    t.out = trial_input(&t, 0, (size_t)(n * patches * classes), 0.2f, 0.5f, false)->at;
    trial_input(&t, 1, (size_t)(n * heads * patches), 1, 0, false);
    trial_input(&t, 2, (size_t)(n * s->tokens * dim), 2, 0, false);
    trial_input(&t, 3, (size_t)(classes * dim), sqrtf(3.0f / (float)s->dim), 0, false);
    trial_finish(&t, clean_run, clean_check);
}

/* ---- aliases: three to a class; more: host [groups + 1]; n = rows ---- */

static void merge_max_run(trial *t)
{
    OP(t)->merge_max(BE(t), t->out, t->in[0].at, t->more, t->n[0], 3 * t->classes, t->classes);
}

static void merge_max_check(trial *t)
{
    const size_t groups = (size_t)t->classes;
    for (int k = 0; k < 4 * CHECKS; k++) {
        const size_t row = pick(t, k, (size_t)t->n[0]), g = pick(t, k, groups);
        float want = -INFINITY;
        for (size_t i = 0; i < 3; i++) want = fmaxf(want, value_of(t, &t->in[0], (row * groups + g) * 3 + i));
        must(t, *got_of(t, row * groups + g, 1, false) == want, "the maximum of three aliases is another");
    }
}

static void merge_max(desk *d, const shape *s, int classes)
{
    enum { GROUPS = 4096 };
    static int32_t first[GROUPS + 1];
    const double rows = (double)s->sequences * (s->tokens - s->skip);
    trial t = trial_of(d, s, "merge_max", "3 aliases", "%.0f x %d -> %d", rows, 3 * classes, classes);
    t.classes = classes, t.n[0] = (int)rows, t.more = first;
    for (int i = 0; i <= GROUPS; i++) first[i] = 3 * i;
    if (classes > GROUPS || !trial_wanted(&t, 0, 4 * rows * 4 * classes, false)) return;
    trial_input(&t, 0, (size_t)(rows * 3 * classes), 1, 0, false);
    t.out = trial_memory(&t, (size_t)(rows * classes) * 4);
    trial_finish(&t, merge_max_run, merge_max_check);
}

void try_masks(desk *d, const shape *s, int classes)
{
    similarity(d, s, classes, true);
    if (s->sequences == 1) similarity(d, s, classes, false);
    clean(d, s, classes);
    merge_max(d, s, classes);
}
