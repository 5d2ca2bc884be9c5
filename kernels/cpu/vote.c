/* vote.c — the class of a pixel: argmax, and the softmax that mmseg puts before it.
 * Softmax in fp32 can give two classes the same probability although their scores differ; then the first of
 * them wins.  The argmax of the scores is found for all pixels, the softmax only computed where it could
 * matter. */
#include "cpu/readout.h"

/* One pixel meets one class: strictly greater wins, so the first of equals stays. */
static inline void meet(float v, int32_t index, float *best, float *below, int32_t *label)
{
    bool wins = v > *best;
    *below = wins ? *best : *below;
    *label = wins ? index : *label;
    *best = wins ? v : *best;
}

/* Four classes a turn: what is known of a pixel is loaded and stored once for them. */
T2D_CLONES void t2d_vote(float *restrict best, float *restrict below, int32_t *restrict label, t2d_pair pair,
                         int first, int classes)
{
    const float w0 = pair.w0, w1 = pair.w1;
    const float *restrict a = pair.a, *restrict b = pair.b;
    int c = 0;
    for (; c + 4 <= classes; c += 4, a += 4 * pair.step, b += 4 * pair.step) {
        const float *restrict a1 = a + pair.step, *restrict a2 = a1 + pair.step,
                              *restrict a3 = a2 + pair.step;
        const float *restrict b1 = b + pair.step, *restrict b2 = b1 + pair.step,
                              *restrict b3 = b2 + pair.step;
        for (int i = 0; i < T2D_TILE; i++) {
            meet(t2d_blend(a[i], b[i], w0, w1), first + c, &best[i], &below[i], &label[i]);
            meet(t2d_blend(a1[i], b1[i], w0, w1), first + c + 1, &best[i], &below[i], &label[i]);
            meet(t2d_blend(a2[i], b2[i], w0, w1), first + c + 2, &best[i], &below[i], &label[i]);
            meet(t2d_blend(a3[i], b3[i], w0, w1), first + c + 3, &best[i], &below[i], &label[i]);
        }
    }
    for (; c < classes; c++, a += pair.step, b += pair.step)
        for (int i = 0; i < T2D_TILE; i++)
            meet(t2d_blend(a[i], b[i], w0, w1), first + c, &best[i], &below[i], &label[i]);
}

/* Why T2D_MERGE_BOUND is safe.  With d = score - maximum <= 0, softmax is fl(fl(exp d) / S), S > 0 the same
 * for all classes, and the maximum has fl(1 / S).  Two quotients at least two units in the last place apart
 * stay apart when rounded; a unit is at most 2^-23 of the value.  So only classes with fl(exp d) >= 1 - 2^-22
 * can merge, and as exp is right to one unit (2^-24 below 1), d > -(2^-22 + 2^-23) is necessary: less than
 * 2^-21. */
T2D_CLONES static void exponentials(float *restrict e, const float *restrict scores, float top, int channels)
{
    for (int c = 0; c < channels; c++) e[c] = t2d_sleef_exp(scores[c] - top);
}

int t2d_softmax_label(const float *scores, int channels, float *spare)
{
    float top = scores[0], sum = 0;
    for (int c = 1; c < channels; c++) top = scores[c] > top ? scores[c] : top;
    exponentials(spare, scores, top, channels);
    for (int c = 0; c < channels; c++) sum += spare[c]; /* in the order of the classes, as torch adds */
    int best = 0;
    for (int c = 1; c < channels; c++)
        if (spare[c] / sum > spare[best] / sum) best = c;
    return best;
}
