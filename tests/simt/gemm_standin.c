/* gemm_standin.c — kernels/cuda/gemm.h in plain C, for the emulator: sums in fp32 in the order of the inner
 * dimension, one rounding at the end, as late as the stream's other work. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/gemm.h"
#include "simt_control.h"

struct t2d_gemm {
    char nothing;
};

t2d_status t2d_gemm_open(t2d_gemm **gemm, char *name, t2d_error *err)
{
    *gemm = t2d_new(1, sizeof **gemm, "products", err);
    if (name) snprintf(name, 64, "plain products");
    return *gemm ? T2D_OK : T2D_E_MEMORY;
}

void t2d_gemm_close(t2d_gemm *gemm) { free(gemm); }
const char *t2d_gemm_explain(int status)
{
    return status == cudaErrorInvalidValue ? "a shape it does not take" : "it failed";
}

static float get(const void *x, size_t i, t2d_dtype type)
{
    if (type == T2D_DTYPE_FP32) return ((const float *)x)[i];
    if (type == T2D_DTYPE_FP16) return (float)((const _Float16 *)x)[i];
    const uint32_t u = (uint32_t)((const uint16_t *)x)[i] << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void put(void *x, size_t i, t2d_dtype type, float f)
{
    if (type == T2D_DTYPE_FP32)
        ((float *)x)[i] = f;
    else if (type == T2D_DTYPE_FP16)
        ((_Float16 *)x)[i] = (_Float16)f;
    else {
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        ((uint16_t *)x)[i] = isnan(f) ? 0x7fff : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
}

/* sums [out] of one row; wide [in, out] is the weight in fp32, transposed. */
static void row(float *restrict sums, const float *restrict x, const float *restrict wide, int in, int out)
{
    memset(sums, 0, (size_t)out * sizeof *sums);
    for (int c = 0; c < in; c++)
        for (int o = 0; o < out; o++) sums[o] += x[c] * wide[(size_t)c * out + o];
}

static void multiply(const void *argument)
{
    t2d_gemm_job job;
    memcpy(&job, argument, sizeof job);
    const size_t in = (size_t)job.in, out = (size_t)job.out;
    float *wide = malloc(in * out * sizeof *wide), *x = malloc(in * sizeof *x),
          *sums = malloc(out * sizeof *sums);
    if (!wide || !x || !sums) abort();
    for (size_t o = 0; o < out; o++)
        for (size_t c = 0; c < in; c++) wide[c * out + o] = get(job.w, o * in + c, job.type);
    for (int s = 0; s < job.sequences; s++)
        for (int t = 0; t < job.tokens; t++) {
            const size_t from = ((size_t)s * (size_t)job.tokens + (size_t)t) * in;
            const size_t to = (size_t)s * job.step + (size_t)t * out;
            for (size_t c = 0; c < in; c++) x[c] = get(job.x, from + c, job.type);
            row(sums, x, wide, job.in, job.out);
            for (size_t o = 0; o < out; o++) {
                float sum = sums[o];
                if (job.add) sum += get(job.y, to + o, job.result);
                if (job.bias) sum += get(job.bias, o, job.result);
                put(job.y, to + o, job.result, sum);
            }
        }
    free(wide);
    free(x);
    free(sums);
}

int t2d_gemm_run(t2d_gemm *gemm, const t2d_gemm_job *job, void *stream)
{
    (void)gemm;
    if (job->in % 8 || job->sequences < 1 || job->tokens < 1 || job->out < 1) return cudaErrorInvalidValue;
    return simt_submit(stream, multiply, job, sizeof *job);
}
