/* config.c — what a model file says about itself, believed only after it has been checked.
 *
 * A key that is missing, not understood or outside its range is an error: a model that runs with a guessed
 * constant gives wrong masks without a word. */
#include "model/layout.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static const char *meta(const t2d_st_file *file, const char *key, t2d_error *err)
{
    const char *value = t2d_st_meta(file, key);
    if (!value) t2d_fail(err, T2D_E_FORMAT, "the metadata has no %s: export the model again", key);
    return value;
}

static t2d_status meta_int(const t2d_st_file *file, const char *key, int min, int max, int *out,
                           t2d_error *err)
{
    const char *value = meta(file, key, err);
    if (!value) return T2D_E_FORMAT;
    char *end;
    errno = 0;
    const long number = strtol(value, &end, 10);
    if (end == value || *end || errno || number < min || number > max)
        return t2d_fail(err, T2D_E_FORMAT, "metadata %s is '%.40s'; want a whole number from %d to %d", key,
                        value, min, max);
    *out = (int)number;
    return T2D_OK;
}

/* `count` numbers separated by single spaces, each in [min, max]; the decimal point is a point in any locale.
 */
static t2d_status meta_floats(const t2d_st_file *file, const char *key, double min, double max, int count,
                              float *out, t2d_error *err)
{
    const char *value = meta(file, key, err);
    if (!value) return T2D_E_FORMAT;
    const locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    const char *at = value;
    bool good = plain != (locale_t)0;
    for (int i = 0; good && i < count; i++) {
        char *end;
        const double number = strtod_l(at, &end, plain);
        good = end != at && isfinite(number) && number >= min && number <= max &&
               *end == (i + 1 < count ? ' ' : '\0');
        out[i] = (float)number;
        at = end + 1;
    }
    if (plain) freelocale(plain);
    if (!good)
        return t2d_fail(err, T2D_E_FORMAT, "metadata %s is '%.80s'; want %d number%s from %g to %g", key,
                        value, count, count == 1 ? "" : "s separated by spaces", min, max);
    return T2D_OK;
}

/* One of two words; *second says which. */
static t2d_status meta_either(const t2d_st_file *file, const char *key, const char *first_word,
                              const char *second_word, bool *second, t2d_error *err)
{
    const char *value = meta(file, key, err);
    if (!value) return T2D_E_FORMAT;
    *second = strcmp(value, second_word) == 0;
    if (*second || strcmp(value, first_word) == 0) return T2D_OK;
    return t2d_fail(err, T2D_E_FORMAT, "metadata %s is '%.40s'; this version knows %s and %s", key, value,
                    first_word, second_word);
}

static t2d_status meta_exactly(const t2d_st_file *file, const char *key, const char *word, t2d_error *err)
{
    const char *value = meta(file, key, err);
    if (!value) return T2D_E_FORMAT;
    if (strcmp(value, word) != 0)
        return t2d_fail(err, T2D_E_UNSUPPORTED, "metadata %s is '%.40s'; this version knows only %s", key,
                        value, word);
    return T2D_OK;
}

/* ---- all of them ---- */

static t2d_status read_words(const t2d_st_file *file, t2d_config *config, t2d_error *err)
{
    const char *format = t2d_st_meta(file, "format");
    if (!format || strcmp(format, "talk2dino") != 0)
        return t2d_fail(
            err, T2D_E_FORMAT,
            "not a Talk2DINO model file: its metadata has no format=talk2dino (make one from checkpoints "
            "with python_export/export.py)");
    const char *templates = meta(file, "segment.templates", err);
    if (!templates) return T2D_E_FORMAT;
    int prompts;
    if (strlen(templates) >= sizeof config->templates || !t2d_templates_find(templates, &prompts))
        return t2d_fail(err, T2D_E_FORMAT, "metadata segment.templates is '%.80s'; there are %s", templates,
                        t2d_templates_names());
    strcpy(config->templates, templates);
    static const char *const fixed[][2] = {{"format_version", "1"},
                                           {"vision.activation", "gelu"},
                                           {"text.activation", "quick_gelu"},
                                           {"psi.activation", "tanh"}};
    t2d_status status = T2D_OK;
    for (size_t i = 0; status == T2D_OK && i < sizeof fixed / sizeof *fixed; i++)
        status = meta_exactly(file, fixed[i][0], fixed[i][1], err);
    if (status == T2D_OK)
        status = meta_either(file, "vision.ffn", "mlp", "swiglu", &config->vision.swiglu, err);
    if (status == T2D_OK)
        status =
            meta_either(file, "vision.position.antialias", "false", "true", &config->vision.antialias, err);
    return status;
}

