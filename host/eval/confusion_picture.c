/* confusion_picture.c — the confusion matrix to look at: a row is a true class, a column what it was taken
 * for, and the darker a cell, the larger its share of the row. */
#include "eval/eval.h"
#include "io/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 12, GAP = 6, NAME_MOST = 160, TITLE = 28, FEW = 40, READABLE = 320 };

static const uint8_t INK[3] = {28, 28, 30}, LINE[3] = {222, 222, 226};

typedef struct plan {
    int labels, cell; /* pixels of a side */
    int name;         /* of the longest; 0: cells are too small for names */
    int left, top;    /* of the matrix */
    int width, height;
} plan;

static const char *class_name(const json_t *classes, int index, char *room, size_t size)
{
    const char *text = json_string_value(json_array_get(classes, (size_t)index));
    snprintf(room, size, "%.*s", (int)strcspn(text ? text : "", ";"), text ? text : "");
    return room;
}

static plan lay_out(const json_t *classes, int labels)
{
    plan p = {.labels = labels, .cell = labels <= FEW ? 22 : labels <= READABLE ? T2D_FONT_HEIGHT + 1 : 2};
    char room[128];
    for (int i = 0; i < labels && labels <= READABLE; i++) {
        const int width = t2d_text_width(class_name(classes, i, room, sizeof room), NAME_MOST);
        p.name = width > p.name ? width : p.name;
    }
    p.name = p.name < NAME_MOST ? p.name : NAME_MOST;
    p.left = EDGE + p.name + GAP;
    p.top = EDGE + TITLE + p.name + GAP;
    p.width = p.left + labels * p.cell + EDGE;
    p.height = p.top + labels * p.cell + EDGE;
    p.width = p.width > READABLE ? p.width : READABLE; /* room for the title */
    return p;
}

/* White to dark blue; the square root lifts small confusions into sight. */
static void shade(double share, uint8_t rgb[3])
{
    static const int light[3] = {250, 251, 253}, dark[3] = {8, 48, 107};
    const double at = sqrt(share);
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)lrint(light[c] + at * (dark[c] - light[c]));
}

static void draw_cells(const t2d_canvas *canvas, const plan *p, const t2d_tally *tally)
{
    const int line = p->cell > 4 ? 1 : 0; /* between cells */
    for (int t = 0; t < p->labels; t++) {
        const uint64_t *row = tally->confusion + (size_t)t * (size_t)p->labels;
        uint64_t sum = 0;
        for (int f = 0; f < p->labels; f++) sum += row[f];
        for (int f = 0; f < p->labels; f++) {
            uint8_t rgb[3];
            shade(sum ? (double)row[f] / (double)sum : 0, rgb);
            t2d_fill(canvas, p->left + f * p->cell, p->top + t * p->cell, p->cell - line, p->cell - line,
                     rgb);
        }
    }
}

/* The same letters, from below to above: drawn level on a strip and turned. */
static void draw_upright(const t2d_canvas *canvas, int x, int y, const char *name, const t2d_canvas *strip)
{
    memset(strip->pixels, 0xff, (size_t)strip->width * (size_t)strip->height * 3);
    t2d_text_draw(strip, 0, 0, 1, name, strip->width, INK);
    for (int j = 0; j < strip->height; j++)
        for (int i = 0; i < strip->width; i++)
            t2d_fill(canvas, x + j, y - i, 1, 1,
                     strip->pixels + ((size_t)j * (size_t)strip->width + (size_t)i) * 3);
}

static void draw_names(const t2d_canvas *canvas, const plan *p, const json_t *classes,
                       const t2d_canvas *strip)
{
    const int middle = (p->cell - T2D_FONT_ASCENT) / 2;
    for (int i = 0; i < p->labels; i++) {
        char room[128];
        const char *name = class_name(classes, i, room, sizeof room);
        t2d_text_draw(canvas, EDGE, p->top + i * p->cell + middle, 1, name, p->name, INK);
        draw_upright(canvas, p->left + i * p->cell + middle, p->top - GAP, name, strip);
    }
}

t2d_status t2d_confusion_write(const char *path, const json_t *classes, const t2d_tally *tally,
                               t2d_error *err)
{
    const plan p = lay_out(classes, tally->labels);
    const size_t bytes = (size_t)p.width * (size_t)p.height;
    t2d_canvas canvas = {t2d_new(bytes, 3, path, err), p.width, p.height};
    t2d_canvas strip = {t2d_new((size_t)(p.name + 1) * T2D_FONT_HEIGHT, 3, path, err), p.name,
                        T2D_FONT_HEIGHT};
    t2d_status status = T2D_E_MEMORY;
    if (canvas.pixels && strip.pixels) {
        memset(canvas.pixels, 0xff, bytes * 3);
        t2d_text_draw(&canvas, EDGE, EDGE, 1, "rows: truth; columns: found; dark: share of the row",
                      p.width - 2 * EDGE, INK);
        t2d_fill(&canvas, p.left - 1, p.top - 1, p.labels * p.cell + 1, p.labels * p.cell + 1, LINE);
        draw_cells(&canvas, &p, tally);
        if (p.name > 0) draw_names(&canvas, &p, classes, &strip);
        status = t2d_png_write_rgb(path, canvas.pixels, canvas.width, canvas.height, false, err);
    }
    free(canvas.pixels);
    free(strip.pixels);
    return status;
}
