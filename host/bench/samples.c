/* samples.c — times that were measured, and the few numbers that stand for them. */
#include "bench/bench.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

t2d_status t2d_samples_add(t2d_samples *s, double seconds, t2d_error *err)
{
    if (s->count == s->capacity) {
        const int capacity = s->capacity ? 2 * s->capacity : 256;
        double *more = realloc(s->seconds, (size_t)capacity * sizeof *more);
        if (!more) return t2d_fail(err, T2D_E_MEMORY, "samples: out of memory (%d wanted)", capacity);
        s->seconds = more;
        s->capacity = capacity;
    }
    s->seconds[s->count++] = seconds;
    return T2D_OK;
}

void t2d_samples_release(t2d_samples *s)
{
    free(s->seconds);
    *s = (t2d_samples){0};
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double t2d_percentile(const double *sorted, int count, int percent)
{
    assert(count > 0 && percent >= 1 && percent <= 100);
    const int64_t rank = ((int64_t)percent * count + 99) / 100; /* from 1 */
    return sorted[rank - 1];
}

t2d_status t2d_spread_of(const t2d_samples *s, t2d_spread *spread, t2d_error *err)
{
    assert(s->count > 0);
    double *sorted = t2d_new((size_t)s->count, sizeof *sorted, "samples", err), sum = 0;
    if (!sorted) return T2D_E_MEMORY;
    memcpy(sorted, s->seconds, (size_t)s->count * sizeof *sorted);
    qsort(sorted, (size_t)s->count, sizeof *sorted, by_value);
    for (int i = 0; i < s->count; i++) sum += sorted[i];
    *spread = (t2d_spread){.mean = sum / s->count,
                           .median = t2d_percentile(sorted, s->count, 50),
                           .p90 = t2d_percentile(sorted, s->count, 90),
                           .p99 = t2d_percentile(sorted, s->count, 99),
                           .min = sorted[0],
                           .max = sorted[s->count - 1],
                           .sum = sum};
    free(sorted);
    return T2D_OK;
}
