/* merge.c — shards put together.  All files are walked side by side in the order of pictures, so that a
 * picture that is missing or counted twice is seen where it is, and nothing is held. */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

typedef struct part {
    t2d_reader reader;
    t2d_record record; /* the next one */
    bool found;        /* it is there */
} part;

typedef struct merging {
    part *parts;
    int count;
    t2d_outfile out;
    bool writes;
} merging;

static t2d_status advance(part *p, t2d_error *err)
{
    return t2d_reader_next(&p->reader, &p->record, &p->found, err);
}

static t2d_status open_part(merging *m, int index, const char *path, t2d_error *err)
{
    part *p = &m->parts[index];
    t2d_status status = t2d_reader_open(&p->reader, path, err);
    if (status) return status;
    m->count++;
    if (!p->reader.head) return t2d_fail(err, T2D_E_FORMAT, "%s: empty", path);
    if (index > 0)
        status = t2d_heads_agree(m->parts[0].reader.head, m->parts[0].reader.path, p->reader.head, path, err);
    return status ? status : advance(p, err);
}

/* Picture `picture` is in no file: who should have had it? */
static t2d_status explain_gap(const merging *m, int64_t picture, t2d_error *err)
{
    const t2d_reader *r = &m->parts[0].reader;
    for (int i = 0; i < m->count; i++) {
        r = &m->parts[i].reader;
        if (picture >= r->first && (picture - r->first) % r->step == 0) {
            const int64_t share = t2d_share_count(r->pictures, r->first, r->step);
            return t2d_fail(err, T2D_E_FORMAT,
                            "%s ends after %lld of %lld pictures: run it again to finish it", r->path,
                            (long long)((picture - r->first) / r->step), (long long)share);
        }
    }
    return t2d_fail(err, T2D_E_FORMAT,
                    "picture %lld of %lld is in none of the files: shard %lld/%lld is missing",
                    (long long)picture + 1, (long long)r->pictures, (long long)(picture % r->step + 1),
                    (long long)r->step);
}

static t2d_status take(merging *m, part *p, t2d_tally *tally, t2d_error *err)
{
    t2d_tally_add(tally, &p->record);
    if (m->writes) {
        char *text = t2d_record_text(&p->record, err);
        if (!text) return T2D_E_MEMORY;
        fputs(text, m->out.stream); /* an error is seen at the end */
        free(text);
    }
    return advance(p, err);
}

static t2d_status walk(merging *m, t2d_tally *tally, t2d_error *err)
{
    const int64_t pictures = m->parts[0].reader.pictures;
    for (int64_t picture = 0; picture < pictures; picture++) {
        part *owner = NULL;
        for (int i = 0; i < m->count; i++) {
            part *p = &m->parts[i];
            if (!p->found || p->record.picture != picture) continue;
            if (owner)
                return t2d_fail(err, T2D_E_FORMAT, "%s and %s both count picture %lld ('%.80s')",
                                owner->reader.path, p->reader.path, (long long)picture + 1, p->record.name);
            owner = p;
        }
        if (!owner) return explain_gap(m, picture, err);
        const t2d_status status = take(m, owner, tally, err);
        if (status) return status;
    }
    return T2D_OK;
}

/* The first file's head, for the whole. */
static t2d_status make_head(const merging *m, json_t **head, t2d_error *err)
{
    *head = json_copy(m->parts[0].reader.head);
    json_t *from = json_array();
    for (int i = 0; i < m->count; i++) json_array_append_new(from, json_string(m->parts[i].reader.path));
    if (json_object_set_new(*head, "shard", json_pack("[i, i]", 0, 1)) == 0 &&
        json_object_set_new(*head, "merged_from", from) == 0)
        return T2D_OK;
    json_decref(*head);
    *head = NULL;
    return t2d_fail(err, T2D_E_MEMORY, "merging: out of memory");
}

static t2d_status start_output(merging *m, const char *out, const json_t *head, t2d_error *err)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->parts[i].reader.path, out) == 0)
            return t2d_fail(err, T2D_E_ARGUMENT, "%s would be replaced by the whole it is a part of", out);
    const t2d_status status = t2d_outfile_open(&m->out, out, err);
    if (status) return status;
    m->writes = true;
    if (json_dumpf(head, m->out.stream, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7)) != 0 &&
        !ferror(m->out.stream))
        return t2d_fail(err, T2D_E_MEMORY, "%s: out of memory", out);
    fputc('\n', m->out.stream);
    return T2D_OK;
}

t2d_status t2d_merge(const char *const *paths, int count, const char *out, json_t **head, t2d_tally *tally,
                     t2d_error *err)
{
    *head = NULL;
    *tally = (t2d_tally){0};
    merging m = {.parts = t2d_new((size_t)count, sizeof *m.parts, "results files", err)};
    t2d_status status = m.parts ? T2D_OK : T2D_E_MEMORY;
    for (int i = 0; status == T2D_OK && i < count; i++) status = open_part(&m, i, paths[i], err);
    if (status == T2D_OK) status = t2d_tally_init(tally, m.parts[0].reader.labels, err);
    if (status == T2D_OK) status = make_head(&m, head, err);
    if (status == T2D_OK && out) status = start_output(&m, out, *head, err);
    if (status == T2D_OK) status = walk(&m, tally, err);
    if (status == T2D_OK && m.writes)
        status = t2d_outfile_commit(&m.out, err);
    else if (m.writes)
        t2d_outfile_abort(&m.out);
    for (int i = 0; i < m.count; i++) t2d_reader_close(&m.parts[i].reader);
    free(m.parts);
    if (status) {
        json_decref(*head);
        *head = NULL;
        t2d_tally_release(tally);
    }
    return status;
}
