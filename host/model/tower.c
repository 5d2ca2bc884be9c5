/* tower.c — one transformer for both towers: DINOv2's ViT and CLIP's text encoder differ in constants only.
 * LayerScale is inside the weights (t2d_linear_desc.gamma), so a block is the same eight lines for both. */
#include "model/model.h"

#include <assert.h>

static size_t rounded(size_t bytes) { return (bytes + 255) / 256 * 256; }

t2d_status t2d_workspace_plan(t2d_backend *be, const t2d_tower *tower, int rows, t2d_workspace *ws,
                              t2d_error *err)
{
    const size_t n = (size_t)rows, dim = (size_t)tower->dim, act = t2d_act_size(be);
    const size_t wide = (size_t)tower->hidden * (tower->swiglu ? 3 : 1); /* SwiGLU: [a | b] and the product */
    const size_t x = rounded(n * dim * sizeof(float)), norm = rounded(n * dim * act);
    const size_t qkv = rounded(n * 3 * dim * act), hidden = rounded(n * wide * act);
    *ws = (t2d_workspace){
        .rows = rows, .dim = tower->dim, .hidden = tower->hidden, .bytes = x + 2 * norm + qkv + hidden};
    ws->block = be->op->alloc(be, ws->bytes);
    if (!ws->block) {
        const size_t bytes = ws->bytes;
        *ws = (t2d_workspace){0};
        return t2d_no_room(be, "workspace", bytes, err);
    }
    char *at = ws->block;
    ws->x = (float *)(void *)at;
    ws->norm = at += x;
    ws->mix = at += norm;
    ws->qkv = at += norm;
    ws->wide = at + qkv;
    return T2D_OK;
}

void t2d_workspace_release(t2d_backend *be, t2d_workspace *ws)
{
    if (ws->block) be->op->release(be, ws->block);
    *ws = (t2d_workspace){0};
}

void t2d_tower_forward(t2d_backend *be, const t2d_tower *tower, t2d_workspace *ws, int sequences, int tokens)
{
    const t2d_ops *op = be->op;
    const int rows = sequences * tokens, dim = tower->dim;
    assert(rows <= ws->rows && dim == ws->dim);
    /* SwiGLU keeps [a | b] in front and the product behind it; the MLP has one array. */
    char *gates = ws->wide, *hidden = gates;
    if (tower->swiglu) hidden += (size_t)rows * 2 * (size_t)tower->hidden * t2d_act_size(be);
    for (int i = 0; i < tower->depth; i++) {
        const t2d_block *b = &tower->blocks[i];
        op->layernorm(be, ws->norm, false, ws->x, b->norm1_w, b->norm1_b, rows, dim,
                      tower->eps);                                                  /* [rows, dim] */
        op->linear(be, ws->qkv, ws->norm, b->qkv, sequences, tokens, T2D_EPI_NONE); /* [rows, 3 dim] */
        op->attention(be, ws->mix, ws->qkv, sequences, tokens, tower->heads, tower->causal); /* [rows, dim] */
        op->linear(be, ws->x, ws->mix, b->out, sequences, tokens, T2D_EPI_ADD);              /* x += ... */
        op->layernorm(be, ws->norm, false, ws->x, b->norm2_w, b->norm2_b, rows, dim, tower->eps);
        op->linear(be, gates, ws->norm, b->up, sequences, tokens,
                   tower->swiglu ? T2D_EPI_NONE : tower->activation);
        if (tower->swiglu) op->swiglu(be, hidden, gates, rows, tower->hidden);  /* [rows, hidden] */
        op->linear(be, ws->x, hidden, b->down, sequences, tokens, T2D_EPI_ADD); /* x += ... */
    }
}
