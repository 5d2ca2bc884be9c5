/* test_cudnn.c — attention and patch embedding beside cuDNN's, on ragged sizes, in every type.
 *
 * cuDNN reads and writes our layouts: queries, keys and values where attention finds them in qkv.  Its causal
 * attention is one of single queries with as many keys as they may see (a batch whose keys are the same
 * memory).  Nothing here needs the C++ front end.  Without a GPU cuDNN is asked whether it accepts these
 * operations, and the rest is skipped. */
#include "cudnn_graph.h"
#include "kernel_test.h"

#include <cuda_runtime_api.h>

static const cudnnDataType_t types[] = {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16};

/* ---- graphs ---- */

static cudnn_layout dense(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (cudnn_layout){{a, b, c, d}, {b * c * d, c * d, d, 1}};
}

typedef struct attention_shape {
    int sequences, tokens, heads;
    bool causal; /* of one sequence */
} attention_shape;
enum { QUERIES, KEYS, VALUES, MIX, SCALE, QUERY_ROWS, KEY_ROWS };

static void attention_graph(cudnn_graph *g, const attention_shape *s, t2d_dtype type)
{
    const int64_t width = 64 * s->heads, row = 3 * width, tokens = s->tokens;
    const int64_t batch = s->causal ? tokens : s->sequences, rows = s->causal ? 1 : tokens;
    const int64_t step = s->causal ? 1 : tokens; /* rows from one entry's queries to the next one's */
    const int64_t keys_step = s->causal ? 0 : tokens * row;
    const cudnn_layout queries = {{batch, s->heads, rows, 64}, {step * row, 64, row, 1}};
    const cudnn_layout keys = {{batch, s->heads, tokens, 64}, {keys_step, 64, row, 1}};
    const cudnn_layout mix = {{batch, s->heads, rows, 64}, {step * width, 64, width, 1}};
    graph_tensor(g, types[type], queries, IN_MEMORY);
    graph_tensor(g, types[type], keys, IN_MEMORY);
    graph_tensor(g, types[type], keys, IN_MEMORY);
    graph_tensor(g, types[type], mix, IN_MEMORY);
    graph_tensor(g, CUDNN_DATA_FLOAT, dense(1, 1, 1, 1), BY_VALUE);
    for (int i = 0; s->causal && i < 2; i++)
        graph_tensor(g, CUDNN_DATA_INT32, dense(batch, 1, 1, 1), IN_MEMORY);
    graph_attention(g, QUERIES, KEYS, VALUES, MIX, SCALE, s->causal ? QUERY_ROWS : -1,
                    s->causal ? KEY_ROWS : -1);
}

typedef struct patch_shape {
    int windows, size, patch, dim;
} patch_shape;

/* fp32 throughout: operands are rounded to the type before, so that the result is better than the type's. */
static void patch_graph(cudnn_graph *g, const patch_shape *s)
{
    const int grid = s->size / s->patch;
    graph_tensor(g, CUDNN_DATA_FLOAT, dense(s->windows, 3, s->size, s->size), IN_MEMORY);
    graph_tensor(g, CUDNN_DATA_FLOAT, dense(s->dim, 3, s->patch, s->patch), IN_MEMORY);
    graph_tensor(g, CUDNN_DATA_FLOAT, dense(s->windows, s->dim, grid, grid), IN_MEMORY);
    graph_convolve(g, 0, 1, 2, s->patch);
}

static const attention_shape attentions[] = {{2, 1029, 3, false}, {3, 77, 8, false}, {1, 1374, 2, false},
                                             {5, 17, 1, false},   {2, 64, 4, false}, {1, 77, 8, true},
                                             {1, 20, 1, true}};
static const patch_shape patches[] = {{2, 70, 14, 192}, {3, 112, 14, 384}, {1, 518, 14, 64}, {2, 48, 16, 96}};
enum {
    ATTENTIONS = sizeof attentions / sizeof *attentions,
    PATCHES = sizeof patches / sizeof *patches,
};

/* ---- without a GPU ---- */

