/* bench_tower.c — one 448 x 448 window through a ViT-B/14 of random weights, operation by operation.
 * The ceiling beside every rate is a large product by oneDNN itself, measured between the very same passes:
 * both see the same neighbours, clocks and heat.  Usage: bench_tower [threads [passes]] */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "ceiling.h"
#include "cpu/cpu.h"

enum { TOKENS = 1029, DIM = 768, HEADS = 12, HIDDEN = 3072, BLOCKS = 12 };
enum { NORM, QKV, ATTENTION, OUT, UP, DOWN, OPERATIONS };

static const char *const NAMES[OPERATIONS] = {"layernorm", "qkv", "attention", "out", "up + gelu", "down"};
static const double FLOP[OPERATIONS] = {
    /* of one pass */
    0,
    2.0 * BLOCKS *TOKENS *DIM * 3 * DIM,
    4.0 * BLOCKS *TOKENS *TOKENS *DIM,
    2.0 * BLOCKS *TOKENS *DIM *DIM,
    2.0 * BLOCKS *TOKENS *DIM *HIDDEN,
    2.0 * BLOCKS *TOKENS *DIM *HIDDEN,
};

typedef struct tower {
    t2d_linear *qkv[BLOCKS], *out[BLOCKS], *up[BLOCKS], *down[BLOCKS];
    float *norm_w, *norm_b, *x;
    void *norm, *wide, *mix;
} tower;

static float *random_floats(size_t count, float scale)
{
    float *v = malloc(count * sizeof *v);
    if (!v) bench_give_up("out of memory");
    for (size_t i = 0; i < count; i++) v[i] = scale * ((float)rand() / (float)RAND_MAX - 0.5f);
    return v;
}

static t2d_linear *random_linear(t2d_backend *be, int out, int in)
{
    t2d_error err;
    t2d_linear *lin;
    float *w = random_floats((size_t)out * in, 0.05f), *b = random_floats((size_t)out, 0.1f);
    const t2d_linear_desc d = {.name = "random", .out = out, .in = in, .weight = w, .bias = b};
    if (be->op->linear_create(be, &d, &lin, &err) != T2D_OK) bench_give_up(err.message);
    free(w);
    free(b);
    return lin;
}

static void *memory(t2d_backend *be, size_t bytes)
{
    void *p = be->op->alloc(be, bytes);
    if (!p) bench_give_up("out of memory");
    memset(p, 0, bytes);
    return p;
}

static void build(t2d_backend *be, tower *t)
{
    const size_t act = t2d_act_size(be);
    for (int i = 0; i < BLOCKS; i++) {
        t->qkv[i] = random_linear(be, 3 * DIM, DIM);
        t->out[i] = random_linear(be, DIM, DIM);
        t->up[i] = random_linear(be, HIDDEN, DIM);
        t->down[i] = random_linear(be, DIM, HIDDEN);
    }
    t->norm_w = random_floats(DIM, 2.0f);
    t->norm_b = random_floats(DIM, 1.0f);
    t->x = random_floats((size_t)TOKENS * DIM, 2.0f);
    t->norm = memory(be, TOKENS * DIM * act);
    t->mix = memory(be, TOKENS * DIM * act);
    t->wide = memory(be, TOKENS * HIDDEN * act);
}

static void destroy(t2d_backend *be, tower *t)
{
    t2d_linear **all[] = {t->qkv, t->out, t->up, t->down};
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < BLOCKS; i++) be->op->linear_destroy(be, all[k][i]);
    void *memories[] = {t->norm, t->mix, t->wide};
    for (int k = 0; k < 3; k++) be->op->release(be, memories[k]);
    free(t->norm_w);
    free(t->norm_b);
    free(t->x);
}

