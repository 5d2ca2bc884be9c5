/* pictures.c — the way of pictures that travel together: resize, windows, tower, similarity, readout.
 * Their windows share the passes through the tower, but no number of one depends on another. */
#include "segment/segment.h"

#include <stdlib.h>

/* ---- canvases: the pixels that the windows are cut from ---- */

/* Places of canvases in session->pixels and of windows in session->windows; the number of windows. */
static t2d_status lay_out(t2d_session *s, int count, const t2d_segment_options *o, int *windows,
                          t2d_error *err)
{
    size_t bytes = 0;
    *windows = 0;
    for (int i = 0; i < count; i++) {
        t2d_picture *p = &s->pictures[i];
        p->count = t2d_windows_of(o, p->image->width, p->image->height, &p->width, &p->height);
        p->at = bytes;
        p->first = *windows;
        bytes += ((size_t)p->width * (size_t)p->height * 3 + 255) / 256 * 256;
        *windows += p->count;
    }
    if (*windows > s->window_capacity) {
        free(s->windows);
        s->window_capacity = 0;
        s->windows = t2d_new((size_t)*windows, sizeof *s->windows, "windows", err);
        if (!s->windows) return T2D_E_MEMORY;
        s->window_capacity = *windows;
    }
    return t2d_buffer_reserve(s, &s->pixels, bytes, "pictures", err);
}

/* Slide: the picture resized to fit, as mmseg loads it; whole: as it is. */
static t2d_status canvas_pixels(t2d_session *s, const t2d_picture *p, const t2d_segment_options *o,
                                const uint8_t **pixels, t2d_error *err)
{
    *pixels = p->image->pixels;
    if (o->mode == T2D_WHOLE) return T2D_OK;
    const size_t bytes = (size_t)p->width * (size_t)p->height * 3;
    if (bytes > s->canvas_bytes) {
        free(s->canvas);
        s->canvas_bytes = 0;
        s->canvas = t2d_new(bytes, 1, "resized picture", err);
        if (!s->canvas) return T2D_E_MEMORY;
        s->canvas_bytes = bytes;
    }
    *pixels = s->canvas;
    return t2d_resize_cv2_linear(p->image->pixels, p->image->width, p->image->height, s->canvas, p->width,
                                 p->height, s->be->threads, err);
}

static t2d_status send(t2d_session *s, const t2d_picture *p, const t2d_segment_options *o, t2d_error *err)
{
    const uint8_t *pixels;
    const t2d_status status = canvas_pixels(s, p, o, &pixels, err);
    if (status != T2D_OK) return status;
    if (o->mode == T2D_SLIDE)
        t2d_windows_place(p->width, p->height, o->size, o->stride, s->windows + p->first);
    else
        s->windows[p->first] = (t2d_rect){0, 0, p->width, p->height};
    s->be->op->upload(s->be, (uint8_t *)s->pixels.data + p->at, pixels,
                      (size_t)p->width * (size_t)p->height * 3);
    return T2D_OK;
}

/* ---- windows to score maps ---- */

typedef struct plan {
    int grid, patches, tokens, skip, at_once; /* per window; windows per pass */
} plan;

/* Memory of one pass of p->at_once windows. */
static t2d_status reserve_pass(t2d_session *s, const t2d_vocab *vocab, const t2d_segment_options *o,
                               const plan *p, t2d_error *err)
{
    const t2d_model *m = &s->engine->model;
    const size_t batch = (size_t)p->at_once * (size_t)p->patches * sizeof(float);
    t2d_status status = t2d_forward_plan(s, p->at_once, o->size, err);
    if (status == T2D_OK)
        status = t2d_buffer_reserve(s, &s->unit, batch * (size_t)m->vision.dim, "unit features", err);
    if (status == T2D_OK && o->clean)
        status = t2d_buffer_reserve(s, &s->logits, batch * (size_t)m->vision.heads, "CLS logits", err);
    if (status == T2D_OK && vocab->rows > vocab->count)
        status = t2d_buffer_reserve(s, &s->aliases, batch * (size_t)vocab->rows, "alias scores", err);
    return status;
}

/* As many windows per pass as keep the machine busy; where its memory has no room for them, half as many, and
 * so for the rest of the session. */
