/* range_none.c — a build without CUDA's toolkit: there is no profiler to tell. */
#include "bench/range.h"

void t2d_range_push(const char *name) { (void)name; }
void t2d_range_pop(void) {}
