/* failures.c — what goes wrong on a GPU, in sentences. */
#include <stdarg.h>
#include <string.h>

#include "cuda/machine.h"

/* What there is to say beyond the runtime's own words. */
static const char *advice(int error)
{
    switch (error) {
    case cudaErrorMemoryAllocation:
        return "out of device memory; use a smaller picture or window, or free the device of other programs";
    case cudaErrorInsufficientDriver:
        return "no NVIDIA driver, or one too old for this build's CUDA runtime (nvidia-smi tells); install "
               "or "
               "update it, or choose \"cpu\"";
    case cudaErrorNoDevice:
        return "the driver finds no device; is CUDA_VISIBLE_DEVICES empty, or a container started without "
               "GPUs?";
    case cudaErrorDevicesUnavailable:
        return "the device is busy or in exclusive use by another program";
    case cudaErrorNoKernelImageForDevice:
        return "this build has no kernels for this chip; build with -DT2D_CUDA_ARCHITECTURES naming it";
    case cudaErrorECCUncorrectable:
        return "a memory error that ECC could not repair: the results are lost; restart the program, and "
               "when it "
               "comes again, have the device reset or replaced";
    case cudaErrorSystemDriverMismatch:
        return "the driver's kernel module and its libraries are of different versions; reboot after the "
               "update";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
        return "a kernel failed and took the device's state with it; restart the program, and please report "
               "this";
    }
    return NULL;
}

void t2d_cuda_explain(char *text, size_t size, int error)
{
    const char *words = cudaGetErrorString((cudaError_t)error), *more = advice(error);
    snprintf(text, size, "%s%s%s (CUDA error %d)", words, more ? ": " : "", more ? more : "", error);
}

void t2d_cuda_remember(t2d_cuda *cu, t2d_status status, const char *format, ...)
{
    va_list arguments;
    if (cu->failed != T2D_OK) return; /* what comes after the first is its consequence */
    cu->failed = status;
    va_start(arguments, format);
    vsnprintf(cu->failure, sizeof cu->failure, format, arguments);
    va_end(arguments);
}

bool t2d_cuda_ok(t2d_cuda *cu, int error, const char *what)
{
    char text[320];
    if (error == cudaSuccess) return true;
    (void)cudaGetLastError(); /* or the next call finds it again */
    t2d_cuda_explain(text, sizeof text, error);
    t2d_cuda_remember(cu, error == cudaErrorMemoryAllocation ? T2D_E_MEMORY : T2D_E_DEVICE,
                      "%s, %s: %s, in %s", cu->base.device, cu->chip, text, what);
    return false;
}

t2d_status t2d_cuda_tell(t2d_cuda *cu, t2d_error *err)
{
    if (cu->failed == T2D_OK) return T2D_OK;
    const t2d_status status = t2d_fail(err, cu->failed, "%s", cu->failure);
    cu->failed = T2D_OK;
    return status;
}
