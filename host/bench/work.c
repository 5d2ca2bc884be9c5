/* work.c — what is fed to a run, and how much there is to do.  Noise, never zeros: a chip that multiplies
 * zeros draws less power and keeps a higher clock. */
#include "bench/bench.h"

#include <string.h>

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
