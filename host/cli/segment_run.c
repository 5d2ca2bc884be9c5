/* segment_run.c — pictures found, read, segmented, written and told of, each by threads of its own and all in
 * the order of the source, so that neither results nor memory depend on how fast any of them is. */
#include "base/ahead.h"
#include "cli/segment_job.h"
#include "io/io.h"
#include "segment/passes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WRITERS = 4,
    SYNC_EVERY = 512, /* pictures */
    GRACE = 100       /* pictures before a share of failures means anything */
};

/* A picture on its way. */
typedef struct leaf {
    t2d_page page; /* first: t2d_passes hands this on */
    found_picture found;
    output_paths paths;
    t2d_npy_map scores;
    bool stands;     /* all its results are there already */
    bool unwritable; /* what failed is a result */
    t2d_error err;
} leaf;

/* A leaf whose results are written; the last of a pass gives the pass back. */
typedef struct written {
    leaf *leaf;
    const t2d_pass *pass;
    bool last;
    mask_report report;
    t2d_status status; /* of writing */
    t2d_error err;
} written;

typedef struct run {
    const segment_job *job;
    source *source;
    t2d_passes *passes;
    t2d_ahead *writing;
    t2d_syncer *syncer;
    atomic_bool failed; /* nothing more is to be segmented */
    int64_t bad;        /* the segmenting thread's, for the limit of failures */
    /* the writers', one at a time */
    const t2d_pass *pass;
    int at;
    /* the main thread's */
    int64_t done, segmented, stood, missed;
    int first_code;
    double start, shown;
    atomic_llong total; /* 0: not known */
} run;

static int labels_of(const segment_job *j)
{
    return t2d_vocab_count(j->vocab) + (j->options.with_background ? 1 : 0);
}

/* ---- reading: in several threads ---- */

static bool begin(void *context, int64_t number, void *page)
{
    run *r = context;
    leaf *l = page;
    (void)number;
    *l = (leaf){.scores.file = -1};
    return !atomic_load(&stopped) && source_next(r->source, &l->found);
}

static t2d_status open_scores(const segment_job *j, leaf *l)
{
    const int shape[3] = {labels_of(j), l->page.image.height, l->page.image.width};
    t2d_status status = j->out.many ? outputs_make_way(l->paths.scores, &l->err) : T2D_OK;
    if (status == T2D_OK) status = t2d_npy_map_open(&l->scores, l->paths.scores, shape, 3, &l->err);
    l->page.scores = l->scores.data;
    l->unwritable = status;
    return status;
}

static t2d_status read_leaf(const run *r, leaf *l)
{
    const segment_job *j = r->job;
    if (l->found.status) {
        l->err = l->found.err;
        return l->found.status;
    }
    t2d_status status = outputs_plan(&j->out, l->found.path, l->found.name, &l->paths, &l->err);
    if (status == T2D_OK && j->resume && outputs_stand(&l->paths)) {
        l->stands = true;
        return T2D_OK;
    }
    if (status == T2D_OK) status = t2d_image_read(l->found.path, 0, &l->page.image, &l->err);
    if (status == T2D_OK && l->paths.scores) status = open_scores(j, l);
    if (status) t2d_image_release(&l->page.image);
    return status;
}

static void read_page(void *context, int64_t number, void *page)
{
    leaf *l = page;
    (void)number;
    l->page.status = read_leaf(context, l);
}

static void release_page(void *page)
{
    leaf *l = page;
    t2d_image_release(&l->page.image);
    t2d_npy_map_abort(&l->scores);
    outputs_release(&l->paths);
    found_release(&l->found);
}

/* ---- segmenting: in one thread ---- */

/* The machine's failures end a run; a picture's are passed over, as many as may be. */
static bool passes_over(void *context, int64_t number, const t2d_page *page)
{
    run *r = context;
    const failure_limit *most = &r->job->most_failures;
    if (page->status == T2D_E_MEMORY || ((const leaf *)page)->unwritable) return false;
    r->bad++;
    if (most->number < 0) return true;
    if (!most->relative) return (double)r->bad <= most->number;
    return number < GRACE || (double)r->bad <= most->number / 100 * (double)(number + 1);
}

static bool is_stopped(void *context)
{
    const run *r = context;
    return atomic_load(&stopped) || atomic_load(&r->failed);
}

/* ---- writing: in several threads ---- */

