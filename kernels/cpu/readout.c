/* readout.c — the last step of a picture: score maps of all windows -> one label per pixel, or all scores.
 * The result is cut in tiles by its shape alone; a thread computes a tile from beginning to end, so labels do
 * not depend on how many there are.  Scratch is a few MB per thread whatever the size of the picture, but
 * with PAMR. */
#include <omp.h>
#include <string.h>

#include "cpu/readout.h"

/* ---- one tile ---- */

T2D_CLONES static void blend_out(float *restrict out, const float *restrict a, const float *restrict b,
                                 float w0, float w1, int count)
{
    for (int i = 0; i < count; i++) out[i] = t2d_blend(a[i], b[i], w0, w1);
}

static void store_scores(const t2d_tile *tile, int row, t2d_pair pair, int channel, int classes)
{
    const t2d_readout *job = tile->plan->job;
    for (int c = 0; c < classes; c++) {
        size_t line = (size_t)(channel + c) * job->height + (tile->y + row);
        blend_out(job->out + line * job->width + tile->x, pair.a + c * pair.step, pair.b + c * pair.step,
                  pair.w0, pair.w1, tile->columns);
    }
}

/* All rows of the tile for the classes first .. first+classes-1 (first -1: the background). */
static void tile_chunk(t2d_tile *tile, int first, int classes)
{
    const t2d_readout *job = tile->plan->job;
    int channel = first + job->with_background; /* the background is -1 + 1 */
    t2d_tile_restart(tile);
    for (int r = 0; r < tile->rows; r++) {
        t2d_pair pair = t2d_tile_row(tile, tile->y + r, first, classes);
        if (job->labels) t2d_vote(tile->best[r], tile->below[r], tile->label[r], pair, channel, classes);
        if (job->out) store_scores(tile, r, pair, channel, classes);
    }
}

static void tile_labels(const t2d_tile *tile)
{
    const t2d_readout *job = tile->plan->job;
    const int channels = tile->plan->channels;
    for (int r = 0; r < tile->rows; r++) {
        uint16_t *labels = job->labels + (size_t)(tile->y + r) * job->width + tile->x;
        for (int i = 0; i < tile->columns; i++) {
            labels[i] = (uint16_t)tile->label[r][i];
            if (!job->softmax || !(tile->best[r][i] - tile->below[r][i] < T2D_MERGE_BOUND)) continue;
            float *scores = tile->pixel, *spare = scores + channels;
            t2d_pixel_scores(tile->plan, tile->x + i, tile->y + r, scores, spare);
            labels[i] = (uint16_t)t2d_softmax_label(scores, channels, spare);
        }
    }
}

static void tile_compute(t2d_tile *tile, const t2d_plan *plan, int x, int y)
{
    const t2d_readout *job = plan->job;
    t2d_tile_place(tile, plan, x, y);
    if (job->with_background) tile_chunk(tile, -1, 1);
    for (int c = 0; c < job->classes; c += T2D_CHUNK)
        tile_chunk(tile, c, job->classes - c < T2D_CHUNK ? job->classes - c : T2D_CHUNK);
    if (job->labels) tile_labels(tile);
}

/* ---- all tiles ---- */

/* The windows that touch a tile's part of the canvas; the largest number over all tiles. */
static int most_touches(const t2d_plan *plan)
{
    int most = 1;
    for (int y = 0; y < plan->job->height; y += T2D_BAND)
        for (int x = 0; x < plan->job->width; x += T2D_TILE) {
            int n = t2d_tile_touches(plan, x, y, NULL);
            most = n > most ? n : most;
        }
    return most;
}

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

static t2d_status compute_tiles(t2d_cpu *cpu, const t2d_plan *plan, t2d_error *err)
{
    const t2d_readout *job = plan->job;
    const int across = (job->width + T2D_TILE - 1) / T2D_TILE, down = (job->height + T2D_BAND - 1) / T2D_BAND;
    const int64_t tiles = (int64_t)across * down;
    const int threads = tiles < cpu->base.threads ? (int)tiles : cpu->base.threads;
    const size_t touch_at = round_up(sizeof(t2d_tile));
    const size_t pixel_at = touch_at + round_up((size_t)most_touches(plan) * sizeof(t2d_touch));
    const size_t bytes = pixel_at + round_up((size_t)plan->channels * 5 * sizeof(float));
    char *memory = t2d_cpu_scratch(cpu, T2D_SCRATCH_TILES, bytes * (size_t)threads);
    if (!memory) return t2d_cpu_check(cpu, err);
#pragma omp parallel num_threads(threads)
    {
        char *mine = memory + bytes * (size_t)omp_get_thread_num();
        t2d_tile *tile = (t2d_tile *)(void *)mine;
        tile->touch = (t2d_touch *)(void *)(mine + touch_at);
        tile->pixel = (float *)(void *)(mine + pixel_at);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < tiles; i++)
            tile_compute(tile, plan, (int)(i % across) * T2D_TILE, (int)(i / across) * T2D_BAND);
    }
    return T2D_OK;
}

static t2d_status compute(t2d_cpu *cpu, const t2d_readout *job, t2d_error *err)
{
    t2d_plan plan;
    t2d_status status = T2D_OK;
    bool done = false;
    void *tables = t2d_cpu_scratch(cpu, T2D_SCRATCH_TABLES, t2d_plan_bytes(job));
    if (!tables) return t2d_cpu_check(cpu, err);
    t2d_plan_init(&plan, job, tables);
    if (job->pamr) status = t2d_refine(cpu, &plan, &done, err);
    return status != T2D_OK || done ? status : compute_tiles(cpu, &plan, err);
}

/* Regions are wide and flat: runs of the same pair are added at once. */
static void count_labels(const t2d_readout *job)
{
    const size_t pixels = (size_t)job->width * job->height;
    const size_t labels = (size_t)job->classes + job->with_background;
    memset(job->counts, 0, labels * labels * sizeof *job->counts);
    for (size_t i = 0, next; i < pixels; i = next) {
        const uint8_t truth = job->truth[i];
        const uint16_t found = job->labels[i];
        for (next = i + 1; next < pixels && job->truth[next] == truth && job->labels[next] == found;) next++;
        if (truth < labels) job->counts[truth * labels + found] += (uint32_t)(next - i);
    }
}

t2d_status t2d_cpu_readout(t2d_backend *be, const t2d_readout *asked, t2d_error *err)
{
    t2d_cpu *cpu = (t2d_cpu *)be;
    t2d_readout job = *asked;
    t2d_status status = t2d_cpu_check(cpu, err); /* what earlier operations could not do */
    if (status == T2D_OK) status = t2d_readout_check(&job, err);
    if (status != T2D_OK || (!job.labels && !job.out && !job.counts)) return status;
    if (job.counts && !job.labels) {
        const size_t bytes = (size_t)job.width * job.height * sizeof *job.labels;
        job.labels = t2d_cpu_scratch(cpu, T2D_SCRATCH_LABELS, bytes);
        if (!job.labels) return t2d_cpu_check(cpu, err);
    }
    status = compute(cpu, &job, err);
    if (status == T2D_OK && job.counts) count_labels(&job);
    return status;
}
