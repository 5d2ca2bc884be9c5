/* random_model.c — model files of random weights, as python_export/random_model.py makes them, written to
 * memory that has a path.  They are opened like any other file and meet the same checks; the memory is the
 * system's, not the process's, and gone when the file is closed.
 *
 * Values are fp32 with all their bits: a chip that multiplies round numbers draws less power. */
#include "bench/random_model.h"
#include "model/layout.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

enum { PATCH = 14, GRID = 37, WIDER = 4, CONTEXT = 77, SPECIALS = 514 };
enum { VALUE = 48, NAME = 112, FIXED = 64 }; /* bytes of a value and of a key; keys that are no checksums */

/* ---- sizes ---- */

#define CLIP .text_dim = 512, .text_depth = 12, .embed = 512, .merges = 48894

static const t2d_model_size sizes[] = {
    {.name = "vit-s14", .dim = 384, .depth = 12, CLIP},
    {.name = "vit-s14-reg4", .dim = 384, .depth = 12, .registers = 4, CLIP},
    {.name = "vit-b14", .dim = 768, .depth = 12, CLIP},
    {.name = "vit-b14-reg4", .dim = 768, .depth = 12, .registers = 4, CLIP},
    {.name = "vit-l14", .dim = 1024, .depth = 24, CLIP},
    {.name = "vit-l14-reg4", .dim = 1024, .depth = 24, .registers = 4, CLIP},
};

const char *t2d_model_size_names(void)
{
    return "vit-s14, vit-b14, vit-l14, vit-s14-reg4, vit-b14-reg4, vit-l14-reg4";
}

t2d_status t2d_model_size_find(const char *name, t2d_model_size *size, t2d_error *err)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(sizes[i].name, name) == 0) {
            *size = sizes[i];
            return T2D_OK;
        }
    return t2d_fail(err, T2D_E_ARGUMENT, "no size is called '%.40s'; there are %s", name,
                    t2d_model_size_names());
}

static t2d_config config_of(const t2d_model_size *s)
{
    t2d_config c = {.vision = {.dim = s->dim,
                               .depth = s->depth,
                               .heads = s->dim / T2D_HEAD,
                               .hidden = WIDER * s->dim,
                               .patch = PATCH,
                               .registers = s->registers,
                               .grid = GRID},
                    .text = {.dim = s->text_dim,
                             .depth = s->text_depth,
                             .heads = s->text_dim / T2D_HEAD,
                             .hidden = WIDER * s->text_dim,
                             .context = CONTEXT,
                             .vocabulary = SPECIALS + s->merges,
                             .embed = s->embed}};
    return c;
}

/* ---- values ---- */

typedef struct range {
    double low, high;
} range;

static bool ends(const char *name, const char *tail)
{
    const size_t n = strlen(name), t = strlen(tail);
    return n >= t && strcmp(name + n - t, tail) == 0;
}

/* Activations keep a trained network's scale through all blocks: random_model.py's `spread`. */
static range range_of(const t2d_layout_entry *e)
{
    const char *name = e->name;
    if (strstr(name, "norm") || strstr(name, ".ln_"))
        return ends(name, "weight") ? (range){0.5, 1.5} : (range){-0.3, 0.3};
    if (ends(name, "gamma")) return (range){0.1, 0.5};
    if (ends(name, "token") || ends(name, "tokens") || ends(name, "pos_embed") || ends(name, "embedding") ||
        ends(name, "token_embedding.weight"))
        return (range){-1, 1};
    if (ends(name, "bias")) return (range){-0.2, 0.2};
    double fan_in = ends(name, "text_projection") ? (double)e->shape[0] : 1;
    for (int i = 1; i < e->rank && !ends(name, "text_projection"); i++) fan_in *= (double)e->shape[i];
    const double wide = sqrt(3 / fan_in); /* unit variance in, unit variance out */
    return (range){-wide, wide};
}

static int64_t count_of(const t2d_layout_entry *e)
{
    int64_t count = 1;
    for (int i = 0; i < e->rank; i++) count *= e->shape[i];
    return count;
}

static void fill(const t2d_layout_entry *e, uint64_t seed, float *values)
{
    const range r = range_of(e);
    const float low = (float)r.low, step = (float)((r.high - r.low) * 0x1p-24);
    const uint64_t key = XXH3_64bits_withSeed(e->name, strlen(e->name), seed);
    const int64_t count = count_of(e);
    for (int64_t i = 0; i < count; i++) values[i] = (float)(t2d_mix(key + (uint64_t)i) >> 40) * step + low;
}

