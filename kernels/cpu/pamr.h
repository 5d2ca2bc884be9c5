/* pamr.h — pixel-adaptive mask refinement (PAMR.py of the published code) of one region of a picture.
 * Ten times, every pixel becomes the mean of its 48 neighbours (8 directions at 6 distances), weighted by how
 * much they look like it.  pamr.c has the formulas, refine.c what becomes of a picture and its windows. */
#ifndef T2D_CPU_PAMR_H
#define T2D_CPU_PAMR_H

#include "cpu/readout.h"

enum {
    T2D_PAMR_REACH = 24, /* the largest distance */
    T2D_PAMR_ITERATIONS = 10,
    T2D_PAMR_NEIGHBOURS = 48,
    T2D_PAMR_GROUP = 4, /* channels that share a loaded weight: channel counts are multiples of it */
};

/* A region and its memory.  Rows are padded by REACH on both sides with their first and last value. */
typedef struct t2d_pamr {
    int width, height, channels;
    int pitch;         /* of a padded row of one channel */
    size_t step;       /* of a row of all channels */
    int blocks;        /* of pixels in a row */
    uint8_t *guide;    /* [3, height, pitch] */
    float *weights;    /* [height, blocks, 48, pixels of a block] */
    float *iterate[2]; /* [height, step]: rows of channels, read from [0]; the last is in [0] again */
    bool cut_left, cut_right, cut_top, cut_bottom; /* the picture goes on there: nothing near it is right */
} t2d_pamr;

size_t t2d_pamr_bytes(int width, int height, int channels);
void t2d_pamr_place(t2d_pamr *pamr, void *memory);
float *t2d_pamr_row(const t2d_pamr *pamr, int y, int channel); /* of iterate[0], [pitch] */
void t2d_pamr_pad(const t2d_pamr *pamr, float *row, bool left, bool right);

/* These are called by all threads of a parallel region together, and end with a barrier. */
/* pixels: the region's first in a picture of `picture_width`. */
void t2d_pamr_weights(const t2d_pamr *pamr, const uint8_t *pixels, int picture_width);
void t2d_pamr_iterate(const t2d_pamr *pamr, int channels); /* iterate[0] with its pads -> iterate[0] */

#endif
