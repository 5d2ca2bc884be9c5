/* run.c — pictures through the engine, and what came of each into the results file.
 *
 * Three stages run beside each other (segment/passes.h): threads read pictures and labels, one thread
 * segments, the caller's counts and writes, so that neither the counts nor the memory depend on how fast any
 * of them is.
 *
 * A machine whose memory is its own counts the pixels there, for the table is smaller than the labels; where
 * labels are the host's already, the host counts them, beside the next pass.  The integers are the same. */
#include "eval/eval.h"
#include "segment/passes.h"

#include <assert.h>
#include <stdlib.h>

/* A picture as it was read. */
typedef struct page {
    t2d_page page; /* first: t2d_passes hands this on; its truth has UNCOUNTED for what does not count */
    t2d_sample sample;
} page;
#define UNCOUNTED ((uint8_t)UINT8_MAX)

typedef struct state {
    const t2d_eval_run *run;
    t2d_passes *passes;
    int64_t from, share; /* the first picture that is not yet counted; how many are not */
    bool by_machine;     /* who counts */
    int64_t unread; /* the segmenting thread's: pictures that could not be read, with those of earlier runs */
    t2d_counter counter; /* the counting thread's */
} state;

static int64_t picture_of(const state *s, int64_t item) { return s->from + item * s->run->step; }

/* ---- reading: in several threads ---- */

/* A byte for each pixel is all that a machine needs to know. */
static t2d_status shrink_truth(page *p)
{
    const t2d_labels *truth = &p->sample.truth;
    const size_t pixels = (size_t)truth->width * (size_t)truth->height;
    p->page.truth = t2d_new(pixels, 1, "labels", &p->sample.err);
    if (!p->page.truth) return T2D_E_MEMORY;
    for (size_t i = 0; i < pixels; i++)
        p->page.truth[i] = truth->values[i] < UNCOUNTED ? (uint8_t)truth->values[i] : UNCOUNTED;
    return T2D_OK;
}

static bool begin_page(void *context, int64_t item, void *slot)
{
    const state *s = context;
    (void)slot;
    return item < s->share;
}

static void read_page(void *context, int64_t item, void *slot)
{
    const state *s = context;
    page *p = slot;
    p->page = (t2d_page){0};
    t2d_sample_read(s->run->listing, picture_of(s, item), &p->sample);
    if (s->by_machine && p->sample.status == T2D_OK) p->sample.status = shrink_truth(p);
    p->page.status = p->sample.status;
    if (p->page.status == T2D_OK) p->page.image = p->sample.picture;
}

static void release_page(void *slot)
{
    page *p = slot;
    t2d_sample_release(&p->sample);
    free(p->page.truth);
}

/* The machine's failures end a run; a file's failure is one of those that may be passed over. */
static bool passes_over(void *context, int64_t item, const t2d_page *p)
{
    state *s = context;
    (void)item;
    return p->status != T2D_E_MEMORY && s->unread++ < s->run->most_failures;
}

static bool is_stopped(void *context)
{
    const state *s = context;
    return s->run->stopped(s->run->context);
}

/* ---- counting: in the caller's thread ---- */

static t2d_status count(state *s, const t2d_sample *sample, void *found, t2d_record *record, t2d_error *err)
{
    const double start = t2d_clock();
    const t2d_image *picture = &sample->picture;
    const t2d_mask mask = {picture->width, picture->height, s->counter.labels, found};
    const t2d_status status =
        s->by_machine ? t2d_counter_read(&s->counter, found, (int64_t)mask.width * mask.height, err)
                      : t2d_counter_count(&s->counter, &sample->truth, &mask, err);
    record->width = mask.width;
    record->height = mask.height;
    record->file = sample->file;
    record->hash = sample->hash;
    record->ignored = s->counter.ignored;
    record->cells = s->counter.cells;
    record->cell_count = s->counter.count;
    record->seconds[T2D_STAGE_READ] = sample->seconds;
    record->seconds[T2D_STAGE_COUNT] = t2d_clock() - start;
    return status;
}

/* One picture of the pass into the results. */
static t2d_status settle(state *s, const t2d_pass *p, int index, t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    const page *at = (const page *)p->pages[index];
    const t2d_sample *sample = &at->sample;
    const int64_t picture = picture_of(s, p->first + index);
    t2d_error name; /* a file name may be no UTF-8; a results file is */
    t2d_fail(&name, T2D_OK, "%s", run->listing->stems[picture]);
    t2d_record record = {.picture = picture, .name = name.message};
    t2d_status status = T2D_OK;
    if (p->too_many && index == p->count - 1) {
        *err = sample->err;
        return sample->status;
    }
    if (sample->status)
        record.failed = sample->err.message;
    else if ((status = count(s, sample, at->page.found, &record, err)) != T2D_OK)
        return t2d_fail_in(err, name.message);
    record.seconds[T2D_STAGE_WAIT] = p->waited / p->count;
    record.seconds[T2D_STAGE_SEGMENT] = p->seconds;
    status = t2d_results_append(run->results, &record, err);
    if (status) return status;
    t2d_tally_add(run->tally, &record);
    run->watch(run->context, record.failed);
    return T2D_OK;
}

/* To the end of the passes, or to the first that goes wrong. */
static t2d_status walk(state *s, t2d_error *err)
{
    t2d_status status = T2D_OK;
    for (const t2d_pass *p; status == T2D_OK && (p = t2d_passes_take(s->passes));) {
        status = p->status;
        if (status) *err = p->err;
        for (int i = 0; status == T2D_OK && i < p->count; i++) status = settle(s, p, i, err);
        t2d_passes_give_back(s->passes, p);
    }
    return status;
}

/* ---- the whole ---- */

static t2d_status plan(state *s, t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    const int labels = run->tally->labels;
    if (run->counting == T2D_COUNT_MACHINE && labels > T2D_MOST_COUNTED)
        return t2d_fail(err, T2D_E_ARGUMENT, "%d labels are counted by the host; a machine counts up to %d",
                        labels, T2D_MOST_COUNTED);
    s->by_machine =
        run->counting == T2D_COUNT_MACHINE ||
        (run->counting == T2D_COUNT_AUTO && run->session->be->apart && labels <= T2D_MOST_COUNTED);
    return T2D_OK;
}

static t2d_status start(state *s, t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    const t2d_passes_job job = {.session = run->session,
                                .vocab = run->vocab,
                                .options = run->options,
                                .counted = s->by_machine ? run->tally->labels : 0,
                                .readers = run->readers,
                                .together = run->together,
                                .page_bytes = sizeof(page),
                                .begin = begin_page,
                                .read = read_page,
                                .release = release_page,
                                .passes_over = passes_over,
                                .stopped = is_stopped,
                                .context = s};
    return t2d_passes_start(&s->passes, &job, err);
}

t2d_status t2d_eval(const t2d_eval_run *run, t2d_error *err)
{
    const int64_t share = t2d_share_count(run->listing->count, run->first, run->step);
    const int64_t done = run->tally->pictures + run->tally->failed;
    assert(done <= share && run->readers > 0);
    if (done == share) return T2D_OK;
    state s = {.run = run,
               .from = run->first + done * run->step,
               .share = share - done,
               .unread = run->tally->failed};
    t2d_status status = plan(&s, err);
    if (status == T2D_OK) status = t2d_counter_init(&s.counter, run->tally->labels, err);
    if (status == T2D_OK) status = start(&s, err);
    if (status == T2D_OK) status = walk(&s, err);
    t2d_passes_stop(s.passes);
    t2d_counter_release(&s.counter);
    return status;
}
