/* attention.h — what the ways of computing attention share: the desk a thread works on, and the softmax.
 * A way lays a head's keys and values out as its products want them, and attends blocks of queries.  Keys are
 * seen SEEN at a time in every way, so that weights are rounded to bf16 beside the same maximum everywhere.
 */
#ifndef T2D_CPU_ATTENTION_H
#define T2D_CPU_ATTENTION_H

#include "cpu.h"
#include "vmath.h"

enum {
    HEAD = T2D_HEAD,
    WIDTH = 16,   /* keys of a panel, or channels of v: two vectors of AVX2, one of AVX-512 */
    QUERIES = 48, /* of a work item */
    SEEN = 128,   /* keys at a time */
};

#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))

/* What a thread works in: a block's queries, results, and scores of the keys at hand; per query the greatest
 * score so far, the sum of exponentials below it (in lanes until the end), and what the latest keys did to
 * the older sums. */
typedef struct desk {
    float q[QUERIES * HEAD], out[QUERIES * HEAD], scores[QUERIES * SEEN];
    t2d_bf16 q16[QUERIES * HEAD], weights16[QUERIES * SEEN]; /* of the way with bf16 instructions */
    float top[QUERIES], scale[QUERIES], sum[QUERIES][WIDTH];
} desk;

/* A block's keys, as laid out; with causal, query r sees those up to first + r. */
typedef struct t2d_sight {
    const void *keys, *values;
    int count, padded, first;
    bool causal, half;
} t2d_sight;

typedef struct t2d_attention_way {
    size_t value_bytes; /* of a number of keys and values laid out */
    /* One head of a sequence, from `qkv` at number `at`; padded: tokens, to a multiple of WIDTH; zeros behind
     * the last. */
    void (*lay_out)(void *keys, void *values, const void *qkv, size_t at, int tokens, int padded, int dim,
                    bool half);
    /* d->out = attention of d->q, `rows` of them. */
    void (*attend)(desk *d, const t2d_sight *sight, int rows);
} t2d_attention_way;

/* bf16 by AVX512-BF16, for chips with t2d_cpu_has_bf16(); NULL where it cannot be compiled. */
const t2d_attention_way *t2d_attention_bf16(void);

/* ---- the softmax ---- */

INLINE float maximum(const float *p, int count, float top)
{
#pragma omp simd reduction(max : top)
    for (int i = 0; i < count; i++) top = p[i] > top ? p[i] : top;
    return top;
}

INLINE void start(desk *d)
{
    memset(d->out, 0, sizeof d->out);
    memset(d->sum, 0, sizeof d->sum);
    for (int r = 0; r < QUERIES; r++) d->top[r] = -1e30f;
}

/* How many of the keys from .. from + seen - 1 query r sees. */
INLINE int own_keys(const t2d_sight *sight, int r, int from, int seen)
{
    const int reach = sight->first + r + 1 - from;
    return !sight->causal || reach > seen ? seen : reach > 0 ? reach : 0;
}

/* Scores p become weights, e^(p - top), of the first `own` keys and 0 of the others up to a multiple of
 * WIDTH; sum [WIDTH] = sum * scale + weights, each lane for itself. */
INLINE void soften(float *restrict p, float *restrict sum, int own, int seen, float top, float scale)
{
    for (int l = 0; l < WIDTH; l++) sum[l] *= scale;
    int i = 0;
    for (; i + WIDTH <= own; i += WIDTH)
        for (int l = 0; l < WIDTH; l++) sum[l] += p[i + l] = t2d_exp_below(p[i + l] - top);
    for (; i < seen; i += WIDTH)
        for (int l = 0; l < WIDTH; l++) {
            const float e = t2d_exp_below(p[i + l] - top);
            sum[l] += p[i + l] = l < own - i ? e : 0.0f;
        }
}

/* Scores of `rows` queries with keys from .. from + seen - 1 become weights. */
INLINE void weigh(desk *d, const t2d_sight *sight, int rows, int from, int seen)
{
    for (int r = 0; r < rows; r++) {
        const float top = d->top[r];
        d->top[r] = maximum(d->scores + r * SEEN, own_keys(sight, r, from, seen), top);
        d->scale[r] = top - d->top[r];
    }
    for (int r = 0; r < rows; r++) d->scale[r] = t2d_exp_below(d->scale[r]);
    for (int r = 0; r < rows; r++)
        soften(d->scores + r * SEEN, d->sum[r], own_keys(sight, r, from, seen), seen, d->top[r], d->scale[r]);
}

INLINE void finish(desk *d, int rows)
{
    for (int r = 0; r < rows; r++) {
        float *sum = d->sum[r];
        for (int apart = WIDTH / 2; apart > 0; apart /= 2)
            for (int l = 0; l < apart; l++) sum[l] += sum[l + apart];
        for (int c = 0; c < HEAD; c++) d->out[r * HEAD + c] /= sum[0];
    }
}

#endif
