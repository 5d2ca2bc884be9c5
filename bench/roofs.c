/* roofs.c — floors from ceilings: bytes at the speed of a copy, operations at the speed of a large product
 * (oneDNN's or cuBLASLt's own, not through an operation of ours) or of a loop that only multiplies and adds.
 */
#include "roofs.h"

#include <math.h>
#include <string.h>

void roofs_fill(void *data, size_t bytes)
{
    uint32_t *words = data;
    for (size_t i = 0; i < bytes / 4; i++) /* sign, 0.25 as bf16 and fp32, 1.6 as fp16, and some noise */
        words[i] = ((uint32_t)t2d_mix(i + 1) & 0x807f807fu) | 0x3e803e80u;
}

static void raise(double *best, double rate)
{
    if (rate > *best) *best = rate;
}

/* A GPU has no multiply-adds but those of its fp32 product: what is not a product has no other ceiling there
 * than the product in fp32, and none at all in a run of 16 bits. */
static bool look(t2d_backend *be, roofs *r)
{
    const bool cpu = strcmp(be->op->name, "cpu") == 0, first = !r->products;
    double rate = 0;
#ifndef T2D_HAVE_CUDA
    if (!cpu) return false;
#define roofs_cuda_product roofs_cpu_product
#define roofs_cuda_copy roofs_cpu_copy
#endif
    if (first) r->products = json_array();
    if (!(cpu ? roofs_cpu_product : roofs_cuda_product)(be, &rate)) return false;
    raise(&r->product, rate);
    json_array_append_new(r->products, json_real(rate));
    if (cpu) raise(&r->arithmetic, roofs_cpu_arithmetic(be));
    if (!cpu && be->dtype == T2D_DTYPE_FP32) r->arithmetic = r->product;
    for (int i = first ? 0 : ROOF_COPIES - 1; i < ROOF_COPIES; i++) {
        if (!(cpu ? roofs_cpu_copy : roofs_cuda_copy)(be, (size_t)ROOF_FIRST << 2 * i, &rate)) return false;
        raise(&r->copy[i], rate);
    }
    return true;
}

bool roofs_look(t2d_backend *be, roofs *r, t2d_error *err)
{
    const bool good = look(be, r) && be->op->finish(be, err) == T2D_OK;
    if (!good && err->status == T2D_OK)
        t2d_fail(err, T2D_E_DEVICE, "%s: the machine has no large product or copy to compare with",
                 be->device);
    return good;
}

void roofs_release(roofs *r)
{
    json_decref(r->products);
    *r = (roofs){0};
}

double roofs_copy_seconds(const roofs *r, double bytes)
{
    const double at = log2(fmax(bytes, ROOF_FIRST) / ROOF_FIRST) / 2;
    const int low = at < ROOF_COPIES - 1 ? (int)at : ROOF_COPIES - 1;
    const int high = low + 1 < ROOF_COPIES ? low + 1 : low;
    const double t = fmin(at - low, 1);
    return bytes / ((1 - t) * r->copy[low] + t * r->copy[high]);
}

double roofs_floor(const roofs *r, double flop, double bytes, bool product)
{
    const double rate = product ? r->product : r->arithmetic;
    return fmax(bytes > 0 ? roofs_copy_seconds(r, bytes) : 0, rate > 0 ? flop / rate : 0);
}
