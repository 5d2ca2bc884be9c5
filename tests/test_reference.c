/* test_reference.c — whole models, stage by stage, against what the published code answers on the CPU in
 * fp32.
 *
 * Needs T2D_REFERENCE (the folder of reference cases) and the models that the exporter made of them (the
 * ctest fixture `reference_models`).  Tolerances: features and embeddings within 1e-4 of their scale, soft
 * masks within 2e-5, labels on 99.99 % of pixels, the resized picture to the bit. */
#include "reference_bench.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { MAX_CLASSES = 16 };

/* ---- comparisons ---- */

static void expect_close(const ref_case *c, const char *stage, const float *got, const float *want,
                         size_t count, double tolerance)
{
    double scale = 0, worst = 0;
    for (size_t i = 0; i < count; i++) scale = fmax(scale, fabs((double)want[i]));
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, isfinite(got[i]) ? fabs((double)got[i] - (double)want[i]) : INFINITY);
    cr_expect(worst <= tolerance * scale, "%s: %s differs by %g of its scale %g, at most %g", c->name, stage,
              worst / scale, scale, tolerance);
}

static void expect_stage(const ref_case *c, const char *stage, const float *got, size_t count)
{
    size_t have;
    float *want = ref_floats(c, stage, &have);
    cr_assert_eq(have, count, "%s: %s has %zu values, we have %zu", c->name, stage, have, count);
    expect_close(c, stage, got, want, count, 1e-4);
    free(want);
}

static void expect_labels(const ref_case *c, const char *stage, const uint16_t *got, double least)
{
    size_t count;
    int32_t *want = ref_ints(c, stage, &count);
    size_t same = 0;
    cr_assert_eq(count, (size_t)c->image.width * (size_t)c->image.height);
    for (size_t i = 0; i < count; i++) same += want[i] == got[i];
    cr_expect((double)same >= least * (double)count,
              "%s: %s agrees on %zu of %zu pixels (%.4f %%), at least %.2f %%", c->name, stage, same, count,
              100.0 * (double)same / (double)count, 100 * least);
    free(want);
}

/* scores [classes, height, width] against the whole map, or against its samples [..., ::37, ::41]. */
static void expect_masks(const ref_case *c, const char *stage, const float *scores, int classes)
{
    const int w = c->image.width, h = c->image.height;
    char probe[64];
    size_t count, n = 0;
    snprintf(probe, sizeof probe, "%s_probe", stage);
    const int sampled = !ref_has(c, stage), dy = sampled ? 37 : 1, dx = sampled ? 41 : 1;
    float *want = ref_floats(c, sampled ? probe : stage, &count);
    double worst = 0;
    for (int k = 0; k < classes; k++)
        for (int y = 0; y < h; y += dy)
            for (int x = 0; x < w; x += dx, n++)
                worst = fmax(
                    worst, fabs((double)scores[((size_t)k * (size_t)h + (size_t)y) * (size_t)w + (size_t)x] -
                                (double)want[n < count ? n : 0]));
    cr_assert_eq(n, count, "%s: %s has %zu values, we looked at %zu", c->name, stage, count, n);
    cr_expect(worst <= 2e-5, "%s: %s differs by %g, at most 2e-5", c->name, stage, worst);
    free(want);
}

/* ---- tests ---- */

Test(reference, text)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        bench b = open_bench(&c, T2D_DTYPE_FP32, 2);
        size_t count;
        int32_t *want = ref_ints(&c, "text_tokens", &count);
        const char *const *prompts;
        int prompt_count;
        prompts = t2d_templates_find("sub_imagenet_template", &prompt_count);
        cr_assert_eq(count, (size_t)(c.class_count * prompt_count * 77));
        char *first[MAX_CLASSES];
        for (int k = 0; k < c.class_count; k++)
            for (int p = 0; p < prompt_count; p++) {
                t2d_error err;
                char *text;
                int32_t ids[77] = {0};
                int n;
                must(t2d_template_fill(prompts[p], c.classes[k], &text, &err), &err);
                must(t2d_tokenize(b.engine, text, ids, 77, &n, &err), &err);
                cr_expect_arr_eq(ids, want + (k * prompt_count + p) * 77, sizeof ids, "%s: tokens of '%s'",
                                 c.name, text);
                if (p == 0)
                    first[k] = text;
                else
                    free(text);
            }
        float features[MAX_CLASSES * 1024];
        t2d_error err;
        must(t2d_text_features(b.engine->be, &b.engine->model, (const char *const *)first, c.class_count,
                               features, &err),
             &err);
        expect_stage(&c, "clip_text_first", features,
                     (size_t)(c.class_count * b.engine->model.config.text.embed));
        expect_stage(&c, "text_embedding", t2d_vocab_vectors(b.vocab),
                     (size_t)(c.class_count * t2d_vocab_dim(b.vocab)));
        for (int k = 0; k < c.class_count; k++) free(first[k]);
        free(want);
        close_bench(&b);
        ref_close(&c);
    }
}

