/* label_map.c — what the raw values of a label file mean.
 * Benchmarks shift, skip and ignore labels (mmseg's reduce_zero_label, COCO's missing ids, Cityscapes' label
 * ids): all of it is a table from raw values to labels.  A value that no rule names should not occur; it is a
 * fault of the file and never silently counted. */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

typedef struct range {
    int first, last;
} range;

/* "12" or "12-24", numbers up to `most`. */
static bool read_range(const char *text, int most, range *r)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    const long first = strtol(text, &end, 10);
    long last = first;
    if (*end == '-' && end[1] >= '0' && end[1] <= '9') last = strtol(end + 1, &end, 10);
    *r = (range){(int)first, (int)last};
    return *end == '\0' && first <= last && last <= most;
}

static t2d_status fill_rule(const char *key, const json_t *value, int label_count, uint16_t *to,
                            t2d_error *err)
{
    range from, target = {0, 0};
    const char *text = json_string_value(value);
    const bool ignored = text && strcmp(text, "ignore") == 0, range_to_range = text && !ignored;
    if (!read_range(key, T2D_RAW_LABELS - 1, &from))
        return t2d_fail(err, T2D_E_FORMAT,
                        "map: '%.40s' is no raw value or range of raw values (\"7\", \"12-24\")", key);
    bool sound = ignored || json_is_integer(value);
    if (json_is_integer(value)) {
        const json_int_t label = json_integer_value(value);
        sound = label >= 0 && label < label_count;
        target.first = sound ? (int)label : 0;
    } else if (range_to_range) {
        sound = read_range(text, label_count - 1, &target) &&
                target.last - target.first == from.last - from.first;
    }
    if (!sound)
        return t2d_fail(err, T2D_E_FORMAT,
                        "map: \"%.40s\" wants a label from 0 to %d, a range of as many labels, or \"ignore\"",
                        key, label_count - 1);
    for (int raw = from.first; raw <= from.last; raw++)
        to[raw] = ignored ? T2D_IGNORED : (uint16_t)(target.first + (range_to_range ? raw - from.first : 0));
    return T2D_OK;
}

t2d_status t2d_label_map_fill(const json_t *map, int label_count, int ignore, uint16_t *to, t2d_error *err)
{
    for (int raw = 0; raw < T2D_RAW_LABELS; raw++)
        to[raw] = !map && raw < label_count ? (uint16_t)raw : T2D_UNMAPPED;
    if (ignore >= 0 && ignore < T2D_RAW_LABELS) to[ignore] = T2D_IGNORED;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        const t2d_status status = fill_rule(key, value, label_count, to, err);
        if (status) return status;
    }
    return T2D_OK;
}
