/* simt_stream.cpp — the host's side of the emulated device: streams, events, graphs, pinned memory.
 *
 * Work in a stream waits in a queue.  It runs when somebody waits for it, and by chance before (at once, or
 * as late as allowed, when simt_config says so): both are what a GPU may do, and a host that forgot to wait
 * sees old numbers or faults. */
#include "simt_device.h"
#include "simt_state.h"
#include <deque>
#include <map>
#include <set>
#include <stdio.h>
#include <stdlib.h>

typedef std::function<cudaError_t()> Work;
struct CUgraph_st {
    std::vector<Work> works;
};
struct CUgraphExec_st {
    std::vector<Work> works;
};
struct CUstream_st {
    std::deque<Work> queue;
    CUgraph_st *recording;
};
struct CUevent_st {
    cudaStream_t stream;
    bool done;
};

namespace simt
{
static std::set<cudaStream_t> streams;
static std::map<const unsigned char *, size_t> pinned;
static cudaError_t last_error, broken;
static int device_count = 1, capability[2] = {9, 0};

cudaError_t note(cudaError_t e)
{
    if (e != cudaSuccess) last_error = e;
    return e;
}
cudaError_t broken_device() { return broken; }
bool capturing()
{
    for (cudaStream_t s : streams)
        if (s->recording) return true;
    return false;
}

/* The oldest `count` works of a stream.  A kernel that fails breaks the device, as a fault of a chip does. */
static void do_works(cudaStream_t s, size_t count)
{
    for (; count > 0 && !s->queue.empty(); count--) {
        const Work work = std::move(s->queue.front());
        s->queue.pop_front();
        if (broken) continue;
        const cudaError_t e = work();
        if (e != cudaSuccess) broken = note(e);
    }
}

cudaError_t submit(cudaStream_t s, Work work)
{
    if (broken) return note(broken);
    if (!s) return note(work());
    if (s->recording) {
        s->recording->works.push_back(std::move(work));
        return cudaSuccess;
    }
    s->queue.push_back(std::move(work));
    if (async_mode == SIMT_ASYNC_EARLY) do_works(s, s->queue.size());
    if (async_mode == SIMT_ASYNC_RANDOM && random_bits() % 4 == 0) do_works(s, random_bits() % 8);
    return cudaSuccess;
}

static bool is_pinned(const void *q, size_t n)
{
    const unsigned char *p = (const unsigned char *)q;
    auto it = pinned.upper_bound(p);
    return it != pinned.begin() && (--it, p + n <= it->first + it->second);
}
} // namespace simt
using namespace simt;

extern "C" {
cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}
const char *cudaGetErrorString(cudaError_t e)
{
    static char text[32];
    snprintf(text, sizeof text, "emulated error %d", e);
    return text;
}

/* ---- the device ---- */
void simt_break_device(cudaError_t e) { broken = e; }
void simt_set_devices(int count, int major, int minor)
{
    device_count = count;
    capability[0] = major;
    capability[1] = minor;
}
cudaError_t cudaGetDeviceCount(int *count)
{
    if (device_count == 0) return note(cudaErrorInsufficientDriver); /* as on a machine without a driver */
    *count = device_count;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= device_count) return note(cudaErrorInvalidDevice);
    return note(broken);
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int)
{
    snprintf(p->name, sizeof p->name, "SIMT emulator");
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int)
{
    *value = capability[attribute == cudaDevAttrComputeCapabilityMinor];
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char *bus, int length, int device)
{
    snprintf(bus, (size_t)length, "0000:%02x:00.0", device + 1);
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = device_count ? 13000 : 0;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void)
{
    for (cudaStream_t s : streams) do_works(s, s->queue.size());
    return note(broken);
}

/* ---- pinned memory ---- */
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned)
{
    if (broken) return note(broken);
    *p = aligned_alloc(256, (n + 255) / 256 * 256);
    if (!*p) return note(cudaErrorMemoryAllocation);
    pinned[(unsigned char *)*p] = n;
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *p)
{
    if (p && !pinned.erase((unsigned char *)p)) return note(cudaErrorInvalidValue);
    free(p);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind, cudaStream_t s)
{
    const void *host = kind == cudaMemcpyHostToDevice ? from : to;
    if (kind != cudaMemcpyDeviceToDevice && !is_pinned(host, n))
        error("cudaMemcpyAsync of %zu bytes with host memory that is not pinned|", n);
    if (kind == cudaMemcpyDeviceToHost) stats.brought += (long)n;
    return submit(s, [=] {
        memcpy(to, from, n);
        return cudaSuccess;
    });
}

/* ---- streams and events ---- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    if (broken) return note(broken);
    *s = new CUstream_st();
    streams.insert(*s);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    do_works(s, s->queue.size());
    streams.erase(s);
    delete s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    stats.waits++;
    if (s && s->recording) return note(cudaErrorStreamCaptureUnsupported);
    if (s) do_works(s, s->queue.size());
    return note(broken);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new CUevent_st{nullptr, true};
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    e->stream = s;
    e->done = false;
    return submit(s, [e] {
        e->done = true;
        return cudaSuccess;
    });
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    while (!e->done && e->stream && !e->stream->queue.empty()) do_works(e->stream, 1);
    return note(broken);
}
cudaError_t simt_submit(cudaStream_t s, void (*work)(const void *), const void *argument, size_t bytes)
{
    const std::vector<unsigned char> copy((const unsigned char *)argument,
                                          (const unsigned char *)argument + bytes);
    return submit(s, [=] {
        work(copy.data());
        return cudaSuccess;
    });
}

/* ---- graphs ---- */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode)
{
    if (broken) return note(broken);
    if (s->recording) return note(cudaErrorInvalidValue);
    s->recording = new CUgraph_st();
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    *graph = s->recording;
    s->recording = nullptr;
    return *graph ? cudaSuccess : note(cudaErrorInvalidValue);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new CUgraphExec_st{graph->works};
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    stats.graph_launches++;
    return submit(s, [works = exec->works] {
        cudaError_t e = cudaSuccess;
        for (const Work &work : works)
            if (e == cudaSuccess) e = work();
        return e;
    });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}
}
