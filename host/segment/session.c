/* session.c — the way of one picture: resize, windows, tower, similarity, readout. */
#include "segment/segment.h"

#include <stdlib.h>
#include <string.h>

enum {
    TOKENS_AT_ONCE = 4096, /* windows travel together up to this many tokens */
    MAX_WINDOW = 1 << 13,  /* side of a window */
    MAX_SIDE = 1 << 16     /* of the resized picture */
};

t2d_status t2d_session_create(t2d_engine *engine, t2d_session **session, t2d_error *err)
{
    t2d_error local;
    err = err ? err : &local;
    *session = NULL;
    if (!engine) return t2d_fail(err, T2D_E_ARGUMENT, "no engine given");
    t2d_session *s = t2d_new(1, sizeof *s, "session", err);
    if (!s) return T2D_E_MEMORY;
    s->engine = engine;
    const t2d_status status = t2d_engine_backend(engine, &s->be, err);
    if (status == T2D_OK)
        *session = s;
    else
        free(s);
    return status;
}

void t2d_session_destroy(t2d_session *session)
{
    if (!session) return;
    t2d_backend *be = session->be;
    t2d_workspace_release(be, &session->ws);
    t2d_buffer *buffers[] = {&session->pixels, &session->position, &session->features, &session->unit,
                             &session->logits, &session->scores,   &session->aliases,  &session->pooled};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i]->data) be->op->release(be, buffers[i]->data);
    be->op->close(be);
    free(session->canvas);
    free(session->windows);
    free(session);
}

void t2d_segment_defaults(const t2d_engine *engine, t2d_segment_options *options)
{
    const t2d_config *c = &engine->model.config;
    *options = (t2d_segment_options){.mode = T2D_SLIDE,
                                     .size = c->size,
                                     .stride = c->stride,
                                     .short_side = c->short_side,
                                     .long_side = c->long_side,
                                     .background = c->background,
                                     .clean_lambda = c->clean_lambda};
}

static t2d_status check_options(const t2d_engine *engine, const t2d_segment_options *o, t2d_error *err)
{
    const int patch = engine->model.config.vision.patch;
    if (o->mode != T2D_SLIDE && o->mode != T2D_WHOLE)
        return t2d_fail(err, T2D_E_ARGUMENT, "mode %d is neither slide nor whole", (int)o->mode);
    if (o->size < patch || o->size > MAX_WINDOW || o->size % patch != 0)
        return t2d_fail(err, T2D_E_ARGUMENT, "size %d: want a multiple of the patch size %d, up to %d",
                        o->size, patch, MAX_WINDOW);
    if (!(o->background >= 0 && o->background <= 1) || !(o->clean_lambda >= 0 && o->clean_lambda <= 100))
        return t2d_fail(err, T2D_E_ARGUMENT, "background %g must be 0 to 1, clean_lambda %g 0 to 100",
                        (double)o->background, (double)o->clean_lambda);
    if (o->mode == T2D_WHOLE) return T2D_OK;
    if (o->stride < 1 || o->stride > o->size)
        return t2d_fail(err, T2D_E_ARGUMENT,
                        "stride %d: want 1 to the window size %d, so that no pixel is left out", o->stride,
                        o->size);
    if (o->short_side < 1 || o->long_side < 1 || o->short_side > MAX_SIDE || o->long_side > MAX_SIDE)
        return t2d_fail(err, T2D_E_ARGUMENT, "sides %d and %d: want 1 to %d", o->short_side, o->long_side,
                        MAX_SIDE);
    return T2D_OK;
}

/* ---- the canvas: the pixels that the windows are cut from ---- */

typedef struct canvas {
    const uint8_t *pixels; /* host */
    int width, height, window_count;
} canvas;

static t2d_status reserve_windows(t2d_session *s, int count, t2d_error *err)
{
    if (count <= s->window_capacity) return T2D_OK;
    free(s->windows);
    s->window_capacity = 0;
    s->windows = t2d_new((size_t)count, sizeof *s->windows, "windows", err);
    if (!s->windows) return T2D_E_MEMORY;
    s->window_capacity = count;
    return T2D_OK;
}

