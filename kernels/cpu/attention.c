/* attention.c — mix = softmax(q k^T / 8) v, and what the CLS token attends to.
 * Keys and values of every head are first laid out in fp32 panels; then each block of QUERIES queries meets
 * SEEN keys at a time with an online softmax, so that scores never leave the L1 cache.  A block is computed
 * by one thread, always in the same order, and a row never looks at another row of its block. */
#include <assert.h>
#include <omp.h>

#include "cpu.h"
#include "vmath.h"

enum {
    HEAD = T2D_HEAD,
    ROWS = 6,     /* x WIDTH sums stay in registers: 12 of AVX2's 16 */
    WIDTH = 16,   /* two vectors: of keys, or of channels of v */
    QUERIES = 48, /* of a work item */
    SEEN = 128,   /* keys at a time */
    BATCH = 4096, /* tokens, about, whose keys and values are laid out at a time */
};

typedef t2d_v8 v8;

#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))

/* ---- one block of queries ---- */

/* scores [ROWS, SEEN], WIDTH columns of them = q [ROWS, HEAD] . keys [HEAD, WIDTH] */
INLINE void score_keys(float *scores, const float *q, const float *keys)
{
    v8 sum[ROWS][2] = {0};
    for (int c = 0; c < HEAD; c++) {
        const v8 k0 = *(const v8 *)(keys + c * WIDTH), k1 = *(const v8 *)(keys + c * WIDTH + 8);
        UNROLL for (int r = 0; r < ROWS; r++)
        {
            const float s = q[r * HEAD + c];
            sum[r][0] += k0 * s;
            sum[r][1] += k1 * s;
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        *(v8 *)(scores + r * SEEN) = sum[r][0];
        *(v8 *)(scores + r * SEEN + 8) = sum[r][1];
    }
}

/* out [ROWS, HEAD], WIDTH columns of it = scale [ROWS] * out + p [ROWS, SEEN] . values [count, WIDTH] */
INLINE void add_values(float *out, const float *scale, const float *p, const float *values, int count)
{
    v8 sum[ROWS][2];
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        sum[r][0] = *(const v8 *)(out + r * HEAD) * scale[r];
        sum[r][1] = *(const v8 *)(out + r * HEAD + 8) * scale[r];
    }
    for (int k = 0; k < count; k++) {
        const v8 v0 = *(const v8 *)(values + k * WIDTH), v1 = *(const v8 *)(values + k * WIDTH + 8);
        UNROLL for (int r = 0; r < ROWS; r++)
        {
            const float s = p[r * SEEN + k];
            sum[r][0] += v0 * s;
            sum[r][1] += v1 * s;
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        *(v8 *)(out + r * HEAD) = sum[r][0];
        *(v8 *)(out + r * HEAD + 8) = sum[r][1];
    }
}

INLINE float maximum(const float *p, int count, float top)
{
#pragma omp simd reduction(max : top)
    for (int i = 0; i < count; i++) top = p[i] > top ? p[i] : top;
    return top;
}

/* p [count] = e^(p - top); returns their sum. */
INLINE float soften(float *p, int count, float top)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        p[i] = t2d_exp(p[i] - top);
        sum += p[i];
    }
    return sum;
}

/* What a thread works in: a block's queries, results, and scores of the keys at hand; per query the greatest
 * score so far, the sum of exponentials below it, and what the latest keys did to the older sums. */
typedef struct desk {
    float q[QUERIES * HEAD], out[QUERIES * HEAD], scores[QUERIES * SEEN];
    float top[QUERIES], sum[QUERIES], scale[QUERIES];
} desk;

/* Scores of query r become weights: its first `own` keys count, those from there to `seen` weigh nothing. */
INLINE void weigh(desk *d, int r, int own, int seen)
{
    float *p = d->scores + r * SEEN;
    const float top = maximum(p, own, d->top[r]);
    d->scale[r] = t2d_exp(d->top[r] - top);
    d->sum[r] = d->sum[r] * d->scale[r] + soften(p, own, top);
    d->top[r] = top;
    for (int i = own > 0 ? own : 0; i < seen; i++) p[i] = 0.0f;
}

/* d->out = attention of d->q, `rows` of them (a multiple of ROWS), over `keys` keys; with causal, query r
 * sees those up to first + r.  keys [padded / WIDTH, HEAD, WIDTH], values [HEAD / WIDTH, padded, WIDTH]. */
