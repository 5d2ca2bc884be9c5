/* cudnn_graph.c — see cudnn_graph.h; attributes are those of cuDNN's backend descriptor types, in the order
 * of its manual. */
#include "cudnn_graph.h"

#include <stdio.h>
#include <string.h>

enum { CONFIGURATIONS = 32 };

/* ---- descriptors ---- */

static bool check(cudnn_graph *g, cudnnStatus_t status, const char *what)
{
    if (g->failure[0]) return false;
    if (status == CUDNN_STATUS_SUCCESS) return true;
    char why[384] = "";
    cudnnGetLastErrorString(why, sizeof why);
    why[strcspn(why, "\n")] = '\0';
    snprintf(g->failure, sizeof g->failure, "%s: %s (%.300s)", what, cudnnGetErrorString(status), why);
    return false;
}

static cudnnBackendDescriptor_t part(cudnn_graph *g, cudnnBackendDescriptorType_t type, const char *what)
{
    cudnnBackendDescriptor_t d = NULL;
    if (g->part_count == GRAPH_PARTS)
        snprintf(g->failure, sizeof g->failure, "%s: more than %d parts", what, GRAPH_PARTS);
    if (g->failure[0] || !check(g, cudnnBackendCreateDescriptor(type, &d), what)) return NULL;
    return g->parts[g->part_count++] = d;
}

static void set(cudnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values, const char *what)
{
    if (!g->failure[0]) check(g, cudnnBackendSetAttribute(d, name, type, count, values), what);
}

static void set_type(cudnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                     cudnnDataType_t type, const char *what)
{
    set(g, d, name, CUDNN_TYPE_DATA_TYPE, 1, &type, what);
}

static void set_part(cudnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                     cudnnBackendDescriptor_t value, const char *what)
{
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value, what);
}

static void finish(cudnn_graph *g, cudnnBackendDescriptor_t d, const char *what)
{
    if (!g->failure[0]) check(g, cudnnBackendFinalize(d), what);
}

/* ---- tensors and operations ---- */

int graph_tensor(cudnn_graph *g, cudnnDataType_t type, cudnn_layout layout, cudnn_place place)
{
    const int64_t id = g->tensor_count, align = place == BY_VALUE ? 4 : 16;
    const bool by_value = place == BY_VALUE;
    const char *what = "a tensor";
    cudnnBackendDescriptor_t d = part(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR, what);
    set_type(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, type, what);
    set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, GRAPH_RANK, layout.dims, what);
    set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, GRAPH_RANK, layout.strides, what);
    set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id, what);
    set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align, what);
    set(g, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value, what);
    finish(g, d, what);
    g->tensors[g->tensor_count] = d;
    return g->tensor_count++;
}

void graph_attention(cudnn_graph *g, int q, int k, int v, int o, int scale, int query_rows, int key_rows)
{
    const char *what = "attention";
    cudnnBackendDescriptor_t d = part(g, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, what);
    set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, g->tensors[q], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, g->tensors[k], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, g->tensors[v], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, g->tensors[o], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, g->tensors[scale], what);
    if (query_rows >= 0) {
        set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, g->tensors[query_rows], what);
        set_part(g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC, g->tensors[key_rows], what);
    }
    finish(g, d, what);
    g->operation = d;
}

void graph_convolve(cudnn_graph *g, int x, int w, int y, int stride)
{
    const char *what = "a convolution";
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t planes = 2, steps[2] = {stride, stride}, none[2] = {0, 0}, one[2] = {1, 1};
    const float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t how = part(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, what);
    set(g, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &planes, what);
    set_type(g, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT, what);
    set(g, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode, what);
    set(g, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, none, what);
    set(g, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, none, what);
    set(g, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, one, what);
    set(g, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, steps, what);
    finish(g, how, what);
    cudnnBackendDescriptor_t d = part(g, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, what);
    set_part(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, g->tensors[x], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, g->tensors[w], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, g->tensors[y], what);
    set_part(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how, what);
    set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha, what);
    set(g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta, what);
    finish(g, d, what);
    g->operation = d;
}

/* ---- devices ---- */

cudnnBackendDescriptor_t cudnn_described_device(int compute, int processors, int shared_bytes,
                                                const char *name)
{
    char text[1024];
    cudnnBackendDescriptor_t d = NULL;
    const int count = snprintf(
        text, sizeof text,
        "{\"deviceVer\":%d,\"driverVer\":13000,\"cudaDeviceId\":0,\"totalGlobalMem\":85000000000,"
        "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,"
        "\"multiProcessorCount\":%d,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
        "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":1024,"
        "\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":"
        "2048,"
        "\"pciDeviceId\":0,\"isTccDriver\":0,\"supportCoopLaunch\":1,\"smClockRateKHz\":1700000,"
        "\"memClockRateKHz\":2600000,\"l2CacheSize\":52428800,\"deviceName\":\"%s\"}",
        compute, processors, shared_bytes, name);
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d)) return NULL;
    if (cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, count,
                                 text) ||
        cudnnBackendFinalize(d)) {
        cudnnBackendDestroyDescriptor(d);
        return NULL;
    }
    return d;
}

/* ---- what a described device would do ---- */

