/* test_meter.c — models of random weights, and a call that is taken apart by the meter.  Nothing here is
 * timed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/meter.h"
#include "bench/random_model.h"

/* ---- random models ---- */

static const t2d_model_size small = {
    .dim = 128, .depth = 3, .registers = 4, .text_dim = 64, .text_depth = 2, .embed = 96, .merges = 9000};

static t2d_engine *open_small(uint64_t seed)
{
    t2d_error err = {0};
    t2d_engine *engine;
    t2d_random_model model;
    const t2d_engine_options options = {.device = "cpu"};
    cr_assert_eq(t2d_random_model_open(&small, seed, &model, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_engine_open(model.path, &options, &engine, &err), T2D_OK, "%s", err.message);
    t2d_random_model_close(&model);
    return engine;
}

static double deviation(const float *values, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        cr_assert(isfinite(values[i]), "value %zu", i);
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    return sqrt(squares / (double)count - sum / (double)count * (sum / (double)count));
}

Test(random_model, opens_like_any_file)
{
    t2d_engine_info info;
    t2d_engine *engine = open_small(0);
    t2d_engine_describe(engine, &info);
    cr_assert(info.vision_dim == 128 && info.vision_depth == 3 && info.vision_heads == 2);
    cr_assert(info.registers == 4 && info.patch == 14 && info.size == 448 && info.stride == 224);
    cr_assert(info.text_dim == 64 && info.text_depth == 2 && info.context == 77 && info.vocabulary == 9514);
    t2d_engine_close(engine);
}

/* Neither dying away nor growing, in the stream and in what words see of it. */
Test(random_model, activations_keep_their_scale)
{
    t2d_error err = {0};
    t2d_features f;
    t2d_session *session;
    t2d_engine *engine = open_small(1);
    t2d_image image = {0};
    cr_assert_eq(t2d_random_picture(112, 112, 0, 0, &image, &err), T2D_OK);
    cr_assert_eq(t2d_session_create(engine, &session, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_features_compute(session, &image, 112, 0, &f, &err), T2D_OK, "%s", err.message);
    const double stream = deviation(session->ws.x, (5 + 64) * 128);
    const double features = deviation(f.patch_tokens, (size_t)64 * 128);
    cr_assert(stream > 0.3 && stream < 10, "%g", stream);
    cr_assert(features > 0.3 && features < 3, "%g", features);
    for (int p = 1; p < 64; p++) /* patches differ */
        cr_assert_neq(memcmp(f.patch_tokens, f.patch_tokens + (size_t)p * 128, 128 * sizeof(float)), 0);
    t2d_features_release(&f);
    t2d_session_destroy(session);
    t2d_engine_close(engine);
    t2d_image_release(&image);
}

Test(random_model, a_seed_is_a_model)
{
    t2d_error err = {0};
    char sums[3][32];
    for (int i = 0; i < 3; i++) {
        t2d_random_model model;
        t2d_st_file *file;
        cr_assert_eq(t2d_random_model_open(&small, i == 2, &model, &err), T2D_OK, "%s", err.message);
        cr_assert_eq(t2d_st_open(model.path, &file, &err), T2D_OK, "%s", err.message);
        for (int k = 0; k < t2d_st_count(file); k++)
            cr_assert_eq(t2d_verify_tensor(file, t2d_st_at(file, k), &err), T2D_OK, "%s", err.message);
        snprintf(sums[i], sizeof sums[i], "%s", t2d_st_meta(file, "checksum.__metadata__"));
        t2d_st_close(file);
        t2d_random_model_close(&model);
    }
    cr_assert_str_eq(sums[0], sums[1]);
    cr_assert_str_neq(sums[0], sums[2]);
}

Test(random_model, published_sizes_by_name)
{
    t2d_error err = {0};
    t2d_model_size size;
    cr_assert_eq(t2d_model_size_find("vit-l14-reg4", &size, &err), T2D_OK);
    cr_assert(size.dim == 1024 && size.depth == 24 && size.registers == 4 && size.merges + 514 == 49408);
    cr_assert_eq(t2d_model_size_find("vit-s14", &size, &err), T2D_OK);
    cr_assert(size.dim == 384 && size.depth == 12 && size.registers == 0);
    cr_assert_eq(t2d_model_size_find("vit-x14", &size, &err), T2D_E_ARGUMENT);
    cr_assert(strstr(err.message, "'vit-x14'") && strstr(err.message, "vit-b14-reg4"), "%s", err.message);
}

/* ---- the meter ---- */

typedef struct way { /* of one picture */
    t2d_engine *engine;
    t2d_session *session;
    t2d_vocab *vocab;
    t2d_image image;
    t2d_segment_options options;
} way;

static way open_way(void)
{
    t2d_error err = {0};
    const char *const classes[] = {"one", "two", "three"};
    const t2d_vocab_options one_prompt = {.templates = "identity"};
    way w = {.engine = open_small(0)};
    cr_assert_eq(t2d_random_picture(150, 100, 0, 0, &w.image, &err), T2D_OK);
    cr_assert_eq(t2d_vocab_create(w.engine, classes, 3, &one_prompt, &w.vocab, &err), T2D_OK, "%s",
                 err.message);
    cr_assert_eq(t2d_session_create(w.engine, &w.session, &err), T2D_OK, "%s", err.message);
    t2d_segment_defaults(w.engine, &w.options);
    w.options.size = 70;
    w.options.stride = 35;
    w.options.short_side = 70; /* 105 x 70: two windows */
    return w;
}

static void close_way(way *w)
{
    t2d_image_release(&w->image);
    t2d_session_destroy(w->session);
    t2d_vocab_destroy(w->vocab);
    t2d_engine_close(w->engine);
}

static t2d_mask segment(const way *w)
{
    t2d_error err = {0};
    t2d_mask mask = {0};
    cr_assert_eq(t2d_segment(w->session, w->vocab, &w->image, &w->options, &mask, NULL, &err), T2D_OK, "%s",
                 err.message);
    return mask;
}

static const t2d_stage *row_of(const t2d_stages *s, const char *operation)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->rows[i].operation, operation) == 0) return &s->rows[i];
    cr_assert_fail("no row '%s'", operation);
    return NULL;
}