T2D_CLONES static void attend(desk *d, const float *keys, const float *values, int rows, int count,
                              int padded, int first, bool causal)
{
    memset(d->out, 0, sizeof d->out);
    for (int r = 0; r < QUERIES; r++) d->top[r] = -1e30f, d->sum[r] = 0.0f;
    for (int from = 0; from < count; from += SEEN) {
        const int seen = count - from < SEEN ? count - from : SEEN;
        for (int k = 0; k < seen; k += WIDTH)
            for (int r = 0; r < rows; r += ROWS)
                score_keys(d->scores + r * SEEN + k, d->q + r * HEAD, keys + (size_t)(from + k) * HEAD);
        for (int r = 0; r < rows; r++) {
            const int reach = first + r + 1 - from;
            weigh(d, r, causal && reach < seen ? reach : seen, seen);
        }
        for (int c = 0; c < HEAD; c += WIDTH)
            for (int r = 0; r < rows; r += ROWS)
                add_values(d->out + r * HEAD + c, d->scale + r, d->scores + r * SEEN,
                           values + (size_t)c * padded + (size_t)from * WIDTH, seen);
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < HEAD; c++) d->out[r * HEAD + c] /= d->sum[r];
}

/* ---- in and out of fp32 ---- */

/* to [HEAD] = scale * channels `at` .. of act memory */
INLINE void load_head(float *to, const void *act, size_t at, bool half, float scale)
{
    if (half)
        for (int c = 0; c < HEAD; c++) to[c] = scale * t2d_from_bf16(((const t2d_bf16 *)act)[at + c]);
    else
        for (int c = 0; c < HEAD; c++) to[c] = scale * ((const float *)act)[at + c];
}

INLINE void store_head(void *act, size_t at, const float *from, bool half)
{
    if (half)
        for (int c = 0; c < HEAD; c++) ((t2d_bf16 *)act)[at + c] = t2d_to_bf16(from[c]);
    else
        memcpy((float *)act + at, from, HEAD * sizeof *from);
}

/* One head of a sequence: keys [padded / WIDTH, HEAD, WIDTH], values [HEAD / WIDTH, padded, WIDTH]; zeros
 * behind the last. */
T2D_CLONES static void lay_out(float *keys, float *values, const void *qkv, size_t at, int tokens, int padded,
                               int dim, bool half)
{
    for (int panel = 0; panel < padded; panel += WIDTH) {
        float k[WIDTH][HEAD] = {{0}}, v[WIDTH][HEAD] = {{0}};
        for (int t = 0; t < WIDTH && panel + t < tokens; t++) {
            const size_t row = at + (size_t)(panel + t) * 3 * dim;
            load_head(k[t], qkv, row + dim, half, 1.0f);
            load_head(v[t], qkv, row + 2 * dim, half, 1.0f);
        }
        for (int c = 0; c < HEAD; c++)
            for (int t = 0; t < WIDTH; t++) keys[(size_t)panel * HEAD + c * WIDTH + t] = k[t][c];
        for (int c = 0; c < HEAD; c += WIDTH)
            for (int t = 0; t < WIDTH; t++)
                memcpy(values + (size_t)c * padded + (size_t)(panel + t) * WIDTH, &v[t][c],
                       WIDTH * sizeof **v);
    }
}

/* ---- the operation ---- */

typedef struct problem {
    void *mix;
    const void *qkv;
    float *keys, *values; /* [sequences of the batch, heads, padded, HEAD] */
    int tokens, padded, heads;
    bool causal, half;
} problem;

/* Queries first .. first + QUERIES - 1 of one head; those behind the last are zeros and go nowhere. */
static void attend_block(const problem *p, desk *d, int sequence, int slot, int head, int first)
{
    const int dim = p->heads * HEAD, left = p->tokens - first, count = left < QUERIES ? left : QUERIES;
    const size_t row = (size_t)sequence * p->tokens + first;
    const size_t at = ((size_t)slot * p->heads + head) * p->padded * HEAD;
    memset(d->q, 0, sizeof d->q);
    for (int r = 0; r < count; r++)
        load_head(d->q + r * HEAD, p->qkv, (row + r) * 3 * dim + (size_t)head * HEAD, p->half, 0.125f);
    attend(d, p->keys + at, p->values + at, (count + ROWS - 1) / ROWS * ROWS,
           p->causal ? first + count : p->tokens, p->padded, first, p->causal);
    for (int r = 0; r < count; r++)
        store_head(p->mix, (row + r) * dim + (size_t)head * HEAD, d->out + r * HEAD, p->half);
}

