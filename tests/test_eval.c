/* test_eval.c — the parts of an evaluation: label maps, raw label files, counting, metrics, resampling, and
 * where the windows stand.  Whole runs are tested through the command (tests/eval). */
#include "eval/eval.h"
#include "output.h"
#include "segment/segment.h"

#include <math.h>

TestSuite(eval, .init = make_folder, .fini = remove_folder);

/* ---- label maps ---- */

static t2d_status fill(const char *json, int labels, int ignore, uint16_t *map, t2d_error *err)
{
    json_t *rules = json ? json_loads(json, 0, NULL) : NULL;
    cr_assert(!json || rules);
    const t2d_status status = t2d_label_map_fill(rules, labels, ignore, map, err);
    json_decref(rules);
    return status;
}

Test(eval, maps)
{
    static uint16_t map[T2D_RAW_LABELS];
    t2d_error err = {0};
    cr_assert_eq(fill(NULL, 3, 255, map, &err), T2D_OK, "%s", err.message);
    for (int raw = 0; raw < T2D_RAW_LABELS; raw++)
        cr_assert_eq(map[raw], raw < 3 ? raw : raw == 255 ? T2D_IGNORED : T2D_UNMAPPED, "raw %d", raw);
    cr_assert_eq(fill("{\"0\": \"ignore\", \"1-3\": \"0-2\", \"9-11\": 1, \"255\": 0, \"65535\": 2}", 3, 255,
                      map, &err),
                 T2D_OK, "%s", err.message);
    const int want[][2] = {{0, T2D_IGNORED}, {1, 0},  {3, 2},   {4, T2D_UNMAPPED}, {8, T2D_UNMAPPED},
                           {9, 1},           {11, 1}, {255, 0}, {65535, 2}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) cr_assert_eq(map[want[i][0]], want[i][1]);
}

Test(eval, maps_that_mean_nothing)
{
    static uint16_t map[T2D_RAW_LABELS];
    const char *const rules[] = {"{\"\": 0}",          "{\"-1\": 0}",         "{\"1-\": 0}",
                                 "{\"65536\": 0}",     "{\"2-1\": 0}",        "{\"1 \": 0}",
                                 "{\"1\": 3}",         "{\"1\": -1}",         "{\"1\": 0.5}",
                                 "{\"1\": null}",      "{\"1\": \"none\"}",   "{\"1-2\": \"0-2\"}",
                                 "{\"1-2\": \"2-3\"}", "{\"99999999999\": 0}"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        t2d_error err = {0};
        cr_assert_eq(fill(rules[i], 3, 255, map, &err), T2D_E_FORMAT, "%s", rules[i]);
        cr_assert(strncmp(err.message, "map: ", 5) == 0, "%s", err.message);
    }
}

/* cityscapesScripts' labels.py and mmseg's converters, by some of their rows. */
Test(eval, built_in_presets)
{
    const struct {
        const char *name;
        int labels, file, raw, label;
    } cases[] = {{"voc21", 21, 0, 20, 20},
                 {"voc21", 21, 0, 255, T2D_IGNORED},
                 {"voc21", 21, 0, 21, T2D_UNMAPPED},
                 {"voc20", 20, 0, 0, T2D_IGNORED},
                 {"voc20", 20, 0, 20, 19},
                 {"context60", 60, 0, 59, 59},
                 {"context59", 59, 0, 59, 58},
                 {"coco_stuff", 171, 0, 170, 170},
                 {"coco_stuff", 171, 1, 89, 79},
                 {"coco_stuff", 171, 1, 91, 80},
                 {"coco_stuff", 171, 1, 181, 170},
                 {"coco_stuff", 171, 1, 11, T2D_UNMAPPED},
                 {"coco_stuff", 171, 1, 255, T2D_IGNORED},
                 {"coco_object", 81, 1, 0, 1},
                 {"coco_object", 81, 1, 89, 80},
                 {"coco_object", 81, 1, 91, 0},
                 {"coco_object", 81, 1, 255, 0},
                 {"coco_object", 81, 0, 255, T2D_IGNORED},
                 {"cityscapes", 19, 1, 7, 0},
                 {"cityscapes", 19, 1, 33, 18},
                 {"cityscapes", 19, 1, 18, T2D_IGNORED},
                 {"cityscapes", 19, 1, 34, T2D_UNMAPPED},
                 {"ade20k", 150, 0, 0, T2D_IGNORED},
                 {"ade20k", 150, 0, 150, 149}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        t2d_error err = {0};
        t2d_preset *p;
        cr_assert_eq(t2d_preset_open(cases[i].name, &p, &err), T2D_OK, "%s", err.message);
        cr_assert_eq(p->label_count, cases[i].labels);
        cr_assert_eq(p->files[cases[i].file].map[cases[i].raw], cases[i].label, "%s, raw %d", cases[i].name,
                     cases[i].raw);
        t2d_preset_close(p);
    }
}

