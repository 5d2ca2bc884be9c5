/* eval_count.c — counting pictures, watched: progress, failures, signals, ranks.  What was counted is in the
 * results file whatever happens, so that every ending but the good one says how to go on. */
#include "cli/eval_job.h"
#include "cli/gather.h"
#include "cli/many.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- progress ---- */

enum { EVERY = 10 }; /* seconds between two lines of JSON */

typedef struct watcher {
    const t2d_tally *tally;
    int64_t total, before; /* pictures of this process; of them, counted by an earlier run */
    double start, told;
    bool silent;
} watcher;

static void tell(watcher *w, bool last)
{
    const double now = t2d_clock();
    const int64_t done = w->tally->pictures + w->tally->failed;
    const double per_second = (double)(done - w->before) / (now - w->start);
    const double left = (double)(w->total - done) / per_second;
    if (w->silent || common.quiet) return;
    if (isatty(STDERR_FILENO)) {
        if (last)
            progress(done, w->total, "");
        else
            progress_rate(done, w->total, done - w->before, w->start);
    } else if (last || now - w->told >= EVERY) {
        fprintf(stderr,
                "{\"done\":%lld,\"total\":%lld,\"failed\":%lld,\"per_second\":%.4g,\"seconds_left\":%.0f}\n",
                (long long)done, (long long)w->total, (long long)w->tally->failed, per_second, left);
        w->told = now;
    }
}

static void watch(void *context, const char *failed)
{
    watcher *w = context;
    if (failed) complain_text(EXIT_SOME, "%s", failed);
    const bool done = w->tally->pictures + w->tally->failed >= w->total;
    tell(w, done || atomic_load(&stopped));
}

static bool is_stopped(void *context)
{
    (void)context;
    return atomic_load(&stopped);
}

/* ---- counting ---- */

/* How the run ended that did not come through. */
static int explain(const eval_job *job, const t2d_tally *tally, t2d_status status, const t2d_error *err)
{
    const int64_t done = tally->pictures + tally->failed;
    const int64_t share = t2d_share_count(job->listing.count, job->first, job->step);
    char kept[512];
    snprintf(kept, sizeof kept,
             "%lld of %lld pictures are counted and kept in %s; the same command goes on from there",
             (long long)done, (long long)share, job->mine);
    if (status == T2D_OK) return complain_text(EXIT_FAILED, "stopped: %s", kept);
    const bool file = status == T2D_E_FORMAT || status == T2D_E_UNSUPPORTED || status == T2D_E_IO;
    return complain_text(file ? EXIT_INPUT : code_of_engine(status), "%s; %s%s", err->message, kept,
                         file ? ", and --max-failures N or P% passes over so many bad pictures" : "");
}

static int count_mine(eval_job *job)
{
    const int64_t share = t2d_share_count(job->listing.count, job->first, job->step);
    t2d_error err;
    t2d_tally tally;
    t2d_results results;
    failure_limit most;
    int code = read_failure_limit(job->asked->max_failures, &most);
    if (code != EXIT_GOOD) return code;
    t2d_status status = t2d_tally_init(&tally, job->preset->label_count, &err);
    if (status) return complain(EXIT_FAILED, &err);
    status = t2d_results_open(&results, job->mine, job->head, &tally, &err);
    if (status) {
        t2d_tally_release(&tally);
        return complain(status == T2D_E_FORMAT ? EXIT_INPUT : code_of_output(status), &err);
    }
    watcher w = {.tally = &tally,
                 .total = share,
                 .before = tally.pictures + tally.failed,
                 .start = t2d_clock(),
                 .told = t2d_clock(),
                 .silent = job->ranks.rank > 0};
    if (w.before > 0 && !common.quiet)
        fprintf(stderr, "t2d: %lld of %lld pictures are in %s already\n", (long long)w.before,
                (long long)share, job->mine);
    const t2d_eval_run run = {.listing = &job->listing,
                              .session = job->session,
                              .vocab = job->vocab,
                              .options = &job->options,
                              .first = job->first,
                              .step = job->step,
                              .readers = job->asked->readers,
                              .together = job->asked->together,
                              .counting = (t2d_count_by)job->asked->counting,
                              .most_failures =
                                  (int64_t)(most.relative ? most.number / 100 * (double)share : most.number),
                              .results = &results,
                              .tally = &tally,
                              .watch = watch,
                              .stopped = is_stopped,
                              .context = &w};
    status = t2d_eval(&run, &err);
    t2d_error late;
    const t2d_status closed = t2d_results_close(&results, &late);
    if (status || tally.pictures + tally.failed < share)
        code = explain(job, &tally, status, &err);
    else if (closed)
        code = complain(code_of_output(closed), &late);
    t2d_tally_release(&tally);
    return code;
}

