/* st_header.c — the header of a safetensors file, trusted in nothing.  The tensors must tile the data
 * exactly: bytes that no tensor owns, or that two own, have no honest use. */
#include "io/st.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[ST_TYPES] = {
    [T2D_ST_F32] = {"F32", 4}, [T2D_ST_F16] = {"F16", 2}, [T2D_ST_BF16] = {"BF16", 2},
    [T2D_ST_I32] = {"I32", 4}, [T2D_ST_I64] = {"I64", 8}, [T2D_ST_U8] = {"U8", 1},
};

size_t t2d_st_type_size(t2d_st_type type) { return types[type].size; }
const char *t2d_st_type_name(t2d_st_type type) { return types[type].name; }

bool t2d_st_size(t2d_st_type type, int rank, const int64_t *shape, int64_t *count, uint64_t *bytes)
{
    int64_t product = 1, total;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(product, shape[i], &product)) return false;
    if (__builtin_mul_overflow(product, (int64_t)types[type].size, &total)) return false;
    *count = product;
    *bytes = (uint64_t)total;
    return true;
}

bool t2d_st_name_good(const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        if (*p < 0x20 || *p == 0x7f) return false;
    return *name && strcmp(name, "__metadata__") != 0;
}

/* Brackets are counted before anything is decoded: {"name": {"shape": [..]}} is as deep as a header goes. */
static bool too_deep(const char *text, size_t length)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        const char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > 3)
            return true;
        else if (!quoted && (c == '}' || c == ']'))
            depth--;
    }
    return false;
}

static t2d_status decode(t2d_st_file *file, const char *text, size_t length, t2d_error *err)
{
    if (length == 0 || text[0] != '{')
        return t2d_fail(err, T2D_E_FORMAT, "%s: not a safetensors file: its header does not start with '{'",
                        file->path);
    if (too_deep(text, length))
        return t2d_fail(err, T2D_E_FORMAT, "%s: the header is nested deeper than a safetensors header can be",
                        file->path);
    json_error_t why;
    file->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
    if (file->header) return T2D_OK;
    const bool memory = json_error_code(&why) == json_error_out_of_memory;
    return t2d_fail(err, memory ? T2D_E_MEMORY : T2D_E_FORMAT,
                    "%s: the header is not sound JSON: %s (byte %d)", file->path, why.text, why.position);
}

/* A list of at most `room` numbers that are not negative; its length, or -1. */
static int read_list(const json_t *list, int64_t *numbers, int room)
{
    const size_t length = json_array_size(list);
    if (!json_is_array(list) || length > (size_t)room) return -1;
    for (size_t i = 0; i < length; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_integer(number) || json_integer_value(number) < 0) return -1;
        numbers[i] = json_integer_value(number);
    }
    return (int)length;
}

static t2d_status read_type(const char *path, const json_t *value, t2d_st_tensor *t, t2d_error *err)
{
    const char *name = json_string_value(value);
    if (!name) return t2d_fail(err, T2D_E_FORMAT, "%s: tensor '%s': dtype must be a string", path, t->name);
    for (int i = 0; i < ST_TYPES; i++)
        if (strcmp(name, types[i].name) == 0) {
            t->type = (t2d_st_type)i;
            return T2D_OK;
        }
    return t2d_fail(err, T2D_E_UNSUPPORTED,
                    "%s: tensor '%s' has dtype %s; F32, F16, BF16, I32, I64 and U8 are read", path, t->name,
                    name);
}

static t2d_status read_shape(const char *path, const json_t *value, t2d_st_tensor *t, t2d_error *err)
{
    if (json_array_size(value) > ST_RANK_MAX)
        return t2d_fail(err, T2D_E_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions, at most %d are read",
                        path, t->name, json_array_size(value), ST_RANK_MAX);
    t->rank = read_list(value, t->shape, ST_RANK_MAX);
    if (t->rank < 0)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: tensor '%s': shape must be a list of whole numbers, none negative", path,
                        t->name);
    if (!t2d_st_size(t->type, t->rank, t->shape, &t->count, &t->bytes))
        return t2d_fail(err, T2D_E_FORMAT, "%s: tensor '%s': shape is too large for any memory", path,
                        t->name);
    return T2D_OK;
}