/* One pass; adds each operation's seconds to spent[]. */
static void pass(t2d_backend *be, tower *t, double spent[OPERATIONS])
{
    double at = t2d_clock();
#define TIMED(operation, call)                                                                               \
    do {                                                                                                     \
        be->op->call;                                                                                        \
        const double now = t2d_clock();                                                                      \
        spent[operation] += now - at;                                                                        \
        at = now;                                                                                            \
    } while (0)
    for (int i = 0; i < BLOCKS; i++) {
        TIMED(NORM, layernorm(be, t->norm, false, t->x, t->norm_w, t->norm_b, TOKENS, DIM, 1e-6f));
        TIMED(QKV, linear(be, t->wide, t->norm, t->qkv[i], 1, TOKENS, T2D_EPI_NONE));
        TIMED(ATTENTION, attention(be, t->mix, t->wide, 1, TOKENS, HEADS, false));
        TIMED(OUT, linear(be, t->x, t->mix, t->out[i], 1, TOKENS, T2D_EPI_ADD));
        TIMED(NORM, layernorm(be, t->norm, false, t->x, t->norm_w, t->norm_b, TOKENS, DIM, 1e-6f));
        TIMED(UP, linear(be, t->wide, t->norm, t->up[i], 1, TOKENS, T2D_EPI_GELU));
        TIMED(DOWN, linear(be, t->x, t->wide, t->down[i], 1, TOKENS, T2D_EPI_ADD));
    }
#undef TIMED
}

/* ---- the report ---- */

static void report(const double spent[OPERATIONS], double top)
{
    double seconds = 0, flop = 0;
    for (int i = 0; i < OPERATIONS; i++) seconds += spent[i], flop += FLOP[i];
    printf("%-10s %9s %6s %9s %8s\n", "operation", "ms", "share", "GFLOP/s", "ceiling");
    for (int i = 0; i < OPERATIONS; i++) {
        const double rate = FLOP[i] / spent[i];
        printf("%-10s %9.2f %5.1f%% %9.1f %7.1f%%\n", NAMES[i], spent[i] * 1e3, 100 * spent[i] / seconds,
               rate * 1e-9, 100 * rate / top);
    }
    printf("%-10s %9.2f %5.1f%% %9.1f %7.1f%%\n\n", "window", seconds * 1e3, 100.0, flop / seconds * 1e-9,
           100 * flop / seconds / top);
}

static void bench(t2d_dtype dtype, int threads, int passes)
{
    t2d_error err;
    t2d_backend *be;
    tower t;
    ceiling c;
    double best[OPERATIONS], top = 0;
    if (t2d_backend_open("cpu", dtype, threads, &be, &err) != T2D_OK) {
        printf("%s\n", err.message);
        return;
    }
    omp_set_num_threads(be->threads); /* for the ceiling */
    build(be, &t);
    ceiling_create(&c, dtype);
    for (int i = 0; i < OPERATIONS; i++) best[i] = 1e9;
    for (int n = 0; n <= passes; n++) { /* the first one warms up */
        double spent[OPERATIONS] = {0};
        pass(be, &t, spent);
        for (int i = 0; i < OPERATIONS && n > 0; i++)
            if (spent[i] < best[i]) best[i] = spent[i];
        for (int k = 0; k < 3; k++) {
            const double rate = ceiling_rate(&c);
            if (rate > top) top = rate;
        }
    }
    printf("%s\n%s, best of %d passes, ceiling %.1f GFLOP/s\n", be->description,
           dtype == T2D_DTYPE_FP32 ? "fp32" : "bf16", passes, top * 1e-9);
    report(best, top);
    ceiling_destroy(&c);
    destroy(be, &t);
    be->op->close(be);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 0, passes = argc > 2 ? atoi(argv[2]) : 5;
    bench(T2D_DTYPE_FP32, threads, passes > 0 ? passes : 1);
    if (t2d_cpu_has_bf16())
        bench(T2D_DTYPE_BF16, threads, passes > 0 ? passes : 1);
    else
        printf("bf16 is not timed: this chip has no bf16 instructions\n");
    return 0;
}