Test(cudnn, attention_is_accepted)
{
    for (int a = 0; a < ATTENTIONS * 3; a++) {
        cudnn_graph g = {0};
        attention_graph(&g, &attentions[a / 3], (t2d_dtype)(a % 3));
        cr_expect(graph_sound(&g), "attention %d in %s: %s", a / 3, test_type_names[a % 3], g.failure);
        graph_release(&g);
    }
}

Test(cudnn, patches_have_engines)
{
    static const struct {
        int compute, processors, shared;
        const char *name;
    } devices[] = {{800, 108, 166912, "NVIDIA A100-SXM4-80GB"}, {900, 132, 232448, "NVIDIA H100 80GB HBM3"}};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        cudnnBackendDescriptor_t device = cudnn_described_device(devices[i].compute, devices[i].processors,
                                                                 devices[i].shared, devices[i].name);
        if (!device) cr_skip_test("this cuDNN does not read a device's description");
        for (int p = 0; p < PATCHES; p++) {
            cudnn_graph g = {0};
            patch_graph(&g, &patches[p]);
            cr_expect_gt(graph_engines(&g, device), 0, "%s, patches %d: %s", devices[i].name, p, g.failure);
            graph_release(&g);
        }
        cudnnBackendDestroyDescriptor(device);
    }
}

/* cuDNN looks at shapes: a graph that makes no sense is refused, with a sentence. */
Test(cudnn, graphs_that_make_no_sense)
{
    cudnn_graph g = {0};
    graph_tensor(&g, CUDNN_DATA_FLOAT, dense(2, 3, 70, 70), IN_MEMORY);
    graph_tensor(&g, CUDNN_DATA_FLOAT, dense(192, 3, 14, 14), IN_MEMORY);
    graph_tensor(&g, CUDNN_DATA_FLOAT, dense(2, 192, 6, 5), IN_MEMORY); /* 5 x 5 patches */
    graph_convolve(&g, 0, 1, 2, 14);
    cr_expect_not_null(strstr(g.failure, "a convolution: "), "%s", g.failure);
    graph_release(&g);
    graph_tensor(&g, CUDNN_DATA_HALF, dense(2, 3, 77, 64), IN_MEMORY);
    graph_tensor(&g, CUDNN_DATA_HALF, dense(2, 3, 64, 77), IN_MEMORY); /* keys are rows */
    graph_tensor(&g, CUDNN_DATA_HALF, dense(2, 3, 77, 64), IN_MEMORY);
    graph_tensor(&g, CUDNN_DATA_HALF, dense(2, 3, 77, 64), IN_MEMORY);
    graph_tensor(&g, CUDNN_DATA_FLOAT, dense(1, 1, 1, 1), BY_VALUE);
    graph_attention(&g, QUERIES, KEYS, VALUES, MIX, SCALE, -1, -1);
    cr_expect_not_null(strstr(g.failure, "attention: "), "%s", g.failure);
    graph_release(&g);
}

/* ---- on a GPU ---- */

static cudnnHandle_t open_cudnn(void)
{
    int count = 0;
    cudnnHandle_t handle = NULL;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0)
        cr_skip_test("no GPU here: our kernels are not compared with cuDNN's");
    cr_assert_eq(cudnnCreate(&handle), CUDNN_STATUS_SUCCESS, "cuDNN %zu does not open", cudnnGetVersion());
    return handle;
}

static void run(cudnn_graph *g, cudnnHandle_t handle, void *const *pointers, bool exact, const char *what)
{
    void *workspace;
    cr_assert(graph_plan(g, handle, exact), "%s: %s", what, g->failure);
    workspace = test_device(NULL, (size_t)g->workspace + 1);
    cr_assert(graph_run(g, handle, pointers, workspace), "%s: %s", what, g->failure);
    cr_assert_eq(cudaDeviceSynchronize(), cudaSuccess, "%s", what);
    cudaFree(workspace);
    graph_release(g);
}

/* Both round probabilities and results to the type (half an ulp of max |v|, twice), and cuDNN may multiply
 * fp32 in TF32, whose products have fp16's precision. */
