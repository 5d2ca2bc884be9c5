/* bench_ops.c — every operation of a machine (kernels/backend.h) at the shapes of the published models: first
 * held against plain C, then timed beside the least time that its bytes and its operations can take on this
 * machine, measured in the same run.  One program for every machine: it knows operations, not chips.
 *
 * A time is the median of at least five samples; every raw sample is in the JSON file. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "desk.h"

static const char USAGE[] =
    "usage: bench_ops [options]\n"
    "  --device cpu|cuda[:N]    the machine (cpu)\n"
    "  --dtype fp32|fp16|bf16   one compute type (default: all that the machine multiplies in)\n"
    "  --threads N              (default: as many as the process may use)\n"
    "  --quick                  ViT-B at 448 alone: about a minute\n"
    "  --seconds S              of measuring per operation and shape (0.1)\n"
    "  --most S                 passes over calls whose floor is longer (0.3)\n"
    "  --only OPERATION         as in kernels/backend.h\n"
    "  --check                  no times\n"
    "  --tiny                   small shapes, with --check: a test of this program\n"
    "  --spoil OPERATION        spoils its results: they must get no time\n"
    "  --json FILE              everything, raw samples too\n"
    "Exit code: 0, 1 when a check failed, 2 misuse, 4 no such device.\n";

static struct {
    const char *device, *json;
    int dtype, threads, quick, tiny;
} opt = {.device = "cpu", .dtype = -1};

static const char *const dtypes[] = {"fp32", "fp16", "bf16"};

static const shape SIZES[] = {
    {"ViT-S/14", 384, 6, 1536, 0, 0, 5, 0, 0},
    {"ViT-B/14", 768, 12, 3072, 0, 0, 5, 0, 0},
    {"ViT-L/14", 1024, 16, 4096, 0, 0, 5, 0, 0},
};
static const shape TINY = {"tiny", 128, 2, 256, 0, 0, 5, 0, 0};
static const shape CLIP = {"CLIP text", 512, 8, 2048, 0, 0, 0, 77, 0};

static const readout_case READOUTS[] = {
    {"whole", 32, 448, 448, 0, 1, 448, 448, 21, false, false, false, false},
    {"whole", 32, 448, 448, 0, 1, 448, 448, 150, false, false, false, false},
    {"whole", 32, 448, 448, 0, 1, 448, 448, 847, false, false, false, false},
    {"whole", 37, 518, 518, 0, 1, 518, 518, 150, false, false, false, false},
    {"whole, scores", 32, 448, 448, 0, 1, 448, 448, 150, false, false, false, true},
    {"whole", 32, 683, 512, 0, 1, 683, 512, 150, false, false, false, false},
    {"slide, softmax", 32, 671, 448, 448, 224, 640, 427, 21, false, true, true, false},
    {"slide, softmax", 32, 598, 448, 448, 224, 683, 512, 150, false, true, false, false},
    {"slide, softmax", 32, 598, 448, 448, 224, 683, 512, 847, false, true, false, false},
    {"slide, softmax", 32, 672, 448, 448, 224, 6000, 4000, 150, false, true, false, false},
    {"whole, PAMR", 32, 448, 448, 0, 1, 448, 448, 21, true, false, false, false},
    {"slide, PAMR", 32, 671, 448, 448, 224, 671, 448, 21, true, false, false, false},
    {"whole, PAMR", 32, 448, 448, 0, 1, 448, 448, 150, true, false, false, false},
};
static const readout_case TINY_READOUTS[] = {
    {"whole", 4, 56, 56, 0, 1, 56, 56, 5, false, false, false, false},
    {"slide, softmax", 4, 70, 56, 56, 28, 41, 63, 5, false, true, true, true},
    {"slide, PAMR", 4, 70, 56, 56, 28, 70, 56, 3, true, false, false, false},
};

/* ---- a run in one compute type ---- */

static shape windows_of(shape s, int size, int sequences)
{
    s.size = size, s.grid = size / 14, s.sequences = sequences;
    s.tokens = s.skip + s.grid * s.grid;
    return s;
}

static void look_again(desk *d)
{
    t2d_error err = {0};
    if (d->check_only || roofs_look(d->be, &d->roof, &err)) return;
    fprintf(stderr, "bench_ops: %s\n", err.message);
    exit(1);
}

