/* test_readout.c — score maps to scores and labels at the picture's size, without PAMR. */
#include "cpu/readout.h"
#include "maps.h"
#include "stages.h"

static const tolerance TOL_GOLDEN = {1.2e-7, "1",
                                     "one unit of fp32 below 1 where the compiler contracted otherwise"};

static const tolerance TOL_MASKS = {
    1.3e-7, "1", "the stage and the masks were published from two products: two units below 0.5"};
static const tolerance TOL_CLEANED = {1e-6, "1",
                                      "two softmaxes of logits up to 3, then a division by the largest"};

typedef struct shape {
    int grid, classes, canvas_width, canvas_height, width, height, windows;
    t2d_rect window[5];
} shape;

/* Ragged on purpose: one class, hundreds, one pixel wide, windows that overlap five times or only touch. */
static const shape SHAPES[] = {
    {8, 21, 112, 112, 112, 112, 1, {{0, 0, 112, 112}}},
    {8, 5, 149, 112, 125, 94, 2, {{0, 0, 112, 112}, {37, 0, 112, 112}}},
    {5,
     300,
     63,
     90,
     129,
     31,
     5,
     {{0, 0, 37, 41}, {3, 0, 60, 90}, {10, 5, 53, 85}, {0, 30, 63, 60}, {62, 0, 1, 90}}},
    {5, 1, 37, 41, 1, 55, 1, {{0, 0, 37, 41}}},
    {1, 3, 37, 41, 50, 1, 2, {{0, 0, 20, 41}, {20, 0, 17, 41}}},
    {7, 17, 1, 90, 200, 90, 1, {{0, 0, 1, 90}}},
    {6, 16, 70, 66, 70, 66, 3, {{0, 0, 70, 66}, {0, 0, 70, 66}, {5, 6, 64, 60}}},
    {4, 33, 900, 20, 65, 130, 1, {{0, 0, 900, 20}}},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static t2d_readout job_of(const shape *s, float spread, bool background, bool softmax)
{
    return (t2d_readout){
        .scores =
            random_scores((size_t)s->windows * s->grid * s->grid * s->classes, spread, (uint64_t)s->classes),
        .window_count = s->windows,
        .grid = s->grid,
        .classes = s->classes,
        .windows = s->window,
        .canvas_width = s->canvas_width,
        .canvas_height = s->canvas_height,
        .with_background = background,
        .background = 0.5f,
        .softmax = softmax,
        .width = s->width,
        .height = s->height,
    };
}

/* ---- scores ---- */

Test(readout, scores_against_double)
{
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int background = 0; background < 2; background++) {
            const t2d_readout job = job_of(&SHAPES[i], 0.4f, background, false);
            const size_t pixels = (size_t)job.width * job.height;
            reading r = read_out(job, 2, true);
            double *want = naive_readout(&job);
            for (size_t p = 0; p < pixels * channels_of(&job); p++)
                check_near(r.scores[p], want[p], 0.4, TOL_SCORES, false, "scores", (size_t)i, p);
            free(want);
            reading_free(r);
            free((float *)(uintptr_t)job.scores);
        }
}

/* torch's bilinear on an 8 x 8 map: the window's upsampling, and the result's. */
Test(readout, bilinear_golden)
{
    json_t *root = golden_open(T2D_GOLDEN "/bilinear.json");
    static const struct {
        const char *key;
        int side, w, h;
    } rows[] = {
        {"align_true_20x23", 0, 23, 20}, {"align_false_20x23", 8, 23, 20}, {"align_false_5x6", 8, 6, 5}};
    float map[64];
    for (int i = 0; i < 64; i++)
        map[i] = (float)((5 * (i / 8) * (i / 8) + 3 * (i % 8) + 2 * (i % 8) * (i / 8)) % 29) / 29;
    for (int k = 0; k < 3; k++) {
        const json_t *want = json_object_get(root, rows[k].key);
        const t2d_rect window = {0, 0, rows[k].side ? 8 : rows[k].w, rows[k].side ? 8 : rows[k].h};
        const t2d_readout job = {.scores = map,
                                 .window_count = 1,
                                 .grid = 8,
                                 .classes = 1,
                                 .windows = &window,
                                 .canvas_width = window.w,
                                 .canvas_height = window.h,
                                 .width = rows[k].w,
                                 .height = rows[k].h};
        reading r = read_out(job, 1, true);
        for (int y = 0; y < rows[k].h; y++)
            for (int x = 0; x < rows[k].w; x++)
                check_near(r.scores[y * rows[k].w + x], golden_at(json_array_get(want, (size_t)y), (size_t)x),
                           1, TOL_GOLDEN, false, rows[k].key, (size_t)y, (size_t)x);
        reading_free(r);
    }
    json_decref(root);
}

/* ---- labels ---- */

/* Without softmax: the first maximum.  With it: the first maximum of all pixels' softmax, computed the long
 * way. */
