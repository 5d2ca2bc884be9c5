/* check.c — whether answers are worth a speed. */
#include "bench/bench.h"

#include <math.h>

#define SOFTMAX_MERGES 1e-6F

bool t2d_mask_sound(const t2d_mask *mask, t2d_error *err)
{
    const size_t pixels = (size_t)mask->width * (size_t)mask->height;
    for (size_t i = 0; i < pixels; i++)
        if (mask->ids[i] >= mask->labels) {
            t2d_fail(err, T2D_E_DEVICE, "the mask has label %d at x %zu, y %zu, but there are %d labels",
                     mask->ids[i], i % (size_t)mask->width, i / (size_t)mask->width, mask->labels);
            return false;
        }
    return true;
}

bool t2d_masks_same(const t2d_mask *a, const t2d_mask *b, const char *what, t2d_error *err)
{
    const size_t pixels = (size_t)a->width * (size_t)a->height;
    size_t different = 0, first = 0;
    for (size_t i = pixels; i-- > 0;)
        if (a->ids[i] != b->ids[i]) {
            different++;
            first = i;
        }
    if (different)
        t2d_fail(err, T2D_E_DEVICE, "%s: %zu of %zu labels differ, first %d and %d at x %zu, y %zu", what,
                 different, pixels, a->ids[first], b->ids[first], first % (size_t)a->width,
                 first / (size_t)a->width);
    return different == 0;
}

bool t2d_scores_sound(const float *scores, const t2d_mask *mask, t2d_error *err)
{
    const size_t pixels = (size_t)mask->width * (size_t)mask->height;
    for (size_t i = 0; i < pixels * (size_t)mask->labels; i++) {
        const float score = scores[i], chosen = scores[mask->ids[i % pixels] * pixels + i % pixels];
        if (isfinite(score) && isfinite(chosen) && score <= chosen + SOFTMAX_MERGES) continue;
        t2d_fail(err, T2D_E_DEVICE, "label %zu scores %g where the mask has label %d with %g", i / pixels,
                 (double)score, mask->ids[i % pixels], (double)chosen);
        return false;
    }
    return true;
}
