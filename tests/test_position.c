/* test_position.c — position tables against PyTorch's.  The rows of A are read off by resizing unit tables: a
 * grid that is 1 in column j alone gives column j of A in every row. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "model/model.h"

enum { GRID = 37 };

/* fp32 round-off of weights below 1.1 computed at coordinates below 37. */
static const double TAP_TOLERANCE = 3e-6, SAMPLE_TOLERANCE = 4e-6;

static json_t *golden(void)
{
    json_error_t why;
    json_t *root = json_load_file(T2D_GOLDEN "/pos_embed.json", 0, &why);
    cr_assert(root, "%s", why.text);
    return root;
}

static void resize(const float *table, int from, float *out, int h, int w, int dim, bool antialias,
                   float offset)
{
    t2d_error err = {0};
    cr_assert_eq(t2d_position_resize(table, from, out, h, w, dim, antialias, offset, &err), T2D_OK, "%s",
                 err.message);
}

/* One-hot columns (across) or rows as channels: out [n, n, GRID] then holds A's rows along that axis. */
static void read_matrix(float *out, int n, bool across, bool antialias, float offset)
{
    static float table[GRID * GRID * GRID];
    memset(table, 0, sizeof table);
    for (int y = 0; y < GRID; y++)
        for (int x = 0; x < GRID; x++) table[(y * GRID + x) * GRID + (across ? x : y)] = 1;
    resize(table, GRID, out, n, n, GRID, antialias, offset);
}

static void check_rows(const json_t *rows, const char *what, int n, bool antialias, float offset)
{
    static float a[64 * 64 * GRID];
    for (int axis = 0; axis < 2; axis++) {
        read_matrix(a, n, axis == 0, antialias, offset);
        const char *key;
        json_t *row;
        json_object_foreach((json_t *)rows, key, row)
        {
            const int i = atoi(key), first = (int)json_integer_value(json_object_get(row, "first_col"));
            const json_t *weights = json_object_get(row, "weights");
            const int count = (int)json_array_size(weights);
            const float *got = a + (axis == 0 ? 5 * n + i : i * n + 5) * GRID;
            for (int j = 0; j < GRID; j++) {
                const bool inside = j >= first && j < first + count;
                const double want = inside ? json_number_value(json_array_get(weights, j - first)) : 0;
                cr_expect(fabs((double)got[j] - want) <= TAP_TOLERANCE,
                          "%s row %d column %d axis %d: %g, want %g", what, i, j, axis, (double)got[j], want);
            }
        }
    }
}

Test(position, rows_of_the_published_rules)
{
    const struct {
        const char *key;
        int n, rows;
        bool antialias;
        float offset;
    } cases[] = {
        {"aa_37_to_32", 32, 32, true, 0},
        {"aa_37_to_16", 16, 4, true, 0},
        {"aa_37_to_64", 64, 4, true, 0},
        {"plain_offset_37_to_32", 32, 32, false, 0.1f},
        {"plain_offset_37_to_64", 64, 4, false, 0.1f},
    };
    json_t *root = golden();
    for (int i = 0; i < 5; i++) {
        const json_t *rows = json_object_get(root, cases[i].key);
        cr_assert_eq(json_object_size(rows), cases[i].rows, "%s", cases[i].key);
        check_rows(rows, cases[i].key, cases[i].n, cases[i].antialias, cases[i].offset);
    }
    json_decref(root);
}

Test(position, samples_of_pytorch)
{
    static float table[GRID * GRID], out[32 * 32];
    for (int y = 0; y < GRID; y++)
        for (int x = 0; x < GRID; x++)
            table[y * GRID + x] = (float)(sin(0.31 * y) + 0.5 * cos(0.47 * x + 0.05 * y));
    json_t *root = golden();
    for (int antialias = 0; antialias < 2; antialias++) {
        const json_t *samples =
            json_object_get(root, antialias ? "torch_aa_32_samples" : "torch_plain_offset_32_samples");
        cr_assert_eq(json_object_size(samples), 6);
        resize(table, GRID, out, 32, 32, 1, antialias, antialias ? 0 : 0.1f);
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)samples, key, value)
        {
            int y, x;
            cr_assert_eq(sscanf(key, "%d,%d", &y, &x), 2);
            cr_expect(fabs((double)out[y * 32 + x] - json_number_value(value)) <= SAMPLE_TOLERANCE,
                      "antialias %d at %s: %g, want %g", antialias, key, (double)out[y * 32 + x],
                      json_number_value(value));
        }
    }
    json_decref(root);
}

