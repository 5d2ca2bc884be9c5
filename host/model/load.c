/* load.c — a model file onto a machine: every tensor read once, checked, prepared and let go.
 *
 * One host buffer, the size of the largest tensor group, serves all of them, so that loading needs little
 * more memory than the weights themselves.  The loader is sticky: after the first failure the rest does
 * nothing. */
#include "model/layout.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96 }; /* as in t2d_layout_entry */

typedef struct loader {
    const t2d_st_file *file;
    t2d_backend *be;
    float *matrix, *vector, *gamma; /* host scratch: one weight matrix, its bias, its LayerScale */
    t2d_status status;
    t2d_error *err;
} loader;

/* ---- tensors into host memory ---- */

static bool read_into(loader *l, const char *name, float *out)
{
    if (l->status != T2D_OK) return false;
    char key[16 + NAME_BYTES];
    snprintf(key, sizeof key, "checksum.%s", name);
    const char *checksum = t2d_st_meta(l->file, key);
    if (!checksum)
        l->status = t2d_fail(l->err, T2D_E_FORMAT, "the metadata has no %s: export the model again", key);
    else
        l->status = t2d_st_read_f32(l->file, t2d_st_find(l->file, name), checksum, out, l->err);
    return l->status == T2D_OK;
}

static int64_t count_of(const loader *l, const char *name) { return t2d_st_find(l->file, name)->count; }

static float *read_host(loader *l, const char *name)
{
    if (l->status != T2D_OK) return NULL;
    float *host = t2d_new((size_t)count_of(l, name), sizeof(float), name, l->err);
    if (!host)
        l->status = T2D_E_MEMORY;
    else if (!read_into(l, name, host)) {
        free(host);
        host = NULL;
    }
    return host;
}

/* ---- onto the machine ---- */

static float *upload(loader *l, const float *host, size_t count, const char *name)
{
    if (l->status != T2D_OK) return NULL;
    float *p = l->be->op->alloc(l->be, count * sizeof(float));
    if (!p)
        l->status = t2d_no_room(l->be, name, count * sizeof(float), l->err);
    else
        l->be->op->upload(l->be, p, host, count * sizeof(float));
    return p;
}

static float *load(loader *l, const char *name)
{
    return read_into(l, name, l->matrix) ? upload(l, l->matrix, (size_t)count_of(l, name), name) : NULL;
}

static float *load_in(loader *l, const char *prefix, const char *name)
{
    char full[NAME_BYTES];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return load(l, full);
}

static t2d_linear *prepare(loader *l, const t2d_linear_desc *desc)
{
    t2d_linear *linear = NULL;
    if (l->status == T2D_OK) l->status = l->be->op->linear_create(l->be, desc, &linear, l->err);
    return linear;
}

/* prefix + weight [out, in], prefix + bias, and gamma's full name or NULL. */
static t2d_linear *load_linear(loader *l, const char *prefix, const char *weight, const char *bias,
                               const char *gamma, bool fp32)
{
    char weight_name[NAME_BYTES], bias_name[NAME_BYTES], gamma_name[NAME_BYTES] = "";
    snprintf(weight_name, sizeof weight_name, "%s%s", prefix, weight);
    snprintf(bias_name, sizeof bias_name, "%s%s", prefix, bias);
    if (gamma) snprintf(gamma_name, sizeof gamma_name, "%s%s", prefix, gamma);
    if (!read_into(l, weight_name, l->matrix) || !read_into(l, bias_name, l->vector) ||
        (gamma && !read_into(l, gamma_name, l->gamma)))
        return NULL;
    const int out = (int)count_of(l, bias_name);
    const t2d_linear_desc desc = {.name = weight_name,
                                  .out = out,
                                  .in = (int)(count_of(l, weight_name) / out),
                                  .weight = l->matrix,
                                  .bias = l->vector,
                                  .gamma = gamma ? l->gamma : NULL,
                                  .fp32 = fp32};
    return prepare(l, &desc);
}

/* ---- the towers ---- */

static bool new_blocks(loader *l, t2d_tower *tower)
{
    if (l->status != T2D_OK) return false;
    tower->blocks = t2d_new((size_t)tower->depth, sizeof *tower->blocks, "transformer blocks", l->err);
    if (!tower->blocks) l->status = T2D_E_MEMORY;
    return tower->blocks != NULL;
}

static void load_vision(loader *l, t2d_model *m)
{
    const t2d_config *c = &m->config;
    t2d_tower *tower = &m->vision;
    *tower = (t2d_tower){.dim = c->vision.dim,
                         .depth = c->vision.depth,
                         .heads = c->vision.heads,
                         .hidden = c->vision.hidden,
                         .swiglu = c->vision.swiglu,
                         .activation = T2D_EPI_GELU,
                         .eps = c->vision.eps};
    if (!new_blocks(l, tower)) return;
    const char *up = tower->swiglu ? "mlp.w12.weight" : "mlp.fc1.weight";
    const char *up_bias = tower->swiglu ? "mlp.w12.bias" : "mlp.fc1.bias";
    const char *down = tower->swiglu ? "mlp.w3.weight" : "mlp.fc2.weight";
    const char *down_bias = tower->swiglu ? "mlp.w3.bias" : "mlp.fc2.bias";
    for (int i = 0; i < tower->depth; i++) {
        t2d_block *b = &tower->blocks[i];
        char p[64];
        snprintf(p, sizeof p, "vision.blocks.%d.", i);
        b->norm1_w = load_in(l, p, "norm1.weight");
        b->norm1_b = load_in(l, p, "norm1.bias");
        b->qkv = load_linear(l, p, "attn.qkv.weight", "attn.qkv.bias", NULL, false);
        b->out = load_linear(l, p, "attn.proj.weight", "attn.proj.bias", "ls1.gamma", false);
        b->norm2_w = load_in(l, p, "norm2.weight");
        b->norm2_b = load_in(l, p, "norm2.bias");
        b->up = load_linear(l, p, up, up_bias, NULL, false);
        b->down = load_linear(l, p, down, down_bias, "ls2.gamma", false);
    }
    tower->norm_w = load(l, "vision.norm.weight");
    tower->norm_b = load(l, "vision.norm.bias");
}

static void load_text(loader *l, t2d_model *m)
{
    const t2d_config *c = &m->config;
    t2d_tower *tower = &m->text;
    *tower = (t2d_tower){.dim = c->text.dim,
                         .depth = c->text.depth,
                         .heads = c->text.heads,
                         .hidden = c->text.hidden,
                         .causal = true,
                         .activation = T2D_EPI_QUICK_GELU,
                         .eps = c->text.eps};
    if (!new_blocks(l, tower)) return;
    for (int i = 0; i < tower->depth; i++) {
        t2d_block *b = &tower->blocks[i];
        char p[64];
        snprintf(p, sizeof p, "text.transformer.resblocks.%d.", i);
        b->norm1_w = load_in(l, p, "ln_1.weight");
        b->norm1_b = load_in(l, p, "ln_1.bias");
        b->qkv = load_linear(l, p, "attn.in_proj_weight", "attn.in_proj_bias", NULL, false);
        b->out = load_linear(l, p, "attn.out_proj.weight", "attn.out_proj.bias", NULL, false);
        b->norm2_w = load_in(l, p, "ln_2.weight");
        b->norm2_b = load_in(l, p, "ln_2.bias");
        b->up = load_linear(l, p, "mlp.c_fc.weight", "mlp.c_fc.bias", NULL, false);
        b->down = load_linear(l, p, "mlp.c_proj.weight", "mlp.c_proj.bias", NULL, false);
    }
    tower->norm_w = load(l, "text.ln_final.weight");
    tower->norm_b = load(l, "text.ln_final.bias");
}

/* ---- what stands before and behind the towers ---- */

/* CLS with its position added (the machine adds none), and the patch positions for the grids to come. */
static void load_vision_ends(loader *l, t2d_model *m)
{
    const int dim = m->config.vision.dim;
    m->patch = load_linear(l, "vision.patch_embed.proj.", "weight", "bias", NULL, false);
    m->position = read_host(l, "vision.pos_embed"); /* [1 + grid^2, dim] */
    if (read_into(l, "vision.cls_token", l->vector)) {
        for (int i = 0; i < dim; i++) l->vector[i] += m->position[i];
        m->cls = upload(l, l->vector, (size_t)dim, "vision.cls_token");
        const size_t patches = (size_t)m->config.vision.grid * (size_t)m->config.vision.grid;
        memmove(m->position, m->position + dim, patches * (size_t)dim * sizeof(float));
    }
    if (m->config.vision.registers > 0) m->registers = load(l, "vision.register_tokens");
}

/* CLIP stores its projection [width, embed]; a linear is [out, in]. */
static void load_text_ends(loader *l, t2d_model *m)
{
    const int dim = m->config.text.dim, embed = m->config.text.embed;
    m->token_table = load(l, "text.token_embedding.weight");
    m->text_position = load(l, "text.positional_embedding");
    float *p = read_host(l, "text.text_projection");
    if (!p) return;
    for (int e = 0; e < embed; e++)
        for (int d = 0; d < dim; d++)
            l->matrix[(size_t)e * (size_t)dim + (size_t)d] = p[(size_t)d * (size_t)embed + (size_t)e];
    const t2d_linear_desc desc = {
        .name = "text.text_projection", .out = embed, .in = dim, .weight = l->matrix, .fp32 = true};
    m->text_projection = prepare(l, &desc);
    free(p);
}

static void load_tokenizer(loader *l, t2d_model *m)
{
    if (l->status != T2D_OK) return;
    const t2d_st_tensor *t = t2d_st_find(l->file, "tokenizer.merges");
    char *merges = t2d_new((size_t)t->bytes + 1, 1, "merges", l->err);
    if (!merges) {
        l->status = T2D_E_MEMORY;
        return;
    }
    l->status = t2d_verify_tensor(l->file, t, l->err);
    if (l->status == T2D_OK) l->status = t2d_st_read(l->file, t, merges, l->err);
    if (l->status == T2D_OK)
        l->status = t2d_tokenizer_create(merges, (size_t)t->bytes, &m->tokenizer, l->err);
    if (l->status == T2D_OK && t2d_tokenizer_vocabulary(m->tokenizer) != m->config.text.vocabulary)
        l->status =
            t2d_fail(l->err, T2D_E_FORMAT,
                     "tokenizer.merges makes a vocabulary of %d; text.token_embedding.weight has %d rows",
                     t2d_tokenizer_vocabulary(m->tokenizer), m->config.text.vocabulary);
    free(merges);
}

/* ---- the whole ---- */

static bool new_scratch(loader *l)
{
    int64_t largest = 0;
    for (int i = 0; i < t2d_st_count(l->file); i++)
        if (t2d_st_at(l->file, i)->type != T2D_ST_U8 && t2d_st_at(l->file, i)->count > largest)
            largest = t2d_st_at(l->file, i)->count;
    const size_t widest = 1 << 18; /* more than any bias: 3 * 8192, 2 * 65536 */
    l->matrix = t2d_new((size_t)largest, sizeof(float), "the largest weight", l->err);
    l->vector = t2d_new(widest, sizeof(float), "a bias", l->err);
    l->gamma = t2d_new(widest, sizeof(float), "a LayerScale", l->err);
    if (!l->matrix || !l->vector || !l->gamma) l->status = T2D_E_MEMORY;
    return l->status == T2D_OK;
}

/* A file of another version or dtype is a bad file here: "unsupported" is kept for what a device cannot do.
 */
static t2d_status as_file_fault(t2d_status status, t2d_error *err)
{
    return status == T2D_E_UNSUPPORTED ? t2d_fail(err, T2D_E_FORMAT, "%s", err->message) : status;
}

t2d_status t2d_model_load(const char *path, t2d_backend *be, t2d_model *model, t2d_error *err)
{
    *model = (t2d_model){0};
    t2d_st_file *file = NULL;
    t2d_status status = t2d_st_open(path, &file, err);
    if (status != T2D_OK) return as_file_fault(status, err);
    loader l = {.file = file, .be = be, .err = err};
    l.status = as_file_fault(t2d_config_read(file, &model->config, err), err);
    if (l.status == T2D_OK) l.status = t2d_verify_metadata(file, err);
    if (l.status == T2D_OK && new_scratch(&l)) {
        load_vision_ends(&l, model);
        load_vision(&l, model);
        load_text_ends(&l, model);
        load_text(&l, model);
        model->psi1 = load_linear(&l, "psi.", "linear_layer.weight", "linear_layer.bias", NULL, true);
        model->psi2 = load_linear(&l, "psi.", "hidden_layers.0.weight", "hidden_layers.0.bias", NULL, true);
        load_tokenizer(&l, model);
        if (l.status == T2D_OK)
            l.status = be->op->finish(be, err); /* other queues will read what this one wrote */
    }
    free(l.matrix);
    free(l.vector);
    free(l.gamma);
    t2d_st_close(file);
    if (l.status != T2D_OK) {
        t2d_fail_in(err, path);
        t2d_model_unload(be, model);
    }
    return l.status;
}

static void unload_tower(t2d_backend *be, t2d_tower *tower)
{
    for (int i = 0; tower->blocks && i < tower->depth; i++) {
        t2d_block *b = &tower->blocks[i];
        float *vectors[] = {b->norm1_w, b->norm1_b, b->norm2_w, b->norm2_b};
        t2d_linear *linears[] = {b->qkv, b->out, b->up, b->down};
        for (int k = 0; k < 4; k++) {
            be->op->release(be, vectors[k]);
            be->op->linear_destroy(be, linears[k]);
        }
    }
    free(tower->blocks);
    be->op->release(be, tower->norm_w);
    be->op->release(be, tower->norm_b);
}

void t2d_model_unload(t2d_backend *be, t2d_model *m)
{
    unload_tower(be, &m->vision);
    unload_tower(be, &m->text);
    float *vectors[] = {m->cls, m->registers, m->token_table, m->text_position};
    t2d_linear *linears[] = {m->patch, m->text_projection, m->psi1, m->psi2};
    for (int k = 0; k < 4; k++) {
        be->op->release(be, vectors[k]);
        be->op->linear_destroy(be, linears[k]);
    }
    free(m->position);
    t2d_tokenizer_destroy(m->tokenizer);
    *m = (t2d_model){0};
}
