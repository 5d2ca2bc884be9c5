/* ceiling.c — the rate of a large product by the machine's own operation, whichever machine it is: what a
 * run's rate stands beside.  No zeros in it (work.c says why). */
#include "bench/bench.h"

#include <stdlib.h>

enum {
    FIRST = 1024,
    LAST = 8192,     /* its weights are 256 MiB in fp32 */
    NORM_DIM = 1024, /* columns that are normalised together */
    TURNS = 3
};
#define ENOUGH 0.01 /* seconds: after a product that takes so long there is no larger one */

typedef struct product {
    t2d_backend *be;
    int side;
    t2d_linear *linear;
    void *x, *y;
} product;

static float noise(uint64_t index) { return (float)(t2d_mix(index) >> 40) * 0x1p-23F - 1; }

/* x: noise brought to the compute type by a layer norm. */
static t2d_status fill(product *p, t2d_error *err)
{
    t2d_backend *be = p->be;
    const size_t side = (size_t)p->side, count = side * side;
    t2d_status status = T2D_E_MEMORY;
    float *host = t2d_new(count, sizeof *host, "ceiling", err), one_zero[2 * NORM_DIM] = {0};
    float *raw = host ? be->op->alloc(be, count * sizeof *raw) : NULL;
    float *norm = raw ? be->op->alloc(be, sizeof one_zero) : NULL;
    if (!norm) {
        if (host) status = t2d_no_room(be, "ceiling", count * sizeof *raw, err);
        goto done;
    }
    for (size_t i = 0; i < count; i++) host[i] = noise(i);
    for (int i = 0; i < NORM_DIM; i++) one_zero[i] = 1;
    const t2d_linear_desc desc = {.name = "ceiling", .out = p->side, .in = p->side, .weight = host};
    status = be->op->linear_create(be, &desc, &p->linear, err);
    if (status != T2D_OK) goto done;
    be->op->upload(be, raw, host, count * sizeof *raw);
    be->op->upload(be, norm, one_zero, sizeof one_zero);
    be->op->layernorm(be, p->x, false, raw, norm, norm + NORM_DIM, (int)(count / NORM_DIM), NORM_DIM, 1e-6F);
    status = be->op->finish(be, err);
done:
    if (norm) be->op->release(be, norm);
    if (raw) be->op->release(be, raw);
    free(host);
    return status;
}

static t2d_status create(product *p, t2d_backend *be, int side, t2d_error *err)
{
    const size_t bytes = (size_t)side * (size_t)side * t2d_act_size(be);
    *p = (product){.be = be, .side = side};
    p->x = be->op->alloc(be, bytes);
    p->y = p->x ? be->op->alloc(be, bytes) : NULL;
    return p->y ? fill(p, err) : t2d_no_room(be, "ceiling", bytes, err);
}

static void destroy(product *p)
{
    if (p->linear) p->be->op->linear_destroy(p->be, p->linear);
    if (p->y) p->be->op->release(p->be, p->y);
    if (p->x) p->be->op->release(p->be, p->x);
}

/* The shortest of some turns; the first of them warms up. */
static t2d_status shortest(const product *p, double *seconds, t2d_error *err)
{
    t2d_status status = T2D_OK;
    for (int turn = 0; status == T2D_OK && turn <= TURNS; turn++) {
        const double start = t2d_clock();
        p->be->op->linear(p->be, p->y, p->x, p->linear, 1, p->side, T2D_EPI_NONE);
        status = p->be->op->finish(p->be, err);
        const double taken = t2d_clock() - start;
        if (turn == 1 || (turn > 1 && taken < *seconds)) *seconds = taken;
    }
    return status;
}

t2d_status t2d_ceiling_measure(t2d_session *session, double *flop_per_second, t2d_error *err)
{
    double seconds = 0;
    for (int side = FIRST; side <= LAST && seconds < ENOUGH; side *= 2) {
        product p;
        t2d_status status = create(&p, session->be, side, err);
        const bool room = status == T2D_OK;
        if (room) status = shortest(&p, &seconds, err);
        destroy(&p);
        if (status == T2D_E_MEMORY && !room && side > FIRST) break; /* the smaller ones count */
        if (status != T2D_OK) return status;
        const double rate = 2.0 * side * side * side / seconds;
        if (rate > *flop_per_second) *flop_per_second = rate;
    }
    return T2D_OK;
}
