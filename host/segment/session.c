/* session.c — a session, its options, and what its callers ask for. */
#include "segment/segment.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_WINDOW = 1 << 13, /* side of a window */
    MAX_SIDE = 1 << 16    /* of the resized picture */
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
    if (status == T2D_OK) {
        s->load = s->be->load;
        *session = s;
    } else {
        free(s);
    }
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
    free(session->pictures);
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

/* ---- segmenting ---- */

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

/* What is wanted of a batch of pictures; each [count], or NULL. */
typedef struct wants {
    t2d_mask *masks;
    float *const *scores;
    const t2d_counting *countings;
} wants;

/* Picture `index` of a batch into s->pictures; what was allocated for its mask is noted there. */
static t2d_status take_picture(t2d_session *s, const t2d_image *image, const wants *w, int labels, int index,
                               t2d_error *err)
{
    t2d_picture *p = &s->pictures[index];
    *p = (t2d_picture){.image = image,
                       .mask = w->masks ? &w->masks[index] : NULL,
                       .scores = w->scores ? w->scores[index] : NULL,
                       .counting = w->countings ? w->countings[index] : (t2d_counting){0}};
    if (!p->mask && !p->scores && !p->counting.counts)
        return t2d_fail(err, T2D_E_ARGUMENT, "segment needs a mask or scores to fill");
    t2d_status status = t2d_image_check(image, err);
    if (status == T2D_OK && p->mask) status = prepare_mask(image, labels, p->mask, &p->allocated, err);
    return status;
}

static t2d_status reserve_pictures(t2d_session *s, int count, t2d_error *err)
{
    if (count <= s->picture_capacity) return T2D_OK;
    free(s->pictures);
    s->picture_capacity = 0;
    s->pictures = t2d_new((size_t)count, sizeof *s->pictures, "a batch of pictures", err);
    if (!s->pictures) return T2D_E_MEMORY;
    s->picture_capacity = count;
    return T2D_OK;
}

static t2d_status segment(t2d_session *session, const t2d_vocab *vocab, const t2d_image *images, int count,
                          const t2d_segment_options *options, const wants *w, t2d_error *err)
{
    t2d_segment_options o;
    if (!session || !vocab || !images || count < 1)
        return t2d_fail(err, T2D_E_ARGUMENT, "segment needs a session, a vocab and at least one picture");
    if (vocab->engine != session->engine)
        return t2d_fail(err, T2D_E_ARGUMENT, "the vocab belongs to another engine than the session");
    t2d_segment_defaults(session->engine, &o);
    o = options ? *options : o;
    t2d_status status = check_options(session->engine, &o, err);
    if (status == T2D_OK) status = reserve_pictures(session, count, err);
    const int labels = vocab->count + (o.with_background ? 1 : 0);
    int taken = 0;
    for (; status == T2D_OK && taken < count; taken++) {
        status = take_picture(session, &images[taken], w, labels, taken, err);
        if (status != T2D_OK && count > 1)
            status = t2d_fail(err, status, "picture %d of the batch: %s", taken, err->message);
    }
    if (status == T2D_OK) status = t2d_segment_pictures(session, vocab, count, &o, err);
    for (int i = 0; status != T2D_OK && i < taken; i++)
        if (session->pictures[i].allocated) {
            free(session->pictures[i].mask->ids);
            session->pictures[i].mask->ids = NULL;
        }
    return status;
}

t2d_status t2d_segment_batch(t2d_session *session, const t2d_vocab *vocab, const t2d_image *images, int count,
                             const t2d_segment_options *options, t2d_mask *masks, float *const *scores,
                             t2d_error *err)
{
    t2d_error local;
    const wants w = {.masks = masks, .scores = scores};
    return segment(session, vocab, images, count, options, &w, err ? err : &local);
}

t2d_status t2d_segment_count(t2d_session *session, const t2d_vocab *vocab, const t2d_image *images, int count,
                             const t2d_segment_options *options, const t2d_counting *countings,
                             t2d_error *err)
{
    const wants w = {.countings = countings};
    return segment(session, vocab, images, count, options, &w, err);
}

t2d_status t2d_segment(t2d_session *session, const t2d_vocab *vocab, const t2d_image *image,
                       const t2d_segment_options *options, t2d_mask *mask, float *scores, t2d_error *err)
{
    return t2d_segment_batch(session, vocab, image, 1, options, mask, &scores, err);
}

int t2d_session_tokens(const t2d_session *session, int *planned)
{
    if (planned) *planned = session->be->load;
    return session->load;
}
