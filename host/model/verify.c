/* verify.c — is a model file what its exporter wrote?  XXH3-64 over the metadata and over every tensor's
 * bytes. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char self[] = "checksum.__metadata__";

static int by_key(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(x[0], y[0]);
}

t2d_status t2d_metadata_checksum(const char *(*meta)[2], int count, char hex[T2D_CHECKSUM], t2d_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return t2d_fail(err, T2D_E_MEMORY, "metadata: out of memory");
    qsort(meta, (size_t)count, sizeof *meta, by_key);
    XXH3_64bits_reset(state);
    for (int i = 0; i < count; i++)
        if (strcmp(meta[i][0], self) != 0) {
            XXH3_64bits_update(state, meta[i][0], strlen(meta[i][0]));
            XXH3_64bits_update(state, "=", 1);
            XXH3_64bits_update(state, meta[i][1], strlen(meta[i][1]));
            XXH3_64bits_update(state, "\n", 1);
        }
    snprintf(hex, T2D_CHECKSUM, "%016llx", (unsigned long long)XXH3_64bits_digest(state));
    XXH3_freeState(state);
    return T2D_OK;
}

static t2d_status compare(const char *what, const char *found, const char *want, t2d_error *err)
{
    if (!want)
        return t2d_fail(err, T2D_E_FORMAT, "%s has no checksum in the metadata: export the model again",
                        what);
    if (strcmp(found, want) != 0)
        return t2d_fail(err, T2D_E_FORMAT, "%s is damaged: its checksum is %s, the file says %.40s", what,
                        found, want);
    return T2D_OK;
}

t2d_status t2d_verify_metadata(const t2d_st_file *file, t2d_error *err)
{
    char hex[T2D_CHECKSUM];
    const int count = t2d_st_meta_count(file);
    const char *(*meta)[2] = t2d_new((size_t)count, sizeof *meta, "metadata", err);
    if (!meta) return T2D_E_MEMORY;
    for (int i = 0; i < count; i++) t2d_st_meta_at(file, i, &meta[i][0], &meta[i][1]);
    t2d_status status = t2d_metadata_checksum(meta, count, hex, err);
    if (status == T2D_OK) status = compare("the metadata", hex, t2d_st_meta(file, self), err);
    free(meta);
    return status;
}

void t2d_tensor_checksum(const void *bytes, size_t count, char hex[T2D_CHECKSUM])
{
    snprintf(hex, T2D_CHECKSUM, "%016llx", (unsigned long long)XXH3_64bits(bytes, count));
}

t2d_status t2d_verify_tensor(const t2d_st_file *file, const t2d_st_tensor *tensor, t2d_error *err)
{
    char key[160], what[160], hex[T2D_CHECKSUM];
    snprintf(key, sizeof key, "checksum.%.120s", tensor->name);
    snprintf(what, sizeof what, "tensor %.120s", tensor->name);
    const char *want = t2d_st_meta(file, key);
    const bool is_float =
        tensor->type == T2D_ST_F32 || tensor->type == T2D_ST_F16 || tensor->type == T2D_ST_BF16;
    void *data = t2d_new((size_t)tensor->count + 1, is_float ? sizeof(float) : t2d_st_type_size(tensor->type),
                         what, err);
    if (!data) return T2D_E_MEMORY;
    t2d_status status;
    if (is_float && want)
        status = t2d_st_read_f32(file, tensor, want, data, err);
    else if ((status = t2d_st_read(file, tensor, data, err)) == T2D_OK) {
        t2d_tensor_checksum(data, (size_t)tensor->bytes, hex);
        status = compare(what, hex, want, err);
    }
    free(data);
    return status;
}
