/* test_attention.c — softmax(q k^T / 8) v and the CLS token's heads against double precision.
 * In bf16 there are two ways, with bf16 instructions and without; what a chip has is what is tested, and
 * where it has them the other way is compared with them. */
#include <oneapi/dnnl/dnnl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "kernels.h"

enum { HEAD = T2D_HEAD };

typedef struct shape {
    int sequences, tokens, heads;
    bool causal;
} shape;

static const shape SHAPES[] = {
    {1, 1, 2, false}, {1, 1, 3, true},    {3, 5, 2, false},  {2, 23, 1, true},    {2, 24, 2, false},
    {1, 25, 3, true}, {1, 63, 3, false},  {2, 64, 2, true},  {2, 65, 3, false},   {4, 77, 3, true},
    {1, 77, 8, true}, {2, 257, 2, false}, {1, 257, 2, true}, {1, 1029, 2, false}, {1, 1374, 3, false},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

/* Some rows are outliers, as DINO's are: their scores are an order larger. */
static float *random_qkv(shape s)
{
    const size_t width = (size_t)3 * s.heads * HEAD, rows = (size_t)s.sequences * s.tokens;
    float *qkv = random_floats(rows * width, 1.0f, 11);
    for (size_t r = 3; r < rows; r += 97)
        for (size_t i = 0; i < width; i++) qkv[r * width + i] *= 12.0f;
    return qkv;
}

/* One row of one head, in double. */
static void check_row(const float *got, const float *qkv, shape s, int seq, int head, int t, bool half)
{
    const int dim = s.heads * HEAD, seen = s.causal ? t + 1 : s.tokens;
    const float *base = qkv + (size_t)seq * s.tokens * 3 * dim + (size_t)head * HEAD;
    const float *q = base + (size_t)t * 3 * dim;
    double *p = malloc(sizeof *p * seen), top = -INFINITY, sum = 0, size = 0, largest = 0;
    double out[HEAD] = {0}, magnitudes[HEAD] = {0};
    for (int k = 0; k < seen; k++) {
        double dot = 0, magnitude = 0;
        for (int c = 0; c < HEAD; c++) {
            const double product = (double)q[c] * base[(size_t)k * 3 * dim + dim + c];
            dot += product / 8;
            magnitude += fabs(product) / 8;
            largest = fmax(largest, fabs(base[(size_t)k * 3 * dim + 2 * dim + c]));
        }
        p[k] = dot;
        top = fmax(top, dot);
        size = fmax(size, magnitude);
    }
    for (int k = 0; k < seen; k++) sum += p[k] = exp(p[k] - top);
    for (int k = 0; k < seen; k++)
        for (int c = 0; c < HEAD; c++) {
            const double part = p[k] / sum * base[(size_t)k * 3 * dim + 2 * dim + c];
            out[c] += part;
            magnitudes[c] += fabs(part);
        }
    for (int c = 0; c < HEAD; c++) {
        tolerance tol = TOL_ATTENTION;
        if (half) tol.limit += BF16_ROUNDING * magnitudes[c] / ((1 + size) * largest);
        check_near(got[((size_t)seq * s.tokens + t) * dim + head * HEAD + c], out[c], (1 + size) * largest,
                   tol, half, s.causal ? "causal attention" : "attention", t, head * HEAD + c);
    }
    free(p);
}

static float *run(t2d_backend *be, const void *qkv, shape s)
{
    const size_t count = (size_t)s.sequences * s.tokens * s.heads * HEAD;
    void *mix = guarded(be, count * t2d_act_size(be));
    be->op->attention(be, mix, qkv, s.sequences, s.tokens, s.heads, s.causal);
    float *got = download_act(be, mix, count, false);
    be->op->release(be, mix);
    return got;
}

Test(attention, against_double)
{
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (int i = 0; i < SHAPE_COUNT; i++) {
            const shape s = SHAPES[i];
            float *qkv = random_qkv(s);
            void *qkv_device =
                upload_act(be, qkv, (size_t)s.sequences * s.tokens * 3 * s.heads * HEAD, false);
            float *got = run(be, qkv_device, s);
            for (int seq = 0; seq < s.sequences; seq++)
                for (int h = 0; h < s.heads; h++)
                    for (int t = 0; t < s.tokens; t++) check_row(got, qkv, s, seq, h, t, d == 1);
            free(got);
            free(qkv);
            be->op->release(be, qkv_device);
        }
        be->op->close(be);
    }
}

/* Scores are 0 for every third key and -1000 for the others, so that a row is the mean of the former, and
 * values are small integers: nothing is rounded but the mean.  A key too many or too few is seen at any size.
 */
