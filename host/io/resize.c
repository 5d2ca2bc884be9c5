/* resize.c — OpenCV's INTER_LINEAR on 8-bit RGB, bit for bit, and mmseg's keep-ratio size.
 * The method is separable and in fixed point: eleven bits per axis, of which four are dropped after the row
 * pass.  Benchmarks were measured on pictures resized this way; a rounded floating-point bilinear differs by
 * one level on about one pixel in eight, so the roundings below are the specification and not a choice. */
#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { ONE = 2048, CHANNELS = 3 };

typedef struct weights {
    int16_t low, high; /* of ONE */
} weights;

/* One axis: output i is (low * source[at] + high * source[at + 1]) / ONE. */
typedef struct axis {
    int *at;
    weights *weight;
} axis;

typedef struct job {
    const uint8_t *src;
    uint8_t *dst;
    int sw, sh, dw, dh;
    axis x, y;
    int inner;      /* the first output column that needs one of the last two pixels of a row */
    int16_t *lines; /* two per band, see line_size */
} job;

/* The row pass of the two source rows that a thread needs at the moment. */
typedef struct band {
    int16_t *line[2]; /* [dw, 3], 0 .. 255 * ONE / 16 */
    int held[2];      /* which source row a line is, -1 for none */
} band;

static size_t line_size(int width) { return (size_t)width * CHANNELS + 1; } /* pixels are stored four wide */

/* A product that is rounded before it meets an addition: a fused multiply-add would move a few samples. */
static double rounded_product(double a, double b)
{
    volatile double product = a * b;
    return product;
}

void t2d_keep_ratio_size(int width, int height, int long_side, int short_side, int *new_width,
                         int *new_height)
{
    const int longer = width > height ? width : height, shorter = width > height ? height : width;
    const double scale = fmin((double)long_side / longer, (double)short_side / shorter);
    const int w = (int)(rounded_product(width, scale) + 0.5), h = (int)(rounded_product(height, scale) + 0.5);
    *new_width = w > 0 ? w : 1; /* mmcv would ask OpenCV for an empty picture, and fail */
    *new_height = h > 0 ? h : 1;
}

/* Where output sample i falls in the source: OpenCV computes in double, keeps float, then splits. */
static int sample(int i, int source, int target, float *fraction)
{
    const double scale = 1.0 / ((double)target / source);
    const float at = (float)(rounded_product(i + 0.5, scale) - 0.5);
    const float whole = floorf(at);
    *fraction = at - whole;
    return (int)whole;
}

static weights split(float fraction) /* ties to even */
{
    return (weights){(int16_t)lrintf((1.0f - fraction) * ONE), (int16_t)lrintf(fraction * ONE)};
}

/* Columns: a sample beyond the border is the border pixel, whole; its missing neighbour weighs nothing. */
static void plan_columns(job *j)
{
    for (int i = 0; i < j->dw; i++) {
        float fraction;
        int at = sample(i, j->sw, j->dw, &fraction);
        if (at < 0 || at >= j->sw - 1) {
            at = at < 0 ? 0 : j->sw - 1;
            fraction = 0;
        }
        j->x.at[i] = at;
        j->x.weight[i] = split(fraction);
        if (at < j->sw - 2) j->inner = i + 1;
    }
}

/* Rows: the fraction stays, and both rows are clamped when they are fetched.  OpenCV treats the axes
 * differently, and it shows: the two products are cut one by one, so that twice the same row is not always
 * that row. */
static void plan_rows(job *j)
{
    for (int i = 0; i < j->dh; i++) {
        float fraction;
        j->y.at[i] = sample(i, j->sh, j->dh, &fraction);
        j->y.weight[i] = split(fraction);
    }
}

static void row_pass(const job *j, const uint8_t *row, int16_t *line)
{
    int i = 0;
#ifdef __SSE2__ /* one pixel at a time: r0 r1 g0 g1 b0 b1 and two that the next pixel overwrites */
    for (const int inner = j->inner; i < inner; i++) {
        int left, right, pair;
        memcpy(&left, row + (size_t)j->x.at[i] * CHANNELS, 4);
        memcpy(&right, row + (size_t)j->x.at[i] * CHANNELS + CHANNELS, 4);
        memcpy(&pair, &j->x.weight[i], 4);
        const __m128i bytes = _mm_unpacklo_epi8(_mm_cvtsi32_si128(left), _mm_cvtsi32_si128(right));
        const __m128i words = _mm_unpacklo_epi8(bytes, _mm_setzero_si128());
        const __m128i sums = _mm_srli_epi32(_mm_madd_epi16(words, _mm_set1_epi32(pair)), 4);
        _mm_storel_epi64((__m128i *)(line + (size_t)i * CHANNELS), _mm_packs_epi32(sums, sums));
    }
#endif
    for (; i < j->dw; i++) {
        const uint8_t *left = row + (size_t)j->x.at[i] * CHANNELS;
        const uint8_t *right = j->x.at[i] + 1 < j->sw ? left + CHANNELS : left;
        const weights w = j->x.weight[i];
        for (int c = 0; c < CHANNELS; c++)
            line[(size_t)i * CHANNELS + c] = (int16_t)((left[c] * w.low + right[c] * w.high) >> 4);
    }
}