/* ---- label files as they are stored ---- */

static void write_labels(int width, int height, int bits, bool palette, bool interlaced)
{
    FILE *stream = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    cr_assert(stream && !setjmp(png_jmpbuf(png)));
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, bits,
                 palette ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_GRAY,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_color colours[256] = {{0}};
    if (palette) png_set_PLTE(png, info, colours, 1 << bits); /* all black: colours must not matter */
    png_write_info(png, info);
    png_set_packing(png);
    uint8_t *rows = calloc((size_t)width * height, 2);
    for (int i = 0; i < width * height; i++) {
        const unsigned value = ((unsigned)i * 40503u >> 3) & ((1u << bits) - 1);
        if (bits == 16) {
            rows[2 * i] = (uint8_t)(value >> 8);
            rows[2 * i + 1] = (uint8_t)value;
        } else {
            rows[i] = (uint8_t)value;
        }
    }
    const int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < height; y++) png_write_row(png, rows + (size_t)y * width * (bits == 16 ? 2 : 1));
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(stream);
    free(rows);
}

Test(eval, raw_labels_of_every_depth)
{
    const int sizes[][2] = {{1, 1}, {7, 3}, {64, 5}, {33, 40}};
    for (int kind = 0; kind < 18; kind++) {
        const int bits = 1 << kind % 9 % 5;
        const bool palette = kind >= 9, interlaced = kind % 9 >= 5;
        if (palette && bits == 16) continue;
        for (int i = 0; i < 4; i++) {
            size_t count;
            t2d_labels labels;
            t2d_error err = {0};
            write_labels(sizes[i][0], sizes[i][1], bits, palette, interlaced);
            unsigned char *bytes = slurp(path, &count);
            cr_assert_eq(t2d_labels_decode(bytes, count, "labels", &labels, &err), T2D_OK, "%s", err.message);
            cr_assert(labels.width == sizes[i][0] && labels.height == sizes[i][1]);
            for (int k = 0; k < labels.width * labels.height; k++)
                cr_assert_eq(labels.values[k], ((unsigned)k * 40503u >> 3) & ((1u << bits) - 1),
                             "%d bits, pixel %d", bits, k);
            t2d_labels_release(&labels);
            for (size_t cut = 0; cut < count; cut += 1 + count / 40) {
                cr_assert_neq(t2d_labels_decode(bytes, cut, "labels", &labels, &err), T2D_OK);
                cr_assert(!labels.values && strncmp(err.message, "labels: ", 8) == 0, "%s", err.message);
            }
            free(bytes);
        }
    }
}

/* ---- counts and metrics ---- */

