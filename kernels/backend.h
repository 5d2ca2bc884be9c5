/* backend.h — the boundary between meaning (host/) and machines (kernels/).
 *
 * A backend is a place on a machine: a device, a compute type, its scratch memory and (on a GPU) its queue.
 * It knows tensors and formulas, never models, files or pictures' names.  `cpu` and `cuda` stand behind it.
 *
 * One thread at a time uses a backend; an engine has one for loading, every session has its own.  Memory from
 * `alloc` and prepared weights are shared by all backends of the same device and compute type, and are not
 * changed by use.
 *
 * Pointers named here are memory of the machine (from `alloc`) unless a comment says "host".  Matrices are
 * row-major. "act" values are activations in the compute type (fp32, fp16 or bf16); everything else is fp32.
 * Sums, softmax and norms are fp32 on every machine.  `rows` counts rows of all sequences together: sequences
 * * tokens.
 *
 * Every row of a result has the same bits whatever other rows are computed beside it (batch, padding,
 * threads); only the number of tokens of its own sequence may matter.
 *
 * Operations return nothing: a machine that fails remembers it, and `download` or `finish` (the calls that
 * wait) tell. */
#ifndef T2D_BACKEND_H
#define T2D_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h" /* errors and memory: the one thing of host/ that machines may use */

enum { T2D_HEAD = 64 }; /* channels per attention head, in DINOv2 and CLIP alike */

typedef struct t2d_backend t2d_backend;
typedef struct t2d_linear t2d_linear; /* a prepared weight matrix */

/* What is done to x W^T + b before it is stored. */
typedef enum t2d_epilogue {
    T2D_EPI_NONE,
    T2D_EPI_GELU,       /* exact: 0.5 u (1 + erf(u / sqrt 2)) */
    T2D_EPI_QUICK_GELU, /* u * sigmoid(1.702 u) */
    T2D_EPI_TANH,
    T2D_EPI_ADD, /* y += ...; y is fp32 (the residual stream) */
} t2d_epilogue;

typedef struct t2d_linear_desc { /* all host pointers; not kept */
    const char *name;            /* for messages */
    int out, in;
    const float *weight; /* [out, in] */
    const float *bias;   /* [out] or NULL */
    const float *gamma;  /* [out] or NULL: LayerScale, folded in: (gamma W, gamma b) */
    bool fp32;           /* keep and compute in fp32 whatever the compute type: x and y are fp32 */
} t2d_linear_desc;

typedef struct t2d_rect {
    int x, y, w, h;
} t2d_rect;

/* Windows of one 8-bit RGB picture -> the first residual stream of the vision tower. */
typedef struct t2d_embed {
    const uint8_t *pixels; /* [height, width, 3] */
    int width, height;
    const t2d_rect *windows; /* host, [count] */
    int count;
    int size, patch; /* every window is brought to size x size (float bilinear, half-pixel, no antialias;
                        identity when it has that size already), then cut in (size/patch)^2 patches */
    float mean[3], std[3];        /* (v / 255 - mean) / std, in RGB order */
    bool swap;                    /* channels reversed before the normalisation (the demo's BGR) */
    const t2d_linear *projection; /* [dim, 3 * patch * patch], columns channel, row, column */
    const float *cls;             /* [dim], position added by the caller */
    const float *registers;       /* [register_count, dim], no position */
    const float *position;        /* [grid * grid, dim] for this grid */
    int register_count, dim;
} t2d_embed;

/* Labels whose pairs a machine counts, at most: a byte of the truth has one value left for what does not
 * count. */
enum { T2D_MOST_COUNTED = 255 };

/* Score maps of all windows of a picture -> labels or scores at the picture's size (mmseg's encode_decode),
 * or how often each label was found where each was true. */
typedef struct t2d_readout {
    const float *scores; /* [window_count, grid * grid, classes], after sigmoid and cleaning */
    int window_count, grid, classes;
    const t2d_rect *windows; /* host; each window's place on the canvas; together they cover it */
    const uint8_t *canvas;   /* [canvas_height, canvas_width, 3]: PAMR's guide; may be NULL without PAMR */
    int canvas_width, canvas_height;
    bool pamr;
    bool with_background; /* a constant channel in front, after PAMR, per window */
    float background;
    bool softmax; /* labels are the first maximum of softmax(scores), as mmseg computes them */
    int width,
        height;       /* of the result: canvas -> result by bilinear, align_corners false; equal: no resize */
    uint16_t *labels; /* host, [height, width], or NULL */
    float *out;       /* host, [classes (+1), height, width], or NULL: what the argmax saw, before softmax */
    const uint8_t *truth; /* host, [height, width], with counts: labels; other values do not count */
    uint32_t *counts;     /* host, [labels, labels], or NULL: pixels by their truth, then by what was found */
} t2d_readout;

