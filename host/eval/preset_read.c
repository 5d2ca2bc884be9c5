/* preset_read.c — a preset from its JSON, strictly: a key that is not known is a mistake, and a mistake in a
 * preset is a wrong number in a table. */
#include "eval/eval.h"
#include "io/draw.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const keys[] = {
    "name",     "title",     "root",           "pictures",    "labels",
    "split",    "ignore",    "classes",        "palette",     "background",
    "expected", "published", "picture_suffix", "label_files", "published_source"};
static const char *const file_keys[] = {"suffix", "map"};
static const char *const background_keys[] = {"threshold", "vit_l_threshold", "clean"};
static const char *const published_keys[] = {"miou", "of"};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static t2d_status check_keys(const json_t *object, const char *const *known, int count, const char *what,
                             t2d_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object)) return t2d_fail(err, T2D_E_FORMAT, "%s is not an object", what);
    json_object_foreach((json_t *)object, key, value)
    {
        int i = 0;
        while (i < count && strcmp(known[i], key) != 0) i++;
        if (i == count)
            return t2d_fail(err, T2D_E_FORMAT, "%s has a key '%.60s', which means nothing here", what, key);
    }
    return T2D_OK;
}

/* The string under `key`; `fallback` when it is not there (NULL: it must be). */
static t2d_status read_text(const json_t *object, const char *key, const char *fallback, const char **text,
                            t2d_error *err)
{
    const json_t *value = json_object_get(object, key);
    *text = value ? json_string_value(value) : fallback;
    if (*text && (**text || fallback)) return T2D_OK;
    return t2d_fail(err, T2D_E_FORMAT, value ? "\"%s\" wants some text" : "\"%s\" is missing", key);
}

static t2d_status read_names(t2d_preset *p, t2d_error *err)
{
    static const char none[] = "";
    const json_t *json = p->json;
    t2d_status status = read_text(json, "name", NULL, &p->name, err);
    if (status == T2D_OK) status = read_text(json, "title", p->name, &p->title, err);
    if (status == T2D_OK) status = read_text(json, "root", none, &p->root, err);
    if (status == T2D_OK) status = read_text(json, "pictures", NULL, &p->pictures, err);
    if (status == T2D_OK) status = read_text(json, "labels", NULL, &p->labels, err);
    if (status == T2D_OK) status = read_text(json, "picture_suffix", NULL, &p->picture_suffix, err);
    if (status == T2D_OK) status = read_text(json, "split", none, &p->split, err);
    if (status == T2D_OK && p->split == none) p->split = NULL;
    if (status == T2D_OK && strpbrk(p->name, "/ \t\n"))
        status = t2d_fail(err, T2D_E_FORMAT,
                          "\"name\" becomes part of file names and may hold no '/' and no spaces");
    return status;
}

static t2d_status read_classes(t2d_preset *p, t2d_error *err)
{
    const json_t *list = json_object_get(p->json, "classes");
    p->label_count = (int)json_array_size(list);
    if (p->label_count < 1 || p->label_count > T2D_MOST_CLASSES)
        return t2d_fail(err, T2D_E_FORMAT, "\"classes\" wants a list of 1 to %d names", T2D_MOST_CLASSES);
    p->classes = t2d_new((size_t)p->label_count, sizeof *p->classes, "class names", err);
    if (!p->classes) return T2D_E_MEMORY;
    for (int i = 0; i < p->label_count; i++) {
        p->classes[i] = json_string_value(json_array_get(list, (size_t)i));
        if (!p->classes[i] || !*p->classes[i])
            return t2d_fail(err, T2D_E_FORMAT, "\"classes\": entry %d is no name", i);
    }
    return T2D_OK;
}

static bool read_colour(const json_t *value, uint8_t *rgb)
{
    bool sound = json_array_size(value) == 3;
    for (size_t c = 0; sound && c < 3; c++) {
        const json_t *level = json_array_get(value, c);
        const json_int_t v = json_integer_value(level);
        sound = json_is_integer(level) && v >= 0 && v <= 255;
        rgb[c] = sound ? (uint8_t)v : 0;
    }
    return sound;
}

static t2d_status read_palette(t2d_preset *p, t2d_error *err)
{
    const json_t *list = json_object_get(p->json, "palette");
    p->palette = t2d_new((size_t)p->label_count, 3, "palette", err);
    if (!p->palette) return T2D_E_MEMORY;
    if (list && json_array_size(list) != (size_t)p->label_count)
        return t2d_fail(err, T2D_E_FORMAT, "\"palette\" has %zu colours for %d classes",
                        json_array_size(list), p->label_count);
    for (int i = 0; i < p->label_count; i++) {
        uint8_t *rgb = p->palette + (size_t)i * 3;
        if (!list)
            t2d_voc_colour(i, rgb);
        else if (!read_colour(json_array_get(list, (size_t)i), rgb))
            return t2d_fail(err, T2D_E_FORMAT, "\"palette\": entry %d is not [red, green, blue], 0 to 255",
                            i);
    }
    return T2D_OK;
}

