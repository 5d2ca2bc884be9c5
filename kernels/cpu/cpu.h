/* cpu.h — what the CPU machine's files share.
 *
 * Threads: OpenMP regions with num_threads(be->threads), always said, so that the library never changes its
 * caller's settings and never uses more threads than it was given.  The bits of a result never depend on the
 * number of threads: work is cut by the shape alone, and each piece is computed by one thread. */
#ifndef T2D_CPU_H
#define T2D_CPU_H

#include "backend.h"

/* Scratch blocks that grow and stay: one per purpose, so that no operation tramples on another's. */
enum {
    T2D_CPU_SCRATCH = 16,
    T2D_SCRATCH_PATCHES = 13, /* tokens.c: a window as rows of a matrix product */
    T2D_SCRATCH_LINEAR = 14,
    T2D_SCRATCH_ATTENTION = 15,
};

typedef struct t2d_cpu {
    t2d_backend base; /* first: a t2d_cpu is a t2d_backend */
    struct {
        void *data;
        size_t bytes;
    } scratch[T2D_CPU_SCRATCH];
    bool out_of_memory;                    /* remembered; the next download or readout tells */
    char failure[256];                     /* likewise, what oneDNN said */
    struct t2d_cpu_primitives *primitives; /* product.c: prepared products, by shape */
} t2d_cpu;

t2d_status t2d_cpu_open(t2d_dtype dtype, int threads, t2d_backend **be, t2d_error *err);

/* At least `bytes`, 64-byte aligned, contents undefined; valid until the next call with this slot.  NULL (and
 * remembered) when there is no room. */
void *t2d_cpu_scratch(t2d_cpu *cpu, int slot, size_t bytes);

/* Tells what was remembered, once, and forgets it; T2D_OK when nothing was. */
t2d_status t2d_cpu_check(t2d_cpu *cpu, t2d_error *err);

/* Whether the chip multiplies bf16.  Where it does not, bf16 linears round their weights and widen their
 * rows: the same numbers but for the order of sums, in fp32's time. */
bool t2d_cpu_has_bf16(void);

/* Clones of a hot loop for the instruction sets worth having; the loader picks one. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(T2D_NO_CLONES)
#define T2D_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define T2D_CLONES
#endif

/* One function per operation of backend.h, in the file named after its family. */
/* backend.c: memory; tokens.c */
void t2d_cpu_embed(t2d_backend *, float *x, const t2d_embed *);
void t2d_cpu_embed_text(t2d_backend *, float *x, const int32_t *ids, const float *table,
                        const float *position, int sequences, int tokens, int dim);
void t2d_cpu_gather_rows(t2d_backend *, float *y, const float *x, const int32_t *index, int rows, int dim);
/* norm.c */
void t2d_cpu_layernorm(t2d_backend *, void *y, bool to_fp32, const float *x, const float *w, const float *b,
                       int rows, int dim, float eps);
void t2d_cpu_unit_rows(t2d_backend *, float *y, const float *x, int sequences, int tokens, int skip, int keep,
                       int dim);
void t2d_cpu_swiglu(t2d_backend *, void *y, const void *x, int rows, int hidden);
/* linear.c */
t2d_status t2d_cpu_linear_create(t2d_backend *, const t2d_linear_desc *, t2d_linear **, t2d_error *);
void t2d_cpu_linear_destroy(t2d_backend *, t2d_linear *);
void t2d_cpu_linear(t2d_backend *, void *y, const void *x, const t2d_linear *, int sequences, int tokens,
                    t2d_epilogue);
bool t2d_cpu_linear_is_half(const t2d_linear *); /* whether its x is bf16 */
void t2d_cpu_primitives_destroy(t2d_cpu *);      /* at close */
/* attention.c */
void t2d_cpu_attention(t2d_backend *, void *mix, const void *qkv, int sequences, int tokens, int heads,
                       bool causal);
void t2d_cpu_cls_logits(t2d_backend *, float *logits, const void *qkv, int sequences, int tokens, int skip,
                        int heads);
void t2d_cpu_head_pool(t2d_backend *, float *pooled, const float *logits, const float *features,
                       int sequences, int tokens, int skip, int heads, int dim);
/* similarity.c */
void t2d_cpu_similarity(t2d_backend *, float *scores, const float *unit, const float *text, int rows,
                        int classes, int dim, bool sigmoid);
void t2d_cpu_clean(t2d_backend *, float *scores, const float *logits, const float *features,
                   const float *text, int sequences, int tokens, int skip, int heads, int dim, int classes,
                   float lambda);
void t2d_cpu_merge_max(t2d_backend *, float *out, const float *scores, const int32_t *first, int rows,
                       int classes, int groups);
/* readout.c, pamr.c */
t2d_status t2d_cpu_readout(t2d_backend *, const t2d_readout *, t2d_error *);

#endif
