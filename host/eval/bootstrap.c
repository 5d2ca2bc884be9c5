/* bootstrap.c — how far mIoU would move with other pictures of the same kind.
 * The Poisson bootstrap: a round draws each picture with a weight of its own, Poisson with mean 1, which is
 * what drawing N of N with replacement tends to.  A weight depends on seed, round and picture alone, so one
 * walk over the records is enough, nothing grows with their number, and two runs over the same pictures are
 * resampled alike: their difference has an interval of its own. */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>

t2d_status t2d_bootstrap_init(t2d_bootstrap *b, int rounds, int labels, uint64_t seed, t2d_error *err)
{
    const size_t sums = (size_t)rounds * (size_t)labels;
    *b = (t2d_bootstrap){.rounds = rounds, .labels = labels, .seed = seed};
    b->both = t2d_new(sums, sizeof *b->both, "bootstrap", err);
    b->any = t2d_new(sums, sizeof *b->any, "bootstrap", err);
    b->room = t2d_new((size_t)labels, sizeof *b->room, "bootstrap", err);
    if (b->both && b->any && b->room) return T2D_OK;
    t2d_bootstrap_release(b);
    return T2D_E_MEMORY;
}

void t2d_bootstrap_release(t2d_bootstrap *b)
{
    free(b->both);
    free(b->any);
    free(b->room);
    *b = (t2d_bootstrap){0};
}

/* A word beyond the k-th bound is more than k: 2^64 (P(X <= k)), X Poisson with mean 1. */
int t2d_poisson(uint64_t seed, uint64_t round, uint64_t picture)
{
    static const double below[] = {0.36787944117144233, 0.73575888234288467, 0.91969860292860584,
                                   0.98101184312384626, 0.99634015317265634, 0.99940581518241833,
                                   0.99991675885071196, 0.99998975080332536, 0.99999887479740203};
    const uint64_t word = t2d_mix(t2d_mix(t2d_mix(seed + 0x9e3779b97f4a7c15u) + round) + picture);
    const double u = (double)(word >> 11) * 0x1p-53;
    int k = 0;
    while (k < (int)(sizeof below / sizeof *below) && u >= below[k]) k++;
    return k;
}

static void add_label(t2d_bootstrap *b, const t2d_record *record, uint16_t label)
{
    t2d_class_count *c = &b->room[label];
    if (c->truth + c->found == 0) return; /* added already */
    const uint64_t any = c->truth + c->found - c->both;
    for (int r = 0; r < b->rounds; r++) {
        const uint64_t weight = (uint64_t)t2d_poisson(b->seed, (uint64_t)r, (uint64_t)record->picture);
        b->both[(size_t)r * (size_t)b->labels + label] += weight * c->both;
        b->any[(size_t)r * (size_t)b->labels + label] += weight * any;
    }
    *c = (t2d_class_count){0};
}

void t2d_bootstrap_add(t2d_bootstrap *b, const t2d_record *record)
{
    for (size_t i = 0; i < record->cell_count; i++) {
        const t2d_cell *c = &record->cells[i];
        b->room[c->truth].truth += c->pixels;
        b->room[c->found].found += c->pixels;
        if (c->truth == c->found) b->room[c->truth].both += c->pixels;
    }
    for (size_t i = 0; i < record->cell_count; i++) {
        add_label(b, record, record->cells[i].truth);
        add_label(b, record, record->cells[i].found);
    }
}

double t2d_bootstrap_iou(const t2d_bootstrap *b, int round)
{
    double sum = 0;
    int count = 0;
    for (int c = 0; c < b->labels; c++) {
        const size_t at = (size_t)round * (size_t)b->labels + (size_t)c;
        if (b->any[at] == 0) continue;
        sum += (double)b->both[at] / (double)b->any[at];
        count++;
    }
    return count ? sum / count : (double)NAN;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Between the two nearest of the sorted values. */
static double quantile(const double *values, int count, double share)
{
    const double at = share * (count - 1);
    const int low = (int)at, high = low + 1 < count ? low + 1 : low;
    return values[low] + (at - low) * (values[high] - values[low]);
}

bool t2d_interval(double *values, int count, double *low, double *high)
{
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(values[i])) values[kept++] = values[i];
    if (kept == 0) return false;
    qsort(values, (size_t)kept, sizeof *values, by_value);
    *low = quantile(values, kept, 0.025);
    *high = quantile(values, kept, 0.975);
    return true;
}
