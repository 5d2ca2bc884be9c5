/* test_base.c — errors that cannot disturb a terminal, memory that refuses what does not exist, files that
 * appear whole or not at all. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

/* Without this AddressSanitizer ends the program where malloc would say no. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

/* ---- errors ---- */

Test(error, messages_are_safe_to_print)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"plain", "plain"},
        {"", ""},
        {"two\nlines\tand a tab", "two lines and a tab"},
        {"\x1b[2J\a\r\x7f", "?[2J???"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb1", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb1"},
        {"C1 \xc2\x9b"
         "2J, no-break \xc2\xa0",
         "C1 ?2J, no-break \xc2\xa0"},
        {"alone \x9b \xff \xc3", "alone ? ? ?"},
        {"\xc3(", "?("},
        {"overlong \xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "overlong ?? ??? ????"},
        {"surrogate \xed\xa0\x80", "surrogate ???"},
        {"beyond \xf4\x90\x80\x80 \xf5", "beyond ???? ?"},
        {"edges \xed\x9f\xbf \xf4\x8f\xbf\xbf \xe0\xa0\x80 \xc2\xa0",
         "edges \xed\x9f\xbf \xf4\x8f\xbf\xbf \xe0\xa0\x80 \xc2\xa0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        t2d_error err;
        cr_expect_eq(t2d_fail(&err, T2D_E_FORMAT, "%s", rows[i].text), T2D_E_FORMAT);
        cr_expect_eq(err.status, T2D_E_FORMAT);
        cr_expect_str_eq(err.message, rows[i].want, "row %zu", i);
    }
}

/* Whatever the length of the text before it, a character is there whole or not at all. */
Test(error, long_messages_end_at_a_character)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xb1"};
    for (int c = 0; c < 3; c++)
        for (int before = 1015; before <= 1026; before++) {
            t2d_error err;
            const int size = (int)strlen(characters[c]), kept = before > 1023 ? 1023 : before;
            t2d_fail(&err, T2D_E_IO, "%*s%s", before, "", characters[c]);
            cr_expect_eq(strlen(err.message), before + size <= 1023 ? before + size : kept, "%d + %d", before,
                         size);
        }
}

Test(error, prefixes)
{
    t2d_error err;
    t2d_fail(&err, T2D_E_MEMORY, "tensor 'a' is lost");
    cr_expect_eq(t2d_fail_in(&err, "m.st"), T2D_E_MEMORY);
    cr_expect_str_eq(err.message, "m.st: tensor 'a' is lost");
    cr_expect_eq(t2d_fail_in(&err, "m.st"), T2D_E_MEMORY);
    cr_expect_str_eq(err.message, "m.st: tensor 'a' is lost", "once is enough");
    cr_expect_eq(t2d_fail_in(&err, "m"), T2D_E_MEMORY);
    cr_expect_str_eq(err.message, "m: m.st: tensor 'a' is lost");
    cr_expect_eq(t2d_fail(&err, T2D_E_IO, "%s, and so is %s", err.message, "b"), T2D_E_IO);
    cr_expect_str_eq(err.message, "m: m.st: tensor 'a' is lost, and so is b", "arguments may lie in err");
    cr_expect_eq(t2d_fail(NULL, T2D_E_DEVICE, "nobody listens"), T2D_E_DEVICE);
    cr_expect_eq(t2d_fail_in(NULL, "x"), T2D_E_FORMAT);
}

/* ---- memory ---- */

Test(memory, zero_filled_and_aligned)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 100000};
    for (int i = 0; i < 6; i++) {
        unsigned char *p = t2d_new(sizes[i], 1, "test", NULL);
        cr_assert_not_null(p);
        cr_expect_eq((uintptr_t)p % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++) cr_assert_eq(p[k], 0);
        free(p);
    }
    char *copy = t2d_strdup("words", NULL);
    cr_expect_str_eq(copy, "words");
    free(copy);
}

Test(memory, refuses_what_does_not_exist)
{
    static const size_t rows[][2] = {
        {SIZE_MAX, 2}, {SIZE_MAX / 2 + 2, 2}, {SIZE_MAX, 1}, {SIZE_MAX - 63, 1}, {SIZE_MAX / 4, 1}};
    for (int i = 0; i < 5; i++) {
        t2d_error err = {0};
        void *p = t2d_new(rows[i][0], rows[i][1], "the hall", &err);
        cr_expect_null(p, "row %d", i);
        cr_expect_eq(err.status, T2D_E_MEMORY);
        cr_expect(strstr(err.message, "the hall: out of memory"), "%s", err.message);
        free(p);
    }
}