Test(attention, equal_scores_give_the_mean_to_the_bit)
{
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (int i = 0; i < SHAPE_COUNT; i++) {
            const shape s = SHAPES[i];
            const size_t dim = (size_t)s.heads * HEAD, rows = (size_t)s.sequences * s.tokens;
            float *qkv = calloc(rows * 3 * dim, sizeof *qkv);
            uint64_t state = 5;
            for (size_t at = 0; at < rows * dim; at++) {
                float *row = qkv + at / dim * 3 * dim;
                const size_t c = at % dim, t = at / dim % s.tokens;
                row[c] = c % HEAD == 0 ? 8.0f : 0.0f;
                row[dim + c] = c % HEAD == 0 && t % 3 ? -1000.0f : 0.0f;
                row[2 * dim + c] = (float)(1 + random_next(&state) % 8);
            }
            void *device = upload_act(be, qkv, rows * 3 * dim, false);
            float *got = run(be, device, s);
            for (size_t at = 0; at < rows * dim; at++) {
                const size_t t = at / dim % s.tokens, seen = s.causal ? t + 1 : (size_t)s.tokens;
                const float *v = qkv + (at / dim - t) * 3 * dim + 2 * dim + at % dim;
                float sum = 0;
                for (size_t k = 0; k < seen; k += 3) sum += v[k * 3 * dim];
                float want = sum / (float)((seen + 2) / 3);
                if (d == 1) want = bf16_value(bf16_bits(want));
                cr_assert_eq(got[at], want, "%d tokens, row %zu, channel %zu: got %.9g, want %.9g", s.tokens,
                             t, at % dim, got[at], want);
            }
            free(got);
            free(qkv);
            be->op->release(be, device);
        }
        be->op->close(be);
    }
}

static float *run_uploaded(t2d_backend *be, float *qkv, shape s)
{
    void *device = upload_act(be, qkv, (size_t)s.sequences * s.tokens * 3 * s.heads * HEAD, false);
    float *got = run(be, device, s);
    be->op->release(be, device);
    return got;
}

Test(attention, bits_do_not_depend_on_threads_or_repetition)
{
    for (int i = 0; i < 2 * SHAPE_COUNT; i++) {
        const shape s = SHAPES[i / 2];
        float *qkv = random_qkv(s), *first = NULL;
        for (int threads = 1; threads <= 4; threads++) {
            t2d_backend *be = open_cpu(DTYPES[i % 2], threads > 3 ? 2 : threads);
            float *got = run_uploaded(be, qkv, s);
            const size_t bytes = (size_t)s.sequences * s.tokens * s.heads * HEAD * sizeof *got;
            if (first) cr_assert(memcmp(first, got, bytes) == 0, "shape %d, %d threads", i / 2, threads);
            if (first)
                free(got);
            else
                first = got;
            be->op->close(be);
        }
        free(first);
        free(qkv);
    }
}

/* Any sequence alone has the bits it has among five; enough tokens that they are laid out in several goes. */
Test(attention, bits_do_not_depend_on_the_batch)
{
    const int tokens[] = {1, 5, 64, 77, 257, 1374};
    for (int i = 0; i < 12; i++) {
        const int n = tokens[i / 2];
        const shape five = {5, n, 2, i / 2 % 2 == 1}, one = {1, n, 2, i / 2 % 2 == 1};
        const size_t out = (size_t)n * 2 * HEAD;
        t2d_backend *be = open_cpu(DTYPES[i % 2], 2);
        float *qkv = random_qkv(five), *all = run_uploaded(be, qkv, five);
        for (int s = 0; s < 5; s++) {
            float *alone = run_uploaded(be, qkv + s * out * 3, one);
            cr_assert(memcmp(alone, all + s * out, out * sizeof *all) == 0, "%d tokens, sequence %d", n, s);
            free(alone);
        }
        free(all);
        free(qkv);
        be->op->close(be);
    }
}

/* A causal row has the same bits whatever stands behind it in its sequence. */
Test(attention, a_causal_row_does_not_see_the_future)
{
    const shape s = {1, 77, 2, true};
    const size_t row = (size_t)2 * HEAD;
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        float *qkv = random_qkv(s), *before = run_uploaded(be, qkv, s);
        for (size_t i = 41 * 3 * row; i < 77 * 3 * row; i++) qkv[i] = 1.0f - 5.0f * qkv[i];
        float *after = run_uploaded(be, qkv, s);
        cr_assert_arr_eq(before, after, 41 * row * sizeof *before);
        cr_assert(memcmp(before + 41 * row, after + 41 * row, row * sizeof *before) != 0);
        free(before);
        free(after);
        free(qkv);
        be->op->close(be);
    }
}

/* With bf16 instructions and without (a child that hides them from oneDNN, and so from us) numbers are the
 * same but for the order of sums: a last bit differs here and there. */
