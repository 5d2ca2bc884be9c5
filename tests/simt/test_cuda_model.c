/* test_cuda_model.c — whole models through the CUDA machine: beside the CPU machine, in every type, in any
 * company, and when the device has no more memory or breaks.
 *
 * Needs a tiny model of random weights and a picture (T2D_TINY_MODEL, T2D_TEST_PICTURE: the ctest fixture
 * `tiny`). */
#include "kernel_test.h"
#include "segment/segment.h"

enum { SIZE = 112, PICTURES = 3 };

static const char *const classes[] = {"sky", "sea;water", "sand", "tree", "sun"};
enum { CLASSES = 5 };

typedef struct place {
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
} place;

static void must(t2d_status status, const t2d_error *err)
{
    cr_assert_eq(status, T2D_OK, "%s", err->message);
}

static const char *needed(const char *variable)
{
    const char *path = getenv(variable);
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f)
        cr_skip_test("%s names no file: the fixture did not run (python3 with numpy and xxhash)", variable);
    fclose(f);
    return path;
}

static place open_place(const char *device, t2d_dtype dtype)
{
    place p;
    t2d_error err;
    const t2d_engine_options options = {.device = device, .dtype = dtype, .threads = 1};
    must(t2d_engine_open(needed("T2D_TINY_MODEL"), &options, &p.engine, &err), &err);
    must(t2d_vocab_create(p.engine, classes, CLASSES, NULL, &p.vocab, &err), &err);
    must(t2d_session_create(p.engine, &p.session, &err), &err);
    return p;
}

static void close_place(place *p)
{
    t2d_session_destroy(p->session);
    t2d_vocab_destroy(p->vocab);
    t2d_engine_close(p->engine);
}

/* Pieces of the picture, each larger than the one before: memory has to grow on the way. */
static void open_pictures(t2d_image images[PICTURES])
{
    static const int sizes[PICTURES][2] = {{112, 112}, {97, 140}, {150, 113}};
    t2d_image all;
    t2d_error err;
    must(t2d_image_read(needed("T2D_TEST_PICTURE"), 0, &all, &err), &err);
    for (int i = 0; i < PICTURES; i++) {
        const int w = sizes[i][0], h = sizes[i][1];
        images[i] = (t2d_image){.width = w, .height = h, .pixels = malloc((size_t)w * h * 3)};
        for (int y = 0; y < h; y++)
            memcpy(images[i].pixels + (size_t)y * w * 3,
                   all.pixels + ((size_t)(y + 60 * i) * all.width + 90 * i) * 3, (size_t)w * 3);
    }
    t2d_image_release(&all);
}

static void close_pictures(t2d_image images[PICTURES])
{
    for (int i = 0; i < PICTURES; i++) free(images[i].pixels);
}

static t2d_segment_options options_of(const place *p)
{
    t2d_segment_options o;
    t2d_segment_defaults(p->engine, &o);
    o.size = SIZE;
    o.stride = SIZE / 2;
    o.short_side = SIZE + 20;
    return o;
}

static uint16_t *segment(const place *p, const t2d_image *image, const t2d_segment_options *o)
{
    t2d_error err;
    t2d_mask mask = {0};
    must(t2d_segment(p->session, p->vocab, image, o, &mask, NULL, &err), &err);
    return mask.ids;
}

static void expect_no_findings(void) { cr_assert_eq(simt_errors(), 0, "%s", simt_first_error()); }

/* ---- numbers ---- */

/* Greatest difference, relative to the greatest value. */
static double difference(const float *got, const float *want, size_t count)
{
    double worst = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, isfinite(got[i]) ? fabs((double)got[i] - (double)want[i]) : INFINITY);
        scale = fmax(scale, fabs((double)want[i]));
    }
    return worst / scale;
}

static double relative_l2(const float *got, const float *want, size_t count)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        error += pow((double)got[i] - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    return sqrt(error / norm);
}

static t2d_features features(const place *p, const t2d_image *image, int size)
{
    t2d_error err;
    t2d_features f;
    must(t2d_features_compute(p->session, image, size, 0, &f, &err), &err);
    return f;
}

