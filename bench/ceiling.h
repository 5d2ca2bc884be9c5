/* ceiling.h — a matrix product to compare with, measured between the very passes that it judges: both see the
 * same neighbours, clocks and heat. */
#ifndef T2D_BENCH_CEILING_H
#define T2D_BENCH_CEILING_H

#include "backend.h"
#include "cpu/onednn.h"

typedef struct ceiling { /* y [SIDE, SIDE] = x w in oneDNN's favourite layout, by all threads */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t product;
    dnnl_memory_t memory[4];
} ceiling;

/* Uses as many threads as omp_set_num_threads said. */
void ceiling_create(ceiling *c, t2d_dtype dtype);
double ceiling_rate(const ceiling *c); /* one product; operations per second */
void ceiling_destroy(ceiling *c);

/* "bench: sentence", and the end. */
void bench_give_up(const char *what) __attribute__((noreturn));

#endif
