/* roofs_cpu.c — the CPU's best: oneDNN's own product in its favourite layout, memcpy, and multiply-adds in
 * registers, by all threads of the machine. */
#include "roofs.h"

#include <omp.h>
#include <stdlib.h>

#include "cpu/cpu.h"
#include "cpu/onednn.h"

enum { SIDE = 2048, TURNS = 3 };

/* ---- y [SIDE, SIDE] = x w ---- */

typedef struct product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[4];
} product;

static bool product_create(product *p, t2d_dtype dtype)
{
    static const dnnl_query_t parts[] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md,
                                         dnnl_query_scratchpad_md};
    dnnl_primitive_desc_t pd = NULL;
    bool good = dnnl_engine_create(&p->engine, dnnl_cpu, 0) == dnnl_success;
    good = good && dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags) == dnnl_success;
    good = good && t2d_product_describe(&pd, p->engine, SIDE, SIDE, SIDE,
                                        dtype == T2D_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32, NULL) == dnnl_success;
    good = good && dnnl_primitive_create(&p->primitive, pd) == dnnl_success;
    for (int i = 0; i < 4 && good; i++) {
        t2d_md md = {0};
        void *data = NULL;
        good = t2d_md_query(&md, pd, parts[i]) == dnnl_success;
        good = good && dnnl_memory_create(&p->memory[i], T2D_MD(&md), p->engine, DNNL_MEMORY_ALLOCATE) ==
                           dnnl_success;
        good = good && dnnl_memory_get_data_handle(p->memory[i], &data) == dnnl_success;
        if (good && data) roofs_fill(data, dnnl_memory_desc_get_size(T2D_MD(&md)));
        t2d_md_release(&md);
    }
    if (pd) dnnl_primitive_desc_destroy(pd);
    return good;
}

static void product_destroy(product *p)
{
    for (int i = 0; i < 4; i++)
        if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->stream) dnnl_stream_destroy(p->stream);
    if (p->engine) dnnl_engine_destroy(p->engine);
}

static bool product_run(const product *p)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->memory[0]},
                                    {DNNL_ARG_WEIGHTS, p->memory[1]},
                                    {DNNL_ARG_DST, p->memory[2]},
                                    {DNNL_ARG_SCRATCHPAD, p->memory[3]}};
    return dnnl_primitive_execute(p->primitive, p->stream, 4, args) == dnnl_success &&
           dnnl_stream_wait(p->stream) == dnnl_success;
}

/* oneDNN asks OpenMP for its threads. */
bool roofs_cpu_product(t2d_backend *be, double *rate)
{
    product p = {0};
    omp_set_num_threads(be->threads);
    bool good = product_create(&p, be->dtype);
    *rate = 0;
    for (int turn = 0; turn <= TURNS && good; turn++) { /* the first one warms up */
        const double start = t2d_clock();
        good = product_run(&p);
        const double found = 2.0 * SIDE * SIDE * SIDE / (t2d_clock() - start);
        if (turn > 0 && found > *rate) *rate = found;
    }
    product_destroy(&p);
    return good;
}

/* ---- a copy, cut among the threads ---- */

bool roofs_cpu_copy(t2d_backend *be, size_t bytes, double *rate)
{
    enum { LEAST = 4 << 20 }; /* bytes between two looks at the clock */
    const size_t half = bytes / 2;
    const int repeats = bytes < LEAST ? (int)(LEAST / bytes) : 1;
    char *from = malloc(half), *to = malloc(half);
    const bool good = from && to;
    if (good) memset(from, 1, half), memset(to, 2, half);
    *rate = 0;
    for (int turn = 0; turn <= TURNS && good; turn++) {
        const double start = t2d_clock();
#pragma omp parallel num_threads(be->threads)
        {
            const size_t count = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
            const size_t begin = half * me / count, end = half * (me + 1) / count;
            for (int k = 0; k < repeats; k++) memcpy(to + begin, from + begin, end - begin);
        }
        const double found = (double)bytes * repeats / (t2d_clock() - start);
        if (turn > 0 && found > *rate) *rate = found;
    }
    free(from);
    free(to);
    return good;
}

/* ---- multiply-adds ---- */

T2D_CLONES static float only_multiply_adds(int64_t turns)
{
    enum { LANES = 8 };
    typedef float lanes __attribute__((vector_size(4 * LANES)));
    lanes a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a;
    const lanes x = a + 0.999f, y = a + 0.001f;
    for (int64_t n = 0; n < turns; n++) {
        a = a * x + y, b = b * x + y, c = c * x + y, d = d * x + y, e = e * x + y;
        f = f * x + y, g = g * x + y, h = h * x + y, i = i * x + y, j = j * x + y;
    }
    a = a + b + c + d + e + f + g + h + i + j;
    return a[0];
}

double roofs_cpu_arithmetic(t2d_backend *be)
{
    enum { LOOPS = 2000000 };
    double best = 0;
    volatile float sink = 0;
    for (int turn = 0; turn <= TURNS; turn++) {
        float sum = 0;
        const double start = t2d_clock();
#pragma omp parallel for num_threads(be->threads) schedule(static, 1) reduction(+ : sum)
        for (int i = 0; i < be->threads; i++) sum += only_multiply_adds(LOOPS);
        const double found = 160.0 * LOOPS * be->threads / (t2d_clock() - start);
        if (found > best) best = found;
        sink += sum;
    }
    return best;
}
