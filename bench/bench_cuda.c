/* bench_cuda.c — every operation of a ViT-B/14 at 448 x 448 on the GPU, beside its floor: the greater of its
 * operations over the rate of a large product, and its bytes (inputs once, outputs once) over the rate of a
 * large copy, both measured in this run.  Numbers are random; every operation is queued REPEATS times between
 * two waits, and the best of five such runs counts.  Usage: bench_cuda [windows ...] */
#include <stdlib.h>
#include <string.h>

#include "cuda/machine.h"

enum {
    REPEATS = 20,
    RUNS = 5,
    DIM = 768,
    HEADS = 12,
    HIDDEN = 3072,
    GRID = 32,
    PATCHES = GRID * GRID,
    SKIP = 5
};
enum { TOKENS = SKIP + PATCHES, CLASSES = 150, SIZE = 448, LARGE = 8192 };

static const char *const dtype_names[] = {"fp32", "fp16", "bf16"};

static void give_up(const char *what)
{
    fprintf(stderr, "bench_cuda: %s\n", what);
    exit(1);
}

/* ---- a machine full of random numbers ---- */

typedef struct desk {
    t2d_backend *be;
    int windows;
    t2d_rect *rects;
    t2d_linear *patch, *qkv, *out, *up, *down;
    uint8_t *pixels;
    float *x, *features, *unit, *text, *scores, *logits, *pooled, *position, *norm;
    void *act, *wide, *mix;
    uint16_t *labels; /* host */
} desk;

static float noise(void) { return (float)rand() / (float)RAND_MAX - 0.5f; }

typedef enum kind { BYTES, FLOATS, HALVES } kind;

/* Random values; HALVES: of the machine's compute type, 0.5 to 1 with either sign. */
static void *filled(t2d_backend *be, size_t count, kind k)
{
    if (k == HALVES && be->dtype == T2D_DTYPE_FP32) k = FLOATS;
    const size_t size = k == BYTES ? 1 : k == HALVES ? 2 : sizeof(float), part = 1 << 20;
    const uint16_t exponent = be->dtype == T2D_DTYPE_FP16 ? 0x3800 : 0x3f00,
                   rest = be->dtype == T2D_DTYPE_FP16 ? 0x83ff : 0x807f;
    char *p = be->op->alloc(be, count * size);
    float *host = malloc(part * sizeof *host);
    if (!p || !host) give_up("out of memory");
    for (size_t i = 0; i < part; i++)
        if (k == BYTES)
            ((uint8_t *)host)[i] = (uint8_t)rand();
        else if (k == HALVES)
            ((uint16_t *)host)[i] = (uint16_t)(exponent | (rand() & rest));
        else
            host[i] = noise();
    for (size_t at = 0; at < count; at += part)
        be->op->upload(be, p + at * size, host, (count - at < part ? count - at : part) * size);
    free(host);
    return p;
}

static t2d_linear *random_linear(t2d_backend *be, int out, int in)
{
    t2d_error err;
    t2d_linear *lin;
    float *w = malloc((size_t)out * (size_t)in * sizeof *w), *b = malloc((size_t)out * sizeof *b);
    if (!w || !b) give_up("out of memory");
    for (size_t i = 0; i < (size_t)out * (size_t)in; i++) w[i] = 0.05f * noise();
    for (int i = 0; i < out; i++) b[i] = 0.1f * noise();
    const t2d_linear_desc d = {.name = "random", .out = out, .in = in, .weight = w, .bias = b};
    if (be->op->linear_create(be, &d, &lin, &err) != T2D_OK) give_up(err.message);
    free(w);
    free(b);
    return lin;
}

