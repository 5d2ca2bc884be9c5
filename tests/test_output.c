/* test_output.c — masks and arrays: what is written is what is read, and what fails leaves nothing.
 */
#include "output.h"

#include <signal.h>
#include <sys/resource.h>

TestSuite(output, .init = make_folder, .fini = remove_folder);

/* ---- palette and masks ---- */

Test(output, voc_palette)
{
    uint8_t p[256][3];
    t2d_voc_palette(p);
    const int want[][4] = {{0, 0, 0, 0},       {1, 128, 0, 0}, {2, 0, 128, 0},
                           {7, 128, 128, 128}, {8, 64, 0, 0},  {15, 192, 128, 128},
                           {20, 0, 64, 128},   {64, 32, 0, 0}, {255, 224, 224, 192}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        for (int c = 0; c < 3; c++) cr_assert_eq(p[want[i][0]][c], want[i][1 + c], "label %d", want[i][0]);
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < a; b++) cr_assert(memcmp(p[a], p[b], 3), "labels %d and %d look alike", a, b);
}

Test(output, mask_is_read_back)
{
    const int cases[][3] = {{1, 1, 1},     {17, 9, 21},    {64, 48, 255},
                            {64, 48, 256}, {300, 2, 1000}, {1, 90, 65536}};
    uint8_t palette[256][3];
    t2d_voc_palette(palette);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int labels = cases[i][2], indexed = labels <= 255;
        t2d_mask mask = new_mask(cases[i][0], cases[i][1], labels);
        t2d_error err = {0};
        cr_assert_eq(t2d_mask_write(path, &mask, &err), T2D_OK, "%s", err.message);
        picture p = read_png(path);
        cr_assert(p.width == mask.width && p.height == mask.height);
        cr_assert(p.depth == (indexed ? 8 : 16) &&
                  p.kind == (indexed ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_GRAY));
        if (indexed) cr_assert(p.colours == 256 && memcmp(p.palette, palette, sizeof palette) == 0);
        for (int k = 0; k < p.width * p.height; k++)
            cr_assert_eq(indexed ? p.samples[k] : p.samples[2 * k] << 8 | p.samples[2 * k + 1], mask.ids[k]);
        free(p.samples);
        t2d_mask_release(&mask);
        cr_assert(!mask.ids && !mask.width && !mask.height && !mask.labels);
        t2d_mask_release(&mask);
    }
    cr_assert_eq(files_in_folder(), 1);
}

Test(output, mask_that_means_nothing)
{
    uint16_t ids[6] = {0, 1, 2, 0, 3, 1};
    const struct {
        t2d_mask mask;
        const char *words;
    } cases[] = {
        {{3, 2, 3, ids}, "label 3 at x 1, y 1, but only 3 labels"},
        {{3, 2, 0, ids}, "0 labels"},
        {{3, 2, 65537, ids}, "65537 labels"},
        {{0, 2, 4, ids}, "empty mask (0 x 2)"},
        {{3, 2, 4, NULL}, "empty mask"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t2d_error err = {0};
        cr_assert_eq(t2d_mask_write(path, &cases[i].mask, &err), T2D_E_ARGUMENT);
        cr_assert(strstr(err.message, cases[i].words) && strstr(err.message, path), "%s", err.message);
    }
    cr_assert_eq(files_in_folder(), 0);
}

/* ---- arrays ---- */

static const char HEADER_2_3[] =
    "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

Test(output, npy_bytes)
{
    const float data[6] = {1, -2, 0.5f, 1e-38f, 3e38f, -0.0f};
    t2d_error err = {0};
    cr_assert_eq(t2d_npy_write(path, data, (int[]){2, 3}, 2, &err), T2D_OK, "%s", err.message);
    size_t count;
    unsigned char *bytes = slurp(path, &count);
    cr_assert_eq(count, 128 + sizeof data);
    cr_assert_eq(memcmp(bytes, HEADER_2_3, sizeof HEADER_2_3 - 1), 0);
    cr_assert(bytes[126] == ' ' && bytes[127] == '\n');
    cr_assert_eq(memcmp(bytes + 128, data, sizeof data), 0);
    free(bytes);
}

Test(output, npy_shapes)
{
    const struct {
        int rank, shape[8], count;
        const char *text;
    } cases[] = {
        {0, {0}, 1, "'shape': (), }"},
        {1, {5}, 5, "'shape': (5,), }"},
        {3, {2, 0, 4}, 0, "'shape': (2, 0, 4), }"},
        {8, {1, 1, 1, 2, 1, 1, 1, 1}, 2, "'shape': (1, 1, 1, 2, 1, 1, 1, 1), }"},
    };
    const float data[5] = {1, 2, 3, 4, 5};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        t2d_error err = {0};
        cr_assert_eq(t2d_npy_write(path, data, cases[i].shape, cases[i].rank, &err), T2D_OK, "%s",
                     err.message);
        size_t count;
        unsigned char *bytes = slurp(path, &count);
        const size_t header = 10 + bytes[8] + 256 * bytes[9];
        cr_assert(header % 64 == 0 && count == header + cases[i].count * sizeof(float));
        cr_assert(strstr((char *)bytes + 10, cases[i].text), "%s", bytes + 10);
        free(bytes);

        t2d_npy_map map; /* the other way gives the same file */
        cr_assert_eq(t2d_npy_map_open(&map, path, cases[i].shape, cases[i].rank, &err), T2D_OK, "%s",
                     err.message);
        cr_assert(map.count == (size_t)cases[i].count && (uintptr_t)map.data % 64 == 0);
        for (size_t k = 0; k < map.count; k++) {
            cr_assert_eq(map.data[k], 0);
            map.data[k] = data[k];
        }
        unsigned char *mapped;
        size_t mapped_count;
        bytes = slurp(path, &count);
        cr_assert_eq(t2d_npy_map_commit(&map, &err), T2D_OK, "%s", err.message);
        t2d_npy_map_abort(&map);
        mapped = slurp(path, &mapped_count);
        cr_assert(mapped_count == count && memcmp(mapped, bytes, count) == 0);
        free(mapped);
        free(bytes);
    }
    cr_assert_eq(files_in_folder(), 1);
}

