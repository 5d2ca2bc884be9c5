/* simt_mma.cpp — ldmatrix and mma.sync: which lane holds which element, from the PTX manual's figures. */
#include "simt_ptx.h"
#include "simt_state.h"

namespace simt
{
void ldmatrix(void **args, bool trans)
{
    uint16_t m[4][8][8];
    stats.ldmatrix++;
    for (int i = 0; i < 4; i++) {
        unsigned banks = 0; /* groups of four banks that the eight rows touch */
        for (int r = 0; r < 8; r++) {
            const int lane = i * 8 + r;
            const void *p = ((LdmatrixArgs *)args[lane])->p;
            if ((uintptr_t)p % 16)
                error("ldmatrix at %s: row address not a multiple of 16|",
                      where(fibers[group_first + lane].pc).c_str());
            lane_read(group_first + lane, p, 16, false);
            memcpy(m[i][r], p, 16);
            banks |= 1u << ((uintptr_t)p >> 4 & 7);
        }
        stats.ldmatrix_conflicts += 8 - __builtin_popcount(banks);
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            const int r = lane / 4, c = lane % 4 * 2;
            const uint32_t low = trans ? m[i][c][r] : m[i][r][c],
                           high = trans ? m[i][c + 1][r] : m[i][r][c + 1];
            ((LdmatrixArgs *)args[lane])->r[i] = low | high << 16;
        }
}

static float convert(uint32_t h, bool half)
{
    return half ? half_to_float((uint16_t)h) : bf16_to_float((uint16_t)h);
}

__attribute__((optimize("O3"))) void mma_m16n8k16(void **args, bool half)
{
    float a[16][16], b[16][8], d[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const MmaArgs &m = *(MmaArgs *)args[lane];
        const int g = lane / 4, t = lane % 4 * 2;
        for (int h = 0; h < 2; h++) {
            for (int e = 0; e < 2; e++) {
                a[g][t + 8 * e + h] = convert(m.a[2 * e] >> 16 * h & 0xffff, half);
                a[g + 8][t + 8 * e + h] = convert(m.a[2 * e + 1] >> 16 * h & 0xffff, half);
                b[t + 8 * e + h][g] = convert(m.b[e] >> 16 * h & 0xffff, half);
            }
            d[g][t + h] = m.d[h];
            d[g + 8][t + h] = m.d[2 + h];
        }
    }
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 16; k++)
            for (int j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
    for (int lane = 0; lane < 32; lane++) {
        float *o = ((MmaArgs *)args[lane])->d;
        const int g = lane / 4, t = lane % 4 * 2;
        o[0] = d[g][t];
        o[1] = d[g][t + 1];
        o[2] = d[g + 8][t];
        o[3] = d[g + 8][t + 1];
    }
}
} // namespace simt
