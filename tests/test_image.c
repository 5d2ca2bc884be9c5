/* test_image.c — pictures in: OpenCV's pixels to the last bit for the files of golden/image, which
 * golden/make_images.py made; and pictures out. */
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "image_files.h"

static void check_pixels(const t2d_image *image, const json_t *entry)
{
    cr_assert_eq(image->width, number_of(entry, "width"), "%s", file_of(entry));
    cr_assert_eq(image->height, number_of(entry, "height"), "%s", file_of(entry));
    const unsigned long crc = crc32(0, image->pixels, (unsigned)(image->width * image->height * 3));
    cr_assert_eq(crc, (unsigned long)number_of(entry, "crc32"), "%s: other pixels than OpenCV's",
                 file_of(entry));
}

/* ---- good pictures ---- */

Test(image, pixels_are_opencvs)
{
    json_t *list = pictures(), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        size_t count;
        unsigned char *bytes = load(file_of(entry), &count);
        t2d_image image;
        t2d_error err = {0};
        cr_assert_eq(t2d_image_decode(bytes, count, "x", 0, &image, &err), T2D_OK, "%s: %s", file_of(entry),
                     err.message);
        check_pixels(&image, entry);
        t2d_image_release(&image);
        cr_assert_null(image.pixels);
        free(bytes);
    }
    json_decref(list);
}

Test(image, reads_files_and_standard_input)
{
    json_t *list = pictures(), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        char path[512];
        snprintf(path, sizeof path, FOLDER "%s", file_of(entry));
        cr_assert_not_null(freopen(path, "rb", stdin));
        const char *from[] = {path, "-"};
        for (int k = 0; k < 2; k++) {
            t2d_image image;
            cr_assert_eq(t2d_image_read(from[k], 0, &image, NULL), T2D_OK, "%s", path);
            check_pixels(&image, entry);
            t2d_image_release(&image);
        }
    }
    json_decref(list);
}

Test(image, bytes_behind_a_jpeg_are_tolerated)
{
    size_t count;
    unsigned char *bytes = load("rgb-420.jpg", &count);
    unsigned char *longer = calloc(1, count + 100);
    memcpy(longer, bytes, count);
    t2d_image image;
    cr_assert_eq(t2d_image_decode(longer, count + 100, "x", 0, &image, NULL), T2D_OK);
    t2d_image_release(&image);
    free(longer);
    free(bytes);
}

/* ---- limits ---- */

Test(image, more_pixels_than_allowed_are_refused)
{
    const char *files[] = {"rgb-420.jpg", "filtered.png", "lossy.webp"}; /* 37 x 26 */
    for (int i = 0; i < 3; i++) {
        size_t count;
        unsigned char *bytes = load(files[i], &count);
        t2d_image image;
        t2d_error err = {0};
        cr_assert_eq(t2d_image_decode(bytes, count, "x", 37 * 26, &image, &err), T2D_OK, "%s", err.message);
        t2d_image_release(&image);
        cr_assert_eq(t2d_image_decode(bytes, count, "x", 37 * 26 - 1, &image, &err), T2D_E_FORMAT);
        cr_assert_str_eq(err.message,
                         "x: the picture has 37 x 26 = 962 pixels, more than the 961 that are allowed");
        cr_assert_null(image.pixels);
        cr_assert_eq(t2d_image_decode(bytes, count, "x", -1, &image, &err), T2D_E_ARGUMENT);
        free(bytes);
    }
}

/* ---- out ---- */

/* A name for a file of this process; removed by the caller. */
static const char *scratch(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "/tmp/t2d-test-image-%ld-%s", (long)getpid(), name);
    return path;
}

Test(image, written_pictures_come_back)
{
    const int sizes[][2] = {{1, 1}, {3, 200}, {200, 3}, {65, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int width = sizes[i][0], height = sizes[i][1], count = width * height * 3;
        uint8_t *pixels = malloc((size_t)count);
        for (int k = 0; k < count; k++) pixels[k] = (uint8_t)(k * 2654435761u >> 24);
        t2d_image image;
        t2d_error err = {0};
        const char *path = scratch("out.png");
        cr_assert_eq(t2d_png_write_rgb(path, pixels, width, height, false, &err), T2D_OK, "%s", err.message);
        cr_assert_eq(t2d_image_read(path, 0, &image, &err), T2D_OK, "%s", err.message);
        cr_assert(image.width == width && image.height == height);
        cr_assert_arr_eq(image.pixels, pixels, (size_t)count);
        t2d_image_release(&image);
        free(pixels);
        unlink(path);
    }
}

Test(image, failed_writes_leave_a_sentence)
{
    const uint8_t pixels[3] = {1, 2, 3};
    t2d_error err = {0};
    cr_expect_eq(t2d_png_write_rgb("/nowhere/out.png", pixels, 1, 1, false, &err), T2D_E_IO);
    cr_expect(strstr(err.message, "/nowhere/out.png: cannot write"), "%s", err.message);
    cr_expect_eq(t2d_png_write_rgb("/dev/full", pixels, 1, 1, false, &err), T2D_E_IO);
    cr_expect(strstr(err.message, "cannot write"), "%s", err.message);
}
