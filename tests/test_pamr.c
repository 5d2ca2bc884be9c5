/* test_pamr.c — PAMR against double precision, the golden values and the published masks; regions that are
 * cut. */
#include "cpu/pamr.h"
#include "maps.h"
#include "stages.h"

static const tolerance TOL_GOLDEN = {2e-6, "1", "the published fp32 result, ten iterations"};

/* ---- the formulas, without a readout ---- */

/* maps [channels, height, width] refined in place. */
static void refine(float *maps, const uint8_t *guide, int channels, int width, int height, int threads)
{
    t2d_pamr p = {.width = width, .height = height, .channels = channels};
    const size_t bytes = t2d_pamr_bytes(width, height, channels);
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    cr_assert(memory);
    memset(memory, 0xff, bytes);
    t2d_pamr_place(&p, memory);
#pragma omp parallel num_threads(threads)
    {
        t2d_pamr_weights(&p, guide, width);
#pragma omp for
        for (int y = 0; y < height; y++)
            for (int c = 0; c < channels; c++) {
                float *row = t2d_pamr_row(&p, y, c);
                memcpy(row + T2D_PAMR_REACH, maps + ((size_t)c * height + y) * width,
                       (size_t)width * sizeof *row);
                t2d_pamr_pad(&p, row, true, true);
            }
        t2d_pamr_iterate(&p, channels);
    }
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height; y++)
            memcpy(maps + ((size_t)c * height + y) * width, t2d_pamr_row(&p, y, c) + T2D_PAMR_REACH,
                   (size_t)width * sizeof *maps);
    free(memory);
}

static void check_row(const json_t *root, const char *key, const float *row)
{
    const json_t *want = json_object_get(root, key);
    for (size_t x = 0; x < json_array_size(want); x++)
        check_near(row[x], golden_at(want, x), 1, TOL_GOLDEN, false, key, 0, x);
}

Test(pamr, golden)
{
    enum { W = 20, H = 24, CHANNELS = T2D_PAMR_GROUP };
    static uint8_t guide[H * W * 3];
    static float maps[CHANNELS * H * W];
    json_t *root = golden_open(T2D_GOLDEN "/pamr.json");
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            for (int c = 0; c < 3; c++)
                guide[(y * W + x) * 3 + c] =
                    (uint8_t)((37 * y * y + 11 * x * (c + 1) + 5 * c * y + 13 * x * y) % 256);
            maps[y * W + x] = (float)((7 * y + 3 * x) % 17) / 17;
            maps[H * W + y * W + x] = (float)((5 * y + 11 * x) % 23) / 23;
        }
    refine(maps, guide, CHANNELS, W, H, 2);
    double sums[2] = {0};
    for (int i = 0; i < 2 * H * W; i++) sums[i / (H * W)] += maps[i];
    check_row(root, "after_10_iter_class0_row0", maps);
    check_row(root, "after_10_iter_class1_row12", maps + H * W + 12 * W);
    cr_assert_float_eq(sums[0], golden_number(root, "sum_class0"), H * W * 1e-6);
    cr_assert_float_eq(sums[1], golden_number(root, "sum_class1"), H * W * 1e-6);
    json_decref(root);
}

Test(pamr, against_double)
{
    static const int shapes[][2] = {{1, 1}, {1, 60}, {70, 1}, {33, 50}, {64, 49}, {130, 40}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int w = shapes[i][0], h = shapes[i][1], channels = T2D_PAMR_GROUP;
        const size_t pixels = (size_t)w * h;
        uint8_t *guide = random_picture(w, h);
        float *maps = random_scores(pixels * channels, 0.5f, i);
        double *want = malloc(pixels * channels * sizeof *want);
        for (size_t p = 0; p < pixels * channels; p++) want[p] = maps[p];
        for (int c = 0; c < channels; c++) naive_pamr(want + c * pixels, guide, w, w, h);
        refine(maps, guide, channels, w, h, 2);
        for (size_t p = 0; p < pixels * channels; p++)
            check_near(maps[p], want[p], 1, TOL_PAMR, false, "pamr", i, p);
        free(guide);
        free(maps);
        free(want);
    }
}

/* A picture of one colour: every neighbour has the same weight. */
Test(pamr, flat_picture_is_a_mean)
{
    enum { W = 60, H = 55, CHANNELS = T2D_PAMR_GROUP };
    static uint8_t guide[W * H * 3];
    static float maps[CHANNELS * W * H];
    memset(guide, 77, sizeof guide);
    for (int i = 0; i < CHANNELS * W * H; i++) maps[i] = 0.25f;
    refine(maps, guide, CHANNELS, W, H, 1);
    for (int i = 0; i < CHANNELS * W * H; i++) cr_assert_float_eq(maps[i], 0.25f, 1e-6);
}

/* ---- readouts ---- */

typedef struct shape {
    int grid, classes, canvas_width, canvas_height, width, height, windows;
    t2d_rect window[3];
} shape;