/* ---- files ---- */

static char folder[64], path[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/t2d_base_XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/out", folder);
}

/* Number of entries, which are removed. */
static int empty_folder(void)
{
    DIR *dir = opendir(folder);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(dir), entry->d_name, 0);
            count++;
        }
    closedir(dir);
    return count;
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(folder);
}

TestSuite(file, .init = make_folder, .fini = remove_folder);

static void put(const char *name, const char *text)
{
    FILE *stream = fopen(name, "wb");
    cr_assert(stream && fputs(text, stream) >= 0);
    fclose(stream);
}

static void expect_content(const char *name, const char *want)
{
    unsigned char *bytes;
    size_t count;
    t2d_error err = {0};
    cr_assert_eq(t2d_read_file(name, 1 << 20, &bytes, &count, &err), T2D_OK, "%s", err.message);
    cr_expect_eq(count, strlen(want));
    cr_expect_str_eq((char *)bytes, want, "a zero byte follows the data");
    free(bytes);
}

static void expect_unreadable(const char *name, size_t most, t2d_status want, const char *words)
{
    unsigned char *bytes;
    size_t count;
    t2d_error err = {0};
    cr_expect_eq(t2d_read_file(name, most, &bytes, &count, &err), want, "%s: %s", name, err.message);
    cr_expect(strstr(err.message, words), "'%s' is not in '%s'", words, err.message);
    cr_expect_null(bytes);
    cr_expect_eq(count, 0);
}

Test(file, read_whole)
{
    put(path, "");
    expect_content(path, "");
    put(path, "0123456789");
    expect_content(path, "0123456789");
    unsigned char *bytes;
    size_t count;
    cr_expect_eq(t2d_read_file(path, 10, &bytes, &count, NULL), T2D_OK, "as long as the limit is allowed");
    free(bytes);
    cr_expect_eq(t2d_read_file("/proc/self/status", 1 << 20, &bytes, &count, NULL), T2D_OK);
    cr_expect(count > 100, "a file that claims to be empty is read to its end");
    free(bytes);
    expect_unreadable(path, 9, T2D_E_FORMAT, "10 bytes, at most 9");
    expect_unreadable("/dev/zero", 100000, T2D_E_FORMAT, "more than the 100000 bytes");
    expect_unreadable(folder, 100, T2D_E_IO, "directory");
    expect_unreadable("/nowhere/at/all", 100, T2D_E_IO, "cannot open");
}

/* Standard input from a pipe, in pieces, longer than the first buffer. */
Test(file, read_standard_input)
{
    enum { COUNT = 200000 };
    for (int most = COUNT - 1; most <= COUNT; most++) {
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0) {
            static char text[COUNT];
            memset(text, 'x', COUNT);
            for (int done = 0; done < COUNT;) {
                const ssize_t wrote = write(ends[1], text + done, COUNT - done < 3333 ? COUNT - done : 3333);
                if (wrote <= 0) break;
                done += (int)wrote;
            }
            _exit(0);
        }
        close(ends[1]);
        cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
        close(ends[0]);
        clearerr(stdin);
        if (most < COUNT) {
            expect_unreadable("-", most, T2D_E_FORMAT, "standard input: more than the 199999 bytes");
            cr_assert(freopen("/dev/stdin", "rb", stdin)); /* what was left in the buffer */
            continue;
        }
        unsigned char *bytes;
        size_t count;
        cr_assert_eq(t2d_read_file("-", most, &bytes, &count, NULL), T2D_OK);
        cr_expect_eq(count, COUNT);
        for (size_t i = 0; i < count; i++) cr_assert_eq(bytes[i], 'x');
        free(bytes);
    }
}

static void open_good(t2d_outfile *out, const char *name)
{
    t2d_error err = {0};
    cr_assert_eq(t2d_outfile_open(out, name, &err), T2D_OK, "%s", err.message);
}

Test(file, appears_whole)
{
    t2d_outfile out;
    put(path, "old");
    open_good(&out, path);
    fputs("new", out.stream);
    fflush(out.stream);
    expect_content(path, "old");
    cr_expect_eq(t2d_outfile_commit(&out, NULL), T2D_OK);
    expect_content(path, "new");
    t2d_outfile_abort(&out);
    expect_content(path, "new");
    cr_expect_eq(empty_folder(), 1, "nothing else is left");
}

