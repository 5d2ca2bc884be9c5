/* cudnn_graph.h — one operation of cuDNN's backend API (its C API, without the C++ front end): what the
 * oracles of test_cudnn.c are made of.
 *
 * A graph is built, planned for a device, and run there.  A device may be described instead of present: what
 * comes before the driver is tried on a machine without a GPU.
 * The first thing that goes wrong is kept as a sentence; everything after it does nothing. */
#ifndef CUDNN_GRAPH_H
#define CUDNN_GRAPH_H

#include <cudnn.h>
#include <stdbool.h>

enum { GRAPH_RANK = 4, GRAPH_TENSORS = 8, GRAPH_PARTS = 16 };

typedef struct cudnn_graph {
    cudnnBackendDescriptor_t parts[GRAPH_PARTS]; /* all there are, to be destroyed */
    int part_count;
    cudnnBackendDescriptor_t tensors[GRAPH_TENSORS], operation; /* among them */
    int tensor_count;
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
    char failure[512]; /* "": none */
} cudnn_graph;

/* How a tensor lies in memory, in values. */
typedef struct cudnn_layout {
    int64_t dims[GRAPH_RANK], strides[GRAPH_RANK];
} cudnn_layout;
typedef enum cudnn_place { IN_MEMORY, BY_VALUE } cudnn_place;

/* Numbers of tensors, from 0; pointers of graph_run are in the same order. */
int graph_tensor(cudnn_graph *g, cudnnDataType_t type, cudnn_layout layout, cudnn_place place);

/* o = softmax(scale q k^T) v; tensors [batch, heads, rows, channels], scale BY_VALUE.  Row counts of every
 * batch entry: int32 [batch, 1, 1, 1], both or -1. */
void graph_attention(cudnn_graph *g, int q, int k, int v, int o, int scale, int query_rows, int key_rows);
/* y = x * w, cross-correlation without padding. */
void graph_convolve(cudnn_graph *g, int x, int w, int y, int stride);

/* A device by its properties, as cuDNN writes them itself; NULL when it does not read them. */
cudnnBackendDescriptor_t cudnn_described_device(int compute, int processors, int shared_bytes,
                                                const char *name);

/* Whether cuDNN accepts the operation: types, shapes, strides. */
bool graph_sound(cudnn_graph *g);
/* How many engines of a described device have a plan for it; those that want the driver for that (all of
 * attention's) do not. */
int graph_engines(cudnn_graph *g, cudnnBackendDescriptor_t device);

/* Chooses an engine and builds its plan.  exact: no tensor cores, Winograd or FFT (fp32 stays fp32).  False:
 * failure says why. */
bool graph_plan(cudnn_graph *g, cudnnHandle_t handle, bool exact);
/* Queues the plan; pointers: [tensor_count], to the host for those BY_VALUE; workspace: g->workspace bytes.
 */
bool graph_run(cudnn_graph *g, cudnnHandle_t handle, void *const *pointers, void *workspace);
void graph_release(cudnn_graph *g);

#endif
