/* product.c — plain matrix products by oneDNN, prepared once per shape.
 * Each thread has memory objects of its own for a product, so that executing one allocates and shares
 * nothing. */
#include "product.h"

#include <omp.h>
#include <stdlib.h>

typedef struct t2d_cpu_primitives {
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* [threads] */
    t2d_product *products;
} t2d_cpu_primitives;

static void destroy(t2d_product *p, int threads)
{
    for (int i = 0; p->lanes && i < threads; i++) {
        if (p->lanes[i].x) dnnl_memory_destroy(p->lanes[i].x);
        if (p->lanes[i].y) dnnl_memory_destroy(p->lanes[i].y);
        if (p->lanes[i].scratch) dnnl_memory_destroy(p->lanes[i].scratch);
    }
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    free(p->lanes);
    free(p);
}

void t2d_cpu_primitives_destroy(t2d_cpu *cpu)
{
    t2d_cpu_primitives *all = cpu->primitives;
    if (!all) return;
    while (all->products) {
        t2d_product *p = all->products;
        all->products = p->next;
        destroy(p, cpu->base.threads);
    }
    for (int i = 0; all->streams && i < cpu->base.threads; i++)
        if (all->streams[i]) dnnl_stream_destroy(all->streams[i]);
    if (all->engine) dnnl_engine_destroy(all->engine);
    free(all->streams);
    free(all);
    cpu->primitives = NULL;
}

static dnnl_status_t primitives_create(t2d_cpu *cpu)
{
    t2d_cpu_primitives *all = cpu->primitives = t2d_new(1, sizeof *all, "products", NULL);
    if (!all) return dnnl_out_of_memory;
    all->streams = t2d_new((size_t)cpu->base.threads, sizeof(dnnl_stream_t), "streams", NULL);
    dnnl_status_t status = all->streams ? dnnl_engine_create(&all->engine, dnnl_cpu, 0) : dnnl_out_of_memory;
    for (int i = 0; status == dnnl_success && i < cpu->base.threads; i++)
        status = dnnl_stream_create(&all->streams[i], all->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) t2d_cpu_primitives_destroy(cpu);
    return status;
}

/* Memory objects without memory: where they point is said at every execution. */
static dnnl_status_t create_lanes(t2d_product *p, dnnl_engine_t engine, dnnl_primitive_desc_t pd, int threads)
{
    const struct {
        dnnl_query_t what;
        size_t offset;
    } parts[] = {{dnnl_query_src_md, offsetof(t2d_lane, x)},
                 {dnnl_query_dst_md, offsetof(t2d_lane, y)},
                 {dnnl_query_scratchpad_md, offsetof(t2d_lane, scratch)}};
    dnnl_status_t status = dnnl_success;
    for (int part = 0; part < 3 && status == dnnl_success; part++) {
        t2d_md md = {0};
        status = t2d_md_query(&md, pd, parts[part].what);
        if (status == dnnl_success && parts[part].what == dnnl_query_scratchpad_md)
            p->scratch_bytes = dnnl_memory_desc_get_size(T2D_MD(&md));
        for (int i = 0; i < threads && status == dnnl_success; i++)
            status = dnnl_memory_create((dnnl_memory_t *)((char *)&p->lanes[i] + parts[part].offset),
                                        T2D_MD(&md), engine, DNNL_MEMORY_NONE);
        t2d_md_release(&md);
    }
    return status;
}

static dnnl_status_t create(t2d_cpu *cpu, t2d_product *p, const t2d_md *layout)
{
    const dnnl_engine_t engine = cpu->primitives->engine;
    dnnl_status_t status = dnnl_out_of_memory;
    if (!(p->lanes = t2d_new((size_t)cpu->base.threads, sizeof *p->lanes, "lanes", NULL))) return status;
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1); /* of this region only */
        dnnl_primitive_desc_t pd = NULL;
        status = t2d_product_describe(&pd, engine, p->rows, p->in, p->columns, p->type, layout);
        if (status == dnnl_success) status = dnnl_primitive_create(&p->primitive, pd);
        if (status == dnnl_success) status = create_lanes(p, engine, pd, cpu->base.threads);
        if (pd) dnnl_primitive_desc_destroy(pd);
    }
    return status;
}

/* One of those prepared, or a new one; *status says why not. */
static t2d_product *find(t2d_cpu *cpu, t2d_product want, const t2d_md *weights, dnnl_status_t *status)
{
    *status = cpu->primitives ? dnnl_success : primitives_create(cpu);
    if (*status != dnnl_success) return NULL;
    for (t2d_product *p = cpu->primitives->products; p; p = p->next)
        if (p->rows == want.rows && p->in == want.in && p->columns == want.columns && p->type == want.type)
            return p;
    t2d_product *p = t2d_new(1, sizeof *p, "product", NULL);
    *status = dnnl_out_of_memory;
    if (!p) return NULL;
    *p = want;
    *status = create(cpu, p, weights);
    if (*status != dnnl_success) {
        destroy(p, cpu->base.threads);
        return NULL;
    }
    p->next = cpu->primitives->products;
    return cpu->primitives->products = p;
}

const t2d_product *t2d_product_find(t2d_cpu *cpu, int rows, int in, int columns, dnnl_data_type_t type,
                                    const t2d_md *weights)
{
    dnnl_status_t status;
    const t2d_product want = {.rows = rows, .in = in, .columns = columns, .type = type};
    const t2d_product *p = find(cpu, want, weights, &status);
    if (!p && status == dnnl_out_of_memory)
        cpu->out_of_memory = true;
    else if (!p)
        snprintf(cpu->failure, sizeof cpu->failure,
                 "oneDNN could not prepare a [%d, %d] x [%d, %d] product (its status %d)", rows, in, in,
                 columns, (int)status);
    return p;
}

dnnl_status_t t2d_product_execute(const t2d_cpu *cpu, const t2d_product *p, int thread, const void *x,
                                  dnnl_memory_t weights, float *y, void *scratch)
{
    const t2d_lane *l = &p->lanes[thread];
    const dnnl_stream_t stream = cpu->primitives->streams[thread];
    dnnl_status_t status = dnnl_memory_set_data_handle(l->x, (void *)(uintptr_t)x);
    if (status == dnnl_success) status = dnnl_memory_set_data_handle(l->y, y);
    if (status == dnnl_success) status = dnnl_memory_set_data_handle(l->scratch, scratch);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, l->x},
                                    {DNNL_ARG_WEIGHTS, weights},
                                    {DNNL_ARG_DST, l->y},
                                    {DNNL_ARG_SCRATCHPAD, l->scratch}};
    if (status == dnnl_success) status = dnnl_primitive_execute(p->primitive, stream, 4, args);
    return status == dnnl_success ? dnnl_stream_wait(stream) : status;
}
