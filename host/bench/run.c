/* run.c — check, warm up, measure, between two looks at the ceilings.  The pictures take turns, so that no
 * call sees what the one before saw; each was segmented alone before the clock ran, and that mask is what
 * every later one is held against. */
#include "bench/meter.h"
#include "bench/range.h"

#include <stdlib.h>
#include <sys/resource.h>

enum {
    TURNS = 4, /* different pictures at least */
    SMALL = 64 /* side of the picture whose scores are looked at: classes x pixels are held */
};

typedef struct bench {
    t2d_session *session;
    const t2d_vocab *vocab;
    const t2d_bench_plan *plan;
    t2d_bench_result *result;
    int count;         /* different pictures */
    t2d_image *images; /* [count + batch]: the first stand again after the last */
    t2d_mask *alone;   /* [count] */
    t2d_mask *masks;   /* [batch] */
    t2d_error *err;
} bench;

static t2d_status unsound(bench *b)
{
    b->result->unsound = true;
    return T2D_E_DEVICE;
}

/* ---- pictures ---- */

static t2d_status make_mask(const bench *b, t2d_mask *mask)
{
    const t2d_bench_plan *p = b->plan;
    *mask = (t2d_mask){.width = p->width, .height = p->height};
    mask->ids = t2d_new((size_t)p->width * (size_t)p->height, sizeof *mask->ids, "mask", b->err);
    return mask->ids ? T2D_OK : T2D_E_MEMORY;
}

static t2d_status prepare(bench *b)
{
    const t2d_bench_plan *p = b->plan;
    b->count = p->batch > TURNS ? p->batch : TURNS;
    b->images = t2d_new((size_t)(b->count + p->batch), sizeof *b->images, "pictures", b->err);
    b->alone = t2d_new((size_t)b->count, sizeof *b->alone, "masks", b->err);
    b->masks = t2d_new((size_t)p->batch, sizeof *b->masks, "masks", b->err);
    t2d_status status = b->images && b->alone && b->masks ? T2D_OK : T2D_E_MEMORY;
    for (int i = 0; status == T2D_OK && i < b->count; i++) {
        status = t2d_random_picture(p->width, p->height, p->seed, (uint64_t)i, &b->images[i], b->err);
        if (status == T2D_OK) status = make_mask(b, &b->alone[i]);
    }
    for (int i = 0; status == T2D_OK && i < p->batch; i++) {
        b->images[b->count + i] = b->images[i];
        status = make_mask(b, &b->masks[i]);
    }
    return status;
}

static void release(bench *b)
{
    for (int i = 0; b->images && i < b->count; i++) t2d_image_release(&b->images[i]);
    for (int i = 0; b->alone && i < b->count; i++) t2d_mask_release(&b->alone[i]);
    for (int i = 0; b->masks && i < b->plan->batch; i++) t2d_mask_release(&b->masks[i]);
    free(b->images);
    free(b->alone);
    free(b->masks);
}

/* ---- one call ---- */

/* Pictures from `first` on, as many as a call takes, into b->masks. */
static t2d_status call(bench *b, int first)
{
    return t2d_segment_batch(b->session, b->vocab, &b->images[first], b->plan->batch, &b->plan->options,
                             b->masks, NULL, b->err);
}

static t2d_status compare(bench *b, int first)
{
    for (int i = 0; i < b->plan->batch; i++) {
        const t2d_mask *alone = &b->alone[(first + i) % b->count];
        if (!t2d_masks_same(alone, &b->masks[i], "the same picture, alone and in the run", b->err))
            return unsound(b);
    }
    return T2D_OK;
}

/* `count` calls with the meter before the machine, into result->stages. */
static t2d_status call_metered(bench *b, int count)
{
    t2d_meter *meter;
    t2d_stages_release(&b->result->stages);
    t2d_status status = t2d_meter_open(b->session, &b->result->stages, &meter, b->err);
    for (int i = 0; status == T2D_OK && i < count; i++) {
        const double start = t2d_clock();
        status = call(b, i % b->count);
        const double seconds = t2d_clock() - start;
        if (status == T2D_OK) status = compare(b, i % b->count);
        if (status == T2D_OK) status = t2d_meter_turn(meter, seconds, b->err);
    }
    t2d_meter_close(meter);
    return status;
}

/* ---- the check ---- */

static t2d_status check_alone(bench *b, int index)
{
    t2d_mask *mask = &b->alone[index];
    const t2d_status status =
        t2d_segment(b->session, b->vocab, &b->images[index], &b->plan->options, mask, NULL, b->err);
    if (status != T2D_OK) return status;
    return t2d_mask_sound(mask, b->err) ? T2D_OK : unsound(b);
}

