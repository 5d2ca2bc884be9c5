/* png.c — PNG by libpng, in and out.  Reading gives OpenCV's bits: 16-bit samples lose their low byte, and
 * alpha is dropped without blending, so that what lies under transparent pixels is seen. */
#include "io/decode.h"
#include "io/io.h"

#include <limits.h>
#include <setjmp.h>
#include <string.h>

#include <png.h>

enum {
    SIGNATURE = 8,    /* bytes before the chunks */
    CHUNK_HEAD = 8,   /* a chunk's length and name */
    CHUNK_FRAME = 12, /* and its checksum */
};

/* Everything that must outlive a longjmp. */
typedef struct decoding {
    png_structp png;
    png_infop info, end;
    jmp_buf failed;
    t2d_status status;
    const t2d_encoded *file;
    size_t at; /* bytes read so far */
    int line;  /* lines that are complete; an interlaced picture's are so in the last pass */
    t2d_image *image;
    int *orientation;
    t2d_error *err;
} decoding;

static _Noreturn void give_up(decoding *d, t2d_status status)
{
    d->status = status;
    longjmp(d->failed, 1);
}

static bool is_about_memory(const char *text) { return strstr(text, "memory") != NULL; }

static _Noreturn void on_error(png_structp png, png_const_charp text)
{
    decoding *d = png_get_error_ptr(png);
    if (is_about_memory(text)) /* libpng has no other sign of it */
        give_up(d, t2d_fail(d->err, T2D_E_MEMORY, "%s: out of memory while decoding", d->file->name));
    give_up(d, t2d_fail(d->err, T2D_E_FORMAT, "%s: the PNG cannot be decoded: %s", d->file->name, text));
}

/* What libpng warns of (odd text and colour chunks) costs no pixel; but without memory for the eXIf chunk the
 * picture would lie on its side. */
static void on_warning(png_structp png, png_const_charp text)
{
    if (is_about_memory(text)) on_error(png, text);
}

static void read_bytes(png_structp png, png_bytep to, size_t count)
{
    decoding *d = png_get_io_ptr(png);
    if (count > d->file->count - d->at)
        give_up(d, t2d_fail_short(d->file, "PNG", d->line, d->image->height, d->err));
    memcpy(to, d->file->bytes + d->at, count);
    d->at += count;
}

/* An eXIf chunk may stand before the pixels or behind them. */
static int find_orientation(decoding *d)
{
    png_bytep tiff;
    png_uint_32 count;
    if (png_get_eXIf_1(d->png, d->info, &count, &tiff) || png_get_eXIf_1(d->png, d->end, &count, &tiff))
        return t2d_exif_orientation(tiff, count);
    return 1;
}

/* libpng takes memory for some chunks before it reads them, so none may say that it is longer than the file.
 * One that holds pixels may: it is not read at once, and the failure can tell the line. */
static t2d_status check_chunks(const t2d_encoded *file, t2d_error *err)
{
    int lines = 0; /* none, or "the last one" */
    for (size_t at = SIGNATURE; file->count - at >= CHUNK_HEAD;) {
        const uint8_t *chunk = file->bytes + at, *name = chunk + 4;
        const size_t room = file->count - at, size = png_get_uint_32(chunk);
        const bool pixels = memcmp(name, "IDAT", 4) == 0,
                   whole = room >= CHUNK_FRAME && size <= room - CHUNK_FRAME;
        if (!whole) return pixels ? T2D_OK : t2d_fail_short(file, "PNG", lines, lines, err);
        if (memcmp(name, "IEND", 4) == 0) break;
        if (pixels) lines = 1;
        at += size + CHUNK_FRAME;
    }
    return T2D_OK;
}

/* Any kind of PNG to 8-bit RGB; returns the number of passes over the lines. */
static int to_rgb8(png_structp png)
{
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_gray_to_rgb(png);
    return png_set_interlace_handling(png);
}

static void read_lines(decoding *d, int passes)
{
    const size_t row_bytes = (size_t)d->image->width * 3;
    if (png_get_rowbytes(d->png, d->info) != row_bytes) png_error(d->png, "unexpected pixel format");
    for (int pass = 1; pass <= passes; pass++)
        for (int y = 0; y < d->image->height; y++) {
            if (pass == passes) d->line = y;
            png_read_row(d->png, d->image->pixels + y * row_bytes, NULL);
        }
    d->line = d->image->height;
}

static void decode(decoding *d)
{
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
    if (d->png) d->info = png_create_info_struct(d->png);
    if (d->info) d->end = png_create_info_struct(d->png);
    if (!d->end) give_up(d, t2d_fail(d->err, T2D_E_MEMORY, "%s: out of memory", d->file->name));
    png_set_read_fn(d->png, d, read_bytes);
    png_set_user_limits(d->png, INT_MAX, INT_MAX); /* t2d_image_allocate has the sentence */
    png_read_info(d->png, d->info);

    const t2d_status status = t2d_image_allocate(d->file, png_get_image_width(d->png, d->info),
                                                 png_get_image_height(d->png, d->info), d->image, d->err);
    if (status) give_up(d, status);
    const int passes = to_rgb8(d->png);
    png_read_update_info(d->png, d->info);
    read_lines(d, passes);
    png_read_end(d->png, d->end);
    *d->orientation = find_orientation(d);
}

/* The frame that longjmp returns to: nothing in it changes. */
static void decode_or_return(decoding *d)
{
    if (setjmp(d->failed) == 0) decode(d);
}

t2d_status t2d_decode_png(const t2d_encoded *file, t2d_image *image, int *orientation, t2d_error *err)
{
    decoding d = {.file = file, .image = image, .orientation = orientation, .err = err};
    d.status = check_chunks(file, err);
    if (d.status) return d.status;
    decode_or_return(&d);
    png_destroy_read_struct(&d.png, &d.info, &d.end);
    return d.status;
}

/* ---- out ---- */

typedef struct encoding {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    t2d_status status;
    const char *path;
    t2d_error *err;
} encoding;

static void on_write_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static _Noreturn void on_write_error(png_structp png, png_const_charp text)
{
    encoding *e = png_get_error_ptr(png);
    e->status = t2d_fail(e->err, T2D_E_IO, "%s: cannot write: %s", e->path, text);
    longjmp(e->failed, 1);
}

static void write_lines(encoding *e, FILE *stream, const uint8_t *pixels, int width, int height)
{
    if (setjmp(e->failed)) return;
    e->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, e, on_write_error, on_write_warning);
    if (e->png) e->info = png_create_info_struct(e->png);
    if (!e->info) {
        e->status = t2d_fail(e->err, T2D_E_MEMORY, "%s: out of memory", e->path);
        return;
    }
    png_init_io(e->png, stream);
    png_set_user_limits(e->png, INT_MAX, INT_MAX);
    png_set_IHDR(e->png, e->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(e->png, e->info);
    for (int y = 0; y < height; y++) png_write_row(e->png, pixels + (size_t)y * width * 3);
    png_write_end(e->png, NULL);
}

t2d_status t2d_png_write_rgb(const char *path, const uint8_t *pixels, int width, int height, t2d_error *err)
{
    t2d_outfile out;
    encoding e = {.path = path, .err = err};
    e.status = t2d_outfile_open(&out, path, err);
    if (e.status) return e.status;
    write_lines(&e, out.stream, pixels, width, height);
    png_destroy_write_struct(&e.png, &e.info);
    if (!e.status) return t2d_outfile_commit(&out, err);
    t2d_outfile_abort(&out);
    return e.status;
}
