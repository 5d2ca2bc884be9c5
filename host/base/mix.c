/* mix.c — one number from another, as if by chance: the same on every machine. */
#include "base/base.h"

uint64_t t2d_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