/* Slide: the picture resized to fit, as mmseg loads it. */
static t2d_status resize_canvas(t2d_session *s, const t2d_image *image, canvas *c, t2d_error *err)
{
    const size_t bytes = (size_t)c->width * (size_t)c->height * 3;
    if (bytes > s->canvas_bytes) {
        free(s->canvas);
        s->canvas_bytes = 0;
        s->canvas = t2d_new(bytes, 1, "resized picture", err);
        if (!s->canvas) return T2D_E_MEMORY;
        s->canvas_bytes = bytes;
    }
    c->pixels = s->canvas;
    return t2d_resize_cv2_linear(image->pixels, image->width, image->height, s->canvas, c->width, c->height,
                                 s->be->threads, err);
}

static t2d_status slide_canvas(t2d_session *s, const t2d_image *image, const t2d_segment_options *o,
                               canvas *c, t2d_error *err)
{
    t2d_keep_ratio_size(image->width, image->height, o->long_side, o->short_side, &c->width, &c->height);
    c->width = c->width > 0 ? c->width : 1; /* a side of a 1 x 9000 picture may round to nothing */
    c->height = c->height > 0 ? c->height : 1;
    c->window_count =
        t2d_window_count(c->width, o->size, o->stride) * t2d_window_count(c->height, o->size, o->stride);
    t2d_status status = resize_canvas(s, image, c, err);
    if (status == T2D_OK) status = reserve_windows(s, c->window_count, err);
    if (status == T2D_OK) t2d_windows_place(c->width, c->height, o->size, o->stride, s->windows);
    return status;
}

static t2d_status make_canvas(t2d_session *s, const t2d_image *image, const t2d_segment_options *o, canvas *c,
                              t2d_error *err)
{
    *c = (canvas){.pixels = image->pixels, .width = image->width, .height = image->height, .window_count = 1};
    t2d_status status = o->mode == T2D_SLIDE ? slide_canvas(s, image, o, c, err) : reserve_windows(s, 1, err);
    if (status != T2D_OK) return status;
    if (o->mode == T2D_WHOLE) s->windows[0] = (t2d_rect){0, 0, c->width, c->height};
    const size_t bytes = (size_t)c->width * (size_t)c->height * 3;
    status = t2d_buffer_reserve(s, &s->pixels, bytes, "picture", err);
    if (status == T2D_OK) s->be->op->upload(s->be, s->pixels.data, c->pixels, bytes);
    return status;
}

/* ---- windows to score maps ---- */

typedef struct plan {
    int grid, patches, tokens, skip, at_once; /* per window; windows per pass */
} plan;

static t2d_status make_plan(t2d_session *s, const t2d_vocab *vocab, const t2d_segment_options *o, int windows,
                            plan *p, t2d_error *err)
{
    const t2d_model *m = &s->engine->model;
    p->grid = o->size / m->config.vision.patch;
    p->patches = p->grid * p->grid;
    p->skip = t2d_prefix_tokens(s->engine);
    p->tokens = p->skip + p->patches;
    p->at_once = TOKENS_AT_ONCE / p->tokens;
    p->at_once = p->at_once < 1 ? 1 : p->at_once < windows ? p->at_once : windows;
    const size_t batch = (size_t)p->at_once * (size_t)p->patches * sizeof(float);
    const size_t all = (size_t)windows * (size_t)p->patches * sizeof(float);
    t2d_status status = t2d_forward_plan(s, p->at_once, o->size, err);
    if (status == T2D_OK)
        status = t2d_buffer_reserve(s, &s->unit, batch * (size_t)m->vision.dim, "unit features", err);
    if (status == T2D_OK && o->clean) {
        const size_t logits =
            (size_t)p->at_once * (size_t)m->vision.heads * (size_t)p->patches * sizeof(float);
        status = t2d_buffer_reserve(s, &s->logits, logits, "CLS logits", err);
    }
    if (status == T2D_OK && vocab->rows > vocab->count)
        status = t2d_buffer_reserve(s, &s->aliases, batch * (size_t)vocab->rows, "alias scores", err);
    if (status == T2D_OK)
        status = t2d_buffer_reserve(s, &s->scores, all * (size_t)vocab->count, "scores", err);
    return status;
}

