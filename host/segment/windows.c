/* windows.c — where the windows of the sliding protocol stand (mmseg's slide_inference). */
#include "segment/segment.h"

int t2d_window_count(int length, int size, int stride)
{
    const int beyond = length - size + stride - 1;
    return (beyond > 0 ? beyond : 0) / stride + 1;
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
