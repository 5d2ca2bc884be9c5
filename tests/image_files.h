/* image_files.h — the pictures of golden/image, for the suites that read them. */
#ifndef T2D_TEST_IMAGE_FILES_H
#define T2D_TEST_IMAGE_FILES_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "io/io.h"

#define FOLDER T2D_GOLDEN "/image/"

static inline json_t *pictures(void)
{
    json_t *list = json_load_file(FOLDER "pictures.json", 0, NULL);
    cr_assert_geq(json_array_size(list), 90, "golden/image is not complete");
    return list;
}

static inline const char *file_of(const json_t *entry)
{
    return json_string_value(json_object_get(entry, "file"));
}
static inline long long number_of(const json_t *entry, const char *key)
{
    return json_integer_value(json_object_get(entry, key));
}

static inline unsigned char *load(const char *file, size_t *count)
{
    char path[512];
    unsigned char *bytes;
    snprintf(path, sizeof path, FOLDER "%s", file);
    cr_assert_eq(t2d_read_file(path, 1 << 20, &bytes, count, NULL), T2D_OK, "%s", path);
    return bytes;
}

#endif
