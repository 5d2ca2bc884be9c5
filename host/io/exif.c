/* exif.c — which way up a camera held the picture, and turning it.  As OpenCV, only the first IFD is read and
 * the value is taken as a short whatever its type says; unlike OpenCV, damage in other entries does not hide
 * it. */
#include "io/decode.h"

#include <stdlib.h>

enum { ORIENTATION_TAG = 0x112, ENTRY_BYTES = 12, BLOCK = 64 };

typedef struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool big_endian;
} tiff;

/* 0 beyond the end: no tag, no entry and no orientation is 0. */
static unsigned read_u16(const tiff *t, size_t at)
{
    if (at >= t->count || t->count - at < 2) return 0;
    const unsigned a = t->bytes[at], b = t->bytes[at + 1];
    return t->big_endian ? a << 8 | b : b << 8 | a;
}

static size_t read_u32(const tiff *t, size_t at)
{
    const size_t a = read_u16(t, at), b = read_u16(t, at + 2);
    return t->big_endian ? a << 16 | b : b << 16 | a;
}

int t2d_exif_orientation(const uint8_t *bytes, size_t count)
{
    if (count < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M')) return 1;
    const tiff t = {bytes, count, bytes[0] == 'M'};
    if (read_u16(&t, 2) != 42) return 1;
    const size_t ifd = read_u32(&t, 4);
    const unsigned entries = read_u16(&t, ifd);
    for (unsigned i = 0; i < entries; i++) {
        const size_t entry = ifd + 2 + (size_t)i * ENTRY_BYTES;
        if (read_u16(&t, entry) != ORIENTATION_TAG) continue;
        const unsigned value = read_u16(&t, entry + 8);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* Where the upright picture's pixels lie in the stored one: at origin + y * y_step + x * x_step. */
typedef struct path {
    ptrdiff_t origin, x_step, y_step;
} path;

static path path_of(int orientation, ptrdiff_t w, ptrdiff_t h)
{
    const path paths[9] = {
        [2] = {w - 1, -1, w},       /* mirrored */
        [3] = {h * w - 1, -1, -w},  /* upside down */
        [4] = {(h - 1) * w, 1, -w}, /* mirrored and upside down */
        [5] = {0, w, 1},            /* transposed */
        [6] = {(h - 1) * w, -w, 1}, /* stored lying on its left: turn clockwise */
        [7] = {h * w - 1, -w, -1},  /* transposed about the other diagonal */
        [8] = {w - 1, w, -1},       /* stored lying on its right: turn counterclockwise */
    };
    return paths[orientation];
}

/* One block of the upright picture: walking whole columns of a large picture would miss the cache at every
 * pixel. */
static void turn_block(uint8_t *to, int width, const uint8_t *from, path walk, int x0, int y0, int x1, int y1)
{
    for (int y = y0; y < y1; y++) {
        uint8_t *out = to + ((size_t)y * width + x0) * 3;
        const ptrdiff_t line = walk.origin + y * walk.y_step;
        for (int x = x0; x < x1; x++, out += 3) {
            const uint8_t *in = from + (line + x * walk.x_step) * 3;
            out[0] = in[0];
            out[1] = in[1];
            out[2] = in[2];
        }
    }
}

t2d_status t2d_image_turn(t2d_image *image, int orientation, const char *what, t2d_error *err)
{
    if (orientation <= 1) return T2D_OK;
    const bool lying = orientation >= 5;
    const int width = lying ? image->height : image->width, height = lying ? image->width : image->height;
    uint8_t *pixels = t2d_new((size_t)width * height, 3, what, err);
    if (!pixels) return T2D_E_MEMORY;
    const path walk = path_of(orientation, image->width, image->height);
    for (int y = 0; y < height; y += BLOCK)
        for (int x = 0; x < width; x += BLOCK)
            turn_block(pixels, width, image->pixels, walk, x, y, x + BLOCK < width ? x + BLOCK : width,
                       y + BLOCK < height ? y + BLOCK : height);
    free(image->pixels);
    *image = (t2d_image){width, height, pixels};
    return T2D_OK;
}
