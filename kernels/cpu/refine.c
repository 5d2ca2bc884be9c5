/* refine.c — PAMR for a picture: every window by itself, as the published code does, a few classes at a time.
 * A window too large for the memory allowed is cut in regions with a halo as wide as ten iterations reach;
 * every pixel's arithmetic stays the same, so its bits do too. */
#include <omp.h>
#include <string.h>

#include "cpu/pamr.h"

enum {
    CLASSES = 16,    /* at a time: few enough for the second cache, enough to share the weights' traffic */
    CUT_CLASSES = 8, /* when regions are cut */
    CUT_LEAST = 64,  /* side of a cut region without its halo, however little memory */
    HALO = T2D_PAMR_REACH * T2D_PAMR_ITERATIONS,
};

/* What the threads share while a region is refined. */
typedef struct region {
    t2d_cpu *cpu;
    t2d_plan *plan;
    int window;
    t2d_rect inner; /* on the canvas: what is kept */
    t2d_rect outer; /* with halo */
    t2d_pamr pamr;
    int32_t *first, *second; /* [outer.w] offsets in a grid row's scores */
    float *w0, *w1;          /* [outer.w] */
    float *rows;             /* [threads][2][channels][outer.w] grid rows brought to the region's columns */
    float *best;             /* [inner.h, inner.w] running maximum, or NULL: scores are added to the canvas */
    float *canvas;
} region;

static int round_group(int n) { return (n + T2D_PAMR_GROUP - 1) / T2D_PAMR_GROUP * T2D_PAMR_GROUP; }
static int smaller(int a, int b) { return a < b ? a : b; }
static int larger(int a, int b) { return a > b ? a : b; }

/* ---- scores in ---- */

static void region_columns(region *g)
{
    const t2d_axis *axis = &g->plan->window_column[g->window];
    const int x0 = g->outer.x - g->plan->job->windows[g->window].x;
    for (int x = 0; x < g->outer.w; x++) {
        g->first[x] = axis->first[x0 + x] * g->plan->job->classes;
        g->second[x] = axis->second[x0 + x] * g->plan->job->classes;
        g->w0[x] = axis->w0[x0 + x];
        g->w1[x] = axis->w1[x0 + x];
    }
}

/* Row y of the region, `classes` channels, blended from grid rows that this thread holds by their parity. */
static void fill_row(const region *g, int held[2], int y, int first, int classes)
{
    const t2d_readout *job = g->plan->job;
    const t2d_axis *axis = &g->plan->window_row[g->window];
    const int local = g->outer.y + y - job->windows[g->window].y,
              need[2] = {axis->first[local], axis->second[local]};
    const float *scores = job->scores + (size_t)g->window * job->grid * job->grid * job->classes + first;
    const size_t step = (size_t)g->pamr.channels * g->outer.w;
    float *rows = g->rows + 2 * step * omp_get_thread_num();
    for (int i = 0; i < 2; i++) {
        if (held[need[i] & 1] == need[i]) continue;
        t2d_bring_row(rows + (need[i] & 1) * step, (size_t)g->outer.w,
                      scores + (size_t)need[i] * job->grid * job->classes, g->first, g->second, g->w0, g->w1,
                      classes, g->outer.w);
        held[need[i] & 1] = need[i];
    }
    for (int c = 0; c < round_group(classes); c++) {
        float *to = t2d_pamr_row(&g->pamr, y, c);
        if (c >= classes) {
            memset(to, 0, (size_t)g->pamr.pitch * sizeof *to);
            continue;
        }
        t2d_blend_rows(to + T2D_PAMR_REACH, rows + (need[0] & 1) * step + (size_t)c * g->outer.w,
                       rows + (need[1] & 1) * step + (size_t)c * g->outer.w, axis->w0[local], axis->w1[local],
                       (size_t)g->outer.w);
        t2d_pamr_pad(&g->pamr, to, true, true);
    }
}

/* ---- refined scores out ---- */