static desk open_desk(t2d_dtype dtype, int windows)
{
    desk d = {.windows = windows};
    t2d_error err;
    const size_t n = (size_t)windows, rows = n * TOKENS;
    if (t2d_backend_open("cuda", dtype, 1, &d.be, &err) != T2D_OK) give_up(err.message);
    d.rects = calloc(n, sizeof *d.rects);
    d.labels = calloc((size_t)SIZE * SIZE, sizeof *d.labels);
    if (!d.rects || !d.labels) give_up("out of memory");
    for (int i = 0; i < windows; i++) d.rects[i] = (t2d_rect){(i % 2) * 224, 0, SIZE, SIZE};
    d.patch = random_linear(d.be, DIM, 588);
    d.qkv = random_linear(d.be, 3 * DIM, DIM);
    d.out = random_linear(d.be, DIM, DIM);
    d.up = random_linear(d.be, HIDDEN, DIM);
    d.down = random_linear(d.be, DIM, HIDDEN);
    d.pixels = filled(d.be, (size_t)672 * SIZE * 3, BYTES);
    d.x = filled(d.be, rows * DIM, FLOATS);
    d.features = filled(d.be, rows * DIM, FLOATS);
    d.unit = filled(d.be, n * PATCHES * DIM, FLOATS);
    d.text = filled(d.be, (size_t)CLASSES * DIM, FLOATS);
    d.scores = filled(d.be, n * PATCHES * CLASSES, FLOATS);
    d.logits = filled(d.be, n * HEADS * PATCHES, FLOATS);
    d.pooled = filled(d.be, n * HEADS * DIM, FLOATS);
    d.position = filled(d.be, (size_t)PATCHES * DIM, FLOATS);
    d.norm = filled(d.be, DIM, FLOATS);
    d.act = filled(d.be, rows * DIM, HALVES);
    d.mix = filled(d.be, rows * DIM, HALVES);
    d.wide = filled(d.be, rows * HIDDEN, HALVES);
    return d;
}

static void close_desk(desk *d)
{
    t2d_linear *linears[] = {d->patch, d->qkv, d->out, d->up, d->down};
    void *memory[] = {d->pixels, d->x,        d->features, d->unit, d->text, d->scores, d->logits,
                      d->pooled, d->position, d->norm,     d->act,  d->mix,  d->wide};
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++)
        d->be->op->linear_destroy(d->be, linears[i]);
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) d->be->op->release(d->be, memory[i]);
    free(d->rects);
    free(d->labels);
    d->be->op->close(d->be);
}

/* ---- what is timed ---- */

static void embed(desk *d)
{
    const t2d_embed e = {.pixels = d->pixels,
                         .width = 672,
                         .height = SIZE,
                         .windows = d->rects,
                         .count = d->windows,
                         .size = SIZE,
                         .patch = 14,
                         .mean = {0.485f, 0.456f, 0.406f},
                         .std = {0.229f, 0.224f, 0.225f},
                         .projection = d->patch,
                         .cls = d->norm,
                         .registers = d->text,
                         .position = d->position,
                         .register_count = SKIP - 1,
                         .dim = DIM};
    d->be->op->embed(d->be, d->x, &e);
}
static void layernorm(desk *d)
{
    d->be->op->layernorm(d->be, d->act, false, d->x, d->norm, d->norm, d->windows * TOKENS, DIM, 1e-6f);
}
static void qkv(desk *d)
{
    d->be->op->linear(d->be, d->wide, d->act, d->qkv, d->windows, TOKENS, T2D_EPI_NONE);
}
static void attention(desk *d)
{
    d->be->op->attention(d->be, d->mix, d->wide, d->windows, TOKENS, HEADS, false);
}
static void out(desk *d) { d->be->op->linear(d->be, d->x, d->mix, d->out, d->windows, TOKENS, T2D_EPI_ADD); }
static void up(desk *d)
{
    d->be->op->linear(d->be, d->wide, d->act, d->up, d->windows, TOKENS, T2D_EPI_GELU);
}
static void down(desk *d)
{
    d->be->op->linear(d->be, d->x, d->wide, d->down, d->windows, TOKENS, T2D_EPI_ADD);
}
static void logits(desk *d)
{
    d->be->op->cls_logits(d->be, d->logits, d->wide, d->windows, TOKENS, SKIP, HEADS);
}
static void pool(desk *d)
{
    d->be->op->head_pool(d->be, d->pooled, d->logits, d->features, d->windows, TOKENS, SKIP, HEADS, DIM);
}
static void unit(desk *d)
{
    d->be->op->unit_rows(d->be, d->unit, d->features, d->windows, TOKENS, SKIP, PATCHES, DIM);
}
static void similarity(desk *d)
{
    d->be->op->similarity(d->be, d->scores, d->unit, d->text, d->windows * PATCHES, CLASSES, DIM, true);
}
static void read_out(desk *d, bool pamr)
{
    const t2d_rect whole = {0, 0, SIZE, SIZE};
    const t2d_readout job = {.scores = d->scores,
                             .window_count = 1,
                             .grid = GRID,
                             .classes = CLASSES,
                             .windows = &whole,
                             .canvas = d->pixels,
                             .canvas_width = SIZE,
                             .canvas_height = SIZE,
                             .pamr = pamr,
                             .width = SIZE,
                             .height = SIZE,
                             .labels = d->labels};
    (void)d->be->op->readout(d->be, &job, NULL);
}
static void labels(desk *d) { read_out(d, false); }
static void pamr(desk *d) { read_out(d, true); }

