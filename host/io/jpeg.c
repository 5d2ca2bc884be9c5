/* jpeg.c — JPEG by libjpeg-turbo, with the settings that give OpenCV's bits (the library's defaults: accurate
 * integer DCT, fancy upsampling).  Unlike OpenCV, which fills what is missing with gray, a file that ends
 * early or makes the library complain about its data is refused. */
#include "io/decode.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

enum { MAX_SCANS = 500 }; /* real progressive files have about ten; thousands are an attack on our time */

/* Everything that must outlive a longjmp. */
typedef struct decoding {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    t2d_status status;
    const t2d_encoded *file;
    t2d_image *image;
    int *orientation;
    t2d_error *err;
} decoding;

/* ---- libjpeg's complaints ---- */

static _Noreturn void give_up(decoding *d, t2d_status status)
{
    d->status = status;
    longjmp(d->failed, 1);
}

static void on_error(j_common_ptr common)
{
    decoding *d = common->client_data;
    const char *name = d->file->name;
    char text[JMSG_LENGTH_MAX];
    d->errors.format_message(common, text);
    switch (d->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
        give_up(d, t2d_fail(d->err, T2D_E_MEMORY, "%s: out of memory while decoding", name));
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        give_up(d,
                t2d_fail(d->err, T2D_E_UNSUPPORTED, "%s: a kind of JPEG that is not read: %s", name, text));
    }
    if (d->image->height == 0)
        give_up(d, t2d_fail(d->err, T2D_E_FORMAT, "%s: the JPEG header cannot be read: %s", name, text));
    give_up(d, t2d_fail(d->err, T2D_E_FORMAT, "%s: the JPEG cannot be decoded after line %u of %d: %s", name,
                        d->jpeg.output_scanline, d->image->height, text));
}

/* level -1 is a warning, the others are traces.  Bytes between segments and unknown revision numbers cost no
 * pixel; every other warning says that pixels were guessed. */
static void on_message(j_common_ptr common, int level)
{
    decoding *d = common->client_data;
    if (level >= 0) return;
    switch (d->errors.msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
        return;
    case JWRN_JPEG_EOF:
        give_up(d, t2d_fail_short(d->file, "JPEG", (int)d->jpeg.output_scanline, d->image->height, d->err));
    default:
        on_error(common);
    }
}

static void on_output(j_common_ptr common) { (void)common; }

static void on_progress(j_common_ptr common)
{
    decoding *d = common->client_data;
    if (d->jpeg.input_scan_number > MAX_SCANS)
        give_up(d,
                t2d_fail(d->err, T2D_E_FORMAT, "%s: a JPEG of more than %d scans", d->file->name, MAX_SCANS));
}

/* ---- decoding ---- */

/* OpenCV takes the first APP1 segment whatever it holds; an XMP segment in front would hide the orientation,
 * so here it is the first one with EXIF's name on it. */
static int find_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next)
        if (m->data_length > 6 && memcmp(m->data, "Exif\0", 5) == 0)
            return t2d_exif_orientation(m->data + 6, m->data_length - 6);
    return 1;
}

/* OpenCV's conversion, which takes every CMYK picture as inverted, as Adobe writes them. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        const int k = cmyk[3];
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(k - ((255 - cmyk[c]) * k >> 8));
    }
}

static void read_lines(decoding *d)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    const int width = d->image->width;
    const bool cmyk = jpeg->out_color_space == JCS_CMYK;
    JSAMPARRAY inks = NULL; /* [1][width * 4], freed with the decompressor */
    if (cmyk) inks = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)width * 4, 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = d->image->pixels + (size_t)jpeg->output_scanline * width * 3;
        jpeg_read_scanlines(jpeg, cmyk ? inks : &row, 1);
        if (cmyk) cmyk_to_rgb(inks[0], row, width);
    }
}

static void decode(decoding *d)
{
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &d->progress;
    jpeg_mem_src(jpeg, d->file->bytes, d->file->count);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(jpeg, TRUE);
    *d->orientation = find_orientation(jpeg);

    const int parts = jpeg->num_components;
    if (parts != 1 && parts != 3 && parts != 4)
        give_up(d, t2d_fail(d->err, T2D_E_UNSUPPORTED, "%s: a JPEG of %d components; 1, 3 or 4 are read",
                            d->file->name, parts));
    const t2d_status status =
        t2d_image_allocate(d->file, jpeg->image_width, jpeg->image_height, d->image, d->err);
    if (status) give_up(d, status);
    jpeg->out_color_space = parts == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(jpeg);
    read_lines(d);
    jpeg_finish_decompress(jpeg);
}

/* The frame that longjmp returns to: nothing in it changes. */
static void decode_or_return(decoding *d)
{
    if (setjmp(d->failed) == 0) decode(d);
}

t2d_status t2d_decode_jpeg(const t2d_encoded *file, t2d_image *image, int *orientation, t2d_error *err)
{
    decoding *d = t2d_new(1, sizeof *d, file->name, err);
    if (!d) return T2D_E_MEMORY;
    d->file = file;
    d->image = image;
    d->orientation = orientation;
    d->err = err;
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->jpeg.client_data = d;
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    d->errors.output_message = on_output;
    d->progress.progress_monitor = on_progress;
    decode_or_return(d);
    const t2d_status status = d->status;
    jpeg_destroy_decompress(&d->jpeg);
    free(d);
    return status;
}