Test(output, npy_map_aborted_leaves_the_old_file)
{
    spit(path, "old");
    t2d_npy_map map;
    t2d_error err = {0};
    cr_assert_eq(t2d_npy_map_open(&map, path, (int[]){100, 100}, 2, &err), T2D_OK, "%s", err.message);
    map.data[9999] = 1;
    cr_assert_eq(files_in_folder(), 2);
    t2d_npy_map_abort(&map);
    t2d_npy_map_abort(&map);
    size_t count;
    unsigned char *bytes = slurp(path, &count);
    cr_assert_str_eq((char *)bytes, "old");
    free(bytes);
    cr_assert_eq(files_in_folder(), 1);
}

Test(output, npy_that_cannot_be)
{
    const int shapes[][3] = {{-1, 2, 3}, {2147483647, 2147483647, 2147483647}};
    const float data[1] = {0};
    t2d_npy_map map;
    t2d_error err = {0};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(t2d_npy_write(path, data, shapes[i], 3, &err), T2D_E_ARGUMENT);
        cr_assert(strstr(err.message, "no array can have size"), "%s", err.message);
        cr_assert_eq(t2d_npy_map_open(&map, path, shapes[i], 3, &err), T2D_E_ARGUMENT);
        t2d_npy_map_abort(&map);
    }
    cr_assert_eq(t2d_npy_write(path, data, shapes[0], 9, &err), T2D_E_ARGUMENT);
    cr_assert_eq(t2d_npy_map_open(&map, "/dev/null", (int[]){1}, 1, &err), T2D_E_ARGUMENT);
    cr_assert(strstr(err.message, "/dev/null: not a regular file"), "%s", err.message);
    cr_assert_eq(files_in_folder(), 0);
}

/* ---- what goes wrong with disks ---- */

/* Every writer on `target`: each must refuse with T2D_E_IO and a sentence that has `words`. */
static void all_refuse(const char *target, const char *words)
{
    enum { WIDE = 230, HIGH = 20 };
    static float values[HIGH * WIDE];
    static uint8_t pixels[HIGH * WIDE * 3];
    const int shape[] = {HIGH, WIDE};
    const char *const names[] = {"a", "b", "c", "d"};
    t2d_mask mask = new_mask(WIDE, HIGH, 4);
    for (int writer = 0; writer < 4; writer++) {
        t2d_error err = {0};
        t2d_status status = T2D_OK;
        t2d_npy_map map;
        if (writer == 0) status = t2d_mask_write(target, &mask, &err);
        if (writer == 1)
            status = t2d_overlay_write(target, &(t2d_image){WIDE, HIGH, pixels}, &mask, names, 0.5f, &err);
        if (writer == 2) status = t2d_npy_write(target, values, shape, 2, &err);
        if (writer == 3) status = t2d_npy_map_open(&map, target, shape, 2, &err);
        cr_assert_eq(status, T2D_E_IO, "writer %d: status %d", writer, (int)status);
        cr_assert(err.status == T2D_E_IO && strstr(err.message, words) && strstr(err.message, target),
                  "writer %d: %s", writer, err.message);
    }
    t2d_mask_release(&mask);
}

Test(output, no_such_place)
{
    char target[300];
    snprintf(target, sizeof target, "%s/nowhere/out", folder);
    all_refuse(target, "No such file");
    all_refuse(folder, "is a folder");
    spit(path, "old");
    snprintf(target, sizeof target, "%s/out/in", folder);
    all_refuse(target, "Not a directory");
    cr_assert_eq(files_in_folder(), 1);
}

Test(output, forbidden_folder)
{
    cr_assert_eq(chmod(folder, 0555), 0);
    const bool root = geteuid() == 0; /* who may write anywhere, and becomes nobody for a while */
    if (root) cr_assert_eq(seteuid(65534), 0);
    all_refuse(path, "Permission denied");
    if (root) cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(chmod(folder, 0755), 0);
    cr_assert_eq(files_in_folder(), 0);
}

/* A limit on file size stands for the full disk: the first bytes go through, then no more. */
Test(output, full_disk_leaves_the_old_file_and_nothing_else)
{
    spit(path, "old");
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {512, RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    all_refuse(path, "");
    size_t count;
    unsigned char *bytes = slurp(path, &count);
    cr_assert_str_eq((char *)bytes, "old");
    free(bytes);
    cr_assert_eq(files_in_folder(), 1);
}

Test(output, full_device)
{
    t2d_mask mask = new_mask(9, 9, 9);
    const float value[1] = {1};
    t2d_error err = {0};
    cr_assert_eq(t2d_mask_write("/dev/full", &mask, &err), T2D_E_IO);
    cr_assert(strstr(err.message, "No space left"), "%s", err.message);
    cr_assert_eq(t2d_npy_write("/dev/full", value, (int[]){1}, 1, &err), T2D_E_IO);
    cr_assert(strstr(err.message, "No space left"), "%s", err.message);
    t2d_mask_release(&mask);
}