Test(eval, counts_of_noise)
{
    enum { LABELS = 5, WIDTH = 61, HEIGHT = 47 };
    static uint16_t truth[WIDTH * HEIGHT], found[WIDTH * HEIGHT];
    t2d_counter counter;
    t2d_error err = {0};
    cr_assert_eq(t2d_counter_init(&counter, LABELS, &err), T2D_OK);
    for (int round = 0; round < 3; round++) { /* the second finds nothing of the first */
        uint32_t want[LABELS][LABELS] = {{0}}, ignored = 0, state = (uint32_t)round + 1;
        for (int i = 0; i < WIDTH * HEIGHT; i++) {
            state = state * 1664525u + 1013904223u;
            if (state >> 30 || i == 0) { /* runs of four, on average */
                truth[i] = (uint16_t)(state >> 10) % (LABELS + 1);
                found[i] = (uint16_t)(state >> 20) % (LABELS - 1); /* the last is never found */
                if (truth[i] == LABELS) truth[i] = T2D_IGNORED;
            } else {
                truth[i] = truth[i - 1];
                found[i] = found[i - 1];
            }
            if (truth[i] == T2D_IGNORED)
                ignored++;
            else
                want[truth[i]][found[i]]++;
        }
        const t2d_labels labels = {WIDTH, HEIGHT, truth};
        const t2d_mask mask = {WIDTH, HEIGHT, LABELS, found};
        cr_assert_eq(t2d_counter_count(&counter, &labels, &mask, &err), T2D_OK, "%s", err.message);
        cr_assert_eq(counter.ignored, ignored);
        size_t cells = 0;
        for (int t = 0; t < LABELS; t++)
            for (int f = 0; f < LABELS; f++)
                if (want[t][f]) {
                    cr_assert_lt(cells, counter.count);
                    const t2d_cell c = counter.cells[cells++];
                    cr_assert(c.truth == t && c.found == f && c.pixels == want[t][f]);
                }
        cr_assert_eq(cells, counter.count);
    }
    t2d_counter_release(&counter);
}

/* A machine's table gives the cells that counting gives. */
Test(eval, counts_of_a_table)
{
    enum { LABELS = 4 };
    const uint32_t table[LABELS * LABELS] = {0, 7, 0, 0, 0, 0, 0, 0, 1, 0, UINT32_MAX, 0, 0, 0, 0, 9};
    const t2d_cell want[] = {{0, 1, 7}, {2, 0, 1}, {2, 2, UINT32_MAX}, {3, 3, 9}};
    t2d_counter counter;
    t2d_error err = {0};
    cr_assert_eq(t2d_counter_init(&counter, LABELS, &err), T2D_OK);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(t2d_counter_read(&counter, table, (int64_t)UINT32_MAX + 20, &err), T2D_OK);
        cr_assert(counter.count == 4 && counter.ignored == 3);
        for (int i = 0; i < 4; i++)
            cr_assert(counter.cells[i].truth == want[i].truth && counter.cells[i].found == want[i].found &&
                      counter.cells[i].pixels == want[i].pixels);
    }
    t2d_counter_release(&counter);
}

Test(eval, metrics_leave_out_what_does_not_exist)
{
    const t2d_class_count classes[4] = {
        {6, 8, 10}, /* IoU 1/2, accuracy 3/4 */
        {0, 4, 0},  /* missed: 0 and 0 */
        {0, 0, 2},  /* invented: IoU 0, no accuracy */
        {0, 0, 0},  /* nowhere: neither */
    };
    const t2d_metrics m = t2d_metrics_of(classes, 4);
    cr_assert_float_eq(m.mean_iou, 0.5 / 3, 1e-15);
    cr_assert_float_eq(m.mean_accuracy, 0.75 / 2, 1e-15);
    cr_assert_float_eq(m.all_accuracy, 6.0 / 12, 1e-15);
    cr_assert(isnan(t2d_class_iou(&classes[3])) && isnan(t2d_class_accuracy(&classes[2])));
    const t2d_metrics none = t2d_metrics_of(&classes[3], 1);
    cr_assert(isnan(none.mean_iou) && isnan(none.mean_accuracy) && isnan(none.all_accuracy));
}

