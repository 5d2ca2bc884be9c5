/* linear.c — y = epilogue(x W^T + b), the products by oneDNN.
 * The product is cut by its shape alone: rows of a sequence in tiles, columns in panels, each tile one
 * single-threaded oneDNN execution into scratch that stays in the cache, carried to y by our own epilogue. So
 * a row's bits depend neither on threads nor on its neighbours, and oneDNN sees nothing but plain products.
 */
#include <assert.h>
#include <omp.h>
#include <stdlib.h>

#include "product.h"
#include "vmath.h"

enum {
    PANEL = 384,     /* columns of a tile, at most */
    LONG = 96,       /* tokens from which a sequence is cut in tiles; shorter ones share a tile */
    LONG_TILE = 128, /* rows of a tile of a long sequence, at most */
    SHORT_TILE = 64, /* rows of a tile of short sequences, at most (but at least one sequence) */
    TYPICAL = 128,   /* rows of the product that chooses the layout of the packed weights */
};

struct t2d_linear {
    int out, in, panel, panels; /* panel: columns of each; the last may have fewer */
    bool half;                  /* x is bf16; y too, but for ADD */
    dnnl_data_type_t type; /* of the product; fp32 for a half linear where there are no bf16 instructions */
    t2d_md full, last;     /* layouts of panels */
    dnnl_engine_t engine;
    void *packed;
    dnnl_memory_t *weights; /* [panels], in `packed` */
    float *bias;            /* [out], gamma folded in; zeros where there is none */
};

bool t2d_cpu_linear_is_half(const t2d_linear *lin) { return lin->half; }

static int panel_columns(const t2d_linear *lin, int p)
{
    return p + 1 < lin->panels ? lin->panel : lin->out - p * lin->panel;
}

static const t2d_md *panel_layout(const t2d_linear *lin, int p)
{
    return p + 1 < lin->panels ? &lin->full : &lin->last;
}

static size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* ---- weights ---- */

void t2d_cpu_linear_destroy(t2d_backend *be, t2d_linear *lin)
{
    (void)be;
    if (!lin) return;
    for (int p = 0; lin->weights && p < lin->panels; p++)
        if (lin->weights[p]) dnnl_memory_destroy(lin->weights[p]);
    t2d_md_release(&lin->full);
    t2d_md_release(&lin->last);
    if (lin->engine) dnnl_engine_destroy(lin->engine);
    free(lin->weights);
    free(lin->packed);
    free(lin->bias);
    free(lin);
}

/* The layout oneDNN likes best for a panel.  One thread, as everywhere: its choice may depend on that. */
static dnnl_status_t choose_layout(const t2d_linear *lin, int columns, t2d_md *layout)
{
    dnnl_status_t status = dnnl_success;
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1); /* of this region only */
        dnnl_primitive_desc_t pd = NULL;
        status = t2d_product_describe(&pd, lin->engine, TYPICAL, lin->in, columns, lin->type, NULL);
        if (status == dnnl_success) status = t2d_md_query(layout, pd, dnnl_query_weights_md);
        if (pd) dnnl_primitive_desc_destroy(pd);
    }
    return status;
}

/* Rows p * panel .. of W [out, in] fp32, transposed, converted and laid out in weights[p]. */
static dnnl_status_t pack_panel(const t2d_linear *lin, const float *w, int p)
{
    const int columns = panel_columns(lin, p);
    t2d_md plain = {0};
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t status = t2d_md_matrix(&plain, lin->in, columns, 1, lin->in, dnnl_f32);
    if (status == dnnl_success)
        status = dnnl_memory_create(&from, T2D_MD(&plain), lin->engine,
                                    (void *)(uintptr_t)(w + (size_t)p * lin->panel * lin->in));
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&pd, T2D_MD(&plain), lin->engine,
                                                    T2D_MD(panel_layout(lin, p)), lin->engine, NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&reorder, pd);
    if (status == dnnl_success) status = dnnl_stream_create(&stream, lin->engine, dnnl_stream_default_flags);
    if (status == dnnl_success) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, lin->weights[p]}};
        status = dnnl_primitive_execute(reorder, stream, 2, args);
        if (status == dnnl_success) status = dnnl_stream_wait(stream);
    }
    if (stream) dnnl_stream_destroy(stream);
    if (reorder) dnnl_primitive_destroy(reorder);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (from) dnnl_memory_destroy(from);
    t2d_md_release(&plain);
    return status;
}

static dnnl_status_t pack(t2d_linear *lin, const float *w, int threads)
{
    const size_t bytes = round_up(dnnl_memory_desc_get_size(T2D_MD(&lin->full)));
    dnnl_status_t failed = dnnl_success;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int p = 0; p < lin->panels; p++) {
        omp_set_num_threads(1); /* of this region only */
        dnnl_status_t status = dnnl_memory_create(&lin->weights[p], T2D_MD(panel_layout(lin, p)), lin->engine,
                                                  (char *)lin->packed + (size_t)p * bytes);
        if (status == dnnl_success) status = pack_panel(lin, w, p);
        if (status != dnnl_success) {
#pragma omp atomic write
            failed = status;
        }
    }
    return failed;
}

