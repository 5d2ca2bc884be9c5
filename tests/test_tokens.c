/* test_tokens.c — pixels and token ids -> the first residual stream, against double precision. */
#include "kernels.h"
#include "naive_maps.h"

typedef struct picture {
    int width, height, size, patch, registers, dim, count;
    bool swap;
    t2d_rect windows[3];
} picture;

static const picture PICTURES[] = {
    {40, 30, 28, 14, 4, 64, 2, false, {{0, 0, 28, 28}, {12, 2, 28, 28}}}, /* cut out, not resized */
    {53, 47, 28, 14, 4, 64, 1, true, {{0, 0, 53, 47}}},                   /* squeezed, channels swapped */
    {9, 7, 42, 14, 0, 65, 1, false, {{1, 2, 8, 5}}},                      /* enlarged */
    {64, 64, 32, 16, 4, 96, 3, false, {{0, 0, 32, 32}, {32, 32, 32, 32}, {7, 9, 50, 1}}},
    {460, 450, 448, 14, 4, 64, 1, true, {{0, 0, 460, 450}}},
};

/* Channel c of pixel (x, y) of a window brought to size x size, normalised. */
static double pixel(const t2d_embed *in, t2d_rect w, int x, int y, int c)
{
    int x0, x1, y0, y1;
    const double tx = naive_axis_sample(x, w.w, in->size, &x0, &x1),
                 ty = naive_axis_sample(y, w.h, in->size, &y0, &y1);
    const int from = in->swap ? 2 - c : c;
#define AT(px, py) in->pixels[((size_t)(w.y + (py)) * in->width + (w.x + (px))) * 3 + from]
    const double top = AT(x0, y0) * (1 - tx) + AT(x1, y0) * tx, low = AT(x0, y1) * (1 - tx) + AT(x1, y1) * tx;
#undef AT
    return ((top * (1 - ty) + low * ty) / 255 - in->mean[c]) / in->std[c];
}

/* The patch as a row of the projection's input: channel, row, column. */
static void patch_row(const t2d_embed *in, t2d_rect w, int patch, bool bf16, double *row)
{
    const int grid = in->size / in->patch, side = in->patch;
    for (int c = 0; c < 3; c++)
        for (int r = 0; r < side; r++)
            for (int k = 0; k < side; k++) {
                const double v = pixel(in, w, patch % grid * side + k, patch / grid * side + r, c);
                row[(c * side + r) * side + k] = bf16 ? bf16_value(bf16_bits((float)v)) : v;
            }
}

static void check_picture(t2d_backend *be, const picture *p, bool fp32)
{
    const bool bf16 = be->dtype == T2D_DTYPE_BF16 && !fp32;
    const int grid = p->size / p->patch, patches = grid * grid, width = 3 * p->patch * p->patch;
    const int tokens = 1 + p->registers + patches, dim = p->dim;
    const size_t bytes = (size_t)p->width * p->height * 3, count = (size_t)p->count * tokens * dim;
    uint64_t state = 31;
    uint8_t *pixels = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) pixels[i] = (uint8_t)random_next(&state);
    float *w = random_floats((size_t)dim * width, 0.05f, 32), *b = random_floats(dim, 0.5f, 33);
    float *cls = random_floats(dim, 1, 34), *registers = random_floats((size_t)p->registers * dim, 1, 35);
    float *position = random_floats((size_t)patches * dim, 1, 36), *x = guarded(be, count * 4);
    const t2d_linear_desc desc = {
        .name = "patch", .out = dim, .in = width, .weight = w, .bias = b, .fp32 = fp32};
    t2d_linear *projection;
    t2d_error err;
    cr_assert(be->op->linear_create(be, &desc, &projection, &err) == T2D_OK, "%s", err.message);
    const t2d_embed in = {.pixels = pixels,
                          .width = p->width,
                          .height = p->height,
                          .windows = p->windows,
                          .count = p->count,
                          .size = p->size,
                          .patch = p->patch,
                          .mean = {0.485f, 0.456f, 0.406f},
                          .std = {0.229f, 0.224f, 0.225f},
                          .swap = p->swap,
                          .projection = projection,
                          .cls = cls,
                          .registers = registers,
                          .position = position,
                          .register_count = p->registers,
                          .dim = dim};
    be->op->embed(be, x, &in);
    float *got = download_act(be, x, count, true);
    double *row = malloc(sizeof *row * width);
    for (int i = 0; i < p->count; i++) {
        const float *g = got + (size_t)i * tokens * dim;
        cr_assert_arr_eq(g, cls, dim * sizeof *g);
        cr_assert_arr_eq(g + dim, registers, p->registers * dim * sizeof *g);
        for (int t = 0; t < patches; t++) {
            patch_row(&in, p->windows[i], t, bf16, row);
            for (int o = 0; o < dim; o++) {
                double sum = (double)b[o] + position[(size_t)t * dim + o], size = 1 + fabs(b[o]) + fabs(sum);
                for (int k = 0; k < width; k++) {
                    const float weight = w[(size_t)o * width + k];
                    const double product = row[k] * (bf16 ? bf16_value(bf16_bits(weight)) : weight);
                    sum += product;
                    size += fabs(product);
                }
                check_near(g[(size_t)(1 + p->registers + t) * dim + o], sum, size, TOL_EMBED, false, "embed",
                           t, o);
            }
        }
    }
    be->op->linear_destroy(be, projection);
    be->op->release(be, x);
    float *all[] = {w, b, cls, registers, position, got};
    for (int i = 0; i < 6; i++) free(all[i]);
    free(row);
    free(pixels);
}