static void score_windows(t2d_session *s, const t2d_vocab *vocab, const t2d_segment_options *o,
                          const canvas *c, const plan *p, int first, int count)
{
    const t2d_model *m = &s->engine->model;
    const t2d_ops *op = s->be->op;
    const int dim = m->vision.dim, heads = m->vision.heads, rows = count * p->patches;
    float *scores = (float *)s->scores.data + (size_t)first * (size_t)p->patches * (size_t)vocab->count;
    float *raw = vocab->rows > vocab->count ? s->aliases.data : scores; /* [count, patches, vectors] */

    t2d_forward(s, c->width, c->height, s->windows + first, count, o->size, o->swap_channels);
    op->unit_rows(s->be, s->unit.data, s->features.data, count, p->tokens, p->skip, p->patches, dim);
    op->similarity(s->be, raw, s->unit.data, vocab->text, rows, vocab->rows, dim, true);
    if (o->clean) {
        op->cls_logits(s->be, s->logits.data, s->ws.qkv, count, p->tokens, p->skip, heads);
        op->clean(s->be, raw, s->logits.data, s->features.data, vocab->text, count, p->tokens, p->skip, heads,
                  dim, vocab->rows, o->clean_lambda);
    }
    if (raw != scores) op->merge_max(s->be, scores, raw, vocab->first, rows, vocab->rows, vocab->count);
}

/* ---- the whole way ---- */

static t2d_status prepare_mask(const t2d_image *image, int labels, t2d_mask *mask, bool *allocated,
                               t2d_error *err)
{
    if (mask->ids) {
        if (mask->width != image->width || mask->height != image->height)
            return t2d_fail(err, T2D_E_ARGUMENT, "the mask is %d x %d, the picture %d x %d", mask->width,
                            mask->height, image->width, image->height);
    } else {
        mask->ids = t2d_new((size_t)image->width * (size_t)image->height, sizeof *mask->ids, "mask", err);
        if (!mask->ids) return T2D_E_MEMORY;
        *allocated = true;
    }
    mask->width = image->width;
    mask->height = image->height;
    mask->labels = labels;
    return T2D_OK;
}

static t2d_status run(t2d_session *s, const t2d_vocab *vocab, const t2d_image *image,
                      const t2d_segment_options *o, uint16_t *labels, float *scores, t2d_error *err)
{
    canvas c;
    plan p;
    t2d_status status = make_canvas(s, image, o, &c, err);
    if (status == T2D_OK) status = make_plan(s, vocab, o, c.window_count, &p, err);
    if (status != T2D_OK) return status;
    for (int first = 0; first < c.window_count; first += p.at_once) {
        const int left = c.window_count - first;
        score_windows(s, vocab, o, &c, &p, first, left < p.at_once ? left : p.at_once);
    }
    const t2d_readout readout = {.scores = s->scores.data,
                                 .window_count = c.window_count,
                                 .grid = p.grid,
                                 .classes = vocab->count,
                                 .windows = s->windows,
                                 .canvas = s->pixels.data,
                                 .canvas_width = c.width,
                                 .canvas_height = c.height,
                                 .pamr = o->pamr,
                                 .with_background = o->with_background,
                                 .background = o->background,
                                 .softmax = o->mode == T2D_SLIDE,
                                 .width = image->width,
                                 .height = image->height,
                                 .labels = labels,
                                 .out = scores};
    return s->be->op->readout(s->be, &readout, err);
}

t2d_status t2d_segment(t2d_session *session, const t2d_vocab *vocab, const t2d_image *image,
                       const t2d_segment_options *options, t2d_mask *mask, float *scores, t2d_error *err)
{
    t2d_error local;
    err = err ? err : &local;
    t2d_segment_options o;
    if (!session || !vocab || (!mask && !scores))
        return t2d_fail(err, T2D_E_ARGUMENT,
                        "segment needs a session, a vocab, and a mask or scores to fill");
    if (vocab->engine != session->engine)
        return t2d_fail(err, T2D_E_ARGUMENT, "the vocab belongs to another engine than the session");
    t2d_segment_defaults(session->engine, &o);
    o = options ? *options : o;
    t2d_status status = t2d_image_check(image, err);
    if (status == T2D_OK) status = check_options(session->engine, &o, err);
    bool allocated = false;
    if (status == T2D_OK && mask)
        status = prepare_mask(image, vocab->count + (o.with_background ? 1 : 0), mask, &allocated, err);
    if (status == T2D_OK) status = run(session, vocab, image, &o, mask ? mask->ids : NULL, scores, err);
    if (status != T2D_OK && allocated) {
        free(mask->ids);
        mask->ids = NULL;
    }
    return status;
}
