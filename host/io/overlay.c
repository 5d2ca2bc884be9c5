/* overlay.c — a picture under its mask's colours, with a legend below.
 * The picture keeps the upper left corner, so that its coordinates hold in the overlay; only a picture
 * narrower than a readable legend gets white beside it.  Lengths of the legend are in dots, of `scale` pixels
 * each. */
#include "io/draw.h"
#include "io/io.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARGIN = 12,
    SWATCH = 13,
    LINE = 20,
    GAP = 8,              /* swatch to name, name to percent */
    COLUMN_GAP = 24,      /* percent to the next swatch */
    PERCENT = 45,         /* "100.0%" */
    NAME_MOST = 150,      /* while columns are counted */
    LEGEND_LEAST = 200,   /* width, whatever the picture's */
    ENTRIES_MOST = 256,   /* the rest is counted in one line */
    PIXELS_PER_DOT = 1100 /* of the picture's width: letters grow with it */
};

static const uint8_t INK[3] = {28, 28, 30}, FAINT[3] = {110, 110, 115}, EDGE[3] = {120, 120, 125};

typedef struct entry {
    int label;
    int64_t pixels;
} entry;

typedef struct legend {
    entry *entries; /* most frequent first */
    int count;      /* labels that occur */
    int shown;      /* of them, with a line of their own */
    int scale, rows, name;
    int width, height;      /* pixels */
    const uint8_t *palette; /* [labels, 3], or NULL for VOC's */
} legend;

static void colour_of(const uint8_t *palette, int label, uint8_t rgb[3])
{
    if (palette)
        memcpy(rgb, palette + (size_t)label * 3, 3);
    else
        t2d_voc_colour(label, rgb);
}

static int compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->pixels != y->pixels) return x->pixels > y->pixels ? -1 : 1;
    return x->label - y->label;
}

static t2d_status count_labels(legend *l, const t2d_mask *mask, t2d_error *err)
{
    l->entries = t2d_new(mask->labels, sizeof *l->entries, "legend", err);
    if (!l->entries) return T2D_E_MEMORY;
    for (int i = 0; i < mask->labels; i++) l->entries[i].label = i;
    const size_t pixels = (size_t)mask->width * mask->height;
    for (size_t i = 0; i < pixels; i++) l->entries[mask->ids[i]].pixels++;
    qsort(l->entries, mask->labels, sizeof *l->entries, compare);
    while (l->count < mask->labels && l->entries[l->count].pixels > 0) l->count++;
    l->shown = l->count <= ENTRIES_MOST ? l->count : ENTRIES_MOST;
    return T2D_OK;
}

static t2d_status check_names(const legend *l, const char *path, const char *const *names, t2d_error *err)
{
    for (int i = 0; i < l->count; i++)
        if (!names || !names[l->entries[i].label])
            return t2d_fail(err, T2D_E_ARGUMENT, "%s: label %d occurs in the mask but has no name", path,
                            l->entries[i].label);
    return T2D_OK;
}

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

static int column_width(const legend *l) { return SWATCH + GAP + l->name + GAP + PERCENT; }

/* As many columns as fit, each as wide as the longest name asks within reason; no more rows than these
 * columns need; and what is then left of the width goes to the names that were cut. */
static void lay_out(legend *l, const char *const *names, int picture_width)
{
    l->scale = 1 + picture_width / PIXELS_PER_DOT;
    l->width = max(picture_width, LEGEND_LEAST * l->scale);
    const int room = l->width / l->scale - 2 * MARGIN, most = room - (SWATCH + GAP + GAP + PERCENT);
    int longest = 0;
    for (int i = 0; i < l->shown; i++)
        longest = max(longest, t2d_text_width(names[l->entries[i].label], most));
    l->name = min(longest, min(most, NAME_MOST));
    const int lines = l->shown + (l->count > l->shown);
    const int fitting = (room + COLUMN_GAP) / (column_width(l) + COLUMN_GAP);
    l->rows = (lines + fitting - 1) / fitting;
    const int columns = (lines + l->rows - 1) / l->rows;
    const int share = (room + COLUMN_GAP) / columns - COLUMN_GAP;
    l->name = min(longest, l->name + share - column_width(l));
    l->height = (2 * MARGIN + l->rows * LINE - (LINE - SWATCH)) * l->scale;
}

