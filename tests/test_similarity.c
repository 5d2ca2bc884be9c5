/* test_similarity.c — cosine scores, background cleaning and merged aliases against double precision, and the
 * published code's golden values. */
#include "maps.h"
#include "stages.h"

static const tolerance TOL_CLEAN_GOLDEN = {1.5e-7, "1",
                                           "the published fp32 result, two units in the last place"};
static const tolerance TOL_REFERENCE = {1e-6, "1", "both sides sum 128 to 192 products in fp32"};

static float *unit_rows(int rows, int dim, uint64_t seed)
{
    float *v = random_floats((size_t)rows * dim, 1.0f, seed);
    for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < dim; c++) sum += (double)v[(size_t)r * dim + c] * v[(size_t)r * dim + c];
        for (int c = 0; c < dim; c++) v[(size_t)r * dim + c] = (float)(v[(size_t)r * dim + c] / sqrt(sum));
    }
    return v;
}

static float *similarity(int threads, const float *unit, const float *text, int rows, int classes, int dim,
                         bool sigmoid)
{
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, threads);
    float *u = upload_fp32(be, unit, (size_t)rows * dim), *t = upload_fp32(be, text, (size_t)classes * dim);
    float *y = guarded(be, (size_t)rows * classes * 4);
    be->op->similarity(be, y, u, t, rows, classes, dim, sigmoid);
    float *got = download_act(be, y, (size_t)rows * classes, true);
    be->op->release(be, u);
    be->op->release(be, t);
    be->op->release(be, y);
    be->op->close(be);
    return got;
}

Test(similarity, against_double)
{
    static const int shapes[][3] = {{1, 1, 1},     {5, 1, 64},    {64, 21, 768},
                                    {77, 300, 65}, {3, 16, 1024}, {1369, 17, 128}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int sigmoid = 0; sigmoid < 2; sigmoid++) {
            const int rows = shapes[i][0], classes = shapes[i][1], dim = shapes[i][2];
            float *u = unit_rows(rows, dim, 1), *t = unit_rows(classes, dim, 2);
            float *got = similarity(2, u, t, rows, classes, dim, sigmoid);
            for (int r = 0; r < rows; r++)
                for (int n = 0; n < classes; n++) {
                    double want = 0;
                    for (int c = 0; c < dim; c++)
                        want += (double)u[(size_t)r * dim + c] * t[(size_t)n * dim + c];
                    if (sigmoid) want = 1 / (1 + exp(-want));
                    check_near(got[(size_t)r * classes + n], want, 1, sigmoid ? TOL_SIGMOID : TOL_SIMILARITY,
                               false, "similarity", r, n);
                }
            free(u);
            free(t);
            free(got);
        }
}

/* Small integers: every sum is exact in any order. */
Test(similarity, exact_on_integers)
{
    enum { ROWS = 37, CLASSES = 33, DIM = 200 };
    static float u[ROWS * DIM], t[CLASSES * DIM];
    for (int i = 0; i < ROWS * DIM; i++) u[i] = (float)(i * 7 % 17 - 8);
    for (int i = 0; i < CLASSES * DIM; i++) t[i] = (float)(i * 11 % 13 - 6);
    float *got = similarity(2, u, t, ROWS, CLASSES, DIM, false);
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < CLASSES; n++) {
            int want = 0;
            for (int c = 0; c < DIM; c++) want += (int)u[r * DIM + c] * (int)t[n * DIM + c];
            cr_assert_eq((int)got[r * CLASSES + n], want, "row %d class %d", r, n);
        }
    free(got);
}

Test(similarity, same_bits_in_any_company)
{
    enum { ROWS = 70, CLASSES = 45, DIM = 192 };
    float *u = unit_rows(ROWS, DIM, 3), *t = unit_rows(CLASSES, DIM, 4);
    float *one = similarity(1, u, t, ROWS, CLASSES, DIM, true);
    for (int threads = 2; threads <= 3; threads++) {
        float *more = similarity(threads, u, t, ROWS, CLASSES, DIM, true);
        cr_assert_arr_eq(one, more, ROWS * CLASSES * sizeof(float), "%d threads", threads);
        free(more);
    }
    for (int r = 0; r < ROWS; r += 13) {
        float *alone = similarity(2, u + r * DIM, t, 1, CLASSES, DIM, true);
        cr_assert_arr_eq(one + r * CLASSES, alone, CLASSES * sizeof(float), "row %d alone", r);
        free(alone);
    }
    free(u);
    free(t);
    free(one);
}

Test(similarity, merge_max)
{
    enum { ROWS = 3, CLASSES = 6, GROUPS = 3 };
    static const int32_t first[GROUPS + 1] = {0, 1, 4, 6};
    static const float scores[ROWS * CLASSES] = {1, 5, 9, 2, -3, -4, 0, 2, 2, 2, 7, 8, -1, 3, 1, 4, 1, 5};
    static const float want[ROWS * GROUPS] = {1, 9, -3, 0, 2, 8, -1, 4, 5};
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
    float *x = upload_fp32(be, scores, ROWS * CLASSES), *y = guarded(be, sizeof want);
    be->op->merge_max(be, y, x, first, ROWS, CLASSES, GROUPS);
    float *got = download_act(be, y, ROWS * GROUPS, true);
    cr_assert_arr_eq(got, want, sizeof want);
    free(got);
    be->op->release(be, x);
    be->op->release(be, y);
    be->op->close(be);
}

/* ---- cleaning ---- */