static void windows(desk *d, const shape *size, int side, int sequences)
{
    const shape s = windows_of(*size, side, sequences);
    if (sequences == 1) look_again(d);
    try_heads(d, &s);
    try_tower(d, &s);
    if (d->be->dtype != T2D_DTYPE_FP32) return; /* masks are fp32 whatever the compute type */
    if (opt.tiny || opt.quick) {
        try_masks(d, &s, opt.tiny ? 5 : 150);
    } else if (sequences == 1 || sequences == 8 || sequences == 64) {
        try_masks(d, &s, 21);
        try_masks(d, &s, 150);
        try_masks(d, &s, 847);
    }
}

static void texts(desk *d, int sequences)
{
    shape s = opt.tiny ? TINY : CLIP;
    s.tokens = opt.tiny ? 9 : 77, s.skip = 0, s.sequences = sequences;
    look_again(d);
    try_text(d, &s);
}

static void readouts(desk *d)
{
    const readout_case *cases = opt.tiny ? TINY_READOUTS : READOUTS;
    const size_t count = opt.tiny ? sizeof TINY_READOUTS / sizeof *cases : sizeof READOUTS / sizeof *cases;
    if (d->be->dtype != T2D_DTYPE_FP32) return;
    look_again(d);
    for (size_t i = 0; i < count; i++) try_readout(d, &cases[i]);
    try_memory(d);
}

static void everything(desk *d)
{
    if (opt.tiny) {
        windows(d, &TINY, 56, 1);
        windows(d, &TINY, 70, 3);
        texts(d, 3);
    } else if (opt.quick) {
        windows(d, &SIZES[1], 448, 1);
        windows(d, &SIZES[1], 448, 4);
        texts(d, 21);
    } else {
        for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
            for (int side = 448; side <= 518; side += 70)
                for (int n = 1; n <= 64; n *= 2) windows(d, &SIZES[i], side, n);
        texts(d, 7); /* a class's prompts, then those of 21 and of 150 classes */
        texts(d, 147);
        texts(d, 1050);
    }
    readouts(d);
}

/* ---- what is written down ---- */

static json_t *roofs_json(const roofs *r)
{
    json_t *copies = json_array();
    for (int i = 0; i < ROOF_COPIES; i++)
        json_array_append_new(copies,
                              json_pack("{s:I, s:f}", "bytes", (json_int_t)((size_t)ROOF_FIRST << 2 * i),
                                        "bytes_per_second", r->copy[i]));
    return json_pack("{s:f, s:f, s:o, s:O}", "product_flop_per_second", r->product,
                     "arithmetic_flop_per_second", r->arithmetic, "copies", copies, "product_samples",
                     r->products);
}

static void show_head(const desk *d)
{
    const roofs *r = &d->roof;
    printf("%s, %s; a large product %.1f GFLOP/s, fp32 multiply-adds %.1f GFLOP/s, a copy of 512 MiB %.1f "
           "GB/s, of "
           "2 MiB %.1f GB/s\n",
           d->be->description, dtypes[d->be->dtype], 1e-9 * r->product, 1e-9 * r->arithmetic,
           1e-9 * r->copy[ROOF_COPIES - 1], 1e-9 * r->copy[2]);
    printf("%-13s %-17s %-38s %10s %9s %9s %8s %9s %6s\n", "operation", "variant", "shape", "median ms",
           "least", "most", "GB/s", "GFLOP/s", "roof");
}

static void bench(desk *d, t2d_backend *be, json_t *runs)
{
    const int before = d->failed;
    d->be = be;
    d->rows = json_array();
    d->passed_over = json_array();
    look_again(d);
    if (!d->check_only) show_head(d);
    everything(d);
    if (!d->check_only)
        json_array_append_new(
            runs, json_pack("{s:s, s:s, s:s, s:i, s:o, s:O, s:O}", "dtype", dtypes[be->dtype], "device_name",
                            be->description, "choices", be->choices, "threads", be->threads, "roofs",
                            roofs_json(&d->roof), "rows", d->rows, "passed_over", d->passed_over));
    printf("%d results checked in %s, %d wrong%s", d->checked, dtypes[be->dtype], d->failed - before,
           json_array_size(d->passed_over) ? "; passed over: " : "\n\n");
    if (json_array_size(d->passed_over))
        printf("%zu shapes too long or too large\n\n", json_array_size(d->passed_over));
    roofs_release(&d->roof);
    json_decref(d->rows);
    json_decref(d->passed_over);
    d->checked = 0;
    be->op->close(be);
}

