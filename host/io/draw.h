/* draw.h — what the pictures that we write are made with: label colours and letters.  Private to io. */
#ifndef T2D_IO_DRAW_H
#define T2D_IO_DRAW_H

#include "base/base.h"

/* A mask that can be written: not empty, 1 to 65536 labels, no id beyond them.  `path` stands in the
 * sentence. */
t2d_status t2d_mask_check(const t2d_mask *mask, const char *path, t2d_error *err);

/* The VOC colour of any label: the palette's rule goes on behind its 256 entries. */
void t2d_voc_colour(int label, uint8_t rgb[3]);

/* An RGB picture to draw on, [height, width, 3]; what falls outside is left out. */
typedef struct t2d_canvas {
    uint8_t *pixels;
    int width, height;
} t2d_canvas;

void t2d_fill(const t2d_canvas *canvas, int x, int y, int width, int height, const uint8_t rgb[3]);

enum {
    T2D_FONT_HEIGHT = 12,
    T2D_FONT_ASCENT = 9
}; /* dots from the top of a capital: to the end, to the baseline */

/* Width of UTF-8 text in dots, counted no further than just beyond `limit`. */
int t2d_text_width(const char *text, int limit);

/* Draws UTF-8 text with its upper left corner at (x, y), every dot scale x scale pixels.  Text wider than
 * `limit` dots ends in an ellipsis within them; what is not printable ASCII is a box. */
void t2d_text_draw(const t2d_canvas *canvas, int x, int y, int scale, const char *text, int limit,
                   const uint8_t rgb[3]);

#endif
