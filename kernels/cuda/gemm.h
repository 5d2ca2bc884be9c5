/* gemm.h — matrix products of the CUDA machine: a library's work.  Two files answer: gemm.c by cuBLASLt, and
 * in the emulator's tests a plain stand-in. */
#ifndef T2D_CUDA_GEMM_H
#define T2D_CUDA_GEMM_H

#include "backend.h"

typedef struct t2d_gemm t2d_gemm;

/* For every sequence y [tokens, out] = x [tokens, in] w^T (+ bias) (+ y); sums are fp32.  A sequence's result
 * has the same bits whatever `sequences` is. */
typedef struct t2d_gemm_job {
    void *y;
    const void *x, *w; /* [sequences * tokens, in], [out, in]; in % 8 == 0 */
    const void *bias;  /* [out] of y's type, or NULL */
    int sequences, tokens, out, in;
    size_t step;            /* values from one sequence's y to the next's */
    t2d_dtype type, result; /* of x and w; of y and bias: the same, or fp32 */
    bool add;               /* y += */
} t2d_gemm_job;

/* `name` (NULL or room for 64) becomes the library and its version. */
t2d_status t2d_gemm_open(t2d_gemm **gemm, char *name, t2d_error *err);
void t2d_gemm_close(t2d_gemm *gemm);

/* Queues the product; 0, or the library's number for what is wrong. */
int t2d_gemm_run(t2d_gemm *gemm, const t2d_gemm_job *job, void *stream);
/* That number in words. */
const char *t2d_gemm_explain(int status);

#endif
