/* test_cuda_pamr.c — kernels/cuda/pamr.cu, then the readout, against the CPU machine. */
#include "readout_test.h"

/* The CPU fuses products and sums where it has FMA; elsewhere the last bits differ. */
static bool same_bits(void) { return __builtin_cpu_supports("fma"); }

static int refine_and_read(readout_device *d, float *refined, void *workspace, size_t bytes, void *labels,
                           float *out)
{
    const int status = t2d_cuda_pamr(refined, &d->job, d->windows, d->tables, workspace, bytes, 0);
    return status ? status : t2d_cuda_readout(labels, out, &d->job, d->windows, d->tables, refined, 0);
}

/* `together`: classes that the workspace holds at a time. */
static void pamr_case(t2d_readout job, int together)
{
    const size_t pixels = (size_t)job.width * job.height;
    const size_t outs = pixels * (size_t)(job.classes + job.with_background);
    const size_t canvas = (size_t)job.canvas_width * job.canvas_height * job.classes * 4;
    const size_t bytes = t2d_cuda_pamr_bytes(job.windows[0].w, job.windows[0].h, together);
    job.pamr = true;
    float *want_out = calloc(outs, sizeof *want_out), *out;
    uint16_t *want = calloc(pixels, sizeof *want), *labels;
    readout_cpu(&job, want, want_out);
    readout_device d = readout_upload(&job);
    void *dl = test_device(NULL, pixels * 2), *dout = test_device(NULL, outs * 4),
         *work = test_device(NULL, bytes);
    float *refined = test_device(NULL, canvas);
    const char *what = readout_name(&job);
    TEST_RUN(out, dout, outs * 4, what, refine_and_read(&d, refined, work, bytes, dl, dout));
    labels = test_host(dl, pixels * 2);
    for (size_t i = 0; i < outs; i++)
        cr_assert(same_bits() ? out[i] == want_out[i] : fabsf(out[i] - want_out[i]) < 1e-6f,
                  "%s: score %zu of %zu: got %.9g, want %.9g", what, i, outs, (double)out[i],
                  (double)want_out[i]);
    if (same_bits()) readout_same_labels(what, labels, want, pixels);
    cr_expect(t2d_cuda_pamr(refined, &d.job, d.windows, d.tables, work, 16, 0) != 0,
              "16 bytes are not enough");
    cudaFree(dl), cudaFree(dout), cudaFree(work), cudaFree(refined);
    readout_release(&d);
    free(want), free(want_out), free(out), free(labels);
}

static void shape(int cw, int ch, int side, int stride, int classes, int w, int h, bool background,
                  int together)
{
    t2d_readout job = readout_job(cw, ch, side, stride, 3, classes, w, h);
    job.with_background = background;
    job.background = .25f;
    pamr_case(job, together);
    readout_free(&job);
}

Test(cuda_pamr, same_as_cpu)
{
    test_seed();
    shape(1, 1, 1, 1, 1, 1, 1, false, 4);
    shape(35, 26, 64, 64, 5, 35, 26, true, 8);  /* four tiles, one window */
    shape(31, 20, 20, 11, 6, 23, 27, false, 4); /* windows, chunks, resize */
    if (test_fast_build())
        shape(70 + test_bits() % 9, 50, 80, 80, 9, 70, 50, true, 8); /* the far neighbours */
}