Test(readout, labels_are_first_maximum)
{
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int softmax = 0; softmax < 2; softmax++) {
            const t2d_readout job = job_of(&SHAPES[i], softmax ? 1e-5f : 0.3f, true, softmax);
            const size_t pixels = (size_t)job.width * job.height;
            const int channels = channels_of(&job);
            float *scores = malloc((size_t)channels * sizeof *scores),
                  *spare = malloc((size_t)channels * sizeof *spare);
            reading r = read_out(job, 2, true), quiet = read_out(job, 2, false);
            cr_assert_arr_eq(r.labels, quiet.labels, pixels * 2, "asking for scores changed the labels");
            for (size_t p = 0; p < pixels; p++) {
                int best = 0;
                for (int n = 0; n < channels; n++) {
                    scores[n] = r.scores[n * pixels + p];
                    if (scores[n] > scores[best]) best = n;
                }
                if (softmax) best = t2d_softmax_label(scores, channels, spare);
                cr_assert_eq(r.labels[p], best, "shape %d softmax %d pixel %zu: %d, want %d", i, softmax, p,
                             r.labels[p], best);
            }
            reading_free(r);
            reading_free(quiet);
            free(scores);
            free(spare);
            free((float *)(uintptr_t)job.scores);
        }
}

static float hashed_score(uint32_t i)
{
    uint32_t h = i * 2654435761u + 7 * 40503u + 12345u;
    h = (h ^ h >> 16) * 0x7feb352du;
    h = (h ^ h >> 15) * 0x846ca68bu;
    h ^= h >> 16;
    return 0.5f + (float)(h >> 24) / 16777216.0f;
}

/* Ties of torch's softmax that its scores do not have; see the file's own description. */
Test(readout, near_ties_golden)
{
    enum { GRID = 8, CLASSES = 90, WIDTH = 61, HEIGHT = 53, SCORES = 2 * GRID * GRID * CLASSES };
    static float scores[SCORES];
    static const t2d_rect windows[2] = {{0, 0, 64, 64}, {9, 0, 64, 64}};
    json_t *root = golden_open(T2D_GOLDEN "/near_ties.json");
    const json_t *labels = json_object_get(root, "labels"), *changed = json_object_get(root, "changed");
    for (uint32_t i = 0; i < SCORES; i++) scores[i] = hashed_score(i);
    t2d_readout job = {.scores = scores,
                       .window_count = 2,
                       .grid = GRID,
                       .classes = CLASSES,
                       .windows = windows,
                       .canvas_width = 73,
                       .canvas_height = 64,
                       .softmax = true,
                       .width = WIDTH,
                       .height = HEIGHT};
    reading r = read_out(job, 2, false);
    for (size_t p = 0; p < WIDTH * HEIGHT; p++)
        cr_assert_eq(r.labels[p], (int)golden_at(labels, p), "pixel %zu: %d", p, r.labels[p]);
    reading_free(r);
    job.softmax = false;
    r = read_out(job, 2, false);
    cr_assert(json_array_size(changed) > 100);
    for (size_t i = 0; i < json_array_size(changed); i++) {
        const json_t *row = json_array_get(changed, i);
        cr_assert_eq(r.labels[(size_t)golden_at(row, 0)], (int)golden_at(row, 1), "changed pixel %zu", i);
    }
    reading_free(r);
    json_decref(root);
}

Test(readout, same_bits_for_any_threads)
{
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const t2d_readout job = job_of(&SHAPES[i], 0.01f, true, true);
        const size_t pixels = (size_t)job.width * job.height;
        reading one = read_out(job, 1, true);
        for (int threads = 2; threads <= 3; threads++) {
            reading more = read_out(job, threads, true);
            cr_assert_arr_eq(one.labels, more.labels, pixels * 2);
            cr_assert_arr_eq(one.scores, more.scores, pixels * channels_of(&job) * 4);
            reading_free(more);
        }
        reading_free(one);
        free((float *)(uintptr_t)job.scores);
    }
}

Test(readout, refuses_what_has_no_meaning)
{
    uint16_t labels[4];
    float scores[4] = {0};
    static const t2d_rect good = {0, 0, 2, 2}, outside = {1, 0, 2, 2}, empty = {0, 0, 0, 2},
                          far = {INT32_MAX, 0, 2, 2};
    const t2d_readout base = {.scores = scores,
                              .window_count = 1,
                              .grid = 2,
                              .classes = 1,
                              .windows = &good,
                              .canvas_width = 2,
                              .canvas_height = 2,
                              .width = 2,
                              .height = 2,
                              .labels = labels};
    const uint8_t truth[4] = {0};
    uint32_t counts[1];
    t2d_readout bad[11] = {base, base, base, base, base, base, base, base, base, base, base};
    bad[0].windows = &outside;
    bad[1].windows = &empty;
    bad[2].windows = &far;
    bad[3].window_count = 0;
    bad[4].grid = 0;
    bad[5].classes = 65537;
    bad[6].width = 0;
    bad[7].pamr = true; /* without a canvas */
    for (int i = 8; i < 11; i++) bad[i].counts = counts, bad[i].truth = truth;
    bad[8].truth = NULL;
    bad[9].classes = T2D_MOST_COUNTED + 1;
    bad[10].width = bad[10].height = 1 << 16;
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 1);
    for (int i = 0; i < 11; i++) {
        t2d_error err = {0};
        cr_assert_eq(be->op->readout(be, &bad[i], &err), T2D_E_ARGUMENT, "case %d", i);
        cr_assert(strlen(err.message) > 20, "case %d: no sentence", i);
    }
    cr_assert_eq(be->op->readout(be, &base, NULL), T2D_OK);
    be->op->close(be);
}

