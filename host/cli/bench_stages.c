/* bench_stages.c — a call taken apart: each operation's time beside the ceiling that it meets first. */
#include "cli/bench_report.h"

#include <string.h>

static double floor_of(const bench_report *r, const t2d_stage *row)
{
    return t2d_stage_floor(row, r->result.ceiling, r->result.bandwidth);
}

static bool is_host(const t2d_stage *row) { return strcmp(row->stage, "host") == 0; }

double bench_host_share(const bench_report *r)
{
    for (int i = 0; i < r->result.stages.count; i++)
        if (is_host(&r->result.stages.rows[i])) return r->stage_median[i] / r->turn_median;
    return 0;
}

/* ---- for people ---- */

static void show_rate(double work, double seconds)
{
    if (work > 0)
        printf(" %9.1f", 1e-9 * work / seconds);
    else
        printf(" %9s", "-");
}

static void show_row(const bench_report *r, int i)
{
    const t2d_stage *row = &r->result.stages.rows[i];
    const double seconds = r->stage_median[i];
    printf("%-16s %-24s %6d %10.3f %6.1f %%", row->stage, row->operation, row->calls, 1e3 * seconds,
           100 * seconds / r->turn_median);
    show_rate(row->flop, seconds);
    show_rate(row->bytes, seconds);
    if (is_host(row))
        printf(" %9s\n", "-");
    else
        printf(" %7.0f %%\n", 100 * floor_of(r, row) / seconds);
}

void bench_stages_show(const bench_report *r)
{
    const t2d_stages *s = &r->result.stages;
    printf(
        "\nstages, ms: medians of %d more calls in which every operation is waited for and none is replayed "
        "with others,\nso that together they take longer: %.3f a call, not %.3f\n",
        s->turns.count, 1e3 * r->turn_median, 1e3 * r->spread.median);
    printf("%-16s %-24s %6s %10s %8s %9s %9s %9s\n", "stage", "operation", "calls", "ms", "share", "GFLOP/s",
           "GB/s", "ceiling");
    for (int i = 0; i < s->count; i++) show_row(r, i);
    if (!r->on_cpu)
        printf("the device waited for the host in %.0f %% of such a call\n", 100 * bench_host_share(r));
    putchar('\n');
}

/* ---- for programs ---- */

static void add_times(const bench_report *r, int i, json_t *object)
{
    const t2d_stage *row = &r->result.stages.rows[i];
    const double seconds = r->stage_median[i];
    json_object_set_new(object, "median_seconds", json_real(seconds));
    json_object_set_new(object, "share", json_real(seconds / r->turn_median));
    json_object_set_new(object, "flop_per_second", json_real(row->flop / seconds));
    json_object_set_new(object, "bytes_per_second", json_real(row->bytes / seconds));
    json_object_set_new(object, "of_ceiling", json_real(floor_of(r, row) / seconds));
    json_object_set_new(object, "samples_seconds", bench_samples_json(&row->samples));
}

json_t *bench_stages_json(const bench_report *r)
{
    const t2d_stages *s = &r->result.stages;
    json_t *list = json_array();
    for (int i = 0; i < s->count; i++) {
        const t2d_stage *row = &s->rows[i];
        if (is_host(row) && !r->stages) continue; /* a time without work */
        json_t *object = json_pack("{s:s, s:s, s:i, s:f, s:f, s:f}", "stage", row->stage, "operation",
                                   row->operation, "calls", row->calls, "flop", row->flop, "bytes",
                                   row->bytes, "floor_seconds", floor_of(r, row));
        if (r->stages) add_times(r, i, object);
        json_array_append_new(list, object);
    }
    return list;
}
