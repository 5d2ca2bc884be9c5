/* upsample.c — scores of the grid -> scores of the canvas -> scores of the result, one tile at a time.
 * Nothing is ever as large as classes x pixels: a tile asks for the canvas rows it needs, at the canvas
 * columns it needs (its "taps"), and keeps the last two of every kind; a column blend is shared by all the
 * rows under it. */
#include <assert.h>
#include <string.h>

#include "cpu/readout.h"

/* ---- tables ---- */

static size_t axis_bytes(int count) { return (size_t)count * (2 * sizeof(int32_t) + 2 * sizeof(float)); }

/* torch's area_pixel_compute_source_index: the scale is fp32, the coordinate is not. */
static char *axis_init(t2d_axis *axis, int out, int in, bool align_corners, char *memory)
{
    axis->first = (int32_t *)(void *)memory;
    axis->second = axis->first + out;
    axis->w0 = (float *)(axis->second + out);
    axis->w1 = axis->w0 + out;
    float scale = align_corners ? (out > 1 ? (float)(in - 1) / (float)(out - 1) : 0) : (float)in / (float)out;
    for (int i = 0; i < out; i++) {
        double x = align_corners ? (double)scale * i : (double)scale * (i + 0.5) - 0.5;
        if (in == out) x = i;
        if (x < 0) x = 0;
        int k = (int)x < in - 1 ? (int)x : in - 1;
        axis->first[i] = k;
        axis->second[i] = k + 1 < in ? k + 1 : k;
        axis->w1[i] = (float)(x - k);
        axis->w0[i] = 1.0f - axis->w1[i];
    }
    return memory + axis_bytes(out);
}

size_t t2d_plan_bytes(const t2d_readout *job)
{
    size_t bytes = axis_bytes(job->width) + axis_bytes(job->height);
    for (int i = 0; i < job->window_count; i++)
        bytes += axis_bytes(job->windows[i].w) + axis_bytes(job->windows[i].h) + 2 * sizeof(t2d_axis);
    return bytes;
}

void t2d_plan_init(t2d_plan *plan, const t2d_readout *job, void *memory)
{
    *plan = (t2d_plan){.job = job, .channels = job->classes + job->with_background};
    plan->pamr_bytes = (size_t)832 << 20;
    plan->resize = job->width != job->canvas_width || job->height != job->canvas_height;
    plan->window_column = memory;
    plan->window_row = plan->window_column + job->window_count;
    char *at = (char *)(plan->window_row + job->window_count);
    at = axis_init(&plan->column, job->width, job->canvas_width, false, at);
    at = axis_init(&plan->row, job->height, job->canvas_height, false, at);
    for (int i = 0; i < job->window_count; i++) {
        at = axis_init(&plan->window_column[i], job->windows[i].w, job->grid, true, at);
        at = axis_init(&plan->window_row[i], job->windows[i].h, job->grid, true, at);
    }
}

/* ---- rows ---- */

/* Scores lie class by class, rows of the canvas pixel by pixel: blended as they lie, then turned, SIDE x SIDE
 * at a time. Blending pixel by pixel would gather every score by itself, which took two fifths of a readout's
 * time. */
enum { SIDE = 16 };

static inline void turn(float *restrict dst, size_t step, const float (*restrict block)[SIDE], int classes,
                        int taps)
{
    for (int c = 0; c < classes; c++)
        for (int t = 0; t < taps; t++) dst[(size_t)c * step + t] = block[t][c];
}

T2D_CLONES void t2d_bring_row(float *restrict dst, size_t step, const float *restrict src,
                              const int32_t *restrict first, const int32_t *restrict second,
                              const float *restrict w0, const float *restrict w1, int classes, int taps)
{
    for (int c = 0; c < classes; c += SIDE)
        for (int t = 0; t < taps; t += SIDE) {
            const int height = classes - c < SIDE ? classes - c : SIDE,
                      width = taps - t < SIDE ? taps - t : SIDE;
            float block[SIDE][SIDE];
            for (int i = 0; i < width; i++) {
                const float *restrict a = src + first[t + i] + c, *restrict b = src + second[t + i] + c;
                for (int k = 0; k < height; k++) block[i][k] = t2d_blend(a[k], b[k], w0[t + i], w1[t + i]);
            }
            turn(dst + (size_t)c * step + t, step, (const float(*)[SIDE])block, height, width);
        }
}