/* Sequences begin .. begin + count - 1, in two steps: lay out all heads, then all blocks of queries. */
static void attend_batch(t2d_backend *be, const problem *p, desk *desks, int begin, int count)
{
    const int heads = p->heads, dim = heads * HEAD;
#pragma omp parallel num_threads(be->threads)
    {
        desk *d = desks + omp_get_thread_num();
#pragma omp for schedule(static) collapse(2)
        for (int s = 0; s < count; s++)
            for (int h = 0; h < heads; h++) {
                const size_t at = ((size_t)s * heads + h) * p->padded * HEAD;
                const size_t from = (size_t)(begin + s) * p->tokens * 3 * dim + (size_t)h * HEAD;
                lay_out(p->keys + at, p->values + at, p->qkv, from, p->tokens, p->padded, dim, p->half);
            }
#pragma omp for schedule(dynamic) collapse(3)
        for (int s = 0; s < count; s++)
            for (int h = 0; h < heads; h++)
                for (int first = 0; first < p->tokens; first += QUERIES)
                    attend_block(p, d, begin + s, s, h, first);
    }
}

void t2d_cpu_attention(t2d_backend *be, void *mix, const void *qkv, int sequences, int tokens, int heads,
                       bool causal)
{
    if (sequences <= 0 || tokens <= 0) return;
    const int padded = (tokens + WIDTH - 1) / WIDTH * WIDTH;
    const int batch = tokens < BATCH ? BATCH / tokens : 1, most = batch < sequences ? batch : sequences;
    const size_t laid_out = (size_t)most * heads * padded * HEAD * sizeof(float);
    char *scratch =
        t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_ATTENTION, 2 * laid_out + sizeof(desk) * be->threads);
    if (!scratch) return;
    const problem p = {.mix = mix,
                       .qkv = qkv,
                       .keys = (float *)(void *)scratch,
                       .values = (float *)(void *)(scratch + laid_out),
                       .tokens = tokens,
                       .padded = padded,
                       .heads = heads,
                       .causal = causal,
                       .half = be->dtype == T2D_DTYPE_BF16};
    for (int s = 0; s < sequences; s += batch)
        attend_batch(be, &p, (desk *)(void *)(scratch + 2 * laid_out), s,
                     sequences - s < batch ? sequences - s : batch);
}

/* ---- heads of the CLS token ---- */

T2D_CLONES static float dot(const float *a, const float *b)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < HEAD; c++) sum += a[c] * b[c];
    return sum;
}

void t2d_cpu_cls_logits(t2d_backend *be, float *logits, const void *qkv, int sequences, int tokens, int skip,
                        int heads)
{
    const int dim = heads * HEAD, patches = tokens - skip;
    const bool half = be->dtype == T2D_DTYPE_BF16;
    assert(skip >= 1 && patches >= 0);
#pragma omp parallel for num_threads(be->threads) schedule(static) collapse(2)
    for (int s = 0; s < sequences; s++)
        for (int h = 0; h < heads; h++) {
            float q[HEAD], k[HEAD];
            const size_t at = (size_t)s * tokens * 3 * dim + (size_t)h * HEAD;
            load_head(q, qkv, at, half, 0.125f);
            for (int p = 0; p < patches; p++) {
                load_head(k, qkv, at + (size_t)(skip + p) * 3 * dim + dim, half, 1.0f);
                logits[((size_t)s * heads + h) * patches + p] = dot(q, k);
            }
        }
}

/* pooled [dim] = sum_p weights[p] features[p, :] / count; weights are logits, and used up. */
T2D_CLONES static void pool(float *pooled, float *weights, const float *features, int count, int dim)
{
    const float sum = soften(weights, count, maximum(weights, count, weights[0]));
    const float scale = 1.0f / (sum * (float)count);
    memset(pooled, 0, (size_t)dim * sizeof *pooled);
    for (int p = 0; p < count; p++)
        for (int i = 0; i < dim; i++) pooled[i] += weights[p] * features[(size_t)p * dim + i];
    for (int i = 0; i < dim; i++) pooled[i] *= scale;
}

void t2d_cpu_head_pool(t2d_backend *be, float *pooled, const float *logits, const float *features,
                       int sequences, int tokens, int skip, int heads, int dim)
{
    const int patches = tokens - skip;
    assert(skip >= 0 && patches > 0);
    float *scratch = t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_ATTENTION,
                                     (size_t)be->threads * patches * sizeof *scratch);
    if (!scratch) return;
#pragma omp parallel for num_threads(be->threads) schedule(static) collapse(2)
    for (int s = 0; s < sequences; s++)
        for (int h = 0; h < heads; h++) {
            const size_t item = (size_t)s * heads + h;
            float *weights = scratch + (size_t)omp_get_thread_num() * patches;
            memcpy(weights, logits + item * patches, (size_t)patches * sizeof *weights);
            pool(pooled + item * dim, weights, features + ((size_t)s * tokens + skip) * dim, patches, dim);
        }
}
