/* operations.h — the operations of t2d_ops on a GPU; backend.h has their contracts. */
#ifndef T2D_CUDA_OPERATIONS_H
#define T2D_CUDA_OPERATIONS_H

#include "backend.h"

void t2d_cuda_op_embed(t2d_backend *, float *x, const t2d_embed *);
void t2d_cuda_op_embed_text(t2d_backend *, float *x, const int32_t *ids, const float *table,
                            const float *position, int sequences, int tokens, int dim);
void t2d_cuda_op_layernorm(t2d_backend *, void *y, bool to_fp32, const float *x, const float *w,
                           const float *b, int rows, int dim, float eps);
void t2d_cuda_op_swiglu(t2d_backend *, void *y, const void *x, int rows, int hidden);
void t2d_cuda_op_attention(t2d_backend *, void *mix, const void *qkv, int sequences, int tokens, int heads,
                           bool causal);
void t2d_cuda_op_gather_rows(t2d_backend *, float *y, const float *x, const int32_t *index, int rows,
                             int dim);
void t2d_cuda_op_unit_rows(t2d_backend *, float *y, const float *x, int sequences, int tokens, int skip,
                           int keep, int dim);
void t2d_cuda_op_cls_logits(t2d_backend *, float *logits, const void *qkv, int sequences, int tokens,
                            int skip, int heads);
void t2d_cuda_op_head_pool(t2d_backend *, float *pooled, const float *logits, const float *features,
                           int sequences, int tokens, int skip, int heads, int dim);
void t2d_cuda_op_similarity(t2d_backend *, float *scores, const float *unit, const float *text, int rows,
                            int classes, int dim, bool sigmoid);
void t2d_cuda_op_clean(t2d_backend *, float *scores, const float *logits, const float *features,
                       const float *text, int sequences, int tokens, int skip, int heads, int dim,
                       int classes, float lambda);
void t2d_cuda_op_merge_max(t2d_backend *, float *out, const float *scores, const int32_t *first, int rows,
                           int classes, int groups);

#endif
