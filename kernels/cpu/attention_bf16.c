/* attention_bf16.c — attention by AVX512-BF16: products of bf16 pairs, sums in fp32.
 * The same numbers as attention.c's in bf16 mode but for the order of sums, and for denormals: the
 * instruction takes numbers below 1.2e-38 for zeros.  Weights never are that small (t2d_exp_below), and to
 * scores and values they are nothing. */
#include "attention.h"

#if defined(__x86_64__) && (__GNUC__ >= 10 || defined(__clang__))

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,avx2,bmi2")))

enum {
    ROWS = 12, /* x 2 vectors of sums stay in registers: 24 of 32 */
    PAIRS = HEAD / 2,
};

/* Two neighbours of bf16, of all lanes. */
#define PAIR(p) ((__m512bh)_mm512_set1_epi32(*(const pair *)(p)))
#define VECTOR(p) ((__m512bh)_mm512_loadu_si512(p))

typedef int pair __attribute__((may_alias, aligned(2)));

/* scores [ROWS, SEEN], `vectors` * 16 columns of them = q [ROWS, HEAD] . keys [vectors, PAIRS, 16, 2] */
TARGET INLINE void score_keys(float *scores, const t2d_bf16 *q, const t2d_bf16 *keys, int vectors)
{
    __m512 sum[ROWS][2];
    UNROLL for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    for (int c = 0; c < PAIRS; c++) {
        const __m512bh k0 = VECTOR(keys + c * 32), k1 = VECTOR(keys + (vectors - 1) * HEAD * WIDTH + c * 32);
        UNROLL for (int r = 0; r < ROWS; r++)
        {
            const __m512bh s = PAIR(q + r * HEAD + 2 * c);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], s, k0);
            if (vectors > 1) sum[r][1] = _mm512_dpbf16_ps(sum[r][1], s, k1);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        _mm512_storeu_ps(scores + r * SEEN, sum[r][0]);
        if (vectors > 1) _mm512_storeu_ps(scores + r * SEEN + WIDTH, sum[r][1]);
    }
}

/* out [ROWS, HEAD], 32 columns of it = scale [ROWS] * out + weights [ROWS, SEEN] . values [2, padded / 2, 16,
 * 2]; pairs: of keys. */
TARGET INLINE void add_values(float *out, const float *scale, const t2d_bf16 *weights, const t2d_bf16 *values,
                              int padded, int pairs)
{
    __m512 sum[ROWS][2];
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        const __m512 s = _mm512_set1_ps(scale[r]);
        sum[r][0] = _mm512_mul_ps(_mm512_loadu_ps(out + r * HEAD), s);
        sum[r][1] = _mm512_mul_ps(_mm512_loadu_ps(out + r * HEAD + WIDTH), s);
    }
    for (int k = 0; k < pairs; k++) {
        const __m512bh v0 = VECTOR(values + k * 32), v1 = VECTOR(values + (size_t)padded * WIDTH + k * 32);
        UNROLL for (int r = 0; r < ROWS; r++)
        {
            const __m512bh s = PAIR(weights + r * SEEN + 2 * k);
            sum[r][0] = _mm512_dpbf16_ps(sum[r][0], s, v0);
            sum[r][1] = _mm512_dpbf16_ps(sum[r][1], s, v1);
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        _mm512_storeu_ps(out + r * HEAD, sum[r][0]);
        _mm512_storeu_ps(out + r * HEAD + WIDTH, sum[r][1]);
    }
}

/* to [count] = from, rounded to nearest even; count: a multiple of WIDTH, or as good as. */
TARGET INLINE void round_row(t2d_bf16 *to, const float *from, int count)
{
    for (int i = 0; i < count; i += WIDTH)
        _mm256_storeu_si256((void *)(to + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
}

TARGET static void attend(desk *d, const t2d_sight *sight, int rows)
{
    const t2d_bf16 *keys = sight->keys, *values = sight->values;
    rows = (rows + ROWS - 1) / ROWS * ROWS; /* those behind the last are zeros */
    start(d);
    round_row(d->q16, d->q, QUERIES * HEAD); /* exact: they were bf16, and an eighth still is */
    for (int from = 0; from < sight->count; from += SEEN) {
        const int seen = sight->count - from < SEEN ? sight->count - from : SEEN;
        for (int k = 0; k < seen; k += 2 * WIDTH)
            for (int r = 0; r < rows; r += ROWS) {
                float *scores = d->scores + r * SEEN + k;
                const t2d_bf16 *q = d->q16 + r * HEAD, *panel = keys + (size_t)(from + k) * HEAD;
                if (seen - k > WIDTH)
                    score_keys(scores, q, panel, 2);
                else
                    score_keys(scores, q, panel, 1);
            }
        weigh(d, sight, rows, from, seen);
        for (int r = 0; r < rows; r++) round_row(d->weights16 + r * SEEN, d->scores + r * SEEN, seen);
        for (int c = 0; c < HEAD; c += 2 * WIDTH)
            for (int r = 0; r < rows; r += ROWS)
                add_values(d->out + r * HEAD + c, d->scale + r, d->weights16 + r * SEEN,
                           values + (size_t)c * sight->padded + (size_t)from * WIDTH, sight->padded,
                           (seen + 1) / 2);
    }
    finish(d, rows);
}

/* keys [padded / WIDTH, PAIRS, WIDTH, 2], values [HEAD / WIDTH, padded / 2, WIDTH, 2] */
TARGET static void lay_out(void *keys, void *values, const void *qkv, size_t at, int tokens, int padded,
                           int dim, bool half)
{
    (void)half; /* always */
    t2d_bf16 *to_keys = keys, *to_values = values;
    for (int panel = 0; panel < padded; panel += WIDTH) {
        t2d_bf16 k[WIDTH][HEAD] = {{0}}, v[WIDTH][HEAD] = {{0}};
        for (int t = 0; t < WIDTH && panel + t < tokens; t++) {
            const t2d_bf16 *row = (const t2d_bf16 *)qkv + at + (size_t)(panel + t) * 3 * dim;
            memcpy(k[t], row + dim, sizeof k[t]);
            memcpy(v[t], row + 2 * dim, sizeof v[t]);
        }
        for (int c = 0; c < PAIRS; c++)
            for (int t = 0; t < WIDTH; t++)
                memcpy(to_keys + (size_t)panel * HEAD + (c * WIDTH + t) * 2, &k[t][2 * c], 2 * sizeof **k);
        for (int c = 0; c < HEAD; c++)
            for (int t = 0; t < WIDTH; t++)
                to_values[(size_t)(c / WIDTH * padded + panel + t / 2 * 2) * WIDTH + c % WIDTH * 2 + t % 2] =
                    v[t][c];
    }
}

const t2d_attention_way *t2d_attention_bf16(void)
{
    static const t2d_attention_way way = {
        .value_bytes = sizeof(t2d_bf16), .lay_out = lay_out, .attend = attend};
    return &way;
}

#else

const t2d_attention_way *t2d_attention_bf16(void) { return NULL; }

#endif
