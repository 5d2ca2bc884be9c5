/* run.c — pictures through the engine, and what came of each into the results file.
 *
 * Three stages run beside each other: threads read pictures and labels, one thread segments, the caller's
 * counts and writes.  Pictures whose windows fill a pass of the machine are segmented in one call.  Every
 * stage hands on in the order of the listing and is never more than a few pictures or passes ahead, so
 * neither the counts nor the memory depend on how fast any of them is.
 *
 * A machine whose memory is its own counts the pixels there, for the table is smaller than the labels; where
 * labels are the host's already, the host counts them, beside the next pass.  The integers are the same. */
#include "base/ahead.h"
#include "eval/eval.h"
#include "segment/segment.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    AHEAD = 2,  /* pictures that wait beside those in use and those being read */
    PASSES = 2, /* one is segmented while the one before it is counted */
    MOST = 64   /* pictures of a pass */
};

/* A picture as it was read. */
typedef struct page {
    t2d_sample sample;
    uint8_t *truth; /* [height, width], where the machine counts; UNCOUNTED for what does not count */
} page;
#define UNCOUNTED ((uint8_t)UINT8_MAX)

/* Pictures that are segmented in one call. */
typedef struct pass {
    page *pages[MOST]; /* [count]; none: there are no more pictures */
    int count;
    int64_t first;          /* its first item */
    bool too_many;          /* the last one could not be read, and ends the run */
    void *found[MOST];      /* of those that could be read: labels [height, width], or the machine's table */
    double waited, seconds; /* before the pass; every picture's part of it */
    t2d_status status;      /* of the segmentation */
    t2d_error err;
} pass;

/* Host memory that grows and stays. */
typedef struct block {
    void *data;
    size_t bytes;
} block;

typedef struct state {
    const t2d_eval_run *run;
    t2d_ahead *pages, *passes;
    int64_t from;       /* the first picture that is not yet counted */
    int most, windows;  /* of a pass: pictures; windows (0: they do not matter) */
    bool by_machine;    /* who counts */
    atomic_bool failed; /* nothing more is to be segmented */
    /* the segmenting thread's */
    int64_t taken;          /* items */
    int64_t unread;         /* pictures that could not be read, with those of earlier runs */
    page *held;             /* taken, and of the next pass */
    bool ended;             /* no pass follows */
    double idle;            /* since then */
    t2d_image images[MOST]; /* of the pass, those that could be read; and what is wanted of them */
    t2d_mask masks[MOST];
    t2d_counting countings[MOST];
    block kept[PASSES][MOST]; /* what was found */
    /* the counting thread's */
    t2d_counter counter;
} state;

static int64_t picture_of(const state *s, int64_t item) { return s->from + item * s->run->step; }

/* ---- reading: in several threads ---- */

/* A byte for each pixel is all that a machine needs to know. */
static t2d_status shrink_truth(page *p)
{
    const t2d_labels *truth = &p->sample.truth;
    const size_t pixels = (size_t)truth->width * (size_t)truth->height;
    p->truth = t2d_new(pixels, 1, "labels", &p->sample.err);
    if (!p->truth) return T2D_E_MEMORY;
    for (size_t i = 0; i < pixels; i++)
        p->truth[i] = truth->values[i] < UNCOUNTED ? (uint8_t)truth->values[i] : UNCOUNTED;
    return T2D_OK;
}

static void read_page(void *context, int64_t item, void *slot)
{
    const state *s = context;
    page *p = slot;
    p->truth = NULL;
    t2d_sample_read(s->run->listing, picture_of(s, item), &p->sample);
    if (s->by_machine && p->sample.status == T2D_OK) p->sample.status = shrink_truth(p);
}

static void release_page(void *slot)
{
    page *p = slot;
    t2d_sample_release(&p->sample);
    free(p->truth);
}

/* ---- segmenting: in one thread ---- */

static int windows_of(const state *s, const t2d_image *picture)
{
    return t2d_windows_of(s->run->options, picture->width, picture->height, NULL, NULL);
}

/* The machine's failures end a run; a file's failure is one of those that may be passed over. */
static bool may_pass(state *s, const t2d_sample *sample)
{
    return sample->status != T2D_E_MEMORY && s->unread++ < s->run->most_failures;
}

/* The next pictures whose windows fit into a pass, at least one; the last may be the one that ends the run.
 */
static void gather(state *s, pass *p)
{
    int windows = 0;
    while (p->count < s->most && !s->ended) {
        page *next = s->held ? s->held : t2d_ahead_take(s->pages);
        s->held = NULL;
        if (!next) break;
        const bool good = next->sample.status == T2D_OK;
        const int more = good ? windows_of(s, &next->sample.picture) : 0;
        if (s->windows > 0 && windows > 0 && windows + more > s->windows) {
            s->held = next;
            break;
        }
        p->pages[p->count++] = next;
        windows += more;
        if (!good) s->ended = p->too_many = !may_pass(s, &next->sample);
    }
    s->taken += p->count;
}

static void *reserve(block *b, size_t bytes, t2d_error *err)
{
    if (bytes > b->bytes) {
        free(b->data);
        b->data = t2d_new(bytes, 1, "what was found", err);
        b->bytes = b->data ? bytes : 0;
    }
    return b->data;
}

