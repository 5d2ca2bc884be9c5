/* run.c — pictures through the engine, and what came of each into the results file.
 * Threads read pictures and labels ahead of the forward pass.  Pictures whose windows fill a pass of the
 * machine are segmented in one call; the counts do not depend on which travel together. */
#include "base/ahead.h"
#include "eval/eval.h"
#include "segment/segment.h"

#include <assert.h>
#include <stdlib.h>

enum {
    AHEAD = 2, /* pictures that wait beside those in use and those being read */
    MOST = 64  /* together */
};

typedef struct state {
    const t2d_eval_run *run;
    t2d_ahead *ahead;
    int64_t from; /* the first picture that is not yet counted */
    t2d_counter counter;
    int most, windows;       /* pictures together; windows of a pass (0: they do not matter) */
    t2d_sample *batch[MOST]; /* [count] */
    int count;
    int64_t settled;  /* items before the batch */
    t2d_sample *held; /* taken, and of the next batch */
    double waited;
    t2d_image images[MOST]; /* of the batch, those that could be read */
    t2d_mask masks[MOST];
    uint16_t *ids[MOST]; /* of the masks; they grow */
    size_t room[MOST];
} state;

static int64_t picture_of(const state *s, int64_t item) { return s->from + item * s->run->step; }

/* In a reading thread. */
static void read_sample(void *context, int64_t item, void *slot)
{
    const state *s = context;
    t2d_sample_read(s->run->listing, picture_of(s, item), slot);
}

static void release_sample(void *slot) { t2d_sample_release(slot); }

/* ---- which pictures travel together ---- */

static int windows_of(const state *s, const t2d_image *picture)
{
    return t2d_windows_of(s->run->options, picture->width, picture->height, NULL, NULL);
}

/* The machine's failures end a run; a file's failure is one of those that may be passed over. */
static bool may_pass(const state *s, const t2d_sample *sample, int64_t failed)
{
    return sample->status != T2D_E_MEMORY && s->run->tally->failed + failed < s->run->most_failures;
}

/* The next pictures whose windows fit into a pass, at least one; the last may be the one that ends the run.
 */
static void gather(state *s)
{
    int windows = 0;
    int64_t failed = 0;
    const double start = t2d_clock();
    for (s->count = 0; s->count < s->most;) {
        t2d_sample *sample = s->held ? s->held : t2d_ahead_take(s->ahead);
        s->held = NULL;
        if (!sample) break;
        const int more = sample->status == T2D_OK ? windows_of(s, &sample->picture) : 0;
        if (s->windows > 0 && windows > 0 && windows + more > s->windows) {
            s->held = sample;
            break;
        }
        s->batch[s->count++] = sample;
        if (sample->status && !may_pass(s, sample, failed++)) break;
        windows += more;
    }
    s->waited = t2d_clock() - start;
}

/* ---- from pictures to records ---- */

static t2d_status prepare_mask(state *s, int index, const t2d_image *picture, t2d_error *err)
{
    const size_t pixels = (size_t)picture->width * (size_t)picture->height;
    if (pixels > s->room[index]) {
        free(s->ids[index]);
        s->ids[index] = t2d_new(pixels, sizeof(uint16_t), "mask", err);
        s->room[index] = s->ids[index] ? pixels : 0;
        if (!s->ids[index]) return T2D_E_MEMORY;
    }
    s->images[index] = *picture;
    s->masks[index] = (t2d_mask){.width = picture->width, .height = picture->height, .ids = s->ids[index]};
    return T2D_OK;
}

/* All pictures of the batch that could be read, in one call; *seconds is each one's part. */
static t2d_status segment(state *s, double *seconds, t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    const double start = t2d_clock();
    t2d_status status = T2D_OK;
    int good = 0;
    for (int i = 0; status == T2D_OK && i < s->count; i++)
        if (s->batch[i]->status == T2D_OK) status = prepare_mask(s, good++, &s->batch[i]->picture, err);
    if (status == T2D_OK && good > 0)
        status =
            t2d_segment_batch(run->session, run->vocab, s->images, good, run->options, s->masks, NULL, err);
    *seconds = good > 0 ? (t2d_clock() - start) / good : 0;
    return status;
}

