/* ceiling.c — the fastest large product this machine does, by oneDNN itself: what rates are compared with. */
#include "ceiling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_give_up(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

enum { SIDE = 2048 };

void ceiling_create(ceiling *c, t2d_dtype dtype)
{
    static const dnnl_query_t parts[] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md,
                                         dnnl_query_scratchpad_md};
    dnnl_primitive_desc_t pd;
    bool good = dnnl_engine_create(&c->engine, dnnl_cpu, 0) == dnnl_success;
    good = good && dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags) == dnnl_success;
    good = good && t2d_product_describe(&pd, c->engine, SIDE, SIDE, SIDE,
                                        dtype == T2D_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32, NULL) == dnnl_success;
    good = good && dnnl_primitive_create(&c->product, pd) == dnnl_success;
    for (int i = 0; i < 4 && good; i++) {
        t2d_md md = {0};
        void *data;
        good = t2d_md_query(&md, pd, parts[i]) == dnnl_success;
        good = good && dnnl_memory_create(&c->memory[i], T2D_MD(&md), c->engine, DNNL_MEMORY_ALLOCATE) ==
                           dnnl_success;
        const size_t bytes = dnnl_memory_desc_get_size(T2D_MD(&md));
        good = good && dnnl_memory_get_data_handle(c->memory[i], &data) == dnnl_success;
        if (good && data) memset(data, 0x3c, bytes); /* small numbers in both types */
        t2d_md_release(&md);
    }
    if (!good) bench_give_up("oneDNN has no product to compare with");
    dnnl_primitive_desc_destroy(pd);
}

double ceiling_rate(const ceiling *c)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, c->memory[0]},
                                    {DNNL_ARG_WEIGHTS, c->memory[1]},
                                    {DNNL_ARG_DST, c->memory[2]},
                                    {DNNL_ARG_SCRATCHPAD, c->memory[3]}};
    const double start = t2d_clock();
    dnnl_primitive_execute(c->product, c->stream, 4, args);
    dnnl_stream_wait(c->stream);
    return 2.0 * SIDE * SIDE * SIDE / (t2d_clock() - start);
}

void ceiling_destroy(ceiling *c)
{
    for (int i = 0; i < 4; i++) dnnl_memory_destroy(c->memory[i]);
    dnnl_primitive_destroy(c->product);
    dnnl_stream_destroy(c->stream);
    dnnl_engine_destroy(c->engine);
}
