/* range.h — names on a profiler's time line, in a domain "talk2dino": by NVTX where t2d is built with CUDA's
 * toolkit (range_nvtx.c), else nowhere (range_none.c). */
#ifndef T2D_RANGE_H
#define T2D_RANGE_H

void t2d_range_push(const char *name);
void t2d_range_pop(void);

#endif
