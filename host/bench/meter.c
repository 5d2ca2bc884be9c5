/* meter.c — t2d_ops around another t2d_ops.  A call is the other machine's call and a wait for it; work is
 * counted by shape: the operations of products, and the bytes of every operand once. */
#include "bench/meter.h"
#include "bench/range.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char BLOCKS[] = "blocks", SIMILARITY[] = "similarity", CLEANING[] = "cleaning";

struct t2d_meter {
    t2d_backend base; /* first: a t2d_meter is a t2d_backend */
    t2d_backend *inner;
    t2d_session *session;
    t2d_stages *stages;
    struct {
        int calls;
        double seconds, flop, bytes;
    } now[T2D_STAGE_ROWS]; /* this turn, by row */
    int row;
    double start;
    t2d_error failed; /* the first that a wait told, until somebody asks; status 0: none */
};

static t2d_meter *meter_of(t2d_backend *be) { return (t2d_meter *)be; }

/* ---- rows ---- */

static int find_row(t2d_stages *s, const char *stage, const char *operation)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->rows[i].stage, stage) == 0 && strcmp(s->rows[i].operation, operation) == 0) return i;
    assert(s->count < T2D_STAGE_ROWS);
    s->rows[s->count] = (t2d_stage){.stage = stage, .operation = operation};
    return s->count++;
}

static t2d_backend *begin(t2d_backend *be, const char *stage, const char *operation)
{
    t2d_meter *m = meter_of(be);
    m->row = find_row(m->stages, stage, operation);
    t2d_range_push(operation);
    m->start = t2d_clock();
    return m->inner;
}

static void end(t2d_backend *be, double flop, double bytes)
{
    t2d_meter *m = meter_of(be);
    t2d_error err;
    const t2d_status status = m->inner->op->finish(m->inner, &err);
    m->now[m->row].seconds += t2d_clock() - m->start;
    t2d_range_pop();
    m->now[m->row].calls++;
    m->now[m->row].flop += flop;
    m->now[m->row].bytes += bytes;
    if (status != T2D_OK && m->failed.status == T2D_OK) m->failed = err;
}

static t2d_status tell(t2d_meter *m, t2d_error *err)
{
    if (m->failed.status == T2D_OK) return T2D_OK;
    const t2d_error failed = m->failed;
    m->failed = (t2d_error){0};
    return t2d_fail(err, failed.status, "%s", failed.message);
}

/* ---- memory and weights: the other machine's ---- */

static void *meter_alloc(t2d_backend *be, size_t bytes)
{
    t2d_backend *inner = meter_of(be)->inner;
    return inner->op->alloc(inner, bytes);
}

static void meter_release(t2d_backend *be, void *p)
{
    t2d_backend *inner = meter_of(be)->inner;
    inner->op->release(inner, p);
}

static void meter_upload(t2d_backend *be, void *to, const void *from_host, size_t bytes)
{
    t2d_backend *inner = begin(be, "upload", "copy");
    inner->op->upload(inner, to, from_host, bytes);
    end(be, 0, 2.0 * (double)bytes);
}

static t2d_status meter_download(t2d_backend *be, void *to_host, const void *from, size_t bytes,
                                 t2d_error *err)
{
    t2d_backend *inner = begin(be, "download", "copy");
    const t2d_status status = inner->op->download(inner, to_host, from, bytes, err);
    end(be, 0, 2.0 * (double)bytes);
    return status == T2D_OK ? tell(meter_of(be), err) : status;
}

static t2d_status meter_linear_create(t2d_backend *be, const t2d_linear_desc *desc, t2d_linear **linear,
                                      t2d_error *err)
{
    t2d_backend *inner = meter_of(be)->inner;
    return inner->op->linear_create(inner, desc, linear, err);
}

static void meter_linear_destroy(t2d_backend *be, t2d_linear *linear)
{
    t2d_backend *inner = meter_of(be)->inner;
    inner->op->linear_destroy(inner, linear);
}

/* ---- transformer ---- */

static void meter_embed(t2d_backend *be, float *x, const t2d_embed *e)
{
    const double grid = e->size / e->patch, patches = grid * grid * e->count, dim = e->dim;
    const double columns = 3.0 * e->patch * e->patch, weights = columns * dim * (double)t2d_act_size(be);
    double pixels = 0;
    for (int i = 0; i < e->count; i++) pixels += (double)e->windows[i].w * e->windows[i].h;
    t2d_backend *inner = begin(be, "patch embedding", "embed");
    inner->op->embed(inner, x, e);
    end(be, 2 * patches * columns * dim,
        3 * pixels + weights + 4 * dim * (grid * grid + patches + e->count * (1.0 + e->register_count)));
}

