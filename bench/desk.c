/* desk.c — set up, run, check, time, write down. */
#include "desk.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "half.h"

enum {
    PERIOD = 1000003,
    /* a prime: no row of a matrix is like another */ ROW = 4096,
    LEAST = 5,
    MOST = 30
};
#define SHORT 2e-3 /* seconds: shorter calls are timed together */

/* ---- numbers ---- */

static float noise(uint64_t index)
{
    static float block[PERIOD];
    if (block[0] == 0)
        for (uint64_t i = 0; i < PERIOD; i++) block[i] = (float)(t2d_mix(i + 7) >> 40) * 0x1p-23F - 1;
    return block[index % PERIOD];
}

static float from_fp16(uint16_t v)
{
    const int exponent = v >> 10 & 31, mantissa = v & 1023;
    const float f = exponent ? ldexpf((float)(1024 + mantissa), exponent - 25) : ldexpf((float)mantissa, -24);
    return v & 0x8000 ? -f : f;
}

static uint16_t to_half(const desk *d, float v)
{
    return d->be->dtype == T2D_DTYPE_FP16 ? t2d_to_fp16(v) : t2d_to_bf16(v);
}

static float from_half(const desk *d, uint16_t v)
{
    return d->be->dtype == T2D_DTYPE_FP16 ? from_fp16(v) : t2d_from_bf16(v);
}

float rounded(const desk *d, float v)
{
    return d->be->dtype == T2D_DTYPE_FP32 ? v : from_half(d, to_half(d, v));
}

double rounding(const desk *d)
{
    return d->be->dtype == T2D_DTYPE_FP32 ? 0 : d->be->dtype == T2D_DTYPE_FP16 ? 0x1p-11 : BF16_ROUNDING;
}

float value_of(const trial *t, const input *in, size_t index)
{
    const float v = in->shift + in->scale * noise(in->stream + index);
    return in->act ? rounded(t->d, v) : v;
}

float linear_value(int out, int in, size_t index)
{
    return sqrtf(3.0f / (float)in) * noise(index + (uint64_t)out);
}

float linear_bias(int index) { return 0.1f * noise((uint64_t)index * 3); }

size_t pick(const trial *t, int draw, size_t below)
{
    /* the last and the first are where things go wrong */
    if (draw < 2) return draw ? 0 : below - 1;
    return t2d_mix((uint64_t)draw * 65537 + (uint64_t)t->classes + below) % below;
}

/* ---- setting up ---- */

trial trial_of(desk *d, const shape *s, const char *operation, const char *variant, const char *dims, ...)
{
    trial t = {.d = d, .s = s};
    va_list list;
    snprintf(t.operation, sizeof t.operation, "%s", operation);
    snprintf(t.variant, sizeof t.variant, "%s", variant);
    va_start(list, dims);
    vsnprintf(t.dims, sizeof t.dims, dims, list);
    va_end(list);
    return t;
}

static json_t *names_of(const trial *t)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:s}", "operation", t->operation, "variant",
                     t->variant, "model", t->s ? t->s->model : "", "size", t->s ? t->s->size : 0, "batch",
                     t->s ? t->s->sequences : 0, "classes", t->classes, "dims", t->dims, "dtype",
                     t->d->be->dtype == T2D_DTYPE_FP32   ? "fp32"
                     : t->d->be->dtype == T2D_DTYPE_FP16 ? "fp16"
                                                         : "bf16");
}

static void pass_over(trial *t, const char *why)
{
    json_t *row = names_of(t);
    json_object_set_new(row, "why", json_string(why));
    json_array_append_new(t->d->passed_over, row);
}

bool trial_wanted(trial *t, double flop, double bytes, bool product)
{
    t->flop = flop, t->bytes = bytes, t->product = product;
    if (t->d->only && strcmp(t->d->only, t->operation) != 0) return false;
    if (t->d->check_only || roofs_floor(&t->d->roof, flop, bytes, product) <= t->d->most) return true;
    pass_over(t, "too long");
    return false;
}

void *trial_memory(trial *t, size_t bytes)
{
    void *p = t->memories < MEMORIES && !t->no_room ? t->d->be->op->alloc(t->d->be, bytes) : NULL;
    if (!p) t->no_room = true;
    if (p) t->memory[t->memories++] = p;
    return p;
}

input *trial_input(trial *t, int index, size_t count, float scale, float shift, bool act)
{
    const desk *d = t->d;
    const bool half = act && d->be->dtype != T2D_DTYPE_FP32;
    const size_t size = half ? 2 : 4, part = count < PERIOD ? count : PERIOD;
    input *in = &t->in[index];
    *in = (input){
        .count = count, .stream = (uint64_t)index * 104729 + 11, .scale = scale, .shift = shift, .act = act};
    float *host = malloc(part * sizeof *host);
    in->at = host ? trial_memory(t, count * size) : NULL;
    for (size_t i = 0; i < part && in->at; i++) {
        const float v = value_of(t, in, i);
        if (half)
            ((uint16_t *)host)[i] = to_half(d, v);
        else
            host[i] = v;
    }
    for (size_t at = 0; at < count && in->at; at += part)
        d->be->op->upload(d->be, (char *)in->at + at * size, host,
                          (count - at < part ? count - at : part) * size);
    free(host);
    if (!in->at) t->no_room = true;
    return in;
}