static float *clean(const clean_case *k, int threads)
{
    const size_t patches = (size_t)(k->tokens - k->skip), count = patches * k->sequences * k->classes;
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, threads);
    float *s = upload_fp32(be, k->scores, count),
          *l = upload_fp32(be, k->logits, patches * k->sequences * k->heads);
    float *f = upload_fp32(be, k->features, (size_t)k->sequences * k->tokens * k->dim);
    float *t = upload_fp32(be, k->text, (size_t)k->classes * k->dim);
    be->op->clean(be, s, l, f, t, k->sequences, k->tokens, k->skip, k->heads, k->dim, k->classes, 0.2f);
    float *got = download_act(be, s, count, true);
    be->op->release(be, s);
    be->op->release(be, l);
    be->op->release(be, f);
    be->op->release(be, t);
    be->op->close(be);
    return got;
}

static clean_case random_clean(int sequences, int patches, int skip, int heads, int dim, int classes)
{
    const int tokens = patches + skip;
    return (clean_case){sequences,
                        tokens,
                        skip,
                        heads,
                        dim,
                        classes,
                        random_scores((size_t)sequences * patches * classes, 0.4f, 5),
                        random_floats((size_t)sequences * heads * patches, 1.0f, 6),
                        random_floats((size_t)sequences * tokens * dim, 2.0f, 7),
                        unit_rows(classes, dim, 8)};
}

static void clean_free(clean_case *k)
{
    free(k->scores);
    free(k->logits);
    free(k->features);
    free(k->text);
}

Test(similarity, clean_against_double)
{
    static const int shapes[][6] = {
        {1, 1, 0, 1, 3, 1}, {2, 49, 5, 2, 128, 21}, {3, 64, 1, 12, 65, 33}, {1, 1024, 5, 6, 192, 5}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i], patches = s[1];
        clean_case k = random_clean(s[0], s[1], s[2], s[3], s[4], s[5]);
        float *got = clean(&k, 1);
        double *want = malloc((size_t)patches * k.classes * sizeof *want);
        for (int q = 0; q < k.sequences; q++) {
            naive_clean(&k, q, want);
            for (size_t j = 0; j < (size_t)patches * k.classes; j++)
                check_near(got[(size_t)q * patches * k.classes + j], want[j], 1, TOL_CLEAN, false, "clean",
                           (size_t)q, j);
        }
        for (int threads = 2; threads <= 3; threads++) {
            float *more = clean(&k, threads);
            cr_assert_arr_eq(got, more, (size_t)k.sequences * patches * k.classes * sizeof(float),
                             "%d threads", threads);
            free(more);
        }
        free(want);
        free(got);
        clean_free(&k);
    }
}

Test(similarity, clean_golden)
{
    json_t *root = golden_open(T2D_GOLDEN "/bg_clean.json");
    enum { CLASSES = 3, PATCHES = 20, HEADS = 2, DIM = 6 };
    const json_t *flat = json_object_get(root, "S_flat"),
                 *want = json_object_get(root, "out_flat_row_major_n_h_w");
    float s[PATCHES * CLASSES], l[HEADS * PATCHES], f[PATCHES * DIM], t[CLASSES * DIM];
    for (int p = 0; p < PATCHES; p++) {
        for (int n = 0; n < CLASSES; n++)
            s[p * CLASSES + n] = (float)golden_at(flat, (size_t)(n * PATCHES + p));
        for (int m = 0; m < HEADS; m++) l[m * PATCHES + p] = (float)(2 * cos(0.5 * p + m));
        for (int c = 0; c < DIM; c++) f[p * DIM + c] = (float)(sin(1.3 * c + 0.7 * p) + 0.1 * c);
    }
    for (int n = 0; n < CLASSES; n++) {
        double sum = 0;
        for (int c = 0; c < DIM; c++) sum += pow(cos(0.9 * n * c + 0.2 * c), 2);
        for (int c = 0; c < DIM; c++) t[n * DIM + c] = (float)(cos(0.9 * n * c + 0.2 * c) / sqrt(sum));
    }
    const clean_case k = {1, PATCHES, 0, HEADS, DIM, CLASSES, s, l, f, t};
    float *got = clean(&k, 2);
    for (int p = 0; p < PATCHES; p++)
        for (int n = 0; n < CLASSES; n++)
            check_near(got[p * CLASSES + n], golden_at(want, (size_t)(n * PATCHES + p)), 1, TOL_CLEAN_GOLDEN,
                       false, "bg_clean.json", (size_t)p, (size_t)n);
    free(got);
    json_decref(root);
}

/* ---- the published stages ---- */

Test(similarity, published_stages)
{
    for (int i = 0; i < STAGE_CASE_COUNT; i++) {
        t2d_st_file *file = stages_open(STAGE_CASES[i]);
        int tokens[3], classes[3], want_shape[3];
        float *patches = stage_read(file, "patch_tokens", tokens),
              *text = stage_read(file, "text_embedding", classes);
        float *want = stage_read(file, "similarity", want_shape); /* [classes, 32, 32] */
        const int rows = tokens[1], dim = tokens[2], count = classes[1];
        for (int r = 0; r < rows; r++) { /* unit rows, in double: the suite of norms checks the operation */
            double sum = 0;
            for (int c = 0; c < dim; c++) sum += (double)patches[r * dim + c] * patches[r * dim + c];
            for (int c = 0; c < dim; c++) patches[r * dim + c] = (float)(patches[r * dim + c] / sqrt(sum));
        }
        float *got = similarity(2, patches, text, rows, count, dim, false);
        for (int r = 0; r < rows; r++)
            for (int n = 0; n < count; n++)
                check_near(got[r * count + n], want[n * rows + r], 1, TOL_REFERENCE, false, STAGE_CASES[i],
                           (size_t)r, (size_t)n);
        free(patches);
        free(text);
        free(want);
        free(got);
        t2d_st_close(file);
    }
}