static double attention_tolerance(t2d_dtype type) { return type == T2D_DTYPE_BF16 ? 1.6e-2 : 2.2e-3; }

static void attention_case(cudnnHandle_t handle, const attention_shape *s, t2d_dtype type)
{
    const size_t size = test_size(type), width = (size_t)s->heads * 64;
    const size_t count = (size_t)s->sequences * (size_t)s->tokens * width;
    const float scale = 0.125F;
    char what[96];
    snprintf(what, sizeof what, "attention [%d, %d, %d heads]%s %s", s->sequences, s->tokens, s->heads,
             s->causal ? " causal" : "", test_type_names[type]);
    float *x = test_floats(3 * count, 1, 0);
    void *qkv = test_encode(x, 3 * count, type);
    char *in = test_device(qkv, 3 * count * size);
    void *ours = test_device(NULL, count * size), *theirs = test_device(NULL, count * size);
    int32_t *rows = malloc(2 * (size_t)s->tokens * sizeof *rows);
    for (int i = 0; i < s->tokens; i++) rows[i] = 1, rows[s->tokens + i] = i + 1;
    char *rows_there = test_device(rows, 2 * (size_t)s->tokens * sizeof *rows);
    void *pointers[] = {in,
                        in + width * size,
                        in + 2 * width * size,
                        theirs,
                        (void *)(uintptr_t)&scale,
                        rows_there,
                        rows_there + (size_t)s->tokens * sizeof *rows};
    cudnn_graph g = {0};
    attention_graph(&g, s, type);
    run(&g, handle, pointers, false, what);
    cr_assert_eq(t2d_cuda_attention(ours, in, type, s->sequences, s->tokens, s->heads, s->causal, NULL), 0);
    void *got = test_host(ours, count * size), *their = test_host(theirs, count * size);
    double *want = malloc(count * sizeof *want);
    for (size_t i = 0; i < count; i++) want[i] = (double)test_get(their, i, type);
    test_close(what, got, type, want, count, attention_tolerance(type));
    cudaFree(in), cudaFree(ours), cudaFree(theirs), cudaFree(rows_there);
    free(x), free(qkv), free(rows), free(got), free(their), free(want);
}

Test(cudnn, attention)
{
    cudnnHandle_t handle = open_cudnn();
    test_seed();
    for (int a = 0; a < ATTENTIONS * 3; a++) attention_case(handle, &attentions[a / 3], (t2d_dtype)(a % 3));
    cudnnDestroy(handle);
}

/* ---- patches ---- */

/* The window's pixels, normalised and rounded to the type, as planes. */
static float *planes_of(const t2d_embed *in, const uint8_t *pixels, t2d_dtype type)
{
    const size_t side = (size_t)in->size, area = side * side;
    float *planes = malloc((size_t)in->count * 3 * area * sizeof *planes);
    for (size_t i = 0; i < (size_t)in->count * 3 * area; i++) {
        const t2d_rect w = in->windows[i / (3 * area)];
        const size_t channel = i / area % 3, y = i % area / side + (size_t)w.y, x = i % side + (size_t)w.x;
        const float v = (float)pixels[(y * (size_t)in->width + x) * 3 + channel];
        planes[i] = (v / 255 - in->mean[channel]) / in->std[channel];
    }
    free(test_encode(planes, (size_t)in->count * 3 * area, type));
    return planes;
}

/* A sum of 3 * patch^2 products of order one, in another order; and a normalised pixel on the border of two
 * half values may be rounded the other way (its product moves by an ulp of the type). */
static double patch_tolerance(t2d_dtype type)
{
    return type == T2D_DTYPE_FP32 ? 2e-5 : type == T2D_DTYPE_FP16 ? 1e-3 : 8e-3;
}