static void column_pass(const int16_t *restrict above, const int16_t *restrict below, weights w,
                        uint8_t *restrict dst, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int16_t a = (int16_t)((above[i] * w.low) >> 16), b = (int16_t)((below[i] * w.high) >> 16);
        dst[i] = (uint8_t)((a + b + 2) >> 2);
    }
}

static int clamped(int row, int rows) { return row < 0 ? 0 : row < rows ? row : rows - 1; }

/* The row pass of source row `row`, without losing row `keep`: going down, each row is passed once. */
static const int16_t *fetch(const job *j, band *b, int row, int keep)
{
    for (int i = 0; i < 2; i++)
        if (b->held[i] == row) return b->line[i];
    const int slot = b->held[0] == keep ? 1 : 0;
    row_pass(j, j->src + (size_t)row * j->sw * CHANNELS, b->line[slot]);
    b->held[slot] = row;
    return b->line[slot];
}

static void resize_band(const job *j, int index, int first, int end)
{
    int16_t *lines = j->lines + 2 * line_size(j->dw) * index;
    band b = {{lines, lines + line_size(j->dw)}, {-1, -1}};
    const size_t count = (size_t)j->dw * CHANNELS;
    for (int row = first; row < end; row++) {
        const int upper = clamped(j->y.at[row], j->sh), lower = clamped(j->y.at[row] + 1, j->sh);
        const int16_t *above = fetch(j, &b, upper, lower);
        const int16_t *below = fetch(j, &b, lower, upper);
        column_pass(above, below, j->y.weight[row], j->dst + count * row, count);
    }
}

/* Exactly half in both directions: OpenCV takes the mean of four pixels instead. */
static void halve_row(const job *j, int row)
{
    const size_t stride = (size_t)j->sw * CHANNELS;
    const uint8_t *a = j->src + 2 * stride * row, *b = a + stride;
    uint8_t *restrict dst = j->dst + (size_t)row * j->dw * CHANNELS;
    for (int x = 0; x < j->dw; x++, a += 2 * CHANNELS, b += 2 * CHANNELS, dst += CHANNELS)
        for (int c = 0; c < CHANNELS; c++)
            dst[c] = (uint8_t)((a[c] + a[c + CHANNELS] + b[c] + b[c + CHANNELS] + 2) >> 2);
}

static t2d_status plan(job *j, int bands, t2d_error *err)
{
    j->x.at = t2d_new(j->dw, sizeof *j->x.at, "resize", err);
    j->x.weight = t2d_new(j->dw, sizeof *j->x.weight, "resize", err);
    j->y.at = t2d_new(j->dh, sizeof *j->y.at, "resize", err);
    j->y.weight = t2d_new(j->dh, sizeof *j->y.weight, "resize", err);
    j->lines = t2d_new(2 * line_size(j->dw) * bands, sizeof *j->lines, "resize", err);
    if (!j->x.at || !j->x.weight || !j->y.at || !j->y.weight || !j->lines) return T2D_E_MEMORY;
    plan_columns(j);
    plan_rows(j);
    return T2D_OK;
}

static void release(job *j)
{
    free(j->x.at);
    free(j->x.weight);
    free(j->y.at);
    free(j->y.weight);
    free(j->lines);
}

t2d_status t2d_resize_cv2_linear(const uint8_t *src, int sw, int sh, uint8_t *dst, int dw, int dh,
                                 int threads, t2d_error *err)
{
    if (sw < 1 || sh < 1 || dw < 1 || dh < 1)
        return t2d_fail(err, T2D_E_ARGUMENT, "resize: %d x %d to %d x %d; every side must be at least 1", sw,
                        sh, dw, dh);
    if (sw == dw && sh == dh) {
        memcpy(dst, src, (size_t)sw * sh * CHANNELS);
        return T2D_OK;
    }
    const int bands = threads < 1 ? 1 : threads < dh ? threads : dh;
    job j = {.src = src, .dst = dst, .sw = sw, .sh = sh, .dw = dw, .dh = dh};
    if (sw == 2 * (int64_t)dw && sh == 2 * (int64_t)dh) {
#pragma omp parallel for num_threads(bands) schedule(static)
        for (int row = 0; row < dh; row++) halve_row(&j, row);
        return T2D_OK;
    }
    const t2d_status status = plan(&j, bands, err);
    if (status == T2D_OK) {
#pragma omp parallel for num_threads(bands) schedule(static, 1)
        for (int i = 0; i < bands; i++)
            resize_band(&j, i, (int)((int64_t)dh * i / bands), (int)((int64_t)dh * (i + 1) / bands));
    }
    release(&j);
    return status;
}
