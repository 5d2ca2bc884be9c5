/* sample.c — one picture and its truth, read and checked.  Runs in threads beside the forward pass. */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define MAX_FILE_BYTES ((size_t)1 << 30)

static t2d_status place(const t2d_listing *l, const char *folder, int64_t index, const char *suffix,
                        char **path, t2d_error *err)
{
    if (asprintf(path, "%s/%s/%s%s", l->root, folder, l->stems[index], suffix) >= 0) return T2D_OK;
    *path = NULL;
    return t2d_fail(err, T2D_E_MEMORY, "path of a picture: out of memory");
}

static t2d_status read_picture(const t2d_listing *l, int64_t index, t2d_sample *s)
{
    char *path;
    unsigned char *bytes = NULL;
    size_t count;
    s->status = place(l, l->preset->pictures, index, l->preset->picture_suffix, &path, &s->err);
    if (s->status) return s->status;
    s->status = t2d_read_file(path, MAX_FILE_BYTES, &bytes, &count, &s->err);
    if (s->status == T2D_OK) {
        s->hash = XXH3_64bits(bytes, count);
        s->status = t2d_image_decode(bytes, count, path, 0, &s->picture, &s->err);
    }
    free(bytes);
    free(path);
    return s->status;
}

/* The first of the preset's label files that exists; the first of all when none does, for the message. */
static t2d_status find_labels(const t2d_listing *l, int64_t index, t2d_sample *s, char **path)
{
    for (s->file = 0; s->file < l->preset->file_count; s->file++) {
        s->status = place(l, l->preset->labels, index, l->preset->files[s->file].suffix, path, &s->err);
        if (s->status || access(*path, F_OK) == 0) return s->status;
        free(*path);
    }
    s->file = 0;
    return s->status = place(l, l->preset->labels, index, l->preset->files[0].suffix, path, &s->err);
}

/* Raw values become labels in place. */
static t2d_status map_labels(const t2d_preset *preset, const char *path, t2d_sample *s)
{
    const uint16_t *map = preset->files[s->file].map;
    const size_t count = (size_t)s->truth.width * (size_t)s->truth.height;
    for (size_t i = 0; i < count; i++) {
        const uint16_t raw = s->truth.values[i], label = map[raw];
        if (label == T2D_UNMAPPED)
            return s->status = t2d_fail(&s->err, T2D_E_FORMAT,
                                        "%s: label %d at x %zu, y %zu means nothing in %s", path, raw,
                                        i % (size_t)s->truth.width, i / (size_t)s->truth.width, preset->name);
        s->truth.values[i] = label;
    }
    return T2D_OK;
}

static t2d_status read_truth(const t2d_listing *l, int64_t index, t2d_sample *s)
{
    char *path = NULL;
    unsigned char *bytes = NULL;
    size_t count;
    find_labels(l, index, s, &path);
    if (s->status == T2D_OK) s->status = t2d_read_file(path, MAX_FILE_BYTES, &bytes, &count, &s->err);
    if (s->status == T2D_OK) {
        s->hash = XXH3_64bits_withSeed(bytes, count, s->hash);
        s->status = t2d_labels_decode(bytes, count, path, &s->truth, &s->err);
    }
    if (s->status == T2D_OK && (s->truth.width != s->picture.width || s->truth.height != s->picture.height))
        s->status = t2d_fail(&s->err, T2D_E_FORMAT, "%s: the label map is %d x %d, its picture %d x %d", path,
                             s->truth.width, s->truth.height, s->picture.width, s->picture.height);
    if (s->status == T2D_OK) map_labels(l->preset, path, s);
    free(bytes);
    free(path);
    return s->status;
}

void t2d_sample_read(const t2d_listing *listing, int64_t index, t2d_sample *sample)
{
    const double start = t2d_clock();
    *sample = (t2d_sample){0};
    if (read_picture(listing, index, sample) == T2D_OK) read_truth(listing, index, sample);
    sample->seconds = t2d_clock() - start;
}

void t2d_sample_release(t2d_sample *sample)
{
    t2d_image_release(&sample->picture);
    t2d_labels_release(&sample->truth);
}