Test(tokens, embed_against_double)
{
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
    for (size_t i = 0; i < sizeof PICTURES / sizeof *PICTURES; i++) check_picture(be, &PICTURES[i], false);
    be->op->close(be);
}

/* Pixels rounded to bf16 can fall either side of a tie, so only windows that are not resized are compared. */
Test(tokens, embed_in_bf16)
{
    t2d_backend *be = open_cpu(T2D_DTYPE_BF16, 2);
    check_picture(be, &PICTURES[0], false);
    check_picture(be, &PICTURES[0], true); /* an fp32 projection among bf16 ones */
    be->op->close(be);
}

/* A window has the same bits alone and among others, by one thread or three. */
Test(tokens, a_window_has_its_bits_in_any_company)
{
    enum { SIZE = 56, DIM = 64, PATCHES = 16, TOKENS = PATCHES + 1 };
    uint8_t *pixels = malloc(100 * 80 * 3);
    uint64_t state = 5;
    for (int i = 0; i < 100 * 80 * 3; i++) pixels[i] = (uint8_t)random_next(&state);
    float *w = random_floats((size_t)DIM * 588, 0.05f, 1),
          *table = random_floats((size_t)TOKENS * DIM, 1.0f, 2);
    const t2d_rect windows[] = {{0, 0, 100, 80}, {44, 24, 56, 56}, {10, 10, 31, 47}};
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        t2d_backend *be = open_cpu(T2D_DTYPE_FP32, threads);
        t2d_linear *projection;
        const t2d_linear_desc desc = {.name = "patch", .out = DIM, .in = 588, .weight = w};
        cr_assert_eq(be->op->linear_create(be, &desc, &projection, NULL), T2D_OK);
        t2d_embed in = {.pixels = pixels,
                        .width = 100,
                        .height = 80,
                        .windows = windows,
                        .count = 3,
                        .size = SIZE,
                        .patch = 14,
                        .std = {1, 1, 1},
                        .projection = projection,
                        .cls = table,
                        .position = table + DIM,
                        .dim = DIM};
        float *all = malloc(sizeof *all * 3 * TOKENS * DIM), *one = malloc(sizeof *one * TOKENS * DIM);
        be->op->embed(be, all, &in);
        in.count = 1;
        for (int i = 0; i < 3; i++) {
            in.windows = windows + i;
            be->op->embed(be, one, &in);
            cr_assert_arr_eq(one, all + (size_t)i * TOKENS * DIM, sizeof *one * TOKENS * DIM);
        }
        if (first) cr_assert_arr_eq(first, all, sizeof *all * 3 * TOKENS * DIM);
        free(one);
        if (first)
            free(all);
        else
            first = all;
        be->op->linear_destroy(be, projection);
        be->op->close(be);
    }
    free(first);
    free(pixels);
    free(w);
    free(table);
}

Test(tokens, embed_text_adds_one_position_per_token)
{
    enum { WORDS = 50, DIM = 100, SEQUENCES = 3, TOKENS = 7 };
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
    float *table = random_floats(WORDS * DIM, 1.0f, 1), *position = random_floats(TOKENS * DIM, 1.0f, 2);
    int32_t ids[SEQUENCES * TOKENS];
    for (int i = 0; i < SEQUENCES * TOKENS; i++) ids[i] = i * 17 % WORDS;
    float *x = guarded(be, sizeof(float) * SEQUENCES * TOKENS * DIM);
    be->op->embed_text(be, x, ids, table, position, SEQUENCES, TOKENS, DIM);
    float *got = download_act(be, x, SEQUENCES * TOKENS * DIM, true);
    for (int r = 0; r < SEQUENCES * TOKENS; r++)
        for (int c = 0; c < DIM; c++)
            cr_assert(got[r * DIM + c] == table[ids[r] * DIM + c] + position[r % TOKENS * DIM + c]);
    free(got);
    be->op->release(be, x);
    free(table);
    free(position);
    be->op->close(be);
}

Test(tokens, gather_rows_copies_rows)
{
    const int32_t index[] = {4, 0, 4, 2};
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 3);
    float *x = random_floats(5 * 65, 1.0f, 1), *y = guarded(be, 4 * 65 * 4);
    be->op->gather_rows(be, y, x, index, 4, 65);
    float *got = download_act(be, y, 4 * 65, true);
    for (int r = 0; r < 4; r++) cr_assert_arr_eq(got + r * 65, x + index[r] * 65, 65 * sizeof *x);
    free(got);
    free(x);
    be->op->release(be, y);
    be->op->close(be);
}
