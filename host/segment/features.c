/* features.c — what the vision tower sees in a whole picture, for those who train psi or look inside. */
#include "segment/segment.h"

#include <stdlib.h>
#include <string.h>

static t2d_status check(const t2d_session *s, const t2d_image *image, int size, t2d_error *err)
{
    const int patch = s->engine->model.config.vision.patch;
    if (size < patch || size > 8192 || size % patch != 0)
        return t2d_fail(err, T2D_E_ARGUMENT, "size %d: want a multiple of the patch size %d, up to 8192",
                        size, patch);
    return t2d_image_check(image, err);
}

/* One block for the five arrays. */
static t2d_status allocate(const t2d_session *s, int size, t2d_features *f, t2d_error *err)
{
    const t2d_config *c = &s->engine->model.config;
    const int grid = size / c->vision.patch;
    *f = (t2d_features){.size = size,
                        .grid = grid,
                        .dim = c->vision.dim,
                        .heads = c->vision.heads,
                        .registers = c->vision.registers};
    const size_t patches = (size_t)grid * (size_t)grid, dim = (size_t)f->dim;
    const size_t tokens = 1 + (size_t)f->registers + patches;
    f->block = t2d_new(tokens * dim + (size_t)f->heads * (patches + dim), sizeof(float), "features", err);
    if (!f->block) return T2D_E_MEMORY;
    f->cls = f->block; /* in token order, as they come from the machine: CLS, registers, patches */
    f->register_tokens = f->registers ? f->cls + dim : NULL;
    f->patch_tokens = f->cls + (1 + (size_t)f->registers) * dim;
    f->cls_attention_logits = f->cls + tokens * dim;
    f->head_embeddings = f->cls_attention_logits + (size_t)f->heads * patches;
    return T2D_OK;
}

static t2d_status plan(t2d_session *s, const t2d_image *image, const t2d_features *f, t2d_error *err)
{
    const size_t patches = (size_t)f->grid * (size_t)f->grid, heads = (size_t)f->heads;
    const size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    t2d_status status = t2d_forward_plan(s, 1, f->size, err);
    if (status == T2D_OK)
        status = t2d_buffer_reserve(s, &s->logits, heads * patches * sizeof(float), "CLS logits", err);
    if (status == T2D_OK)
        status =
            t2d_buffer_reserve(s, &s->pooled, heads * (size_t)f->dim * sizeof(float), "head embeddings", err);
    if (status == T2D_OK) status = t2d_buffer_reserve(s, &s->pixels, bytes, "picture", err);
    if (status == T2D_OK) s->be->op->upload(s->be, s->pixels.data, image->pixels, bytes);
    return status;
}

static t2d_status compute(t2d_session *s, const t2d_image *image, bool swap, t2d_features *f, t2d_error *err)
{
    const t2d_ops *op = s->be->op;
    const size_t patches = (size_t)f->grid * (size_t)f->grid, dim = (size_t)f->dim, heads = (size_t)f->heads;
    const int skip = t2d_prefix_tokens(s->engine), tokens = skip + (int)patches;
    const t2d_rect whole = {0, 0, image->width, image->height};
    t2d_forward_embed(s, s->pixels.data, image->width, image->height, &whole, 1, f->size, swap, 0);
    t2d_forward_blocks(s, 1, f->size);
    op->cls_logits(s->be, s->logits.data, s->ws.qkv, 1, tokens, skip, f->heads);
    op->head_pool(s->be, s->pooled.data, s->logits.data, s->features.data, 1, tokens, skip, f->heads, f->dim);
    t2d_status status =
        op->download(s->be, f->cls, s->features.data, (size_t)tokens * dim * sizeof(float), err);
    if (status == T2D_OK)
        status = op->download(s->be, f->cls_attention_logits, s->logits.data, heads * patches * sizeof(float),
                              err);
    if (status == T2D_OK)
        status = op->download(s->be, f->head_embeddings, s->pooled.data, heads * dim * sizeof(float), err);
    return status;
}

t2d_status t2d_features_compute(t2d_session *session, const t2d_image *image, int size, int swap_channels,
                                t2d_features *features, t2d_error *err)
{
    t2d_error local;
    err = err ? err : &local;
    if (!session || !features)
        return t2d_fail(err, T2D_E_ARGUMENT, "features need a session and a place to go");
    *features = (t2d_features){0};
    t2d_status status = check(session, image, size, err);
    if (status == T2D_OK) status = allocate(session, size, features, err);
    if (status == T2D_OK) status = plan(session, image, features, err);
    if (status == T2D_OK) status = compute(session, image, swap_channels != 0, features, err);
    if (status != T2D_OK) t2d_features_release(features);
    return status;
}

void t2d_features_release(t2d_features *features)
{
    if (!features) return;
    free(features->block);
    *features = (t2d_features){0};
}
