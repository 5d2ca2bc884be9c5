/* graph.c — a stretch of operations as one CUDA graph: one launch instead of a hundred.
 * The first time a key is seen its operations run one by one, which also loads their kernels and lets the
 * products choose their algorithms; the second time they are recorded; from then on they are replayed. */
#include <assert.h>
#include <string.h>

#include "cuda/machine.h"

static void forget(t2d_stretch *s)
{
    if (s->exec) (void)cudaGraphExecDestroy(s->exec);
    *s = (t2d_stretch){0};
}

/* The stretch with this key, or an empty place for it. */
static t2d_stretch *find(t2d_cuda *cu, const void *key, size_t bytes)
{
    t2d_stretch *oldest = cu->stretches;
    for (int i = 0; i < T2D_CUDA_GRAPHS; i++) {
        t2d_stretch *s = &cu->stretches[i];
        if (s->used && s->key_bytes == bytes && memcmp(s->key, key, bytes) == 0) return s;
        if (s->used < oldest->used) oldest = s;
    }
    forget(oldest);
    return oldest;
}

bool t2d_cuda_replay(t2d_backend *be, const void *key, size_t bytes)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    assert(bytes <= T2D_CUDA_KEY && !cu->recording);
    if (cu->failed != T2D_OK || !t2d_cuda_ok(cu, cudaSetDevice(cu->device), "a replay")) return false;
    t2d_stretch *s = find(cu, key, bytes);
    const bool seen = s->used != 0;
    s->used = ++cu->uses;
    if (s->exec) {
        (void)t2d_cuda_ok(cu, cudaGraphLaunch(s->exec, cu->stream), "a graph's launch");
        return true;
    }
    memcpy(s->key, key, bytes);
    s->key_bytes = bytes;
    if (seen &&
        t2d_cuda_ok(cu, cudaStreamBeginCapture(cu->stream, cudaStreamCaptureModeThreadLocal), "a recording"))
        cu->recording = s;
    return false;
}

void t2d_cuda_recorded(t2d_backend *be)
{
    t2d_cuda *cu = (t2d_cuda *)be;
    t2d_stretch *s = cu->recording;
    cudaGraph_t graph = NULL;
    cu->recording = NULL;
    if (!s) return;
    const bool ended = t2d_cuda_ok(cu, cudaStreamEndCapture(cu->stream, &graph), "a recording's end");
    if (ended && cu->failed == T2D_OK && t2d_cuda_ok(cu, cudaGraphInstantiate(&s->exec, graph, 0), "a graph"))
        (void)t2d_cuda_ok(cu, cudaGraphLaunch(s->exec, cu->stream), "a graph's launch");
    if (graph) (void)cudaGraphDestroy(graph);
    if (cu->failed != T2D_OK) forget(s);
}

void t2d_cuda_graphs_close(t2d_cuda *cu)
{
    for (int i = 0; i < T2D_CUDA_GRAPHS; i++) forget(&cu->stretches[i]);
}