T2D_CLONES static void keep_best(float *restrict best, uint16_t *restrict labels, const float *restrict row,
                                 int label, int count)
{
    for (int x = 0; x < count; x++) {
        const bool wins = row[x] > best[x];
        best[x] = wins ? row[x] : best[x];
        labels[x] = wins ? (uint16_t)label : labels[x];
    }
}

T2D_CLONES static void add_row(float *restrict to, const float *restrict row, int count)
{
    for (int x = 0; x < count; x++) to[x] += row[x];
}

static void store_row(const region *g, int y, int first, int classes)
{
    const t2d_readout *job = g->plan->job;
    const t2d_rect in = g->inner;
    for (int c = first; c < first + classes; c++) {
        const float *row =
            t2d_pamr_row(&g->pamr, y + in.y - g->outer.y, c - first) + T2D_PAMR_REACH + (in.x - g->outer.x);
        if (g->best)
            keep_best(g->best + (size_t)y * in.w, job->labels + (size_t)(in.y + y) * job->width + in.x, row,
                      c + job->with_background, in.w);
        else
            add_row(g->canvas + (size_t)c * g->plan->class_step + (size_t)(in.y + y) * g->plan->row_step +
                        in.x,
                    row, in.w);
    }
}

/* Before the classes: the background, or less than any score. */
static void start_row(const region *g, int y)
{
    const t2d_readout *job = g->plan->job;
    if (!g->best) return;
    for (int x = 0; x < g->inner.w; x++) {
        g->best[(size_t)y * g->inner.w + x] = job->with_background ? job->background : -INFINITY;
        job->labels[(size_t)(g->inner.y + y) * job->width + g->inner.x + x] = 0;
    }
}

/* ---- a region ---- */

static void refine_region(region *g)
{
    const t2d_readout *job = g->plan->job;
    const uint8_t *pixels = job->canvas + ((size_t)g->outer.y * job->canvas_width + g->outer.x) * 3;
    region_columns(g);
#pragma omp parallel num_threads(g->cpu->base.threads)
    {
        t2d_pamr_weights(&g->pamr, pixels, job->canvas_width);
#pragma omp for schedule(static)
        for (int y = 0; y < g->inner.h; y++) start_row(g, y);
        for (int c = 0; c < job->classes; c += g->pamr.channels) {
            const int classes = smaller(job->classes - c, g->pamr.channels);
            int held[2] = {-1, -1};
#pragma omp for schedule(static)
            for (int y = 0; y < g->outer.h; y++) fill_row(g, held, y, c, classes);
            t2d_pamr_iterate(&g->pamr, round_group(classes));
#pragma omp for schedule(static)
            for (int y = 0; y < g->inner.h; y++) store_row(g, y, c, classes);
        }
    }
}

static bool region_place(region *g, int channels)
{
    const int w = g->outer.w, h = g->outer.h, threads = g->cpu->base.threads;
    const size_t tables = (size_t)w * 4 * sizeof(float),
                 best = (size_t)g->inner.w * g->inner.h * sizeof(float);
    const size_t rows = (size_t)threads * 2 * channels * w * sizeof(float);
    const size_t pamr = (t2d_pamr_bytes(w, h, channels) + 63) / 64 * 64;
    char *at = t2d_cpu_scratch(g->cpu, T2D_SCRATCH_PAMR, pamr + tables + rows + (g->canvas ? 0 : best));
    if (!at) return false;
    g->pamr = (t2d_pamr){.width = w, .height = h, .channels = channels};
    t2d_pamr_place(&g->pamr, at);
    g->first = (int32_t *)(void *)(at + pamr);
    g->second = g->first + w;
    g->w0 = (float *)(g->second + w);
    g->w1 = g->w0 + w;
    g->rows = g->w1 + w;
    g->best = g->canvas ? NULL : g->rows + rows / sizeof(float);
    return true;
}

/* `side` of the window around (x, y), and a halo where the window goes on. */
static void region_cut(region *g, int x, int y, int side)
{
    const t2d_rect win = g->plan->job->windows[g->window];
    const int x1 = smaller(x + side, win.w), y1 = smaller(y + side, win.h);
    const int left = larger(x - HALO, 0), right = smaller(x1 + HALO, win.w);
    const int top = larger(y - HALO, 0), bottom = smaller(y1 + HALO, win.h);
    g->inner = (t2d_rect){win.x + x, win.y + y, x1 - x, y1 - y};
    g->outer = (t2d_rect){win.x + left, win.y + top, right - left, bottom - top};
}

