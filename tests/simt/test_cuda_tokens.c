/* test_cuda_tokens.c — kernels/cuda/tokens.cu against formulas in double precision. */
#include "kernel_test.h"

enum { WIDTH = 61, HEIGHT = 47 };
static uint8_t pixels[HEIGHT * WIDTH * 3];

/* torch's bilinear of one channel, in fp32 coordinates as there. */
static double bilinear(const t2d_rect *w, int size, int y, int x, int channel)
{
    const float sy = fmaxf((float)w->h / (float)size * ((float)y + .5f) - .5f, 0);
    const float sx = fmaxf((float)w->w / (float)size * ((float)x + .5f) - .5f, 0);
    const int y0 = (int)sy, x0 = (int)sx, y1 = y0 + 1 < w->h ? y0 + 1 : y0, x1 = x0 + 1 < w->w ? x0 + 1 : x0;
    const double ty = (double)sy - y0, tx = (double)sx - x0;
#define AT(Y, X) pixels[((w->y + (Y)) * WIDTH + w->x + (X)) * 3 + channel]
    return (1 - ty) * ((1 - tx) * AT(y0, x0) + tx * AT(y0, x1)) +
           ty * ((1 - tx) * AT(y1, x0) + tx * AT(y1, x1));
#undef AT
}

static double patch_oracle(const t2d_embed *in, const t2d_rect *windows, int row, int column)
{
    const int grid = in->size / in->patch, area = in->patch * in->patch;
    const int channel = column / area, py = column % area / in->patch, px = column % in->patch;
    if (channel > 2) return 0;
    const int gy = row % (grid * grid) / grid, gx = row % grid;
    const double v = bilinear(windows + row / (grid * grid), in->size, gy * in->patch + py,
                              gx * in->patch + px, in->swap ? 2 - channel : channel);
    return (v / 255 - in->mean[channel]) / in->std[channel];
}

static void patches_case(t2d_dtype type, int size, int patch, int ld, bool swap)
{
    const t2d_rect windows[] = {{0, 0, size, size},
                                {WIDTH - size, HEIGHT - size, size, size},
                                {3, 5, 20, 33},
                                {0, 0, WIDTH, HEIGHT},
                                {60, 46, 1, 1}};
    t2d_embed in = {.windows = windows,
                    .count = 5,
                    .width = WIDTH,
                    .height = HEIGHT,
                    .size = size,
                    .patch = patch,
                    .mean = {.485f, .456f, .406f},
                    .std = {.229f, .224f, .225f},
                    .swap = swap};
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)test_bits();
    const int grid = size / patch, rows = 5 * grid * grid;
    const size_t count = (size_t)rows * ld;
    void *dp = test_device(pixels, sizeof pixels), *dw = test_device(windows, sizeof windows);
    void *out = test_device(NULL, count * test_size(type)), *got;
    in.pixels = dp;
    char what[80];
    snprintf(what, sizeof what, "patches of %d in %d, ld %d %s", patch, size, ld, test_type_names[type]);
    TEST_RUN(got, out, count * test_size(type), what, t2d_cuda_patches(out, type, ld, &in, dw, 0));
    double *want = malloc(count * sizeof *want);
    for (size_t i = 0; i < count; i++) want[i] = patch_oracle(&in, windows, (int)(i / ld), (int)(i % ld));
    test_close(what, got, type, want, count, test_tolerance(type));
    cudaFree(dp), cudaFree(dw), cudaFree(out), free(got), free(want);
}

Test(cuda_tokens, patches)
{
    test_seed();
    for (int type = 0; type < 3; type++) {
        patches_case((t2d_dtype)type, 42, 14, 592, type == 1);
        patches_case((t2d_dtype)type, 28, 14, 588, false);
        patches_case((t2d_dtype)type, 8, 4, 56, true);
    }
}

static void base_case(int registers, int grid, int dim)
{
    const int tokens = 1 + registers + grid * grid;
    const size_t row = (size_t)dim * 4, places = (size_t)grid * grid * row, bytes = (size_t)tokens * row;
    float *table = test_floats((size_t)tokens * dim, 1, 0),
          *got; /* CLS, registers and positions are its rows */
    float *cls = test_device(table, row), *some = test_device(table + dim, registers * row);
    float *position = test_device(table + (1 + registers) * dim, places), *out = test_device(NULL, 2 * bytes);
    const t2d_embed in = {.count = 2,
                          .size = grid * 14,
                          .patch = 14,
                          .cls = cls,
                          .registers = some,
                          .position = position,
                          .register_count = registers,
                          .dim = dim};
    TEST_RUN(got, out, 2 * bytes, "token_base", t2d_cuda_token_base(out, &in, 0));
    for (int s = 0; s < 2; s++) cr_expect_arr_eq(got + (size_t)s * tokens * dim, table, bytes);
    cudaFree(cls), cudaFree(some), cudaFree(position), cudaFree(out), free(table), free(got);
}

Test(cuda_tokens, base)
{
    test_seed();
    base_case(4, 3, 128);
    base_case(0, 1, 4);
    base_case(4, 5, 384);
}

static void rows_case(int sequences, int tokens, int dim, bool position)
{
    enum { TABLE = 50 };
    const int rows = sequences * tokens;
    const size_t count = (size_t)rows * dim;
    float *table = test_floats((size_t)TABLE * dim, 1, 0), *place = test_floats((size_t)tokens * dim, 1, 0),
          *got;
    int32_t *index = malloc(rows * sizeof *index);
    for (int r = 0; r < rows; r++) index[r] = r ? (int32_t)(test_bits() % TABLE) : TABLE - 1;
    void *dt = test_device(table, (size_t)TABLE * dim * 4),
         *dp = test_device(place, (size_t)tokens * dim * 4);
    void *di = test_device(index, rows * sizeof *index), *out = test_device(NULL, count * 4);
    TEST_RUN(got, out, count * 4, "rows",
             position ? t2d_cuda_embed_text(out, di, dt, dp, sequences, tokens, dim, 0)
                      : t2d_cuda_gather_rows(out, dt, di, rows, dim, 0));
    for (size_t i = 0; i < count; i++) {
        const float row = table[(size_t)index[i / dim] * dim + i % dim];
        const float want = position ? row + place[i % ((size_t)tokens * dim)] : row;
        cr_assert(got[i] == want, "rows [%d, %d, %d]: at %zu got %g, want %g", sequences, tokens, dim, i,
                  got[i], want);
    }
    cudaFree(dt), cudaFree(dp), cudaFree(di), cudaFree(out);
    free(table), free(place), free(index), free(got);
}

Test(cuda_tokens, rows)
{
    test_seed();
    for (int position = 0; position < 2; position++) {
        rows_case(1, 1, 4, position);
        rows_case(3, 7, 512, position);
        rows_case(2, 77, 132, position);
    }
}
