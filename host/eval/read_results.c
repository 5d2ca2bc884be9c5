/* read_results.c — results files, read strictly: a record that is not whole or not plausible is refused by
 * its line, because what is added up afterwards cannot be told apart any more. */
#include "eval/eval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static t2d_status damaged(const t2d_reader *r, const char *what, t2d_error *err)
{
    return t2d_fail(err, T2D_E_FORMAT,
                    "%s: line %lld is damaged (%s); cut the file off before it, and the same run goes on "
                    "from there",
                    r->path, (long long)r->line, what);
}

/* The next whole line as JSON; *found is false where there is none. */
static t2d_status next_line(t2d_reader *r, bool *found, t2d_error *err)
{
    errno = 0;
    const ssize_t length = getline(&r->text, &r->room, r->stream);
    json_decref(r->json);
    r->json = NULL;
    *found = length > 0 && r->text[length - 1] == '\n';
    if (ferror(r->stream) || (length < 0 && errno == ENOMEM))
        return t2d_fail(err, errno == ENOMEM ? T2D_E_MEMORY : T2D_E_IO, "%s: cannot read: %s", r->path,
                        strerror(errno));
    if (!*found) return T2D_OK;
    r->line++;
    r->json = json_loadb(r->text, (size_t)length, JSON_REJECT_DUPLICATES, NULL);
    if (!r->json) return damaged(r, "no JSON", err);
    r->sound += length;
    return T2D_OK;
}

static t2d_status read_head(t2d_reader *r, t2d_error *err)
{
    const json_t *format = json_object_get(r->json, "format"), *decides = json_object_get(r->json, "decides");
    if (!json_is_string(format) || strcmp(json_string_value(format), "t2d eval results 1") != 0)
        return t2d_fail(err, T2D_E_FORMAT, "%s: not a results file of t2d eval", r->path);
    json_int_t labels, pictures, first, step;
    if (json_unpack(r->json, "{s:{s:I, s:I}, s:[I, I!]}", "decides", "labels", &labels, "pictures", &pictures,
                    "shard", &first, &step) != 0 ||
        labels < 1 || labels > T2D_MOST_CLASSES || pictures < 1 || step < 1 || first < 0 || first >= step ||
        json_array_size(json_object_get(decides, "classes")) != (size_t)labels)
        return damaged(r, "its head does not hold together", err);
    r->labels = (int)labels;
    r->pictures = pictures;
    r->first = r->at = first;
    r->step = step;
    r->head = json_incref(r->json);
    return T2D_OK;
}

t2d_status t2d_reader_open(t2d_reader *reader, const char *path, t2d_error *err)
{
    bool found;
    *reader = (t2d_reader){.path = path, .stream = fopen(path, "rbe")};
    if (!reader->stream) return t2d_fail(err, T2D_E_IO, "%s: cannot open: %s", path, strerror(errno));
    t2d_status status = next_line(reader, &found, err);
    if (status == T2D_OK && found) status = read_head(reader, err);
    if (status) t2d_reader_close(reader);
    return status;
}

void t2d_reader_close(t2d_reader *reader)
{
    if (reader->stream) fclose(reader->stream);
    json_decref(reader->json);
    json_decref(reader->head);
    free(reader->text);
    free(reader->cells);
    *reader = (t2d_reader){0};
}

int64_t t2d_share_count(int64_t pictures, int64_t first, int64_t step)
{
    return first < pictures ? (pictures - first + step - 1) / step : 0;
}

/* ---- a picture's line ---- */

static bool read_integer(const json_t *value, json_int_t most, json_int_t *number)
{
    *number = json_integer_value(value);
    return json_is_integer(value) && *number >= 0 && *number <= most;
}

