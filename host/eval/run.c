/* run.c — pictures through the engine, one after the other, and what came of each into the results file.
 * Threads read pictures and labels ahead of the forward pass.  Segmentation is behind one function, so that
 * windows of several pictures may share a batch one day; the counts do not depend on it. */
#include "base/ahead.h"
#include "eval/eval.h"

#include <assert.h>
#include <stdlib.h>

enum { AHEAD = 2 }; /* pictures that wait beside those being read */

typedef struct state {
    const t2d_eval_run *run;
    int64_t from; /* the first picture that is not yet counted */
    t2d_counter counter;
    uint16_t *ids; /* of the mask; grows */
    size_t room;
} state;

static int64_t picture_of(const state *s, int64_t item) { return s->from + item * s->run->step; }

/* In a reading thread. */
static void read_sample(void *context, int64_t item, void *slot)
{
    const state *s = context;
    t2d_sample_read(s->run->listing, picture_of(s, item), slot);
}

static void release_sample(void *slot) { t2d_sample_release(slot); }

static t2d_status segment(state *s, const t2d_image *picture, t2d_mask *mask, t2d_error *err)
{
    const size_t pixels = (size_t)picture->width * (size_t)picture->height;
    if (pixels > s->room) {
        free(s->ids);
        s->ids = t2d_new(pixels, sizeof *s->ids, "mask", err);
        s->room = s->ids ? pixels : 0;
        if (!s->ids) return T2D_E_MEMORY;
    }
    *mask = (t2d_mask){.width = picture->width, .height = picture->height, .ids = s->ids};
    return t2d_segment(s->run->session, s->run->vocab, picture, s->run->options, mask, NULL, err);
}

static t2d_status count(state *s, const t2d_sample *sample, t2d_record *record, t2d_error *err)
{
    t2d_mask mask;
    const double start = t2d_clock();
    t2d_status status = segment(s, &sample->picture, &mask, err);
    const double segmented = t2d_clock();
    if (status == T2D_OK) status = t2d_counter_count(&s->counter, &sample->truth, &mask, err);
    record->width = mask.width;
    record->height = mask.height;
    record->file = sample->file;
    record->hash = sample->hash;
    record->ignored = s->counter.ignored;
    record->cells = s->counter.cells;
    record->cell_count = s->counter.count;
    record->seconds[T2D_STAGE_READ] = sample->seconds;
    record->seconds[T2D_STAGE_SEGMENT] = segmented - start;
    record->seconds[T2D_STAGE_COUNT] = t2d_clock() - segmented;
    return status;
}

/* The machine's failures end a run; a file's failure is one of those that may be passed over. */
static bool may_pass(const state *s, const t2d_sample *sample)
{
    return sample->status != T2D_E_MEMORY && s->run->tally->failed < s->run->most_failures;
}

/* One picture, read and waited for, into the results; *go_on is what the watcher says. */
static t2d_status settle(state *s, int64_t picture, const t2d_sample *sample, double waited, bool *go_on,
                         t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    t2d_error name; /* a file name may be no UTF-8; a results file is */
    t2d_fail(&name, T2D_OK, "%s", run->listing->stems[picture]);
    t2d_record record = {.picture = picture, .name = name.message};
    t2d_status status = T2D_OK;
    if (sample->status && !may_pass(s, sample)) {
        *err = sample->err;
        return sample->status;
    }
    if (sample->status)
        record.failed = sample->err.message;
    else if ((status = count(s, sample, &record, err)) != T2D_OK)
        return t2d_fail_in(err, name.message);
    record.seconds[T2D_STAGE_WAIT] = waited;
    status = t2d_results_append(run->results, &record, err);
    if (status) return status;
    t2d_tally_add(run->tally, &record);
    *go_on = run->watch(run->context, record.failed);
    return T2D_OK;
}

static t2d_status walk(state *s, t2d_ahead *ahead, t2d_error *err)
{
    t2d_status status = T2D_OK;
    bool go_on = true;
    for (int64_t item = 0; status == T2D_OK && go_on; item++) {
        const double start = t2d_clock();
        t2d_sample *sample = t2d_ahead_take(ahead);
        if (!sample) break;
        status = settle(s, picture_of(s, item), sample, t2d_clock() - start, &go_on, err);
        t2d_sample_release(sample);
        t2d_ahead_give_back(ahead);
    }
    return status;
}

t2d_status t2d_eval(const t2d_eval_run *run, t2d_error *err)
{
    const int64_t share = t2d_share_count(run->listing->count, run->first, run->step);
    const int64_t done = run->tally->pictures + run->tally->failed;
    assert(done <= share && run->readers > 0);
    if (done == share) return T2D_OK;
    state s = {.run = run, .from = run->first + done * run->step};
    t2d_ahead *ahead = NULL;
    t2d_status status = t2d_counter_init(&s.counter, run->tally->labels, err);
    if (status == T2D_OK)
        status = t2d_ahead_start(&ahead, share - done, run->readers, run->readers + AHEAD, sizeof(t2d_sample),
                                 read_sample, &s, err);
    if (status == T2D_OK) status = walk(&s, ahead, err);
    t2d_ahead_stop(ahead, release_sample);
    t2d_counter_release(&s.counter);
    free(s.ids);
    return status;
}
