/* decode.h — the decoders' side of reading a picture, private to host/io: one function per format, called by
 * image.c, which owns what they leave behind: on failure image.c releases whatever is in *image. */
#ifndef T2D_DECODE_H
#define T2D_DECODE_H

#include "base/base.h"

/* A picture as it stands in its file. */
typedef struct t2d_encoded {
    const uint8_t *bytes;
    size_t count;
    const char *name; /* of the picture, for messages */
    int64_t max_pixels;
} t2d_encoded;

/* Upright pixels are what the caller wants: a decoder leaves the pixels as stored and the EXIF orientation,
 * 1..8, in *orientation (which is 1 when it is called). */
typedef t2d_status t2d_decoder(const t2d_encoded *file, t2d_image *image, int *orientation, t2d_error *err);
t2d_decoder t2d_decode_jpeg, t2d_decode_png, t2d_decode_webp, t2d_decode_pnm;

/* Refuses sizes that are empty, too long a side or more than file->max_pixels; then allocates the pixels. */
t2d_status t2d_image_allocate(const t2d_encoded *file, int64_t width, int64_t height, t2d_image *image,
                              t2d_error *err);

/* "cat.jpg: the JPEG data ends after 120 of 480 lines"; height 0: no size was read yet. */
t2d_status t2d_fail_short(const t2d_encoded *file, const char *format, int lines, int height, t2d_error *err);

/* The orientation in a TIFF block (it starts with II or MM); 1 when there is none that is understood. */
int t2d_exif_orientation(const uint8_t *tiff, size_t count);

/* Turns the picture upright; `what` names it in messages. */
t2d_status t2d_image_turn(t2d_image *image, int orientation, const char *what, t2d_error *err);

#endif