T2D_CLONES void t2d_blend_rows(float *restrict dst, const float *restrict a, const float *restrict b,
                               float w0, float w1, size_t count)
{
    for (size_t i = 0; i < count; i++) dst[i] = t2d_blend(a[i], b[i], w0, w1);
}

T2D_CLONES static void add_blend(float *restrict dst, const float *restrict a, const float *restrict b,
                                 float w0, float w1, size_t count)
{
    for (size_t i = 0; i < count; i++) dst[i] += t2d_blend(a[i], b[i], w0, w1);
}

T2D_CLONES static void divide(float (*restrict sum)[T2D_TAPS], const float *restrict count, int classes)
{
    for (int c = 0; c < classes; c++)
        for (int t = 0; t < T2D_TAPS; t++) sum[c][t] /= count[t];
}

T2D_CLONES static void join_taps(float (*restrict row)[T2D_TILE], float (*restrict sum)[T2D_TAPS],
                                 const float *restrict w0, const float *restrict w1, int classes)
{
    for (int c = 0; c < classes; c++)
        for (int i = 0; i < T2D_TILE; i++)
            row[c][i] = t2d_blend(sum[c][i], sum[c][T2D_TILE + i], w0[i], w1[i]);
}

/* ---- a tile ---- */

static bool row_in(t2d_rect r, int y) { return y >= r.y && y < r.y + r.h; }
static bool column_in(t2d_rect r, int x) { return x >= r.x && x < r.x + r.w; }

static void touch_place(t2d_touch *touch, const t2d_tile *tile, int window)
{
    const t2d_readout *job = tile->plan->job;
    const t2d_axis *axis = &tile->plan->window_column[window];
    memset(touch, 0, offsetof(t2d_touch, rows));
    touch->window = window;
    for (int t = 0; t < T2D_TAPS; t++) {
        if (t >= tile->taps || !column_in(job->windows[window], tile->at[t])) continue;
        int x = tile->at[t] - job->windows[window].x;
        touch->first[t] = axis->first[x] * job->classes;
        touch->second[t] = axis->second[x] * job->classes;
        touch->w0[t] = axis->w0[x];
        touch->w1[t] = axis->w1[x];
        touch->inside[t] = 1;
    }
}

int t2d_tile_touches(const t2d_plan *plan, int x, int y, t2d_tile *tile)
{
    const t2d_readout *job = plan->job;
    const int last_x = (job->width - x < T2D_TILE ? job->width : x + T2D_TILE) - 1;
    const int last_y = (job->height - y < T2D_BAND ? job->height : y + T2D_BAND) - 1;
    const int left = plan->column.first[x], right = plan->column.second[last_x];
    const int top = plan->row.first[y], bottom = plan->row.second[last_y];
    int count = 0;
    for (int i = 0; i < job->window_count; i++) {
        t2d_rect r = job->windows[i];
        if (r.x > right || r.x + r.w <= left || r.y > bottom || r.y + r.h <= top) continue;
        if (tile) touch_place(&tile->touch[count], tile, i);
        count++;
    }
    return count;
}

/* Columns beyond the picture repeat its last one: computed, never stored. */
void t2d_tile_place(t2d_tile *tile, const t2d_plan *plan, int x, int y)
{
    const t2d_readout *job = plan->job;
    tile->plan = plan;
    tile->x = x, tile->y = y;
    tile->columns = job->width - x < T2D_TILE ? job->width - x : T2D_TILE;
    tile->rows = job->height - y < T2D_BAND ? job->height - y : T2D_BAND;
    tile->taps = plan->resize ? T2D_TAPS : T2D_TILE;
    for (int i = 0; i < T2D_TILE; i++) {
        int column = i < tile->columns ? x + i : job->width - 1;
        tile->at[i] = plan->column.first[column];
        tile->at[T2D_TILE + i] = plan->column.second[column];
        tile->w0[i] = plan->column.w0[column];
        tile->w1[i] = plan->column.w1[column];
        for (int r = 0; r < T2D_BAND; r++) {
            tile->best[r][i] = tile->below[r][i] = -INFINITY;
            tile->label[r][i] = 0;
        }
    }
    tile->touches = t2d_tile_touches(plan, x, y, tile);
}