/* One entry of the header.  t->offset counts from the first byte of the data until the tensors are placed. */
static t2d_status read_tensor(const char *path, const json_t *entry, t2d_st_tensor *t, t2d_error *err)
{
    if (!t2d_st_name_good(t->name))
        return t2d_fail(err, T2D_E_FORMAT, "%s: tensor name '%s' is empty or has control characters", path,
                        t->name);
    const json_t *type = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape"),
                 *range = json_object_get(entry, "data_offsets");
    if (!type || !shape || !range || json_object_size(entry) != 3)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: tensor '%s' must have dtype, shape and data_offsets, nothing else", path,
                        t->name);
    t2d_status status = read_type(path, type, t, err);
    if (!status) status = read_shape(path, shape, t, err);
    if (status) return status;
    int64_t ends[2];
    if (read_list(range, ends, 2) != 2 || ends[1] < ends[0])
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: tensor '%s': data_offsets must be [begin, end] with 0 <= begin <= end", path,
                        t->name);
    if ((uint64_t)(ends[1] - ends[0]) != t->bytes)
        return t2d_fail(err, T2D_E_FORMAT,
                        "%s: tensor '%s': data_offsets span %lld bytes, its shape needs %llu", path, t->name,
                        (long long)(ends[1] - ends[0]), (unsigned long long)t->bytes);
    t->offset = (uint64_t)ends[0];
    return T2D_OK;
}

static t2d_status read_meta(t2d_st_file *file, json_t *entry, t2d_error *err)
{
    if (!json_is_object(entry))
        return t2d_fail(err, T2D_E_FORMAT, "%s: __metadata__ must be an object of strings", file->path);
    file->meta = t2d_new(json_object_size(entry), sizeof *file->meta, file->path, err);
    if (!file->meta) return T2D_E_MEMORY;
    const char *key;
    json_t *value;
    json_object_foreach(entry, key, value)
    {
        if (!json_is_string(value))
            return t2d_fail(err, T2D_E_FORMAT, "%s: __metadata__ '%s' must be a string", file->path, key);
        file->meta[file->meta_count][0] = key;
        file->meta[file->meta_count++][1] = json_string_value(value);
    }
    return T2D_OK;
}

/* By place; tensors without bytes come before the one that starts where they stand. */
static int by_offset(const void *left, const void *right)
{
    const t2d_st_tensor *a = left, *b = right;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return strcmp(a->name, b->name);
}

static t2d_status check_tiling(const t2d_st_file *file, uint64_t data_offset, uint64_t data_bytes,
                               t2d_error *err)
{
    uint64_t end = 0;
    for (int i = 0; i < file->count; i++) {
        const t2d_st_tensor *t = &file->tensors[i];
        if (t->offset < end)
            return t2d_fail(err, T2D_E_FORMAT, "%s: tensors '%s' and '%s' overlap", file->path, t[-1].name,
                            t->name);
        if (t->offset > end)
            return t2d_fail(err, T2D_E_FORMAT, "%s: %llu bytes before tensor '%s' belong to no tensor",
                            file->path, (unsigned long long)(t->offset - end), t->name);
        end = t->offset + t->bytes;
    }
    const unsigned long long want = data_offset + end, have = data_offset + data_bytes;
    if (have < want)
        return t2d_fail(err, T2D_E_FORMAT, "%s: is cut short: %llu bytes, its header describes %llu",
                        file->path, have, want);
    if (have > want)
        return t2d_fail(err, T2D_E_FORMAT, "%s: is too long: %llu bytes, its header describes %llu",
                        file->path, have, want);
    return T2D_OK;
}

t2d_status t2d_st_parse(t2d_st_file *file, const char *text, size_t length, uint64_t data_offset,
                        uint64_t data_bytes, t2d_error *err)
{
    t2d_status status = decode(file, text, length, err);
    if (status) return status;
    file->tensors = t2d_new(json_object_size(file->header), sizeof *file->tensors, file->path, err);
    if (!file->tensors) return T2D_E_MEMORY;
    const char *key;
    json_t *entry;
    json_object_foreach(file->header, key, entry)
    {
        if (strcmp(key, "__metadata__") == 0) {
            status = read_meta(file, entry, err);
        } else {
            t2d_st_tensor *t = &file->tensors[file->count++];
            t->name = key;
            status = read_tensor(file->path, entry, t, err);
        }
        if (status) return status;
    }
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, by_offset);
    status = check_tiling(file, data_offset, data_bytes, err);
    for (int i = 0; i < file->count; i++) file->tensors[i].offset += data_offset;
    return status;
}