Test(attention, bf16_is_the_same_with_and_without_instructions)
{
    const shape s = {1, 1029, 2, false};
    const size_t count = (size_t)s.tokens * s.heads * HEAD;
    float *qkv = random_qkv(s);
    float *without =
        mmap(NULL, count * sizeof *without, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(without != MAP_FAILED);
    const pid_t child = fork();
    if (child == 0) {
        if (dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2) != dnnl_success || t2d_cpu_has_bf16()) _exit(1);
        t2d_backend *be = open_cpu(T2D_DTYPE_BF16, 2);
        memcpy(without, run_uploaded(be, qkv, s), count * sizeof *without);
        _exit(0);
    }
    int status;
    cr_assert(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    if (!t2d_cpu_has_bf16()) cr_skip_test("this chip has no bf16 instructions: their way is not tested");
    t2d_backend *be = open_cpu(T2D_DTYPE_BF16, 2);
    float *with = run_uploaded(be, qkv, s);
    size_t different = 0;
    for (size_t i = 0; i < count; i++) {
        different += with[i] != without[i];
        cr_assert(fabsf(with[i] - without[i]) <= 2 * BF16_ROUNDING * fabsf(without[i]) + 1e-5f,
                  "number %zu: %.9g with, %.9g without", i, with[i], without[i]);
    }
    cr_assert(different <= count / 1000, "%zu of %zu numbers differ", different, count);
    be->op->close(be);
    free(with);
    free(qkv);
    munmap(without, count * sizeof *without);
}

Test(attention, cls_logits_against_double)
{
    const struct {
        int sequences, tokens, skip, heads;
    } cases[] = {{1, 6, 5, 2}, {2, 65, 1, 3}, {1, 1029, 5, 12}, {3, 17, 5, 6}};
    for (int d = 0; d < 2; d++) {
        t2d_backend *be = open_cpu(DTYPES[d], 2);
        for (int i = 0; i < 4; i++) {
            const int n = cases[i].sequences, tokens = cases[i].tokens, skip = cases[i].skip;
            const int heads = cases[i].heads, patches = tokens - skip, dim = heads * HEAD;
            const size_t count = (size_t)n * heads * patches;
            float *qkv = random_qkv((shape){n, tokens, heads, false});
            void *qkv_device = upload_act(be, qkv, (size_t)n * tokens * 3 * dim, false);
            float *logits = guarded(be, count * 4);
            be->op->cls_logits(be, logits, qkv_device, n, tokens, skip, heads);
            float *got = download_act(be, logits, count, true);
            for (size_t at = 0; at < count; at++) {
                const size_t p = at % patches, h = at / patches % heads, s = at / patches / heads;
                const float *q = qkv + s * tokens * 3 * dim + h * HEAD, *k = q + (skip + p) * 3 * dim + dim;
                double dot = 0, size = 0;
                for (int c = 0; c < HEAD; c++)
                    dot += (double)q[c] * k[c] / 8, size += fabs((double)q[c] * k[c]) / 8;
                check_near(got[at], dot, size, TOL_CLS_LOGITS, false, "cls_logits", s * heads + h, p);
            }
            free(got);
            free(qkv);
            be->op->release(be, logits);
            be->op->release(be, qkv_device);
        }
        be->op->close(be);
    }
}

Test(attention, head_pool_against_double)
{
    const struct {
        int sequences, tokens, skip, heads, dim;
    } cases[] = {{1, 6, 5, 2, 128}, {2, 65, 1, 3, 192}, {1, 1029, 5, 3, 192}, {3, 17, 5, 6, 65}};
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 3);
    for (int i = 0; i < 4; i++) {
        const int n = cases[i].sequences, tokens = cases[i].tokens, skip = cases[i].skip;
        const int heads = cases[i].heads, dim = cases[i].dim, patches = tokens - skip;
        float *logits = random_floats((size_t)n * heads * patches, 4.0f, 21);
        float *features = random_floats((size_t)n * tokens * dim, 2.0f, 22);
        float *l = upload_fp32(be, logits, (size_t)n * heads * patches);
        float *f = upload_fp32(be, features, (size_t)n * tokens * dim);
        float *pooled = guarded(be, (size_t)n * heads * dim * 4);
        be->op->head_pool(be, pooled, l, f, n, tokens, skip, heads, dim);
        float *got = download_act(be, pooled, (size_t)n * heads * dim, true);
        for (int row = 0; row < n * heads; row++)
            for (int c = 0; c < dim; c++) {
                double sum = 0, out = 0, size = 0, largest = 0;
                for (int p = 0; p < patches; p++) {
                    const double logit = logits[(size_t)row * patches + p], weight = exp(logit);
                    const double v = features[((size_t)(row / heads) * tokens + skip + p) * dim + c];
                    sum += weight;
                    out += weight * v;
                    size = fmax(size, fabs(logit));
                    largest = fmax(largest, fabs(v));
                }
                check_near(got[(size_t)row * dim + c], out / sum / patches, (1 + size) * largest / patches,
                           TOL_HEAD_POOL, false, "head_pool", row, c);
            }
        free(got);
        free(logits);
        free(features);
        be->op->release(be, l);
        be->op->release(be, f);
        be->op->release(be, pooled);
    }
    be->op->close(be);
}
