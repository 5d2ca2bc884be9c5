/* bench_compare.c — a run beside an older one, and in what the two were not alike. */
#include "cli/bench_report.h"

#include <stdlib.h>
#include <string.h>

enum { OLD_BYTES = 1 << 28 };

static double median_of(const json_t *old)
{
    return json_number_value(json_object_get(json_object_get(old, "latency_seconds"), "median"));
}

int bench_old_read(const char *path, json_t **old)
{
    unsigned char *bytes;
    size_t count;
    t2d_error err;
    json_error_t where;
    const t2d_status status = t2d_read_file(path, OLD_BYTES, &bytes, &count, &err);
    if (status != T2D_OK) return complain(code_of_input(status), &err);
    *old = json_loadb((const char *)bytes, count, JSON_REJECT_DUPLICATES, &where);
    free(bytes);
    if (!*old)
        return complain_text(EXIT_INPUT, "%s: not one JSON object: line %d: %s", path, where.line,
                             where.text);
    if (!json_is_object(json_object_get(*old, "settings")) || !(median_of(*old) > 0))
        return complain_text(EXIT_INPUT, "%s: no settings and median in it; t2d bench --json writes both",
                             path);
    return EXIT_GOOD;
}

/* A setting in words; the caller frees. */
static char *words(const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    return text ? text : strdup("not known");
}

/* A model is known by its checksum; how many samples there are changes no time. */
static bool does_not_matter(const char *key)
{
    return strcmp(key, "model") == 0 || strcmp(key, "iterations") == 0 || strcmp(key, "seconds") == 0;
}

static json_t *differences(const json_t *then, const json_t *now)
{
    json_t *list = json_array(), *value;
    const char *key;
    json_object_foreach((json_t *)now, key, value)
    {
        const json_t *old = json_object_get(then, key);
        if (json_equal(old, value) || does_not_matter(key)) continue;
        char *was = words(old), *is = words(value);
        json_array_append_new(list, json_sprintf("%s: %s then, %s now", key, was ? was : "", is ? is : ""));
        free(was);
        free(is);
    }
    return list;
}

json_t *bench_compare(const char *path, const json_t *old, const bench_report *r)
{
    const double then = median_of(old), now = r->spread.median;
    return json_pack("{s:s, s:f, s:f, s:f, s:o}", "file", path, "median_then", then, "median_now", now,
                     "ratio", now / then, "differs",
                     differences(json_object_get(old, "settings"), r->settings));
}