void t2d_tile_restart(t2d_tile *tile)
{
    tile->held[0] = tile->held[1] = -1;
    for (int i = 0; i < tile->touches; i++) tile->touch[i].held[0] = tile->touch[i].held[1] = -1;
}

/* A window's row of the canvas, as two grid rows to be blended. */
static t2d_pair window_row(const t2d_tile *tile, t2d_touch *touch, int y, int first, int classes)
{
    const t2d_readout *job = tile->plan->job;
    const t2d_axis *axis = &tile->plan->window_row[touch->window];
    const float *scores = job->scores + (size_t)touch->window * job->grid * job->grid * job->classes + first;
    int local = y - job->windows[touch->window].y;
    int need[2] = {axis->first[local], axis->second[local]};
    for (int i = 0; i < 2; i++) {
        int slot = need[i] & 1;
        if (touch->held[slot] == need[i]) continue;
        t2d_bring_row(touch->rows[slot][0], T2D_TAPS, scores + (size_t)need[i] * job->grid * job->classes,
                      touch->first, touch->second, touch->w0, touch->w1, classes, tile->taps);
        touch->held[slot] = need[i];
    }
    return (t2d_pair){touch->rows[need[0] & 1][0], touch->rows[need[1] & 1][0], axis->w0[local],
                      axis->w1[local], T2D_TAPS};
}

/* How many windows cover each tap of canvas row y; the largest of these. */
static int count_row(t2d_tile *tile, int y)
{
    int most = 0;
    memset(tile->count, 0, sizeof tile->count);
    for (int i = 0; i < tile->touches; i++) {
        if (!row_in(tile->plan->job->windows[tile->touch[i].window], y)) continue;
        for (int t = 0; t < T2D_TAPS; t++) tile->count[t] += tile->touch[i].inside[t];
        most++;
    }
    for (int t = tile->taps; t < T2D_TAPS; t++) tile->count[t] = 1;
    return most;
}

/* Refined scores were added and divided by pamr.c: only picked up here. */
static void pick_canvas(t2d_tile *tile, int y, int first, int classes)
{
    const t2d_plan *plan = tile->plan;
    for (int c = 0; c < classes; c++) {
        const float *row = plan->canvas + (size_t)(first + c) * plan->class_step + (size_t)y * plan->row_step;
        for (int t = 0; t < tile->taps; t++) tile->sum[c][t] = row[tile->at[t]];
    }
}

/* Row y of the canvas at the tile's taps -> sum: added window by window in their order, divided by how many.
 */
static void canvas_row(t2d_tile *tile, int y, int first, int classes)
{
    const t2d_readout *job = tile->plan->job;
    if (first >= 0 && tile->plan->canvas) {
        pick_canvas(tile, y, first, classes);
        return;
    }
    int most = count_row(tile, y), seen = 0;
    if (first < 0) memset(tile->sum[0], 0, sizeof tile->sum[0]);
    for (int i = 0; i < tile->touches; i++) {
        t2d_touch *touch = &tile->touch[i];
        if (!row_in(job->windows[touch->window], y)) continue;
        if (first < 0) {
            for (int t = 0; t < T2D_TAPS; t++) tile->sum[0][t] += touch->inside[t] * job->background;
            continue;
        }
        t2d_pair p = window_row(tile, touch, y, first, classes);
        (seen++ ? add_blend : t2d_blend_rows)(tile->sum[0], p.a, p.b, p.w0, p.w1, (size_t)classes * T2D_TAPS);
    }
    if (most > 1) divide(tile->sum, tile->count, classes);
}

