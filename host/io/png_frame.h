/* png_frame.h — what every use of libpng needs around it: a frame that longjmp returns to, sentences for its
 * errors, and ends that are always released.  Private to io; the four bodies are in png.c, mask.c, labels.c.
 */
#ifndef T2D_IO_PNG_FRAME_H
#define T2D_IO_PNG_FRAME_H

#include "io/decode.h"

#include <setjmp.h>

#include <png.h>

/* ---- in ---- */

/* A PNG that is being read; everything that must outlive a longjmp. */
typedef struct t2d_png_reading {
    png_structp png;
    png_infop info, end;
    jmp_buf failed;
    t2d_status status;
    const t2d_encoded *file;
    size_t at;        /* bytes read so far */
    int line, height; /* lines that are complete, of how many (0: the size is not known yet) */
    t2d_error *err;
} t2d_png_reading;

/* Ends the reading with this status; the sentence is in r->err. */
_Noreturn void t2d_png_give_up(t2d_png_reading *r, t2d_status status);

/* Reads r->height lines of `row_bytes` each, in all passes of an interlaced picture; the transformations are
 * set. */
void t2d_png_read_lines(t2d_png_reading *r, uint8_t *to, size_t row_bytes);

/* Opens the file up to its pixels, calls `body` with `context`, releases.  The body sets r->height, and may
 * leave by t2d_png_give_up or through libpng. */
t2d_status t2d_png_read(const t2d_encoded *file, void (*body)(t2d_png_reading *r, void *context),
                        void *context, t2d_error *err);

/* ---- out ---- */

/* Writes a PNG whole or not at all; `body` writes everything from the header to the last line.  later: see
 * t2d_outfile. */
t2d_status t2d_png_write(const char *path, void (*body)(png_structp png, png_infop info, void *context),
                         void *context, bool later, t2d_error *err);

#endif