/* Line i of a table in which no two lines make the same symbol: pairs of printable characters, then a pair
 * and a third. */
static void merge_line(int i, char line[8])
{
    enum { CHARACTERS = 94, PAIRS = CHARACTERS * CHARACTERS };
    const char a = (char)('!' + (i / CHARACTERS) % CHARACTERS), b = (char)('!' + i % CHARACTERS);
    if (i < PAIRS) {
        snprintf(line, 8, "%c %c\n", a, b);
        return;
    }
    const int pair = (i - PAIRS) / CHARACTERS, third = (i - PAIRS) % CHARACTERS;
    snprintf(line, 8, "%c%c %c\n", '!' + pair / CHARACTERS, '!' + pair % CHARACTERS, '!' + third);
}

/* ---- what the file says of itself ---- */

typedef struct maker {
    uint64_t seed;
    t2d_config config;
    t2d_layout_entry *entries; /* [count], tensors without the tokenizer's */
    int count, capacity;
    char *merges;
    size_t merges_bytes;
    float *values;                       /* one tensor at a time */
    const char *(*meta)[2];              /* [meta_count] */
    char (*keys)[NAME], (*texts)[VALUE]; /* what meta points to */
    int meta_count;
} maker;

static void say(maker *m, const char *key, const char *text)
{
    char *k = m->keys[m->meta_count], *t = m->texts[m->meta_count];
    snprintf(k, NAME, "%s", key);
    snprintf(t, VALUE, "%s", text);
    m->meta[m->meta_count][0] = k;
    m->meta[m->meta_count++][1] = t;
}

static void say_number(maker *m, const char *key, int number)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    say(m, key, text);
}

