/* test_cuda_readout.c — kernels/cuda/readout.cu against the CPU machine: the same labels, the same bits. */
#include "readout_test.h"

/* One job on both machines; every score and label must be equal. */
static void readout_case(t2d_readout job, bool with_labels, bool with_out)
{
    const size_t pixels = (size_t)job.width * job.height;
    const size_t outs = pixels * (size_t)(job.classes + job.with_background);
    float *want_out = calloc(outs, sizeof *want_out), *out = NULL;
    uint16_t *want = calloc(pixels, sizeof *want), *labels = NULL;
    readout_cpu(&job, want, want_out);
    readout_device d = readout_upload(&job);
    void *dl = test_device(NULL, pixels * 2), *dout = test_device(NULL, outs * 4);
    const char *what = readout_name(&job);
    if (with_out)
        TEST_RUN(out, dout, outs * 4, what,
                 t2d_cuda_readout(with_labels ? dl : NULL, dout, &d.job, d.windows, d.tables, NULL, 0));
    if (with_labels)
        TEST_RUN(labels, dl, pixels * 2, what,
                 t2d_cuda_readout(dl, with_out ? dout : NULL, &d.job, d.windows, d.tables, NULL, 0));
    if (with_out) readout_same_scores(what, out, want_out, outs);
    if (with_labels) readout_same_labels(what, labels, want, pixels);
    cudaFree(dl), cudaFree(dout);
    readout_release(&d);
    free(want), free(want_out), free(out), free(labels);
}

static void shape(int cw, int ch, int side, int stride, int grid, int classes, int w, int h, int flags)
{
    t2d_readout job = readout_job(cw, ch, side, stride, grid, classes, w, h);
    job.with_background = flags & 1;
    job.background = .13f;
    job.softmax = flags & 2;
    if (flags & 4) readout_near_ties(&job);
    readout_case(job, !(flags & 8), !(flags & 16));
    readout_free(&job);
}

Test(cuda_readout, same_as_cpu)
{
    test_seed();
    shape(1, 1, 1, 1, 1, 1, 1, 1, 0);
    shape(33, 9, 64, 64, 3, 8, 33, 9, 16);           /* one window, no resize, labels alone */
    shape(41, 23, 16, 9, 3, 5, 41, 23, 1);           /* overlapping windows, background */
    shape(30, 22, 16, 11, 4, 11, 45, 17, 3);         /* resize both ways, softmax */
    shape(20, 17, 12, 7, 2, 3, 9, 40, 8);            /* scores alone */
    shape(13, 12, 4, 1, 2, 2, 13, 12, 1);            /* more windows over a block than its list holds */
    shape(34, 10, 20, 14, 5, 9, 34, 10, 2 | 4 | 16); /* near ties: softmax merges */
    shape(17, 11, 32, 32, 4, 19, 37, 19, 1 | 2 | 4); /* and with resize and background */
    shape(19, 14, 9, 5, 3, 12, 19, 14, 4);           /* equal scores: the first wins */
    for (int i = 0; i < 3; i++)
        shape(5 + test_bits() % 40, 5 + test_bits() % 20, 5 + test_bits() % 20, 3 + test_bits() % 9,
              1 + test_bits() % 5, 1 + test_bits() % 20, 1 + test_bits() % 50, 1 + test_bits() % 20,
              test_bits() % 8);
}

Test(cuda_readout, refusals)
{
    t2d_readout job = {.window_count = 1,
                       .grid = 1,
                       .classes = 65536,
                       .width = 1,
                       .height = 1,
                       .canvas_width = 1,
                       .canvas_height = 1,
                       .with_background = true};
    cr_expect(t2d_cuda_readout(NULL, NULL, &job, NULL, NULL, NULL, 0) != 0);
    job.with_background = false;
    cr_expect(t2d_cuda_readout(NULL, NULL, &job, NULL, NULL, NULL, 0) == 0, "nothing is asked for");
    job.width = 0;
    cr_expect(t2d_cuda_readout_tables(NULL, &job, NULL, 0) != 0);
}
