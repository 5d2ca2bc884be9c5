/* bench_eval.c — evaluation end to end on the CPU, and where its time goes: what is not the forward pass
 * should be small beside it.  Usage: bench_eval MODEL PRESET DATA [fp32|bf16 [threads [FILE.json]]]
 *
 * Every stage is timed alone, on the same pictures: reading (decode and labels), OpenCV's resize, the readout
 * (upsampling, means, resize back, softmax, argmax) on scores of the same shape, and counting.  The forward
 * pass is what remains of the public call. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"
#include "segment/segment.h"

typedef struct bench {
    t2d_engine *engine;
    t2d_session *session;
    t2d_vocab *vocab;
    t2d_backend *be;
    t2d_preset *preset;
    t2d_listing listing;
    t2d_segment_options options;
    t2d_counter counter;
} bench;

/* Wall clock, and CPU time of all threads: on a busy machine the second is the one to read. */
typedef struct spent {
    double wall, cpu;
} spent;

typedef struct stages {
    spent read, resize, segment, readout, count;
} stages;

static void give_up(const char *what)
{
    fprintf(stderr, "bench_eval: %s\n", what);
    exit(1);
}

static spent now(void) { return (spent){t2d_clock(), t2d_cpu_clock()}; }

static void add_since(spent *sum, spent start)
{
    const spent end = now();
    sum->wall += end.wall - start.wall;
    sum->cpu += end.cpu - start.cpu;
}

static void must(t2d_status status, const t2d_error *err)
{
    if (status != T2D_OK) give_up(err->message);
}

static bench bench_open(const char *model, const char *preset, const char *data, t2d_dtype dtype, int threads)
{
    bench b = {0};
    t2d_error err;
    const t2d_engine_options options = {.device = "cpu", .dtype = dtype, .threads = threads};
    must(t2d_preset_open(preset, &b.preset, &err), &err);
    must(t2d_listing_open(b.preset, data, NULL, &b.listing, &err), &err);
    must(t2d_engine_open(model, &options, &b.engine, &err), &err);
    must(t2d_engine_backend(b.engine, &b.be, &err), &err);
    must(t2d_session_create(b.engine, &b.session, &err), &err);
    const int skip = b.preset->with_background ? 1 : 0;
    must(t2d_vocab_create(b.engine, b.preset->classes + skip, b.preset->label_count - skip, NULL, &b.vocab,
                          &err),
         &err);
    must(t2d_counter_init(&b.counter, b.preset->label_count, &err), &err);
    t2d_segment_defaults(b.engine, &b.options);
    b.options.with_background = b.preset->with_background;
    b.options.background = b.preset->threshold;
    b.options.clean = b.preset->clean;
    return b;
}

static void bench_close(bench *b)
{
    t2d_counter_release(&b->counter);
    t2d_vocab_destroy(b->vocab);
    t2d_session_destroy(b->session);
    b->be->op->close(b->be);
    t2d_engine_close(b->engine);
    t2d_listing_release(&b->listing);
    t2d_preset_close(b->preset);
}

/* The readout of a picture of this size; its scores are noise. */
static void time_readout(const bench *b, const t2d_image *picture, int width, int height,
                         const uint8_t *canvas, spent *sum)
{
    const t2d_segment_options *o = &b->options;
    const int count =
        t2d_window_count(width, o->size, o->stride) * t2d_window_count(height, o->size, o->stride);
    const int grid = o->size / b->engine->model.config.vision.patch, classes = t2d_vocab_count(b->vocab);
    const size_t scores = (size_t)count * (size_t)grid * (size_t)grid * (size_t)classes;
    t2d_error err;
    t2d_rect *windows = t2d_new((size_t)count, sizeof *windows, "windows", &err);
    float *maps = t2d_new(scores, sizeof *maps, "scores", &err);
    uint16_t *labels =
        t2d_new((size_t)picture->width * (size_t)picture->height, sizeof *labels, "labels", &err);
    if (!windows || !maps || !labels) give_up(err.message);
    t2d_windows_place(width, height, o->size, o->stride, windows);
    for (size_t i = 0; i < scores; i++) maps[i] = 0.4f + 0.2f * (float)rand() / (float)RAND_MAX;
    const t2d_readout job = {.scores = maps,
                             .window_count = count,
                             .grid = grid,
                             .classes = classes,
                             .windows = windows,
                             .canvas = canvas,
                             .canvas_width = width,
                             .canvas_height = height,
                             .with_background = o->with_background,
                             .background = o->background,
                             .softmax = true,
                             .width = picture->width,
                             .height = picture->height,
                             .labels = labels};
    const spent start = now();
    must(b->be->op->readout(b->be, &job, &err), &err);
    add_since(sum, start);
    free(windows);
    free(maps);
    free(labels);
}

