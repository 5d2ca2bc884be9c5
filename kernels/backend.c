/* backend.c — opening a machine by name.  The only place that knows which machines this build has. */
#include "backend.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpu.h"

enum { MAX_THREADS = 4096 };

#ifdef T2D_HAVE_CUDA
t2d_status t2d_cuda_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be, t2d_error *err);
#else
static t2d_status t2d_cuda_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be,
                                t2d_error *err)
{
    (void)dtype, (void)threads, (void)be;
    return t2d_fail(
        err, T2D_E_DEVICE,
        "device %s: this build has no CUDA machine (cmake's output says why); choose \"cpu\" or \"auto\"",
        device);
}
#endif

/* By the process's CPU affinity, never by the environment. */
static int usable_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    const long online = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than a cpu_set_t can hold */
    return online > 0 && online < MAX_THREADS ? (int)online : 1;
}

static bool is_cuda(const char *device)
{
    return strcmp(device, "cuda") == 0 || !strncmp(device, "cuda:", 5);
}

t2d_status t2d_no_room(t2d_backend *be, const char *what, size_t bytes, t2d_error *err)
{
    const t2d_status status = be->op->finish(be, err);
    return status != T2D_OK ? status
                            : t2d_fail(err, T2D_E_MEMORY, "%s: out of memory on %s (%zu bytes wanted)", what,
                                       be->device, bytes);
}

t2d_status t2d_backend_open(const char *device, t2d_dtype dtype, int threads, t2d_backend **be,
                            t2d_error *err)
{
    t2d_error no_gpu;
    *be = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return t2d_fail(err, T2D_E_ARGUMENT, "threads: %d; want 1 to %d, or 0 for all", threads, MAX_THREADS);
    threads = threads ? threads : usable_cpus();
    if (device && is_cuda(device)) return t2d_cuda_open(device, dtype, threads, be, err);
    if (device && strcmp(device, "cpu") == 0) return t2d_cpu_open(dtype, threads, be, err);
    if (device && strcmp(device, "auto") != 0)
        return t2d_fail(err, T2D_E_ARGUMENT,
                        "device \"%s\": unknown; want \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"", device);
    if (t2d_cuda_open("cuda", dtype, threads, be, &no_gpu) == T2D_OK) return T2D_OK;
    return t2d_cpu_open(dtype, threads, be, err);
}