typedef struct operation {
    const char *name;
    void (*run)(desk *);
    double flop, act,
        fp32; /* per window: operations; values of the compute type and of fp32 (or 4 bytes) that move */
} operation;

#define T ((double)TOKENS)
#define P ((double)PATCHES)
static const operation operations[] = {
    {"embed", embed, 2 * P *DIM * 588, 0, T *DIM + P *DIM + SIZE *SIZE * 3 / 4.0},
    {"layer norm", layernorm, 0, T *DIM, T *DIM},
    {"qkv", qkv, 2 * T *DIM * 3 * DIM, T * 4 * DIM, 0},
    {"attention", attention, 4 * T *T *DIM, T * 4 * DIM, 0},
    {"out", out, 2 * T *DIM *DIM, T *DIM, 2 * T *DIM},
    {"up + gelu", up, 2 * T *DIM *HIDDEN, T *(DIM + HIDDEN), 0},
    {"down", down, 2 * T *DIM *HIDDEN, T *HIDDEN, 2 * T *DIM},
    {"CLS logits", logits, 2 * P *DIM, P *DIM, HEADS *P},
    {"head pooling", pool, 2 * P *DIM *HEADS, 0, P *DIM + HEADS *P},
    {"unit rows", unit, 0, 0, 2 * P *DIM},
    {"similarity", similarity, 2 * P *DIM *CLASSES, 0, P *(DIM + CLASSES)},
    {"labels (1 window)", labels, 0, 0, P *CLASSES + SIZE *SIZE / 2.0},
    {"PAMR (1 window)", pamr, 10 * 2 * 48.0 * SIZE *SIZE *CLASSES, 0, 10 * 2.0 * SIZE *SIZE *CLASSES},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static double best_seconds(desk *d, void (*run)(desk *))
{
    t2d_error err;
    double best = 1e9;
    for (int r = -1; r < RUNS; r++) { /* the first run warms up */
        const double start = t2d_clock();
        for (int i = 0; i < REPEATS; i++) run(d);
        if (d->be->op->finish(d->be, &err) != T2D_OK) give_up(err.message);
        const double seconds = (t2d_clock() - start) / REPEATS;
        if (r >= 0 && seconds < best) best = seconds;
    }
    return best;
}

/* ---- ceilings ---- */

static void *large_memory[3];

static void large_copy(desk *d)
{
    const t2d_cuda *cu = (const t2d_cuda *)d->be;
    const size_t bytes = (size_t)LARGE * LARGE * t2d_act_size(d->be);
    (void)cudaMemcpyAsync(large_memory[0], large_memory[1], bytes, cudaMemcpyDeviceToDevice, cu->stream);
}

static void large_product(desk *d)
{
    t2d_cuda *cu = (t2d_cuda *)d->be;
    const t2d_gemm_job job = {.y = large_memory[0],
                              .x = large_memory[1],
                              .w = large_memory[2],
                              .sequences = 1,
                              .tokens = LARGE,
                              .out = LARGE,
                              .in = LARGE,
                              .step = (size_t)LARGE * LARGE,
                              .type = d->be->dtype,
                              .result = d->be->dtype};
    if (t2d_gemm_run(cu->gemm, &job, cu->stream)) give_up("the large product failed");
}

/* Bytes per second (read and written) and operations per second. */
static void measure_ceilings(desk *d, double *bandwidth, double *rate)
{
    const size_t count = (size_t)LARGE * LARGE;
    for (int i = 0; i < 3; i++) large_memory[i] = filled(d->be, count, HALVES);
    *bandwidth = 2.0 * (double)t2d_act_size(d->be) * (double)count / best_seconds(d, large_copy);
    *rate = 2.0 * LARGE * (double)count / best_seconds(d, large_product);
    for (int i = 0; i < 3; i++) d->be->op->release(d->be, large_memory[i]);
}

/* ---- the table ---- */

static void bench(t2d_dtype dtype, int windows)
{
    desk d = open_desk(dtype, windows);
    double bandwidth, rate, tower = 0, tower_floor = 0;
    measure_ceilings(&d, &bandwidth, &rate);
    printf("%s\n%s, %d window%s of %d x %d; ceilings: %.0f GB/s, %.1f TFLOP/s\n", d.be->description,
           dtype_names[dtype], windows, windows == 1 ? "" : "s", SIZE, SIZE, bandwidth * 1e-9, rate * 1e-12);
    printf("%-18s %10s %10s %8s %9s %9s\n", "operation", "us", "floor us", "times", "GB/s", "TFLOP/s");
    for (int i = 0; i < OPERATIONS; i++) {
        const operation *o = &operations[i];
        const double n = strstr(o->name, "1 window") ? 1 : windows;
        const double bytes = n * (o->act * (double)t2d_act_size(d.be) + o->fp32 * 4), flop = n * o->flop;
        const double by_bytes = bytes / bandwidth, by_flop = flop / rate;
        const double floor_seconds = by_bytes > by_flop ? by_bytes : by_flop;
        const double seconds = best_seconds(&d, o->run);
        printf("%-18s %10.1f %10.1f %8.2f %9.0f %9.1f\n", o->name, seconds * 1e6, floor_seconds * 1e6,
               seconds / floor_seconds, bytes / seconds * 1e-9, flop / seconds * 1e-12);
        if (i >= 1 && i <= 6) {
            const int times = i == 1 ? 2 : 1; /* two norms per block */
            tower += 12 * times * seconds;
            tower_floor += 12 * times * floor_seconds;
        }
    }
    printf("%-18s %10.1f %10.1f %8.2f   (12 blocks, summed; %.0f windows/s)\n\n", "tower", tower * 1e6,
           tower_floor * 1e6, tower / tower_floor, windows / tower);
    close_desk(&d);
}

int main(int argc, char **argv)
{
    static const int usual[] = {1, 8, 31};
    const int count = argc > 1 ? argc - 1 : 3;
    for (int i = 0; i < count; i++) {
        const int windows = argc > 1 ? atoi(argv[i + 1]) : usual[i];
        if (windows < 1) give_up("usage: bench_cuda [windows ...]");
        for (int dtype = T2D_DTYPE_FP32; dtype <= T2D_DTYPE_BF16; dtype++) bench((t2d_dtype)dtype, windows);
    }
    return 0;
}
