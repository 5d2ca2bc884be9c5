/* memory.c — device memory, and the way between the host's and the device's. */
#include <string.h>

#include "cuda/machine.h"

enum {
    HALF = 8 << 20,      /* bytes of half the staging memory */
    ARRIVALS = 16 << 20, /* bytes of results that may be on their way: 27 masks of 640 x 480 */
    PLACE = 256,         /* what is put into pinned memory is aligned so */
};

static size_t round_up(size_t bytes) { return (bytes + PLACE - 1) / PLACE * PLACE; }

/* ---- device memory ---- */

void *t2d_cuda_alloc(t2d_backend *be, size_t bytes)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    void *p = NULL;
    cudaError_t e = cudaSetDevice(cu->device);
    if (e == cudaSuccess) e = cudaMalloc(&p, bytes ? bytes : 1);
    if (e == cudaErrorMemoryAllocation)
        (void)cudaGetLastError(); /* the caller may ask for less */
    else
        (void)t2d_cuda_ok(cu, e, "asking for memory");
    return e == cudaSuccess ? p : NULL;
}

void t2d_cuda_release(t2d_backend *be, void *p)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    if (!p) return;
    (void)cudaSetDevice(cu->device);
    (void)cudaStreamSynchronize(cu->stream); /* queued work may use it; what failed is told elsewhere */
    (void)cudaFree(p);
}

void *t2d_cuda_scratch_try(t2d_cuda *cu, int block, size_t bytes)
{
    t2d_cuda_block *b = &cu->scratch[block];
    if (b->data && b->bytes >= bytes) return b->data;
    t2d_cuda_release(&cu->base, b->data);
    b->data = t2d_cuda_alloc(&cu->base, bytes);
    b->bytes = b->data ? bytes : 0;
    return b->data;
}

void *t2d_cuda_scratch(t2d_cuda *cu, int block, size_t bytes)
{
    void *p = t2d_cuda_scratch_try(cu, block, bytes);
    if (!p)
        t2d_cuda_remember(
            cu, T2D_E_MEMORY,
            "%s: out of device memory (%zu bytes of scratch wanted); use a smaller picture or fewer "
            "classes, or free the device of other programs",
            cu->base.device, bytes);
    return p;
}

/* ---- staging ---- */

t2d_status t2d_staging_open(t2d_cuda *cu, t2d_error *err)
{
    t2d_staging *s = &cu->staging;
    void *memory = NULL;
    const bool done =
        t2d_cuda_ok(cu, cudaHostAlloc(&memory, 2 * HALF, cudaHostAllocDefault), "pinned memory") &&
        t2d_cuda_ok(cu, cudaEventCreateWithFlags(&s->free[0], cudaEventDisableTiming), "an event") &&
        t2d_cuda_ok(cu, cudaEventCreateWithFlags(&s->free[1], cudaEventDisableTiming), "an event");
    s->memory = memory;
    memory = NULL;
    if (done && t2d_cuda_ok(cu, cudaHostAlloc(&memory, ARRIVALS, cudaHostAllocDefault), "pinned memory")) {
        cu->arrivals.memory = memory;
        return T2D_OK;
    }
    return t2d_cuda_tell(cu, err);
}

void t2d_staging_close(t2d_cuda *cu)
{
    t2d_staging *s = &cu->staging;
    for (int i = 0; i < 2; i++)
        if (s->free[i]) (void)cudaEventDestroy(s->free[i]);
    if (s->memory) (void)cudaFreeHost(s->memory);
    if (cu->arrivals.memory) (void)cudaFreeHost(cu->arrivals.memory);
}

/* `bytes` (at most HALF) of pinned memory that no copy uses any more. */
static char *take(t2d_cuda *cu, size_t bytes)
{
    t2d_staging *s = &cu->staging;
    if (s->used + bytes > HALF) {
        if (!t2d_cuda_ok(cu, cudaEventRecord(s->free[s->half], cu->stream), "an event")) return NULL;
        s->half = 1 - s->half;
        s->used = 0;
        if (!t2d_cuda_ok(cu, cudaEventSynchronize(s->free[s->half]), "copies")) return NULL;
    }
    char *p = s->memory + (size_t)s->half * HALF + s->used;
    s->used += round_up(bytes);
    return p;
}

