/* backend.c — a GPU as a machine: opening it, its queue, its table of operations. */
#include <stdlib.h>
#include <string.h>

#include "cuda/machine.h"
#include "cuda/operations.h"

enum {
    OLDEST = 8,   /* compute capability of the kernels: mma.sync with bf16, cp.async */
    LOAD = 32768, /* tokens: 31 windows of 448 x 448 */
};

static void cuda_close(t2d_backend *be)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    if (!cu) return;
    (void)cudaSetDevice(cu->device);
    if (cu->stream) (void)cudaStreamSynchronize(cu->stream);
    t2d_cuda_graphs_close(cu);
    for (int i = 0; i < T2D_CUDA_SCRATCH; i++) (void)cudaFree(cu->scratch[i].data);
    t2d_staging_close(cu);
    t2d_gemm_close(cu->gemm);
    if (cu->stream) (void)cudaStreamDestroy(cu->stream);
    free(cu);
}

static const t2d_ops OPS = {
    .name = "cuda",
    .alloc = t2d_cuda_alloc,
    .release = t2d_cuda_release,
    .upload = t2d_cuda_upload,
    .download = t2d_cuda_download,
    .close = cuda_close,
    .linear_create = t2d_cuda_linear_create,
    .linear_destroy = t2d_cuda_linear_destroy,
    .embed = t2d_cuda_op_embed,
    .embed_text = t2d_cuda_op_embed_text,
    .layernorm = t2d_cuda_op_layernorm,
    .linear = t2d_cuda_linear,
    .swiglu = t2d_cuda_op_swiglu,
    .attention = t2d_cuda_op_attention,
    .gather_rows = t2d_cuda_op_gather_rows,
    .unit_rows = t2d_cuda_op_unit_rows,
    .cls_logits = t2d_cuda_op_cls_logits,
    .head_pool = t2d_cuda_op_head_pool,
    .similarity = t2d_cuda_op_similarity,
    .clean = t2d_cuda_op_clean,
    .merge_max = t2d_cuda_op_merge_max,
    .readout = t2d_cuda_read_out,
    .finish = t2d_cuda_finish,
    .replay = t2d_cuda_replay,
    .recorded = t2d_cuda_recorded,
};

/* ---- opening ---- */

static t2d_status refuse(t2d_error *err, const char *device, int error)
{
    char text[320];
    (void)cudaGetLastError();
    t2d_cuda_explain(text, sizeof text, error);
    return t2d_fail(err, T2D_E_DEVICE, "device %s: %s", device, text);
}

/* "cuda" -> 0, "cuda:3" -> 3, when there is such a device. */
static t2d_status choose_device(const char *device, int *index, t2d_error *err)
{
    int count = 0;
    const cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess) return refuse(err, device, e);
    if (count == 0) return refuse(err, device, cudaErrorNoDevice);
    *index = 0;
    if (strcmp(device, "cuda") == 0) return T2D_OK;
    char *end;
    const long n = strtol(device + 5, &end, 10);
    if (device[5] < '0' || device[5] > '9' || *end)
        return t2d_fail(err, T2D_E_ARGUMENT, "device \"%s\": want \"cuda:N\" with a number", device);
    if (n >= count)
        return t2d_fail(err, T2D_E_DEVICE, "device %s: there %s %d CUDA device%s, cuda:0%s", device,
                        count == 1 ? "is" : "are", count, count == 1 ? "" : "s",
                        count == 1 ? " alone" : " and up");
    *index = (int)n;
    return T2D_OK;
}

/* Name and capability, for messages; refuses chips that are too old. */
static t2d_status look_at_chip(t2d_cuda *cu, t2d_error *err)
{
    struct cudaDeviceProp properties;
    int major = 0, minor = 0;
    cudaError_t e = cudaGetDeviceProperties(&properties, cu->device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, cu->device);
    if (e == cudaSuccess) e = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, cu->device);
    if (e == cudaSuccess) e = cudaDeviceGetPCIBusId(cu->base.bus, sizeof cu->base.bus, cu->device);
    if (e != cudaSuccess) return refuse(err, cu->base.device, e);
    snprintf(cu->chip, sizeof cu->chip, "%.64s (compute %d.%d)", properties.name, major, minor);
    return major >= OLDEST ? T2D_OK
                           : t2d_fail(err, T2D_E_DEVICE,
                                      "device %s: %s is too old; want compute %d.0 (Ampere, 2020) or later",
                                      cu->base.device, cu->chip, OLDEST);
}

static void describe(t2d_cuda *cu, const char *gemm)
{
    static const char *const names[] = {"fp32 (no TF32)", "fp16", "bf16"};
    size_t free_bytes = 0, total = 0;
    int driver = 0, runtime = 0;
    (void)cudaMemGetInfo(&free_bytes, &total);
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    snprintf(cu->base.description, sizeof cu->base.description,
             "%s, %.1f of %.1f GiB free, driver for CUDA %d.%d, runtime %d.%d", cu->chip,
             (double)free_bytes / (1 << 30), (double)total / (1 << 30), driver / 1000, driver % 1000 / 10,
             runtime / 1000, runtime % 1000 / 10);
    snprintf(cu->base.choices, sizeof cu->base.choices,
             "products: %.40s in %s; attention: %s; the rest: own kernels; passes: CUDA graphs", gemm,
             names[cu->base.dtype],
             cu->base.dtype == T2D_DTYPE_FP32 ? "fp32 units" : "tensor cores by mma.sync");
}

t2d_status t2d_cuda_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be, t2d_error *err)
{
    int index;
    char gemm[64];
    *be = NULL;
    t2d_status status = choose_device(device, &index, err);
    if (status != T2D_OK) return status;
    t2d_cuda *cu = t2d_new(1, sizeof *cu, "cuda backend", err);
    if (!cu) return T2D_E_MEMORY;
    cu->device = index;
    cu->base = (t2d_backend){.op = &OPS, .dtype = dtype, .threads = threads, .load = LOAD, .apart = true};
    snprintf(cu->base.device, sizeof cu->base.device, "cuda:%d", index);
    status = look_at_chip(cu, err);
    if (status == T2D_OK &&
        (!t2d_cuda_ok(cu, cudaSetDevice(index), "choosing the device") ||
         !t2d_cuda_ok(cu, cudaStreamCreateWithFlags(&cu->stream, cudaStreamNonBlocking), "opening a stream")))
        status = t2d_cuda_tell(cu, err);
    if (status == T2D_OK) status = t2d_staging_open(cu, err);
    if (status == T2D_OK) status = t2d_gemm_open(&cu->gemm, gemm, err);
    if (status == T2D_OK) {
        describe(cu, gemm);
        *be = &cu->base;
    } else {
        cuda_close(&cu->base);
    }
    return status;
}