void trial_linear(trial *t, int out, int in, bool fp32)
{
    t2d_error err;
    const size_t count = (size_t)out * (size_t)in;
    float *w = malloc(count * sizeof *w), *b = malloc((size_t)out * sizeof *b);
    for (size_t i = 0; i < count && w && b; i++) w[i] = linear_value(out, in, i);
    for (int i = 0; i < out && w && b; i++) b[i] = linear_bias(i);
    const t2d_linear_desc desc = {
        .name = "random", .out = out, .in = in, .weight = w, .bias = b, .fp32 = fp32};
    if (!w || !b || t->d->be->op->linear_create(t->d->be, &desc, &t->linear, &err) != T2D_OK) {
        t->linear = NULL;
        t->no_room = true;
    }
    free(w);
    free(b);
}

static void release(trial *t)
{
    t2d_backend *be = t->d->be;
    if (t->linear) be->op->linear_destroy(be, t->linear);
    while (t->memories) be->op->release(be, t->memory[--t->memories]);
}

/* ---- the check ---- */

void must(trial *t, bool good, const char *sentence)
{
    t->values++;
    if (!good && !t->failure[0]) snprintf(t->failure, sizeof t->failure, "%s", sentence);
}

void near(trial *t, double got, double want, double scale, tolerance tol, bool act)
{
    const double limit = tol.limit * scale + (act ? rounding(t->d) * fabs(want) : 0),
                 error = fabs(got - want);
    t->values++;
    if (error / limit > t->worst) t->worst = error / limit;
    if (error <= limit || t->failure[0]) return; /* NaN is not <= */
    snprintf(t->failure, sizeof t->failure,
             "got %.9g, plain C says %.9g; %.3g apart, allowed %.3g (%g of %s)", got, want, error, limit,
             tol.limit, tol.scale);
}

const float *got_of(trial *t, size_t at, size_t count, bool act)
{
    static float row[ROW];
    t2d_error err;
    t2d_backend *be = t->d->be;
    const bool half = act && be->dtype != T2D_DTYPE_FP32;
    const char *from = (const char *)t->out + at * (half ? 2 : 4);
    if (count > ROW) count = ROW;
    const t2d_status status = be->op->download(be, row, from, count * (half ? 2 : 4), &err);
    if (status != T2D_OK) must(t, false, err.message);
    for (size_t i = count; half && i-- > 0;) row[i] = from_half(t->d, ((uint16_t *)row)[i]);
    return row;
}

/* ---- the clock ---- */

/* Seconds of one call, `turns` of them between two waits. */
static bool take(trial *t, void (*run)(trial *), int turns, double *seconds)
{
    t2d_error err;
    const double start = t2d_clock();
    for (int i = 0; i < turns; i++) run(t);
    const bool good = t->d->be->op->finish(t->d->be, &err) == T2D_OK;
    *seconds = (t2d_clock() - start) / turns;
    if (!good) must(t, false, err.message);
    return good;
}

static void write_down(trial *t, const t2d_samples *samples, int turns)
{
    t2d_spread spread;
    json_t *row = names_of(t), *list = json_array();
    if (t2d_spread_of(samples, &spread, NULL) != T2D_OK) return;
    const roofs *r = &t->d->roof;
    const double floor = roofs_floor(r, t->flop, t->bytes, t->product);
    for (int i = 0; i < samples->count; i++) json_array_append_new(list, json_real(samples->seconds[i]));
    json_object_update_new(row, json_pack("{s:f, s:f, s:b, s:f, s:f, s:i, s:i, s:f, s:o}", "flop", t->flop,
                                          "bytes", t->bytes, "product", t->product, "floor_seconds", floor,
                                          "median_seconds", spread.median, "calls_per_sample", turns,
                                          "values_checked", t->values, "worst_error", t->worst,
                                          "samples_seconds", list));
    json_array_append_new(t->d->rows, row);
    printf("%-13s %-17s %-38s %10.3f %9.3f %9.3f %8.1f %9.1f %5.0f%%\n", t->operation, t->variant, t->dims,
           1e3 * spread.median, 1e3 * spread.min, 1e3 * spread.max, 1e-9 * t->bytes / spread.median,
           1e-9 * t->flop / spread.median, 100 * floor / spread.median);
    fflush(stdout);
}

static void measure(trial *t, void (*run)(trial *))
{
    t2d_samples samples = {0};
    double seconds, sum = 0;
    bool good = take(t, run, 1, &seconds); /* warms up */
    const int turns = seconds < SHORT ? (int)(SHORT / (seconds + 1e-9)) + 1 : 1;
    while (good && samples.count < MOST && (samples.count < LEAST || sum < t->d->seconds)) {
        good = take(t, run, turns, &seconds) && t2d_samples_add(&samples, seconds, NULL) == T2D_OK;
        sum += seconds * turns;
    }
    if (good) write_down(t, &samples, turns);
    t2d_samples_release(&samples);
}

/* One wrong value, where the check looks first. */
static void spoil(trial *t)
{
    const float wrong[2] = {1e30f, 1e30f};
    if (t->d->spoil && strcmp(t->d->spoil, t->operation) == 0 && t->out)
        t->d->be->op->upload(t->d->be, t->out, wrong, sizeof wrong);
}

bool trial_finish(trial *t, void (*run)(trial *), void (*check)(trial *))
{
    double seconds;
    if (t->no_room) {
        t2d_error err;
        (void)t->d->be->op->finish(t->d->be, &err); /* what was out of memory is told and forgotten */
        pass_over(t, "no room");
        release(t);
        return true;
    }
    if (take(t, run, 1, &seconds)) {
        spoil(t);
        check(t);
    }
    t->d->checked++;
    if (!t->failure[0] && !t->d->check_only) measure(t, run);
    const bool good = !t->failure[0];
    if (!good) {
        t->d->failed++;
        fprintf(stderr, "bench_ops: no speed for a wrong answer: %s %s, %s: %s\n", t->operation, t->variant,
                t->dims, t->failure);
    }
    release(t);
    return good;
}