/* mmseg's rule: there is a background where the first class is called so; its score is the threshold. */
static t2d_status read_background(t2d_preset *p, t2d_error *err)
{
    const json_t *b = json_object_get(p->json, "background");
    p->with_background = strcmp(p->classes[0], "background") == 0;
    if (p->with_background != (b != NULL))
        return t2d_fail(err, T2D_E_FORMAT,
                        "a \"background\" with its threshold belongs to a first class called background, and "
                        "only to that; the first class is '%.60s'",
                        p->classes[0]);
    if (!b) return T2D_OK;
    t2d_status status = check_keys(b, background_keys, COUNT(background_keys), "\"background\"", err);
    if (status) return status;
    const json_t *threshold = json_object_get(b, "threshold"), *large = json_object_get(b, "vit_l_threshold");
    const double t = json_number_value(threshold), l = large ? json_number_value(large) : t;
    if (!json_is_number(threshold) || (large && !json_is_number(large)) || !(t >= 0 && t <= 1) ||
        !(l >= 0 && l <= 1))
        return t2d_fail(err, T2D_E_FORMAT, "\"background\" wants a threshold from 0 to 1");
    if (p->label_count < 2) return t2d_fail(err, T2D_E_FORMAT, "\"classes\" has no class but the background");
    p->threshold = (float)t;
    p->vit_l_threshold = (float)l;
    p->clean = json_is_true(json_object_get(b, "clean"));
    return T2D_OK;
}

static t2d_status read_files(t2d_preset *p, t2d_error *err)
{
    const json_t *list = json_object_get(p->json, "label_files"), *i = json_object_get(p->json, "ignore");
    const json_int_t ignore = i ? json_integer_value(i) : 255;
    p->file_count = (int)json_array_size(list);
    if (i && !json_is_null(i) && (!json_is_integer(i) || ignore < 0 || ignore >= T2D_RAW_LABELS))
        return t2d_fail(err, T2D_E_FORMAT, "\"ignore\" wants a raw label, or null for none");
    if (p->file_count < 1 || p->file_count > T2D_MOST_LABEL_FILES) {
        p->file_count = 0;
        return t2d_fail(err, T2D_E_FORMAT, "\"label_files\" wants a list of 1 to %d entries",
                        T2D_MOST_LABEL_FILES);
    }
    for (int k = 0; k < p->file_count; k++) {
        const json_t *file = json_array_get(list, (size_t)k), *map;
        t2d_status status = check_keys(file, file_keys, COUNT(file_keys), "an entry of \"label_files\"", err);
        if (status == T2D_OK) status = read_text(file, "suffix", NULL, &p->files[k].suffix, err);
        if (status) return status;
        map = json_object_get(file, "map");
        if (map && !json_is_object(map)) return t2d_fail(err, T2D_E_FORMAT, "\"map\" is not an object");
        p->files[k].map = t2d_new(T2D_RAW_LABELS, sizeof *p->files[k].map, "label map", err);
        if (!p->files[k].map) return T2D_E_MEMORY;
        status =
            t2d_label_map_fill(map, p->label_count, json_is_null(i) ? -1 : (int)ignore, p->files[k].map, err);
        if (status) return status;
    }
    return T2D_OK;
}

static t2d_status read_published(t2d_preset *p, t2d_error *err)
{
    const json_t *list = json_object_get(p->json, "published"),
                 *expected = json_object_get(p->json, "expected");
    p->expected = (int64_t)json_integer_value(expected);
    if (expected && (!json_is_integer(expected) || p->expected < 1))
        return t2d_fail(err, T2D_E_FORMAT, "\"expected\" wants a number of pictures");
    if (list && !json_is_array(list)) return t2d_fail(err, T2D_E_FORMAT, "\"published\" is not a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *of;
        t2d_status status =
            check_keys(entry, published_keys, COUNT(published_keys), "an entry of \"published\"", err);
        if (status == T2D_OK) status = read_text(entry, "of", NULL, &of, err);
        if (status) return status;
        if (!json_is_number(json_object_get(entry, "miou")))
            return t2d_fail(err, T2D_E_FORMAT, "\"published\": entry %zu has no \"miou\"", i);
    }
    const char *source;
    return read_text(p->json, "published_source", "", &source, err);
}

/* The same for the same meaning, however the file was laid out. */
static t2d_status hash(t2d_preset *p, t2d_error *err)
{
    char *text = json_dumps(p->json, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text) return t2d_fail(err, T2D_E_MEMORY, "preset: out of memory");
    p->hash = XXH3_64bits(text, strlen(text));
    free(text);
    return T2D_OK;
}

static t2d_status read_all(t2d_preset *p, t2d_error *err)
{
    t2d_status status = check_keys(p->json, keys, COUNT(keys), "the preset", err);
    if (status == T2D_OK) status = read_names(p, err);
    if (status == T2D_OK) status = read_classes(p, err);
    if (status == T2D_OK) status = read_palette(p, err);
    if (status == T2D_OK) status = read_background(p, err);
    if (status == T2D_OK) status = read_files(p, err);
    if (status == T2D_OK) status = read_published(p, err);
    if (status == T2D_OK) status = hash(p, err);
    return status;
}

t2d_status t2d_preset_read(const char *text, size_t bytes, const char *name, t2d_preset **preset,
                           t2d_error *err)
{
    *preset = NULL;
    t2d_preset *p = t2d_new(1, sizeof *p, "preset", err);
    if (!p) return T2D_E_MEMORY;
    json_error_t at;
    p->json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &at);
    t2d_status status =
        p->json ? read_all(p, err) : t2d_fail(err, T2D_E_FORMAT, "line %d: %s", at.line, at.text);
    if (status) {
        t2d_fail_in(err, name);
        t2d_preset_close(p);
    } else {
        *preset = p;
    }
    return status;
}

void t2d_preset_close(t2d_preset *preset)
{
    if (!preset) return;
    for (int i = 0; i < preset->file_count; i++) free(preset->files[i].map);
    free(preset->classes);
    free(preset->palette);
    json_decref(preset->json);
    free(preset);
}