static const shape SHAPES[] = {
    {4, 3, 60, 40, 60, 40, 1, {{0, 0, 60, 40}}},
    {4, 37, 40, 31, 50, 40, 2, {{0, 0, 31, 31}, {9, 0, 31, 31}}},
    {3, 1, 1, 50, 1, 50, 1, {{0, 0, 1, 50}}},
    {5, 5, 64, 30, 64, 30, 3, {{0, 0, 30, 30}, {17, 0, 30, 30}, {34, 0, 30, 30}}},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static t2d_readout job_of(const shape *s, bool background)
{
    return (t2d_readout){
        .scores =
            random_scores((size_t)s->windows * s->grid * s->grid * s->classes, 0.4f, (uint64_t)s->classes),
        .window_count = s->windows,
        .grid = s->grid,
        .classes = s->classes,
        .windows = s->window,
        .canvas = random_picture(s->canvas_width, s->canvas_height),
        .canvas_width = s->canvas_width,
        .canvas_height = s->canvas_height,
        .pamr = true,
        .with_background = background,
        .background = 0.5f,
        .width = s->width,
        .height = s->height,
    };
}

static void job_free(const t2d_readout *job)
{
    free((float *)(uintptr_t)job->scores);
    free((uint8_t *)(uintptr_t)job->canvas);
}

Test(pamr, readout_against_double)
{
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int background = 0; background < 2; background++) {
            const t2d_readout job = job_of(&SHAPES[i], background);
            const size_t pixels = (size_t)job.width * job.height;
            reading r = read_out(job, 2, true);
            double *want = naive_readout(&job);
            for (size_t p = 0; p < pixels * channels_of(&job); p++)
                check_near(r.scores[p], want[p], 1, TOL_PAMR, false, "readout", (size_t)i, p);
            for (size_t p = 0; p < pixels; p++) {
                int best = 0;
                for (int n = 1; n < channels_of(&job); n++)
                    if (r.scores[n * pixels + p] > r.scores[best * pixels + p]) best = n;
                cr_assert_eq(r.labels[p], best, "shape %d pixel %zu", i, p);
            }
            free(want);
            reading_free(r);
            job_free(&job);
        }
}

/* With and without scores labels go different ways; threads share rows. */
Test(pamr, same_bits_every_way)
{
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const t2d_readout job = job_of(&SHAPES[i], true);
        const size_t pixels = (size_t)job.width * job.height;
        reading one = read_out(job, 1, true);
        for (int threads = 1; threads <= 3; threads++) {
            reading quiet = read_out(job, threads, false), more = read_out(job, threads, true);
            cr_assert_arr_eq(one.labels, quiet.labels, pixels * 2);
            cr_assert_arr_eq(one.labels, more.labels, pixels * 2);
            cr_assert_arr_eq(one.scores, more.scores, pixels * channels_of(&job) * 4);
            reading_free(quiet);
            reading_free(more);
        }
        reading_free(one);
        job_free(&job);
    }
}

/* No memory for more than the smallest regions: each keeps 64 x 64 pixels of its own. */
Test(pamr, cut_regions_have_the_same_bits)
{
    static const shape wide = {6, 9, 600, 70, 600, 70, 1, {{0, 0, 600, 70}}};
    static const shape high = {6, 3, 70, 610, 70, 610, 2, {{0, 0, 70, 560}, {0, 50, 70, 560}}};
    for (int i = 0; i < 2; i++) {
        t2d_readout job = job_of(i ? &high : &wide, true);
        const size_t pixels = (size_t)job.width * job.height;
        reading want = read_out(job, 2, true);
        t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
        float *scores = guarded(be, pixels * channels_of(&job) * 4);
        uint16_t *labels = guarded(be, pixels * 2);
        void *tables = be->op->alloc(be, t2d_plan_bytes(&job));
        t2d_plan plan;
        t2d_error err;
        bool done;
        job.labels = labels;
        job.out = i ? scores : NULL;
        t2d_plan_init(&plan, &job, tables);
        plan.pamr_bytes = 1;
        cr_assert_eq(t2d_refine((t2d_cpu *)be, &plan, &done, &err), T2D_OK);
        cr_assert_eq(done, !i);
        if (done)
            cr_assert_arr_eq(labels, want.labels, pixels * 2);
        else
            cr_assert_arr_eq(scores + pixels, want.scores + pixels, pixels * job.classes * 4);
        cr_assert(guard_holds(labels, pixels * 2) && guard_holds(scores, pixels * channels_of(&job) * 4));
        be->op->release(be, scores);
        be->op->release(be, labels);
        be->op->release(be, tables);
        be->op->close(be);
        reading_free(want);
        job_free(&job);
    }
}

/* ---- the published stages ---- */

/* The whole picture as one window; its guide is the picture. */
static void check_published(const char *name)
{
    t2d_st_file *file = stages_open(name);
    int s[3], l[3], m[3];
    t2d_image image;
    float *similarity = stage_read(file, "similarity", s), *masks = stage_read(file, "masks_pamr", m);
    int32_t *labels = stage_read(file, "labels_pamr", l);
    float *scores = stage_scores(similarity, s);
    stage_picture(name, &image);
    const t2d_rect window = {0, 0, l[2], l[1]};
    const t2d_readout job = {.scores = scores,
                             .window_count = 1,
                             .grid = s[1],
                             .classes = s[0],
                             .windows = &window,
                             .canvas = image.pixels,
                             .canvas_width = image.width,
                             .canvas_height = image.height,
                             .pamr = true,
                             .width = l[2],
                             .height = l[1]};
    reading r = read_out(job, 2, true);
    for (size_t p = 0; p < (size_t)l[1] * l[2]; p++)
        check_label(r, (size_t)l[1] * l[2], p, labels[p], TOL_PAMR, name);
    for (size_t p = 0; masks && p < (size_t)l[1] * l[2] * s[0]; p++)
        check_near(r.scores[p], masks[p], 1, TOL_PAMR, false, name, 0, p);
    reading_free(r);
    free(similarity);
    free(masks);
    free(labels);
    free(scores);
    t2d_image_release(&image);
    t2d_st_close(file);
}

Test(pamr, published_stages)
{
    for (int i = 0; i < STAGE_CASE_COUNT; i++) check_published(STAGE_CASES[i]);
}
