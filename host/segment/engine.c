/* engine.c — a model on a device, immutable once it is open. */
#include "segment/segment.h"

#include <stdlib.h>

static t2d_status check(const char *path, const t2d_engine_options *o, t2d_error *err)
{
    if (!path) return t2d_fail(err, T2D_E_ARGUMENT, "no model file given");
    if (o->threads < 0 || o->threads > 4096)
        return t2d_fail(err, T2D_E_ARGUMENT, "%d threads; want 0 (all) to 4096", o->threads);
    if ((unsigned)o->dtype > T2D_DTYPE_BF16)
        return t2d_fail(err, T2D_E_ARGUMENT, "dtype %d is none of fp32, fp16 and bf16", (int)o->dtype);
    return T2D_OK;
}

t2d_status t2d_engine_open(const char *path, const t2d_engine_options *options, t2d_engine **engine,
                           t2d_error *err)
{
    t2d_error local;
    err = err ? err : &local;
    *engine = NULL;
    const t2d_engine_options o = options ? *options : (t2d_engine_options){0};
    t2d_status status = check(path, &o, err);
    if (status != T2D_OK) return status;
    t2d_engine *e = t2d_new(1, sizeof *e, "engine", err);
    if (!e) return T2D_E_MEMORY;
    status = t2d_backend_open(o.device ? o.device : "auto", o.dtype, o.threads, &e->be, err);
    if (status == T2D_OK) status = t2d_model_load(path, e->be, &e->model, err);
    if (status != T2D_OK) {
        if (e->be) e->be->op->close(e->be);
        free(e);
        return status;
    }
    e->dtype = e->be->dtype;
    e->threads = e->be->threads;
    *engine = e;
    return T2D_OK;
}

void t2d_engine_close(t2d_engine *engine)
{
    if (!engine) return;
    t2d_model_unload(engine->be, &engine->model);
    engine->be->op->close(engine->be);
    free(engine);
}

t2d_status t2d_engine_backend(const t2d_engine *engine, t2d_backend **be, t2d_error *err)
{
    return t2d_backend_open(engine->be->device, engine->dtype, engine->threads, be, err);
}

void t2d_engine_describe(const t2d_engine *engine, t2d_engine_info *info)
{
    const t2d_config *c = &engine->model.config;
    *info = (t2d_engine_info){
        .device = engine->be->device,
        .device_name = engine->be->description,
        .dtype = engine->dtype,
        .threads = engine->threads,
        .vision_dim = c->vision.dim,
        .vision_depth = c->vision.depth,
        .vision_heads = c->vision.heads,
        .patch = c->vision.patch,
        .registers = c->vision.registers,
        .text_dim = c->text.dim,
        .text_depth = c->text.depth,
        .text_heads = c->text.heads,
        .context = c->text.context,
        .vocabulary = c->text.vocabulary,
        .size = c->size,
        .stride = c->stride,
        .short_side = c->short_side,
        .long_side = c->long_side,
        .templates = c->templates,
        .background = c->background,
    };
}

t2d_status t2d_tokenize(const t2d_engine *engine, const char *text, int32_t *ids, int capacity, int *count,
                        t2d_error *err)
{
    const int context = engine->model.config.text.context;
    const int room = capacity < context ? capacity : context;
    return t2d_tokenizer_encode(engine->model.tokenizer, text, ids, room, count, err);
}