/* gamma W, rounded to bf16 when asked; NULL and *err when there is no room. */
static float *changed_weight(const t2d_linear_desc *d, bool rounded, t2d_error *err)
{
    float *w = t2d_new((size_t)d->out * (size_t)d->in, sizeof *w, d->name, err);
    for (int r = 0; w && r < d->out; r++)
        for (int c = 0; c < d->in; c++) {
            const size_t at = (size_t)r * d->in + c;
            w[at] = (d->gamma ? d->gamma[r] : 1.0f) * d->weight[at];
            if (rounded) w[at] = t2d_from_bf16(t2d_to_bf16(w[at]));
        }
    return w;
}

t2d_status t2d_cpu_linear_create(t2d_backend *be, const t2d_linear_desc *d, t2d_linear **linear,
                                 t2d_error *err)
{
    assert(d->out > 0 && d->in > 0);
    t2d_status status = T2D_E_MEMORY;
    float *changed = NULL;
    *linear = NULL;
    t2d_linear *lin = t2d_new(1, sizeof *lin, d->name, err);
    if (!lin) return T2D_E_MEMORY;
    lin->out = d->out;
    lin->in = d->in;
    lin->panels = (d->out + PANEL - 1) / PANEL;
    lin->panel = ((d->out + lin->panels - 1) / lin->panels + 31) / 32 * 32;
    if (lin->panels == 1) lin->panel = d->out;
    lin->panels = (d->out + lin->panel - 1) / lin->panel;
    lin->half = be->dtype == T2D_DTYPE_BF16 && !d->fp32;
    lin->type = lin->half && t2d_cpu_has_bf16() ? dnnl_bf16 : dnnl_f32;
    const bool rounded = lin->half && lin->type == dnnl_f32;

    dnnl_status_t said = dnnl_engine_create(&lin->engine, dnnl_cpu, 0);
    if (said == dnnl_success) said = choose_layout(lin, lin->panel, &lin->full);
    if (said == dnnl_success) said = choose_layout(lin, panel_columns(lin, lin->panels - 1), &lin->last);
    if (said != dnnl_success) goto said;
    const size_t bytes = round_up(dnnl_memory_desc_get_size(T2D_MD(&lin->full)));
    if (!(lin->packed = t2d_new((size_t)lin->panels, bytes, d->name, err))) goto done;
    if (!(lin->weights = t2d_new((size_t)lin->panels, sizeof(dnnl_memory_t), d->name, err))) goto done;
    if (!(lin->bias = t2d_new((size_t)d->out, sizeof(float), d->name, err))) goto done;
    if ((d->gamma || rounded) && !(changed = changed_weight(d, rounded, err))) goto done;
    for (int i = 0; d->bias && i < d->out; i++) lin->bias[i] = d->bias[i] * (d->gamma ? d->gamma[i] : 1.0f);
    said = pack(lin, changed ? changed : d->weight, be->threads);
    status = T2D_OK;
said:
    if (said != dnnl_success)
        status = t2d_fail(err, said == dnnl_out_of_memory ? T2D_E_MEMORY : T2D_E_DEVICE,
                          "%s: oneDNN could not prepare a [%d, %d] weight (its status %d)", d->name, d->out,
                          d->in, (int)said);
done:
    free(changed);
    if (status == T2D_OK)
        *linear = lin;
    else
        t2d_cpu_linear_destroy(be, lin);
    return status;
}

/* ---- the epilogue ---- */

/* y or y16 [columns] = epilogue(sum + bias); `sum` is used up. */
T2D_CLONES static void finish_row(float *restrict y, t2d_bf16 *restrict y16, float *restrict sum,
                                  const float *restrict bias, int columns, t2d_epilogue epilogue)
{
    for (int i = 0; i < columns; i++) sum[i] += bias[i];
    if (epilogue == T2D_EPI_GELU)
        for (int i = 0; i < columns; i++) sum[i] = t2d_gelu(sum[i]);
    else if (epilogue == T2D_EPI_QUICK_GELU)
        for (int i = 0; i < columns; i++) sum[i] *= t2d_sigmoid(1.702f * sum[i]);
    else if (epilogue == T2D_EPI_TANH)
        for (int i = 0; i < columns; i++) sum[i] = t2d_tanh(sum[i]);

    if (epilogue == T2D_EPI_ADD)
        for (int i = 0; i < columns; i++) y[i] += sum[i];
    else if (y16)
        for (int i = 0; i < columns; i++) y16[i] = t2d_to_bf16(sum[i]);
    else
        memcpy(y, sum, (size_t)columns * sizeof *y);
}

/* ---- the operation ---- */

typedef struct tiling {
    int tile;        /* rows of every product */
    int span, spans; /* rows that are cut together, and how many such */
    int tiles;       /* per span */
} tiling;

