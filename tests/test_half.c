/* test_half.c — the half types against fp32, on the reference cases: patch features by their relative L2,
 * labels where fp32 is sure of them.
 *
 * The cases' weights are random and their six classes lie close together: bf16 moves a score by 3e-4 (root
 * mean square), so labels of classes that score alike everywhere say nothing.  Two gates, both decided by the
 * fp32 answer alone: no pixel changes whose best two classes are `clear` apart; and two classes whose median
 * distance is `margin` agree on `least` of the pixels. */
#include "reference_bench.h"

#include <math.h>
#include <string.h>

typedef struct gate {
    t2d_dtype dtype;
    const char *name;
    double features[CASES]; /* relative L2 of patch features */
    float clear, margin;
    double least;
} gate;

static const gate gates[] = {
    {T2D_DTYPE_FP16, "fp16", {2e-3, 2e-3}, 5e-4f, 5e-3f, 0.998},
    /* Rounding the weights alone, all else in fp32, changes tiny_reg's features by 1.05e-2. */
    {T2D_DTYPE_BF16, "bf16", {1.5e-2, 1e-2}, 4e-3f, 5e-3f, 0.99},
};
enum { GATES = sizeof gates / sizeof *gates };

/* The CPU has no fp16. */
static bool is_here(const gate *g)
{
    return g->dtype != T2D_DTYPE_FP16 || strcmp(T2D_TEST_DEVICE, "cpu") != 0;
}

static int by_float(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static float median_distance(const float *a, const float *b, size_t count)
{
    float *d = malloc(count * sizeof *d);
    for (size_t i = 0; i < count; i++) d[i] = fabsf(a[i] - b[i]);
    qsort(d, count, sizeof *d, by_float);
    const float median = d[count / 2];
    free(d);
    return median;
}

static void expect_clear_labels(const ref_case *c, const gate *g, const float *want, const uint16_t *exact,
                                const uint16_t *got)
{
    const size_t pixels = (size_t)c->image.width * (size_t)c->image.height;
    size_t changed = 0;
    for (size_t i = 0; i < pixels; i++)
        for (int k = 0; k < c->class_count; k++)
            if (got[i] == k && want[exact[i] * pixels + i] - want[(size_t)k * pixels + i] > g->clear)
                changed++;
    cr_expect_eq(changed, 0, "%s: %s changes %zu pixels with a clear label", c->name, g->name, changed);
}

/* Pairs of classes with a margin agree; how many there were. */
static int expect_pairs(const ref_case *c, const gate *g, const float *want, const float *got)
{
    const size_t pixels = (size_t)c->image.width * (size_t)c->image.height;
    int pairs = 0;
    for (int a = 0; a < c->class_count; a++)
        for (int b = a + 1; b < c->class_count; b++) {
            const float *wa = want + (size_t)a * pixels, *wb = want + (size_t)b * pixels;
            const float *ga = got + (size_t)a * pixels, *gb = got + (size_t)b * pixels;
            if (median_distance(wa, wb, pixels) < g->margin) continue;
            size_t same = 0;
            for (size_t i = 0; i < pixels; i++) same += (wa[i] >= wb[i]) == (ga[i] >= gb[i]);
            cr_expect((double)same >= g->least * (double)pixels, "%s: %s agrees on %.3f %% for '%s' and '%s'",
                      c->name, g->name, 100.0 * (double)same / (double)pixels, c->classes[a], c->classes[b]);
            pairs++;
        }
    return pairs;
}

static void expect_labels(const ref_case *c, const gate *g)
{
    bench exact = open_bench(c, T2D_DTYPE_FP32, 2), half = open_bench(c, g->dtype, 2);
    float *want, *got;
    uint16_t *labels = segment(&exact, c, &variants[0], &want),
             *half_labels = segment(&half, c, &variants[0], &got);
    expect_clear_labels(c, g, want, labels, half_labels);
    cr_expect(expect_pairs(c, g, want, got) > 0, "%s: no two classes have a margin of %g", c->name,
              (double)g->margin);
    free(labels);
    free(half_labels);
    free(want);
    free(got);
    close_bench(&exact);
    close_bench(&half);
}

static void expect_features(const ref_case *c, const gate *g, double most)
{
    bench b = open_bench(c, g->dtype, 2);
    t2d_error err;
    t2d_features f;
    must(t2d_features_compute(b.session, &c->image, 448, 0, &f, &err), &err);
    size_t count;
    float *want = ref_floats(c, "patch_tokens", &count);
    cr_assert_eq(count, (size_t)(f.grid * f.grid * f.dim));
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        error += pow((double)f.patch_tokens[i] - (double)want[i], 2);
        norm += pow((double)want[i], 2);
    }
    const double relative = sqrt(error / norm);
    cr_expect(relative <= most, "%s: %s patch features: relative L2 %.2e, at most %.1e", c->name, g->name,
              relative, most);
    free(want);
    t2d_features_release(&f);
    close_bench(&b);
}

Test(half, labels)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        for (int k = 0; k < GATES; k++)
            if (is_here(&gates[k])) expect_labels(&c, &gates[k]);
        ref_close(&c);
    }
}

Test(half, features)
{
    for (int i = 0; i < CASES; i++) {
        ref_case c = ref_open(cases[i]);
        for (int k = 0; k < GATES; k++)
            if (is_here(&gates[k])) expect_features(&c, &gates[k], gates[k].features[i]);
        ref_close(&c);
    }
}
