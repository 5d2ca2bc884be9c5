/* test_bench.c — what stands between a time and its number: percentiles, random pictures, the count of
 * operations and their floors, and the checks that refuse a wrong answer.  Nothing here is timed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

static void expect_words(const t2d_error *err, const char *words)
{
    cr_assert(strstr(err->message, words), "%s: no '%s'", err->message, words);
}

/* ---- samples ---- */

Test(samples, percentiles_are_samples_by_nearest_rank)
{
    const double five[] = {15, 20, 35, 40, 50}; /* the example of the method's usual description */
    const struct {
        int percent;
        double want;
    } rows[] = {{5, 15}, {20, 15}, {21, 20}, {30, 20}, {40, 20}, {50, 35}, {80, 40}, {81, 50}, {100, 50}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(t2d_percentile(five, 5, rows[i].percent), rows[i].want, "p%d", rows[i].percent);
    double hundred[100];
    for (int i = 0; i < 100; i++) hundred[i] = i + 1;
    for (int p = 1; p <= 100; p++) cr_assert_eq(t2d_percentile(hundred, 100, p), p, "p%d", p);
    cr_assert_eq(t2d_percentile(hundred, 99, 99), 99); /* 98.01 rounds up */
    cr_assert_eq(t2d_percentile(hundred, 1, 1), 1);
}

Test(samples, spread_of_a_thousand_and_one)
{
    t2d_error err = {0};
    t2d_samples s = {0};
    t2d_spread spread;
    for (int i = 0; i < 1001; i++) /* 10 and 1001 have no common divisor: each of 0 .. 1000 once */
        cr_assert_eq(t2d_samples_add(&s, i * 10 % 1001, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(t2d_spread_of(&s, &spread, &err), T2D_OK, "%s", err.message);
    cr_assert_eq(spread.min, 0);
    cr_assert_eq(spread.max, 1000);
    cr_assert_eq(spread.mean, 500);
    cr_assert_eq(spread.sum, 500500);
    cr_assert_eq(spread.median, 500); /* rank 501 of 1001 */
    cr_assert_eq(spread.p90, 900);
    cr_assert_eq(spread.p99, 990);
    cr_assert_eq(s.seconds[1], 10, "the samples keep their order");
    t2d_samples_release(&s);
    cr_assert_eq(t2d_samples_add(&s, 3, &err), T2D_OK);
    cr_assert_eq(t2d_spread_of(&s, &spread, &err), T2D_OK);
    cr_assert(spread.min == 3 && spread.median == 3 && spread.p99 == 3 && spread.max == 3);
    t2d_samples_release(&s);
}

/* ---- pictures and work ---- */

static t2d_image picture(int width, int height, uint64_t seed, uint64_t index)
{
    t2d_error err;
    t2d_image image;
    cr_assert_eq(t2d_random_picture(width, height, seed, index, &image, &err), T2D_OK);
    return image;
}

Test(pictures, noise_of_a_seed)
{
    enum { SIDE = 61, BYTES = SIDE * SIDE * 3 }; /* no multiple of eight */
    t2d_image all[] = {picture(SIDE, SIDE, 5, 0), picture(SIDE, SIDE, 5, 0), picture(SIDE, SIDE, 5, 1),
                       picture(SIDE, SIDE, 6, 0)};
    cr_assert_eq(memcmp(all[0].pixels, all[1].pixels, BYTES), 0);
    for (int other = 2; other < 4; other++) {
        int same = 0;
        for (int i = 0; i < BYTES; i++) same += all[0].pixels[i] == all[other].pixels[i];
        cr_assert_lt(same, BYTES / 64, "%d of %d bytes", same, BYTES); /* one in 256 by chance */
    }
    int seen[256] = {0};
    for (int i = 0; i < BYTES; i++) seen[all[0].pixels[i]]++;
    for (int v = 0; v < 256; v++)
        cr_assert(seen[v] > 10 && seen[v] < 90, "%d: %d", v, seen[v]); /* 43.6 +- 5 sigma */
    for (int i = 0; i < 4; i++) t2d_image_release(&all[i]);
}

/* Products of a tower of one block, by hand. */
Test(work, operations_of_a_window)
{
    t2d_config c = {0};
    c.vision.dim = 8, c.vision.depth = 1, c.vision.hidden = 32, c.vision.patch = 14, c.vision.registers = 4;
    const double tokens = 1 + 4 + 9, patch = 2.0 * 9 * (14 * 14 * 3) * 8;
    const double qkv = 2 * tokens * 8 * 24, out = 2 * tokens * 8 * 8,
                 attention = 2 * (2 * tokens * tokens * 8);
    const double up = 2 * tokens * 8 * 32, down = 2 * tokens * 32 * 8;
    cr_assert_eq(t2d_window_flop(&c, 42), patch + qkv + out + attention + up + down);
    c.vision.swiglu = true; /* up is twice as wide */
    cr_assert_eq(t2d_window_flop(&c, 42), patch + qkv + out + attention + 2 * up + down);
    c.vision.depth = 3;
    cr_assert_eq(t2d_window_flop(&c, 42), patch + 3 * (qkv + out + attention + 2 * up + down));
}

Test(stages, a_floor_is_the_ceiling_met_first)
{
    const t2d_stage products = {.flop = 600, .bytes = 20}, memory = {.flop = 6, .bytes = 2000}, nothing = {0};
    cr_assert_eq(t2d_stage_floor(&products, 100, 10), 6);
    cr_assert_eq(t2d_stage_floor(&memory, 100, 10), 200);
    cr_assert_eq(t2d_stage_floor(&nothing, 100, 10), 0);
}

/* ---- checks ---- */

Test(check, masks)
{
    t2d_error err = {0};
    uint16_t ids[] = {0, 1, 2, 2, 1, 0}, other[] = {0, 1, 2, 2, 1, 0};
    const t2d_mask a = {.width = 3, .height = 2, .labels = 3, .ids = ids}, b = {3, 2, 3, other};
    cr_assert(t2d_mask_sound(&a, &err));
    cr_assert(t2d_masks_same(&a, &b, "x", &err));
    other[4] = 2;
    other[5] = 1;
    cr_assert_not(t2d_masks_same(&a, &b, "the same picture twice", &err));
    expect_words(&err, "the same picture twice: 2 of 6 labels differ, first 1 and 2 at x 1, y 1");
    other[5] = 3;
    cr_assert_not(t2d_mask_sound(&b, &err));
    expect_words(&err, "label 3 at x 2, y 1, but there are 3 labels");
}

Test(check, scores)
{
    t2d_error err = {0};
    uint16_t ids[] = {1, 0};
    const t2d_mask mask = {.width = 2, .height = 1, .labels = 2, .ids = ids};
    float scores[] = {0.25F, 0.5F, 0.75F, 0.5F};
    cr_assert(t2d_scores_sound(scores, &mask, &err));
    scores[3] = 0.5F + 5e-7F;
    cr_assert(t2d_scores_sound(scores, &mask, &err));
    scores[3] = 0.51F;
    cr_assert_not(t2d_scores_sound(scores, &mask, &err));
    expect_words(&err, "label 1 scores 0.51 where the mask has label 0 with 0.5");
    const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (int at = 0; at < 4; at++)
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            float damaged[] = {0.25F, 0.5F, 0.75F, 0.5F};
            damaged[at] = wrong[i];
            cr_assert_not(t2d_scores_sound(damaged, &mask, &err), "%g at %d", (double)wrong[i], at);
        }
}
