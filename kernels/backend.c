/* backend.c — opening a machine by name.  The only place that knows which machines this build has. */
#include "backend.h"

#include <string.h>

#include "cpu/cpu.h"

static bool is_cuda(const char *device)
{
    return strcmp(device, "cuda") == 0 || !strncmp(device, "cuda:", 5);
}

t2d_status t2d_backend_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be,
                            t2d_error *err)
{
    *be = NULL;
    if (!device || strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0)
        return t2d_cpu_open(dtype, threads, be, err);
    if (is_cuda(device))
        return t2d_fail(err, T2D_E_DEVICE,
                        "device %s: this build has no CUDA machine; choose \"cpu\" or \"auto\"", device);
    return t2d_fail(err, T2D_E_ARGUMENT,
                    "device \"%s\": unknown; want \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"", device);
}
