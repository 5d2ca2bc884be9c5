/* cublaslt_mock.c — libcublasLt as its documentation describes it, for what kernels/cuda/gemm.c uses of it:
 * column-major layouts, transposed A, strided batches, beta, a bias per row.  Plain C, as late as the
 * emulated stream's other work.
 *
 * It shows that our calls mean what we want; it shows nothing of the real library's speed or round-off. */
#include <cublasLt.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef struct layout {
    cudaDataType type;
    uint64_t rows, columns;
    int64_t ld, step;
    int32_t batches;
} layout;

typedef struct desc {
    cublasComputeType_t compute;
    cublasOperation_t transpose_a, transpose_b;
    cublasLtEpilogue_t epilogue;
    const void *bias;
} desc;

typedef struct wish {
    uint32_t reductions;
    uint64_t workspace;
} wish;

/* For the test: how often an algorithm was asked for, and whether one was ever asked for that splits. */
int mock_heuristics, mock_splits;

size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- descriptions ---- */

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    desc *made = calloc(1, sizeof *made);
    if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    made->compute = compute;
    made->transpose_a = made->transpose_b = CUBLAS_OP_N;
    made->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *d = (cublasLtMatmulDesc_t)made;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    free(d);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t attribute, const void *value,
                                              size_t size)
{
    desc *made = (desc *)d;
    void *to = NULL;
    size_t want = 0;
    if (attribute == CUBLASLT_MATMUL_DESC_TRANSA) to = &made->transpose_a, want = sizeof made->transpose_a;
    if (attribute == CUBLASLT_MATMUL_DESC_TRANSB) to = &made->transpose_b, want = sizeof made->transpose_b;
    if (attribute == CUBLASLT_MATMUL_DESC_EPILOGUE) to = &made->epilogue, want = sizeof made->epilogue;
    if (attribute == CUBLASLT_MATMUL_DESC_BIAS_POINTER) to = &made->bias, want = sizeof made->bias;
    if (!to || size != want) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld)
{
    layout *made = calloc(1, sizeof *made);
    *made = (layout){type, rows, columns, ld, 0, 1};
    *l = (cublasLtMatrixLayout_t)made;
    return ld >= (int64_t)rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t size)
{
    layout *made = (layout *)l;
    if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && size == sizeof made->batches)
        memcpy(&made->batches, value, size);
    else if (attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && size == sizeof made->step)
        memcpy(&made->step, value, size);
    else
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the choice of an algorithm ---- */

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *w)
{
    wish *made = calloc(1, sizeof *made);
    made->reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
    *w = (cublasLtMatmulPreference_t)made;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t w)
{
    free(w);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t w,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t size)
{
    wish *made = (wish *)w;
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK && size == sizeof made->reductions)
        memcpy(&made->reductions, value, size);
    else if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES && size == sizeof made->workspace)
        memcpy(&made->workspace, value, size);
    else if (attribute < CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES ||
             attribute > CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES || size != sizeof(uint32_t))
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

/* What the product needs: op(A) [m, k], op(B) [k, n], C and D alike [m, n], batches alike or one. */
static int fits(const desc *d, const layout *a, const layout *b, const layout *c, const layout *y)
{
    const uint64_t m = d->transpose_a == CUBLAS_OP_T ? a->columns : a->rows,
                   k = d->transpose_a == CUBLAS_OP_T ? a->rows : a->columns;
    return d->transpose_b == CUBLAS_OP_N && b->rows == k && y->rows == m && y->columns == b->columns &&
           memcmp(c, y, sizeof *c) == 0 && a->type == b->type &&
           (y->type == a->type || y->type == CUDA_R_32F) && a->batches == b->batches &&
           b->batches == y->batches && d->compute == CUBLAS_COMPUTE_32F;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t y,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found)
{
    const wish *w = (const wish *)preference;
    (void)handle;
    mock_heuristics++;
    mock_splits += w->reductions != CUBLASLT_REDUCTION_SCHEME_NONE || w->workspace != 0;
    if (wanted < 1 || !fits((desc *)d, (layout *)a, (layout *)b, (layout *)c, (layout *)y))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    memset(results, 0, sizeof *results);
    results->algo.data[0] = 42;
    results->state = CUBLAS_STATUS_SUCCESS;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the product ---- */

typedef struct work {
    desc d;
    layout a, b, y;
    const void *pa, *pb;
    void *py;
    float alpha, beta;
} work;

static float get(const void *x, int64_t i, cudaDataType type)
{
    if (type == CUDA_R_32F) return ((const float *)x)[i];
    if (type == CUDA_R_16F) return (float)((const _Float16 *)x)[i];
    const uint32_t u = (uint32_t)((const uint16_t *)x)[i] << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static void put(void *x, int64_t i, cudaDataType type, float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (type == CUDA_R_32F)
        ((float *)x)[i] = f;
    else if (type == CUDA_R_16F)
        ((_Float16 *)x)[i] = (_Float16)f;
    else
        ((uint16_t *)x)[i] = (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void multiply(const void *argument)
{
    const work *w = argument;
    const int transposed = w->d.transpose_a == CUBLAS_OP_T;
    const int64_t m = (int64_t)w->y.rows, n = (int64_t)w->y.columns, k = (int64_t)w->b.rows;
    for (int32_t batch = 0; batch < w->y.batches; batch++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < m; i++) {
                const int64_t at = batch * w->y.step + j * w->y.ld + i;
                float sum = 0;
                for (int64_t c = 0; c < k; c++)
                    sum += get(w->pa, batch * w->a.step + (transposed ? i * w->a.ld + c : c * w->a.ld + i),
                               w->a.type) *
                           get(w->pb, batch * w->b.step + j * w->b.ld + c, w->b.type);
                sum = w->alpha * sum + (w->beta != 0 ? w->beta * get(w->py, at, w->y.type) : 0);
                if (w->d.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += get(w->d.bias, i, w->y.type);
                put(w->py, at, w->y.type, sum);
            }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *pa, cublasLtMatrixLayout_t a, const void *pb,
                              cublasLtMatrixLayout_t b, const void *beta, const void *pc,
                              cublasLtMatrixLayout_t c, void *py, cublasLtMatrixLayout_t y,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    /* the emulator is inside the program that has opened this library */
    int (*submit)(cudaStream_t, void (*)(const void *), const void *, size_t);
    *(void **)&submit = dlsym(RTLD_DEFAULT, "simt_submit");
    (void)handle, (void)workspace;
    if (!submit || pc != py || algorithm->data[0] != 42 || workspace_bytes != 0 ||
        !fits((desc *)d, (layout *)a, (layout *)b, (layout *)c, (layout *)y))
        return CUBLAS_STATUS_INVALID_VALUE;
    const work w = {*(desc *)d, *(layout *)a, *(layout *)b,          *(layout *)y,        pa,
                    pb,         py,           *(const float *)alpha, *(const float *)beta};
    return submit(stream, multiply, &w, sizeof w) == 0 ? CUBLAS_STATUS_SUCCESS
                                                       : CUBLAS_STATUS_EXECUTION_FAILED;
}
