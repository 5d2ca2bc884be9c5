/* png_frame.c — libpng, framed: its errors come back as a status and a sentence, and nothing leaks. */
#include "io/png_frame.h"
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SIGNATURE = 8,    /* bytes before the chunks */
    CHUNK_HEAD = 8,   /* a chunk's length and name */
    CHUNK_FRAME = 12, /* and its checksum */
};

/* ---- in ---- */

void t2d_png_give_up(t2d_png_reading *r, t2d_status status)
{
    r->status = status;
    longjmp(r->failed, 1);
}

static bool is_about_memory(const char *text) { return strstr(text, "memory") != NULL; }

static _Noreturn void on_read_error(png_structp png, png_const_charp text)
{
    t2d_png_reading *r = png_get_error_ptr(png);
    if (is_about_memory(text)) /* libpng has no other sign of it */
        t2d_png_give_up(r, t2d_fail(r->err, T2D_E_MEMORY, "%s: out of memory while decoding", r->file->name));
    t2d_png_give_up(r,
                    t2d_fail(r->err, T2D_E_FORMAT, "%s: the PNG cannot be decoded: %s", r->file->name, text));
}

/* What libpng warns of (odd text and colour chunks) costs no pixel; but without memory for the eXIf chunk the
 * picture would lie on its side. */
static void on_read_warning(png_structp png, png_const_charp text)
{
    if (is_about_memory(text)) on_read_error(png, text);
}

static void read_bytes(png_structp png, png_bytep to, size_t count)
{
    t2d_png_reading *r = png_get_io_ptr(png);
    if (count > r->file->count - r->at)
        t2d_png_give_up(r, t2d_fail_short(r->file, "PNG", r->line, r->height, r->err));
    memcpy(to, r->file->bytes + r->at, count);
    r->at += count;
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

void t2d_png_read_lines(t2d_png_reading *r, uint8_t *to, size_t row_bytes)
{
    const int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) != row_bytes) png_error(r->png, "unexpected pixel format");
    for (int pass = 1; pass <= passes; pass++)
        for (int y = 0; y < r->height; y++) {
            if (pass == passes) r->line = y;
            png_read_row(r->png, to + (size_t)y * row_bytes, NULL);
        }
    r->line = r->height;
    png_read_end(r->png, r->end);
}

static void open_reading(t2d_png_reading *r)
{
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_read_error, on_read_warning);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (r->info) r->end = png_create_info_struct(r->png);
    if (!r->end) t2d_png_give_up(r, t2d_fail(r->err, T2D_E_MEMORY, "%s: out of memory", r->file->name));
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, INT_MAX, INT_MAX); /* t2d_image_allocate has the sentence */
    png_read_info(r->png, r->info);
}

/* The frame that longjmp returns to: nothing in it changes. */
static void read_or_return(t2d_png_reading *r, void (*body)(t2d_png_reading *, void *), void *context)
{
    if (setjmp(r->failed)) return;
    open_reading(r);
    body(r, context);
}

t2d_status t2d_png_read(const t2d_encoded *file, void (*body)(t2d_png_reading *r, void *context),
                        void *context, t2d_error *err)
{
    t2d_png_reading r = {.file = file, .err = err};
    r.status = check_chunks(file, err);
    if (r.status) return r.status;
    read_or_return(&r, body, context);
    png_destroy_read_struct(&r.png, &r.info, &r.end);
    return r.status;
}

/* ---- out ---- */

typedef struct writing {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    t2d_status status;
    const char *path;
    t2d_error *err;
} writing;

static _Noreturn void on_write_error(png_structp png, png_const_charp text)
{
    writing *w = png_get_error_ptr(png);
    const char *cause = strcmp(text, "Write Error") == 0 ? strerror(errno) : text;
    w->status = t2d_fail(w->err, T2D_E_IO, "%s: cannot write: %s", w->path, cause);
    longjmp(w->failed, 1);
}

static void on_write_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* The frame that longjmp returns to: nothing in it changes. */
static void write_or_return(writing *w, FILE *stream, void (*body)(png_structp, png_infop, void *),
                            void *context)
{
    if (setjmp(w->failed)) return;
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_write_error, on_write_warning);
    if (w->png) w->info = png_create_info_struct(w->png);
    if (!w->info) {
        w->status = t2d_fail(w->err, T2D_E_MEMORY, "%s: out of memory", w->path);
        return;
    }
    png_init_io(w->png, stream);
    png_set_user_limits(w->png, INT_MAX, INT_MAX);
    body(w->png, w->info, context);
    png_write_end(w->png, NULL);
}

t2d_status t2d_png_write(const char *path, void (*body)(png_structp png, png_infop info, void *context),
                         void *context, bool later, t2d_error *err)
{
    t2d_outfile out;
    writing w = {.path = path, .err = err};
    w.status = t2d_outfile_open(&out, path, err);
    if (w.status) return w.status;
    out.later = later;
    write_or_return(&w, out.stream, body, context);
    png_destroy_write_struct(&w.png, &w.info);
    if (w.status == T2D_OK) return t2d_outfile_commit(&out, err);
    t2d_outfile_abort(&out);
    return w.status;
}

bool t2d_png_is_whole(const char *path)
{
    static const uint8_t signature[SIGNATURE] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t last[CHUNK_FRAME] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    uint8_t begin[SIGNATURE], end[CHUNK_FRAME];
    struct stat info;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return false;
    const bool whole = fstat(file, &info) == 0 && S_ISREG(info.st_mode) &&
                       pread(file, begin, sizeof begin, 0) == sizeof begin &&
                       pread(file, end, sizeof end, info.st_size - CHUNK_FRAME) == sizeof end &&
                       memcmp(begin, signature, sizeof begin) == 0 && memcmp(end, last, sizeof end) == 0;
    close(file);
    return whole;
}
