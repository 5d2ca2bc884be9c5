/* cuda.h — the launchers of the CUDA kernels, in C.
 *
 * Pointers are device memory, shapes and formulas are those of backend.h and of each kernel file's card,
 * `stream` is a cudaStream_t.  A launcher only queues work; it returns a cudaError_t as int (0: queued), and
 * cudaErrorInvalidValue for a shape outside its card.
 *
 * This folder must never be an include path: <cuda.h> is the toolkit's, "cuda/cuda.h" is this. */
#ifndef T2D_CUDA_H
#define T2D_CUDA_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- norm.cu ---- */

/* y [rows, dim] = (x - mean) / sqrt(var + eps) * w + b; y is `type`, the rest fp32.  dim % 8 == 0, at most
 * 2048. */
int t2d_cuda_layernorm(void *y, t2d_dtype type, const float *x, const float *w, const float *b, int rows,
                       int dim, float eps, void *stream);
/* y [sequences, keep, dim] = x / max(|x|, 1e-6) over rows skip .. of each sequence of `tokens`.  dim % 8 ==
 * 0. */
int t2d_cuda_unit_rows(float *y, const float *x, int sequences, int tokens, int skip, int keep, int dim,
                       void *stream);
/* y [rows, out] = epilogue(x + bias); y and x are `type` and may be the same; bias [out] fp32 or NULL.
 * T2D_EPI_ADD: y is fp32 and y += x + bias.  out % 8 == 0. */
int t2d_cuda_epilogue(void *y, const void *x, t2d_dtype type, const float *bias, int rows, int out,
                      t2d_epilogue epilogue, void *stream);
/* y [rows, hidden] = silu(x[:, :hidden]) * x[:, hidden:]; `type`.  hidden % 8 == 0. */
int t2d_cuda_swiglu(void *y, const void *x, t2d_dtype type, int rows, int hidden, void *stream);

/* ---- attention.cu ---- */

/* mix [sequences, tokens, heads * 64] = softmax(q k^T / 8) v, qkv [sequences, tokens, 3 * heads * 64]; both
 * `type`. */
int t2d_cuda_attention(void *mix, const void *qkv, t2d_dtype type, int sequences, int tokens, int heads,
                       bool causal, void *stream);

/* ---- heads.cu ---- */

/* logits [sequences, heads, patches] = (q_CLS / 8) . k_patch; patches are the tokens after `skip`. */
int t2d_cuda_cls_logits(float *logits, const void *qkv, t2d_dtype type, int sequences, int tokens, int skip,
                        int heads, void *stream);
/* pooled [sequences, heads, dim] = 1/P sum_p softmax_p(logits)[p] features[skip + p]; features [sequences,
 * tokens, dim].  heads <= 32. */
int t2d_cuda_head_pool(float *pooled, const float *logits, const float *features, int sequences, int tokens,
                       int skip, int heads, int dim, void *stream);
/* The same without the softmax: logits are signed weights. */
int t2d_cuda_head_views(float *views, const float *logits, const float *features, int sequences, int tokens,
                        int skip, int heads, int dim, void *stream);

/* ---- tokens.cu ---- */

/* rows [count * patches, ld] of the patch projection's product: windows of in->pixels (device) brought to
 * size, normalised, cut.  Columns from 3 * patch * patch on are zero.  windows: the device's copy of
 * in->windows. */
int t2d_cuda_patches(void *rows, t2d_dtype type, int ld, const t2d_embed *in, const t2d_rect *windows,
                     void *stream);
/* x [count, 1 + registers + patches, dim] = CLS, registers, positions: what the projection is added to. */
int t2d_cuda_token_base(float *x, const t2d_embed *in, void *stream);
/* x [sequences, tokens, dim] = table[ids] + position; ids: device. */
int t2d_cuda_embed_text(float *x, const int32_t *ids, const float *table, const float *position,
                        int sequences, int tokens, int dim, void *stream);
/* y [rows, dim] = x[index[r], :]; index: device.  dim % 4 == 0, as above. */
int t2d_cuda_gather_rows(float *y, const float *x, const int32_t *index, int rows, int dim, void *stream);

/* ---- clean.cu ---- */

/* Background cleaning of scores [sequences, patches, classes], in place; `workspace` has the bytes asked for,
 * aligned to 16.  heads <= 32. */
size_t t2d_cuda_clean_bytes(int sequences, int heads, int dim, int classes);
int t2d_cuda_clean(float *scores, const float *logits, const float *features, const float *text,
                   int sequences, int tokens, int skip, int heads, int dim, int classes, float lambda,
                   void *workspace, void *stream);

/* ---- similarity.cu ---- */

/* scores [rows, classes] = unit [rows, dim] . text [classes, dim], then sigmoid when asked; fp32. */
int t2d_cuda_similarity(float *scores, const float *unit, const float *text, int rows, int classes, int dim,
                        bool sigmoid, void *stream);
/* out [rows, groups] = maximum over scores[rows, first[g] .. first[g+1]-1]; first [groups + 1]: device. */
int t2d_cuda_merge_max(float *out, const float *scores, const int32_t *first, int rows, int classes,
                       int groups, void *stream);

/* ---- readout.cu ---- */

/* Of a job, the launchers read the sizes, the flags, `scores` and `canvas` (device) and `windows` (host). */

/* Bytes of the interpolation tables of a job. */
size_t t2d_cuda_readout_bytes(const t2d_readout *job);
/* Fills `tables`; `windows` is the device's copy of job->windows. */
int t2d_cuda_readout_tables(void *tables, const t2d_readout *job, const t2d_rect *windows, void *stream);
/* labels [height, width] and out [classes (+1), height, width]; either may be NULL.  refined [canvas_height,
 * canvas_width, classes] takes the place of the windows' scores, or is NULL. */
int t2d_cuda_readout(uint16_t *labels, float *out, const t2d_readout *job, const t2d_rect *windows,
                     const void *tables, const float *refined, void *stream);

/* ---- count.cu ---- */

/* counts [labels, labels] = pixels of every pair of truth and label: found [pixels] below `labels`, truth
 * [pixels], both aligned to 16.  labels <= T2D_MOST_COUNTED. */
int t2d_cuda_count(uint32_t *counts, const uint16_t *found, const uint8_t *truth, int64_t pixels, int labels,
                   void *stream);

/* ---- pamr.cu ---- */

/* Bytes to refine a window of width x height, `channels` (rounded up to 4) classes at a time. */
size_t t2d_cuda_pamr_bytes(int width, int height, int channels);
/* refined [canvas_height, canvas_width, classes] = the mean over windows of their scores after PAMR.  As many
 * classes at a time as `bytes` of workspace hold; four must fit for the largest window. */
int t2d_cuda_pamr(float *refined, const t2d_readout *job, const t2d_rect *windows, const void *tables,
                  void *workspace, size_t bytes, void *stream);

#ifdef __cplusplus
}
#endif
#endif
