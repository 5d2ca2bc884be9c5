/* file.c — whole files in, and files out that appear whole or not at all. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static t2d_status read_stream(FILE *stream, const char *path, size_t max_bytes, unsigned char **bytes,
                              size_t *count, t2d_error *err)
{
    size_t capacity = 1 << 16, used = 0;
    struct stat info;
    if (fstat(fileno(stream), &info) == 0 && S_ISREG(info.st_mode)) {
        if ((uint64_t)info.st_size > max_bytes)
            return t2d_fail(err, T2D_E_FORMAT, "%s: %lld bytes, at most %zu are read", path,
                            (long long)info.st_size, max_bytes);
        capacity = (size_t)info.st_size + 2; /* one to see the end, one for the zero */
    }
    unsigned char *data = malloc(capacity);
    while (data) {
        used += fread(data + used, 1, capacity - 1 - used, stream);
        if (used < capacity - 1 || used > max_bytes) break;
        unsigned char *more = capacity > SIZE_MAX / 2 ? NULL : realloc(data, capacity * 2);
        if (!more) free(data);
        data = more;
        capacity *= 2;
    }
    if (!data) return t2d_fail(err, T2D_E_MEMORY, "%s: out of memory (%zu bytes wanted)", path, capacity);
    if (ferror(stream)) {
        free(data);
        return t2d_fail(err, T2D_E_IO, "%s: cannot read: %s", path, strerror(errno));
    }
    if (used > max_bytes) {
        free(data);
        return t2d_fail(err, T2D_E_FORMAT, "%s: more than the %zu bytes that are read at most", path,
                        max_bytes);
    }
    data[used] = 0;
    *bytes = data;
    *count = used;
    return T2D_OK;
}

t2d_status t2d_read_file(const char *path, size_t max_bytes, unsigned char **bytes, size_t *count,
                         t2d_error *err)
{
    *bytes = NULL;
    *count = 0;
    if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", max_bytes, bytes, count, err);
    FILE *stream = fopen(path, "rbe");
    if (!stream) return t2d_fail(err, T2D_E_IO, "%s: cannot open: %s", path, strerror(errno));
    const t2d_status status = read_stream(stream, path, max_bytes, bytes, count, err);
    fclose(stream);
    return status;
}

/* ---- whole or not at all ---- */

static void outfile_free(t2d_outfile *out)
{
    free(out->path);
    free(out->temporary);
    *out = (t2d_outfile){0};
}

/* A folder, a device or a pipe cannot be renamed over; say so before the work is done. */
static t2d_status check_target(const char *path, bool *direct, t2d_error *err)
{
    struct stat info;
    *direct = false;
    if (!*path) return t2d_fail(err, T2D_E_IO, "cannot write: the file name is empty");
    if (stat(path, &info) != 0) {
        if (errno == ENOENT) return T2D_OK; /* a new file */
        return t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) return t2d_fail(err, T2D_E_IO, "%s: is a folder; a file name is needed", path);
    *direct = !S_ISREG(info.st_mode); /* /dev/null, a named pipe: written as it is */
    return T2D_OK;
}

enum { TEMPORARY_ROOM = 48 }; /* for ".<process>-<number>.tmp" */

/* A new file in the same folder, with the permissions that the user's umask gives; its name is left in
 * `name`.  It begins like the file's, cut so that the longest names a disk allows leave room for the rest. */
static int create_beside(const char *path, char *name, size_t room)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const int kept = (int)(base - path) + (int)strnlen(base, 200);
    int fd = -1;
    for (int i = 0; i < 1000 && fd < 0; i++) {
        snprintf(name, room, "%.*s.%ld-%d.tmp", kept, path, (long)getpid(), i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    return fd;
}

/* Where a symbolic link leads, so that the file behind it is replaced and not the link (/dev/stdout is one);
 * the path itself where nothing is yet. */
static char *resolve(const char *path, t2d_error *err)
{
    char *real = realpath(path, NULL);
    return real ? real : t2d_strdup(path, err);
}

static int open_stream(t2d_outfile *out, bool direct)
{
    if (direct) {
        out->stream = fopen(out->path, "wbe");
        return out->stream ? 0 : errno;
    }
    const int fd = create_beside(out->path, out->temporary, strlen(out->path) + TEMPORARY_ROOM);
    if (fd < 0) {
        const int cause = errno;
        free(out->temporary); /* not ours to remove */
        out->temporary = NULL;
        return cause;
    }
    out->stream = fdopen(fd, "wb");
    const int cause = errno;
    if (!out->stream) close(fd);
    return out->stream ? 0 : cause;
}

t2d_status t2d_outfile_open(t2d_outfile *out, const char *path, t2d_error *err)
{
    *out = (t2d_outfile){0};
    if (strcmp(path, "-") == 0) {
        out->stream = stdout;
        return T2D_OK;
    }
    bool direct;
    t2d_status status = check_target(path, &direct, err);
    if (status) return status;
    out->path = direct ? t2d_strdup(path, err) : resolve(path, err);
    if (out->path && !direct) out->temporary = t2d_new(strlen(out->path) + TEMPORARY_ROOM, 1, path, err);
    if (!out->path || (!direct && !out->temporary)) status = T2D_E_MEMORY;
    const int cause = status ? 0 : open_stream(out, direct);
    if (cause) status = t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(cause));
    if (status) t2d_outfile_abort(out);
    return status;
}

/* Everything down to the disk; 0 or the cause. */
static int finish(t2d_outfile *out)
{
    int cause = 0;
    if (ferror(out->stream))
        cause = errno ? errno : EIO; /* an earlier write failed */
    else if (fflush(out->stream))
        cause = errno;
    if (!cause && out->temporary && !out->later && fsync(fileno(out->stream))) cause = errno;
    if (out->stream != stdout && fclose(out->stream) && !cause) cause = errno;
    out->stream = NULL;
    if (!cause && out->temporary && rename(out->temporary, out->path)) cause = errno;
    return cause;
}

t2d_status t2d_outfile_commit(t2d_outfile *out, t2d_error *err)
{
    const int cause = finish(out);
    if (!cause) {
        outfile_free(out);
        return T2D_OK;
    }
    const char *path = out->path ? out->path : "standard output";
    t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(cause));
    t2d_outfile_abort(out);
    return T2D_E_IO;
}

void t2d_outfile_abort(t2d_outfile *out)
{
    if (out->stream && out->stream != stdout) fclose(out->stream);
    if (out->temporary) unlink(out->temporary);
    outfile_free(out);
}