/* The work by shape is the work by hand, and the answer is the one without a meter. */
Test(meter, counts_every_operation_of_a_call)
{
    t2d_error err = {0};
    t2d_stages s = {0};
    t2d_meter *meter;
    way w = open_way();
    w.options.clean = 1;
    t2d_mask alone = segment(&w);
    const t2d_backend *machine = w.session->be;
    cr_assert_eq(t2d_meter_open(w.session, &s, &meter, &err), T2D_OK);
    for (int turn = 0; turn < 3; turn++) {
        t2d_mask mask = segment(&w);
        cr_assert(t2d_masks_same(&alone, &mask, "with a meter", &err), "%s", err.message);
        t2d_mask_release(&mask);
        cr_assert_eq(t2d_meter_turn(meter, 1e3 + turn, &err), T2D_OK);
    }
    t2d_meter_close(meter);
    cr_assert_eq(w.session->be, machine);

    const double patches = 2 * 25, rows = 2 * (5 + 25);
    double tower = row_of(&s, "embed")->flop;
    static const char *const blocks[] = {"linear qkv", "attention", "linear out", "linear up", "linear down"};
    for (int i = 0; i < 5; i++) {
        tower += row_of(&s, blocks[i])->flop;
        cr_assert_eq(row_of(&s, blocks[i])->calls, 3, "%s", blocks[i]);
    }
    cr_assert_eq(tower, 2 * t2d_window_flop(&w.engine->model.config, 70));
    cr_assert_eq(row_of(&s, "similarity")->flop, 2 * patches * 3 * 128);
    cr_assert_eq(row_of(&s, "linear qkv")->bytes, 3 * 4 * (rows * 128 + 3 * 128 * 128 + rows * 3 * 128));
    cr_assert_eq(row_of(&s, "linear down")->bytes, 3 * 4 * (rows * 512 + 512 * 128 + 2 * rows * 128));
    cr_assert_eq(row_of(&s, "layer norm")->calls, 6, "the last norm is a stage of its own");
    cr_assert_eq(row_of(&s, "layer norm")->bytes, 6 * 8 * rows * 128);
    cr_assert_eq(row_of(&s, "CLS logits")->flop, 2 * patches * 2 * 64);
    cr_assert_eq(row_of(&s, "copy")->bytes, 2 * 3 * 105 * 70);
    for (int turn = 0; turn < 3; turn++) { /* what is between the operations is the rest */
        double sum = 0;
        for (int i = 0; i < s.count; i++) {
            cr_assert_eq(s.rows[i].samples.count, 3);
            sum += s.rows[i].samples.seconds[turn];
        }
        cr_assert_float_eq(sum, 1e3 + turn, 1e-9);
        cr_assert_eq(s.turns.seconds[turn], 1e3 + turn);
    }
    t2d_stages_release(&s);
    t2d_mask_release(&alone);
    close_way(&w);
}

static t2d_status failing_finish(t2d_backend *be, t2d_error *err)
{
    (void)be;
    return t2d_fail(err, T2D_E_DEVICE, "the device is tired");
}

Test(meter, what_a_wait_told_is_not_lost)
{
    t2d_error err = {0};
    t2d_stages s = {0};
    t2d_meter *meter;
    t2d_mask mask = {0};
    way w = open_way();
    t2d_ops ops = *w.session->be->op;
    const t2d_ops *real = w.session->be->op;
    ops.finish = failing_finish;
    w.session->be->op = &ops;
    cr_assert_eq(t2d_meter_open(w.session, &s, &meter, &err), T2D_OK);
    cr_assert_eq(t2d_segment(w.session, w.vocab, &w.image, &w.options, &mask, NULL, &err), T2D_E_DEVICE);
    cr_assert_str_eq(err.message, "the device is tired");
    t2d_meter_close(meter);
    w.session->be->op = real;
    mask = segment(&w); /* and all is well again */
    t2d_mask_release(&mask);
    t2d_stages_release(&s);
    close_way(&w);
}

/* The way of a machine that is no CPU, on a CPU: copies of rows. */
Test(bandwidth, rises_and_never_falls)
{
    t2d_error err = {0};
    double rate = 0;
    way w = open_way();
    t2d_ops ops = *w.session->be->op;
    const t2d_ops *real = w.session->be->op;
    ops.name = "another";
    w.session->be->op = &ops;
    cr_assert_eq(t2d_bandwidth_measure(w.session, &rate, &err), T2D_OK, "%s", err.message);
    cr_assert(rate > 0 && isfinite(rate));
    rate = 1e30;
    w.session->be->op = real;
    cr_assert_eq(t2d_bandwidth_measure(w.session, &rate, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(rate, 1e30, "the best counts");
    close_way(&w);
}