Test(model, fp32_equals_the_cpu)
{
    t2d_image images[PICTURES];
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place cpu = open_place("cpu", T2D_DTYPE_FP32), gpu = open_place("cuda", T2D_DTYPE_FP32);
    t2d_features want = features(&cpu, &images[0], SIZE), got = features(&gpu, &images[0], SIZE);
    const size_t patches = (size_t)want.grid * want.grid, dim = (size_t)want.dim, heads = (size_t)want.heads;
    cr_expect_lt(difference(got.patch_tokens, want.patch_tokens, patches * dim), 1e-5);
    cr_expect_lt(difference(got.cls, want.cls, dim), 1e-5);
    cr_expect_lt(difference(got.register_tokens, want.register_tokens, want.registers * dim), 1e-5);
    cr_expect_lt(difference(got.cls_attention_logits, want.cls_attention_logits, heads * patches), 1e-5);
    cr_expect_lt(difference(got.head_embeddings, want.head_embeddings, heads * dim), 1e-5);
    cr_expect_lt(difference(t2d_vocab_vectors(gpu.vocab), t2d_vocab_vectors(cpu.vocab),
                            (size_t)t2d_vocab_rows(cpu.vocab) * dim),
                 1e-5);
    t2d_features_release(&want);
    t2d_features_release(&got);
    close_place(&cpu);
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

Test(model, half_types_are_close)
{
    static const t2d_dtype types[] = {T2D_DTYPE_FP16, T2D_DTYPE_BF16};
    static const double most[] = {2e-3, 1.5e-2}; /* tests/test_half.c says why */
    t2d_image images[PICTURES];
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place cpu = open_place("cpu", T2D_DTYPE_FP32);
    t2d_features want = features(&cpu, &images[0], SIZE);
    for (int i = 0; i < 2; i++) {
        place gpu = open_place("cuda", types[i]);
        t2d_features got = features(&gpu, &images[0], SIZE);
        const double error =
            relative_l2(got.patch_tokens, want.patch_tokens, (size_t)want.grid * want.grid * want.dim);
        cr_expect_leq(error, most[i], "%s: relative L2 %.2e", test_type_names[types[i]], error);
        t2d_features_release(&got);
        close_place(&gpu);
    }
    t2d_features_release(&want);
    close_place(&cpu);
    close_pictures(images);
    expect_no_findings();
}

/* The CPU's labels on at least 99.99 % of the pixels, in every way to segment. */
Test(model, labels_equal_the_cpu)
{
    t2d_image images[PICTURES];
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place cpu = open_place("cpu", T2D_DTYPE_FP32), gpu = open_place("cuda", T2D_DTYPE_FP32);
    size_t pixels = 0, same = 0;
    for (int way = 0; way < (test_fast_build() ? 16 : 4); way++) {
        t2d_segment_options o = options_of(&cpu);
        o.mode = way & 1 ? T2D_WHOLE : T2D_SLIDE;
        o.with_background = way >> 1 & 1;
        o.clean = way >> 2 & 1;
        o.pamr = way >> 3 & 1;
        const t2d_image *image = &images[way % PICTURES];
        uint16_t *want = segment(&cpu, image, &o), *got = segment(&gpu, image, &o);
        for (int i = 0; i < image->width * image->height; i++, pixels++) same += want[i] == got[i];
        free(want);
        free(got);
    }
    cr_expect((double)same >= 0.9999 * (double)pixels, "%zu of %zu labels are the CPU's", same, pixels);
    close_place(&cpu);
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

/* Up and down again, in pieces that are no multiples of the staging memory. */
Test(model, copies_of_any_size)
{
    static const size_t sizes[] = {1, 255, 257, 8 << 20, (8 << 20) + 1, (40 << 20) + 12345};
    t2d_backend *be;
    t2d_error err;
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    must(t2d_backend_open("cuda", T2D_DTYPE_FP32, 1, &be, &err), &err);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *from = malloc(sizes[i]), *back = calloc(1, sizes[i]), *there = be->op->alloc(be, sizes[i]);
        for (size_t b = 0; b < sizes[i]; b++) from[b] = (char)(b * 7 + b / 4099);
        be->op->upload(be, there, from, sizes[i]);
        must(be->op->download(be, back, there, sizes[i], &err), &err);
        cr_expect(memcmp(from, back, sizes[i]) == 0, "%zu bytes come back changed", sizes[i]);
        be->op->release(be, there);
        free(from);
        free(back);
    }
    be->op->close(be);
    expect_no_findings();
}

/* ---- company ---- */

/* Alone, alone again (a recording), once more (its replay), and with two others in one batch: the same bits.
 */
Test(model, same_bits_in_any_company)
{
    t2d_image images[PICTURES];
    uint16_t *alone[PICTURES];
    t2d_error err;
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_BF16);
    const t2d_segment_options o = options_of(&gpu);
    for (int i = 0; i < PICTURES; i++) alone[i] = segment(&gpu, &images[i], &o);
    simt_get_stats(1);
    for (int again = 0; again < 3; again++) {
        uint16_t *labels = segment(&gpu, &images[0], &o);
        cr_expect_arr_eq(labels, alone[0], (size_t)images[0].width * images[0].height * sizeof *labels);
        free(labels);
    }
    cr_expect_eq(simt_get_stats(1).graph_launches, 2);
    t2d_mask masks[PICTURES] = {{0}};
    must(t2d_segment_batch(gpu.session, gpu.vocab, images, PICTURES, &o, masks, NULL, &err), &err);
    for (int i = 0; i < PICTURES; i++) {
        cr_expect_arr_eq(masks[i].ids, alone[i],
                         (size_t)images[i].width * images[i].height * sizeof *masks[i].ids,
                         "picture %d changes in company", i);
        t2d_mask_release(&masks[i]);
        free(alone[i]);
    }
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

/* Once warm, a batch asks for no memory and waits once. */
Test(model, steady_state)
{
    t2d_image images[PICTURES];
    t2d_error err;
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP16);
    const t2d_segment_options o = options_of(&gpu);
    for (int again = 0; again < 4; again++) {
        t2d_mask masks[PICTURES] = {{0}};
        simt_get_stats(1);
        must(t2d_segment_batch(gpu.session, gpu.vocab, images, PICTURES, &o, masks, NULL, &err), &err);
        for (int i = 0; i < PICTURES; i++) t2d_mask_release(&masks[i]);
        if (again == 0) continue;
        const simt_stats now = simt_get_stats(1);
        cr_expect_eq(now.allocations, 0, "run %d allocates %ld times", again, now.allocations);
        cr_expect_eq(now.waits, 1, "run %d waits %ld times", again, now.waits);
    }
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

/* ---- faults ---- */

Test(model, less_memory_means_smaller_batches)
{
    t2d_image images[PICTURES];
    t2d_error err;
    int planned;
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP32);
    const t2d_segment_options o = options_of(&gpu);
    uint16_t *want = segment(&gpu, &images[0], &o);
    cr_expect_eq(t2d_session_tokens(gpu.session, &planned), planned);
    const size_t all = simt_memory_used();
    t2d_session_destroy(gpu.session);
    const size_t without = simt_memory_used();
    must(t2d_session_create(gpu.engine, &gpu.session, &err), &err);
    simt_memory_limit(without + (all - without) * 6 / 10);
    uint16_t *got = segment(&gpu, &images[0], &o);
    cr_expect_lt(t2d_session_tokens(gpu.session, &planned), planned);
    cr_expect_arr_eq(got, want, (size_t)images[0].width * images[0].height * sizeof *got);

    simt_memory_limit(without + 1000); /* no room for a single window */
    t2d_session *poor;
    t2d_mask mask = {0};
    must(t2d_session_create(gpu.engine, &poor, &err), &err);
    cr_expect_eq(t2d_segment(poor, gpu.vocab, &images[0], &o, &mask, NULL, &err), T2D_E_MEMORY);
    cr_expect_not_null(strstr(err.message, "out of memory on cuda:0"), "%s", err.message);
    cr_expect_null(mask.ids);
    simt_memory_limit((size_t)1 << 33); /* room again: the same session goes on */
    must(t2d_segment(poor, gpu.vocab, &images[0], &o, &mask, NULL, &err), &err);
    cr_expect_arr_eq(mask.ids, want, (size_t)images[0].width * images[0].height * sizeof *want);
    free(want);
    free(got);
    t2d_mask_release(&mask);
    t2d_session_destroy(poor);
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

Test(model, a_broken_device_is_told)
{
    t2d_image images[PICTURES];
    t2d_error err;
    t2d_mask mask = {0};
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    place gpu = open_place("cuda", T2D_DTYPE_FP32);
    const t2d_segment_options o = options_of(&gpu);
    simt_break_device(cudaErrorECCUncorrectable);
    cr_expect_eq(t2d_segment(gpu.session, gpu.vocab, &images[0], &o, &mask, NULL, &err), T2D_E_DEVICE);
    cr_expect_not_null(strstr(err.message, "ECC"), "%s", err.message);
    cr_expect_null(mask.ids);
    simt_break_device(0);
    free(segment(&gpu, &images[0], &o)); /* nothing of the old failure is left */
    close_place(&gpu);
    close_pictures(images);
    expect_no_findings();
}

static void expect_refusal(const char *device, t2d_status want, const char *part)
{
    t2d_error err;
    t2d_backend *be;
    cr_expect_eq(t2d_backend_open(device, T2D_DTYPE_FP32, 1, &be, &err), want, "%s: %s", device, err.message);
    cr_expect_null(be);
    cr_expect_not_null(strstr(err.message, part), "%s", err.message);
}

Test(model, devices_that_are_not_there)
{
    t2d_backend *be;
    t2d_error err;
    expect_refusal("cuda:1", T2D_E_DEVICE, "there is 1 CUDA device");
    expect_refusal("cuda:", T2D_E_ARGUMENT, "with a number");
    expect_refusal("cuda:x", T2D_E_ARGUMENT, "with a number");
    expect_refusal("gpu", T2D_E_ARGUMENT, "unknown");
    simt_set_devices(1, 7, 5);
    expect_refusal("cuda", T2D_E_DEVICE, "too old");
    simt_set_devices(0, 0, 0);
    expect_refusal("cuda", T2D_E_DEVICE, "driver");
    must(t2d_backend_open("auto", T2D_DTYPE_FP32, 1, &be, &err), &err);
    cr_expect_str_eq(be->device, "cpu");
    be->op->close(be);
    simt_set_devices(2, 9, 0);
    must(t2d_backend_open("auto", T2D_DTYPE_FP32, 1, &be, &err), &err);
    cr_expect_str_eq(be->device, "cuda:0");
    be->op->close(be);
}
