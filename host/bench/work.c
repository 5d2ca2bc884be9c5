/* work.c — what is fed to a run, and how much there is to do.  Noise, never zeros: a chip that multiplies
 * zeros draws less power and keeps a higher clock. */
#include "bench/bench.h"

#include <assert.h>

t2d_status t2d_random_picture(int width, int height, uint64_t seed, uint64_t index, t2d_image *image,
                              t2d_error *err)
{
    const size_t bytes = (size_t)width * (size_t)height * 3;
    *image = (t2d_image){.width = width, .height = height, .pixels = t2d_new(bytes, 1, "picture", err)};
    if (!image->pixels) return T2D_E_MEMORY;
    const uint64_t key = t2d_mix(t2d_mix(seed + 0x9e3779b97f4a7c15u) + index);
    for (size_t at = 0; at < bytes; at += 8) {
        const uint64_t word = t2d_mix(key + at);
        for (size_t i = 0; i < 8 && at + i < bytes; i++) image->pixels[at + i] = (uint8_t)(word >> 8 * i);
    }
    return T2D_OK;
}

double t2d_window_flop(const t2d_config *config, int size)
{
    const double side = size / config->vision.patch, patches = side * side, dim = config->vision.dim;
    const double tokens = 1 + config->vision.registers + patches;
    const double mlp = (config->vision.swiglu ? 3.0 : 2.0) * config->vision.hidden; /* [a | b] and down */
    const double block = 2 * tokens * dim * (4 * dim + mlp) + 4 * tokens * tokens * dim; /* qkv 3, out 1 */
    return config->vision.depth * block + 2 * patches * dim * 3 * config->vision.patch * config->vision.patch;
}

t2d_weight t2d_weight_find(const t2d_model *m, const t2d_linear *lin)
{
    const t2d_tower *towers[] = {&m->vision, &m->text};
    for (int k = 0; k < 2; k++) {
        const t2d_tower *t = towers[k];
        for (int i = 0; i < t->depth; i++) {
            const t2d_block *b = &t->blocks[i];
            if (lin == b->qkv) return (t2d_weight){"linear qkv", 3 * t->dim, t->dim, false};
            if (lin == b->out) return (t2d_weight){"linear out", t->dim, t->dim, false};
            if (lin == b->up)
                return (t2d_weight){"linear up", (t->swiglu ? 2 : 1) * t->hidden, t->dim, false};
            if (lin == b->down) return (t2d_weight){"linear down", t->dim, t->hidden, false};
        }
    }
    if (lin == m->text_projection)
        return (t2d_weight){"text projection", m->config.text.embed, m->config.text.dim, true};
    if (lin == m->psi1) return (t2d_weight){"psi 1", m->config.vision.dim, m->config.text.embed, true};
    assert(lin == m->psi2);
    return (t2d_weight){"psi 2", m->config.vision.dim, m->config.vision.dim, true};
}

double t2d_stage_floor(const t2d_stage *stage, double flop_per_second, double bytes_per_second)
{
    const double products = stage->flop / flop_per_second, memory = stage->bytes / bytes_per_second;
    return products > memory ? products : memory;
}

void t2d_stages_release(t2d_stages *stages)
{
    for (int i = 0; i < stages->count; i++) t2d_samples_release(&stages->rows[i].samples);
    t2d_samples_release(&stages->turns);
    *stages = (t2d_stages){0};
}
