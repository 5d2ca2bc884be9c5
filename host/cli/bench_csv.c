/* bench_csv.c — a row per run, added to a table that may be there.  The columns are the settings and then the
 * numbers; a table with other columns is left alone. */
#include "cli/bench_report.h"
#include "cli/eval_csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NUMBERS = 16, TABLE_BYTES = 1 << 28 };

static const char *const names[NUMBERS] = {"samples",
                                           "mean_seconds",
                                           "median_seconds",
                                           "p90_seconds",
                                           "p99_seconds",
                                           "min_seconds",
                                           "max_seconds",
                                           "pictures_per_second",
                                           "windows_per_second",
                                           "tower_flop_per_second",
                                           "ceiling_flop_per_second",
                                           "ceiling_bytes_per_second",
                                           "floor_seconds",
                                           "peak_memory_bytes",
                                           "cpu_share",
                                           "load_average_before"};

static void collect(const bench_report *r, double numbers[NUMBERS])
{
    const t2d_spread *t = &r->spread;
    const double pictures = bench_pictures_per_second(r);
    const double all[NUMBERS] = {r->result.samples.count,
                                 t->mean,
                                 t->median,
                                 t->p90,
                                 t->p99,
                                 t->min,
                                 t->max,
                                 pictures,
                                 pictures * r->windows,
                                 bench_flop_per_second(r),
                                 r->result.ceiling,
                                 r->result.bandwidth,
                                 bench_roofline_seconds(r),
                                 (double)r->result.peak_bytes,
                                 bench_cpu_share(r),
                                 r->result.load_before};
    memcpy(numbers, all, sizeof all);
}

/* ---- text of both lines; the caller frees, NULL when memory ends ---- */

static char *header_line(const bench_report *r)
{
    char *line = NULL;
    size_t bytes;
    const char *key;
    json_t *value;
    FILE *f = open_memstream(&line, &bytes);
    if (!f) return NULL;
    fputs("started", f);
    json_object_foreach(r->settings, key, value) fprintf(f, ",%s", key);
    for (int i = 0; i < NUMBERS; i++) fprintf(f, ",%s", names[i]);
    fputc('\n', f);
    fclose(f);
    return line;
}

static char *row_line(const bench_report *r)
{
    char *line = NULL;
    size_t bytes;
    double numbers[NUMBERS];
    const char *key;
    json_t *value;
    FILE *f = open_memstream(&line, &bytes);
    if (!f) return NULL;
    collect(r, numbers);
    fputs(r->started, f);
    json_object_foreach(r->settings, key, value)
    {
        fputc(',', f);
        if (json_is_string(value)) csv_text(f, json_string_value(value));
        if (json_is_number(value)) fprintf(f, "%.12g", json_number_value(value));
    }
    for (int i = 0; i < NUMBERS; i++) fprintf(f, ",%.9g", numbers[i]);
    fputc('\n', f);
    fclose(f);
    return line;
}

/* ---- the table ---- */

static bool begins_with(const unsigned char *bytes, size_t count, const char *header)
{
    return count >= strlen(header) && memcmp(bytes, header, strlen(header)) == 0;
}

/* A file that is not there yet: can it be made?  Found out before the run, not after. */
static int check_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const bool may = folder && access(folder, W_OK) == 0;
    free(folder);
    return may ? EXIT_GOOD : complain_text(EXIT_FAILED, "%s: cannot write: %s", path, strerror(errno));
}

int bench_csv_check(const char *path, const bench_report *r)
{
    struct stat info;
    t2d_error err;
    unsigned char *bytes;
    size_t count;
    if (stat(path, &info) != 0) {
        if (errno == ENOENT) return check_folder(path);
        return complain_text(EXIT_FAILED, "%s: cannot write: %s", path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode))
        return complain_text(EXIT_MISUSE, "--csv %s: is not a file that rows can be added to", path);
    if (access(path, W_OK) != 0)
        return complain_text(EXIT_FAILED, "%s: cannot write: %s", path, strerror(errno));
    const t2d_status status = t2d_read_file(path, TABLE_BYTES, &bytes, &count, &err);
    if (status != T2D_OK) return complain(code_of_input(status), &err);
    char *header = header_line(r);
    int code = EXIT_GOOD;
    if (!header)
        code = complain_text(EXIT_FAILED, "%s: out of memory", path);
    else if (count > 0 && !begins_with(bytes, count, header))
        code = complain_text(EXIT_INPUT, "%s: its first line is not this table's; name another file", path);
    else if (count > 0 && bytes[count - 1] != '\n')
        code = complain_text(EXIT_INPUT, "%s: its last line has no end; complete or remove it", path);
    free(header);
    free(bytes);
    return code;
}

/* One write under a lock, so that rows of several runs do not mix. */
static bool add(int fd, const char *header, const char *row)
{
    struct stat info;
    char *both;
    if (flock(fd, LOCK_EX) != 0 || fstat(fd, &info) != 0) return false;
    const int bytes = asprintf(&both, "%s%s", info.st_size == 0 ? header : "", row);
    if (bytes < 0) return false;
    const ssize_t written = write(fd, both, (size_t)bytes);
    if (written >= 0 && written < bytes) errno = ENOSPC;
    if (written != bytes && S_ISREG(info.st_mode) && ftruncate(fd, info.st_size) != 0) errno = EIO;
    free(both);
    return written == bytes;
}

int bench_csv_append(const char *path, const bench_report *r)
{
    int code = EXIT_GOOD;
    char *header = header_line(r), *row = row_line(r);
    const int fd = header && row ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    const bool added = fd >= 0 && add(fd, header, row);
    const int cause = errno;
    if ((fd >= 0 && close(fd) != 0) || !added)
        code = complain_text(EXIT_FAILED, "%s: no row added: %s", path, strerror(added ? errno : cause));
    free(header);
    free(row);
    return code;
}
