/* npy.c — NumPy arrays out: written at once, or mapped into memory and filled while they are computed.
 * A mapped file has all its blocks before the first value is stored: a disk that fills up while a page is
 * written back would not be an error but a signal. */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the header says '<f4'");

enum { PREFIX = 10, ALIGNMENT = 64, MOST_DIMS = 8, HEADER_ROOM = 256 };

/* Magic, version 1.0, length and the dictionary, padded so that the data begin at a multiple of 64.  *bytes:
 * header and data together. */
static t2d_status make_header(const char *path, const int *shape, int rank, char *header,
                              size_t *header_bytes, size_t *bytes, t2d_error *err)
{
    if (rank < 0 || rank > MOST_DIMS)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: an array of %d dimensions; 0 to %d can be written", path,
                        rank, MOST_DIMS);
    size_t data = sizeof(float);
    int used = PREFIX + snprintf(header + PREFIX, HEADER_ROOM - PREFIX,
                                 "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0 || __builtin_mul_overflow(data, (size_t)shape[i], &data) || data > PTRDIFF_MAX / 2)
            return t2d_fail(err, T2D_E_ARGUMENT, "%s: no array can have size %d in dimension %d of %d", path,
                            shape[i], i, rank);
        used += snprintf(header + used, HEADER_ROOM - used, rank == 1 ? "%d," : i ? ", %d" : "%d", shape[i]);
    }
    used += snprintf(header + used, HEADER_ROOM - used, "), }");
    const int total = (used + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset(header + used, ' ', total - used);
    header[total - 1] = '\n';
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)((total - PREFIX) & 0xff);
    header[9] = (char)((total - PREFIX) >> 8);
    *header_bytes = total;
    *bytes = total + data;
    return T2D_OK;
}

t2d_status t2d_npy_write(const char *path, const float *data, const int *shape, int rank, t2d_error *err)
{
    char header[HEADER_ROOM];
    size_t header_bytes, bytes;
    t2d_outfile out;
    t2d_status status = make_header(path, shape, rank, header, &header_bytes, &bytes, err);
    if (status == T2D_OK) status = t2d_outfile_open(&out, path, err);
    if (status) return status;
    const size_t count = bytes - header_bytes;
    errno = 0;
    if (fwrite(header, 1, header_bytes, out.stream) == header_bytes &&
        fwrite(data, 1, count, out.stream) == count)
        return t2d_outfile_commit(&out, err);
    status = t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(errno));
    t2d_outfile_abort(&out);
    return status;
}

/* ---- mapped ---- */

static bool write_all(int file, const void *bytes, size_t count, off_t at)
{
    while (count > 0) {
        const ssize_t written = pwrite(file, bytes, count, at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes = (const char *)bytes + written;
        count -= (size_t)written;
        at += written;
    }
    return true;
}

static bool write_zeros(int file, size_t bytes)
{
    static const char zeros[1 << 16];
    for (size_t at = 0; at < bytes; at += sizeof zeros) {
        const size_t count = bytes - at < sizeof zeros ? bytes - at : sizeof zeros;
        if (!write_all(file, zeros, count, (off_t)at)) return false;
    }
    return true;
}

/* fallocate and not posix_fallocate: where the file system cannot, the latter touches one byte in every
 * block, and a compressing file system would give that space away again. */
static bool reserve(int file, size_t bytes)
{
    int failed;
    do failed = fallocate(file, 0, 0, (off_t)bytes);
    while (failed && errno == EINTR);
    if (!failed) return true;
    return (errno == EOPNOTSUPP || errno == ENOSYS) && write_zeros(file, bytes);
}

/* Takes a temporary name in the target's folder from an outfile, which keeps that rule in one place. */
static t2d_status take_temporary(t2d_npy_map *map, const char *path, t2d_error *err)
{
    t2d_outfile out;
    const t2d_status status = t2d_outfile_open(&out, path, err);
    if (status) return status;
    if (!out.temporary) {
        t2d_outfile_abort(&out);
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: not a regular file, which a mapped array needs", path);
    }
    map->file = open(out.temporary, O_RDWR | O_CLOEXEC);
    if (map->file < 0) {
        t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(errno));
        t2d_outfile_abort(&out);
        return T2D_E_IO;
    }
    fclose(out.stream); /* nothing was written to it */
    map->path = out.path;
    map->temporary = out.temporary;
    return T2D_OK;
}

t2d_status t2d_npy_map_open(t2d_npy_map *map, const char *path, const int *shape, int rank, t2d_error *err)
{
    char header[HEADER_ROOM];
    size_t header_bytes;
    *map = (t2d_npy_map){.file = -1};
    t2d_status status = make_header(path, shape, rank, header, &header_bytes, &map->bytes, err);
    if (status == T2D_OK) status = take_temporary(map, path, err);
    if (status) return status;
    if (reserve(map->file, map->bytes) && write_all(map->file, header, header_bytes, 0)) {
        void *base = mmap(NULL, map->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map->file, 0);
        if (base != MAP_FAILED) {
            map->base = base;
            map->data = (float *)((char *)base + header_bytes);
            map->count = (map->bytes - header_bytes) / sizeof(float);
            return T2D_OK;
        }
    }
    t2d_fail(err, T2D_E_IO, "%s: cannot reserve %zu bytes: %s", path, map->bytes, strerror(errno));
    t2d_npy_map_abort(map);
    return T2D_E_IO;
}

t2d_status t2d_npy_map_commit(t2d_npy_map *map, t2d_error *err)
{
    const bool good = msync(map->base, map->bytes, MS_SYNC) == 0 && fsync(map->file) == 0 &&
                      rename(map->temporary, map->path) == 0;
    if (good) {
        free(map->temporary);
        map->temporary = NULL; /* its name is the path now: nothing is left to remove */
    } else {
        t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", map->path, strerror(errno));
    }
    t2d_npy_map_abort(map);
    return good ? T2D_OK : T2D_E_IO;
}

void t2d_npy_map_abort(t2d_npy_map *map)
{
    if (map->base) munmap(map->base, map->bytes);
    if (map->temporary) {
        unlink(map->temporary);
        free(map->temporary);
    }
    if (map->path) close(map->file);
    free(map->path);
    *map = (t2d_npy_map){.file = -1};
}