Test(file, or_not_at_all)
{
    t2d_outfile out, other;
    put(path, "old");
    open_good(&out, path);
    open_good(&other, path); /* two writers do not meet */
    fputs("half", out.stream);
    t2d_outfile_abort(&out);
    t2d_outfile_abort(&out);
    expect_content(path, "old");
    fputs("other", other.stream);
    cr_expect_eq(t2d_outfile_commit(&other, NULL), T2D_OK);
    expect_content(path, "other");
    cr_expect_eq(empty_folder(), 1);
}

Test(file, links_stay_links)
{
    char link[160];
    struct stat info;
    t2d_outfile out;
    snprintf(link, sizeof link, "%s/link", folder);
    put(path, "old");
    cr_assert_eq(symlink("out", link), 0);
    open_good(&out, link);
    fputs("new", out.stream);
    cr_expect_eq(t2d_outfile_commit(&out, NULL), T2D_OK);
    cr_expect(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    expect_content(path, "new");
    cr_expect_eq(empty_folder(), 2);
}

static void expect_unwritable(const char *name, const char *words)
{
    t2d_outfile out;
    t2d_error err = {0};
    cr_expect_eq(t2d_outfile_open(&out, name, &err), T2D_E_IO, "%s", name);
    cr_expect(strstr(err.message, words) && strstr(err.message, name), "'%s' is not in '%s'", words,
              err.message);
    t2d_outfile_abort(&out);
}

static void long_name(char *name, size_t length)
{
    sprintf(name, "%s/", folder);
    memset(name + strlen(folder) + 1, 'n', length);
    name[strlen(folder) + 1 + length] = 0;
}

Test(file, the_longest_name)
{
    char name[400];
    t2d_outfile out;
    long_name(name, 255);
    open_good(&out, name);
    fputs("text", out.stream);
    cr_expect_eq(t2d_outfile_commit(&out, NULL), T2D_OK);
    expect_content(name, "text");
}

Test(file, places_that_cannot_be_written)
{
    char name[400], below[160];
    expect_unwritable(folder, "is a folder");
    expect_unwritable("/nowhere/at/all", "cannot write: No such file");
    put(path, "a file");
    snprintf(below, sizeof below, "%s/below", path);
    expect_unwritable(below, "cannot write: Not a directory");
    long_name(name, 256);
    expect_unwritable(name, "cannot write: File name too long");
    expect_unwritable("", "the file name is empty");
    cr_expect_eq(empty_folder(), 1);
    if (geteuid() == 0) return; /* root writes where it likes */
    cr_assert_eq(chmod(folder, 0500), 0);
    expect_unwritable(path, "cannot write: Permission denied");
    chmod(folder, 0700);
}

/* The folder goes away, and the disk is full: both are only seen by commit. */
Test(file, failures_that_come_late)
{
    t2d_outfile out;
    t2d_error err = {0};
    open_good(&out, path);
    fputs("text", out.stream);
    cr_expect_eq(empty_folder(), 1);
    cr_expect_eq(t2d_outfile_commit(&out, &err), T2D_E_IO);
    cr_expect(strstr(err.message, path) && strstr(err.message, "No such file"), "%s", err.message);
    for (int count = 1; count <= 100000; count += 99999) { /* fails in commit, and before */
        open_good(&out, "/dev/full");
        for (int i = 0; i < count; i++) fputc('x', out.stream);
        cr_expect_eq(t2d_outfile_commit(&out, &err), T2D_E_IO);
        cr_expect_str_eq(err.message, "/dev/full: cannot write: No space left on device");
    }
    open_good(&out, "/dev/null");
    fputs("text", out.stream);
    cr_expect_eq(t2d_outfile_commit(&out, &err), T2D_OK);
    struct stat info;
    cr_expect(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode), "devices are written, not replaced");
}

Test(file, standard_output)
{
    t2d_outfile out;
    const int kept = dup(STDOUT_FILENO);
    cr_assert(freopen(path, "wb", stdout));
    open_good(&out, "-");
    fputs("to the pipe", out.stream);
    cr_expect_eq(t2d_outfile_commit(&out, NULL), T2D_OK);
    expect_content(path, "to the pipe");
    cr_assert(fcntl(STDOUT_FILENO, F_GETFD) >= 0, "standard output stays open");
    dup2(kept, STDOUT_FILENO);
    close(kept);
}
