/* image.c — reading a picture: which format it is, how large it may be, which way up it goes.  The format is
 * told by the first bytes, never by the name. */
#include "io/decode.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)1 << 30)

enum { MAX_SIDE = 1 << 20 }; /* OpenCV's limit for a side */

/* ---- what a file is ---- */

typedef struct signature {
    const char *name;
    size_t at, count;
    const char *bytes;
    t2d_decoder *decode; /* NULL: recognised, so that the refusal can name it */
} signature;

static const signature signatures[] = {
    {"JPEG", 0, 3, "\xff\xd8\xff", t2d_decode_jpeg},
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n", t2d_decode_png},
    {"WebP", 8, 4, "WEBP", t2d_decode_webp},
    {"PGM", 0, 2, "P2", t2d_decode_pnm},
    {"PPM", 0, 2, "P3", t2d_decode_pnm},
    {"PGM", 0, 2, "P5", t2d_decode_pnm},
    {"PPM", 0, 2, "P6", t2d_decode_pnm},
    {"PBM", 0, 3, "P1\n", NULL},
    {"PBM", 0, 3, "P4\n", NULL},
    {"PAM", 0, 3, "P7\n", NULL},
    {"GIF", 0, 4, "GIF8", NULL},
    {"TIFF", 0, 4, "II*\0", NULL},
    {"TIFF", 0, 4, "MM\0*", NULL},
    {"TIFF", 0, 4, "II+\0", NULL},
    {"TIFF", 0, 4, "MM\0+", NULL},
    {"AVIF", 4, 8, "ftypavif", NULL},
    {"AVIF", 4, 8, "ftypavis", NULL},
    {"HEIC", 4, 7, "ftyphei", NULL},
    {"HEIC", 4, 7, "ftyphev", NULL},
    {"HEIF", 4, 8, "ftypmif1", NULL},
    {"HEIF", 4, 8, "ftypmsf1", NULL},
    {"JPEG 2000", 4, 4, "jP  ", NULL},
    {"JPEG 2000", 0, 4, "\xff\x4f\xff\x51", NULL},
    {"JPEG XL", 4, 4, "JXL ", NULL},
    {"JPEG XL", 0, 2, "\xff\x0a", NULL},
    {"PDF", 0, 5, "%PDF-", NULL},
    {"BMP", 0, 2, "BM", NULL},
};

static const signature *recognise(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (count >= s->at + s->count && memcmp(bytes + s->at, s->bytes, s->count) == 0) return s;
    }
    return NULL;
}

/* ---- what the decoders share ---- */

t2d_status t2d_image_allocate(const t2d_encoded *file, int64_t width, int64_t height, t2d_image *image,
                              t2d_error *err)
{
    if (width < 1 || height < 1)
        return t2d_fail(err, T2D_E_FORMAT, "%s: the picture has no pixels (%lld x %lld)", file->name,
                        (long long)width, (long long)height);
    if (width > MAX_SIDE || height > MAX_SIDE)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: the picture is %lld x %lld, a side may have at most %d pixels", file->name,
                        (long long)width, (long long)height, MAX_SIDE);
    if (width * height > file->max_pixels)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: the picture has %lld x %lld = %lld pixels, more than the %lld that are allowed",
                        file->name, (long long)width, (long long)height, (long long)(width * height),
                        (long long)file->max_pixels);
    image->pixels = t2d_new((size_t)(width * height), 3, file->name, err);
    if (!image->pixels) return T2D_E_MEMORY;
    image->width = (int)width;
    image->height = (int)height;
    return T2D_OK;
}

t2d_status t2d_fail_short(const t2d_encoded *file, const char *format, int lines, int height, t2d_error *err)
{
    if (height == 0)
        return t2d_fail(err, T2D_E_FORMAT, "%s: the %s data ends inside its header", file->name, format);
    if (lines >= height)
        return t2d_fail(err, T2D_E_FORMAT, "%s: the %s data ends after its last line, without its end mark",
                        file->name, format);
    return t2d_fail(err, T2D_E_FORMAT, "%s: the %s data ends after %d of %d lines", file->name, format, lines,
                    height);
}

/* ---- the public functions ---- */

t2d_status t2d_image_decode(const void *bytes, size_t count, const char *name, int64_t max_pixels,
                            t2d_image *image, t2d_error *err)
{
    *image = (t2d_image){0};
    if (max_pixels < 0)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: a limit of %lld pixels has no meaning", name,
                        (long long)max_pixels);
    if (count == 0) return t2d_fail(err, T2D_E_FORMAT, "%s: the file is empty", name);
    const signature *kind = recognise(bytes, count);
    if (!kind)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: not a picture of a known kind; JPEG, PNG, WebP, PPM and PGM are read", name);
    if (!kind->decode)
        return t2d_fail(err, T2D_E_UNSUPPORTED,
                        "%s: %s files are not read; convert it to JPEG, PNG, WebP, PPM or PGM", name,
                        kind->name);
    const t2d_encoded file = {bytes, count, name, max_pixels ? max_pixels : T2D_MAX_PIXELS};
    int orientation = 1;
    t2d_status status = kind->decode(&file, image, &orientation, err);
    if (!status) status = t2d_image_turn(image, orientation, name, err);
    if (status) t2d_image_release(image);
    return status;
}

t2d_status t2d_image_read(const char *path, int64_t max_pixels, t2d_image *image, t2d_error *err)
{
    *image = (t2d_image){0};
    unsigned char *bytes;
    size_t count;
    t2d_status status = t2d_read_file(path, MAX_FILE_BYTES, &bytes, &count, err);
    if (status) return status;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    status = t2d_image_decode(bytes, count, name, max_pixels, image, err);
    free(bytes);
    return status;
}

void t2d_image_release(t2d_image *image)
{
    free(image->pixels);
    *image = (t2d_image){0};
}
