/* position.c — DINOv2's position table at another grid: out = A_h grid A_w^T, per channel, as PyTorch's
 * bicubic F.interpolate computes it.  Precision follows PyTorch, too: coordinates of the antialiased rule are
 * fp32; of the plain rule only the scale is (measured: 3 times closer to PyTorch 1.13 than all in fp32). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

/* Keys' cubic with its free parameter a. */
static float cubic(float t, float a)
{
    t = fabsf(t);
    if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
}

/* Row i of A [to, from] when the picture is reduced: the kernel is as wide as the reduction; what hangs over
 * the edge is dropped and the rest weighs 1. */
static void row_antialias(float *row, int i, int to, int from)
{
    const float scale = (float)from / (float)to, support = scale >= 1 ? 2 * scale : 2;
    const float inverse = scale >= 1 ? 1 / scale : 1, centre = scale * ((float)i + 0.5f);
    int low = (int)(centre - support + 0.5f), high = (int)(centre + support + 0.5f);
    if (low < 0) low = 0;
    if (high > from) high = from;
    float total = 0;
    for (int j = low; j < high; j++) total += row[j] = cubic(((float)j - centre + 0.5f) * inverse, -0.5f);
    for (int j = low; j < high; j++) row[j] /= total;
}

/* Row i of A [to, from] from four neighbours; beyond the edge the edge repeats. */
static void row_plain(float *row, int i, int to, int from, float offset)
{
    const float scale = (float)((double)from / ((double)to + (double)offset));
    const double x = (double)scale * (i + 0.5) - 0.5, below = floor(x);
    for (int k = -1; k <= 2; k++) {
        const int j = (int)below + k;
        row[j < 0 ? 0 : j >= from ? from - 1 : j] += cubic((float)(x - below) - (float)k, -0.75f);
    }
}

/* A [to, from]; NULL when there is no memory. */
static float *matrix(int to, int from, bool antialias, float offset, t2d_error *err)
{
    float *a = t2d_new((size_t)to * (size_t)from, sizeof *a, "position table", err);
    for (int i = 0; a && i < to; i++) {
        float *row = a + (size_t)i * (size_t)from;
        if (antialias)
            row_antialias(row, i, to, from);
        else
            row_plain(row, i, to, from, offset);
    }
    return a;
}

/* out [to, inner] = A [to, from] in [from, inner]; few weights of a row are not zero. */
static void apply(const float *a, int to, int from, const float *in, float *out, size_t inner)
{
    for (int i = 0; i < to; i++) {
        float *to_row = out + (size_t)i * inner;
        memset(to_row, 0, inner * sizeof *out);
        for (int j = 0; j < from; j++) {
            const float weight = a[(size_t)i * (size_t)from + (size_t)j];
            const float *from_row = in + (size_t)j * inner;
            if (weight == 0) continue;
            for (size_t c = 0; c < inner; c++) to_row[c] += weight * from_row[c];
        }
    }
}

t2d_status t2d_position_resize(const float *table, int from, float *out, int to_h, int to_w, int dim,
                               bool antialias, float offset, t2d_error *err)
{
    if (from <= 0 || to_h <= 0 || to_w <= 0 || dim <= 0 || !(offset >= 0 && offset <= 1))
        return t2d_fail(
            err, T2D_E_ARGUMENT,
            "position table: cannot go from %d x %d to %d x %d, dim %d, offset %g (0 to 1 is meant)", from,
            from, to_h, to_w, dim, (double)offset);
    const size_t row_in = (size_t)from * (size_t)dim, row_out = (size_t)to_w * (size_t)dim;
    if (to_h == from && to_w == from) { /* the published code leaves it untouched, offset or not */
        memcpy(out, table, (size_t)from * row_in * sizeof *out);
        return T2D_OK;
    }
    t2d_status status = T2D_E_MEMORY;
    float *across = matrix(to_w, from, antialias, offset, err),
          *down = matrix(to_h, from, antialias, offset, err);
    float *wide =
        t2d_new((size_t)from * row_out, sizeof *wide, "position table", err); /* [from, to_w, dim] */
    if (!across || !down || !wide) goto done;
    for (int y = 0; y < from; y++)
        apply(across, to_w, from, table + (size_t)y * row_in, wide + (size_t)y * row_out, (size_t)dim);
    apply(down, to_h, from, wide, out, row_out);
    status = T2D_OK;
done:
    free(wide);
    free(down);
    free(across);
    return status;
}
