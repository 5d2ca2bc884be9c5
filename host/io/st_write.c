/* st_write.c — safetensors files out.  Tensors lie in the order given; the header is padded with spaces so
 * that the data starts on a multiple of eight. */
#include "io/st.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static t2d_status check_item(const char *path, const t2d_st_item *item, bool held, uint64_t *bytes,
                             t2d_error *err)
{
    int64_t count;
    if (!item->name || !t2d_st_name_good(item->name))
        return t2d_fail(err, T2D_E_ARGUMENT,
                        "%s: tensor name '%s' is empty, reserved or has control characters", path,
                        item->name ? item->name : "");
    if ((unsigned)item->type >= ST_TYPES)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: tensor '%s' has an unknown type", path, item->name);
    if (item->rank < 0 || item->rank > ST_RANK_MAX ||
        !t2d_st_size(item->type, item->rank, item->shape, &count, bytes))
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: tensor '%s' has an impossible shape", path, item->name);
    if (held && !item->data && *bytes)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: tensor '%s' has no data", path, item->name);
    return T2D_OK;
}

/* Adds one entry to an object, which owns `value` from here on whatever happens. */
static t2d_status add_entry(json_t *object, const char *path, const char *key, json_t *value, t2d_error *err)
{
    if (json_object_get(object, key)) {
        json_decref(value);
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: '%s' is given twice", path, key);
    }
    if (!value || json_object_set_new(object, key, value) != 0)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s: '%s' or its value is not UTF-8, or memory is out", path,
                        key);
    return T2D_OK;
}

static t2d_status add_meta(json_t *header, const char *path, const char *const (*meta)[2], int count,
                           t2d_error *err)
{
    if (count == 0) return T2D_OK;
    json_t *object = json_object();
    t2d_status status = add_entry(header, path, "__metadata__", object, err);
    for (int i = 0; i < count && !status; i++)
        status = add_entry(object, path, meta[i][0], json_string(meta[i][1]), err);
    return status;
}

static t2d_status add_items(json_t *header, const char *path, const t2d_st_item *items, int count, bool held,
                            t2d_error *err)
{
    uint64_t offset = 0;
    for (int i = 0; i < count; i++) {
        uint64_t bytes, end;
        t2d_status status = check_item(path, &items[i], held, &bytes, err);
        if (status) return status;
        if (__builtin_add_overflow(offset, bytes, &end) || end > INT64_MAX)
            return t2d_fail(err, T2D_E_ARGUMENT, "%s: the tensors are too large for a file", path);
        json_t *shape = json_array();
        for (int k = 0; k < items[i].rank; k++) json_array_append_new(shape, json_integer(items[i].shape[k]));
        json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", t2d_st_type_name(items[i].type), "shape",
                                  shape, "data_offsets", (json_int_t)offset, (json_int_t)end);
        status = add_entry(header, path, items[i].name, entry, err);
        if (status) return status;
        offset = end;
    }
    return T2D_OK;
}

/* Without data: the caller frees *text. */
static t2d_status make_header(char **text, const char *path, const t2d_st_item *items, int count, bool held,
                              const char *const (*meta)[2], int meta_count, t2d_error *err)
{
    *text = NULL;
    json_t *header = json_object();
    t2d_status status = add_meta(header, path, meta, meta_count, err);
    if (!status) status = add_items(header, path, items, count, held, err);
    if (!status && !(*text = json_dumps(header, JSON_COMPACT)))
        status = t2d_fail(err, T2D_E_MEMORY, "%s: out of memory for the header", path);
    if (!status && strlen(*text) > ST_HEADER_MAX - 8)
        status = t2d_fail(err, T2D_E_ARGUMENT, "%s: the header takes %zu bytes, at most %d can be read", path,
                          strlen(*text), ST_HEADER_MAX);
    json_decref(header);
    return status;
}

static t2d_status write_bytes(FILE *stream, const char *path, const void *bytes, uint64_t count,
                              t2d_error *err)
{
    if (count == 0 || fwrite(bytes, 1, count, stream) == count) return T2D_OK;
    return t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(errno));
}

static t2d_status write_header(FILE *stream, const char *path, const char *text, t2d_error *err)
{
    const uint64_t length = strlen(text), padded = (length + 7) / 8 * 8;
    t2d_status status = write_bytes(stream, path, &padded, sizeof padded, err);
    if (!status) status = write_bytes(stream, path, text, length, err);
    if (!status) status = write_bytes(stream, path, "       ", padded - length, err);
    return status;
}

t2d_status t2d_st_write_stream(FILE *stream, const char *name, const t2d_st_item *items, int count,
                               const char *const (*meta)[2], int meta_count, t2d_st_next *next, void *context,
                               t2d_error *err)
{
    char *text;
    t2d_status status = make_header(&text, name, items, count, !next, meta, meta_count, err);
    if (!status) status = write_header(stream, name, text, err);
    for (int i = 0; i < count && !status; i++) {
        int64_t values;
        uint64_t bytes = 0;
        t2d_st_size(items[i].type, items[i].rank, items[i].shape, &values, &bytes);
        const void *data = next ? next(context, i, err) : items[i].data;
        status = data || !bytes ? write_bytes(stream, name, data, bytes, err) : T2D_E_MEMORY;
    }
    free(text);
    return status;
}

t2d_status t2d_st_write(const char *path, const t2d_st_item *items, int count, const char *const (*meta)[2],
                        int meta_count, t2d_error *err)
{
    t2d_outfile out;
    t2d_status status = t2d_outfile_open(&out, path, err);
    if (status) return status;
    status = t2d_st_write_stream(out.stream, path, items, count, meta, meta_count, NULL, NULL, err);
    if (!status) status = t2d_outfile_commit(&out, err);
    t2d_outfile_abort(&out);
    return status;
}