/* As python_export/metadata.py describes a model of the hub. */
static void describe(maker *m)
{
    const t2d_config *c = &m->config;
    const bool registers = c->vision.registers > 0;
    const char *const words[][2] = {
        {"format", "talk2dino"},
        {"format_version", "1"},
        {"vision.ffn", "mlp"},
        {"vision.eps", "1e-06"},
        {"vision.activation", "gelu"},
        {"vision.position.antialias", registers ? "true" : "false"},
        {"vision.position.offset", registers ? "0.0" : "0.1"},
        {"text.eps", "1e-05"},
        {"text.activation", "quick_gelu"},
        {"psi.activation", "tanh"},
        {"preprocess.mean", "0.485 0.456 0.406"},
        {"preprocess.std", "0.229 0.224 0.225"},
        {"preprocess.size", "448"},
        {"segment.crop", "448"},
        {"segment.stride", "224"},
        {"segment.short_side", "448"},
        {"segment.long_side", "2048"},
        {"segment.templates", "sub_imagenet_template"},
        {"segment.background", c->vision.dim == 1024 ? "0.54" : "0.55"},
        {"segment.clean_lambda", "0.2"},
    };
    const struct {
        const char *key;
        int number;
    } numbers[] = {
        {"vision.dim", c->vision.dim},           {"vision.depth", c->vision.depth},
        {"vision.heads", c->vision.heads},       {"vision.hidden", c->vision.hidden},
        {"vision.patch", c->vision.patch},       {"vision.registers", c->vision.registers},
        {"vision.grid", c->vision.grid},         {"text.dim", c->text.dim},
        {"text.depth", c->text.depth},           {"text.heads", c->text.heads},
        {"text.hidden", c->text.hidden},         {"text.context", c->text.context},
        {"text.vocabulary", c->text.vocabulary}, {"text.embed", c->text.embed},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) say(m, words[i][0], words[i][1]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        say_number(m, numbers[i].key, numbers[i].number);
}

/* Each tensor is made twice, here for its checksum, which stands before it. */
static t2d_status add_checksums(maker *m, t2d_error *err)
{
    char key[NAME], hex[T2D_CHECKSUM];
    for (int i = 0; i < m->count; i++) {
        fill(&m->entries[i], m->seed, m->values);
        snprintf(key, sizeof key, "checksum.%s", m->entries[i].name);
        t2d_tensor_checksum(m->values, (size_t)count_of(&m->entries[i]) * sizeof(float), hex);
        say(m, key, hex);
    }
    t2d_tensor_checksum(m->merges, m->merges_bytes, hex);
    say(m, "checksum.tokenizer.merges", hex);
    const t2d_status status = t2d_metadata_checksum(m->meta, m->meta_count, hex, err);
    if (status == T2D_OK) say(m, "checksum.__metadata__", hex);
    return status;
}

/* ---- the file ---- */

static bool add_entry(void *context, const t2d_layout_entry *entry)
{
    maker *m = context;
    if (m->entries) m->entries[m->count] = *entry;
    m->count++;
    return true;
}

static t2d_status make_merges(maker *m, int lines, t2d_error *err)
{
    m->merges = t2d_new((size_t)lines + 1, 8, "merges", err);
    if (!m->merges) return T2D_E_MEMORY;
    for (int i = 0; i < lines; i++) {
        merge_line(i, m->merges + m->merges_bytes);
        m->merges_bytes += strlen(m->merges + m->merges_bytes);
    }
    return T2D_OK;
}

static t2d_status prepare(maker *m, const t2d_model_size *size, t2d_error *err)
{
    t2d_layout_each(&m->config, add_entry, m); /* counts */
    const size_t count = (size_t)m->count, most = count + FIXED;
    m->entries = t2d_new(count, sizeof *m->entries, "tensor list", err);
    m->meta = t2d_new(most, sizeof *m->meta, "metadata", err);
    m->keys = t2d_new(most, sizeof *m->keys, "metadata", err);
    m->texts = t2d_new(most, sizeof *m->texts, "metadata", err);
    if (!m->entries || !m->meta || !m->keys || !m->texts) return T2D_E_MEMORY;
    m->count = 0;
    t2d_layout_each(&m->config, add_entry, m);
    int64_t largest = 0;
    for (int i = 0; i < m->count; i++)
        if (count_of(&m->entries[i]) > largest) largest = count_of(&m->entries[i]);
    m->values = t2d_new((size_t)largest, sizeof(float), "the largest weight", err);
    return m->values ? make_merges(m, size->merges, err) : T2D_E_MEMORY;
}

static const void *next(void *context, int index, t2d_error *err)
{
    const maker *m = context;
    (void)err;
    if (index == m->count) return m->merges;
    fill(&m->entries[index], m->seed, m->values);
    return m->values;
}

static t2d_status write_to(maker *m, FILE *stream, const char *path, t2d_error *err)
{
    t2d_st_item *items = t2d_new((size_t)m->count + 1, sizeof *items, "tensor list", err);
    if (!items) return T2D_E_MEMORY;
    for (int i = 0; i < m->count; i++) {
        items[i] = (t2d_st_item){.name = m->entries[i].name, .type = T2D_ST_F32, .rank = m->entries[i].rank};
        memcpy(items[i].shape, m->entries[i].shape, sizeof m->entries[i].shape);
    }
    items[m->count] = (t2d_st_item){
        .name = "tokenizer.merges", .type = T2D_ST_U8, .rank = 1, .shape = {(int64_t)m->merges_bytes}};
    const t2d_status status = t2d_st_write_stream(
        stream, path, items, m->count + 1, (const char *const(*)[2])m->meta, m->meta_count, next, m, err);
    free(items);
    return status;
}

static t2d_status make(const t2d_model_size *size, uint64_t seed, FILE *stream, const char *path,
                       t2d_error *err)
{
    maker m = {.seed = seed, .config = config_of(size)};
    t2d_status status = prepare(&m, size, err);
    if (status == T2D_OK) {
        describe(&m);
        status = add_checksums(&m, err);
    }
    if (status == T2D_OK) status = write_to(&m, stream, path, err);
    free(m.entries);
    free(m.meta);
    free(m.keys);
    free(m.texts);
    free(m.merges);
    free(m.values);
    return status;
}

t2d_status t2d_random_model_open(const t2d_model_size *size, uint64_t seed, t2d_random_model *model,
                                 t2d_error *err)
{
    *model = (t2d_random_model){.fd = memfd_create("random model", MFD_CLOEXEC)};
    const int other = model->fd < 0 ? -1 : dup(model->fd); /* the stream's, closed with it */
    FILE *stream = other < 0 ? NULL : fdopen(other, "wb");
    t2d_status status = T2D_OK;
    if (!stream) {
        status =
            t2d_fail(err, T2D_E_IO, "a model of random weights has no place in memory: %s", strerror(errno));
        if (other >= 0) close(other);
    }
    snprintf(model->path, sizeof model->path, "/proc/self/fd/%d", model->fd);
    if (stream) status = make(size, seed, stream, model->path, err);
    if (stream && fclose(stream) != 0 && status == T2D_OK)
        status = t2d_fail(err, T2D_E_IO, "%s: cannot write: %s", model->path, strerror(errno));
    if (status != T2D_OK) t2d_random_model_close(model);
    return status;
}

void t2d_random_model_close(t2d_random_model *model)
{
    if (model->fd >= 0) close(model->fd);
    model->fd = -1;
}
