/* roofs.h — what a machine can do at best, measured in the same run as what is judged by it. */
#ifndef T2D_BENCH_ROOFS_H
#define T2D_BENCH_ROOFS_H

#include <jansson.h>

#include "backend.h"

enum {
    ROOF_COPIES = 7, /* sizes of copies: 128 KiB, and four times as many bytes each */
    ROOF_FIRST = 128 << 10
};

typedef struct roofs {
    double product;           /* operations per second of a large product in the compute type */
    double arithmetic;        /* of fp32 multiply-adds outside products, two each */
    double copy[ROOF_COPIES]; /* bytes per second, read and written, of copies that move so many */
    json_t *products;         /* every look at the product, for the record */
} roofs;

/* Whatever is faster than before counts; called again and again during a run.  False: a sentence in *err. */
bool roofs_look(t2d_backend *be, roofs *r, t2d_error *err);
void roofs_release(roofs *r);

/* Seconds of a copy that moves `bytes`: a shape that fits the caches is compared with a copy that does. */
double roofs_copy_seconds(const roofs *r, double bytes);

/* The least seconds that so much work can take.  product: its operations are those of a matrix product. */
double roofs_floor(const roofs *r, double flop, double bytes, bool product);

/* Small numbers of either sign in every type; no zeros, and no constant: they cost a chip less power. */
void roofs_fill(void *data, size_t bytes);

/* ---- one machine each; false: the machine failed ---- */
bool roofs_cpu_product(t2d_backend *be, double *rate); /* the best of three */
bool roofs_cpu_copy(t2d_backend *be, size_t bytes, double *rate);
double roofs_cpu_arithmetic(t2d_backend *be);
bool roofs_cuda_product(t2d_backend *be, double *rate);
bool roofs_cuda_copy(t2d_backend *be, size_t bytes, double *rate);

#endif
