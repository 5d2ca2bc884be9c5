/* bench_readout.c — from grid scores to labels, stage by stage, beside two floors measured in the same run.
 * The memory floor is the bytes a stage must move at the speed of a plain copy, the arithmetic floor its
 * multiply-adds at the speed of a loop that does nothing else.  CPU time is that of all threads: on a busy
 * machine it is the one to read.  Usage: bench_readout [threads [repeats]] */
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"

typedef struct floors {
    double bytes, multiply_adds; /* per second of CPU time */
} floors;

typedef struct stage {
    const char *name;
    int width, height, classes; /* of the result */
    bool slide, pamr, scores;
} stage;

static const stage STAGES[] = {
    {"whole, labels", 448, 448, 150, false, false, false},
    {"whole, scores too", 448, 448, 150, false, false, true},
    {"slide 671 x 448, softmax", 640, 427, 150, true, false, false},
    {"slide 671 x 448, softmax", 640, 427, 21, true, false, false},
    {"slide 671 x 448, softmax", 6000, 4000, 150, true, false, false},
    {"whole, PAMR", 448, 448, 21, false, true, false},
    {"whole, PAMR", 448, 448, 150, false, true, false},
};

static void give_up(const char *what)
{
    fprintf(stderr, "bench_readout: %s\n", what);
    exit(1);
}

static void *memory(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) give_up("out of memory");
    memset(p, 1, bytes);
    return p;
}

/* ---- floors, by one thread ---- */

T2D_CLONES static float only_multiply_adds(int64_t turns)
{
    enum { LANES = 8 };
    typedef float lanes __attribute__((vector_size(4 * LANES)));
    lanes a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
    const lanes x = a + 0.999f, y = a + 0.001f;
    for (int64_t n = 0; n < turns; n++) {
        a = a * x + y, b = b * x + y, c = c * x + y, d = d * x + y, e = e * x + y;
        f = f * x + y, g = g * x + y, h = h * x + y, i = i * x + y, j = j * x + y;
    }
    a = a + b + c + d + e + f + g + h + i + j;
    return a[0];
}

static floors measure(void)
{
    enum { BYTES = 256 << 20, TURNS = 10000000 };
    floors best = {0};
    char *from = memory(BYTES), *to = memory(BYTES);
    volatile float sink = 0;
    for (int k = 0; k < 5; k++) {
        double start = t2d_cpu_clock();
        memcpy(to, from, BYTES);
        const double copied = 2.0 * BYTES / (t2d_cpu_clock() - start);
        start = t2d_cpu_clock();
        sink += only_multiply_adds(TURNS);
        const double done = 80.0 * TURNS / (t2d_cpu_clock() - start);
        best.bytes = copied > best.bytes ? copied : best.bytes;
        best.multiply_adds = done > best.multiply_adds ? done : best.multiply_adds;
    }
    free(from);
    free(to);
    return best;
}

/* ---- stages ---- */

static void report(const char *name, const char *size, double wall, double cpu, double bytes, double madds,
                   floors f)
{
    printf("%-26s %-16s %9.2f %9.2f %9.2f %9.2f %6.0f%%\n", name, size, 1e3 * wall, 1e3 * cpu,
           1e3 * bytes / f.bytes, 1e3 * madds / f.multiply_adds,
           100 * (bytes / f.bytes > madds / f.multiply_adds ? bytes / f.bytes : madds / f.multiply_adds) /
               cpu);
}

/* Best of the repeats. */
#define BEST(repeats, wall, cpu, call)                                                                       \
    do {                                                                                                     \
        (wall) = (cpu) = 1e300;                                                                              \
        for (int k_ = 0; k_ < (repeats); k_++) {                                                             \
            const double wall_ = t2d_clock(), cpu_ = t2d_cpu_clock();                                        \
            call;                                                                                            \
            (cpu) = t2d_cpu_clock() - cpu_ < (cpu) ? t2d_cpu_clock() - cpu_ : (cpu);                         \
            (wall) = t2d_clock() - wall_ < (wall) ? t2d_clock() - wall_ : (wall);                            \
        }                                                                                                    \
    } while (0)