/* ---- counts ---- */

/* Counts of labels that are not asked for, beside the labels, one pixel after the other. */
static void check_counts(t2d_readout job, int threads)
{
    const size_t pixels = (size_t)job.width * job.height, labels = (size_t)channels_of(&job);
    uint16_t *found = calloc(pixels, sizeof *found);
    uint8_t *truth = malloc(pixels);
    uint32_t *want = calloc(labels * labels, sizeof *want), *got = malloc(labels * labels * sizeof *got);
    uint32_t state = (uint32_t)labels;
    uint8_t now = 0;
    t2d_error err = {0};
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, threads);
    job.labels = found;
    cr_assert_eq(be->op->readout(be, &job, &err), T2D_OK, "%s", err.message);
    for (size_t i = 0; i < pixels; i++) {
        state = state * 1664525u + 1013904223u;
        if (i % 5 == 0) now = (uint8_t)((state >> 20) % (labels + 9)); /* some are no labels */
        truth[i] = now;
        if (truth[i] < labels) want[truth[i] * labels + found[i]]++;
    }
    memset(got, 0xff, labels * labels * sizeof *got);
    job.labels = NULL;
    job.truth = truth;
    job.counts = got;
    cr_assert_eq(be->op->readout(be, &job, &err), T2D_OK, "%s", err.message);
    cr_assert_arr_eq(got, want, labels * labels * sizeof *got, "%d x %d, %zu labels", job.width, job.height,
                     labels);
    be->op->close(be);
    free(found), free(truth), free(want), free(got);
}

Test(readout, counts)
{
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int way = 0; way < 4 && SHAPES[i].classes < T2D_MOST_COUNTED; way++) {
            t2d_readout job = job_of(&SHAPES[i], 0.2f, way & 1, way & 2);
            const size_t bytes = (size_t)job.canvas_width * job.canvas_height * 3;
            uint8_t *canvas = malloc(bytes);
            for (size_t b = 0; b < bytes; b++) canvas[b] = (uint8_t)(b * 37 >> 3);
            job.canvas = canvas;
            check_counts(job, 1 + way);
            job.pamr = true;
            check_counts(job, 1 + way);
            free(canvas);
            free((float *)(uintptr_t)job.scores);
        }
}

/* ---- the published stages ---- */

/* scores [patches, classes] after the published background cleaning. */
static void clean_stage(const t2d_st_file *file, float *scores, int classes)
{
    int l[3], f[3], t[3];
    float *logits = stage_read(file, "cls_attention_logits", l),
          *features = stage_read(file, "patch_tokens", f);
    float *text = stage_read(file, "text_embedding", t);
    t2d_backend *be = open_cpu(T2D_DTYPE_FP32, 2);
    be->op->clean(be, scores, logits, features, text, 1, f[1], 0, l[1], f[2], classes, 0.2f);
    be->op->close(be);
    free(logits);
    free(features);
    free(text);
}

/* The whole picture as one window, plain or cleaned and with a background.
 */
static void check_published(const char *name, bool clean)
{
    t2d_st_file *file = stages_open(name);
    int s[3], l[3], m[3];
    float *similarity = stage_read(file, "similarity", s);
    float *masks = stage_read(file, clean ? "masks_bg_clean" : "masks", m);
    int32_t *labels = stage_read(file, clean ? "labels_bg_clean" : "labels", l);
    float *scores = stage_scores(similarity, s);
    if (clean) clean_stage(file, scores, s[0]);
    const t2d_rect window = {0, 0, l[2], l[1]};
    const size_t pixels = (size_t)l[1] * l[2];
    const t2d_readout job = {.scores = scores,
                             .window_count = 1,
                             .grid = s[1],
                             .classes = s[0],
                             .windows = &window,
                             .canvas_width = l[2],
                             .canvas_height = l[1],
                             .with_background = clean,
                             .background = stage_background(name),
                             .width = l[2],
                             .height = l[1]};
    reading r = read_out(job, 2, true);
    const tolerance tol = clean ? TOL_CLEANED : TOL_MASKS;
    for (size_t p = 0; p < pixels; p++) check_label(r, pixels, p, labels[p], tol, name);
    for (size_t p = 0; masks && p < pixels * s[0]; p++)
        check_near(r.scores[p + (clean ? pixels : 0)], masks[p], 1, tol, false, name, 0, p);
    reading_free(r);
    free(similarity);
    free(masks);
    free(labels);
    free(scores);
    t2d_st_close(file);
}

Test(readout, published_stages)
{
    for (int i = 0; i < STAGE_CASE_COUNT; i++)
        for (int clean = 0; clean < 2; clean++) check_published(STAGE_CASES[i], clean);
}