static void meter_embed_text(t2d_backend *be, float *x, const int32_t *ids, const float *table,
                             const float *position, int sequences, int tokens, int dim)
{
    t2d_backend *inner = begin(be, "token embedding", "embed");
    inner->op->embed_text(inner, x, ids, table, position, sequences, tokens, dim);
    end(be, 0, 4.0 * dim * (2.0 * sequences * tokens + tokens));
}

static void meter_layernorm(t2d_backend *be, void *y, bool to_fp32, const float *x, const float *w,
                            const float *b, int rows, int dim, float eps)
{
    const double y_size = to_fp32 ? 4 : (double)t2d_act_size(be);
    t2d_backend *inner = begin(be, to_fp32 ? "final norm" : BLOCKS, "layer norm");
    inner->op->layernorm(inner, y, to_fp32, x, w, b, rows, dim, eps);
    end(be, 0, (double)rows * dim * (4 + y_size));
}

static void meter_linear(t2d_backend *be, void *y, const void *x, const t2d_linear *lin, int sequences,
                         int tokens, t2d_epilogue epilogue)
{
    const t2d_weight w = t2d_weight_find(&meter_of(be)->session->engine->model, lin);
    const double rows = (double)sequences * tokens, size = w.fp32 ? 4 : (double)t2d_act_size(be);
    const double y_size = epilogue == T2D_EPI_ADD ? 8 : size; /* ADD: read and written, fp32 */
    t2d_backend *inner = begin(be, w.fp32 ? "heads of words" : BLOCKS, w.name);
    inner->op->linear(inner, y, x, lin, sequences, tokens, epilogue);
    end(be, 2 * rows * w.out * w.in, size * (rows * w.in + (double)w.out * w.in) + y_size * rows * w.out);
}

static void meter_swiglu(t2d_backend *be, void *y, const void *x, int rows, int hidden)
{
    t2d_backend *inner = begin(be, BLOCKS, "swiglu");
    inner->op->swiglu(inner, y, x, rows, hidden);
    end(be, 0, 3.0 * rows * hidden * (double)t2d_act_size(be));
}

static void meter_attention(t2d_backend *be, void *mix, const void *qkv, int sequences, int tokens, int heads,
                            bool causal)
{
    const double rows = (double)sequences * tokens, dim = (double)heads * T2D_HEAD;
    const double keys = causal ? (tokens + 1) / 2.0 : tokens;
    t2d_backend *inner = begin(be, BLOCKS, "attention");
    inner->op->attention(inner, mix, qkv, sequences, tokens, heads, causal);
    end(be, 4 * rows * keys * dim, 4 * rows * dim * (double)t2d_act_size(be));
}

static void meter_gather_rows(t2d_backend *be, float *y, const float *x, const int32_t *index, int rows,
                              int dim)
{
    t2d_backend *inner = begin(be, "heads of words", "gather rows");
    inner->op->gather_rows(inner, y, x, index, rows, dim);
    end(be, 0, 8.0 * rows * dim);
}

static void meter_unit_rows(t2d_backend *be, float *y, const float *x, int sequences, int tokens, int skip,
                            int keep, int dim)
{
    t2d_backend *inner = begin(be, SIMILARITY, "unit rows");
    inner->op->unit_rows(inner, y, x, sequences, tokens, skip, keep, dim);
    end(be, 0, 8.0 * sequences * keep * dim);
}

/* ---- heads of the CLS token ---- */

static void meter_cls_logits(t2d_backend *be, float *logits, const void *qkv, int sequences, int tokens,
                             int skip, int heads)
{
    const double all = (double)sequences * heads * (tokens - skip);
    t2d_backend *inner = begin(be, CLEANING, "CLS logits");
    inner->op->cls_logits(inner, logits, qkv, sequences, tokens, skip, heads);
    end(be, 2 * all * T2D_HEAD, all * (T2D_HEAD * (double)t2d_act_size(be) + 4));
}

static void meter_head_pool(t2d_backend *be, float *pooled, const float *logits, const float *features,
                            int sequences, int tokens, int skip, int heads, int dim)
{
    const double patches = (double)sequences * (tokens - skip);
    t2d_backend *inner = begin(be, "heads", "head pool");
    inner->op->head_pool(inner, pooled, logits, features, sequences, tokens, skip, heads, dim);
    end(be, 2 * patches * heads * dim, 4 * (patches * (heads + dim) + (double)sequences * heads * dim));
}

/* ---- masks ---- */

static void meter_similarity(t2d_backend *be, float *scores, const float *unit, const float *text, int rows,
                             int classes, int dim, bool sigmoid)
{
    const double n = rows, c = classes, d = dim;
    t2d_backend *inner = begin(be, SIMILARITY, "similarity");
    inner->op->similarity(inner, scores, unit, text, rows, classes, dim, sigmoid);
    end(be, 2 * n * c * d, 4 * (n * d + c * d + n * c));
}

