/* vocab.c — a list of class names as unit vectors, ready on the machine.
 * "person;man;woman" is one class of three vectors; their scores are merged by maximum. */
#include "segment/segment.h"

#include <stdlib.h>
#include <string.h>

/* All aliases of all classes as one list of strings. */
typedef struct aliases {
    char **names; /* [rows] */
    int rows, capacity;
} aliases;

static t2d_status push(aliases *a, const char *start, size_t length, t2d_error *err)
{
    if (a->rows == a->capacity) {
        const int more = a->capacity ? 2 * a->capacity : 64;
        char **names = realloc(a->names, (size_t)more * sizeof *names);
        if (!names) return t2d_fail(err, T2D_E_MEMORY, "class names: out of memory");
        a->names = names;
        a->capacity = more;
    }
    char *copy = t2d_new(length + 1, 1, "class name", err);
    if (!copy) return T2D_E_MEMORY;
    memcpy(copy, start, length);
    a->names[a->rows++] = copy;
    return T2D_OK;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Splits one class at ';'; spaces around an alias do not count. */
static t2d_status split(aliases *a, const char *text, int index, t2d_error *err)
{
    if (!text) return t2d_fail(err, T2D_E_ARGUMENT, "class %d is NULL", index);
    for (const char *at = text;; at++) {
        const char *end = strchrnul(at, ';'), *from = at, *to = end;
        while (from < to && is_space(*from)) from++;
        while (to > from && is_space(to[-1])) to--;
        if (from == to)
            return t2d_fail(err, T2D_E_ARGUMENT, "class %d ('%.100s') has an empty name", index, text);
        const t2d_status status = push(a, from, (size_t)(to - from), err);
        if (status != T2D_OK || !*end) return status;
        at = end;
    }
}

static t2d_status collect(t2d_vocab *v, const char *const *classes, aliases *a, t2d_error *err)
{
    for (int c = 0; c < v->count; c++) {
        v->first[c] = a->rows;
        t2d_status status = split(a, classes[c], c, err);
        if (status == T2D_OK && !(v->names[c] = t2d_strdup(a->names[v->first[c]], err)))
            status = T2D_E_MEMORY;
        if (status != T2D_OK) return status;
    }
    v->first[v->count] = v->rows = a->rows;
    return T2D_OK;
}

static t2d_status choose_prompts(const t2d_engine *engine, const t2d_vocab_options *o,
                                 const char *const **prompts, int *count, t2d_error *err)
{
    if (o && o->prompt_count > 0) {
        *prompts = o->prompts;
        *count = o->prompt_count;
        return T2D_OK;
    }
    const char *name = o && o->templates ? o->templates : engine->model.config.templates;
    *prompts = t2d_templates_find(name, count);
    return *prompts ? T2D_OK
                    : t2d_fail(err, T2D_E_ARGUMENT, "no template set is called '%.80s'; there are %s", name,
                               t2d_templates_names());
}

static t2d_status encode(t2d_vocab *v, const aliases *a, const t2d_vocab_options *options, t2d_error *err)
{
    const t2d_engine *engine = v->engine;
    const char *const *prompts;
    int prompt_count;
    t2d_status status = choose_prompts(engine, options, &prompts, &prompt_count, err);
    if (status != T2D_OK) return status;
    t2d_backend *be;
    status = t2d_engine_backend(engine, &be, err);
    if (status != T2D_OK) return status;
    const size_t bytes = (size_t)v->rows * (size_t)engine->model.config.vision.dim * sizeof(float);
    status = t2d_text_embed(be, &engine->model, (const char *const *)a->names, v->rows, prompts, prompt_count,
                            v->vectors, err);
    if (status == T2D_OK && !(v->text = be->op->alloc(be, bytes)))
        status = t2d_no_room(be, "class vectors", bytes, err);
    if (status == T2D_OK) {
        be->op->upload(be, v->text, v->vectors, bytes);
        status = be->op->download(be, v->vectors, v->text, bytes, err); /* waits: the upload has arrived */
    }
    be->op->close(be);
    return status;
}

t2d_status t2d_vocab_create(t2d_engine *engine, const char *const *classes, int count,
                            const t2d_vocab_options *options, t2d_vocab **vocab, t2d_error *err)
{
    t2d_error local;
    err = err ? err : &local;
    *vocab = NULL;
    if (!engine || !classes || count < 1 || count > 65534)
        return t2d_fail(err, T2D_E_ARGUMENT, "%d classes; want 1 to 65534", count);
    aliases a = {0};
    t2d_status status = T2D_E_MEMORY;
    t2d_vocab *v = t2d_new(1, sizeof *v, "vocab", err);
    if (!v) return status;
    v->engine = engine;
    v->count = count;
    v->names = t2d_new((size_t)count, sizeof *v->names, "class names", err);
    v->first = t2d_new((size_t)count + 1, sizeof *v->first, "class rows", err);
    if (v->names && v->first) status = collect(v, classes, &a, err);
    if (status == T2D_OK) {
        const size_t dim = (size_t)engine->model.config.vision.dim;
        v->vectors = t2d_new((size_t)v->rows * dim, sizeof(float), "class vectors", err);
        status = v->vectors ? encode(v, &a, options, err) : T2D_E_MEMORY;
    }
    for (int i = 0; i < a.rows; i++) free(a.names[i]);
    free(a.names);
    if (status == T2D_OK)
        *vocab = v;
    else
        t2d_vocab_destroy(v);
    return status;
}

void t2d_vocab_destroy(t2d_vocab *vocab)
{
    if (!vocab) return;
    for (int i = 0; vocab->names && i < vocab->count; i++) free(vocab->names[i]);
    free(vocab->names);
    free(vocab->first);
    free(vocab->vectors);
    if (vocab->text) vocab->engine->be->op->release(vocab->engine->be, vocab->text);
    free(vocab);
}

int t2d_vocab_count(const t2d_vocab *vocab) { return vocab->count; }
int t2d_vocab_rows(const t2d_vocab *vocab) { return vocab->rows; }
int t2d_vocab_dim(const t2d_vocab *vocab) { return vocab->engine->model.config.vision.dim; }
const float *t2d_vocab_vectors(const t2d_vocab *vocab) { return vocab->vectors; }

const char *t2d_vocab_name(const t2d_vocab *vocab, int index)
{
    return index >= 0 && index < vocab->count ? vocab->names[index] : NULL;
}
