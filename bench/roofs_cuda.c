/* roofs_cuda.c — the GPU's best: cuBLASLt's product of 8192 x 8192 and the driver's own copy, queued several
 * times between two waits. */
#include "cuda/machine.h"
#include "roofs.h"

enum { LARGE = 8192, REPEATS = 20, TURNS = 4 };

typedef struct memories {
    void *part[3];
} memories;

static bool ask(t2d_backend *be, memories *m, int count, size_t bytes)
{
    enum { PART = 1 << 20 };
    static char noise[PART];
    *m = (memories){0};
    roofs_fill(noise, PART);
    for (int i = 0; i < count; i++) {
        if (!(m->part[i] = be->op->alloc(be, bytes))) return false;
        for (size_t at = 0; at < bytes; at += PART)
            be->op->upload(be, (char *)m->part[i] + at, noise, bytes - at < PART ? bytes - at : PART);
    }
    return true;
}

static void give_back(t2d_backend *be, memories *m)
{
    for (int i = 0; i < 3; i++) be->op->release(be, m->part[i]);
}

/* The best of some turns, in seconds; negative when the machine failed. */
static double best_of(t2d_backend *be, bool (*queue)(t2d_cuda *, memories *, size_t), memories *m,
                      size_t bytes)
{
    double best = -1;
    for (int turn = 0; turn <= TURNS; turn++) { /* the first one warms up */
        const double start = t2d_clock();
        for (int i = 0; i < REPEATS; i++)
            if (!queue((t2d_cuda *)be, m, bytes)) return -1;
        if (be->op->finish(be, NULL) != T2D_OK) return -1;
        const double seconds = (t2d_clock() - start) / REPEATS;
        if (turn > 0 && (best < 0 || seconds < best)) best = seconds;
    }
    return best;
}

static bool queue_product(t2d_cuda *cu, memories *m, size_t bytes)
{
    (void)bytes;
    const t2d_gemm_job job = {.y = m->part[0],
                              .x = m->part[1],
                              .w = m->part[2],
                              .sequences = 1,
                              .tokens = LARGE,
                              .out = LARGE,
                              .in = LARGE,
                              .step = (size_t)LARGE * LARGE,
                              .type = cu->base.dtype,
                              .result = cu->base.dtype};
    return t2d_gemm_run(cu->gemm, &job, cu->stream) == 0;
}

static bool queue_copy(t2d_cuda *cu, memories *m, size_t bytes)
{
    return cudaMemcpyAsync(m->part[0], m->part[1], bytes, cudaMemcpyDeviceToDevice, cu->stream) ==
           cudaSuccess;
}

bool roofs_cuda_product(t2d_backend *be, double *rate)
{
    memories m;
    const bool room = ask(be, &m, 3, (size_t)LARGE * LARGE * t2d_act_size(be));
    const double seconds = room ? best_of(be, queue_product, &m, 0) : -1;
    give_back(be, &m);
    *rate = 2.0 * LARGE * LARGE * LARGE / seconds;
    return seconds > 0;
}

bool roofs_cuda_copy(t2d_backend *be, size_t bytes, double *rate)
{
    memories m;
    const bool room = ask(be, &m, 2, bytes / 2);
    const double seconds = room ? best_of(be, queue_copy, &m, bytes / 2) : -1;
    give_back(be, &m);
    *rate = (double)bytes / seconds;
    return seconds > 0;
}
