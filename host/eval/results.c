/* results.c — writing a results file: a line per picture, appended as soon as the picture is counted.
 * What was counted outlives everything but the disk: a line that did not go through whole is cut off again,
 * here when the disk refuses it, and at the next start when the process was killed in the middle of it. */
#include "eval/eval.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { SYNC_SECONDS = 30 }; /* what a machine that loses its power may take with it */

/* ---- lines ---- */

char *t2d_record_text(const t2d_record *record, t2d_error *err)
{
    json_t *line = json_pack("{s:I, s:s}", "picture", (json_int_t)record->picture, "name", record->name);
    if (line && record->failed) {
        json_object_set_new(line, "failed", json_string(record->failed));
    } else if (line) {
        char hash[17];
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)record->hash);
        json_t *cells = json_array();
        for (size_t i = 0; i < record->cell_count; i++) {
            const t2d_cell *c = &record->cells[i];
            json_array_append_new(cells, json_integer(c->truth));
            json_array_append_new(cells, json_integer(c->found));
            json_array_append_new(cells, json_integer((json_int_t)c->pixels));
        }
        json_t *rest = json_pack("{s:i, s:i, s:i, s:s, s:I, s:[f,f,f,f], s:o}", "width", record->width,
                                 "height", record->height, "label_file", record->file, "hash", hash,
                                 "ignored", (json_int_t)record->ignored, "seconds", record->seconds[0],
                                 record->seconds[1], record->seconds[2], record->seconds[3], "cells", cells);
        json_object_update(line, rest);
        json_decref(rest);
    }
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(line);
    const size_t length = text ? strlen(text) : 0;
    char *whole = text ? realloc(text, length + 2) : NULL;
    if (!whole) {
        free(text);
        t2d_fail(err, T2D_E_MEMORY, "%s: out of memory for its record", record->name);
        return NULL;
    }
    memcpy(whole + length, "\n", 2);
    return whole;
}

/* All of it, or the file as it was before. */
static t2d_status write_line(t2d_results *r, const char *text, t2d_error *err)
{
    const size_t length = strlen(text);
    for (size_t done = 0; done < length;) {
        const ssize_t n = pwrite(r->file, text + done, length - done, r->bytes + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int cause = n < 0 ? errno : ENOSPC;
            if (ftruncate(r->file, r->bytes) != 0) { /* the torn line is cut off when the file is read */
            }
            return t2d_fail(err, T2D_E_IO, "%s: cannot write: %s; what it holds already is kept", r->path,
                            strerror(cause));
        }
        done += (size_t)n;
    }
    r->bytes += (int64_t)length;
    return T2D_OK;
}

t2d_status t2d_results_append(t2d_results *results, const t2d_record *record, t2d_error *err)
{
    char *text = t2d_record_text(record, err);
    if (!text) return T2D_E_MEMORY;
    const t2d_status status = write_line(results, text, err);
    free(text);
    if (status == T2D_OK && t2d_clock() - results->synced > SYNC_SECONDS) {
        fdatasync(results->file); /* a disk that fails is seen at the end */
        results->synced = t2d_clock();
    }
    return status;
}

/* ---- the file ---- */

static t2d_status check_head(const t2d_reader *reader, const json_t *head, t2d_error *err)
{
    const t2d_status status = t2d_heads_agree(reader->head, reader->path, head, "this run", err);
    if (status == T2D_OK &&
        !json_equal(json_object_get(reader->head, "shard"), json_object_get((json_t *)head, "shard")))
        return t2d_fail(err, T2D_E_ARGUMENT, "%s holds another shard than this run's", reader->path);
    return status;
}

/* Adds up what is there, and cuts off a line that is not whole. */
static t2d_status take_over(t2d_results *r, const json_t *head, t2d_tally *tally, t2d_error *err)
{
    t2d_reader reader;
    t2d_record record;
    bool found = true;
    t2d_status status = t2d_reader_open(&reader, r->path, err);
    if (status) return status;
    if (reader.head) status = check_head(&reader, head, err);
    while (status == T2D_OK && found) {
        status = t2d_reader_next(&reader, &record, &found, err);
        if (status == T2D_OK && found) t2d_tally_add(tally, &record);
    }
    r->bytes = reader.sound;
    t2d_reader_close(&reader);
    if (status == T2D_OK && ftruncate(r->file, r->bytes) != 0)
        status = t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", r->path, strerror(errno));
    return status;
}

static t2d_status write_head(t2d_results *r, const json_t *head, t2d_error *err)
{
    char *text = json_dumps(head, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7)), *line = NULL;
    t2d_status status = text && asprintf(&line, "%s\n", text) >= 0
                            ? write_line(r, line, err)
                            : t2d_fail(err, T2D_E_MEMORY, "%s: out of memory", r->path);
    free(text);
    free(line);
    return status;
}

t2d_status t2d_results_open(t2d_results *results, const char *path, const json_t *head, t2d_tally *tally,
                            t2d_error *err)
{
    *results = (t2d_results){.path = path, .file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)};
    if (results->file < 0) return t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", path, strerror(errno));
    results->synced = t2d_clock();
    t2d_status status = T2D_OK;
    if (flock(results->file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        status = t2d_fail(err, T2D_E_IO, "%s: another process is writing it", path);
    if (status == T2D_OK) status = take_over(results, head, tally, err);
    const bool empty = status == T2D_OK && results->bytes == 0;
    if (empty) status = write_head(results, head, err);
    if (status) {
        if (empty) unlink(path);
        close(results->file);
    }
    return status;
}

t2d_status t2d_results_close(t2d_results *results, t2d_error *err)
{
    const int cause = fsync(results->file) != 0 && errno != EINVAL ? errno : 0; /* EINVAL: not a disk */
    close(results->file);
    return cause ? t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", results->path, strerror(cause)) : T2D_OK;
}