static t2d_status count(state *s, const t2d_sample *sample, const t2d_mask *mask, t2d_record *record,
                        t2d_error *err)
{
    const double start = t2d_clock();
    const t2d_status status = t2d_counter_count(&s->counter, &sample->truth, mask, err);
    record->width = mask->width;
    record->height = mask->height;
    record->file = sample->file;
    record->hash = sample->hash;
    record->ignored = s->counter.ignored;
    record->cells = s->counter.cells;
    record->cell_count = s->counter.count;
    record->seconds[T2D_STAGE_READ] = sample->seconds;
    record->seconds[T2D_STAGE_COUNT] = t2d_clock() - start;
    return status;
}

/* One picture of the batch into the results; mask: NULL where it could not be read. */
static t2d_status settle(state *s, int index, const t2d_mask *mask, double seconds, bool *go_on,
                         t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    const t2d_sample *sample = s->batch[index];
    const int64_t picture = picture_of(s, s->settled + index);
    t2d_error name; /* a file name may be no UTF-8; a results file is */
    t2d_fail(&name, T2D_OK, "%s", run->listing->stems[picture]);
    t2d_record record = {.picture = picture, .name = name.message};
    t2d_status status = T2D_OK;
    if (sample->status && !may_pass(s, sample, 0)) {
        *err = sample->err;
        return sample->status;
    }
    if (sample->status)
        record.failed = sample->err.message;
    else if ((status = count(s, sample, mask, &record, err)) != T2D_OK)
        return t2d_fail_in(err, name.message);
    record.seconds[T2D_STAGE_WAIT] = s->waited / s->count;
    record.seconds[T2D_STAGE_SEGMENT] = seconds;
    status = t2d_results_append(run->results, &record, err);
    if (status) return status;
    t2d_tally_add(run->tally, &record);
    *go_on = run->watch(run->context, record.failed) && *go_on;
    return T2D_OK;
}

static t2d_status settle_all(state *s, bool *go_on, t2d_error *err)
{
    double seconds;
    int good = 0;
    t2d_status status = segment(s, &seconds, err);
    for (int i = 0; status == T2D_OK && i < s->count; i++)
        status = settle(s, i, s->batch[i]->status ? NULL : &s->masks[good++], seconds, go_on, err);
    return status;
}

static t2d_status walk(state *s, t2d_error *err)
{
    t2d_status status = T2D_OK;
    for (bool go_on = true; status == T2D_OK && go_on;) {
        gather(s);
        if (s->count == 0) break;
        status = settle_all(s, &go_on, err);
        for (int i = 0; i < s->count; i++) {
            t2d_sample_release(s->batch[i]);
            t2d_ahead_give_back(s->ahead);
        }
        s->settled += s->count;
    }
    return status;
}

/* ---- the whole ---- */

static void plan(state *s)
{
    const t2d_eval_run *run = s->run;
    const int patch = s->run->session->engine->model.config.vision.patch, grid = run->options->size / patch;
    const int tokens = t2d_prefix_tokens(run->session->engine) + grid * grid;
    const int windows = t2d_session_tokens(run->session, NULL) / tokens;
    s->windows = run->together > 0 ? 0 : windows > 1 ? windows : 1;
    s->most = run->together > 0 ? run->together : s->windows;
    s->most = s->most < MOST ? s->most : MOST;
}

t2d_status t2d_eval(const t2d_eval_run *run, t2d_error *err)
{
    const int64_t share = t2d_share_count(run->listing->count, run->first, run->step);
    const int64_t done = run->tally->pictures + run->tally->failed;
    assert(done <= share && run->readers > 0);
    if (done == share) return T2D_OK;
    state s = {.run = run, .from = run->first + done * run->step};
    plan(&s);
    t2d_status status = t2d_counter_init(&s.counter, run->tally->labels, err);
    if (status == T2D_OK)
        status = t2d_ahead_start(&s.ahead, share - done, run->readers, s.most + run->readers + AHEAD,
                                 sizeof(t2d_sample), read_sample, &s, err);
    if (status == T2D_OK) status = walk(&s, err);
    t2d_ahead_stop(s.ahead, release_sample);
    t2d_counter_release(&s.counter);
    for (int i = 0; i < MOST; i++) free(s.ids[i]);
    return status;
}
