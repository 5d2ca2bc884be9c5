/* machine.h — what the C files of the CUDA machine share.
 *
 * A backend is one stream with its scratch.  Every operation only queues work; the first thing that fails is
 * remembered, later operations do nothing, and `download` or `readout` (which wait) tell.
 *
 * Host memory never meets the device but through `staging`: pinned memory that is used in turns, so that the
 * caller's memory is his own again at once and copies overlap with kernels. */
#ifndef T2D_CUDA_MACHINE_H
#define T2D_CUDA_MACHINE_H

#include <cuda_runtime_api.h>

#include "cuda/cuda.h"
#include "cuda/gemm.h"

enum {
    T2D_CUDA_GRAPHS = 8,    /* recorded stretches that are kept; the one used longest ago goes first */
    T2D_CUDA_KEY = 64,      /* bytes of a stretch's key, at most */
    T2D_CUDA_ARRIVALS = 64, /* results that one wait may bring */
};

/* Scratch blocks on the device that grow and stay: one per purpose. */
enum {
    T2D_CUDA_WINDOWS, /* rectangles */
    T2D_CUDA_INDEX,   /* ids, rows, first classes */
    T2D_CUDA_PATCHES, /* windows as rows of a matrix product */
    T2D_CUDA_CLEAN,   /* background cleaning */
    T2D_CUDA_TABLES,  /* readout: interpolation */
    T2D_CUDA_REFINED, /* readout: scores after PAMR */
    T2D_CUDA_PAMR,    /* PAMR's weights and iterates */
    T2D_CUDA_LABELS,  /* readout: results before they travel */
    T2D_CUDA_SCORES,
    T2D_CUDA_TRUTH,  /* readout: what the labels are counted against */
    T2D_CUDA_COUNTS, /* readout: tables before they travel */
    T2D_CUDA_SCRATCH
};

typedef struct t2d_cuda_block {
    void *data;
    size_t bytes;
} t2d_cuda_block;

/* Pinned memory in two halves: one is filled while the copies from the other are on their way. */
typedef struct t2d_staging {
    char *memory;
    int half;            /* the one in use */
    size_t used;         /* bytes of it */
    cudaEvent_t free[2]; /* when the copies of a half are done */
} t2d_staging;

/* Results on their way: pinned memory, and where its parts go once they have arrived. */
typedef struct t2d_arrivals {
    char *memory;
    size_t used;
    int count;
    struct {
        void *to; /* host */
        size_t at, bytes;
    } items[T2D_CUDA_ARRIVALS];
} t2d_arrivals;

/* A stretch of operations that the device replays as one (t2d_ops.replay). */
typedef struct t2d_stretch {
    char key[T2D_CUDA_KEY];
    size_t key_bytes;
    unsigned used;        /* a count that grows; 0: an empty place */
    cudaGraphExec_t exec; /* NULL: seen once, not recorded yet */
} t2d_stretch;

typedef struct t2d_cuda {
    t2d_backend base; /* first: a t2d_cuda is a t2d_backend */
    int device;
    char chip[96]; /* "NVIDIA H200 (compute 9.0)", for messages */
    cudaStream_t stream;
    t2d_gemm *gemm;
    t2d_staging staging;
    t2d_arrivals arrivals;
    t2d_cuda_block scratch[T2D_CUDA_SCRATCH];
    t2d_stretch stretches[T2D_CUDA_GRAPHS];
    t2d_stretch *recording;
    unsigned uses;
    t2d_status failed; /* remembered */
    char failure[640];
} t2d_cuda;

t2d_status t2d_cuda_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be, t2d_error *err);

/* ---- failures.c ---- */

/* What a runtime error means and what to do about it, as a sentence. */
void t2d_cuda_explain(char *text, size_t size, int error);
/* True when there is nothing to complain about; otherwise the first complaint is remembered. */
bool t2d_cuda_ok(t2d_cuda *cu, int error, const char *what);
void t2d_cuda_remember(t2d_cuda *cu, t2d_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Tells what was remembered; memory can be asked for again, a broken device stays broken. */
t2d_status t2d_cuda_tell(t2d_cuda *cu, t2d_error *err);

/* ---- memory.c ---- */

t2d_status t2d_staging_open(t2d_cuda *cu, t2d_error *err);
void t2d_staging_close(t2d_cuda *cu);
void *t2d_cuda_alloc(t2d_backend *, size_t bytes);
void t2d_cuda_release(t2d_backend *, void *);
void t2d_cuda_upload(t2d_backend *, void *to, const void *from_host, size_t bytes);
t2d_status t2d_cuda_download(t2d_backend *, void *to_host, const void *from, size_t bytes, t2d_error *);
/* At least `bytes` in a scratch block, contents undefined; NULL, and remembered, when there is no room.
 * Growing waits for the stream. */
void *t2d_cuda_scratch(t2d_cuda *cu, int block, size_t bytes);
/* The same, without complaint. */
void *t2d_cuda_scratch_try(t2d_cuda *cu, int block, size_t bytes);
/* `bytes` of device memory to `to_host` by the next t2d_cuda_arrive, or before. */
void t2d_cuda_bring(t2d_cuda *cu, void *to_host, const void *from, size_t bytes);
/* Waits for the stream and carries away what it has brought. */
void t2d_cuda_arrive(t2d_cuda *cu);
/* A scratch block with a copy of host memory. */
void *t2d_cuda_send(t2d_cuda *cu, int block, const void *host, size_t bytes);

/* ---- linear.c ---- */

t2d_status t2d_cuda_linear_create(t2d_backend *, const t2d_linear_desc *, t2d_linear **, t2d_error *);
void t2d_cuda_linear_destroy(t2d_backend *, t2d_linear *);
void t2d_cuda_linear(t2d_backend *, void *y, const void *x, const t2d_linear *, int sequences, int tokens,
                     t2d_epilogue);
/* Columns of x, `in` rounded up; x's type. */
int t2d_cuda_linear_ld(const t2d_linear *);
t2d_dtype t2d_cuda_linear_type(const t2d_linear *);
/* y [sequences][tokens, out] fp32 += x W^T + b, where sequences' results lie `step` values apart. */
void t2d_cuda_linear_add(t2d_cuda *, float *y, size_t step, const void *x, const t2d_linear *, int sequences,
                         int tokens);

/* ---- graph.c ---- */

bool t2d_cuda_replay(t2d_backend *, const void *key, size_t bytes);
void t2d_cuda_recorded(t2d_backend *);
void t2d_cuda_graphs_close(t2d_cuda *cu);

/* ---- results.c ---- */

t2d_status t2d_cuda_read_out(t2d_backend *, const t2d_readout *, t2d_error *);
t2d_status t2d_cuda_finish(t2d_backend *, t2d_error *);

#endif