Test(eval, counts_beyond_32_bits)
{
    const uint64_t many = (uint64_t)1 << 40;
    const t2d_class_count c = {many - 1, many, many + 1};
    const t2d_cell cell = {0, 0, UINT32_MAX};
    t2d_tally tally;
    t2d_error err = {0};
    cr_assert_float_eq(t2d_class_iou(&c), ((double)many - 1) / ((double)many + 2), 1e-15);
    cr_assert_eq(t2d_tally_init(&tally, 1, &err), T2D_OK);
    for (int i = 0; i < 5; i++) t2d_tally_add(&tally, &(t2d_record){.cells = &cell, .cell_count = 1});
    cr_assert_eq(tally.confusion[0], 5 * (uint64_t)UINT32_MAX);
    cr_assert_eq(tally.pixels, 5 * (int64_t)UINT32_MAX);
    t2d_tally_release(&tally);
}

Test(eval, iou_of_one_picture)
{
    const t2d_cell cells[] = {{0, 0, 6}, {0, 2, 2}, {1, 0, 4}};
    t2d_class_count room[4] = {{0}};
    cr_assert_float_eq(t2d_cells_iou(cells, 3, room), (6.0 / 12 + 0 + 0) / 3, 1e-15);
    cr_assert(isnan(t2d_cells_iou(cells, 0, room)));
    for (int i = 0; i < 4; i++) cr_assert(!room[i].both && !room[i].truth && !room[i].found);
}

/* ---- resampling ---- */

Test(eval, weights_are_poisson_with_mean_one)
{
    enum { DRAWS = 200000 };
    int seen[12] = {0};
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        const int k = t2d_poisson(1, (uint64_t)(i / 500), (uint64_t)(i % 500));
        seen[k]++;
        sum += k;
        squares += (double)k * k;
    }
    cr_assert_float_eq(sum / DRAWS, 1, 0.012); /* five standard deviations */
    cr_assert_float_eq(squares / DRAWS - 1, 1, 0.04);
    cr_assert_float_eq(seen[0] / (double)DRAWS, exp(-1), 0.006);
    cr_assert_float_eq(seen[2] / (double)DRAWS, exp(-1) / 2, 0.005);
    cr_assert_neq(t2d_poisson(1, 0, 0) + 10 * t2d_poisson(1, 0, 1) + 100 * t2d_poisson(1, 0, 2) +
                      1000 * t2d_poisson(1, 0, 3),
                  t2d_poisson(2, 0, 0) + 10 * t2d_poisson(2, 0, 1) + 100 * t2d_poisson(2, 0, 2) +
                      1000 * t2d_poisson(2, 0, 3));
}

Test(eval, interval)
{
    double values[42], low, high;
    for (int i = 0; i <= 40; i++) values[i] = 40 - i;
    values[41] = (double)NAN;
    cr_assert(t2d_interval(values, 42, &low, &high));
    cr_assert_float_eq(low, 1, 1e-12);
    cr_assert_float_eq(high, 39, 1e-12);
    values[0] = (double)NAN;
    cr_assert(!t2d_interval(values, 1, &low, &high));
}

/* ---- windows (mmseg's slide_inference) ---- */

Test(eval, windows)
{
    const struct {
        int length, count, starts[4];
    } cases[] = {{597, 2, {0, 149}}, {671, 2, {0, 223}},      {896, 3, {0, 224, 448}},
                 {448, 1, {0}},      {449, 2, {0, 1}},        {341, 1, {0}},
                 {672, 2, {0, 224}}, {673, 3, {0, 224, 225}}, {1120, 4, {0, 224, 448, 672}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int length = cases[i].length, count = cases[i].count;
        t2d_rect rects[8];
        cr_assert_eq(t2d_window_count(length, 448, 224), count, "%d", length);
        t2d_windows_place(length, 300, 448, 224, rects);
        for (int k = 0; k < count; k++) {
            cr_assert(rects[k].x == cases[i].starts[k] && rects[k].y == 0 && rects[k].h == 300);
            cr_assert_eq(rects[k].w, length < 448 ? length : 448);
        }
    }
}