typedef struct t2d_ops {
    const char *name; /* "cpu", "cuda" */

    /* ---- memory ---- */
    void *(*alloc)(t2d_backend *, size_t bytes); /* 64-byte aligned (cuda: 256); NULL when there is no room */
    void (*release)(t2d_backend *, void *);
    void (*upload)(t2d_backend *, void *to, const void *from_host, size_t bytes);
    t2d_status (*download)(t2d_backend *, void *to_host, const void *from, size_t bytes, t2d_error *);
    void (*close)(t2d_backend *);

    /* ---- weights ---- */
    t2d_status (*linear_create)(t2d_backend *, const t2d_linear_desc *, t2d_linear **, t2d_error *);
    void (*linear_destroy)(t2d_backend *, t2d_linear *);

    /* ---- transformer ---- */

    /* Fills x [count, 1 + register_count + patches, dim] fp32: CLS, registers, patches + position. */
    void (*embed)(t2d_backend *, float *x, const t2d_embed *);
    /* x [sequences, tokens, dim] fp32 = table[ids] + position; ids: host, [sequences * tokens]. */
    void (*embed_text)(t2d_backend *, float *x, const int32_t *ids, const float *table, const float *position,
                       int sequences, int tokens, int dim);
    /* y [rows, dim] = (x - mean) / sqrt(var + eps) * w + b; two passes.  y: act, or fp32 when to_fp32. */
    void (*layernorm)(t2d_backend *, void *y, bool to_fp32, const float *x, const float *w, const float *b,
                      int rows, int dim, float eps);
    /* y [sequences * tokens, out] = epilogue(x W^T + b).  x and y are act; fp32 for fp32 linears; y is fp32
     * for ADD. */
    void (*linear)(t2d_backend *, void *y, const void *x, const t2d_linear *, int sequences, int tokens,
                   t2d_epilogue);
    /* y [rows, hidden] = silu(x[:, :hidden]) * x[:, hidden:]; act */
    void (*swiglu)(t2d_backend *, void *y, const void *x, int rows, int hidden);
    /* mix [sequences, tokens, heads * 64] = softmax(q k^T / 8) v; qkv [sequences, tokens, 3 * heads * 64] as
     * [q | k | v], head-major inside each; act.  causal: key <= query. */
    void (*attention)(t2d_backend *, void *mix, const void *qkv, int sequences, int tokens, int heads,
                      bool causal);
    /* y [rows, dim] = x[index[r], :]; index: host; fp32. */
    void (*gather_rows)(t2d_backend *, float *y, const float *x, const int32_t *index, int rows, int dim);
    /* y [sequences, keep, dim] = x / max(|x|, 1e-6) over rows skip .. skip+keep-1 of each sequence of
     * `tokens`. */
    void (*unit_rows)(t2d_backend *, float *y, const float *x, int sequences, int tokens, int skip, int keep,
                      int dim);

    /* ---- heads of the CLS token ---- */

    /* logits [sequences, heads, patches] = (q_CLS / 8) . k_patch from the last block's qkv (act); patches are
     * the tokens after `skip`. */
    void (*cls_logits)(t2d_backend *, float *logits, const void *qkv, int sequences, int tokens, int skip,
                       int heads);
    /* pooled [sequences, heads, dim] = 1/P sum_p softmax_p(logits)[p] features[skip + p]; features [..,
     * tokens, dim]. */
    void (*head_pool)(t2d_backend *, float *pooled, const float *logits, const float *features, int sequences,
                      int tokens, int skip, int heads, int dim);

    /* ---- masks ---- */

    /* scores [rows, classes] = unit [rows, dim] . text [classes, dim]; then sigmoid when asked. */
    void (*similarity)(t2d_backend *, float *scores, const float *unit, const float *text, int rows,
                       int classes, int dim, bool sigmoid);
    /* Background cleaning, in place (the published with_bg_clean), each sequence for itself: scores
     * [sequences, patches, classes], logits [sequences, heads, patches], features [sequences, tokens, dim]
     * un-normalised, text [classes, dim]. */
    void (*clean)(t2d_backend *, float *scores, const float *logits, const float *features, const float *text,
                  int sequences, int tokens, int skip, int heads, int dim, int classes, float lambda);
    /* out [rows, groups] = maximum over scores[rows, first[g] .. first[g+1]-1]; first: host, [groups + 1]. */
    void (*merge_max)(t2d_backend *, float *out, const float *scores, const int32_t *first, int rows,
                      int classes, int groups);
    /* May return before the results are there: `finish` waits for those of all jobs since the last.  May
     * allocate scratch that grows with the canvas, kept for the next. */
    t2d_status (*readout)(t2d_backend *, const t2d_readout *, t2d_error *);
    /* Waits, and tells of all that failed since the last wait. */
    t2d_status (*finish)(t2d_backend *, t2d_error *);

    /* ---- stretches ----
     * Operations between `replay` and `recorded` that are the same every time (same calls, same pointers, no
     * host pointers among them) may be recorded by a machine and replayed as one.  key: host, at most 64
     * bytes, everything that they depend on.  True: the machine has replayed them; false: queue them, then
     * call `recorded`. */
    bool (*replay)(t2d_backend *, const void *key, size_t bytes);
    void (*recorded)(t2d_backend *);
} t2d_ops;

/* The part every machine has in front of its own. */
struct t2d_backend {
    const t2d_ops *op;
    t2d_dtype dtype; /* compute type */
    int threads;     /* host threads it may use */
    int load;        /* tokens that keep it busy: windows travel together up to so many */
    bool apart;      /* its memory is not the host's: what need not travel is better counted there */
    char device[16]; /* "cpu", "cuda:0" */
    char bus[20];    /* where a card sits: "0000:3b:00.0"; "" for the CPU */
    char description[320];
    char choices[160]; /* for people: what computes products, attention, and the rest */
};

/* Why `alloc` gave nothing for `what`: the machine's own failure where there is one, else that memory is out.
 */
t2d_status t2d_no_room(t2d_backend *be, const char *what, size_t bytes, t2d_error *err);

/* Whether sizes and windows of a job make sense; every machine asks before it reads out. */
t2d_status t2d_readout_check(const t2d_readout *job, t2d_error *err);

/* Bytes of one act value. */
static inline size_t t2d_act_size(const t2d_backend *be) { return be->dtype == T2D_DTYPE_FP32 ? 4 : 2; }

/* Opens "cpu", "cuda", "cuda:N" or "auto" (cuda where there is a usable device, else cpu).  threads 0: all.
 */
t2d_status t2d_backend_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be,
                            t2d_error *err);

#endif