/* Picture number `index` of those that could be read. */
static t2d_status prepare(state *s, pass *p, const page *from, int index, block *kept)
{
    const t2d_image *picture = &from->sample.picture;
    const size_t pixels = (size_t)picture->width * (size_t)picture->height;
    const size_t labels = (size_t)s->run->tally->labels;
    const size_t bytes = s->by_machine ? labels * labels * sizeof(uint32_t) : pixels * sizeof(uint16_t);
    void *found = reserve(kept, bytes, &p->err);
    s->images[index] = *picture;
    s->masks[index] = (t2d_mask){.width = picture->width, .height = picture->height, .ids = found};
    s->countings[index] = (t2d_counting){from->truth, found};
    p->found[index] = found;
    return found ? T2D_OK : T2D_E_MEMORY;
}

/* All pictures of the pass that could be read, in one call. */
static void segment(state *s, pass *p, block *kept)
{
    const t2d_eval_run *run = s->run;
    const double start = t2d_clock();
    int good = 0;
    for (int i = 0; p->status == T2D_OK && i < p->count; i++)
        if (p->pages[i]->sample.status == T2D_OK) {
            p->status = prepare(s, p, p->pages[i], good, &kept[good]);
            good++;
        }
    if (p->status == T2D_OK && good > 0)
        p->status = s->by_machine ? t2d_segment_count(run->session, run->vocab, s->images, good, run->options,
                                                      s->countings, &p->err)
                                  : t2d_segment_batch(run->session, run->vocab, s->images, good, run->options,
                                                      s->masks, NULL, &p->err);
    p->seconds = good > 0 ? (t2d_clock() - start) / good : 0;
    s->ended = s->ended || p->status;
}

static void make_pass(void *context, int64_t item, void *slot)
{
    state *s = context;
    pass *p = slot;
    *p = (pass){.first = s->taken};
    s->ended = s->ended || atomic_load(&s->failed) || s->run->stopped(s->run->context);
    gather(s, p);
    p->waited = t2d_clock() - s->idle;
    if (p->count > 0 && !atomic_load(&s->failed)) segment(s, p, s->kept[item % PASSES]);
    s->idle = t2d_clock();
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

/* One picture of the pass into the results; found: NULL where it could not be read. */
static t2d_status settle(state *s, const pass *p, int index, void *found, t2d_error *err)
{
    const t2d_eval_run *run = s->run;
    const t2d_sample *sample = &p->pages[index]->sample;
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
    else if ((status = count(s, sample, found, &record, err)) != T2D_OK)
        return t2d_fail_in(err, name.message);
    record.seconds[T2D_STAGE_WAIT] = p->waited / p->count;
    record.seconds[T2D_STAGE_SEGMENT] = p->seconds;
    status = t2d_results_append(run->results, &record, err);
    if (status) return status;
    t2d_tally_add(run->tally, &record);
    run->watch(run->context, record.failed);
    return T2D_OK;
}

static t2d_status settle_pass(state *s, const pass *p, t2d_error *err)
{
    int good = 0;
    t2d_status status = p->status;
    if (status) *err = p->err;
    for (int i = 0; status == T2D_OK && i < p->count; i++)
        status = settle(s, p, i, p->pages[i]->sample.status ? NULL : p->found[good++], err);
    for (int i = 0; i < p->count; i++) {
        release_page(p->pages[i]);
        t2d_ahead_give_back(s->pages);
    }
    return status;
}

/* To the end of the passes, or to the first that goes wrong. */
static t2d_status walk(state *s, t2d_error *err)
{
    t2d_status status = T2D_OK;
    for (pass *p; status == T2D_OK && (p = t2d_ahead_take(s->passes))->count > 0;) {
        status = settle_pass(s, p, err);
        t2d_ahead_give_back(s->passes);
    }
    atomic_store(&s->failed, true);
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
    const int patch = s->run->session->engine->model.config.vision.patch, grid = run->options->size / patch;
    const int tokens = t2d_prefix_tokens(run->session->engine) + grid * grid;
    const int windows = t2d_session_tokens(run->session, NULL) / tokens;
    s->windows = run->together > 0 ? 0 : windows > 1 ? windows : 1;
    s->most = run->together > 0 ? run->together : s->windows;
    s->most = s->most < MOST ? s->most : MOST;
    return T2D_OK;
}

static t2d_status start(state *s, int64_t pictures, t2d_error *err)
{
    const int depth = PASSES * s->most + s->run->readers + AHEAD;
    t2d_status status =
        t2d_ahead_start(&s->pages, pictures, s->run->readers, depth, sizeof(page), read_page, s, err);
    s->idle = t2d_clock();
    if (status == T2D_OK) /* an empty one ends them */
        status = t2d_ahead_start(&s->passes, pictures + 1, 1, PASSES, sizeof(pass), make_pass, s, err);
    return status;
}

t2d_status t2d_eval(const t2d_eval_run *run, t2d_error *err)
{
    const int64_t share = t2d_share_count(run->listing->count, run->first, run->step);
    const int64_t done = run->tally->pictures + run->tally->failed;
    assert(done <= share && run->readers > 0);
    if (done == share) return T2D_OK;
    state s = {.run = run, .from = run->first + done * run->step, .unread = run->tally->failed};
    t2d_status status = plan(&s, err);
    if (status == T2D_OK) status = t2d_counter_init(&s.counter, run->tally->labels, err);
    if (status == T2D_OK) status = start(&s, share - done, err);
    if (status == T2D_OK) status = walk(&s, err);
    t2d_ahead_stop(s.passes, NULL);
    t2d_ahead_stop(s.pages, release_page);
    t2d_counter_release(&s.counter);
    for (int i = 0; i < PASSES * MOST; i++) free(s.kept[i / MOST][i % MOST].data);
    return status;
}