static void time_picture(bench *b, int64_t index, stages *sum)
{
    t2d_error err;
    t2d_sample sample;
    t2d_mask mask = {0};
    int width, height;
    spent start = now();
    t2d_sample_read(&b->listing, index, &sample);
    add_since(&sum->read, start);
    must(sample.status, &sample.err);
    const t2d_image *picture = &sample.picture;
    t2d_keep_ratio_size(picture->width, picture->height, b->options.long_side, b->options.short_side, &width,
                        &height);
    uint8_t *canvas = t2d_new((size_t)width * (size_t)height, 3, "canvas", &err);
    if (!canvas) give_up(err.message);
    start = now();
    must(t2d_resize_cv2_linear(picture->pixels, picture->width, picture->height, canvas, width, height,
                               b->be->threads, &err),
         &err);
    add_since(&sum->resize, start);
    start = now();
    must(t2d_segment(b->session, b->vocab, picture, &b->options, &mask, NULL, &err), &err);
    add_since(&sum->segment, start);
    time_readout(b, picture, width, height, canvas, &sum->readout);
    start = now();
    must(t2d_counter_count(&b->counter, &sample.truth, &mask, &err), &err);
    add_since(&sum->count, start);
    free(canvas);
    t2d_mask_release(&mask);
    t2d_sample_release(&sample);
}

static json_t *show(const char *name, spent part, int64_t pictures, spent forward)
{
    const double n = (double)pictures;
    printf("%-8s %9.2f %9.2f %9.2f %9.2f\n", name, 1e3 * part.wall / n, 100 * part.wall / forward.wall,
           1e3 * part.cpu / n, 100 * part.cpu / forward.cpu);
    return json_pack("{s:s, s:f, s:f}", "stage", name, "seconds", part.wall / n, "cpu_seconds", part.cpu / n);
}

static json_t *report(const bench *b, const stages *s)
{
    const spent *parts[] = {&s->read, &s->resize, &s->readout, &s->count};
    static const char *const names[] = {"read", "resize", "readout", "count"};
    const int64_t pictures = b->listing.count;
    const spent forward = {s->segment.wall - s->resize.wall - s->readout.wall,
                           s->segment.cpu - s->resize.cpu - s->readout.cpu};
    spent rest = {0};
    json_t *rows = json_array();
    printf("%-8s %9s %9s %9s %9s\n", "stage", "ms", "% forward", "cpu ms", "% forward");
    json_array_append_new(rows, show("forward", forward, pictures, forward));
    for (int i = 0; i < 4; i++) {
        json_array_append_new(rows, show(names[i], *parts[i], pictures, forward));
        rest.wall += parts[i]->wall;
        rest.cpu += parts[i]->cpu;
    }
    json_array_append_new(rows, show("the rest", rest, pictures, forward));
    return rows;
}

/* What is wrong has no speed: every label is one of the preset's, and the same picture twice has the same. */
static void check(bench *b)
{
    t2d_error err;
    t2d_sample sample;
    t2d_mask masks[2] = {{0}, {0}};
    t2d_sample_read(&b->listing, 0, &sample);
    must(sample.status, &sample.err);
    for (int i = 0; i < 2; i++)
        must(t2d_segment(b->session, b->vocab, &sample.picture, &b->options, &masks[i], NULL, &err), &err);
    const size_t count = (size_t)masks[0].width * (size_t)masks[0].height;
    if (memcmp(masks[0].ids, masks[1].ids, count * sizeof *masks[0].ids) != 0)
        give_up("no speed for a wrong answer: the same picture twice has different labels");
    for (size_t i = 0; i < count; i++)
        if (masks[0].ids[i] >= masks[0].labels) give_up("no speed for a wrong answer: an unknown label");
    for (int i = 0; i < 2; i++) t2d_mask_release(&masks[i]);
    t2d_sample_release(&sample);
}

int main(int argc, char **argv)
{
    if (argc < 4) give_up("usage: bench_eval MODEL PRESET DATA [fp32|bf16 [threads [FILE.json]]]");
    const bool half = argc > 4 && strcmp(argv[4], "bf16") == 0;
    bench b = bench_open(argv[1], argv[2], argv[3], half ? T2D_DTYPE_BF16 : T2D_DTYPE_FP32,
                         argc > 5 ? atoi(argv[5]) : 0);
    stages sum = {0}, warm = {0};
    check(&b);
    time_picture(&b, 0, &warm);
    for (int64_t i = 0; i < b.listing.count; i++) time_picture(&b, i, &sum);
    printf("%s, %s, %d classes, mean of %lld pictures\n", b.be->description, half ? "bf16" : "fp32",
           t2d_vocab_count(b.vocab), (long long)b.listing.count);
    json_t *all = json_pack("{s:s, s:s, s:i, s:I, s:o}", "preset", argv[2], "dtype", half ? "bf16" : "fp32",
                            "classes", t2d_vocab_count(b.vocab), "pictures", (json_int_t)b.listing.count,
                            "stages", report(&b, &sum));
    if (argc > 6 && json_dump_file(all, argv[6], JSON_INDENT(1)) != 0)
        give_up("the JSON file is not written");
    json_decref(all);
    bench_close(&b);
    return 0;
}
