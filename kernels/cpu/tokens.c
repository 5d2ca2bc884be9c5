/* tokens.c — from pixels and token ids to the first residual stream, and rows picked out of it.
 * A window becomes rows of a matrix product at once, in the compute type: there is no fp32 picture in
 * between. */
#include <assert.h>

#include "cpu.h"
#include "vmath.h"

/* Where output pixel `i` of an axis takes its two samples, and the weight of the second. */
typedef struct tap {
    int low, high;
    float t;
} tap;

/* torch's bilinear, align_corners false, in fp32 as there: source = max(scale * (i + 0.5) - 0.5, 0). */
static tap tap_at(int i, int from, int to)
{
    const float scale = (float)from / (float)to;
    float source = scale * ((float)i + 0.5f) - 0.5f;
    source = source < 0.0f ? 0.0f : source;
    tap p;
    p.low = (int)source < from - 1 ? (int)source : from - 1;
    p.high = p.low < from - 1 ? p.low + 1 : p.low;
    p.t = source - (float)p.low;
    return p;
}

/* One strip of patches, [grid, 3 * patch * patch]: channel, row, column within each. */
typedef struct strip {
    const t2d_embed *in;
    t2d_rect window;
    float scale[3], shift[3]; /* v -> (v / 255 - mean) / std, by source channel */
    bool half;
} strip;

static void store(const strip *s, void *rows, size_t at, float v)
{
    if (s->half)
        ((t2d_bf16 *)rows)[at] = t2d_to_bf16(v);
    else
        ((float *)rows)[at] = v;
}

/* Row `r` of the patches' strip number `gy`. */
static void strip_row(const strip *s, void *rows, int gy, int r)
{
    const t2d_embed *in = s->in;
    const int area = in->patch * in->patch, grid = in->size / in->patch;
    const tap v = tap_at(gy * in->patch + r, s->window.h, in->size);
    const size_t stride = (size_t)in->width * 3;
    const uint8_t *origin = in->pixels + (size_t)s->window.y * stride + (size_t)s->window.x * 3;
    const uint8_t *up = origin + (size_t)v.low * stride, *down = origin + (size_t)v.high * stride;
    for (int x = 0; x < in->size; x++) {
        const tap h = tap_at(x, s->window.w, in->size);
        const size_t patch = (size_t)gy * grid + (size_t)(x / in->patch);
        for (int c = 0; c < 3; c++) {
            const int from = in->swap ? 2 - c : c;
            const float top = (1 - h.t) * up[3 * h.low + from] + h.t * up[3 * h.high + from];
            const float bottom = (1 - h.t) * down[3 * h.low + from] + h.t * down[3 * h.high + from];
            const float value = (1 - v.t) * top + v.t * bottom;
            store(s, rows, (patch * 3 + c) * area + (size_t)(r * in->patch + x % in->patch),
                  value * s->scale[c] - s->shift[c]);
        }
    }
}

/* The tokens that are no patches, and the patches' positions, to which the projection is then added. */
static void start_tokens(float *x, const t2d_embed *in, int patches)
{
    const size_t dim = (size_t)in->dim, registers = (size_t)in->register_count;
    memcpy(x, in->cls, dim * sizeof *x);
    if (registers) memcpy(x + dim, in->registers, registers * dim * sizeof *x);
    memcpy(x + (1 + registers) * dim, in->position, (size_t)patches * dim * sizeof *x);
}

void t2d_cpu_embed(t2d_backend *be, float *x, const t2d_embed *in)
{
    const int grid = in->size / in->patch, patches = grid * grid, width = 3 * in->patch * in->patch;
    assert(grid > 0 && in->size % in->patch == 0);
    strip s = {.in = in, .half = t2d_cpu_linear_is_half(in->projection)};
    for (int c = 0; c < 3; c++) {
        s.scale[c] = 1.0f / (255.0f * in->std[c]);
        s.shift[c] = in->mean[c] / in->std[c];
    }
    void *rows = t2d_cpu_scratch((t2d_cpu *)be, T2D_SCRATCH_PATCHES, (size_t)patches * width * sizeof(float));
    if (!rows) return;
    for (int i = 0; i < in->count; i++) {
        float *start = x + (size_t)i * (1 + in->register_count + patches) * in->dim;
        s.window = in->windows[i];
        assert(s.window.x >= 0 && s.window.y >= 0 && s.window.w > 0 && s.window.h > 0);
        assert(s.window.x + s.window.w <= in->width && s.window.y + s.window.h <= in->height);
#pragma omp parallel for num_threads(be->threads) schedule(static) collapse(2)
        for (int gy = 0; gy < grid; gy++)
            for (int r = 0; r < in->patch; r++) strip_row(&s, rows, gy, r);
        start_tokens(start, in, patches);
        t2d_cpu_linear(be, start + (size_t)(1 + in->register_count) * in->dim, rows, in->projection, 1,
                       patches, T2D_EPI_ADD);
    }
}

void t2d_cpu_embed_text(t2d_backend *be, float *x, const int32_t *ids, const float *table,
                        const float *position, int sequences, int tokens, int dim)
{
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int r = 0; r < sequences * tokens; r++) {
        const float *word = table + (size_t)ids[r] * dim, *place = position + (size_t)(r % tokens) * dim;
        for (int i = 0; i < dim; i++) x[(size_t)r * dim + i] = word[i] + place[i];
    }
}

void t2d_cpu_gather_rows(t2d_backend *be, float *y, const float *x, const int32_t *index, int rows, int dim)
{
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int r = 0; r < rows; r++)
        memcpy(y + (size_t)r * dim, x + (size_t)index[r] * dim, (size_t)dim * sizeof *y);
}
