/* gemm.c — matrix products by cuBLASLt, opened when a GPU is chosen: the program starts without it.
 *
 * cuBLASLt's matrices are column-major, so y [tokens, out] is its D [out, tokens] = W^T X.  Same bits for
 * every number of sequences: one algorithm per shape of a single sequence, chosen once for TYPICAL of them,
 * applied as a batch with a step; no split of the inner dimension (a split's number of parts follows the size
 * of the grid), and no workspace, without which there is none.  fp32 is CUBLAS_COMPUTE_32F: TF32 is not among
 * its choices. */
#include "cuda/gemm.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdlib.h>

enum { TYPICAL = 8, ALIGNED = 16 }; /* sequences; bytes that every pointer and row is a multiple of */

#define NAME_OF(version) NAME_OF_(version)
#define NAME_OF_(version) "libcublasLt.so." #version

/* The library's calls that are used: X(name) */
#define CALLS(X)                                                                                             \
    X(cublasLtCreate)                                                                                        \
    X(cublasLtDestroy)                                                                                       \
    X(cublasLtGetVersion)                                                                                    \
    X(cublasLtMatmul)                                                                                        \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                        \
    X(cublasLtMatmulDescCreate)                                                                              \
    X(cublasLtMatmulDescDestroy)                                                                             \
    X(cublasLtMatmulDescSetAttribute)                                                                        \
    X(cublasLtMatmulPreferenceCreate)                                                                        \
    X(cublasLtMatmulPreferenceDestroy)                                                                       \
    X(cublasLtMatmulPreferenceSetAttribute)                                                                  \
    X(cublasLtMatrixLayoutCreate)                                                                            \
    X(cublasLtMatrixLayoutDestroy)                                                                           \
    X(cublasLtMatrixLayoutSetAttribute)

/* A product of one shape, ready to run. */
typedef struct plan {
    struct plan *next;
    t2d_gemm_job shape; /* its sizes and types alone */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulAlgo_t algorithm;
} plan;

struct t2d_gemm {
    void *library;
    cublasLtHandle_t handle;
    plan *plans;
#define MEMBER(name) __typeof__(&(name)) name; /* NOLINT(bugprone-macro-parentheses): a member cannot be */
    CALLS(MEMBER)
#undef MEMBER
};

/* ---- the library ---- */

static t2d_status load(t2d_gemm *g, t2d_error *err)
{
    static const char name[] = NAME_OF(CUBLAS_VER_MAJOR);
    g->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
#ifdef T2D_CUDA_LIBRARIES
    if (!g->library)
        g->library = dlopen(T2D_CUDA_LIBRARIES "/" NAME_OF(CUBLAS_VER_MAJOR), RTLD_NOW | RTLD_LOCAL);
#endif
    if (!g->library)
        return t2d_fail(
            err, T2D_E_DEVICE,
            "%s cannot be opened (%s); install CUDA %d's cuBLAS, or name its folder in LD_LIBRARY_PATH", name,
            dlerror(), CUBLAS_VER_MAJOR);
#define FIND(symbol)                                                                                         \
    *(void **)(&g->symbol) = dlsym(g->library, #symbol);                                                     \
    if (!g->symbol)                                                                                          \
        return t2d_fail(err, T2D_E_DEVICE, "%s has no %s: not the library this build was made for", name,    \
                        #symbol);
    CALLS(FIND)
#undef FIND
    return T2D_OK;
}

t2d_status t2d_gemm_open(t2d_gemm **gemm, char *name, t2d_error *err)
{
    *gemm = NULL;
    t2d_gemm *g = t2d_new(1, sizeof *g, "cuBLASLt", err);
    if (!g) return T2D_E_MEMORY;
    t2d_status status = load(g, err);
    if (status == T2D_OK) {
        const cublasStatus_t e = g->cublasLtCreate(&g->handle);
        if (e != CUBLAS_STATUS_SUCCESS)
            status = t2d_fail(err, T2D_E_DEVICE, "cuBLASLt could not start: %s", t2d_gemm_explain((int)e));
    }
    if (status != T2D_OK) {
        t2d_gemm_close(g);
        return status;
    }
    const size_t version = g->cublasLtGetVersion();
    if (name) snprintf(name, 64, "cuBLASLt %zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
    *gemm = g;
    return T2D_OK;
}

static void destroy(t2d_gemm *g, plan *p)
{
    if (!p) return;
    if (p->desc) g->cublasLtMatmulDescDestroy(p->desc);
    if (p->w) g->cublasLtMatrixLayoutDestroy(p->w);
    if (p->x) g->cublasLtMatrixLayoutDestroy(p->x);
    if (p->y) g->cublasLtMatrixLayoutDestroy(p->y);
    free(p);
}

void t2d_gemm_close(t2d_gemm *g)
{
    if (!g) return;
    while (g->plans) {
        plan *p = g->plans;
        g->plans = p->next;
        destroy(g, p);
    }
    if (g->handle) g->cublasLtDestroy(g->handle);
    if (g->library) dlclose(g->library);
    free(g);
}

const char *t2d_gemm_explain(int status)
{
    switch ((cublasStatus_t)status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "cuBLASLt is not initialised (no usable device?)";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "cuBLASLt is out of memory";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "cuBLASLt was given a value it does not take";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "cuBLASLt does not compute this type on this chip";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "cuBLASLt has no algorithm for this shape";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "cuBLASLt could not launch its kernel";
    default:
        return "cuBLASLt failed within";
    }
}

/* ---- plans ---- */

static cudaDataType_t type_of(t2d_dtype type)
{
    return type == T2D_DTYPE_FP32 ? CUDA_R_32F : type == T2D_DTYPE_FP16 ? CUDA_R_16F : CUDA_R_16BF;
}

static bool same_shape(const t2d_gemm_job *a, const t2d_gemm_job *b)
{
    return a->tokens == b->tokens && a->out == b->out && a->in == b->in && a->step == b->step &&
           a->type == b->type && a->result == b->result && a->add == b->add && !a->bias == !b->bias;
}

/* `rows` x `columns` values, one after the other by columns; matrices of a batch lie `step` apart (0:
 * shared). */
static cublasStatus_t make_layout(const t2d_gemm *g, cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                  int rows, int columns, size_t step)
{
    const int64_t offset = (int64_t)step;
    cublasStatus_t e = g->cublasLtMatrixLayoutCreate(layout, type, (uint64_t)rows, (uint64_t)columns, rows);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = g->cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &offset,
                                                sizeof offset);
    return e;
}

static cublasStatus_t set_sequences(const t2d_gemm *g, const plan *p, int sequences)
{
    const int32_t count = sequences;
    const cublasLtMatrixLayout_t layouts[] = {p->w, p->x, p->y};
    cublasStatus_t e = CUBLAS_STATUS_SUCCESS;
    for (int i = 0; i < 3 && e == CUBLAS_STATUS_SUCCESS; i++)
        e = g->cublasLtMatrixLayoutSetAttribute(layouts[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                                sizeof count);
    return e;
}

static cublasStatus_t describe(const t2d_gemm *g, plan *p, const t2d_gemm_job *job)
{
    const cublasOperation_t transpose = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = job->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    cublasStatus_t e = g->cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = g->cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose,
                                              sizeof transpose);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = g->cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                              sizeof epilogue);
    if (e == CUBLAS_STATUS_SUCCESS && job->bias)
        e = g->cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &job->bias,
                                              sizeof job->bias);
    if (e == CUBLAS_STATUS_SUCCESS) e = make_layout(g, &p->w, type_of(job->type), job->in, job->out, 0);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = make_layout(g, &p->x, type_of(job->type), job->in, job->tokens,
                        (size_t)job->tokens * (size_t)job->in);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = make_layout(g, &p->y, type_of(job->result), job->out, job->tokens, job->step);
    return e;
}

