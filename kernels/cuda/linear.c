/* linear.c — y = epilogue(x W^T + b) on the GPU.
 *
 * Products are the library's (gemm.h); what it cannot do after them, ours does in place (norm.cu): its GELU
 * is the tanh form, DINOv2 needs erf.  Numbers of the half types: x and W are half, sums fp32; the product is
 * rounded once before an activation and once after it; without one, bias is added before the only rounding
 * (bias itself rounded); an ADD is never rounded: y and bias are fp32. */
#include <stdlib.h>
#include <string.h>

#include "cuda/machine.h"
#include "half.h"

struct t2d_linear {
    int out, in, ld; /* ld: in, rounded up to 8: zeros behind */
    t2d_dtype type;
    void *weight, *bias_typed; /* [out, ld], [out], `type` */
    float *bias;               /* [out] fp32 */
};

int t2d_cuda_linear_ld(const t2d_linear *lin) { return lin->ld; }
t2d_dtype t2d_cuda_linear_type(const t2d_linear *lin) { return lin->type; }

/* ---- weights ---- */

/* to[at] = value in the type; false where fp16 has no such number. */
static bool put(void *to, size_t at, float value, t2d_dtype type)
{
    if (type == T2D_DTYPE_FP32)
        ((float *)to)[at] = value;
    else if (type == T2D_DTYPE_BF16)
        ((uint16_t *)to)[at] = t2d_to_bf16(value);
    else
        ((uint16_t *)to)[at] = t2d_to_fp16(value);
    return type != T2D_DTYPE_FP16 || (value > -65520.0f && value < 65520.0f);
}

/* gamma W with rows of ld, in the type; gamma b in fp32 and in the type. */
static bool convert(const t2d_linear_desc *d, const t2d_linear *lin, void *weight, float *bias, void *typed)
{
    bool fits = true;
    for (int r = 0; r < d->out; r++) {
        const float gamma = d->gamma ? d->gamma[r] : 1.0f;
        for (int c = 0; c < d->in; c++)
            fits &= put(weight, (size_t)r * lin->ld + c, gamma * d->weight[(size_t)r * d->in + c], lin->type);
        bias[r] = d->bias ? gamma * d->bias[r] : 0.0f;
        fits &= put(typed, (size_t)r, bias[r], lin->type);
    }
    return fits;
}

void t2d_cuda_linear_destroy(t2d_backend *be, t2d_linear *lin)
{
    if (!lin) return;
    t2d_cuda_release(be, lin->weight);
    t2d_cuda_release(be, lin->bias_typed);
    t2d_cuda_release(be, lin->bias);
    free(lin);
}

static t2d_status send(t2d_backend *be, const t2d_linear_desc *d, t2d_linear *lin, t2d_error *err)
{
    const size_t size = lin->type == T2D_DTYPE_FP32 ? 4 : 2, out = (size_t)d->out;
    const size_t bytes = out * (size_t)lin->ld * size;
    t2d_status status = T2D_E_MEMORY;
    void *weight = t2d_new(out * (size_t)lin->ld, size, d->name, err),
         *typed = t2d_new(out, size, d->name, err);
    float *bias = t2d_new(out, sizeof *bias, d->name, err);
    if (!weight || !typed || !bias) goto done;
    if (!convert(d, lin, weight, bias, typed)) {
        status =
            t2d_fail(err, T2D_E_UNSUPPORTED, "%s: a weight is too large for fp16; use bf16 or fp32", d->name);
        goto done;
    }
    lin->weight = t2d_cuda_alloc(be, bytes);
    lin->bias_typed = t2d_cuda_alloc(be, out * size);
    lin->bias = t2d_cuda_alloc(be, out * sizeof *bias);
    if (!lin->weight || !lin->bias_typed || !lin->bias) {
        status = t2d_no_room(be, d->name, bytes, err);
        goto done;
    }
    t2d_cuda_upload(be, lin->weight, weight, bytes);
    t2d_cuda_upload(be, lin->bias_typed, typed, out * size);
    t2d_cuda_upload(be, lin->bias, bias, out * sizeof *bias);
    status = T2D_OK;
done:
    free(weight);
    free(typed);
    free(bias);
    return status;
}

t2d_status t2d_cuda_linear_create(t2d_backend *be, const t2d_linear_desc *d, t2d_linear **linear,
                                  t2d_error *err)
{
    *linear = NULL;
    if (d->out % 8 != 0)
        return t2d_fail(err, T2D_E_UNSUPPORTED, "%s: %d outputs; this machine wants a multiple of 8", d->name,
                        d->out);
    t2d_linear *lin = t2d_new(1, sizeof *lin, d->name, err);
    if (!lin) return T2D_E_MEMORY;
    lin->out = d->out;
    lin->in = d->in;
    lin->ld = (d->in + 7) / 8 * 8;
    lin->type = d->fp32 ? T2D_DTYPE_FP32 : be->dtype;
    const t2d_status status = send(be, d, lin, err);
    if (status == T2D_OK)
        *linear = lin;
    else
        t2d_cuda_linear_destroy(be, lin);
    return status;
}

/* ---- the operation ---- */

static bool product(t2d_cuda *cu, const t2d_gemm_job *job)
{
    const int e = t2d_gemm_run(cu->gemm, job, cu->stream);
    if (e)
        t2d_cuda_remember(cu, T2D_E_DEVICE, "%s: the product [%d x %d, %d] x [%d, %d] failed: %s",
                          cu->base.device, job->sequences, job->tokens, job->in, job->in, job->out,
                          t2d_gemm_explain(e));
    return e == 0;
}

static t2d_gemm_job job_of(const t2d_linear *lin, void *y, const void *x, int sequences, int tokens)
{
    return (t2d_gemm_job){.y = y,
                          .x = x,
                          .w = lin->weight,
                          .sequences = sequences,
                          .tokens = tokens,
                          .out = lin->out,
                          .in = lin->ld,
                          .step = (size_t)tokens * (size_t)lin->out,
                          .type = lin->type,
                          .result = lin->type};
}

void t2d_cuda_linear_add(t2d_cuda *cu, float *y, size_t step, const void *x, const t2d_linear *lin,
                         int sequences, int tokens)
{
    t2d_gemm_job job = job_of(lin, y, x, sequences, tokens);
    job.step = step;
    job.result = T2D_DTYPE_FP32;
    job.bias = lin->bias;
    job.add = true;
    (void)product(cu, &job);
}

void t2d_cuda_linear(t2d_backend *be, void *y, const void *x, const t2d_linear *lin, int sequences,
                     int tokens, t2d_epilogue epilogue)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    if (sequences <= 0 || tokens <= 0 || cu->failed != T2D_OK) return;
    if (!t2d_cuda_ok(cu, cudaSetDevice(cu->device), "a product")) return;
    if (epilogue == T2D_EPI_ADD) {
        t2d_cuda_linear_add(cu, y, (size_t)tokens * (size_t)lin->out, x, lin, sequences, tokens);
        return;
    }
    t2d_gemm_job job = job_of(lin, y, x, sequences, tokens);
    if (epilogue == T2D_EPI_NONE) job.bias = lin->bias_typed;
    if (product(cu, &job) && epilogue != T2D_EPI_NONE)
        (void)t2d_cuda_ok(
            cu,
            t2d_cuda_epilogue(y, y, lin->type, lin->bias, sequences * tokens, lin->out, epilogue, cu->stream),
            "an epilogue");
}
