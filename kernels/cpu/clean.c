/* clean.c — background cleaning: where the CLS heads do not look, a class loses.
 * Every head's view of the picture is compared with every class, the heads' attention is mixed by it,
 * normalised over the patches and added to the scores.  The published code's habits are kept: raw logits are
 * signed weights, the smallest and largest values are those of all classes and patches together, and the
 * largest is the divisor. */
#include <assert.h>
#include <math.h>

#include "cpu/readout.h"

enum { STRIP = 16 }; /* classes of one thread's turn */

typedef struct range {
    float low, high;
} range;

/* One sequence: shapes and scratch. */
typedef struct cleaning {
    int patches, heads, dim, classes;
    const float *logits;   /* [heads, patches] */
    const float *features; /* [patches, dim] */
    const float *text;     /* [classes, dim] */
    float *scores;         /* [patches, classes] */
    float *views;          /* [heads, dim], unit */
    float *weights;        /* [heads, classes], softmax over heads divided by its sum */
    float *attention;      /* [patches, classes] */
    range *found;          /* [strips][2]: of attention, of scores */
} cleaning;

static size_t scratch_floats(const cleaning *k)
{
    const size_t strips = (size_t)(k->classes + STRIP - 1) / STRIP;
    return (size_t)k->heads * k->dim + ((size_t)k->heads + k->patches) * k->classes + 4 * strips;
}

static void place(cleaning *k, float *memory)
{
    k->views = memory;
    k->weights = k->views + (size_t)k->heads * k->dim;
    k->attention = k->weights + (size_t)k->heads * k->classes;
    k->found = (range *)(void *)(k->attention + (size_t)k->patches * k->classes);
}

/* view = 1/P sum_p logit[p] features[p], then made unit; sums of 32 patches at a time. */
T2D_CLONES static void head_view(const cleaning *k, int head)
{
    float *restrict view = k->views + (size_t)head * k->dim;
    const float *logits = k->logits + (size_t)head * k->patches;
    double squares = 0;
    for (int c = 0; c < k->dim; c++) view[c] = 0;
    for (int from = 0; from < k->patches; from += 32)
        for (int c0 = 0; c0 < k->dim; c0 += 64) {
            float sum[64] = {0};
            const int to = from + 32 < k->patches ? from + 32 : k->patches;
            const int count = k->dim - c0 < 64 ? k->dim - c0 : 64;
            for (int p = from; p < to; p++)
                for (int c = 0; c < count; c++)
                    sum[c] = fmaf(logits[p], k->features[(size_t)p * k->dim + c0 + c], sum[c]);
            for (int c = 0; c < count; c++) view[c0 + c] += sum[c];
        }
    for (int c = 0; c < k->dim; c++) squares += (double)view[c] * view[c]; /* 1/P cancels */
    const float scale = squares > 0 ? (float)(1 / sqrt(squares)) : 0;
    for (int c = 0; c < k->dim; c++) view[c] *= scale;
}

static void head_weights(const cleaning *k, int class)
{
    const float *text = k->text + (size_t) class * k->dim;
    float *w = k->weights + class, top = -INFINITY, sum = 0, again = 0;
    for (int h = 0; h < k->heads; h++) {
        double dot = 0;
        for (int c = 0; c < k->dim; c++) dot += (double)text[c] * k->views[(size_t)h * k->dim + c];
        w[(size_t)h * k->classes] = (float)dot;
        top = (float)dot > top ? (float)dot : top;
    }
    for (int h = 0; h < k->heads; h++) {
        w[(size_t)h * k->classes] = t2d_sleef_exp(w[(size_t)h * k->classes] - top);
        sum += w[(size_t)h * k->classes];
    }
    for (int h = 0; h < k->heads; h++) again += w[(size_t)h * k->classes] /= sum;
    for (int h = 0; h < k->heads; h++)
        w[(size_t)h * k->classes] /= again; /* about 1: the published round-off */
}

