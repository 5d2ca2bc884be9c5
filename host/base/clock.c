/* clock.c — monotonic time, and the CPU's. */
#include "base/base.h"

#include <time.h>

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double t2d_clock(void) { return seconds_of(CLOCK_MONOTONIC); }
double t2d_cpu_clock(void) { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }
