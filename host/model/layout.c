/* layout.c — the tensors of a model file: official DINOv2 and CLIP names behind `vision.`, `text.` and
 * `psi.`. */
#include "model/layout.h"

#include <stdarg.h>

typedef struct walk {
    t2d_layout_visit *visit;
    void *context;
    bool go_on;
} walk;

/* One tensor: its shape (up to the first 0) and a printf name. */
static void tensor(walk *w, const int shape[4], const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void tensor(walk *w, const int shape[4], const char *format, ...)
{
    if (!w->go_on) return;
    t2d_layout_entry entry = {.rank = 0};
    while (entry.rank < 4 && shape[entry.rank] > 0) {
        entry.shape[entry.rank] = shape[entry.rank];
        entry.rank++;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(entry.name, sizeof entry.name, format, args);
    va_end(args);
    w->go_on = w->visit(w->context, &entry);
}

#define SHAPE(...)                                                                                           \
    (const int[4]) { __VA_ARGS__ }

static void vision(walk *w, const t2d_config *config)
{
    const int dim = config->vision.dim, hidden = config->vision.hidden, patch = config->vision.patch;
    tensor(w, SHAPE(1, 1, dim), "vision.cls_token");
    tensor(w, SHAPE(1, 1 + config->vision.grid * config->vision.grid, dim), "vision.pos_embed");
    if (config->vision.registers > 0)
        tensor(w, SHAPE(1, config->vision.registers, dim), "vision.register_tokens");
    tensor(w, SHAPE(dim, 3, patch, patch), "vision.patch_embed.proj.weight");
    tensor(w, SHAPE(dim), "vision.patch_embed.proj.bias");
    for (int i = 0; i < config->vision.depth; i++) {
        tensor(w, SHAPE(dim), "vision.blocks.%d.norm1.weight", i);
        tensor(w, SHAPE(dim), "vision.blocks.%d.norm1.bias", i);
        tensor(w, SHAPE(3 * dim, dim), "vision.blocks.%d.attn.qkv.weight", i);
        tensor(w, SHAPE(3 * dim), "vision.blocks.%d.attn.qkv.bias", i);
        tensor(w, SHAPE(dim, dim), "vision.blocks.%d.attn.proj.weight", i);
        tensor(w, SHAPE(dim), "vision.blocks.%d.attn.proj.bias", i);
        tensor(w, SHAPE(dim), "vision.blocks.%d.ls1.gamma", i);
        tensor(w, SHAPE(dim), "vision.blocks.%d.norm2.weight", i);
        tensor(w, SHAPE(dim), "vision.blocks.%d.norm2.bias", i);
        const char *up = config->vision.swiglu ? "w12" : "fc1", *down = config->vision.swiglu ? "w3" : "fc2";
        const int wide = config->vision.swiglu ? 2 * hidden : hidden;
        tensor(w, SHAPE(wide, dim), "vision.blocks.%d.mlp.%s.weight", i, up);
        tensor(w, SHAPE(wide), "vision.blocks.%d.mlp.%s.bias", i, up);
        tensor(w, SHAPE(dim, hidden), "vision.blocks.%d.mlp.%s.weight", i, down);
        tensor(w, SHAPE(dim), "vision.blocks.%d.mlp.%s.bias", i, down);
        tensor(w, SHAPE(dim), "vision.blocks.%d.ls2.gamma", i);
    }
    tensor(w, SHAPE(dim), "vision.norm.weight");
    tensor(w, SHAPE(dim), "vision.norm.bias");
}

static void text(walk *w, const t2d_config *config)
{
    const int dim = config->text.dim, hidden = config->text.hidden;
    tensor(w, SHAPE(config->text.vocabulary, dim), "text.token_embedding.weight");
    tensor(w, SHAPE(config->text.context, dim), "text.positional_embedding");
    for (int i = 0; i < config->text.depth; i++) {
        tensor(w, SHAPE(dim), "text.transformer.resblocks.%d.ln_1.weight", i);
        tensor(w, SHAPE(dim), "text.transformer.resblocks.%d.ln_1.bias", i);
        tensor(w, SHAPE(3 * dim, dim), "text.transformer.resblocks.%d.attn.in_proj_weight", i);
        tensor(w, SHAPE(3 * dim), "text.transformer.resblocks.%d.attn.in_proj_bias", i);
        tensor(w, SHAPE(dim, dim), "text.transformer.resblocks.%d.attn.out_proj.weight", i);
        tensor(w, SHAPE(dim), "text.transformer.resblocks.%d.attn.out_proj.bias", i);
        tensor(w, SHAPE(dim), "text.transformer.resblocks.%d.ln_2.weight", i);
        tensor(w, SHAPE(dim), "text.transformer.resblocks.%d.ln_2.bias", i);
        tensor(w, SHAPE(hidden, dim), "text.transformer.resblocks.%d.mlp.c_fc.weight", i);
        tensor(w, SHAPE(hidden), "text.transformer.resblocks.%d.mlp.c_fc.bias", i);
        tensor(w, SHAPE(dim, hidden), "text.transformer.resblocks.%d.mlp.c_proj.weight", i);
        tensor(w, SHAPE(dim), "text.transformer.resblocks.%d.mlp.c_proj.bias", i);
    }
    tensor(w, SHAPE(dim), "text.ln_final.weight");
    tensor(w, SHAPE(dim), "text.ln_final.bias");
    tensor(w, SHAPE(dim, config->text.embed), "text.text_projection");
}

static void psi(walk *w, const t2d_config *config)
{
    const int dim = config->vision.dim;
    tensor(w, SHAPE(dim, config->text.embed), "psi.linear_layer.weight");
    tensor(w, SHAPE(dim), "psi.linear_layer.bias");
    tensor(w, SHAPE(dim, dim), "psi.hidden_layers.0.weight");
    tensor(w, SHAPE(dim), "psi.hidden_layers.0.bias");
}

bool t2d_layout_each(const t2d_config *config, t2d_layout_visit *visit, void *context)
{
    walk w = {.visit = visit, .context = context, .go_on = true};
    vision(&w, config);
    text(&w, config);
    psi(&w, config);
    return w.go_on;
}
