/* output.h — for suites that write files: a folder of their own per test, and PNG read back by libpng. */
#ifndef T2D_TESTS_OUTPUT_H
#define T2D_TESTS_OUTPUT_H

#include "io/io.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- TestSuite(name, .init = make_folder, .fini = remove_folder) ---- */

static char folder[] = "/tmp/t2d-output-XXXXXX";
static char path[256];

static inline void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    snprintf(path, sizeof path, "%s/out", folder);
}

static inline int files_in_folder(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    cr_assert(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') count++;
    closedir(dir);
    return count;
}

static inline void remove_folder(void)
{
    unlink(path);
    cr_assert_eq(rmdir(folder), 0, "something was left behind");
}

static inline unsigned char *slurp(const char *file, size_t *count)
{
    unsigned char *bytes;
    t2d_error err = {0};
    cr_assert_eq(t2d_read_file(file, 1 << 28, &bytes, count, &err), T2D_OK, "%s", err.message);
    return bytes;
}

static inline void spit(const char *file, const char *text)
{
    FILE *stream = fopen(file, "w");
    cr_assert(stream && fputs(text, stream) >= 0 && fclose(stream) == 0);
}

/* ---- PNG read back by libpng, as it stands in the file ---- */

typedef struct picture {
    int width, height, depth, kind, colours;
    png_color palette[256];
    uint8_t *samples; /* [height, row_bytes] */
    size_t row_bytes;
} picture;

static inline picture read_png(const char *file)
{
    picture p = {0};
    FILE *stream = fopen(file, "rb");
    cr_assert(stream, "%s is not there", file);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    if (setjmp(png_jmpbuf(png))) cr_assert_fail("%s is no PNG", file);
    png_init_io(png, stream);
    png_read_info(png, info);
    p.width = (int)png_get_image_width(png, info);
    p.height = (int)png_get_image_height(png, info);
    p.depth = png_get_bit_depth(png, info);
    p.kind = png_get_color_type(png, info);
    png_colorp colours;
    if (png_get_PLTE(png, info, &colours, &p.colours))
        memcpy(p.palette, colours, p.colours * sizeof *colours);
    p.row_bytes = png_get_rowbytes(png, info);
    p.samples = malloc(p.row_bytes * p.height);
    for (int y = 0; y < p.height; y++) png_read_row(png, p.samples + y * p.row_bytes, NULL);
    png_read_end(png, NULL);
    png_destroy_read_struct(&png, &info, NULL);
    fclose(stream);
    return p;
}

/* Noise, which does not compress; the last label occurs. */
static inline t2d_mask new_mask(int width, int height, int labels)
{
    t2d_mask mask = {width, height, labels, calloc((size_t)width * height, sizeof(uint16_t))};
    for (int i = 0; i < width * height; i++)
        mask.ids[i] = (uint16_t)(((uint32_t)i * 2654435761u >> 12) % (uint32_t)labels);
    mask.ids[width * height - 1] = (uint16_t)(labels - 1);
    return mask;
}

#endif