static void draw_entry(const t2d_canvas *canvas, const legend *l, int x, int y, const entry *e,
                       const char *name, int64_t total)
{
    const int s = l->scale, text = y + (SWATCH - T2D_FONT_ASCENT) / 2 * s;
    uint8_t colour[3];
    colour_of(l->palette, e->label, colour);
    t2d_fill(canvas, x, y, SWATCH * s, SWATCH * s, EDGE);
    t2d_fill(canvas, x + s, y + s, (SWATCH - 2) * s, (SWATCH - 2) * s, colour);
    t2d_text_draw(canvas, x + (SWATCH + GAP) * s, text, s, name, l->name, INK);

    char percent[16] = "<0.1%";
    const int tenths = (int)((e->pixels * 1000 + total / 2) / total);
    if (tenths > 0) snprintf(percent, sizeof percent, "%d.%d%%", tenths / 10, tenths % 10);
    const int width = t2d_text_width(percent, PERCENT);
    t2d_text_draw(canvas, x + (column_width(l) - width) * s, text, s, percent, PERCENT, FAINT);
}

static void draw_legend(const t2d_canvas *canvas, const legend *l, int top, const char *const *names,
                        int64_t total)
{
    const int step = (column_width(l) + COLUMN_GAP) * l->scale;
    for (int i = 0; i < l->shown + (l->count > l->shown); i++) {
        const int x = MARGIN * l->scale + i / l->rows * step;
        const int y = top + (MARGIN + i % l->rows * LINE) * l->scale;
        if (i < l->shown) {
            draw_entry(canvas, l, x, y, &l->entries[i], names[l->entries[i].label], total);
        } else {
            char rest[48];
            snprintf(rest, sizeof rest, "and %d more", l->count - l->shown);
            t2d_text_draw(canvas, x + (SWATCH + GAP) * l->scale,
                          y + (SWATCH - T2D_FONT_ASCENT) / 2 * l->scale, l->scale, rest,
                          l->name + GAP + PERCENT, FAINT);
        }
    }
}

/* Rounded to nearest in fixed point: the same bits on every machine. */
static void blend(const t2d_canvas *canvas, const t2d_image *image, const t2d_mask *mask,
                  const uint8_t *palette, float alpha)
{
    enum { ONE = 1 << 16 };
    const int weight = (int)lrintf(alpha * ONE);
    for (int y = 0; y < image->height; y++) {
        const uint8_t *from = image->pixels + (size_t)y * image->width * 3;
        const uint16_t *ids = mask->ids + (size_t)y * image->width;
        uint8_t *to = canvas->pixels + (size_t)y * canvas->width * 3;
        uint8_t colour[3];
        for (int x = 0, held = -1; x < image->width; x++, from += 3, to += 3) {
            if (ids[x] != held) colour_of(palette, held = ids[x], colour);
            for (int c = 0; c < 3; c++)
                to[c] = (uint8_t)((from[c] * (ONE - weight) + colour[c] * weight + ONE / 2) >> 16);
        }
    }
}

static t2d_status check(const char *path, const t2d_image *image, const t2d_mask *mask, float alpha,
                        t2d_error *err)
{
    if (!image->pixels || image->width != mask->width || image->height != mask->height)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: the picture is %d x %d, its mask %d x %d", path,
                        image->width, image->height, mask->width, mask->height);
    if (!(alpha >= 0 && alpha <= 1))
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: alpha is %g; 0 (picture) to 1 (colours) is meant", path,
                        (double)alpha);
    return t2d_mask_check(mask, path, err);
}

t2d_status t2d_overlay_write_coloured(const char *path, const t2d_image *image, const t2d_mask *mask,
                                      const char *const *names, const uint8_t *palette, float alpha,
                                      bool later, t2d_error *err)
{
    legend l = {.palette = palette};
    t2d_canvas canvas = {0};
    t2d_status status = check(path, image, mask, alpha, err);
    if (status == T2D_OK) status = count_labels(&l, mask, err);
    if (status == T2D_OK) status = check_names(&l, path, names, err);
    if (status) goto done;

    lay_out(&l, names, image->width);
    if (image->height > INT_MAX - l.height) {
        status = t2d_fail(err, T2D_E_ARGUMENT, "%s: no room for a legend below %d rows", path, image->height);
        goto done;
    }
    canvas.width = l.width;
    canvas.height = image->height + l.height;
    canvas.pixels = t2d_new((size_t)canvas.width * canvas.height, 3, path, err);
    if (!canvas.pixels) {
        status = T2D_E_MEMORY;
        goto done;
    }
    memset(canvas.pixels, 0xff, (size_t)canvas.width * canvas.height * 3);
    blend(&canvas, image, mask, palette, alpha);
    draw_legend(&canvas, &l, image->height, names, (int64_t)mask->width * mask->height);
    status = t2d_png_write_rgb(path, canvas.pixels, canvas.width, canvas.height, later, err);
done:
    free(canvas.pixels);
    free(l.entries);
    return status;
}

t2d_status t2d_overlay_write(const char *path, const t2d_image *image, const t2d_mask *mask,
                             const char *const *names, float alpha, t2d_error *err)
{
    return t2d_overlay_write_coloured(path, image, mask, names, NULL, alpha, false, err);
}
