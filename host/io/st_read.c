/* st_read.c — opening safetensors files and reading tensors, checked on the way.  Values go through the cache
 * once: each chunk is read, hashed, widened and looked through before the next one comes. */
#include "io/st.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Exactly `bytes` of the file from `offset`; `what` is being read. */
static t2d_status read_at(const t2d_st_file *file, const char *what, uint64_t offset, void *to,
                          uint64_t bytes, t2d_error *err)
{
    for (uint64_t done = 0; done < bytes;) {
        const uint64_t left = bytes - done, most = 1 << 30;
        const ssize_t got =
            pread(file->fd, (char *)to + done, (size_t)(left < most ? left : most), (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return t2d_fail(err, T2D_E_IO, "%s: cannot read '%s': %s", file->path, what, strerror(errno));
        if (got == 0)
            return t2d_fail(err, T2D_E_FORMAT, "%s: the file ends at byte %llu, inside '%s'", file->path,
                            (unsigned long long)(offset + done), what);
        done += (uint64_t)got;
    }
    return T2D_OK;
}

static t2d_status open_path(t2d_st_file *file, uint64_t *size, t2d_error *err)
{
    struct stat info;
    file->fd =
        open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a named pipe must not keep us waiting */
    if (file->fd < 0 || fstat(file->fd, &info) != 0)
        return t2d_fail(err, T2D_E_IO, "%s: cannot open: %s", file->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return t2d_fail(err, T2D_E_IO, "%s: is a %s; a safetensors file is needed", file->path,
                        S_ISDIR(info.st_mode) ? "folder" : "device or a pipe");
    *size = (uint64_t)info.st_size;
    return T2D_OK;
}

static t2d_status read_header(t2d_st_file *file, uint64_t size, t2d_error *err)
{
    uint64_t length;
    if (size < sizeof length)
        return t2d_fail(err, T2D_E_FORMAT, "%s: not a safetensors file: only %llu bytes", file->path,
                        (unsigned long long)size);
    t2d_status status = read_at(file, "header length", 0, &length, sizeof length, err);
    if (status) return status;
    if (length > ST_HEADER_MAX)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: not a safetensors file: its first 8 bytes announce a header of %llu bytes, at "
                        "most %d are read",
                        file->path, (unsigned long long)length, ST_HEADER_MAX);
    if (length > size - sizeof length)
        return t2d_fail(err, T2D_E_FORMAT, "%s: is cut short: %llu bytes, its header alone needs %llu",
                        file->path, (unsigned long long)size, (unsigned long long)(length + sizeof length));
    char *text = t2d_new(length, 1, file->path, err);
    if (!text) return T2D_E_MEMORY;
    status = read_at(file, "header", sizeof length, text, length, err);
    const uint64_t data = sizeof length + length;
    if (!status) status = t2d_st_parse(file, text, length, data, size - data, err);
    free(text);
    return status;
}

t2d_status t2d_st_open(const char *path, t2d_st_file **result, t2d_error *err)
{
    *result = NULL;
    uint64_t size = 0;
    t2d_status status = T2D_E_MEMORY;
    t2d_st_file *file = t2d_new(1, sizeof *file, path, err);
    if (!file) return status;
    file->fd = -1;
    file->path = t2d_strdup(path, err);
    if (!file->path) goto done;
    status = open_path(file, &size, err);
    if (!status) status = read_header(file, size, err);
done:
    if (status)
        t2d_st_close(file);
    else
        *result = file;
    return status;
}

void t2d_st_close(t2d_st_file *file)
{
    if (!file) return;
    if (file->fd >= 0) close(file->fd);
    json_decref(file->header);
    free(file->tensors);
    free(file->meta);
    free(file->path);
    free(file);
}

int t2d_st_count(const t2d_st_file *file) { return file->count; }
const t2d_st_tensor *t2d_st_at(const t2d_st_file *file, int index) { return &file->tensors[index]; }

const t2d_st_tensor *t2d_st_find(const t2d_st_file *file, const char *name)
{
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

int t2d_st_meta_count(const t2d_st_file *file) { return file->meta_count; }

void t2d_st_meta_at(const t2d_st_file *file, int index, const char **key, const char **value)
{
    *key = file->meta[index][0];
    *value = file->meta[index][1];
}

const char *t2d_st_meta(const t2d_st_file *file, const char *key)
{
    for (int i = 0; i < file->meta_count; i++)
        if (strcmp(file->meta[i][0], key) == 0) return file->meta[i][1];
    return NULL;
}

t2d_status t2d_st_read(const t2d_st_file *file, const t2d_st_tensor *t, void *bytes, t2d_error *err)
{
    return read_at(file, t->name, t->offset, bytes, t->bytes, err);
}

/* ---- values ---- */

enum { CHUNK = 16 * 1024 }; /* values at a time: 32 or 64 KB stay in the second level cache */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exact, subnormals included, and without subnormal fp32 arithmetic, which a flush-to-zero mode would spoil.
 */
static void widen_f16(const uint16_t *restrict in, float *restrict out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t magnitude = in[i] & 0x7fffu, sign = (uint32_t)(in[i] & 0x8000u) << 16;
        const uint32_t subnormal = 0u - (magnitude < 0x400u), special = 0u - (magnitude >= 0x7c00u);
        const uint32_t normal =
            (magnitude << 13) + (112u << 23) + (special & 112u << 23); /* Inf, NaN stay so */
        const uint32_t small = bits_of((float)(int32_t)magnitude * 0x1p-24f);
        out[i] = float_of(sign | (small & subnormal) |
                          (normal & ~subnormal)); /* masks, because they run on vectors */
    }
}

static void widen_bf16(const uint16_t *restrict in, float *restrict out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = float_of((uint32_t)in[i] << 16);
}

static bool is_finite(float value) { return (bits_of(value) & 0x7f800000u) != 0x7f800000u; }

/* Index of the first NaN or Inf, or count.  The first loop has no exit, so that it runs on vectors. */
static size_t first_not_finite(const float *values, size_t count)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) bad |= !is_finite(values[i]);
    if (!bad) return count;
    size_t i = 0;
    while (is_finite(values[i])) i++;
    return i;
}