static cudnnBackendDescriptor_t whole(cudnn_graph *g, cudnnHandle_t handle)
{
    const char *what = "the graph";
    cudnnBackendDescriptor_t d = part(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, what);
    set_part(g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, g->operation, what);
    if (handle) set(g, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle, what);
    finish(g, d, what);
    return d;
}

/* Whether an engine goes all the way to a plan. */
static bool takes(cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device, int64_t index)
{
    cudnn_graph t = {0}; /* for its parts */
    const char *what = "an engine";
    cudnnBackendDescriptor_t engine = part(&t, CUDNN_BACKEND_ENGINE_DESCRIPTOR, what);
    set_part(&t, engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph, what);
    set(&t, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index, what);
    set_part(&t, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, device, what);
    finish(&t, engine, what);
    cudnnBackendDescriptor_t configuration = part(&t, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, what);
    set_part(&t, configuration, CUDNN_ATTR_ENGINECFG_ENGINE, engine, what);
    finish(&t, configuration, what);
    cudnnBackendDescriptor_t plan = part(&t, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, what);
    set_part(&t, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration, what);
    set_part(&t, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device, what);
    finish(&t, plan, what);
    const bool taken = !t.failure[0];
    graph_release(&t);
    return taken;
}

bool graph_sound(cudnn_graph *g)
{
    whole(g, NULL);
    return !g->failure[0];
}

int graph_engines(cudnn_graph *g, cudnnBackendDescriptor_t device)
{
    int64_t got, engines = 0;
    int takers = 0;
    cudnnBackendDescriptor_t graph = whole(g, NULL);
    if (!g->failure[0])
        check(g,
              cudnnBackendGetAttribute(graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64,
                                       1, &got, &engines),
              "engines");
    for (int64_t i = 0; i < engines; i++) takers += takes(graph, device, i);
    return takers;
}

/* ---- plans ---- */

/* Whether an engine keeps fp32 as it is. */
static bool is_exact(cudnnBackendDescriptor_t configuration)
{
    cudnnBackendDescriptor_t engine = NULL;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    bool exact = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) == 0 &&
                 cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) == 0 &&
                 cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes) == 0;
    for (int64_t i = 0; exact && i < count; i++) exact = notes[i] == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
    if (engine) cudnnBackendDestroyDescriptor(engine);
    return exact;
}

static cudnnStatus_t build(cudnn_graph *g, cudnnHandle_t handle, cudnnBackendDescriptor_t configuration)
{
    int64_t count = 0;
    cudnnBackendDescriptor_t plan = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);
    if (!status)
        status = cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configuration);
    if (!status)
        status =
            cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    if (!status) status = cudnnBackendFinalize(plan);
    if (!status)
        status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                          &count, &g->workspace);
    if (!status)
        g->plan = plan;
    else if (plan)
        cudnnBackendDestroyDescriptor(plan);
    return status;
}

/* The first of the configurations that heuristics propose whose plan can be built. */
static void choose(cudnn_graph *g, cudnnHandle_t handle, cudnnBackendDescriptor_t heuristics, bool exact)
{
    cudnnBackendDescriptor_t found[CONFIGURATIONS] = {NULL};
    cudnnStatus_t status = CUDNN_STATUS_NOT_SUPPORTED;
    int64_t count = 0;
    for (int i = 0; i < CONFIGURATIONS; i++)
        check(g, cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &found[i]), "an engine");
    if (!g->failure[0])
        check(g,
              cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGURATIONS, &count, found),
              "engines");
    for (int64_t i = 0; i < count && !g->plan; i++)
        if (!exact || is_exact(found[i])) status = build(g, handle, found[i]);
    if (!g->plan) check(g, status, exact ? "a plan in fp32" : "a plan");
    for (int i = 0; i < CONFIGURATIONS; i++)
        if (found[i]) cudnnBackendDestroyDescriptor(found[i]);
}

bool graph_plan(cudnn_graph *g, cudnnHandle_t handle, bool exact)
{
    const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    const char *what = "heuristics";
    cudnnBackendDescriptor_t graph = whole(g, handle);
    const bool sound = !g->failure[0];
    for (int i = 0; sound && i < 2 && !g->plan; i++) {
        g->failure[0] = '\0'; /* of the mode before */
        cudnnBackendDescriptor_t d = part(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, what);
        set_part(g, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph, what);
        set(g, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &modes[i], what);
        finish(g, d, what);
        if (!g->failure[0]) choose(g, handle, d, exact);
    }
    return g->plan != NULL;
}

bool graph_run(cudnn_graph *g, cudnnHandle_t handle, void *const *pointers, void *workspace)
{
    const char *what = "the run";
    int64_t ids[GRAPH_TENSORS];
    void *there[GRAPH_TENSORS];
    int64_t count = 0;
    for (; count < g->tensor_count; count++) {
        ids[count] = count;
        there[count] = pointers[count];
    }
    cudnnBackendDescriptor_t d = part(g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, what);
    set(g, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids, what);
    set(g, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, there, what);
    set(g, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace, what);
    finish(g, d, what);
    return !g->failure[0] && check(g, cudnnBackendExecute(handle, g->plan, d), what);
}

void graph_release(cudnn_graph *g)
{
    if (g->plan) cudnnBackendDestroyDescriptor(g->plan);
    for (int i = g->part_count - 1; i >= 0; i--) cudnnBackendDestroyDescriptor(g->parts[i]);
    *g = (cudnn_graph){0};
}
