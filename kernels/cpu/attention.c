/* attention.c — mix = softmax(q k^T / 8) v, and what the CLS token attends to.
 * Keys (transposed in panels of 16) and values of every head are first laid out in fp32; then each block of
 * QUERIES queries sees all its keys: scores in the L2 cache, exact softmax, weighted sum of values.  A block
 * is computed by one thread, always in the same order, and a row never looks at another row of its block. */
#include <assert.h>
#include <omp.h>

#include "cpu.h"
#include "vmath.h"

enum {
    HEAD = T2D_HEAD,
    QUERIES = 24, /* of a work item: four groups of ROWS */
    ROWS = 6,     /* x KEYS sums stay in registers: 12 of AVX2's 16 */
    KEYS = 16,    /* two vectors */
    VALUES = 64,  /* rows of v that stay in the L1 cache while all queries of a block use them */
    BATCH = 4096, /* tokens, about, whose keys and values are laid out at a time */
};

typedef t2d_v8 v8;

#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))

/* ---- one block of queries ---- */

/* scores [ROWS, stride], 16 columns of them = q [ROWS, HEAD] . keys [HEAD, KEYS] */
INLINE void score_keys(float *scores, size_t stride, const float *q, const float *keys)
{
    v8 sum[ROWS][2] = {0};
    for (int c = 0; c < HEAD; c++) {
        const v8 k0 = *(const v8 *)(keys + c * KEYS), k1 = *(const v8 *)(keys + c * KEYS + 8);
        UNROLL for (int r = 0; r < ROWS; r++)
        {
            const float s = q[r * HEAD + c];
            sum[r][0] += k0 * s;
            sum[r][1] += k1 * s;
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        *(v8 *)(scores + r * stride) = sum[r][0];
        *(v8 *)(scores + r * stride + 8) = sum[r][1];
    }
}

/* out [ROWS, HEAD], 16 columns of it += p [ROWS, stride], `count` columns, . values [count, HEAD] */
INLINE void add_values(float *out, const float *p, size_t stride, const float *values, int count)
{
    v8 sum[ROWS][2];
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        sum[r][0] = *(const v8 *)(out + r * HEAD);
        sum[r][1] = *(const v8 *)(out + r * HEAD + 8);
    }
    for (int k = 0; k < count; k++) {
        const v8 v0 = *(const v8 *)(values + k * HEAD), v1 = *(const v8 *)(values + k * HEAD + 8);
        UNROLL for (int r = 0; r < ROWS; r++)
        {
            const float s = p[r * stride + k];
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

/* p [count] = e^(p - max); zeros from there to `end`; returns 1 / sum. */
INLINE float soften(float *p, int count, int end)
{
    float top = p[0], sum = 0.0f;
#pragma omp simd reduction(max : top)
    for (int i = 0; i < count; i++) top = p[i] > top ? p[i] : top;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        p[i] = t2d_exp(p[i] - top);
        sum += p[i];
    }
    for (int i = count; i < end; i++) p[i] = 0.0f;
    return 1.0f / sum;
}

/* What a thread works in: [QUERIES] rows of scaled queries, results and scores. */
typedef struct desk {
    float q[QUERIES * HEAD], out[QUERIES * HEAD], scale[QUERIES];
    float scores[];
} desk;

/* d->out = attention of d->q over keys and values.  Query r sees keys 0 .. seen - 1, or with causal
 * 0 .. first + r, of which `seen` is then the most. */
T2D_CLONES static void attend(desk *d, const float *keys, const float *values, int seen, int first,
                              bool causal)
{
    const size_t stride = (size_t)(seen + KEYS - 1) / KEYS * KEYS;
    for (int k = 0; k < seen; k += KEYS)
        for (int r = 0; r < QUERIES; r += ROWS)
            score_keys(d->scores + r * stride + k, stride, d->q + r * HEAD, keys + (size_t)k * HEAD);
    for (int r = 0; r < QUERIES; r++) {
        const int own = causal && first + r + 1 < seen ? first + r + 1 : seen;
        d->scale[r] = soften(d->scores + r * stride, own, seen);
    }
    memset(d->out, 0, sizeof d->out);
    for (int k = 0; k < seen; k += VALUES)
        for (int r = 0; r < QUERIES; r += ROWS)
            for (int c = 0; c < HEAD; c += KEYS)
                add_values(d->out + r * HEAD + c, d->scores + r * stride + k, stride,
                           values + (size_t)k * HEAD + c, seen - k < VALUES ? seen - k : VALUES);
    for (int r = 0; r < QUERIES; r++)
        for (int c = 0; c < HEAD; c++) d->out[r * HEAD + c] *= d->scale[r];
}

/* ---- in and out of fp32 ---- */

/* to [HEAD] = scale * channels `at` .. of act memory */
static void load_head(float *to, const void *act, size_t at, bool half, float scale)
{
    if (half)
        for (int c = 0; c < HEAD; c++) to[c] = scale * t2d_from_bf16(((const t2d_bf16 *)act)[at + c]);
    else
        for (int c = 0; c < HEAD; c++) to[c] = scale * ((const float *)act)[at + c];
}

static void store_head(void *act, size_t at, const float *from, bool half)
{
    if (half)
        for (int c = 0; c < HEAD; c++) ((t2d_bf16 *)act)[at + c] = t2d_to_bf16(from[c]);
    else
        memcpy((float *)act + at, from, HEAD * sizeof *from);
}

/* One head of a sequence: keys [padded / KEYS, HEAD, KEYS], values [padded, HEAD]; zeros behind the last. */
static void lay_out(float *keys, float *values, const void *qkv, size_t at, int tokens, int padded, int dim,
                    bool half)
{
    for (int t = 0; t < padded; t++) {
        float k[HEAD] = {0};
        float *v = values + (size_t)t * HEAD;
        if (t < tokens) {
            load_head(k, qkv, at + (size_t)t * 3 * dim + dim, half, 1.0f);
            load_head(v, qkv, at + (size_t)t * 3 * dim + 2 * dim, half, 1.0f);
        } else {
            memset(v, 0, HEAD * sizeof *v);
        }
        float *panel = keys + (size_t)(t / KEYS) * KEYS * HEAD + t % KEYS;
        for (int c = 0; c < HEAD; c++) panel[c * KEYS] = k[c];
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
    attend(d, p->keys + at, p->values + at, p->causal ? first + count : p->tokens, first, p->causal);
    for (int r = 0; r < count; r++)
        store_head(p->mix, (row + r) * dim + (size_t)head * HEAD, d->out + r * HEAD, p->half);
}

/* Sequences begin .. begin + count - 1, in two steps: lay out all heads, then all blocks of queries. */
static void attend_batch(t2d_backend *be, const problem *p, char *desks, size_t desk_bytes, int begin,
                         int count)
{
    const int heads = p->heads, dim = heads * HEAD;
#pragma omp parallel num_threads(be->threads)
    {
        desk *d = (desk *)(void *)(desks + desk_bytes * omp_get_thread_num());
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
    const int padded = (tokens + KEYS - 1) / KEYS * KEYS;
    const int batch = tokens < BATCH ? BATCH / tokens : 1, most = batch < sequences ? batch : sequences;
    const size_t laid_out = (size_t)most * heads * padded * HEAD * sizeof(float);
    const size_t desk_bytes = (sizeof(desk) + QUERIES * (size_t)padded * sizeof(float) + 63) / 64 * 64;
    char *scratch =
        t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_ATTENTION, 2 * laid_out + desk_bytes * be->threads);
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
        attend_batch(be, &p, scratch + 2 * laid_out, desk_bytes, s,
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
    const float scale = soften(weights, count, count) / (float)count;
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