/* Cosine of patches and classes, from what the engine gives out. */
static void expect_similarity(const ref_case *c, const bench *b, const t2d_features *f)
{
    const int patches = f->grid * f->grid, dim = f->dim;
    float *got = calloc((size_t)(c->class_count * patches), sizeof *got);
    for (int k = 0; k < c->class_count; k++)
        for (int p = 0; p < patches; p++) {
            double dot = 0, norm = 0;
            for (int d = 0; d < dim; d++) {
                const double v = (double)f->patch_tokens[p * dim + d];
                dot += v * (double)t2d_vocab_vectors(b->vocab)[k * dim + d];
                norm += v * v;
            }
            got[k * patches + p] = (float)(dot / sqrt(norm));
        }
    expect_stage(c, "similarity", got, (size_t)(c->class_count * patches));
    free(got);
}

Test(reference, features)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        bench b = open_bench(&c, T2D_DTYPE_FP32, 2);
        t2d_error err;
        t2d_features f;
        must(t2d_features_compute(b.session, &c.image, 448, 0, &f, &err), &err);
        const size_t patches = (size_t)(f.grid * f.grid), dim = (size_t)f.dim, heads = (size_t)f.heads;
        expect_stage(&c, "cls", f.cls, dim);
        expect_stage(&c, "patch_tokens", f.patch_tokens, patches * dim);
        if (f.registers > 0) expect_stage(&c, "reg_tokens", f.register_tokens, (size_t)f.registers * dim);
        expect_stage(&c, "cls_attention_logits", f.cls_attention_logits, heads * patches);
        expect_stage(&c, "head_embeddings", f.head_embeddings, heads * dim);
        expect_similarity(&c, &b, &f);
        t2d_features_release(&f);
        close_bench(&b);
        ref_close(&c);
    }
}

Test(reference, slide_resized)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        t2d_error err;
        int w, h;
        t2d_keep_ratio_size(c.image.width, c.image.height, 2048, 448, &w, &h);
        size_t count;
        uint8_t *want = ref_bytes(&c, "slide_resized", &count), *got = malloc((size_t)w * (size_t)h * 3);
        cr_assert_eq(count, (size_t)w * (size_t)h * 3);
        must(t2d_resize_cv2_linear(c.image.pixels, c.image.width, c.image.height, got, w, h, 2, &err), &err);
        size_t different = 0;
        for (size_t p = 0; p < count; p++) different += got[p] != want[p];
        cr_expect_eq(different, 0, "%s: %zu of %zu bytes differ", c.name, different, count);
        free(got);
        free(want);
        ref_close(&c);
    }
}

Test(reference, masks)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        bench b = open_bench(&c, T2D_DTYPE_FP32, 2);
        for (int v = 0; v < VARIANTS; v++) {
            float *scores;
            uint16_t *labels = segment(&b, &c, &variants[v], &scores);
            const size_t pixels = (size_t)c.image.width * (size_t)c.image.height;
            const int skip = variants[v].with_background && !variants[v].background_in_masks;
            const int classes = c.class_count + (variants[v].with_background && !skip);
            expect_masks(&c, variants[v].masks, scores + (skip ? pixels : 0), classes);
            expect_labels(&c, variants[v].labels, labels, 0.9999);
            free(labels);
            free(scores);
        }
        close_bench(&b);
        ref_close(&c);
    }
}

/* What every variant gives on one number of threads; the first one again at the end, after all others. */
static void segment_all(const ref_case *c, int threads, uint16_t *labels[VARIANTS], float *scores[VARIANTS])
{
    const size_t pixels = (size_t)c->image.width * (size_t)c->image.height;
    bench b = open_bench(c, T2D_DTYPE_FP32, threads);
    float *again_scores;
    for (int v = 0; v < VARIANTS; v++) labels[v] = segment(&b, c, &variants[v], &scores[v]);
    uint16_t *again = segment(&b, c, &variants[0], &again_scores);
    cr_expect(memcmp(again, labels[0], pixels * sizeof *again) == 0, "%s: labels depend on what went before",
              c->name);
    cr_expect(memcmp(again_scores, scores[0], (size_t)c->class_count * pixels * sizeof *again_scores) == 0,
              "%s: scores depend on what went before", c->name);
    free(again);
    free(again_scores);
    close_bench(&b);
}

static void expect_same_bits(const ref_case *c, int threads, uint16_t *first[], float *first_scores[])
{
    const size_t pixels = (size_t)c->image.width * (size_t)c->image.height;
    uint16_t *labels[VARIANTS];
    float *scores[VARIANTS];
    segment_all(c, threads, labels, scores);
    for (int v = 0; v < VARIANTS; v++) {
        const size_t bytes = (size_t)(c->class_count + variants[v].with_background) * pixels * sizeof(float);
        cr_expect(memcmp(first_scores[v], scores[v], bytes) == 0, "%s: %s change with %d threads", c->name,
                  variants[v].masks, threads);
        cr_expect(memcmp(first[v], labels[v], pixels * sizeof *first[v]) == 0,
                  "%s: %s change with %d threads", c->name, variants[v].labels, threads);
        free(labels[v]);
        free(scores[v]);
    }
}

Test(reference, same_bits_for_any_number_of_threads)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        uint16_t *labels[VARIANTS];
        float *scores[VARIANTS];
        segment_all(&c, 1, labels, scores);
        for (int threads = 2; threads <= 3; threads++) expect_same_bits(&c, threads, labels, scores);
        for (int v = 0; v < VARIANTS; v++) {
            free(labels[v]);
            free(scores[v]);
        }
        ref_close(&c);
    }
}
