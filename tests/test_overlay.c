/* test_overlay.c — a picture under its mask's colours, and the legend that explains them. */
#include "io/draw.h"
#include "output.h"

TestSuite(overlay, .init = make_folder, .fini = remove_folder);

enum { WIDE = 230, HIGH = 20 };
static uint8_t pixels[HIGH * WIDE * 3];
static const char *const NAMES[] = {"background", "a name so long that no legend of this width can hold it",
                                    "caf\xc3\xa9 \xe6\xbc", "never seen"};

/* Label 1 most, then 0, then 2; 3 does not occur. */
static t2d_mask stripes(void)
{
    t2d_mask mask = new_mask(WIDE, HIGH, 4);
    for (int i = 0; i < WIDE * HIGH; i++) mask.ids[i] = i % WIDE < 120 ? 1 : i % WIDE < 229 ? 0 : 2;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7);
    return mask;
}

static bool has_colour(const picture *p, int from_row, int label)
{
    uint8_t rgb[3];
    t2d_voc_colour(label, rgb);
    for (size_t i = from_row * p->row_bytes; i < p->height * p->row_bytes; i += 3)
        if (memcmp(p->samples + i, rgb, 3) == 0) return true;
    return false;
}

Test(overlay, blends_and_explains)
{
    t2d_mask mask = stripes();
    const t2d_image image = {WIDE, HIGH, pixels};
    uint8_t palette[256][3];
    t2d_voc_palette(palette);
    const float alphas[] = {0, 0.25f, 0.6f, 1};
    for (int k = 0; k < 4; k++) {
        t2d_error err = {0};
        cr_assert_eq(t2d_overlay_write(path, &image, &mask, NAMES, alphas[k], &err), T2D_OK, "%s",
                     err.message);
        picture p = read_png(path);
        cr_assert(p.kind == PNG_COLOR_TYPE_RGB && p.depth == 8 && p.width == WIDE && p.height > HIGH);
        for (int i = 0; i < WIDE * HIGH * 3; i++) {
            const double want =
                pixels[i] * (1.0 - (double)alphas[k]) + palette[mask.ids[i / 3]][i % 3] * (double)alphas[k];
            cr_assert_float_eq(p.samples[i], want, 0.51); /* half a level, and the 2^-16 of alpha */
        }
        for (int label = 0; label < 4; label++)
            cr_assert_eq(has_colour(&p, HIGH, label), label != 3, "label %d", label);
        const uint8_t *swatch = p.samples + (HIGH + 18) * p.row_bytes + 18 * 3;
        cr_assert(memcmp(swatch, palette[1], 3) == 0, "the first swatch is the most frequent label's");
        cr_assert(p.samples[p.row_bytes * p.height - 1] == 255, "white ground");
        free(p.samples);
    }
    t2d_mask_release(&mask);
}

Test(overlay, tiny_picture_has_a_readable_legend)
{
    uint16_t id = 0;
    const t2d_mask mask = {1, 1, 1, &id};
    const t2d_image image = {1, 1, pixels};
    t2d_error err = {0};
    cr_assert_eq(t2d_overlay_write(path, &image, &mask, NAMES, 0, &err), T2D_OK, "%s", err.message);
    picture p = read_png(path);
    cr_assert(p.width == 200 && memcmp(p.samples, pixels, 3) == 0 && p.samples[3] == 255);
    free(p.samples);
}

Test(overlay, labels_without_a_line_are_counted)
{
    enum { LABELS = 1500 };
    static const char *names[LABELS];
    for (int i = 0; i < LABELS; i++) names[i] = "x";
    t2d_mask mask = new_mask(60, 50, LABELS);
    for (int i = 0; i < 60 * 50; i++) mask.ids[i] = (uint16_t)(i % LABELS);
    uint8_t *black = calloc(60 * 50, 3);
    t2d_error err = {0};
    cr_assert_eq(t2d_overlay_write(path, &(t2d_image){60, 50, black}, &mask, names, 0.5f, &err), T2D_OK);
    picture p = read_png(path);
    cr_assert(p.height > 50 && p.height < 6000, "%d rows", p.height);
    free(p.samples);
    free(black);
    t2d_mask_release(&mask);
}

Test(overlay, requests_that_mean_nothing)
{
    t2d_mask mask = stripes();
    const t2d_image image = {WIDE, HIGH, pixels}, other = {WIDE, HIGH - 1, pixels};
    const char *const unnamed[] = {"a", NULL, "c", "d"};
    const struct {
        const t2d_image *image;
        const char *const *names;
        float alpha;
        const char *words;
    } cases[] = {
        {&other, NAMES, 0.5f, "the picture is 230 x 19, its mask 230 x 20"},
        {&image, NAMES, 1.5f, "alpha is 1.5"},
        {&image, NAMES, 0.0f / 0.0f, "alpha is"},
        {&image, unnamed, 0.5f, "label 1 occurs in the mask but has no name"},
        {&image, NULL, 0.5f, "has no name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t2d_error err = {0};
        cr_assert_eq(t2d_overlay_write(path, cases[i].image, &mask, cases[i].names, cases[i].alpha, &err),
                     T2D_E_ARGUMENT);
        cr_assert(strstr(err.message, cases[i].words), "%s", err.message);
    }
    cr_assert_eq(files_in_folder(), 0);
    t2d_mask_release(&mask);
}

Test(overlay, text_stays_within_its_limit)
{
    enum { W = 120, H = 40, SCALE = 2 };
    static uint8_t ground[W * H * 3];
    const uint8_t ink[3] = {1, 2, 3};
    const t2d_canvas canvas = {ground, W, H};
    const char *const texts[] = {"WWWWWWWWWWWWWWWW", "iiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
                                 "\xf0\x9f\xa6\x96 \xff\xff\xff\xff\xff\xc3"};
    for (int limit = 15; limit < 50; limit++)
        for (int k = 0; k < 3; k++) {
            memset(ground, 255, sizeof ground);
            t2d_text_draw(&canvas, 4, 4, SCALE, texts[k], limit, ink);
            int marks = 0;
            for (int i = 0; i < W * H; i++)
                if (ground[i * 3] == 1) {
                    marks++;
                    cr_assert(i % W >= 4 && i % W < 4 + limit * SCALE, "text %d, limit %d: x %d", k, limit,
                              i % W);
                }
            cr_assert_gt(marks, 0);
        }
    t2d_text_draw(&canvas, W - 3, H - 3, 3, "clipped", 1000, ink); /* the sanitizer watches the edges */
    t2d_text_draw(&canvas, -5, -5, 3, "clipped", 1000, ink);
    cr_assert_eq(t2d_text_width("10.7", 1000), t2d_text_width("98.4", 1000), "figures align");
    cr_assert_eq(t2d_text_width("\xc3\xa9", 1000), t2d_text_width("\xe2\x82\xac", 1000),
                 "one box per character");
}