static const float *resized_row(t2d_tile *tile, int y, int first, int classes)
{
    int slot = y & 1;
    if (tile->held[slot] != y) {
        canvas_row(tile, y, first, classes);
        join_taps(tile->canvas_rows[slot], tile->sum, tile->w0, tile->w1, classes);
        tile->held[slot] = y;
    }
    return tile->canvas_rows[slot][0];
}

/* The one window of row y, when it is alone and nothing is to be resized, refined or divided. */
static t2d_touch *only_touch(t2d_tile *tile, int y)
{
    t2d_touch *only = NULL;
    for (int i = 0; i < tile->touches; i++) {
        if (!row_in(tile->plan->job->windows[tile->touch[i].window], y)) continue;
        if (only) return NULL;
        only = &tile->touch[i];
    }
    return only;
}

t2d_pair t2d_tile_row(t2d_tile *tile, int y, int first, int classes)
{
    const t2d_plan *plan = tile->plan;
    if (plan->resize) {
        const float *a = resized_row(tile, plan->row.first[y], first, classes);
        const float *b = resized_row(tile, plan->row.second[y], first, classes);
        return (t2d_pair){a, b, plan->row.w0[y], plan->row.w1[y], T2D_TILE};
    }
    t2d_touch *only = first >= 0 && !plan->canvas ? only_touch(tile, y) : NULL;
    if (only) return window_row(tile, only, y, first, classes);
    canvas_row(tile, y, first, classes);
    return (t2d_pair){tile->sum[0], tile->sum[0], 1, 0, T2D_TAPS};
}

/* ---- a pixel ---- */

/* All classes of one canvas pixel, as canvas_row computes them. */
T2D_CLONES static void canvas_pixel(const t2d_plan *plan, int x, int y, float *restrict out)
{
    const t2d_readout *job = plan->job;
    const int classes = job->classes, grid = job->grid;
    float *restrict sum = out + job->with_background, count = 0;
    memset(out, 0, (size_t)plan->channels * sizeof *out);
    for (int i = 0; i < job->window_count; i++) {
        t2d_rect r = job->windows[i];
        if (!row_in(r, y) || !column_in(r, x)) continue;
        const t2d_axis *h = &plan->window_column[i], *v = &plan->window_row[i];
        int column = x - r.x, row = y - r.y;
        const float *maps = job->scores + (size_t)i * grid * grid * classes;
        const float *top = maps + (size_t)v->first[row] * grid * classes;
        const float *bottom = maps + (size_t)v->second[row] * grid * classes;
        size_t k0 = (size_t)h->first[column] * classes, k1 = (size_t)h->second[column] * classes;
        float w0 = h->w0[column], w1 = h->w1[column];
        for (int c = 0; c < classes; c++)
            sum[c] += t2d_blend(t2d_blend(top[k0 + c], top[k1 + c], w0, w1),
                                t2d_blend(bottom[k0 + c], bottom[k1 + c], w0, w1), v->w0[row], v->w1[row]);
        if (job->with_background) out[0] += job->background;
        count++;
    }
    for (int c = 0; c < plan->channels; c++) out[c] /= count;
    if (plan->canvas)
        for (int c = 0; c < classes; c++)
            sum[c] = plan->canvas[(size_t)c * plan->class_step + (size_t)y * plan->row_step + x];
}

void t2d_pixel_scores(const t2d_plan *plan, int x, int y, float *scores, float *spare)
{
    const int n = plan->channels;
    const t2d_axis *h = &plan->column, *v = &plan->row;
    for (int i = 0; i < 4; i++)
        canvas_pixel(plan, i & 1 ? h->second[x] : h->first[x], i & 2 ? v->second[y] : v->first[y],
                     spare + (size_t)i * n);
    for (int c = 0; c < n; c++)
        scores[c] =
            t2d_blend(t2d_blend(spare[c], spare[n + c], h->w0[x], h->w1[x]),
                      t2d_blend(spare[2 * n + c], spare[3 * n + c], h->w0[x], h->w1[x]), v->w0[y], v->w1[y]);
}