/* By the number of tokens alone, so that a row always meets the same product. */
static tiling cut(int sequences, int tokens)
{
    tiling t;
    if (tokens >= LONG) {
        const int parts = (tokens + LONG_TILE - 1) / LONG_TILE;
        t = (tiling){.tile = (tokens + parts - 1) / parts, .span = tokens, .spans = sequences};
    } else {
        const int together = tokens < SHORT_TILE ? SHORT_TILE / tokens : 1;
        t = (tiling){.tile = together * tokens, .span = sequences * tokens, .spans = 1};
    }
    t.tiles = (t.span + t.tile - 1) / t.tile;
    return t;
}

static const t2d_product *find(t2d_cpu *cpu, const t2d_linear *lin, int panel, int rows)
{
    return t2d_product_find(cpu, rows, lin->in, panel_columns(lin, panel), lin->type,
                            panel_layout(lin, panel));
}

/* bf16 to fp32, for a product in fp32; else x itself. */
static const void *product_operand(const t2d_linear *lin, const void *x, float *room, int rows)
{
    if (!lin->half || lin->type == dnnl_bf16) return x;
    const size_t count = (size_t)rows * lin->in;
    for (size_t i = 0; i < count; i++) room[i] = t2d_from_bf16(((const t2d_bf16 *)x)[i]);
    return room;
}

void t2d_cpu_linear(t2d_backend *be, void *y, const void *x, const t2d_linear *lin, int sequences, int tokens,
                    t2d_epilogue epilogue)
{
    t2d_cpu *cpu = (t2d_cpu *)be;
    if (sequences <= 0 || tokens <= 0) return;
    const tiling t = cut(sequences, tokens);
    const t2d_product *full = find(cpu, lin, 0, t.tile),
                      *last = full ? find(cpu, lin, lin->panels - 1, t.tile) : NULL;
    if (!last) return;

    const size_t x_size = lin->half ? 2 : 4, row_bytes = (size_t)lin->in * x_size;
    const bool half = lin->half && epilogue != T2D_EPI_ADD;
    const size_t sum_bytes = round_up((size_t)t.tile * lin->panel * sizeof(float));
    const size_t more = full->scratch_bytes > last->scratch_bytes ? full->scratch_bytes : last->scratch_bytes;
    const size_t wide_bytes =
        lin->half && lin->type == dnnl_f32 ? round_up((size_t)t.tile * lin->in * sizeof(float)) : 0;
    const size_t thread_bytes = sum_bytes + wide_bytes + round_up(more),
                 tail_bytes = round_up((size_t)t.tile * row_bytes);
    char *scratch = t2d_cpu_scratch(cpu, T2D_SCRATCH_LINEAR, tail_bytes + thread_bytes * be->threads);
    if (!scratch) return;

    /* The last tile of all may reach behind x: it is computed from a copy with zeros below.  Other tiles that
     * reach behind their span read the next one's rows, and nobody looks at what comes of those. */
    const size_t rows = (size_t)sequences * tokens,
                 begin = (size_t)(t.spans - 1) * t.span + (size_t)(t.tiles - 1) * t.tile;
    const bool ragged = begin + t.tile > rows;
    if (ragged) {
        memset(scratch, 0, tail_bytes);
        memcpy(scratch, (const char *)x + begin * row_bytes, (rows - begin) * row_bytes);
    }
    dnnl_status_t failed = dnnl_success;
#pragma omp parallel for num_threads(be->threads) schedule(dynamic) collapse(3)
    for (int p = 0; p < lin->panels; p++)
        for (int s = 0; s < t.spans; s++)
            for (int i = 0; i < t.tiles; i++) {
                omp_set_num_threads(1); /* of this region only: oneDNN asks OpenMP */
                const int thread = omp_get_thread_num(), columns = panel_columns(lin, p);
                const t2d_product *pr = columns == lin->panel ? full : last;
                float *sum = (float *)(void *)(scratch + tail_bytes + thread_bytes * thread);
                const size_t row = (size_t)s * t.span + (size_t)i * t.tile;
                const int valid = t.span - i * t.tile < t.tile ? t.span - i * t.tile : t.tile;
                const char *from = row + t.tile > rows ? scratch : (const char *)x + row * row_bytes;
                float *wide = (float *)(void *)((char *)sum + sum_bytes);
                const dnnl_status_t status =
                    t2d_product_execute(cpu, pr, thread, product_operand(lin, from, wide, t.tile),
                                        lin->weights[p], sum, (char *)wide + wide_bytes);
                if (status != dnnl_success) {
#pragma omp atomic write
                    failed = status;
                }
                for (int r = 0; r < valid; r++) {
                    const size_t at = (row + r) * lin->out + (size_t)p * lin->panel;
                    finish_row((float *)y + at, half ? (t2d_bf16 *)y + at : NULL, sum + (size_t)r * columns,
                               lin->bias + (size_t)p * lin->panel, columns, epilogue);
                }
            }
    if (failed != dnnl_success)
        snprintf(cpu->failure, sizeof cpu->failure,
                 "oneDNN could not compute a [%d, %d] linear (its status %d)", lin->out, lin->in,
                 (int)failed);
}
