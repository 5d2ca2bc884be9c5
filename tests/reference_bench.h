/* reference_bench.h — the reference cases on the machine under test: T2D_TEST_DEVICE, "cpu" unless said
 * otherwise (the emulator's and the GPU's builds say "cuda"). */
#ifndef T2D_TEST_REFERENCE_BENCH_H
#define T2D_TEST_REFERENCE_BENCH_H

#include "reference.h"

#include <criterion/criterion.h>

#ifndef T2D_TEST_DEVICE
#define T2D_TEST_DEVICE "cpu"
#endif

static const char *const cases[] = {"tiny_reg", "tiny_noreg"};
enum { CASES = 2 };

typedef struct bench {
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
} bench;

static inline void must(t2d_status status, const t2d_error *err)
{
    cr_assert_eq(status, T2D_OK, "%s", err->message);
}

static inline bench open_bench(const ref_case *c, t2d_dtype dtype, int threads)
{
    bench b;
    t2d_error err;
    const t2d_engine_options options = {.device = T2D_TEST_DEVICE, .dtype = dtype, .threads = threads};
    must(t2d_engine_open(c->model, &options, &b.engine, &err), &err);
    must(t2d_vocab_create(b.engine, c->classes, c->class_count, NULL, &b.vocab, &err), &err);
    must(t2d_session_create(b.engine, &b.session, &err), &err);
    return b;
}

static inline void close_bench(bench *b)
{
    t2d_session_destroy(b->session);
    t2d_vocab_destroy(b->vocab);
    t2d_engine_close(b->engine);
}

/* One way to segment, and the stages it is compared with. */
typedef struct variant {
    const char *masks, *labels;
    t2d_mode mode;
    int with_background, clean, pamr, background_in_masks;
} variant;

static const variant variants[] = {
    {"masks", "labels", T2D_WHOLE, 0, 0, 0, 0},
    {"masks_bg_clean", "labels_bg_clean", T2D_WHOLE, 1, 1, 0, 0},
    {"masks_pamr", "labels_pamr", T2D_WHOLE, 0, 0, 1, 0},
    {"slide_logits", "slide_labels", T2D_SLIDE, 0, 0, 0, 0},
    {"slide_bg_logits", "slide_bg_labels", T2D_SLIDE, 1, 1, 0, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static inline t2d_segment_options options_of(const bench *b, const ref_case *c, const variant *v)
{
    t2d_segment_options o;
    t2d_segment_defaults(b->engine, &o);
    o.mode = v->mode;
    o.with_background = v->with_background;
    o.background = c->background;
    o.clean = v->clean;
    o.pamr = v->pamr;
    return o;
}

/* Labels and, when scores is not NULL, the maps; both malloc'd. */
static inline uint16_t *segment(const bench *b, const ref_case *c, const variant *v, float **scores)
{
    t2d_error err;
    t2d_mask mask = {0};
    const t2d_segment_options o = options_of(b, c, v);
    const size_t pixels = (size_t)c->image.width * (size_t)c->image.height;
    if (scores) *scores = calloc(((size_t)c->class_count + 1) * pixels, sizeof **scores);
    must(t2d_segment(b->session, b->vocab, &c->image, &o, &mask, scores ? *scores : NULL, &err), &err);
    return mask.ids;
}

#endif
