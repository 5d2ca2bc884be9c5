/* attention.c — mix = softmax(q k^T / 8) v, and what the CLS token attends to.
 * Keys and values of every head are first laid out in panels; then each block of QUERIES queries meets
 * SEEN keys at a time with an online softmax, so that scores never leave the L1 cache.  A block is computed
 * by one thread, always in the same order, and a row never looks at another row of its block.
 * Here is the way in fp32.  In bf16 mode weights are rounded to bf16 before they meet v (their sum is of
 * those not rounded): where the chip multiplies bf16, attention_bf16.c does the same with half the work. */
#include <assert.h>
#include <omp.h>

#include "attention.h"

enum {
    ROWS = 6,     /* x WIDTH sums stay in registers: 12 of AVX2's 16 */
    BATCH = 4096, /* tokens, about, whose keys and values are laid out at a time */
};

typedef t2d_v8 v8;

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

INLINE void round_row(float *p, int count)
{
    for (int i = 0; i < count; i++) p[i] = t2d_from_bf16(t2d_to_bf16(p[i]));
}

/* keys [padded / WIDTH, HEAD, WIDTH], values [HEAD / WIDTH, padded, WIDTH] */
T2D_CLONES static void attend(desk *d, const t2d_sight *sight, int rows)
{
    const float *keys = sight->keys, *values = sight->values;
    rows = (rows + ROWS - 1) / ROWS * ROWS; /* those behind the last are zeros */
    start(d);
    for (int from = 0; from < sight->count; from += SEEN) {
        const int seen = sight->count - from < SEEN ? sight->count - from : SEEN;
        for (int k = 0; k < seen; k += WIDTH)
            for (int r = 0; r < rows; r += ROWS)
                score_keys(d->scores + r * SEEN + k, d->q + r * HEAD, keys + (size_t)(from + k) * HEAD);
        weigh(d, sight, rows, from, seen);
        for (int r = 0; sight->half && r < rows; r++) round_row(d->scores + r * SEEN, seen);
        for (int c = 0; c < HEAD; c += WIDTH)
            for (int r = 0; r < rows; r += ROWS)
                add_values(d->out + r * HEAD + c, d->scale + r, d->scores + r * SEEN,
                           values + (size_t)c * sight->padded + (size_t)from * WIDTH, seen);
    }
    finish(d, rows);
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

T2D_CLONES static void lay_out(void *to_keys, void *to_values, const void *qkv, size_t at, int tokens,
                               int padded, int dim, bool half)
{
    float *keys = to_keys, *values = to_values;
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

static const t2d_attention_way IN_FP32 = {.value_bytes = sizeof(float), .lay_out = lay_out, .attend = attend};

/* ---- the operation ---- */

typedef struct problem {
    void *mix;
    const void *qkv;
    const t2d_attention_way *way;
    char *keys, *values; /* [sequences of the batch, heads, padded, HEAD] of the way's type */
    size_t head_bytes;   /* of one head of one sequence there */
    int tokens, padded, heads;
    bool causal, half;
} problem;

/* Queries first .. first + QUERIES - 1 of one head; those behind the last are zeros and go nowhere. */
static void attend_block(const problem *p, desk *d, int sequence, int slot, int head, int first)
{
    const int dim = p->heads * HEAD, left = p->tokens - first, count = left < QUERIES ? left : QUERIES;
    const size_t row = (size_t)sequence * p->tokens + first;
    const size_t at = ((size_t)slot * p->heads + head) * p->head_bytes;
    const t2d_sight sight = {.keys = p->keys + at,
                             .values = p->values + at,
                             .count = p->causal ? first + count : p->tokens,
                             .padded = p->padded,
                             .first = first,
                             .causal = p->causal,
                             .half = p->half};
    memset(d->q, 0, sizeof d->q);
    for (int r = 0; r < count; r++)
        load_head(d->q + r * HEAD, p->qkv, (row + r) * 3 * dim + (size_t)head * HEAD, p->half, 0.125f);
    p->way->attend(d, &sight, count);
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
                const size_t at = ((size_t)s * heads + h) * p->head_bytes;
                const size_t from = (size_t)(begin + s) * p->tokens * 3 * dim + (size_t)h * HEAD;
                p->way->lay_out(p->keys + at, p->values + at, p->qkv, from, p->tokens, p->padded, dim,
                                p->half);
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
    const bool half = be->dtype == T2D_DTYPE_BF16;
    const t2d_attention_way *way = half && t2d_cpu_has_bf16() ? t2d_attention_bf16() : NULL;
    if (!way) way = &IN_FP32;
    const size_t head_bytes = (size_t)padded * HEAD * way->value_bytes, laid_out = most * heads * head_bytes;
    char *scratch =
        t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_ATTENTION, 2 * laid_out + sizeof(desk) * be->threads);
    if (!scratch) return;
    const problem p = {.mix = mix,
                       .qkv = qkv,
                       .way = way,
                       .keys = scratch,
                       .values = scratch + laid_out,
                       .head_bytes = head_bytes,
                       .tokens = tokens,
                       .padded = padded,
                       .heads = heads,
                       .causal = causal,
                       .half = half};
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
    const float top = maximum(weights, count, weights[0]);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        weights[i] = t2d_exp_below(weights[i] - top);
        sum += weights[i];
    }
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
