/* operations.c — the operations of backend.h as launches: host arrays travel first, scratch is found, and
 * what a launcher answers is remembered. */
#include "cuda/operations.h"
#include "cuda/machine.h"

/* The machine, when it can go on; NULL otherwise. */
static t2d_cuda *ready(t2d_backend *be)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    return cu->failed == T2D_OK && t2d_cuda_ok(cu, cudaSetDevice(cu->device), "a launch") ? cu : NULL;
}

void t2d_cuda_op_embed(t2d_backend *be, float *x, const t2d_embed *in)
{
    t2d_cuda *cu = ready(be);
    if (!cu) return;
    const int grid = in->size / in->patch, patches = grid * grid, ld = t2d_cuda_linear_ld(in->projection);
    const int tokens = 1 + in->register_count + patches;
    const t2d_dtype type = t2d_cuda_linear_type(in->projection);
    const size_t value = type == T2D_DTYPE_FP32 ? 4 : 2;
    const t2d_rect *windows =
        t2d_cuda_send(cu, T2D_CUDA_WINDOWS, in->windows, (size_t)in->count * sizeof *in->windows);
    void *rows =
        t2d_cuda_scratch(cu, T2D_CUDA_PATCHES, (size_t)in->count * (size_t)patches * (size_t)ld * value);
    if (!windows || !rows) return;
    if (!t2d_cuda_ok(cu, t2d_cuda_patches(rows, type, ld, in, windows, cu->stream), "patches") ||
        !t2d_cuda_ok(cu, t2d_cuda_token_base(x, in, cu->stream), "tokens"))
        return;
    t2d_cuda_linear_add(cu, x + (size_t)(1 + in->register_count) * (size_t)in->dim,
                        (size_t)tokens * (size_t)in->dim, rows, in->projection, in->count, patches);
}

void t2d_cuda_op_embed_text(t2d_backend *be, float *x, const int32_t *ids, const float *table,
                            const float *position, int sequences, int tokens, int dim)
{
    t2d_cuda *cu = ready(be);
    if (!cu) return;
    const int32_t *there =
        t2d_cuda_send(cu, T2D_CUDA_INDEX, ids, (size_t)sequences * (size_t)tokens * sizeof *ids);
    if (there)
        (void)t2d_cuda_ok(cu,
                          t2d_cuda_embed_text(x, there, table, position, sequences, tokens, dim, cu->stream),
                          "text tokens");
}

void t2d_cuda_op_layernorm(t2d_backend *be, void *y, bool to_fp32, const float *x, const float *w,
                           const float *b, int rows, int dim, float eps)
{
    t2d_cuda *cu = ready(be);
    if (cu)
        (void)t2d_cuda_ok(
            cu,
            t2d_cuda_layernorm(y, to_fp32 ? T2D_DTYPE_FP32 : be->dtype, x, w, b, rows, dim, eps, cu->stream),
            "a layer norm");
}

void t2d_cuda_op_swiglu(t2d_backend *be, void *y, const void *x, int rows, int hidden)
{
    t2d_cuda *cu = ready(be);
    if (cu) (void)t2d_cuda_ok(cu, t2d_cuda_swiglu(y, x, be->dtype, rows, hidden, cu->stream), "SwiGLU");
}

void t2d_cuda_op_attention(t2d_backend *be, void *mix, const void *qkv, int sequences, int tokens, int heads,
                           bool causal)
{
    t2d_cuda *cu = ready(be);
    if (cu)
        (void)t2d_cuda_ok(
            cu, t2d_cuda_attention(mix, qkv, be->dtype, sequences, tokens, heads, causal, cu->stream),
            "attention");
}

void t2d_cuda_op_gather_rows(t2d_backend *be, float *y, const float *x, const int32_t *index, int rows,
                             int dim)
{
    t2d_cuda *cu = ready(be);
    if (!cu) return;
    const int32_t *there = t2d_cuda_send(cu, T2D_CUDA_INDEX, index, (size_t)rows * sizeof *index);
    if (there) (void)t2d_cuda_ok(cu, t2d_cuda_gather_rows(y, x, there, rows, dim, cu->stream), "rows");
}

void t2d_cuda_op_unit_rows(t2d_backend *be, float *y, const float *x, int sequences, int tokens, int skip,
                           int keep, int dim)
{
    t2d_cuda *cu = ready(be);
    if (cu)
        (void)t2d_cuda_ok(cu, t2d_cuda_unit_rows(y, x, sequences, tokens, skip, keep, dim, cu->stream),
                          "unit rows");
}

void t2d_cuda_op_cls_logits(t2d_backend *be, float *logits, const void *qkv, int sequences, int tokens,
                            int skip, int heads)
{
    t2d_cuda *cu = ready(be);
    if (cu)
        (void)t2d_cuda_ok(
            cu, t2d_cuda_cls_logits(logits, qkv, be->dtype, sequences, tokens, skip, heads, cu->stream),
            "CLS logits");
}

void t2d_cuda_op_head_pool(t2d_backend *be, float *pooled, const float *logits, const float *features,
                           int sequences, int tokens, int skip, int heads, int dim)
{
    t2d_cuda *cu = ready(be);
    if (cu)
        (void)t2d_cuda_ok(
            cu, t2d_cuda_head_pool(pooled, logits, features, sequences, tokens, skip, heads, dim, cu->stream),
            "the heads' pooling");
}

void t2d_cuda_op_similarity(t2d_backend *be, float *scores, const float *unit, const float *text, int rows,
                            int classes, int dim, bool sigmoid)
{
    t2d_cuda *cu = ready(be);
    if (cu)
        (void)t2d_cuda_ok(cu,
                          t2d_cuda_similarity(scores, unit, text, rows, classes, dim, sigmoid, cu->stream),
                          "similarity");
}

void t2d_cuda_op_clean(t2d_backend *be, float *scores, const float *logits, const float *features,
                       const float *text, int sequences, int tokens, int skip, int heads, int dim,
                       int classes, float lambda)
{
    t2d_cuda *cu = ready(be);
    if (!cu) return;
    void *workspace =
        t2d_cuda_scratch(cu, T2D_CUDA_CLEAN, t2d_cuda_clean_bytes(sequences, heads, dim, classes));
    if (workspace)
        (void)t2d_cuda_ok(cu,
                          t2d_cuda_clean(scores, logits, features, text, sequences, tokens, skip, heads, dim,
                                         classes, lambda, workspace, cu->stream),
                          "background cleaning");
}

void t2d_cuda_op_merge_max(t2d_backend *be, float *out, const float *scores, const int32_t *first, int rows,
                           int classes, int groups)
{
    t2d_cuda *cu = ready(be);
    if (!cu) return;
    const int32_t *there = t2d_cuda_send(cu, T2D_CUDA_INDEX, first, ((size_t)groups + 1) * sizeof *first);
    if (there)
        (void)t2d_cuda_ok(cu, t2d_cuda_merge_max(out, scores, there, rows, classes, groups, cu->stream),
                          "the merge of aliases");
}