static t2d_status check_sum(const t2d_st_file *file, const t2d_st_tensor *t, const char *checksum,
                            uint64_t sum, t2d_error *err)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)sum);
    if (!checksum || strcmp(checksum, text) == 0) return T2D_OK;
    return t2d_fail(err, T2D_E_FORMAT, "%s: tensor '%s' is damaged: checksum %s, expected %s", file->path,
                    t->name, text, checksum);
}

t2d_status t2d_st_read_f32(const t2d_st_file *file, const t2d_st_tensor *t, const char *checksum, float *out,
                           t2d_error *err)
{
    if (t->type != T2D_ST_F32 && t->type != T2D_ST_F16 && t->type != T2D_ST_BF16)
        return t2d_fail(err, T2D_E_FORMAT, "%s: tensor '%s' is %s; F32, F16 or BF16 is needed", file->path,
                        t->name, t2d_st_type_name(t->type));
    XXH3_state_t *hash = XXH3_createState();
    if (!hash) return t2d_fail(err, T2D_E_MEMORY, "%s: out of memory", file->path);
    XXH3_64bits_reset(hash);
    uint16_t half[CHUNK];
    const size_t size = t2d_st_type_size(t->type), count = (size_t)t->count;
    size_t bad = count;
    t2d_status status = T2D_OK;
    for (size_t done = 0; done < count && !status; done += CHUNK) {
        const size_t now = count - done < CHUNK ? count - done : CHUNK;
        void *raw = t->type == T2D_ST_F32 ? (void *)(out + done) : half;
        status = read_at(file, t->name, t->offset + done * size, raw, now * size, err);
        if (status) break;
        if (checksum) XXH3_64bits_update(hash, raw, now * size);
        if (t->type == T2D_ST_F16) widen_f16(half, out + done, now);
        if (t->type == T2D_ST_BF16) widen_bf16(half, out + done, now);
        const size_t at = first_not_finite(out + done, now);
        if (at < now && bad == count) bad = done + at;
    }
    if (!status) status = check_sum(file, t, checksum, XXH3_64bits_digest(hash), err);
    XXH3_freeState(hash);
    if (!status && bad < count) /* damage is the better explanation, so it was looked for first */
        return t2d_fail(err, T2D_E_FORMAT, "%s: tensor '%s' has NaN or Inf at index %zu", file->path, t->name,
                        bad);
    return status;
}