static t2d_status read_numbers(const t2d_st_file *file, t2d_config *c, t2d_error *err)
{
    const struct {
        const char *key;
        int min, max, *out;
    } whole[] = {
        {"vision.dim", T2D_HEAD, 8192, &c->vision.dim},
        {"vision.depth", 1, 256, &c->vision.depth},
        {"vision.heads", 1, 128, &c->vision.heads},
        {"vision.hidden", 1, 65536, &c->vision.hidden},
        {"vision.patch", 1, 64, &c->vision.patch},
        {"vision.registers", 0, 64, &c->vision.registers},
        {"vision.grid", 1, 512, &c->vision.grid},
        {"text.dim", T2D_HEAD, 8192, &c->text.dim},
        {"text.depth", 1, 256, &c->text.depth},
        {"text.heads", 1, 128, &c->text.heads},
        {"text.hidden", 1, 65536, &c->text.hidden},
        {"text.context", 2, 4096, &c->text.context},
        {"text.vocabulary", 514, 1 << 20, &c->text.vocabulary},
        {"text.embed", 1, 8192, &c->text.embed},
        {"preprocess.size", 1, 4096, &c->size},
        {"segment.crop", 1, 4096, &c->size},
        {"segment.stride", 1, 4096, &c->stride},
        {"segment.short_side", 1, 65536, &c->short_side},
        {"segment.long_side", 1, 65536, &c->long_side},
    };
    const struct {
        const char *key;
        double min, max;
        int count;
        float *out;
    } real[] = {
        {"vision.eps", 1e-12, 1e-2, 1, &c->vision.eps},
        {"vision.position.offset", 0, 0.5, 1, &c->vision.offset},
        {"text.eps", 1e-12, 1e-2, 1, &c->text.eps},
        {"preprocess.mean", -10, 10, 3, c->mean},
        {"preprocess.std", 1e-3, 10, 3, c->std},
        {"segment.background", 0, 1, 1, &c->background},
        {"segment.clean_lambda", 0, 100, 1, &c->clean_lambda},
    };
    t2d_status status = T2D_OK;
    for (size_t i = 0; status == T2D_OK && i < sizeof whole / sizeof *whole; i++)
        status = meta_int(file, whole[i].key, whole[i].min, whole[i].max, whole[i].out, err);
    for (size_t i = 0; status == T2D_OK && i < sizeof real / sizeof *real; i++)
        status = meta_floats(file, real[i].key, real[i].min, real[i].max, real[i].count, real[i].out, err);
    return status;
}

static t2d_status check_sizes(const t2d_config *c, t2d_error *err)
{
    if (c->vision.dim != c->vision.heads * T2D_HEAD || c->text.dim != c->text.heads * T2D_HEAD)
        return t2d_fail(err, T2D_E_UNSUPPORTED,
                        "heads must be %d channels wide: vision %d / %d, text %d / %d", T2D_HEAD,
                        c->vision.dim, c->vision.heads, c->text.dim, c->text.heads);
    if (c->size % c->vision.patch != 0)
        return t2d_fail(err, T2D_E_FORMAT, "segment.crop %d is not a multiple of the patch size %d", c->size,
                        c->vision.patch);
    if (c->stride > c->size)
        return t2d_fail(err, T2D_E_FORMAT, "segment.stride %d leaves gaps between windows of %d", c->stride,
                        c->size);
    return T2D_OK;
}

/* ---- tensors ---- */

typedef struct expectation {
    const t2d_st_file *file;
    bool *seen; /* by index in the file */
    t2d_status status;
    t2d_error *err;
} expectation;

static void shape_text(char *out, size_t capacity, const int64_t *shape, int rank)
{
    size_t used = (size_t)snprintf(out, capacity, "[");
    for (int i = 0; i < rank && used < capacity; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < capacity) snprintf(out + used, capacity - used, "]");
}

static void mark_seen(expectation *e, const t2d_st_tensor *t)
{
    for (int i = 0; i < t2d_st_count(e->file); i++)
        if (t2d_st_at(e->file, i) == t) e->seen[i] = true;
}

static bool check_tensor(void *context, const t2d_layout_entry *want)
{
    expectation *e = context;
    const t2d_st_tensor *t = t2d_st_find(e->file, want->name);
    char wanted[128], found[256];
    shape_text(wanted, sizeof wanted, want->shape, want->rank);
    if (!t) {
        e->status = t2d_fail(e->err, T2D_E_FORMAT, "tensor %s %s is missing", want->name, wanted);
        return false;
    }
    if (t->type != T2D_ST_F32 && t->type != T2D_ST_F16 && t->type != T2D_ST_BF16) {
        e->status = t2d_fail(e->err, T2D_E_FORMAT, "tensor %s is %s; want F32, F16 or BF16", want->name,
                             t2d_st_type_name(t->type));
        return false;
    }
    if (t->rank != want->rank || memcmp(t->shape, want->shape, sizeof(int64_t) * (size_t)want->rank) != 0) {
        shape_text(found, sizeof found, t->shape, t->rank);
        e->status = t2d_fail(e->err, T2D_E_FORMAT, "tensor %s is %s; want %s", want->name, found, wanted);
        return false;
    }
    mark_seen(e, t);
    return true;
}

static t2d_status check_tensors(const t2d_st_file *file, const t2d_config *config, t2d_error *err)
{
    const int count = t2d_st_count(file);
    expectation e = {
        .file = file, .err = err, .seen = t2d_new((size_t)count, sizeof(bool), "tensor list", err)};
    if (!e.seen) return T2D_E_MEMORY;
    if (t2d_layout_each(config, check_tensor, &e)) {
        const t2d_st_tensor *merges = t2d_st_find(file, "tokenizer.merges");
        if (!merges || merges->type != T2D_ST_U8 || merges->rank != 1)
            e.status = t2d_fail(err, T2D_E_FORMAT, "tensor tokenizer.merges (U8, one dimension) is missing");
        else
            mark_seen(&e, merges);
    }
    for (int i = 0; e.status == T2D_OK && i < count; i++)
        if (!e.seen[i])
            e.status = t2d_fail(err, T2D_E_FORMAT, "tensor %.200s does not belong to such a model",
                                t2d_st_at(file, i)->name);
    free(e.seen);
    return e.status;
}

t2d_status t2d_config_read(const t2d_st_file *file, t2d_config *config, t2d_error *err)
{
    *config = (t2d_config){0};
    t2d_status status = read_words(file, config, err);
    if (status == T2D_OK) status = read_numbers(file, config, err);
    if (status == T2D_OK) status = check_sizes(config, err);
    if (status == T2D_OK) status = check_tensors(file, config, err);
    return status;
}