static t2d_status make_plan(t2d_session *s, const t2d_vocab *vocab, const t2d_segment_options *o, int windows,
                            plan *p, t2d_error *err)
{
    p->grid = o->size / s->engine->model.config.vision.patch;
    p->patches = p->grid * p->grid;
    p->skip = t2d_prefix_tokens(s->engine);
    p->tokens = p->skip + p->patches;
    const size_t all = (size_t)windows * (size_t)p->patches * sizeof(float);
    t2d_status status = t2d_buffer_reserve(s, &s->scores, all * (size_t)vocab->count, "scores", err);
    while (status == T2D_OK) {
        const int fit = s->load / p->tokens, most = fit < 1 ? 1 : fit;
        p->at_once = most < windows ? most : windows;
        status = reserve_pass(s, vocab, o, p, err);
        if (status != T2D_E_MEMORY || p->at_once == 1) break;
        s->load = p->at_once / 2 * p->tokens;
        status = T2D_OK;
    }
    return status;
}

/* Windows first .. first + count - 1, wherever they come from, into the residual stream. */
static void embed(t2d_session *s, const t2d_segment_options *o, int first, int count)
{
    const t2d_picture *p = s->pictures;
    for (int done = 0; done < count;) {
        while (first + done >= p->first + p->count) p++;
        const int left = p->first + p->count - (first + done),
                  part = left < count - done ? left : count - done;
        t2d_forward_embed(s, (const uint8_t *)s->pixels.data + p->at, p->width, p->height,
                          s->windows + first + done, part, o->size, o->swap_channels, done);
        done += part;
    }
}

static void score_windows(t2d_session *s, const t2d_vocab *vocab, const t2d_segment_options *o, const plan *p,
                          int first, int count)
{
    const t2d_model *m = &s->engine->model;
    const t2d_ops *op = s->be->op;
    const int dim = m->vision.dim, heads = m->vision.heads, rows = count * p->patches;
    float *scores = (float *)s->scores.data + (size_t)first * (size_t)p->patches * (size_t)vocab->count;
    float *raw = vocab->rows > vocab->count ? s->aliases.data : scores; /* [count, patches, vectors] */

    embed(s, o, first, count);
    t2d_forward_blocks(s, count, o->size);
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

static t2d_status read_out(t2d_session *s, const t2d_vocab *vocab, const t2d_segment_options *o,
                           const plan *p, const t2d_picture *picture, t2d_error *err)
{
    const t2d_readout job = {
        .scores = (const float *)s->scores.data +
                  (size_t)picture->first * (size_t)p->patches * (size_t)vocab->count,
        .window_count = picture->count,
        .grid = p->grid,
        .classes = vocab->count,
        .windows = s->windows + picture->first,
        .canvas = (const uint8_t *)s->pixels.data + picture->at,
        .canvas_width = picture->width,
        .canvas_height = picture->height,
        .pamr = o->pamr,
        .with_background = o->with_background,
        .background = o->background,
        .softmax = o->mode == T2D_SLIDE,
        .width = picture->image->width,
        .height = picture->image->height,
        .labels = picture->mask ? picture->mask->ids : NULL,
        .out = picture->scores,
        .truth = picture->counting.truth,
        .counts = picture->counting.counts,
    };
    return s->be->op->readout(s->be, &job, err);
}

t2d_status t2d_segment_pictures(t2d_session *s, const t2d_vocab *vocab, int count,
                                const t2d_segment_options *o, t2d_error *err)
{
    plan p;
    int windows;
    t2d_status status = lay_out(s, count, o, &windows, err);
    if (status == T2D_OK) status = make_plan(s, vocab, o, windows, &p, err);
    for (int i = 0; status == T2D_OK && i < count; i++) status = send(s, &s->pictures[i], o, err);
    for (int first = 0; status == T2D_OK && first < windows; first += p.at_once)
        score_windows(s, vocab, o, &p, first, windows - first < p.at_once ? windows - first : p.at_once);
    for (int i = 0; status == T2D_OK && i < count; i++)
        status = read_out(s, vocab, o, &p, &s->pictures[i], err);
    const t2d_status finished = s->be->op->finish(s->be, status == T2D_OK ? err : NULL);
    return status == T2D_OK ? finished : status;
}
