/* labels.c — the label of every pixel as a PNG has it: palette indices or gray samples, as they are stored.
 * Ground truth is written that way (PASCAL VOC, COCO-Stuff, Cityscapes, ADE20K); colours mean nothing in it.
 */
#include "io/io.h"
#include "io/png_frame.h"

#include <stdlib.h>

enum { MAX_SIDE = 1 << 20 };

static const char *kind_name(int kind)
{
    return kind == PNG_COLOR_TYPE_RGB          ? "RGB"
           : kind == PNG_COLOR_TYPE_RGB_ALPHA  ? "RGB with alpha"
           : kind == PNG_COLOR_TYPE_GRAY_ALPHA ? "gray with alpha"
                                               : "of an unknown kind";
}

static void check(t2d_png_reading *r, int64_t width, int64_t height, int kind)
{
    if (kind != PNG_COLOR_TYPE_PALETTE && kind != PNG_COLOR_TYPE_GRAY)
        t2d_png_give_up(r, t2d_fail(r->err, T2D_E_FORMAT,
                                    "%s: the PNG is %s; labels are palette indices or gray samples",
                                    r->file->name, kind_name(kind)));
    if (width > MAX_SIDE || height > MAX_SIDE || width * height > r->file->max_pixels)
        t2d_png_give_up(r, t2d_fail(r->err, T2D_E_FORMAT,
                                    "%s: the label map is %lld x %lld, more than the %lld pixels that are "
                                    "allowed",
                                    r->file->name, (long long)width, (long long)height,
                                    (long long)r->file->max_pixels));
}

/* 8-bit samples stand in the upper half of the block and are spread from its start: each is read before its
 * place is written. */
static void widen(uint16_t *to, const uint8_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = from[i];
}

static void read_labels(t2d_png_reading *r, void *context)
{
    t2d_labels *labels = context;
    const int64_t width = png_get_image_width(r->png, r->info),
                  height = png_get_image_height(r->png, r->info);
    const bool wide = png_get_bit_depth(r->png, r->info) == 16;
    check(r, width, height, png_get_color_type(r->png, r->info));
    const size_t count = (size_t)(width * height);
    labels->values = t2d_new(count, sizeof *labels->values, r->file->name, r->err);
    if (!labels->values) t2d_png_give_up(r, T2D_E_MEMORY);
    labels->width = (int)width;
    labels->height = r->height = (int)height;
    uint8_t *samples = (uint8_t *)labels->values;
    if (wide) {
        const uint16_t one = 1;
        if (*(const uint8_t *)&one == 1) png_set_swap(r->png);
        t2d_png_read_lines(r, samples, 2 * (size_t)width);
    } else {
        png_set_packing(r->png); /* 1, 2 and 4 bits: a byte each, values as they are */
        t2d_png_read_lines(r, samples + count, (size_t)width);
        widen(labels->values, samples + count, count);
    }
}

t2d_status t2d_labels_decode(const void *bytes, size_t count, const char *name, t2d_labels *labels,
                             t2d_error *err)
{
    *labels = (t2d_labels){0};
    if (count < 8 || png_sig_cmp(bytes, 0, 8) != 0)
        return t2d_fail(err, T2D_E_FORMAT, "%s: not a PNG; label maps are PNG files", name);
    const t2d_encoded file = {bytes, count, name, T2D_MAX_PIXELS};
    const t2d_status status = t2d_png_read(&file, read_labels, labels, err);
    if (status) t2d_labels_release(labels);
    return status;
}

void t2d_labels_release(t2d_labels *labels)
{
    free(labels->values);
    *labels = (t2d_labels){0};
}
