/* results.c — score maps of all windows -> labels, scores or counts in host memory: the host's side of
 * readout.cu, pamr.cu and count.cu.  Labels that are only counted stay on the device. */
#include "cuda/machine.h"

enum { PAMR_LEAST = 4 }; /* classes that PAMR refines at a time, at least */

/* PAMR's workspace for the largest window: all classes together where there is room, else half, a quarter...
 */
static void *pamr_workspace(t2d_cuda *cu, const t2d_readout *job, size_t *bytes)
{
    int wide = 1, high = 1;
    for (int i = 0; i < job->window_count; i++) {
        wide = job->windows[i].w > wide ? job->windows[i].w : wide;
        high = job->windows[i].h > high ? job->windows[i].h : high;
    }
    for (int classes = job->classes; classes > PAMR_LEAST; classes = (classes + 1) / 2) {
        *bytes = t2d_cuda_pamr_bytes(wide, high, classes);
        void *workspace = t2d_cuda_scratch_try(cu, T2D_CUDA_PAMR, *bytes);
        if (workspace) return workspace;
    }
    *bytes = t2d_cuda_pamr_bytes(wide, high, PAMR_LEAST);
    return t2d_cuda_scratch(cu, T2D_CUDA_PAMR, *bytes);
}

/* Scores of all windows refined and averaged, [canvas_height, canvas_width, classes]; NULL when it failed. */
static const float *refine(t2d_cuda *cu, const t2d_readout *job, const t2d_rect *windows, const void *tables)
{
    const size_t values = (size_t)job->canvas_width * (size_t)job->canvas_height * (size_t)job->classes;
    size_t bytes;
    float *refined = t2d_cuda_scratch(cu, T2D_CUDA_REFINED, values * sizeof *refined);
    void *workspace = refined ? pamr_workspace(cu, job, &bytes) : NULL;
    if (!workspace) return NULL;
    return t2d_cuda_ok(cu, t2d_cuda_pamr(refined, job, windows, tables, workspace, bytes, cu->stream), "PAMR")
               ? refined
               : NULL;
}

/* A job's results on the device; NULL: not wanted. */
typedef struct results {
    uint16_t *labels; /* [pixels] */
    float *out;       /* [channels, pixels] */
    uint32_t *counts; /* [channels, channels] */
    size_t pixels, channels;
} results;

static bool reserve(t2d_cuda *cu, const t2d_readout *job, results *r)
{
    *r = (results){.pixels = (size_t)job->width * (size_t)job->height,
                   .channels = (size_t)job->classes + job->with_background};
    if ((job->labels || job->counts) &&
        !(r->labels = t2d_cuda_scratch(cu, T2D_CUDA_LABELS, r->pixels * sizeof *r->labels)))
        return false;
    if (job->out &&
        !(r->out = t2d_cuda_scratch(cu, T2D_CUDA_SCORES, r->channels * r->pixels * sizeof *r->out)))
        return false;
    return !job->counts ||
           (r->counts = t2d_cuda_scratch(cu, T2D_CUDA_COUNTS, r->channels * r->channels * sizeof *r->counts));
}

static bool count(t2d_cuda *cu, const t2d_readout *job, const results *r)
{
    const uint8_t *truth = t2d_cuda_send(cu, T2D_CUDA_TRUTH, job->truth, r->pixels);
    return truth && t2d_cuda_ok(cu,
                                t2d_cuda_count(r->counts, r->labels, truth, (int64_t)r->pixels,
                                               (int)r->channels, cu->stream),
                                "counting");
}

/* Scratch that the job needs, and all its kernels; results stay on the device. */
static bool compute(t2d_cuda *cu, const t2d_readout *job, results *r)
{
    const t2d_rect *windows =
        t2d_cuda_send(cu, T2D_CUDA_WINDOWS, job->windows, (size_t)job->window_count * sizeof *job->windows);
    void *tables = t2d_cuda_scratch(cu, T2D_CUDA_TABLES, t2d_cuda_readout_bytes(job));
    const float *refined = NULL;
    if (!windows || !tables || !reserve(cu, job, r)) return false;
    if (!t2d_cuda_ok(cu, t2d_cuda_readout_tables(tables, job, windows, cu->stream), "the readout's tables"))
        return false;
    if (job->pamr && !(refined = refine(cu, job, windows, tables))) return false;
    return t2d_cuda_ok(cu, t2d_cuda_readout(r->labels, r->out, job, windows, tables, refined, cu->stream),
                       "the readout") &&
           (!r->counts || count(cu, job, r));
}

t2d_status t2d_cuda_read_out(t2d_backend *be, const t2d_readout *job, t2d_error *err)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    results r;
    const t2d_status status = t2d_readout_check(job, err);
    if (status != T2D_OK || cu->failed != T2D_OK) return status; /* what failed before is told by `finish` */
    if (!t2d_cuda_ok(cu, cudaSetDevice(cu->device), "the readout") || !compute(cu, job, &r)) return T2D_OK;
    if (job->labels) t2d_cuda_bring(cu, job->labels, r.labels, r.pixels * sizeof *r.labels);
    if (job->out) t2d_cuda_bring(cu, job->out, r.out, r.channels * r.pixels * sizeof *r.out);
    if (job->counts) t2d_cuda_bring(cu, job->counts, r.counts, r.channels * r.channels * sizeof *r.counts);
    return T2D_OK;
}

t2d_status t2d_cuda_finish(t2d_backend *be, t2d_error *err)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    if (cu->failed == T2D_OK) (void)t2d_cuda_ok(cu, cudaSetDevice(cu->device), "the work queued");
    t2d_cuda_arrive(cu);
    return t2d_cuda_tell(cu, err);
}