static cublasStatus_t choose(const t2d_gemm *g, plan *p)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE, aligned = ALIGNED;
    const uint64_t no_workspace = 0;
    cublasLtMatmulPreference_t wish;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    cublasStatus_t e = g->cublasLtMatmulPreferenceCreate(&wish);
    if (e != CUBLAS_STATUS_SUCCESS) return e;
    e = g->cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                &no_reduction, sizeof no_reduction);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = g->cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &no_workspace, sizeof no_workspace);
    for (int i = 0; i < 4 && e == CUBLAS_STATUS_SUCCESS; i++)
        e = g->cublasLtMatmulPreferenceSetAttribute(wish, alignments[i], &aligned, sizeof aligned);
    if (e == CUBLAS_STATUS_SUCCESS) e = set_sequences(g, p, TYPICAL);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = g->cublasLtMatmulAlgoGetHeuristic(g->handle, p->desc, p->w, p->x, p->y, p->y, wish, 1, &found,
                                              &count);
    if (e == CUBLAS_STATUS_SUCCESS) e = count > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED;
    if (e == CUBLAS_STATUS_SUCCESS) p->algorithm = found.algo;
    g->cublasLtMatmulPreferenceDestroy(wish);
    return e;
}

static cublasStatus_t find(t2d_gemm *g, const t2d_gemm_job *job, plan **found)
{
    for (plan *p = g->plans; p; p = p->next)
        if (same_shape(&p->shape, job)) {
            *found = p;
            return CUBLAS_STATUS_SUCCESS;
        }
    plan *p = t2d_new(1, sizeof *p, "a product", NULL);
    if (!p) return CUBLAS_STATUS_ALLOC_FAILED;
    p->shape = *job;
    cublasStatus_t e = describe(g, p, job);
    if (e == CUBLAS_STATUS_SUCCESS) e = choose(g, p);
    if (e != CUBLAS_STATUS_SUCCESS) {
        destroy(g, p);
        return e;
    }
    p->next = g->plans;
    g->plans = *found = p;
    return e;
}

int t2d_gemm_run(t2d_gemm *g, const t2d_gemm_job *job, void *stream)
{
    const float one = 1.0f, zero = 0.0f;
    plan *p = NULL;
    cublasStatus_t e = find(g, job, &p);
    if (e == CUBLAS_STATUS_SUCCESS) e = set_sequences(g, p, job->sequences);
    if (e == CUBLAS_STATUS_SUCCESS && job->bias)
        e = g->cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &job->bias,
                                              sizeof job->bias);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = g->cublasLtMatmul(g->handle, p->desc, &one, job->w, p->w, job->x, p->x, job->add ? &one : &zero,
                              job->y, p->y, job->y, p->y, &p->algorithm, NULL, 0, (cudaStream_t)stream);
    return (int)e;
}
