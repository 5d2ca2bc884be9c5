/* similarity.c — patches x classes: cosine scores, the background cleaning of the published code, aliases
 * merged. Products are summed in blocks of BLOCK terms and the blocks' sums after that, in an order that
 * depends on the width alone: a row has the same bits in any company, and half the round-off of one long sum.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "cpu/readout.h"

enum {
    LANES = 8,
    STRIP = 2 * LANES, /* classes computed together */
    ROWS = 4,          /* patches computed together */
    BLOCK = 64,
};

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Macro: a function with vectors in its signature has another ABI on every machine. */
#define LOAD(p) (*(const lanes *)(const void *)(p))

static int strips_of(int classes) { return (classes + STRIP - 1) / STRIP; }

/* ---- similarity ---- */

/* text [classes, dim] -> strips [strips][dim][STRIP], zero beyond the last class. */
static void pack(float *packed, const float *text, int classes, int dim)
{
    for (int s = 0; s < strips_of(classes); s++)
        for (int k = 0; k < dim; k++)
            for (int i = 0; i < STRIP; i++) {
                const int c = s * STRIP + i;
                *packed++ = c < classes ? text[(size_t)c * dim + k] : 0;
            }
}

/* out[r][0..STRIP) = x[r] . strip for ROWS rows. */
T2D_CLONES static void dot_strip(float (*restrict out)[STRIP], const float *const *restrict x,
                                 const float *restrict strip, int dim)
{
    const float *restrict x0 = x[0], *restrict x1 = x[1], *restrict x2 = x[2], *restrict x3 = x[3];
    lanes sum[ROWS][2] = {0};
    for (int from = 0; from < dim; from += BLOCK) {
        const int to = from + BLOCK < dim ? from + BLOCK : dim;
        lanes a0 = {0}, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
        for (int k = from; k < to; k++) {
            const lanes a = LOAD(strip + (size_t)k * STRIP), b = LOAD(strip + (size_t)k * STRIP + LANES);
            a0 += x0[k] * a, b0 += x0[k] * b;
            a1 += x1[k] * a, b1 += x1[k] * b;
            a2 += x2[k] * a, b2 += x2[k] * b;
            a3 += x3[k] * a, b3 += x3[k] * b;
        }
        sum[0][0] += a0, sum[0][1] += b0, sum[1][0] += a1, sum[1][1] += b1;
        sum[2][0] += a2, sum[2][1] += b2, sum[3][0] += a3, sum[3][1] += b3;
    }
    memcpy(out, sum, sizeof sum);
}

T2D_CLONES static void sigmoid_row(float *restrict row, int count)
{
    for (int i = 0; i < count; i++) row[i] = 1.0f / (1.0f + t2d_sleef_exp(-row[i]));
}

/* ROWS rows of scores; rows beyond the last repeat it and are not stored. */
static void score_rows(float *scores, const float *unit, const float *packed, int row, int rows, int classes,
                       int dim, bool sigmoid)
{
    const float *x[ROWS];
    float out[ROWS][STRIP];
    for (int r = 0; r < ROWS; r++) x[r] = unit + (size_t)(row + r < rows ? row + r : rows - 1) * dim;
    for (int s = 0; s < strips_of(classes); s++) {
        const int first = s * STRIP, count = classes - first < STRIP ? classes - first : STRIP;
        dot_strip(out, x, packed + (size_t)first * dim, dim);
        for (int r = 0; r < ROWS && row + r < rows; r++)
            memcpy(scores + (size_t)(row + r) * classes + first, out[r], (size_t)count * sizeof(float));
    }
    for (int r = 0; sigmoid && r < ROWS && row + r < rows; r++)
        sigmoid_row(scores + (size_t)(row + r) * classes, classes);
}

void t2d_cpu_similarity(t2d_backend *be, float *scores, const float *unit, const float *text, int rows,
                        int classes, int dim, bool sigmoid)
{
    assert(rows >= 0 && classes > 0 && dim > 0);
    const size_t bytes = (size_t)strips_of(classes) * STRIP * dim * sizeof(float);
    float *packed = t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_SIMILARITY, bytes);
    if (!packed) return;
    pack(packed, text, classes, dim);
#pragma omp parallel for schedule(static) num_threads(be->threads)
    for (int row = 0; row < rows; row += ROWS)
        score_rows(scores, unit, packed, row, rows, classes, dim, sigmoid);
}

/* ---- aliases ---- */

void t2d_cpu_merge_max(t2d_backend *be, float *out, const float *scores, const int32_t *first, int rows,
                       int classes, int groups)
{
    assert(groups >= 0 && first[0] >= 0 && first[groups] <= classes);
#pragma omp parallel for schedule(static) num_threads(be->threads)
    for (int r = 0; r < rows; r++) {
        const float *row = scores + (size_t)r * classes;
        for (int g = 0; g < groups; g++) {
            float best = row[first[g]];
            for (int c = first[g] + 1; c < first[g + 1]; c++) best = row[c] > best ? row[c] : best;
            out[(size_t)r * groups + g] = best;
        }
    }
}