static t2d_status check_twice(bench *b)
{
    t2d_mask *again = &b->masks[0];
    const t2d_status status =
        t2d_segment(b->session, b->vocab, &b->images[0], &b->plan->options, again, NULL, b->err);
    if (status != T2D_OK) return status;
    return t2d_masks_same(&b->alone[0], again, "the same picture twice", b->err) ? T2D_OK : unsound(b);
}

/* NaN would be a mask of zeros, found fast. */
static t2d_status check_scores(bench *b)
{
    const t2d_bench_plan *p = b->plan;
    const int labels = t2d_vocab_count(b->vocab) + (p->options.with_background ? 1 : 0);
    t2d_image image;
    t2d_mask mask = {0};
    float *scores = t2d_new((size_t)labels * SMALL * SMALL, sizeof *scores, "scores", b->err);
    t2d_status status = t2d_random_picture(SMALL, SMALL, p->seed, UINT64_MAX, &image, b->err);
    if (!scores) status = T2D_E_MEMORY;
    if (status == T2D_OK)
        status = t2d_segment(b->session, b->vocab, &image, &p->options, &mask, scores, b->err);
    if (status == T2D_OK && (!t2d_mask_sound(&mask, b->err) || !t2d_scores_sound(scores, &mask, b->err)))
        status = unsound(b);
    free(scores);
    t2d_mask_release(&mask);
    t2d_image_release(&image);
    return status;
}

static t2d_status check(bench *b)
{
    t2d_status status = check_scores(b);
    for (int i = 0; status == T2D_OK && i < b->count; i++) status = check_alone(b, i);
    if (status == T2D_OK) status = check_twice(b);
    if (status == T2D_OK && b->plan->batch > 1) status = call(b, 0);
    if (status == T2D_OK && b->plan->batch > 1) status = compare(b, 0);
    if (status == T2D_OK) status = call_metered(b, 1); /* counts the work */
    return status;
}

/* ---- the measurement ---- */

static t2d_status measure(bench *b, int first)
{
    t2d_range_push("call");
    const double cpu = t2d_cpu_clock(), start = t2d_clock();
    t2d_status status = call(b, first);
    const double seconds = t2d_clock() - start;
    t2d_range_pop();
    b->result->cpu_seconds += t2d_cpu_clock() - cpu;
    if (status == T2D_OK) status = compare(b, first);
    if (status == T2D_OK) status = t2d_samples_add(&b->result->samples, seconds, b->err);
    return status;
}

static t2d_status measure_all(bench *b)
{
    const t2d_bench_plan *p = b->plan;
    const t2d_samples *s = &b->result->samples;
    t2d_status status = T2D_OK;
    double counted = 0;
    for (int i = 0; status == T2D_OK && i < p->warmup; i++) status = call(b, i % b->count);
    t2d_machine_look(&b->result->machine, &b->result->before);
    while (status == T2D_OK && (p->iterations > 0 ? s->count < p->iterations : counted < p->seconds)) {
        status = measure(b, s->count % b->count);
        if (status == T2D_OK) counted += s->seconds[s->count - 1];
    }
    t2d_machine_look(&b->result->machine, &b->result->after);
    return status;
}

static t2d_status measure_ceilings(bench *b)
{
    const t2d_status status = t2d_ceiling_measure(b->session, &b->result->ceiling, b->err);
    return status == T2D_OK ? t2d_bandwidth_measure(b->session, &b->result->bandwidth, b->err) : status;
}

static int64_t peak_bytes(void)
{
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) == 0 ? (int64_t)use.ru_maxrss * 1024 : 0;
}

t2d_status t2d_bench_run(t2d_session *session, const t2d_vocab *vocab, const t2d_bench_plan *plan,
                         t2d_bench_result *result, t2d_error *err)
{
    bench b = {.session = session, .vocab = vocab, .plan = plan, .result = result, .err = err};
    *result = (t2d_bench_result){.load_before = -1};
    t2d_machine_open("", session->be->bus, &result->machine);
    if (getloadavg(&result->load_before, 1) != 1) result->load_before = -1;
    t2d_status status = prepare(&b);
    if (status == T2D_OK) status = check(&b); /* all that a run does has been done once */
    result->peak_bytes = peak_bytes();
    if (status == T2D_OK) status = measure_ceilings(&b);
    if (status == T2D_OK) status = measure_all(&b);
    if (status == T2D_OK && plan->stages) status = call_metered(&b, result->samples.count);
    if (status == T2D_OK) status = measure_ceilings(&b);
    release(&b);
    return status;
}

void t2d_bench_release(t2d_bench_result *result)
{
    t2d_samples_release(&result->samples);
    t2d_stages_release(&result->stages);
    t2d_machine_close(&result->machine);
}