/* Values that repeat in no direction. */
static void fill(float *table, int count)
{
    uint32_t state = 1;
    for (int i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        table[i] = (float)(state >> 8) * 0x1p-23f - 1;
    }
}

Test(position, the_native_grid_is_untouched)
{
    enum { DIM = 3 };
    static float table[GRID * GRID * DIM], out[GRID * GRID * DIM];
    fill(table, GRID * GRID * DIM);
    for (int antialias = 0; antialias < 2; antialias++) {
        memset(out, 0xff, sizeof out);
        resize(table, GRID, out, GRID, GRID, DIM, antialias, 0.1f);
        cr_expect_eq(memcmp(out, table, sizeof out), 0, "antialias %d", antialias);
    }
}

/* The rule is separable: of a table u[y] v[x], pixel (y, x) is what u becomes at y of a target one wide,
 * times what v becomes at x of one that is one high. */
Test(position, targets_need_not_be_square)
{
    enum { MOST = 73 };
    static const int sizes[][2] = {{37, 50}, {64, 48}, {24, 32}, {1, 1}, {1, 40}, {37, 36}, {73, 37}};
    static float u[GRID], v[GRID], table[GRID * GRID * 3], out[MOST * MOST * 3 + 1];
    static float down[MOST * 3], across[MOST * 3];
    fill(u, GRID);
    for (int i = 0; i < GRID; i++) v[i] = cosf(0.9f * (float)i);
    for (int i = 0; i < GRID * GRID; i++) {
        table[i * 3 + 0] = u[i / GRID] * v[i % GRID];
        table[i * 3 + 1] = u[i / GRID];
        table[i * 3 + 2] = v[i % GRID];
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int antialias = 0; antialias < 2; antialias++) {
            const int h = sizes[s][0], w = sizes[s][1];
            const float offset = antialias ? 0 : 0.1f;
            out[h * w * 3] = 12345;
            resize(table, GRID, out, h, w, 3, antialias, offset);
            cr_expect_eq(out[h * w * 3], 12345, "nothing is written after the end");
            resize(table, GRID, down, h, 1, 3, antialias, offset);
            resize(table, GRID, across, 1, w, 3, antialias, offset);
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++) {
                    const double want = (double)down[y * 3 + 1] * (double)across[x * 3 + 2];
                    cr_assert(fabs((double)out[(y * w + x) * 3] - want) <= 2e-6,
                              "%d x %d antialias %d: %g, want %g", h, w, antialias,
                              (double)out[(y * w + x) * 3], want);
                }
        }
}

/* Weights of every row sum to 1 within fp32 round-off: a constant table stays constant, at the edges too. */
Test(position, constants_stay)
{
    static float table[16 * 16 * 2], out[74 * 50 * 2];
    for (int i = 0; i < 16 * 16 * 2; i++) table[i] = i % 2 ? -3 : 1;
    for (int antialias = 0; antialias < 2; antialias++) {
        resize(table, 16, out, 74, 50, 2, antialias, 0.1f);
        for (int i = 0; i < 74 * 50 * 2; i++)
            cr_assert(fabs((double)out[i] - (i % 2 ? -3 : 1)) <= 4e-6, "%d: %g", i, (double)out[i]);
    }
}

Test(position, refuses_what_has_no_meaning)
{
    const struct {
        int from, h, w, dim;
        float offset;
    } bad[] = {{0, 2, 2, 1, 0},   {2, 0, 2, 1, 0},  {2, 2, -1, 1, 0},      {2, 3, 3, 0, 0},
               {2, 3, 3, 1, NAN}, {2, 3, 3, 1, -1}, {2, 3, 3, 1, INFINITY}};
    float table[4] = {0}, out[9];
    for (int i = 0; i < 7; i++) {
        t2d_error err = {0};
        cr_expect_eq(t2d_position_resize(table, bad[i].from, out, bad[i].h, bad[i].w, bad[i].dim, false,
                                         bad[i].offset, &err),
                     T2D_E_ARGUMENT, "case %d", i);
        cr_expect(strstr(err.message, "position table"), "%s", err.message);
    }
}
