/* ours.c — this engine as a contender: the protocol of worker.py, the same three tasks, the same clock. */
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io/io.h"
#include "segment/segment.h"

enum { SIZE = 448, GRID = 32, PATCHES = GRID * GRID, WARM_UP = 2 }; /* as in model.py */
enum { MASK_WIDTH = 683, MASK_HEIGHT = 512, MASK_CLASSES = 150, PAMR_WIDTH = 671, PAMR_CLASSES = 21 };

static struct {
    const char *folder, *model, *task, *device;
    t2d_dtype dtype;
    int threads, dim;
    t2d_engine *engine;
    t2d_session *session;
    t2d_backend *be;
    void *input[2]; /* host, as the files have them */
    size_t bytes[2];
    float *at[2], *unit, *scores; /* on the machine */
    t2d_features features;
    uint16_t *labels;
} my;

static void must(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "ours: %s\n", what);
    exit(1);
}

static t2d_error err;

static void good(t2d_status status) { must(status == T2D_OK, err.message); }

static void say(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

/* A NumPy file's values: version 1.0, a header whose length is at byte 8. */
static void load(int index, const char *name, size_t bytes)
{
    char path[4096];
    unsigned char *file;
    size_t count;
    snprintf(path, sizeof path, "%s/%s.npy", my.folder, name);
    good(t2d_read_file(path, (size_t)1 << 30, &file, &count, &err));
    must(count > 10 && count == 10 + bytes + file[8] + 256u * file[9], "an input file has another size");
    my.input[index] = t2d_new(bytes, 1, name, &err);
    must(my.input[index] != NULL, err.message);
    memcpy(my.input[index], file + count - bytes, bytes);
    my.bytes[index] = bytes;
    free(file);
    my.at[index] = my.be->op->alloc(my.be, bytes);
    must(my.at[index] != NULL, "out of memory");
}

static float *room(size_t floats)
{
    float *p = my.be->op->alloc(my.be, floats * sizeof *p);
    must(p != NULL, "out of memory");
    return p;
}

/* ---- the tasks ---- */

static void features_task(void)
{
    const t2d_image image = {SIZE, SIZE, my.input[0]};
    t2d_features_release(&my.features);
    good(t2d_features_compute(my.session, &image, SIZE, 0, &my.features, &err));
}

static void read_out(const t2d_readout *job)
{
    good(my.be->op->readout(my.be, job, &err));
    good(my.be->op->finish(my.be, &err));
}

static void masks_task(void)
{
    const t2d_ops *op = my.be->op;
    const t2d_rect whole = {0, 0, MASK_WIDTH, MASK_HEIGHT};
    for (int i = 0; i < 2; i++) op->upload(my.be, my.at[i], my.input[i], my.bytes[i]);
    op->unit_rows(my.be, my.unit, my.at[0], 1, PATCHES, 0, PATCHES, my.dim);
    op->similarity(my.be, my.scores, my.unit, my.at[1], PATCHES, MASK_CLASSES, my.dim, true);
    const t2d_readout job = {.scores = my.scores,
                             .window_count = 1,
                             .grid = GRID,
                             .classes = MASK_CLASSES,
                             .windows = &whole,
                             .canvas_width = MASK_WIDTH,
                             .canvas_height = MASK_HEIGHT,
                             .width = MASK_WIDTH,
                             .height = MASK_HEIGHT,
                             .labels = my.labels};
    read_out(&job);
}

static void pamr_task(void)
{
    static const t2d_rect windows[] = {{0, 0, SIZE, SIZE}, {PAMR_WIDTH - SIZE, 0, SIZE, SIZE}};
    for (int i = 0; i < 2; i++) my.be->op->upload(my.be, my.at[i], my.input[i], my.bytes[i]);
    const t2d_readout job = {.scores = my.at[0],
                             .window_count = 2,
                             .grid = GRID,
                             .classes = PAMR_CLASSES,
                             .windows = windows,
                             .canvas = (const uint8_t *)my.at[1],
                             .canvas_width = PAMR_WIDTH,
                             .canvas_height = SIZE,
                             .pamr = true,
                             .width = PAMR_WIDTH,
                             .height = SIZE,
                             .labels = my.labels};
    read_out(&job);
}

static void (*prepare(void))(void)
{
    if (strcmp(my.task, "features") == 0) {
        load(0, "picture", (size_t)SIZE * SIZE * 3);
        return features_task;
    }
    my.labels = calloc((size_t)MASK_WIDTH * MASK_HEIGHT, sizeof *my.labels); /* PAMR's are fewer */
    must(my.labels != NULL, "out of memory");
    if (strcmp(my.task, "masks") == 0) {
        load(0, "features", (size_t)PATCHES * (size_t)my.dim * 4);
        load(1, "text", (size_t)MASK_CLASSES * (size_t)my.dim * 4);
        my.unit = room((size_t)PATCHES * (size_t)my.dim);
        my.scores = room((size_t)PATCHES * MASK_CLASSES);
        return masks_task;
    }
    must(strcmp(my.task, "pamr") == 0, "--task features, masks or pamr");
    load(0, "scores", (size_t)2 * PATCHES * PAMR_CLASSES * 4);
    load(1, "canvas", (size_t)PAMR_WIDTH * SIZE * 3);
    return pamr_task;
}

static void save(const char *path)
{
    if (!my.labels) {
        const int shape[2] = {PATCHES, my.dim};
        good(t2d_npy_write(path, my.features.patch_tokens, shape, 2, &err));
        return;
    }
    const bool pamr = strcmp(my.task, "pamr") == 0;
    const int shape[2] = {pamr ? SIZE : MASK_HEIGHT, pamr ? PAMR_WIDTH : MASK_WIDTH};
    const size_t count = (size_t)shape[0] * (size_t)shape[1];
    float *values = t2d_new(count, sizeof *values, "labels", &err);
    must(values != NULL, err.message);
    for (size_t i = 0; i < count; i++) values[i] = my.labels[i];
    good(t2d_npy_write(path, values, shape, 2, &err));
    free(values);
}

/* ---- the protocol ---- */

static void serve(void (*run)(void))
{
    t2d_engine_info info;
    char line[4200];
    t2d_engine_describe(my.engine, &info);
    for (int i = 0; i < WARM_UP; i++) run();
    say(json_pack("{s:s, s:s, s:{s:i, s:s, s:s}}", "name", "ours", "version", t2d_version(), "settings",
                  "threads", info.threads, "machine", info.device_name, "choices", my.be->choices));
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const double start = t2d_clock();
        if (strcmp(line, "go") == 0) {
            run();
            say(json_pack("{s:f}", "seconds", t2d_clock() - start));
        } else if (strncmp(line, "save ", 5) == 0) {
            save(line + 5);
            say(json_pack("{s:s}", "saved", line + 5));
        } else {
            break;
        }
    }
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {{"folder", 1, NULL, 'f'},
                                            {"model", 1, NULL, 'm'},
                                            {"task", 1, NULL, 't'},
                                            {"dtype", 1, NULL, 'y'},
                                            {"device", 1, NULL, 'd'},
                                            {"threads", 1, NULL, 'n'},
                                            {0}};
    my.device = "cpu";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (c) {
        case 'f':
            my.folder = optarg;
            break;
        case 'm':
            my.model = optarg;
            break;
        case 't':
            my.task = optarg;
            break;
        case 'd':
            my.device = optarg;
            break;
        case 'n':
            my.threads = atoi(optarg);
            break;
        case 'y':
            my.dtype = strcmp(optarg, "bf16") == 0   ? T2D_DTYPE_BF16
                       : strcmp(optarg, "fp16") == 0 ? T2D_DTYPE_FP16
                                                     : T2D_DTYPE_FP32;
            break;
        default:
            exit(2);
        }
    must(my.folder && my.model && my.task, "--folder, --model and --task are wanted");
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    const t2d_engine_options options = {.device = my.device, .dtype = my.dtype, .threads = my.threads};
    const t2d_status status = t2d_engine_open(my.model, &options, &my.engine, &err);
    if (status == T2D_E_UNSUPPORTED || status == T2D_E_DEVICE) {
        say(json_pack("{s:s}", "unsupported", err.message));
        return 0;
    }
    must(status == T2D_OK, err.message);
    t2d_engine_info info;
    t2d_engine_describe(my.engine, &info);
    my.dim = info.vision_dim;
    good(t2d_session_create(my.engine, &my.session, &err));
    good(t2d_engine_backend(my.engine, &my.be, &err));
    serve(prepare());
    t2d_features_release(&my.features);
    for (int i = 0; i < 2; i++) {
        my.be->op->release(my.be, my.at[i]);
        free(my.input[i]);
    }
    my.be->op->release(my.be, my.unit);
    my.be->op->release(my.be, my.scores);
    my.be->op->close(my.be);
    free(my.labels);
    t2d_session_destroy(my.session);
    t2d_engine_close(my.engine);
    return 0;
}
