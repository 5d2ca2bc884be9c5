/* test_image_damage.c — what is no picture or a damaged one: a sentence, no crash and no noise.  OpenCV reads
 * some of these and fills in gray; the labels of such a picture would be worth nothing. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "image_files.h"

/* ---- helpers ---- */

/* Decodes bytes that must be refused with `status` and a sentence that begins with the name and has `words`.
 */
static void check_refused(const void *bytes, size_t count, t2d_status status, const char *words)
{
    t2d_image image = {1, 1, (uint8_t *)"old"};
    t2d_error err = {0};
    cr_expect_eq(t2d_image_decode(bytes, count, "cat.jpg", 0, &image, &err), status, "%s: %s", words,
                 err.message);
    cr_expect_eq(err.status, status);
    cr_expect_null(image.pixels);
    cr_expect_eq(image.width, 0);
    cr_expect(strncmp(err.message, "cat.jpg: ", 9) == 0 && strstr(err.message, words), "'%s' has no '%s'",
              err.message, words);
}

/* What the libraries below say must not reach stderr: it goes to a file in memory, which must stay empty. */
static void listen_to_stderr(void)
{
    cr_assert_eq(dup2(memfd_create("stderr", MFD_CLOEXEC), STDERR_FILENO), STDERR_FILENO);
}

static long heard_on_stderr(void)
{
    struct stat info;
    fflush(stderr);
    cr_assert_eq(fstat(STDERR_FILENO, &info), 0);
    return (long)info.st_size;
}

/* ---- headers that lie ---- */

