/* forward.c — windows of a picture through the vision tower; segment and features share it. */
#include "segment/segment.h"

#include <assert.h>
#include <stdlib.h>

int t2d_prefix_tokens(const t2d_engine *engine) { return 1 + engine->model.config.vision.registers; }

t2d_status t2d_image_check(const t2d_image *image, t2d_error *err)
{
    if (!image || !image->pixels || image->width < 1 || image->height < 1)
        return t2d_fail(err, T2D_E_ARGUMENT, "the picture is empty");
    return T2D_OK;
}

t2d_status t2d_buffer_reserve(t2d_session *session, t2d_buffer *buffer, size_t bytes, const char *what,
                              t2d_error *err)
{
    if (buffer->bytes >= bytes) return T2D_OK;
    t2d_backend *be = session->be;
    if (buffer->data) be->op->release(be, buffer->data);
    buffer->data = be->op->alloc(be, bytes);
    buffer->bytes = buffer->data ? bytes : 0;
    return buffer->data ? T2D_OK : t2d_no_room(be, what, bytes, err);
}

/* The stored position table resampled for grid x grid patches, on the machine. */
static t2d_status plan_position(t2d_session *session, int grid, t2d_error *err)
{
    if (session->grid == grid) return T2D_OK;
    const t2d_model *m = &session->engine->model;
    const size_t values = (size_t)grid * (size_t)grid * (size_t)m->config.vision.dim;
    session->grid = 0;
    t2d_status status =
        t2d_buffer_reserve(session, &session->position, values * sizeof(float), "position table", err);
    if (status != T2D_OK) return status;
    float *table = t2d_new(values, sizeof(float), "position table", err);
    if (!table) return T2D_E_MEMORY;
    status = t2d_position_resize(m->position, m->config.vision.grid, table, grid, grid, m->config.vision.dim,
                                 m->config.vision.antialias, m->config.vision.offset, err);
    if (status == T2D_OK) {
        session->be->op->upload(session->be, session->position.data, table, values * sizeof(float));
        status = session->be->op->download(session->be, table, session->position.data, sizeof(float), err);
    }
    free(table);
    if (status == T2D_OK) session->grid = grid;
    return status;
}

t2d_status t2d_forward_plan(t2d_session *session, int windows, int size, t2d_error *err)
{
    const t2d_model *m = &session->engine->model;
    const int grid = size / m->config.vision.patch;
    const int rows = windows * (t2d_prefix_tokens(session->engine) + grid * grid);
    t2d_status status = plan_position(session, grid, err);
    if (status == T2D_OK && session->ws.rows < rows) {
        t2d_workspace_release(session->be, &session->ws);
        status = t2d_workspace_plan(session->be, &m->vision, rows, &session->ws, err);
    }
    if (status != T2D_OK) return status;
    return t2d_buffer_reserve(session, &session->features,
                              (size_t)rows * (size_t)m->config.vision.dim * sizeof(float), "features", err);
}

static int tokens_of(const t2d_session *session, int size)
{
    const int grid = size / session->engine->model.config.vision.patch;
    return t2d_prefix_tokens(session->engine) + grid * grid;
}

void t2d_forward_embed(t2d_session *session, const uint8_t *pixels, int width, int height,
                       const t2d_rect *windows, int count, int size, bool swap, int slot)
{
    const t2d_model *m = &session->engine->model;
    const int dim = m->vision.dim;
    assert(session->grid == size / m->config.vision.patch);
    const t2d_embed embed = {.pixels = pixels,
                             .width = width,
                             .height = height,
                             .windows = windows,
                             .count = count,
                             .size = size,
                             .patch = m->config.vision.patch,
                             .mean = {m->config.mean[0], m->config.mean[1], m->config.mean[2]},
                             .std = {m->config.std[0], m->config.std[1], m->config.std[2]},
                             .swap = swap,
                             .projection = m->patch,
                             .cls = m->cls,
                             .registers = m->registers,
                             .position = session->position.data,
                             .register_count = m->config.vision.registers,
                             .dim = dim};
    float *x = session->ws.x + (size_t)slot * (size_t)tokens_of(session, size) * (size_t)dim;
    session->be->op->embed(session->be, x, &embed); /* [count, tokens, dim] */
}

void t2d_forward_blocks(t2d_session *session, int count, int size)
{
    const t2d_model *m = &session->engine->model;
    const t2d_ops *op = session->be->op;
    const int tokens = tokens_of(session, size);
    /* Everything here depends on these alone; where the workspace's parts lie follows from its rows. */
    const struct {
        const void *workspace, *features;
        int64_t rows, count, tokens;
    } key = {session->ws.block, session->features.data, session->ws.rows, count, tokens};
    if (op->replay(session->be, &key, sizeof key)) return;
    t2d_tower_forward(session->be, &m->vision, &session->ws, count, tokens); /* all blocks */
    op->layernorm(session->be, session->features.data, true, session->ws.x, m->vision.norm_w,
                  m->vision.norm_b, count * tokens, m->vision.dim, m->vision.eps);
    op->recorded(session->be);
}
