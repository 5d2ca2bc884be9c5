/* verify.c — is a model file what its exporter wrote?  XXH3-64 over the metadata and over every tensor's
 * bytes. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct pair {
    const char *key, *value;
} pair;

static int by_key(const void *a, const void *b)
{
    return strcmp(((const pair *)a)->key, ((const pair *)b)->key);
}

static t2d_status compare(const char *what, XXH64_hash_t found, const char *want, t2d_error *err)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)found);
    if (!want)
        return t2d_fail(err, T2D_E_FORMAT, "%s has no checksum in the metadata: export the model again",
                        what);
    if (strcmp(hex, want) != 0)
        return t2d_fail(err, T2D_E_FORMAT, "%s is damaged: its checksum is %s, the file says %.40s", what,
                        hex, want);
    return T2D_OK;
}

t2d_status t2d_verify_metadata(const t2d_st_file *file, t2d_error *err)
{
    static const char self[] = "checksum.__metadata__";
    const int count = t2d_st_meta_count(file);
    t2d_status status = T2D_E_MEMORY;
    pair *pairs = t2d_new((size_t)count + 1, sizeof *pairs, "metadata", err);
    XXH3_state_t *state = XXH3_createState();
    if (!pairs || !state) {
        t2d_fail(err, status, "metadata: out of memory");
        goto done;
    }
    for (int i = 0; i < count; i++) t2d_st_meta_at(file, i, &pairs[i].key, &pairs[i].value);
    qsort(pairs, (size_t)count, sizeof *pairs, by_key);
    XXH3_64bits_reset(state);
    for (int i = 0; i < count; i++)
        if (strcmp(pairs[i].key, self) != 0) {
            XXH3_64bits_update(state, pairs[i].key, strlen(pairs[i].key));
            XXH3_64bits_update(state, "=", 1);
            XXH3_64bits_update(state, pairs[i].value, strlen(pairs[i].value));
            XXH3_64bits_update(state, "\n", 1);
        }
    status = compare("the metadata", XXH3_64bits_digest(state), t2d_st_meta(file, self), err);
done:
    XXH3_freeState(state);
    free(pairs);
    return status;
}

t2d_status t2d_verify_tensor(const t2d_st_file *file, const t2d_st_tensor *tensor, t2d_error *err)
{
    char key[160], what[160];
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
    else if ((status = t2d_st_read(file, tensor, data, err)) == T2D_OK)
        status = compare(what, XXH3_64bits(data, (size_t)tensor->bytes), want, err);
    free(data);
    return status;
}