/* The next leaf; a pass that failed stands for its first. */
static bool begin_writing(void *context, int64_t number, void *slot)
{
    run *r = context;
    (void)number;
    if (!r->pass) {
        r->pass = t2d_passes_take(r->passes);
        r->at = 0;
    }
    if (!r->pass) return false;
    written *w = slot;
    *w = (written){.leaf = (leaf *)r->pass->pages[r->at], .pass = r->pass};
    w->last = ++r->at == r->pass->count;
    if (w->last) r->pass = NULL;
    return true;
}

static t2d_status write_results(const run *r, const leaf *l, const t2d_mask *mask, t2d_npy_map *scores,
                                t2d_error *err)
{
    const segment_job *j = r->job;
    const bool many = j->out.many;
    const output_paths *p = &l->paths;
    t2d_status status = T2D_OK;
    if (many && p->overlay) status = outputs_make_way(p->overlay, err);
    if (many && status == T2D_OK) status = outputs_make_way(p->mask, err);
    if (status == T2D_OK && p->overlay)
        status =
            t2d_overlay_write_coloured(p->overlay, &l->page.image, mask, j->names, NULL, j->alpha, many, err);
    if (status == T2D_OK && p->scores) status = t2d_npy_map_commit(scores, err);
    if (status == T2D_OK) /* the mask comes last: where it stands, all of its picture's results stand */
        status = t2d_mask_write_later(p->mask, mask, many, err);
    return status;
}

static void write_leaf(void *context, int64_t number, void *slot)
{
    run *r = context;
    written *w = slot;
    leaf *l = w->leaf;
    (void)number;
    if (w->pass->status || !l->page.image.pixels || atomic_load(&r->failed)) return;
    const t2d_mask mask = {l->page.image.width, l->page.image.height, labels_of(r->job), l->page.found};
    w->status = mask_report_make(&mask, &w->report, &w->err);
    if (w->status == T2D_OK) w->status = write_results(r, l, &mask, &l->scores, &w->err);
    if (w->status) atomic_store(&r->failed, true);
}

/* ---- telling: in the main thread ---- */

static void show_progress(run *r)
{
    enum { PER_SECOND = 10 };
    const double now = t2d_clock();
    if (!r->job->out.many || (now - r->shown < 1.0 / PER_SECOND)) return;
    progress_rate(r->done, atomic_load(&r->total), r->segmented, r->start);
    r->shown = now;
}

static void miss(run *r, int code, const t2d_error *err)
{
    r->missed++;
    r->done++;
    complain(code, err);
    r->first_code = r->first_code == EXIT_GOOD ? code : r->first_code;
}

static int code_of_leaf(const leaf *l)
{
    if (l->unwritable) return code_of_output(l->page.status);
    return l->page.status == T2D_E_ARGUMENT ? EXIT_MISUSE : code_of_input(l->page.status);
}

/* T2D_OK, or why the run ends here. */
static t2d_status settle(run *r, const written *w, t2d_error *err)
{
    const leaf *l = w->leaf;
    const bool ends = w->pass->too_many && w->last;
    if (w->pass->status || w->status || ends) {
        *err = w->pass->status ? w->pass->err : w->status ? w->err : l->err;
        if (w->pass->status && w->pass->count == 1) t2d_fail_in(err, l->found.path);
        return err->status;
    }
    if (l->page.status) {
        miss(r, code_of_leaf(l), &l->err);
        return T2D_OK;
    }
    r->done++;
    if (l->stands) {
        r->stood++;
        return T2D_OK;
    }
    if (!w->report.shares) return T2D_OK; /* not written, for another could not be */
    r->segmented++;
    progress(0, 0, "");
    report_mask(l->found.path, &l->paths, &w->report, r->job->names, r->job->decided, w->pass->seconds);
    remark("%s: segmented in %.3f s", l->found.path, w->pass->seconds);
    if (r->syncer && r->segmented % SYNC_EVERY == 0) t2d_syncer_ask(r->syncer);
    return T2D_OK;
}

/* All that is written, to the end also where the run has failed: threads wait for what is given back. */
static t2d_status walk_through(run *r, t2d_error *err, int *code)
{
    t2d_status status = T2D_OK;
    for (written *w; (w = t2d_ahead_take(r->writing)); t2d_ahead_give_back(r->writing)) {
        if (status == T2D_OK) {
            status = settle(r, w, err);
            *code = status == T2D_OK  ? EXIT_GOOD
                    : w->pass->status ? code_of_engine(status)
                    : w->status       ? code_of_output(status)
                                      : code_of_leaf(w->leaf);
        }
        if (status) atomic_store(&r->failed, true);
        show_progress(r);
        free(w->report.shares);
        if (w->last) t2d_passes_give_back(r->passes, w->pass);
    }
    progress(0, 0, "");
    return status;
}