/* ---- ranks ---- */

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* Rank 0 has all parts, under these names: one file of them, which takes their place. */
static int join_parts(const eval_job *job, char *(*name)(const char *path, int rank, int count))
{
    const int count = job->ranks.count;
    char **parts = calloc((size_t)count, sizeof *parts);
    t2d_error err;
    json_t *head = NULL;
    t2d_tally tally = {0};
    t2d_status status = parts ? T2D_OK : T2D_E_MEMORY;
    for (int i = 0; parts && i < count; i++)
        if (!(parts[i] = name(job->whole, i, count))) status = T2D_E_MEMORY;
    if (status)
        t2d_fail(&err, status, "merging: out of memory");
    else
        status = t2d_merge((const char *const *)parts, count, job->whole, &head, &tally, &err);
    for (int i = 0; parts && i < count; i++) {
        if (status == T2D_OK) unlink(parts[i]);
        free(parts[i]);
    }
    free(parts);
    json_decref(head);
    t2d_tally_release(&tally);
    return status ? complain(code_of_input(status), &err) : EXIT_GOOD;
}

bool job_reports(const eval_job *job) { return job->ranks.rank == 0 && !job->asked->shard; }

/* A whole file from an earlier run of several ranks is taken as it is, if it is this run's. */
static int check_whole(const eval_job *job)
{
    t2d_reader reader;
    t2d_error err;
    t2d_status status = t2d_reader_open(&reader, job->whole, &err);
    if (status == T2D_OK) {
        status = reader.head ? t2d_heads_agree(reader.head, job->whole, job->head, "this run", &err)
                             : t2d_fail(&err, T2D_E_FORMAT, "%s: empty", job->whole);
        t2d_reader_close(&reader);
    }
    return status ? complain(status == T2D_E_ARGUMENT ? EXIT_MISUSE : code_of_input(status), &err)
                  : EXIT_GOOD;
}

int job_count(eval_job *job)
{
    const bool alone = job->ranks.count == 1, mpi = job->asked->mpi && !alone;
    catch_signals();
    if (!alone && !mpi && exists(job->whole)) return check_whole(job);
    int code = count_mine(job);
    if (mpi) code = gather_parts(&job->ranks, job->whole, code);
    if (code != EXIT_GOOD || alone || job->ranks.rank > 0) return code;
    if (mpi) return join_parts(job, gather_name);
    code = ranks_wait(job->whole, job->ranks.count, job->listing.count, job->asked->patience, &stopped);
    return code == EXIT_GOOD ? join_parts(job, ranks_part) : code;
}

/* ---- the worst pictures, looked at ---- */

static t2d_status look(const eval_job *job, const char *folder, int place, const poor_picture *poor,
                       t2d_error *err)
{
    t2d_sample sample;
    t2d_mask mask = {0};
    char path[4096];
    snprintf(path, sizeof path, "%s/%03d_%.100s.png", folder, place, poor->name);
    for (char *c = path + strlen(folder) + 1; *c; c++) *c = (char)(*c == '/' ? '_' : *c);
    t2d_sample_read(&job->listing, poor->picture, &sample);
    t2d_status status = sample.status;
    if (status) *err = sample.err;
    if (status == T2D_OK)
        status = t2d_segment(job->session, job->vocab, &sample.picture, &job->options, &mask, NULL, err);
    if (status == T2D_OK) status = t2d_look_write(path, job->preset, &sample, &mask, err);
    t2d_mask_release(&mask);
    t2d_sample_release(&sample);
    return status;
}

int job_worst(const eval_job *job, const eval_report *report)
{
    const char *folder = job->asked->worst_folder;
    if (report->worst_count == 0 || !folder) return EXIT_GOOD;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return complain_text(EXIT_FAILED, "%s: cannot make this folder: %s", folder, strerror(errno));
    for (int i = 0; i < report->worst_count; i++) {
        t2d_error err;
        const t2d_status status = look(job, folder, i + 1, &report->worst[i], &err);
        if (status) return complain(code_of_output(status), &err);
    }
    return EXIT_GOOD;
}