/* ---- the command line ---- */

static int misuse(const char *what)
{
    fprintf(stderr, "bench_ops: %s\n%s", what, USAGE);
    return 2;
}

static bool number(const char *text, double least, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= least && *value < 1e6;
}

static int which_dtype(const char *text)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(text, dtypes[i]) == 0) return i;
    return -1;
}

static int parse(int argc, char **argv, desk *d)
{
    static const struct option options[] = {{"device", 1, NULL, 'd'},
                                            {"dtype", 1, NULL, 't'},
                                            {"threads", 1, NULL, 'n'},
                                            {"quick", 0, NULL, 'q'},
                                            {"seconds", 1, NULL, 's'},
                                            {"most", 1, NULL, 'm'},
                                            {"only", 1, NULL, 'o'},
                                            {"check", 0, NULL, 'c'},
                                            {"tiny", 0, NULL, 'y'},
                                            {"spoil", 1, NULL, 'p'},
                                            {"json", 1, NULL, 'j'},
                                            {"help", 0, NULL, 'h'},
                                            {0}};
    double threads;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;
        switch (c) {
        case 'd':
            opt.device = optarg;
            break;
        case 't':
            good = (opt.dtype = which_dtype(optarg)) >= 0;
            break;
        case 'n':
            good = number(optarg, 0, &threads), opt.threads = (int)threads;
            break;
        case 'q':
            opt.quick = 1;
            break;
        case 's':
            good = number(optarg, 0.001, &d->seconds);
            break;
        case 'm':
            good = number(optarg, 1e-6, &d->most);
            break;
        case 'o':
            d->only = optarg;
            break;
        case 'c':
            d->check_only = true;
            break;
        case 'y':
            opt.tiny = 1;
            break;
        case 'p':
            d->spoil = optarg;
            break;
        case 'j':
            opt.json = optarg;
            break;
        case 'h':
            fputs(USAGE, stdout);
            exit(0);
        default:
            return misuse("unknown option");
        }
        if (!good) return misuse("an option's value has no meaning");
    }
    if (optind < argc) return misuse("no operand is expected");
    if (opt.tiny && !d->check_only) return misuse("--tiny wants --check: its times mean nothing");
    return 0;
}

static int write_json(const desk *d, json_t *runs)
{
    t2d_error err;
    t2d_outfile out;
    json_t *all = json_pack("{s:s, s:f, s:f, s:i, s:s, s:s, s:O}", "device", opt.device, "seconds_per_row",
                            d->seconds, "most_seconds_per_call", d->most, "failed", d->failed, "compiler",
                            __VERSION__, "flags", T2D_BENCH_FLAGS, "runs", runs);
    t2d_status status = t2d_outfile_open(&out, opt.json, &err);
    if (status == T2D_OK) {
        const bool good = json_dumpf(all, out.stream, JSON_INDENT(1) | JSON_REAL_PRECISION(7)) == 0;
        if (good) status = t2d_outfile_commit(&out, &err);
        if (!good)
            status = t2d_fail(&err, T2D_E_IO, "%s: could not be written", opt.json), t2d_outfile_abort(&out);
    }
    if (status != T2D_OK) fprintf(stderr, "bench_ops: %s\n", err.message);
    json_decref(all);
    return status == T2D_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    desk d = {.seconds = 0.1, .most = 0.3};
    int code = parse(argc, argv, &d);
    if (code) return code;
    json_t *runs = json_array();
    for (int i = 0; i < 3; i++) {
        static const t2d_dtype order[] = {T2D_DTYPE_FP32, T2D_DTYPE_BF16, T2D_DTYPE_FP16};
        t2d_error err;
        t2d_backend *be;
        if (opt.dtype >= 0 && order[i] != (t2d_dtype)opt.dtype) continue;
        const t2d_status status = t2d_backend_open(opt.device, order[i], opt.threads, &be, &err);
        if (status == T2D_OK)
            bench(&d, be, runs);
        else if (status == T2D_E_UNSUPPORTED && opt.dtype < 0)
            printf("%s is not timed: %s\n", dtypes[order[i]], err.message);
        else {
            fprintf(stderr, "bench_ops: %s\n", err.message);
            code = status == T2D_E_DEVICE ? 4 : 1;
            break;
        }
    }
    if (!code && opt.json) code = write_json(&d, runs);
    json_decref(runs);
    return code ? code : d.failed > 0;
}
