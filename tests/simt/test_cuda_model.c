/* test_cuda_model.c — whole models through the CUDA machine: beside the CPU machine, in every type, in any
 * company. */
#include "model_test.h"

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

/* Two blocks of a ViT-S at the usual 448 x 448: 1029 tokens, six heads. */
Test(model, a_window_of_the_usual_size)
{
    t2d_image image;
    t2d_error err;
    if (!test_fast_build()) cr_skip_test("too much for the instrumented builds");
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    const char *model = needed("T2D_SMALL_MODEL");
    must(t2d_image_read(needed("T2D_TEST_PICTURE"), 0, &image, &err), &err);
    place cpu = open_model(model, "cpu", T2D_DTYPE_FP32), gpu = open_model(model, "cuda", T2D_DTYPE_FP32);
    t2d_features want = features(&cpu, &image, 448), got = features(&gpu, &image, 448);
    const size_t patches = (size_t)want.grid * want.grid, dim = (size_t)want.dim;
    cr_expect_eq(patches, 1024);
    cr_expect_lt(difference(got.patch_tokens, want.patch_tokens, patches * dim), 1e-5);
    cr_expect_lt(difference(got.cls_attention_logits, want.cls_attention_logits, want.heads * patches), 1e-5);
    cr_expect_lt(difference(got.head_embeddings, want.head_embeddings, want.heads * dim), 1e-5);
    t2d_features_release(&want);
    t2d_features_release(&got);
    t2d_image_release(&image);
    close_place(&cpu);
    close_place(&gpu);
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

/* Counts of a batch, on either machine, are those of the labels it gives. */
static void check_counts(const place *p, t2d_image images[PICTURES], const t2d_segment_options *o)
{
    enum { LABELS = CLASSES + 1 };
    t2d_error err;
    uint8_t *truth[PICTURES];
    uint32_t counts[PICTURES][LABELS * LABELS];
    t2d_counting countings[PICTURES];
    const int labels = CLASSES + o->with_background;
    memset(counts, 0xff, sizeof counts);
    for (int i = 0; i < PICTURES; i++) {
        const size_t pixels = (size_t)images[i].width * images[i].height;
        truth[i] = malloc(pixels);
        for (size_t k = 0; k < pixels; k++) truth[i][k] = (uint8_t)(images[i].pixels[3 * k] / 32 % 7);
        countings[i] = (t2d_counting){truth[i], counts[i]};
    }
    must(t2d_segment_count(p->session, p->vocab, images, PICTURES, o, countings, &err), &err);
    for (int i = 0; i < PICTURES; i++) {
        uint32_t want[LABELS * LABELS] = {0};
        uint16_t *found = segment(p, &images[i], o);
        for (int k = 0; k < images[i].width * images[i].height; k++)
            if (truth[i][k] < labels) want[truth[i][k] * labels + found[k]]++;
        cr_expect_arr_eq(counts[i], want, (size_t)(labels * labels) * sizeof *want, "picture %d", i);
        free(found);
        free(truth[i]);
    }
}

Test(model, counts_are_those_of_the_labels)
{
    static const char *const devices[] = {"cpu", "cuda"};
    t2d_image images[PICTURES];
    simt_config(test_seed(), SIMT_RANDOM, SIMT_ASYNC_RANDOM);
    open_pictures(images);
    for (int i = 0; i < 2; i++) {
        place p = open_place(devices[i], T2D_DTYPE_FP32);
        t2d_segment_options o = options_of(&p);
        for (int background = 0; background < 2; background++) {
            o.with_background = background;
            check_counts(&p, images, &o);
        }
        close_place(&p);
    }
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
    for (int again = 0; again < 3; again++) {
        uint16_t *labels = segment(&gpu, &images[0], &o);
        cr_expect_arr_eq(labels, alone[0], (size_t)images[0].width * images[0].height * sizeof *labels);
        free(labels);
    }
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
