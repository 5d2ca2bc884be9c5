/* bench_segment.c — a picture end to end through the C API: load, encode words, segment.
 * Time per window beside the floor: the tower's operations at the rate of a large product measured between
 * the same passes.  Usage: bench_segment MODEL PICTURE [threads [passes [classes]]] */
#include <omp.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "ceiling.h"
#include "cpu/cpu.h"

typedef struct run {
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
    t2d_image image;
} run;

static void must(t2d_status status, const t2d_error *err)
{
    if (status != T2D_OK) bench_give_up(err->message);
}

static run open_run(const char *model, const char *picture, t2d_dtype dtype, int threads, int classes)
{
    run r = {0};
    t2d_error err;
    const t2d_engine_options options = {.device = "cpu", .dtype = dtype, .threads = threads};
    double start = t2d_clock();
    must(t2d_engine_open(model, &options, &r.engine, &err), &err);
    printf("load     %8.3f s\n", t2d_clock() - start);
    char(*names)[32] = calloc((size_t)classes, sizeof *names);
    const char **list = calloc((size_t)classes, sizeof *list);
    if (!names || !list) bench_give_up("out of memory");
    for (int i = 0; i < classes; i++) {
        snprintf(names[i], sizeof names[i], "thing %d", i);
        list[i] = names[i];
    }
    start = t2d_clock();
    must(t2d_vocab_create(r.engine, list, classes, NULL, &r.vocab, &err), &err);
    printf("words    %8.3f s for %d classes\n", t2d_clock() - start, classes);
    must(t2d_session_create(r.engine, &r.session, &err), &err);
    must(t2d_image_read(picture, 0, &r.image, &err), &err);
    free(names);
    free(list);
    return r;
}

static void close_run(run *r)
{
    t2d_image_release(&r->image);
    t2d_session_destroy(r->session);
    t2d_vocab_destroy(r->vocab);
    t2d_engine_close(r->engine);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, double *seconds, int passes, double flop, double top)
{
    qsort(seconds, (size_t)passes, sizeof *seconds, by_value);
    const double best = seconds[0], rate = flop / best;
    printf("%-8s %8.3f s best, %.3f median, %.3f worst of %d; %.1f GFLOP/s, %.1f %% of the ceiling; floor "
           "%.3f s\n",
           name, best, seconds[passes / 2], seconds[passes - 1], passes, rate * 1e-9, 100 * rate / top,
           flop / top);
}

static void bench(const char *model, const char *picture, t2d_dtype dtype, int threads, int passes,
                  int classes)
{
    t2d_error err;
    t2d_engine_info info;
    t2d_segment_options options;
    ceiling c;
    double top = 0, *seconds = calloc((size_t)passes, sizeof *seconds);
    run r = open_run(model, picture, dtype, threads, classes);
    t2d_engine_describe(r.engine, &info);
    t2d_segment_defaults(r.engine, &options);
    options.mode = T2D_WHOLE; /* one window */
    omp_set_num_threads(info.threads);
    ceiling_create(&c, dtype);
    for (int n = -1; n < passes; n++) { /* the first one warms up */
        t2d_mask mask = {0};
        const double start = t2d_clock();
        must(t2d_segment(r.session, r.vocab, &r.image, &options, &mask, NULL, &err), &err);
        if (n >= 0) seconds[n] = t2d_clock() - start;
        t2d_mask_release(&mask);
        for (int k = 0; k < 3; k++) {
            const double rate = ceiling_rate(&c);
            if (rate > top) top = rate;
        }
    }
    printf("ceiling  %8.1f GFLOP/s, %s, %s\n", top * 1e-9, info.device_name,
           dtype == T2D_DTYPE_FP32 ? "fp32" : "bf16");
    report("window", seconds, passes, t2d_window_flop(&r.engine->model.config, info.size), top);
    ceiling_destroy(&c);
    close_run(&r);
    free(seconds);
}

int main(int argc, char **argv)
{
    if (argc < 3) bench_give_up("usage: bench_segment MODEL PICTURE [threads [passes [classes]]]");
    const int threads = argc > 3 ? atoi(argv[3]) : 0, passes = argc > 4 ? atoi(argv[4]) : 5;
    const int classes = argc > 5 ? atoi(argv[5]) : 21;
    if (threads < 0 || passes < 1 || classes < 1) bench_give_up("threads, passes and classes are counts");
    bench(argv[1], argv[2], T2D_DTYPE_FP32, threads, passes, classes);
    if (t2d_cpu_has_bf16())
        bench(argv[1], argv[2], T2D_DTYPE_BF16, threads, passes, classes);
    else
        printf("bf16     not timed: this chip has no bf16 instructions\n");
    return 0;
}