/* Attention of a strip of classes: the heads' logits mixed, softmax over the patches. */
T2D_CLONES static void mix_strip(const cleaning *k, int first, int count)
{
    float top[STRIP], sum[STRIP];
    for (int c = 0; c < count; c++) top[c] = -INFINITY, sum[c] = 0;
    for (int p = 0; p < k->patches; p++) {
        float *restrict a = k->attention + (size_t)p * k->classes + first;
        for (int c = 0; c < count; c++) a[c] = 0;
        for (int h = 0; h < k->heads; h++) {
            const float logit = k->logits[(size_t)h * k->patches + p];
            const float *restrict w = k->weights + (size_t)h * k->classes + first;
            for (int c = 0; c < count; c++) a[c] = fmaf(w[c], logit, a[c]);
        }
        for (int c = 0; c < count; c++) top[c] = a[c] > top[c] ? a[c] : top[c];
    }
    for (int p = 0; p < k->patches; p++) {
        float *restrict a = k->attention + (size_t)p * k->classes + first;
        for (int c = 0; c < count; c++) sum[c] += a[c] = t2d_sleef_exp(a[c] - top[c]);
    }
    for (int p = 0; p < k->patches; p++) {
        float *restrict a = k->attention + (size_t)p * k->classes + first;
        for (int c = 0; c < count; c++) a[c] /= sum[c];
    }
}

static range range_of(const float *v, const cleaning *k, int first, int count)
{
    range r = {INFINITY, -INFINITY};
    for (int p = 0; p < k->patches; p++)
        for (int c = 0; c < count; c++) {
            const float x = v[(size_t)p * k->classes + first + c];
            r.low = x < r.low ? x : r.low;
            r.high = x > r.high ? x : r.high;
        }
    return r;
}

static range range_join(const range *found, int strips)
{
    range all = found[0];
    for (int s = 1; s < strips; s++) {
        all.low = found[2 * s].low < all.low ? found[2 * s].low : all.low;
        all.high = found[2 * s].high > all.high ? found[2 * s].high : all.high;
    }
    return all;
}

T2D_CLONES static void apply(float *restrict scores, const float *restrict attention, range a, range s,
                             float lambda, int count)
{
    const float divisor =
        a.high > a.high - a.low ? a.high : a.high - a.low; /* attention is positive: the largest */
    for (int i = 0; i < count; i++) {
        const float spread = (attention[i] - a.low) / divisor * (s.high - s.low) + s.low;
        scores[i] = (scores[i] + lambda * spread) / (1 + lambda);
    }
}

static void clean_sequence(const cleaning *k, float lambda, int threads)
{
    const int strips = (k->classes + STRIP - 1) / STRIP;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int h = 0; h < k->heads; h++) head_view(k, h);
#pragma omp for schedule(static)
        for (int c = 0; c < k->classes; c++) head_weights(k, c);
#pragma omp for schedule(static)
        for (int s = 0; s < strips; s++) {
            const int first = s * STRIP, count = k->classes - first < STRIP ? k->classes - first : STRIP;
            mix_strip(k, first, count);
            k->found[2 * s] = range_of(k->attention, k, first, count);
            k->found[2 * s + 1] = range_of(k->scores, k, first, count);
        }
        const range attention = range_join(k->found, strips), scores = range_join(k->found + 1, strips);
#pragma omp for schedule(static)
        for (int p = 0; p < k->patches; p++)
            apply(k->scores + (size_t)p * k->classes, k->attention + (size_t)p * k->classes, attention,
                  scores, lambda, k->classes);
    }
}

void t2d_cpu_clean(t2d_backend *be, float *scores, const float *logits, const float *features,
                   const float *text, int sequences, int tokens, int skip, int heads, int dim, int classes,
                   float lambda)
{
    cleaning k = {.patches = tokens - skip, .heads = heads, .dim = dim, .classes = classes, .text = text};
    assert(k.patches > 0 && heads > 0 && dim > 0 && classes > 0);
    float *memory = t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_CLEAN, scratch_floats(&k) * sizeof(float));
    if (!memory) return;
    place(&k, memory);
    for (int s = 0; s < sequences; s++) {
        k.scores = scores + (size_t)s * k.patches * classes;
        k.logits = logits + (size_t)s * heads * k.patches;
        k.features = features + ((size_t)s * tokens + skip) * dim;
        clean_sequence(&k, lambda, be->threads);
    }
}