/* The header alone must be enough to refuse: these files have nothing behind it. */
Test(image_damage, huge_headers_are_refused)
{
    unsigned char png[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\xff\xff\xff\0\0\0\1\x8\2\0\0\0....\0\0\0\0IDAT\x35\xaf\x06\x1e";
    const unsigned long crc = crc32(0, png + 12, 17);
    for (int i = 0; i < 4; i++) png[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    check_refused(png, sizeof png - 1, T2D_E_FORMAT,
                  "the picture is 16777215 x 1, a side may have at most 1048576");
    const char wide[] = "P6 2000000 1 255\n", large[] = "P5 60000 60000 255\n", empty[] = "P6 0 5 255\n";
    check_refused(wide, sizeof wide - 1, T2D_E_FORMAT, "ends after 0 of 1 lines");
    check_refused(large, sizeof large - 1, T2D_E_FORMAT, "ends after 0 of 60000 lines");
    check_refused(empty, sizeof empty - 1, T2D_E_FORMAT, "no pixels (0 x 5)");
    size_t count;
    unsigned char *jpeg = load("gray.jpg", &count);
    for (size_t i = 0; i + 8 < count; i++)
        if (jpeg[i] == 0xff && jpeg[i + 1] == 0xc0) memcpy(jpeg + i + 5, "\xfd\xe8\xfd\xe8", 4);
    check_refused(jpeg, count, T2D_E_FORMAT, "65000 x 65000 = 4225000000 pixels, more than the 268435456");
    free(jpeg);
}

/* A chunk that says it has 2 GB: refused before memory is taken for it. */
Test(image_damage, chunks_longer_than_the_file_are_refused)
{
    const char *files[] = {"exif-6.png", "exif-behind.png"};
    const char *words[] = {"ends inside its header", "ends after its last line, without its end mark"};
    for (int i = 0; i < 2; i++) {
        size_t count;
        unsigned char *bytes = load(files[i], &count);
        unsigned char *chunk = memmem(bytes, count, "eXIf", 4);
        chunk[-4] = 0x7f;
        check_refused(bytes, count, T2D_E_FORMAT, words[i]);
        free(bytes);
    }
}

/* Each scan costs the time of a whole picture. */
Test(image_damage, endless_scans_are_refused)
{
    size_t count, last = 0;
    unsigned char *bytes = load("three-scans.jpg", &count);
    for (size_t i = 0; i + 1 < count; i++)
        if (bytes[i] == 0xff && bytes[i + 1] == 0xda) last = i;
    const size_t scan = count - 2 - last;
    unsigned char *many = malloc(count + 600 * scan);
    memcpy(many, bytes, count);
    for (size_t i = 0; i < 600; i++) memcpy(many + count - 2 + i * scan, bytes + last, scan);
    memcpy(many + count - 2 + 600 * scan, bytes + count - 2, 2);
    check_refused(many, count + 600 * scan, T2D_E_FORMAT, "a JPEG of more than 500 scans");
    free(many);
    free(bytes);
}

/* ---- damaged pictures ---- */

Test(image_damage, every_truncation_is_refused)
{
    listen_to_stderr();
    json_t *list = pictures(), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        if (strncmp(file_of(entry), "p2-", 3) == 0 || strncmp(file_of(entry), "p3-", 3) == 0)
            continue; /* text that loses its last digit is another picture */
        size_t count;
        unsigned char *bytes = load(file_of(entry), &count);
        for (size_t n = 0; n < count; n++) {
            unsigned char *part = malloc(n + 1); /* of its own, so that the sanitizer sees reads behind it */
            memcpy(part, bytes, n);
            part = realloc(part, n ? n : 1);
            t2d_image image;
            t2d_error err = {0};
            const t2d_status status = t2d_image_decode(part, n, "x", 0, &image, &err);
            cr_assert_eq(status, T2D_E_FORMAT, "%s, %zu of %zu bytes: status %d %s", file_of(entry), n, count,
                         status, err.message);
            cr_assert_null(image.pixels);
            cr_assert(strncmp(err.message, "x: ", 3) == 0 && strlen(err.message) > 10);
            free(part);
        }
        free(bytes);
    }
    json_decref(list);
    cr_assert_eq(heard_on_stderr(), 0);
}

Test(image_damage, every_damaged_byte_is_survived)
{
    listen_to_stderr();
    json_t *list = pictures(), *entry;
    size_t i, refused = 0;
    json_array_foreach(list, i, entry)
    {
        size_t count;
        unsigned char *bytes = load(file_of(entry), &count);
        for (size_t n = 0; n < count; n++) {
            bytes[n] ^= 0xff;
            t2d_image image;
            t2d_error err = {0};
            if (t2d_image_decode(bytes, count, "x", 1 << 16, &image, &err)) {
                refused++;
                cr_assert_null(image.pixels);
                cr_assert_eq(strncmp(err.message, "x: ", 3), 0);
            } else
                cr_assert(image.width > 0 && image.height > 0 && image.width * image.height <= 1 << 16);
            t2d_image_release(&image);
            bytes[n] ^= 0xff;
        }
        free(bytes);
    }
    cr_assert_gt(refused, 1000);
    json_decref(list);
    cr_assert_eq(heard_on_stderr(), 0);
}

Test(image_damage, truncated_pictures_say_where)
{
    const struct {
        const char *file;
        size_t cut;
        const char *words;
    } cases[] = {
        {"rgb-444.jpg", 2, "the JPEG data ends after 24 of 26 lines"},
        {"rgb-444.jpg", 400, "the JPEG data ends after 8 of 26 lines"},
        {"rgb-420-progressive.jpg", 100, "the JPEG data ends after 0 of 26 lines"},
        {"filtered.png", 12, "the PNG data ends after its last line, without its end mark"},
        {"filtered.png", 1200, "the PNG data ends after "},
        {"lossy.webp", 20, "the WebP data ends before the picture is complete"},
        {"p6-255.ppm", 1, "the PNM data ends after 4 of 5 lines"},
        {"p3-255.ppm", 25, "the PNM data ends after 4 of 5 lines"},
        {"p5-65535.pgm", 15, "the PNM data ends after 3 of 5 lines"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t count;
        unsigned char *bytes = load(cases[i].file, &count);
        check_refused(bytes, count - cases[i].cut, T2D_E_FORMAT, cases[i].words);
        free(bytes);
    }
    check_refused("\xff\xd8\xff\xe0", 4, T2D_E_FORMAT, "the JPEG data ends inside its header");
    check_refused("\x89PNG\r\n\x1a\n\0", 9, T2D_E_FORMAT, "the PNG data ends inside its header");
}

Test(image_damage, corrupt_scan_is_refused)
{
    size_t count;
    unsigned char *bytes = load("restart.jpg", &count);
    for (size_t i = count / 2; i + 1 < count; i++)
        if (bytes[i] == 0xff && bytes[i + 1] >= 0xd0 && bytes[i + 1] <= 0xd7) {
            bytes[i + 1] = bytes[i + 1] == 0xd0 ? 0xd4 : 0xd0; /* a restart marker out of turn */
            break;
        }
    check_refused(bytes, count, T2D_E_FORMAT, "the JPEG cannot be decoded after line ");
    free(bytes);
}

/* ---- other files ---- */

Test(image_damage, other_kinds_are_named)
{
    const struct {
        const char *bytes;
        size_t count;
        const char *words;
    } cases[] = {
        {"GIF89a..", 8, "GIF files are not read"},
        {"BM......", 8, "BMP files are not read"},
        {"II*\0....", 8, "TIFF files are not read"},
        {"MM\0*....", 8, "TIFF files are not read"},
        {"\0\0\0 ftypheic....", 16, "HEIC files are not read"},
        {"\0\0\0 ftypmif1....", 16, "HEIF files are not read"},
        {"\0\0\0 ftypavif....", 16, "AVIF files are not read"},
        {"\0\0\0\x0cjP  \r\n\x87\n", 12, "JPEG 2000 files are not read"},
        {"\0\0\0\x0cJXL \r\n\x87\n", 12, "JPEG XL files are not read"},
        {"P4\n8 8\n", 7, "PBM files are not read"},
        {"P7\nWIDTH 8\n", 11, "PAM files are not read"},
        {"%PDF-1.7", 8, "PDF files are not read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i].bytes, cases[i].count, T2D_E_UNSUPPORTED, cases[i].words);
    size_t count;
    unsigned char *bytes = load("animated.webp", &count);
    check_refused(bytes, count, T2D_E_UNSUPPORTED, "an animated WebP; only still pictures are read");
    free(bytes);
    check_refused("<html>", 6, T2D_E_FORMAT, "JPEG, PNG, WebP, PPM and PGM are read");
    check_refused("", 0, T2D_E_FORMAT, "the file is empty");
    check_refused("....WEBP", 8, T2D_E_FORMAT, "not a picture");
    check_refused("....9999WEBP", 12, T2D_E_FORMAT, "the WebP data is damaged");
}

Test(image_damage, text_headers_are_read_strictly)
{
    const struct {
        const char *text, *words;
    } cases[] = {
        {"P6x 1 1 255\nabc", "no white space after the P6"},
        {"P6 1 1", "no readable width, height and maximum"},
        {"P6 -1 1 255\nabc", "no readable width, height and maximum"},
        {"P6 99999999999 1 255\nabc", "no readable width, height and maximum"},
        {"P6 1 1 0\nabc", "maximum is 0, it must be 1 to 65535"},
        {"P6 1 1 65536\nabcabc", "maximum is 65536, it must be 1 to 65535"},
        {"P6 1 1 255#\nabc", "no white space between the PNM header and the pixels"},
        {"P2 2 1 255\n3 x", "line 0, pixel 1 is not a number of 0 to 255"},
        {"P2 2 1 15\n3 16", "line 0, pixel 1 is not a number of 0 to 15"},
        {"P2 1 2 15\n3 # 4", "the PNM data ends after 1 of 2 lines"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i].text, strlen(cases[i].text), T2D_E_FORMAT, cases[i].words);
}

Test(image_damage, paths_that_cannot_be_read)
{
    t2d_image image;
    t2d_error err = {0};
    cr_expect_eq(t2d_image_read("/nowhere/cat.jpg", 0, &image, &err), T2D_E_IO);
    cr_expect_str_eq(err.message, "/nowhere/cat.jpg: cannot open: No such file or directory");
    cr_expect_eq(t2d_image_read("/tmp", 0, &image, &err), T2D_E_IO);
    cr_expect_str_eq(err.message, "/tmp: cannot read: Is a directory");
    cr_expect_eq(t2d_image_read("/dev/null", 0, &image, &err), T2D_E_FORMAT);
    cr_expect_str_eq(err.message, "/dev/null: the file is empty");
    cr_assert_not_null(freopen("/dev/null", "rb", stdin));
    cr_expect_eq(t2d_image_read("-", 0, &image, &err), T2D_E_FORMAT);
    cr_expect_str_eq(err.message, "standard input: the file is empty");
    cr_expect_null(image.pixels);
}
