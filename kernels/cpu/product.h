/* product.h — plain matrix products by oneDNN, prepared once per shape and kept by the backend. */
#ifndef T2D_CPU_PRODUCT_H
#define T2D_CPU_PRODUCT_H

#include "cpu.h"
#include "onednn.h"

typedef struct t2d_lane { /* what one thread needs to execute a product */
    dnnl_memory_t x, y, scratch;
} t2d_lane;

typedef struct t2d_product {
    struct t2d_product *next;
    int rows, in, columns;
    dnnl_data_type_t type;
    dnnl_primitive_t primitive;
    size_t scratch_bytes;
    t2d_lane *lanes; /* [threads] */
} t2d_product;

/* The product [rows, in] x [in, columns] with weights laid out so; NULL, and remembered, when it cannot be
 * had. */
const t2d_product *t2d_product_find(t2d_cpu *cpu, int rows, int in, int columns, dnnl_data_type_t type,
                                    const t2d_md *weights);

/* y = x w by thread number `thread` of a parallel region, alone; scratch: p->scratch_bytes. */
dnnl_status_t t2d_product_execute(const t2d_cpu *cpu, const t2d_product *p, int thread, const void *x,
                                  dnnl_memory_t weights, float *y, void *scratch);

#endif
