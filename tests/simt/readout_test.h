/* readout_test.h — jobs of random scores for the readout and PAMR tests, on the device and on the CPU
 * machine. */
#ifndef READOUT_TEST_H
#define READOUT_TEST_H

#include "kernel_test.h"

/* Windows of `side` (or the whole canvas) every `stride`, the last ones moved back to end with the canvas. */
static inline int readout_windows(t2d_rect *to, int cw, int ch, int side, int stride)
{
    const int w = side < cw ? side : cw, h = side < ch ? side : ch;
    int count = 0;
    stride = stride < side ? stride : side;
    for (int y = 0;; y += stride) {
        for (int x = 0;; x += stride) {
            const t2d_rect r = {x + w < cw ? x : cw - w, y + h < ch ? y : ch - h, w, h};
            if (to) to[count] = r;
            count++;
            if (x + w >= cw) break;
        }
        if (y + h >= ch) break;
    }
    return count;
}

static inline t2d_readout readout_job(int cw, int ch, int side, int stride, int grid, int classes, int w,
                                      int h)
{
    t2d_readout job = {
        .grid = grid, .classes = classes, .canvas_width = cw, .canvas_height = ch, .width = w, .height = h};
    job.window_count = readout_windows(NULL, cw, ch, side, stride);
    t2d_rect *windows = malloc((size_t)job.window_count * sizeof *windows);
    readout_windows(windows, cw, ch, side, stride);
    job.windows = windows;
    job.scores = test_floats((size_t)job.window_count * grid * grid * classes, .1f, .3f);
    uint8_t *canvas = malloc((size_t)cw * ch * 3);
    for (int i = 0; i < cw * ch * 3; i++)
        canvas[i] = (uint8_t)(i / 30 % 3 ? 90 + test_bits() % 8 : test_bits());
    job.canvas = canvas;
    return job;
}
static inline void readout_free(t2d_readout *job)
{
    free((void *)job->scores), free((void *)job->windows), free((void *)job->canvas);
}

/* Scores that differ by a few units in the last place, so that softmax merges some of them. */
static inline void readout_near_ties(t2d_readout *job)
{
    float *s = (float *)job->scores;
    const size_t count = (size_t)job->window_count * job->grid * job->grid * job->classes;
    for (size_t i = 0; i < count; i++) s[i] = .5f + (float)(test_bits() % 6) * 0x1p-24f;
}

static inline const char *readout_name(const t2d_readout *job)
{
    static char name[160];
    snprintf(name, sizeof name,
             "%d windows of %d x %d, grid %d, %d+%d classes, canvas %d x %d -> %d x %d, softmax %d",
             job->window_count, job->windows[0].w, job->windows[0].h, job->grid, job->classes,
             job->with_background, job->canvas_width, job->canvas_height, job->width, job->height,
             job->softmax);
    return name;
}

static inline void readout_cpu(const t2d_readout *job, uint16_t *labels, float *out)
{
    t2d_error err;
    t2d_backend *be;
    t2d_readout j = *job;
    j.labels = labels, j.out = out;
    cr_assert(t2d_backend_open("cpu", T2D_DTYPE_FP32, 1, &be, &err) == T2D_OK);
    cr_assert(be->op->readout(be, &j, &err) == T2D_OK);
    be->op->close(be);
}

typedef struct readout_device {
    t2d_readout job; /* pointers to the device, windows on the host */
    void *windows, *tables;
} readout_device;

static inline readout_device readout_upload(const t2d_readout *job)
{
    readout_device d = {*job, NULL, NULL};
    const size_t scores = (size_t)job->window_count * job->grid * job->grid * job->classes;
    d.job.scores = test_device(job->scores, scores * 4);
    d.job.canvas = test_device(job->canvas, (size_t)job->canvas_width * job->canvas_height * 3);
    d.windows = test_device(job->windows, (size_t)job->window_count * sizeof *job->windows);
    d.tables = test_device(NULL, t2d_cuda_readout_bytes(job));
    const int status = t2d_cuda_readout_tables(d.tables, &d.job, d.windows, 0);
    cr_assert(status == 0 && simt_errors() == 0, "tables: %d, %s", status, simt_first_error());
    return d;
}
static inline void readout_release(readout_device *d)
{
    cudaFree((void *)d->job.scores), cudaFree((void *)d->job.canvas), cudaFree(d->windows),
        cudaFree(d->tables);
}

static inline void readout_same_scores(const char *what, const float *got, const float *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert(got[i] == want[i], "%s: score %zu of %zu: got %.9g, want %.9g", what, i, count,
                  (double)got[i], (double)want[i]);
}
static inline void readout_same_labels(const char *what, const uint16_t *got, const uint16_t *want,
                                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert(got[i] == want[i], "%s: label %zu of %zu: got %d, want %d", what, i, count, got[i],
                  want[i]);
}

#endif
