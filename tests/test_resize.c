/* test_resize.c — OpenCV's resize against OpenCV's own answers, and the sizes mmcv chooses. */
#include "io/io.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static json_t *golden(void)
{
    json_error_t why;
    json_t *root = json_load_file(T2D_GOLDEN "/resize_cv2.json", 0, &why);
    cr_assert(root, "%s/resize_cv2.json:%d: %s", T2D_GOLDEN, why.line, why.text);
    return root;
}

static int number(const json_t *array, size_t index)
{
    return (int)json_integer_value(json_array_get(array, index));
}

/* The pictures that the golden file describes in words. */
static void paint_formula(uint8_t *p)
{
    for (int y = 0; y < 13; y++)
        for (int x = 0; x < 17; x++)
            for (int c = 0; c < 3; c++) *p++ = (uint8_t)(31 * y * y + 17 * x * (c + 2) + 7 * x * y + 50 * c);
}

static void paint_noise(uint8_t *p, size_t count, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t v = ((uint32_t)i + seed) * 2654435761u;
        v ^= v >> 15;
        v *= 2246822519u;
        v ^= v >> 13;
        p[i] = (uint8_t)(v >> 24);
    }
}

static uint8_t *resized(const uint8_t *src, int sw, int sh, int dw, int dh, int threads)
{
    enum { GUARD = 16 };
    const size_t count = (size_t)dw * dh * 3;
    uint8_t *dst = malloc(count + GUARD);
    memset(dst, 0xa5, count + GUARD);
    t2d_error err = {0};
    cr_assert_eq(t2d_resize_cv2_linear(src, sw, sh, dst, dw, dh, threads, &err), T2D_OK, "%s", err.message);
    for (int i = 0; i < GUARD; i++) cr_assert_eq(dst[count + i], 0xa5, "written behind the end");
    return dst;
}

Test(resize, values)
{
    uint8_t src[13 * 17 * 3];
    paint_formula(src);
    json_t *root = golden();

    const json_t *rows = json_object_get(root, "height_22_width_29_channel_0");
    cr_assert_eq(json_array_size(rows), 22);
    uint8_t *up = resized(src, 17, 13, 29, 22, 1);
    for (int y = 0; y < 22; y++)
        for (int x = 0; x < 29; x++)
            cr_assert_eq(up[(y * 29 + x) * 3], number(json_array_get(rows, y), x), "x %d y %d", x, y);
    free(up);

    rows = json_object_get(root, "height_7_width_9");
    cr_assert_eq(json_array_size(rows), 7);
    uint8_t *down = resized(src, 17, 13, 9, 7, 1);
    for (int i = 0; i < 7 * 9 * 3; i++) {
        const json_t *pixel = json_array_get(json_array_get(rows, i / 27), i / 3 % 9);
        cr_assert_eq(down[i], number(pixel, i % 3), "x %d y %d channel %d", i / 3 % 9, i / 27, i % 3);
    }
    free(down);
    json_decref(root);
}

/* Up, down, by exactly two, to and from sides of one pixel; by any number of threads. */
Test(resize, checksums)
{
    json_t *root = golden();
    const json_t *cases = json_object_get(root, "crc32");
    cr_assert_gt(json_array_size(cases), 30);
    size_t index;
    json_t *row;
    json_array_foreach(cases, index, row)
    {
        const int sw = number(row, 1), sh = number(row, 2), dw = number(row, 3), dh = number(row, 4);
        const unsigned long want = (unsigned long)json_integer_value(json_array_get(row, 5));
        uint8_t *src = malloc((size_t)sw * sh * 3); /* exact, so that the sanitizer sees a read behind it */
        paint_noise(src, (size_t)sw * sh * 3, (uint32_t)number(row, 0));
        for (int threads = 0; threads <= 5; threads++) {
            uint8_t *dst = resized(src, sw, sh, dw, dh, threads);
            const unsigned long found = crc32(0, dst, (unsigned)(dw * dh * 3));
            cr_assert_eq(found, want, "%d x %d to %d x %d, %d threads", sw, sh, dw, dh, threads);
            free(dst);
        }
        free(src);
    }
    json_decref(root);
}

Test(resize, refuses_empty_sides)
{
    const int sides[][4] = {{0, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, 0}, {-3, 1, 1, 1}};
    uint8_t pixel[3] = {1, 2, 3}, out[3] = {9, 9, 9};
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        t2d_error err = {0};
        const int *s = sides[i];
        cr_assert_eq(t2d_resize_cv2_linear(pixel, s[0], s[1], out, s[2], s[3], 1, &err), T2D_E_ARGUMENT);
        cr_assert(strstr(err.message, "at least 1"), "%s", err.message);
    }
    cr_assert_eq(out[0], 9);
}

Test(resize, keep_ratio)
{
    const int cases[][4] = {
        {500, 375, 597, 448},   {375, 500, 448, 597},   {640, 427, 671, 448}, {683, 512, 598, 448},
        {2048, 1024, 896, 448}, {3000, 500, 2048, 341}, {448, 448, 448, 448}, {1, 1, 448, 448},
        {1, 10000, 1, 2048},    {100000, 2, 2048, 1}, /* mmcv: height 0, an error */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int w, h;
        t2d_keep_ratio_size(cases[i][0], cases[i][1], 2048, 448, &w, &h);
        cr_assert(w == cases[i][2] && h == cases[i][3], "%d x %d gives %d x %d", cases[i][0], cases[i][1], w,
                  h);
    }
}