static void patch_case(cudnnHandle_t handle, const patch_shape *s, t2d_dtype type)
{
    enum { EDGE = 23 }; /* the picture is larger than a window, by odd numbers */
    const int grid = s->size / s->patch, cells = grid * grid, tokens = 1 + cells, width = s->size + EDGE;
    const size_t weights = (size_t)s->dim * 3 * (size_t)s->patch * (size_t)s->patch, dim = (size_t)s->dim;
    const size_t bytes = (size_t)width * (size_t)width * 3, values = (size_t)s->windows * (size_t)cells * dim;
    char what[96];
    t2d_error err;
    t2d_backend *be;
    t2d_linear *projection;
    snprintf(what, sizeof what, "%d windows of %d, patches of %d, dim %d, %s", s->windows, s->size, s->patch,
             s->dim, test_type_names[type]);
    cr_assert_eq(t2d_backend_open("cuda", type, 1, &be, &err), T2D_OK, "%s", err.message);
    float *weight = test_floats(weights, 0.05F, 0), *zero = calloc((size_t)tokens * dim, sizeof *zero);
    free(test_encode(weight, weights, type)); /* rounded, as they will be */
    const t2d_linear_desc desc = {
        .name = "patches", .out = s->dim, .in = 3 * s->patch * s->patch, .weight = weight};
    cr_assert_eq(be->op->linear_create(be, &desc, &projection, &err), T2D_OK, "%s", err.message);
    uint8_t *pixels = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) pixels[i] = (uint8_t)test_bits();
    t2d_rect windows[3];
    for (int i = 0; i < s->windows; i++)
        windows[i] = (t2d_rect){EDGE * i / 2, EDGE - EDGE * i / 2, s->size, s->size};
    void *there = test_device(pixels, bytes), *zeros = test_device(zero, (size_t)tokens * dim * sizeof *zero);
    const t2d_embed in = {.pixels = there,
                          .width = width,
                          .height = width,
                          .windows = windows,
                          .count = s->windows,
                          .size = s->size,
                          .patch = s->patch,
                          .mean = {.485F, .456F, .406F},
                          .std = {.229F, .224F, .225F},
                          .projection = projection,
                          .cls = zeros,
                          .position = zeros,
                          .dim = s->dim};
    const size_t all = (size_t)s->windows * (size_t)tokens * dim;
    float *ours = malloc(all * sizeof *ours), *got = malloc(values * sizeof *got);
    void *x = test_device(NULL, all * sizeof *ours);
    be->op->embed(be, x, &in);
    cr_assert_eq(be->op->download(be, ours, x, all * sizeof *ours, &err), T2D_OK, "%s", err.message);

    float *planes = planes_of(&in, pixels, type);
    void *pointers[] = {
        test_device(planes, (size_t)s->windows * 3 * (size_t)s->size * (size_t)s->size * sizeof *planes),
        test_device(weight, weights * sizeof *weight), test_device(NULL, values * sizeof *got)};
    cudnn_graph g = {0};
    patch_graph(&g, s);
    run(&g, handle, pointers, true, what);
    float *theirs = test_host(pointers[2], values * sizeof *theirs); /* [windows, dim, grid, grid] */
    double *want = malloc(values * sizeof *want);
    for (size_t i = 0; i < values; i++) {
        const size_t channel = i % dim, cell = i / dim % (size_t)cells, window = i / dim / (size_t)cells;
        got[i] = ours[(window * (size_t)tokens + 1 + cell) * dim + channel];
        want[i] = (double)theirs[(window * dim + channel) * (size_t)cells + cell];
    }
    test_close(what, got, T2D_DTYPE_FP32, want, values, patch_tolerance(type));
    be->op->linear_destroy(be, projection);
    be->op->close(be);
    for (int i = 0; i < 3; i++) cudaFree(pointers[i]);
    cudaFree(x), cudaFree(there), cudaFree(zeros);
    free(weight), free(zero), free(pixels), free(ours), free(got), free(planes), free(theirs), free(want);
}

Test(cudnn, patch_embedding)
{
    cudnnHandle_t handle = open_cudnn();
    test_seed();
    for (int p = 0; p < PATCHES * 3; p++) patch_case(handle, &patches[p / 3], (t2d_dtype)(p % 3));
    cudnnDestroy(handle);
}