/* The side of a square that fits the memory with its halo around it. */
static int cut_side(size_t budget, int channels)
{
    const int probe = 1024;
    const double pixel = (double)t2d_pamr_bytes(probe, probe, channels) / ((double)probe * probe);
    return larger((int)sqrt((double)budget / pixel) - 2 * HALO, CUT_LEAST);
}

static bool refine_window(region *g)
{
    const t2d_rect win = g->plan->job->windows[g->window];
    const size_t budget = g->plan->pamr_bytes;
    const int chunks = (g->plan->job->classes + CLASSES - 1) / CLASSES;
    int channels = round_group((g->plan->job->classes + chunks - 1) / chunks), side = larger(win.w, win.h);
    if (t2d_pamr_bytes(win.w, win.h, channels) > budget) channels = smaller(channels, CUT_CLASSES);
    if (t2d_pamr_bytes(win.w, win.h, channels) > budget) side = cut_side(budget, channels);
    for (int y = 0; y < win.h; y += side)
        for (int x = 0; x < win.w; x += side) {
            region_cut(g, x, y, side);
            if (!region_place(g, channels)) return false;
            g->pamr.cut_left = g->outer.x > win.x;
            g->pamr.cut_top = g->outer.y > win.y;
            g->pamr.cut_right = g->outer.x + g->outer.w < win.x + win.w;
            g->pamr.cut_bottom = g->outer.y + g->outer.h < win.y + win.h;
            refine_region(g);
        }
    return true;
}

/* ---- the canvas ---- */

static void divide_row(const t2d_plan *plan, float *canvas, int y)
{
    const t2d_readout *job = plan->job;
    for (int x = 0; x < job->canvas_width; x++) {
        float count = 0;
        for (int i = 0; i < job->window_count; i++) {
            t2d_rect r = job->windows[i];
            count += x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h;
        }
        if (count <= 1) continue;
        for (int c = 0; c < job->classes; c++)
            canvas[(size_t)c * plan->class_step + (size_t)y * plan->row_step + x] /= count;
    }
}

/* Where scores are wanted at the canvas's size they are made in place; otherwise rows are kept together. */
static float *canvas_place(t2d_cpu *cpu, t2d_plan *plan)
{
    const t2d_readout *job = plan->job;
    const size_t pixels = (size_t)job->canvas_width * job->canvas_height;
    const bool in_place = job->out && !plan->resize;
    plan->class_step = in_place ? pixels : (size_t)job->canvas_width;
    plan->row_step = in_place ? (size_t)job->canvas_width : (size_t)job->canvas_width * job->classes;
    const size_t bytes = pixels * (size_t)job->classes * sizeof(float);
    float *canvas = in_place ? job->out + (job->with_background ? pixels : 0)
                             : t2d_cpu_scratch(cpu, T2D_SCRATCH_CANVAS, bytes);
    if (canvas) memset(canvas, 0, bytes);
    return canvas;
}

t2d_status t2d_refine(t2d_cpu *cpu, t2d_plan *plan, bool *done, t2d_error *err)
{
    const t2d_readout *job = plan->job;
    const t2d_rect win = job->windows[0];
    region g = {.cpu = cpu, .plan = plan};
    *done = job->window_count == 1 && win.w == job->width && win.h == job->height && !plan->resize &&
            !job->softmax && !job->out;
    if (!*done && !(g.canvas = canvas_place(cpu, plan))) return t2d_cpu_check(cpu, err);
    for (g.window = 0; g.window < job->window_count; g.window++)
        if (!refine_window(&g)) return t2d_cpu_check(cpu, err);
    if (*done) return T2D_OK;
#pragma omp parallel for schedule(static) num_threads(cpu->base.threads)
    for (int y = 0; y < job->canvas_height; y++) divide_row(plan, g.canvas, y);
    plan->canvas = g.canvas;
    return T2D_OK;
}
