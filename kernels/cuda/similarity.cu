/* similarity.cu — scores[r,c] = unit[r,:] . text[c,:], then sigmoid when asked; aliases merged by maximum.
 * shapes   unit [rows, dim], text [classes, dim], scores [rows, classes], all f32; any sizes
 * mapping  a block owns 64 rows x 64 classes, a thread 4 x 4 of them, 16 apart; merge: a thread per result
 * memory   tiles of 16 terms of both, transposed, in shared memory; each input is read once per block
 * numbers  f32 FMA in blocks of 64 terms, as cpu/similarity.c: a score depends on its row and class alone
 * launch   (ceil(classes / 64), ceil(rows / 64)) blocks of 256; 8.5 KiB of static shared memory
 * ptxas    similarity 64 registers, 8320 bytes static shared; merge 32; no spills
 * ceiling  f32 FMA.  Not measured
 * oracle   cpu/similarity.c, tests/simt/test_cuda_similarity.c */
#include "gpu.cuh"

enum { TILE = 64, TERMS = 16, SUM = 64, THREADS = 256, PITCH = TILE + 1 };

/* tile[k][i] = from[first + i, k0 + k], zero outside. */
static __device__ void load_tile(float (*tile)[PITCH], const float *from, int first, int count, int k0,
                                 int dim)
{
    for (int i = threadIdx.x; i < TILE * TERMS; i += THREADS) {
        const int row = first + i / TERMS, k = k0 + i % TERMS;
        tile[i % TERMS][i / TERMS] = row < count && k < dim ? from[(size_t)row * dim + k] : 0.f;
    }
}

static __global__ __launch_bounds__(THREADS) void similarity_kernel(float *scores, const float *unit,
                                                                    const float *text, int rows, int classes,
                                                                    int dim, bool sigmoid)
{
    __shared__ float x[TERMS][PITCH], t[TERMS][PITCH];
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const int row0 = blockIdx.y * TILE, class0 = blockIdx.x * TILE;
    float sum[4][4] = {}, part[4][4] = {};
    for (int k0 = 0; k0 < dim; k0 += TERMS) {
        load_tile(x, unit, row0, rows, k0, dim);
        load_tile(t, text, class0, classes, k0, dim);
        __syncthreads(); /* the tiles are written */
        for (int k = 0; k < TERMS; k++)
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    part[i][j] = fmaf(x[k][ty + 16 * i], t[k][tx + 16 * j], part[i][j]);
        __syncthreads(); /* the tiles are read */
        if ((k0 + TERMS) % SUM && k0 + TERMS < dim) continue;
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] += part[i][j], part[i][j] = 0.f;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int r = row0 + ty + 16 * i, c = class0 + tx + 16 * j;
            if (r >= rows || c >= classes) continue;
            scores[(size_t)r * classes + c] = sigmoid ? 1.f / (1.f + expf(-sum[i][j])) : sum[i][j];
        }
}

extern "C" int t2d_cuda_similarity(float *scores, const float *unit, const float *text, int rows, int classes,
                                   int dim, bool sigmoid, void *stream)
{
    if (rows < 1 || rows > 65535 * TILE || classes < 1 || dim < 1) return cudaErrorInvalidValue;
    return launch(similarity_kernel, dim3(ceil_div(classes, TILE), ceil_div(rows, TILE)), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), scores, unit, text, rows, classes, dim, sigmoid);
}

/* ---- aliases ---- */

static __global__ __launch_bounds__(THREADS) void merge_max_kernel(float *out, const float *scores,
                                                                   const int32_t *first, long long count,
                                                                   int classes, int groups)
{
    const long long at = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (at >= count) return;
    const float *row = scores + at / groups * classes;
    const int g = (int)(at % groups);
    float best = row[first[g]];
    for (int c = first[g] + 1; c < first[g + 1]; c++) best = row[c] > best ? row[c] : best;
    out[at] = best;
}

extern "C" int t2d_cuda_merge_max(float *out, const float *scores, const int32_t *first, int rows,
                                  int classes, int groups, void *stream)
{
    if (rows < 1 || classes < 1 || groups < 1) return cudaErrorInvalidValue;
    const long long count = (long long)rows * groups;
    return launch(merge_max_kernel, dim3(ceil_div(count, THREADS)), dim3(THREADS), 0,
                  static_cast<cudaStream_t>(stream), out, scores, first, count, classes, groups);
}