/* ---- the number of pictures, for the time that is left ---- */

static void *count_pictures(void *context)
{
    run *r = context;
    source *s;
    long long count = 0;
    const left_out *out = &r->job->apart;
    found_picture found;
    if (source_open(&r->job->from, out, &s) == EXIT_GOOD)
        while (!is_stopped(r) && source_next(s, &found)) {
            count++;
            found_release(&found);
        }
    source_close(s);
    if (!is_stopped(r)) atomic_store(&r->total, count);
    return NULL;
}

/* Whether the source can be gone through twice, and somebody watches. */
static bool is_counted(const segment_job *j)
{
    return j->out.many && !common.quiet && !common.json && isatty(STDERR_FILENO) &&
           !(j->from.list && (strcmp(j->from.list, "-") == 0 || strncmp(j->from.list, "/dev/", 5) == 0));
}

/* ---- the whole ---- */

static t2d_status start(run *r, t2d_error *err)
{
    const segment_job *j = r->job;
    const t2d_passes_job passes = {.session = j->session,
                                   .vocab = j->vocab,
                                   .options = &j->options,
                                   .readers = j->out.many ? j->readers : 1,
                                   .together = j->out.scores ? 1 : j->together,
                                   .page_bytes = sizeof(leaf),
                                   .begin = begin,
                                   .read = read_page,
                                   .release = release_page,
                                   .passes_over = passes_over,
                                   .stopped = is_stopped,
                                   .context = r};
    const char *folders[2];
    int count = 0;
    if (j->out.many) folders[count++] = j->out.mask ? j->out.mask : ".";
    if (j->out.many && j->out.overlay) folders[count++] = j->out.overlay;
    t2d_status status = count ? t2d_syncer_start(&r->syncer, folders, count, err) : T2D_OK;
    if (status == T2D_OK) status = t2d_passes_start(&r->passes, &passes, err);
    if (status == T2D_OK)
        status = t2d_ahead_stream(&r->writing, WRITERS, 2 * WRITERS, sizeof(written), begin_writing,
                                  write_leaf, r, err);
    return status;
}

/* What is kept, and how to go on. */
static int explain(const run *r, int code, const t2d_error *err)
{
    const char *why = code == EXIT_GOOD ? "stopped" : err->message;
    if (!r->job->out.many) return complain_text(code == EXIT_GOOD ? EXIT_FAILED : code, "%s", why);
    return complain_text(
        code == EXIT_GOOD ? EXIT_FAILED : code,
        "%s: %lld pictures are segmented and stay; the same command with --resume goes on from "
        "there",
        why, (long long)(r->segmented + r->stood));
}

static int conclude(const run *r)
{
    if (r->job->out.many && !common.quiet && (r->stood > 0 || source_is_stream(&r->job->from)))
        fprintf(stderr, "t2d: %lld pictures segmented, %lld passed over (their results stand), %lld failed\n",
                (long long)r->segmented, (long long)r->stood, (long long)r->missed);
    if (r->missed > 0 && r->job->out.many)
        complain_text(EXIT_SOME, "%lld of %lld pictures failed", (long long)r->missed, (long long)r->done);
    return r->missed > 0 && r->missed < r->done ? EXIT_SOME : r->first_code;
}

int segment_all(const segment_job *job)
{
    run r = {.job = job, .start = t2d_clock(), .shown = t2d_clock()};
    t2d_error err, late;
    pthread_t counter;
    int code = source_open(&job->from, &job->apart, &r.source);
    if (code != EXIT_GOOD) {
        source_close(r.source);
        return code;
    }
    catch_signals();
    const bool counted = is_counted(job) && pthread_create(&counter, NULL, count_pictures, &r) == 0;
    t2d_status status = start(&r, &err);
    code = code_of_engine(status);
    if (status == T2D_OK) status = walk_through(&r, &err, &code);
    atomic_store(&r.failed, true);
    t2d_ahead_stop(r.writing, NULL);
    t2d_passes_stop(r.passes);
    if (counted) pthread_join(counter, NULL);
    source_close(r.source);
    const t2d_status synced = t2d_syncer_finish(r.syncer, &late);
    if (status || atomic_load(&stopped)) return explain(&r, status ? code : EXIT_GOOD, &err);
    if (synced) return complain(code_of_output(synced), &late);
    return conclude(&r);
}