void t2d_cuda_upload(t2d_backend *be, void *to, const void *from_host, size_t bytes)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    if (cu->failed != T2D_OK || !t2d_cuda_ok(cu, cudaSetDevice(cu->device), "a copy to the device")) return;
    for (size_t at = 0, part; at < bytes; at += part) {
        part = bytes - at < HALF ? bytes - at : HALF;
        char *pinned = take(cu, part);
        if (!pinned) return;
        memcpy(pinned, (const char *)from_host + at, part);
        if (!t2d_cuda_ok(cu,
                         cudaMemcpyAsync((char *)to + at, pinned, part, cudaMemcpyHostToDevice, cu->stream),
                         "a copy to the device"))
            return;
    }
}

/* One copy and one wait for what fits in half the staging memory.  More goes in turns: while one part arrives
 * in one half, the part before it is carried away from the other. */
static bool fetch(t2d_cuda *cu, char *to, const char *from, size_t bytes)
{
    const t2d_staging *s = &cu->staging;
    const char *before = NULL; /* the part on its way, a whole half: the next one goes to the other half */
    for (size_t at = 0, part; at < bytes; at += part) {
        part = bytes - at < HALF ? bytes - at : HALF;
        char *pinned = take(cu, part);
        if (!pinned ||
            !t2d_cuda_ok(cu, cudaMemcpyAsync(pinned, from + at, part, cudaMemcpyDeviceToHost, cu->stream),
                         "a copy from the device"))
            return false;
        if (before) {
            if (!t2d_cuda_ok(cu, cudaEventSynchronize(s->free[1 - s->half]), "a copy from the device"))
                return false;
            memcpy(to + at - HALF, before, HALF);
        }
        before = pinned;
    }
    if (!t2d_cuda_ok(cu, cudaStreamSynchronize(cu->stream), "the work queued")) return false;
    const size_t last = bytes > 0 ? (bytes - 1) % HALF + 1 : 0;
    if (last) memcpy(to + bytes - last, before, last);
    cu->staging.used = 0;
    return true;
}

t2d_status t2d_cuda_download(t2d_backend *be, void *to_host, const void *from, size_t bytes, t2d_error *err)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    if (cu->failed == T2D_OK && t2d_cuda_ok(cu, cudaSetDevice(cu->device), "a copy from the device"))
        (void)fetch(cu, to_host, from, bytes);
    return t2d_cuda_tell(cu, err);
}

/* ---- results that travel together ---- */

void t2d_cuda_arrive(t2d_cuda *cu)
{
    t2d_arrivals *a = &cu->arrivals;
    if (cu->failed == T2D_OK && t2d_cuda_ok(cu, cudaStreamSynchronize(cu->stream), "the work queued"))
        for (int i = 0; i < a->count; i++)
            memcpy(a->items[i].to, a->memory + a->items[i].at, a->items[i].bytes);
    a->count = 0;
    a->used = 0;
}

void t2d_cuda_bring(t2d_cuda *cu, void *to_host, const void *from, size_t bytes)
{
    t2d_arrivals *a = &cu->arrivals;
    if (cu->failed != T2D_OK) return;
    if (bytes > ARRIVALS) {
        (void)fetch(cu, to_host, from, bytes);
        return;
    }
    if (a->used + bytes > ARRIVALS || a->count == T2D_CUDA_ARRIVALS) t2d_cuda_arrive(cu);
    if (!t2d_cuda_ok(cu,
                     cudaMemcpyAsync(a->memory + a->used, from, bytes, cudaMemcpyDeviceToHost, cu->stream),
                     "a copy from the device"))
        return;
    a->items[a->count].to = to_host;
    a->items[a->count].at = a->used;
    a->items[a->count++].bytes = bytes;
    a->used += round_up(bytes);
}

void *t2d_cuda_send(t2d_cuda *cu, int block, const void *host, size_t bytes)
{
    void *p = t2d_cuda_scratch(cu, block, bytes);
    if (p) t2d_cuda_upload(&cu->base, p, host, bytes);
    return cu->failed == T2D_OK ? p : NULL;
}