/* "cells": [truth, found, pixels, ...] */
static t2d_status read_cells(t2d_reader *r, t2d_record *record, t2d_error *err)
{
    const json_t *list = json_object_get(r->json, "cells");
    const size_t numbers = json_array_size(list), count = numbers / 3;
    int64_t pixels = record->ignored;
    if (!json_is_array(list) || numbers % 3 != 0) return damaged(r, "no cells", err);
    if (count > r->cell_room) {
        t2d_cell *cells = realloc(r->cells, count * sizeof *cells);
        if (!cells) return t2d_fail(err, T2D_E_MEMORY, "%s: out of memory", r->path);
        r->cells = cells;
        r->cell_room = count;
    }
    for (size_t i = 0; i < count; i++) {
        json_int_t truth, found, n;
        if (!read_integer(json_array_get(list, 3 * i), r->labels - 1, &truth) ||
            !read_integer(json_array_get(list, 3 * i + 1), r->labels - 1, &found) ||
            !read_integer(json_array_get(list, 3 * i + 2), UINT32_MAX, &n))
            return damaged(r, "a cell is out of range", err);
        r->cells[i] = (t2d_cell){(uint16_t)truth, (uint16_t)found, (uint32_t)n};
        pixels += n;
    }
    if (pixels != (int64_t)record->width * record->height) return damaged(r, "its pixels do not add up", err);
    record->cells = r->cells;
    record->cell_count = count;
    return T2D_OK;
}

static t2d_status read_counted(t2d_reader *r, t2d_record *record, t2d_error *err)
{
    const char *hash;
    char *end;
    json_int_t ignored;
    if (json_unpack(r->json, "{s:i, s:i, s:i, s:s, s:I, s:[F,F,F,F]}", "width", &record->width, "height",
                    &record->height, "label_file", &record->file, "hash", &hash, "ignored", &ignored,
                    "seconds", &record->seconds[0], &record->seconds[1], &record->seconds[2],
                    &record->seconds[3]) != 0 ||
        record->width < 1 || record->height < 1 || record->file < 0 || record->file >= T2D_MOST_LABEL_FILES ||
        ignored < 0)
        return damaged(r, "a value is missing or out of range", err);
    record->ignored = ignored;
    record->hash = strtoull(hash, &end, 16);
    if (*end || end - hash != 16) return damaged(r, "its hash is none", err);
    return read_cells(r, record, err);
}

t2d_status t2d_reader_next(t2d_reader *reader, t2d_record *record, bool *found, t2d_error *err)
{
    *record = (t2d_record){0};
    *found = false;
    t2d_status status = reader->head ? next_line(reader, found, err) : T2D_OK;
    if (status || !*found) return status;
    json_int_t picture;
    if (json_unpack(reader->json, "{s:I, s:s, s?s}", "picture", &picture, "name", &record->name, "failed",
                    &record->failed) != 0)
        return damaged(reader, "no picture is named", err);
    if (picture != reader->at || picture >= reader->pictures)
        return damaged(reader, "another picture was to come", err);
    record->picture = picture;
    reader->at += reader->step;
    return record->failed ? T2D_OK : read_counted(reader, record, err);
}

/* ---- do two files belong together? ---- */

/* A value of `decides` in words; a preset by its name and hash. */
static void show(const json_t *decides, const char *key, char *text, size_t room)
{
    const json_t *value = json_object_get(decides, key);
    if (strcmp(key, "preset") == 0) {
        const char *name = json_string_value(json_object_get(value, "name"));
        const char *hash = json_string_value(json_object_get(decides, "preset_hash"));
        snprintf(text, room, "%s (%s)", name ? name : "none", hash ? hash : "no hash");
        return;
    }
    char *all = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;
    snprintf(text, room, "%s", all ? all : "nothing");
    free(all);
}

t2d_status t2d_heads_agree(const json_t *a, const char *a_path, const json_t *b, const char *b_path,
                           t2d_error *err)
{
    const json_t *ours = json_object_get(a, "decides"), *theirs = json_object_get(b, "decides");
    const char *key;
    json_t *value;
    const json_t *both[2] = {ours, theirs};
    for (int k = 0; k < 2; k++) /* a key may be missing on either side */
        json_object_foreach((json_t *)both[k], key, value)
        {
            const json_t *mine = json_object_get(ours, key), *other = json_object_get(theirs, key);
            if (json_equal((json_t *)mine, (json_t *)other)) continue;
            char left[200], right[200];
            show(ours, key, left, sizeof left);
            show(theirs, key, right, sizeof right);
            return t2d_fail(err, T2D_E_ARGUMENT,
                            "%s and %s do not belong together: %s is %s in one, %s in the other", a_path,
                            b_path, key, left, right);
        }
    return T2D_OK;
}
