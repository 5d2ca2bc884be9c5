/* windows.c — where the windows of the sliding protocol stand (mmseg's slide_inference). */
#include "segment/segment.h"

int t2d_window_count(int length, int size, int stride)
{
    const int beyond = length - size + stride - 1;
    return (beyond > 0 ? beyond : 0) / stride + 1;
}

int t2d_windows_of(const t2d_segment_options *o, int width, int height, int *canvas_width, int *canvas_height)
{
    int w = width, h = height;
    if (o->mode == T2D_SLIDE) {
        t2d_keep_ratio_size(width, height, o->long_side, o->short_side, &w, &h);
        w = w > 0 ? w : 1; /* a side of a 1 x 9000 picture may round to nothing */
        h = h > 0 ? h : 1;
    }
    if (canvas_width) *canvas_width = w;
    if (canvas_height) *canvas_height = h;
    if (o->mode == T2D_WHOLE) return 1;
    return t2d_window_count(w, o->size, o->stride) * t2d_window_count(h, o->size, o->stride);
}

/* Start and extent of window `i`; shorter than `size` only when the whole length is. */
static void place(int length, int size, int stride, int i, int *start, int *extent)
{
    const int end = i * stride + size < length ? i * stride + size : length;
    *start = end > size ? end - size : 0;
    *extent = end - *start;
}

void t2d_windows_place(int width, int height, int size, int stride, t2d_rect *rects)
{
    const int across = t2d_window_count(width, size, stride), down = t2d_window_count(height, size, stride);
    for (int y = 0; y < down; y++)
        for (int x = 0; x < across; x++) {
            t2d_rect *r = &rects[y * across + x];
            place(width, size, stride, x, &r->x, &r->w);
            place(height, size, stride, y, &r->y, &r->h);
        }
}