static void run_readout(t2d_backend *be, const stage *s, int repeats, floors f)
{
    enum { GRID = 32, SIDE = 448, LONG = 671 };
    static const t2d_rect windows[2] = {{0, 0, SIDE, SIDE}, {LONG - SIDE, 0, SIDE, SIDE}};
    const int count = s->slide ? 2 : 1;
    const size_t pixels = (size_t)s->width * s->height, scores = (size_t)count * GRID * GRID * s->classes;
    float *maps = memory(scores * sizeof *maps);
    for (size_t i = 0; i < scores; i++) maps[i] = 0.3f + 0.4f * (float)rand() / (float)RAND_MAX;
    const t2d_readout job = {.scores = maps,
                             .window_count = count,
                             .grid = GRID,
                             .classes = s->classes,
                             .windows = windows,
                             .canvas = memory((size_t)LONG * SIDE * 3),
                             .canvas_width = s->slide ? LONG : SIDE,
                             .canvas_height = SIDE,
                             .pamr = s->pamr,
                             .softmax = s->slide,
                             .width = s->width,
                             .height = s->height,
                             .labels = memory(pixels * 2),
                             .out = s->scores ? memory(pixels * (size_t)s->classes * 4) : NULL};
    uint8_t *guide = (uint8_t *)(uintptr_t)job.canvas;
    for (size_t i = 0; i < (size_t)LONG * SIDE * 3; i++) guide[i] = (uint8_t)(i * i / 977);
    double wall, cpu;
    char size[48];
    BEST(repeats, wall, cpu, be->op->readout(be, &job, NULL));
    const double all = (double)pixels * s->classes;
    const double bytes = (double)scores * 4 + (double)pixels * 2 + (s->scores ? all * 4 : 0) +
                         (s->pamr ? (double)pixels * 48 * 4 : 0);
    snprintf(size, sizeof size, "%dx%d x%d", s->width, s->height, s->classes);
    report(s->name, size, wall, cpu, bytes, s->pamr ? all * 480 : all * 2, f);
    free(maps);
    free(guide);
    free(job.labels);
    free(job.out);
}

static void run_similarity(t2d_backend *be, int repeats, floors f)
{
    enum { ROWS = 1024, CLASSES = 150, DIM = 768, HEADS = 12 };
    float *unit = memory(ROWS * DIM * 4), *text = memory(CLASSES * DIM * 4),
          *scores = memory(ROWS * CLASSES * 4);
    float *logits = memory(ROWS * HEADS * 4);
    double wall, cpu;
    for (int i = 0; i < ROWS * DIM; i++) unit[i] = 0.1f * (float)rand() / (float)RAND_MAX;
    for (int i = 0; i < CLASSES * DIM; i++) text[i] = 0.1f * (float)rand() / (float)RAND_MAX;
    for (int i = 0; i < ROWS * HEADS; i++) logits[i] = (float)rand() / (float)RAND_MAX;
    BEST(repeats, wall, cpu, be->op->similarity(be, scores, unit, text, ROWS, CLASSES, DIM, true));
    report("similarity", "1024x768 x150", wall, cpu, 4.0 * (ROWS * DIM + CLASSES * DIM + ROWS * CLASSES),
           (double)ROWS * CLASSES * DIM, f);
    BEST(repeats, wall, cpu,
         be->op->clean(be, scores, logits, unit, text, 1, ROWS, 0, HEADS, DIM, CLASSES, 0.2f));
    report("cleaning", "1024x768 x150", wall, cpu, 4.0 * (ROWS * DIM + CLASSES * DIM + 2 * ROWS * CLASSES),
           (double)HEADS * (ROWS * DIM + CLASSES * DIM + ROWS * CLASSES), f);
    free(unit);
    free(text);
    free(scores);
    free(logits);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1, repeats = argc > 2 ? atoi(argv[2]) : 5;
    t2d_error err;
    t2d_backend *be;
    if (t2d_backend_open("cpu", T2D_DTYPE_FP32, threads, &be, &err) != T2D_OK) give_up(err.message);
    const floors f = measure();
    printf("%s\ncopy %.1f GB/s, %.1f G multiply-adds/s of one thread\n\n", be->description, 1e-9 * f.bytes,
           1e-9 * f.multiply_adds);
    printf("%-26s %-16s %9s %9s %9s %9s %7s\n", "stage", "result", "ms", "cpu ms", "memory", "arith.",
           "reached");
    run_similarity(be, repeats, f);
    for (size_t i = 0; i < sizeof STAGES / sizeof *STAGES; i++) run_readout(be, &STAGES[i], repeats, f);
    be->op->close(be);
    return 0;
}
