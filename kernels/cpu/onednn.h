/* onednn.h — oneDNN 2.6 and 3.x seen the same way, as far as linear.c needs them: matrices and plain
 * products. In 2.x a memory descriptor is a struct and an operation has a descriptor of its own; in 3.x
 * neither. */
#ifndef T2D_CPU_ONEDNN_H
#define T2D_CPU_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

typedef dnnl_memory_desc_t t2d_md; /* zeroed: none */

#if DNNL_VERSION_MAJOR >= 3

#define T2D_MD(md) (*(md))

static inline void t2d_md_release(t2d_md *md)
{
    if (*md) dnnl_memory_desc_destroy(*md);
    *md = NULL;
}

static inline dnnl_status_t t2d_md_matrix(t2d_md *md, int rows, int columns, dnnl_dim_t row_stride,
                                          dnnl_dim_t column_stride, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
    return dnnl_memory_desc_create_with_strides(md, 2, dims, type, strides);
}

static inline dnnl_status_t t2d_md_any(t2d_md *md, int rows, int columns, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_create_with_tag(md, 2, dims, type, dnnl_format_tag_any);
}

static inline dnnl_status_t t2d_md_query(t2d_md *md, dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_memory_desc_clone(md, dnnl_primitive_desc_query_md(pd, what, 0));
}

static inline dnnl_status_t t2d_product_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const t2d_md *x,
                                             const t2d_md *w, const t2d_md *y, dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, *x, *w, NULL, *y, attr);
}

#else

#define T2D_MD(md) (md)

static inline void t2d_md_release(t2d_md *md) { memset(md, 0, sizeof *md); }

static inline dnnl_status_t t2d_md_matrix(t2d_md *md, int rows, int columns, dnnl_dim_t row_stride,
                                          dnnl_dim_t column_stride, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
    return dnnl_memory_desc_init_by_strides(md, 2, dims, type, strides);
}

static inline dnnl_status_t t2d_md_any(t2d_md *md, int rows, int columns, dnnl_data_type_t type)
{
    const dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_init_by_tag(md, 2, dims, type, dnnl_format_tag_any);
}

static inline dnnl_status_t t2d_md_query(t2d_md *md, dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    *md = *dnnl_primitive_desc_query_md(pd, what, 0);
    return dnnl_success;
}

static inline dnnl_status_t t2d_product_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const t2d_md *x,
                                             const t2d_md *w, const t2d_md *y, dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t matmul;
    const dnnl_status_t status = dnnl_matmul_desc_init(&matmul, x, w, NULL, y);
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &matmul, attr, engine, NULL) : status;
}

#endif

/* y [rows, columns] fp32 = x [rows, inner] . w; x and w of `type`, x and y dense.  w: its layout, or NULL for
 * whichever oneDNN likes best.  Scratch memory is the caller's. */
static inline dnnl_status_t t2d_product_describe(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, int rows,
                                                 int inner, int columns, dnnl_data_type_t type,
                                                 const t2d_md *w)
{
    t2d_md x = {0}, any = {0}, y = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = t2d_md_matrix(&x, rows, inner, inner, 1, type);
    if (status == dnnl_success) status = t2d_md_matrix(&y, rows, columns, columns, 1, dnnl_f32);
    if (status == dnnl_success) status = t2d_md_any(&any, inner, columns, type);
    if (status == dnnl_success) status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = t2d_product_desc(pd, engine, &x, w ? w : &any, &y, attr);
    if (attr) dnnl_primitive_attr_destroy(attr);
    t2d_md_release(&x);
    t2d_md_release(&any);
    t2d_md_release(&y);
    return status;
}

#endif