/* Each head's view of the patches, its likeness to the words, and the scores corrected by it. */
static void meter_clean(t2d_backend *be, float *scores, const float *logits, const float *features,
                        const float *text, int sequences, int tokens, int skip, int heads, int dim,
                        int classes, float lambda)
{
    const double s = sequences, patches = s * (tokens - skip), h = heads, d = dim, c = classes;
    t2d_backend *inner = begin(be, CLEANING, "clean");
    inner->op->clean(inner, scores, logits, features, text, sequences, tokens, skip, heads, dim, classes,
                     lambda);
    end(be, 2 * patches * h * (d + c) + 2 * s * h * c * d, 4 * (patches * (d + h + 2 * c) + c * d));
}

static void meter_merge_max(t2d_backend *be, float *out, const float *scores, const int32_t *first, int rows,
                            int classes, int groups)
{
    t2d_backend *inner = begin(be, SIMILARITY, "merge aliases");
    inner->op->merge_max(inner, out, scores, first, rows, classes, groups);
    end(be, 0, 4.0 * rows * (classes + groups));
}

static t2d_status meter_readout(t2d_backend *be, const t2d_readout *job, t2d_error *err)
{
    const double scores = (double)job->window_count * job->grid * job->grid * job->classes;
    const double pixels = (double)job->width * job->height,
                 canvas = (double)job->canvas_width * job->canvas_height;
    const double labels = job->labels ? 2 * pixels : 0;
    const double out = job->out ? 4 * pixels * (job->classes + (job->with_background ? 1 : 0)) : 0;
    t2d_backend *inner = begin(be, "readout", job->pamr ? "PAMR, upsample, argmax" : "upsample, argmax");
    const t2d_status status = inner->op->readout(inner, job, err);
    end(be, 0, 4 * scores + labels + out + (job->pamr ? 3 * canvas : 0));
    return status;
}

static t2d_status meter_finish(t2d_backend *be, t2d_error *err)
{
    t2d_meter *m = meter_of(be);
    const t2d_status status = tell(m, err);
    return status == T2D_OK ? m->inner->op->finish(m->inner, err) : status;
}

/* ---- stretches: what is replayed as one cannot be timed apart ---- */

static bool meter_replay(t2d_backend *be, const void *key, size_t bytes)
{
    (void)be, (void)key, (void)bytes;
    return false;
}

static void meter_recorded(t2d_backend *be) { (void)be; }

/* ---- the meter ---- */

static const t2d_ops OPS = {
    .name = "meter",
    .alloc = meter_alloc,
    .release = meter_release,
    .upload = meter_upload,
    .download = meter_download,
    .linear_create = meter_linear_create,
    .linear_destroy = meter_linear_destroy,
    .embed = meter_embed,
    .embed_text = meter_embed_text,
    .layernorm = meter_layernorm,
    .linear = meter_linear,
    .swiglu = meter_swiglu,
    .attention = meter_attention,
    .gather_rows = meter_gather_rows,
    .unit_rows = meter_unit_rows,
    .cls_logits = meter_cls_logits,
    .head_pool = meter_head_pool,
    .similarity = meter_similarity,
    .clean = meter_clean,
    .merge_max = meter_merge_max,
    .readout = meter_readout,
    .finish = meter_finish,
    .replay = meter_replay,
    .recorded = meter_recorded,
};

t2d_status t2d_meter_open(t2d_session *session, t2d_stages *stages, t2d_meter **meter, t2d_error *err)
{
    t2d_meter *m = *meter = t2d_new(1, sizeof *m, "meter", err);
    if (!m) return T2D_E_MEMORY;
    m->base = *session->be; /* type, threads, load, name */
    m->base.op = &OPS;
    m->inner = session->be;
    m->session = session;
    m->stages = stages;
    session->be = &m->base;
    return T2D_OK;
}

t2d_status t2d_meter_turn(t2d_meter *m, double seconds, t2d_error *err)
{
    double between = seconds;
    for (int i = 0; i < m->stages->count; i++) between -= m->now[i].seconds;
    const int host = find_row(m->stages, "host", "resize, windows, calls");
    m->now[host].calls = 1;
    m->now[host].seconds = between;
    t2d_status status = t2d_samples_add(&m->stages->turns, seconds, err);
    for (int i = 0; status == T2D_OK && i < m->stages->count; i++) {
        t2d_stage *row = &m->stages->rows[i];
        row->calls = m->now[i].calls;
        row->flop = m->now[i].flop;
        row->bytes = m->now[i].bytes;
        status = t2d_samples_add(&row->samples, m->now[i].seconds, err);
    }
    memset(m->now, 0, sizeof m->now);
    return status;
}

void t2d_meter_close(t2d_meter *meter)
{
    if (!meter) return;
    meter->session->be = meter->inner;
    free(meter);
}
