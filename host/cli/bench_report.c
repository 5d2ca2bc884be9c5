/* bench_report.c — what the samples of a bench say, and the table for people. */
#include "cli/bench_report.h"

#include <stdlib.h>
#include <unistd.h>

#define WIDE 1.2       /* p90 over median */
#define FULL_SHARE 0.8 /* of the CPU that the threads could have had */

/* ---- what the samples say ---- */

double bench_cpu_share(const bench_report *r) { return r->result.cpu_seconds / (r->spread.sum * r->threads); }

static void warn(const bench_report *r)
{
    const double load = r->result.load_before;
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (r->spread.p90 > WIDE * r->spread.median)
        json_array_append_new(
            r->warnings,
            json_sprintf("the spread is wide: p90 is %.2f times the median; something else ran, or "
                         "the clocks moved",
                         r->spread.p90 / r->spread.median));
    if (r->on_cpu && bench_cpu_share(r) < FULL_SHARE)
        json_array_append_new(
            r->warnings,
            json_sprintf(
                "of the CPU time that its threads (%d) could have had, the process had %.0f %%: they "
                "waited for others or for each other",
                r->threads, 100 * bench_cpu_share(r)));
    if (load >= 0 && load + r->threads > (double)cpus + 0.5)
        json_array_append_new(r->warnings,
                              json_sprintf("the machine may have been busy: load average %.2f in the minute "
                                           "before; threads here: %d, CPUs: %ld",
                                           load, r->threads, cpus));
}

static t2d_status find_median(const t2d_samples *samples, double *median, t2d_error *err)
{
    t2d_spread spread;
    const t2d_status status = t2d_spread_of(samples, &spread, err);
    if (status == T2D_OK) *median = spread.median;
    return status;
}

t2d_status bench_report_finish(bench_report *r, t2d_error *err)
{
    const t2d_stages *s = &r->result.stages;
    t2d_status status = t2d_spread_of(&r->result.samples, &r->spread, err);
    for (int i = 0; status == T2D_OK && i < s->count; i++)
        status = find_median(&s->rows[i].samples, &r->stage_median[i], err);
    if (status == T2D_OK) status = find_median(&s->turns, &r->turn_median, err);
    r->warnings = json_array();
    if (status == T2D_OK) warn(r);
    if (status == T2D_OK) bench_machine_warn(&r->result, r->warnings);
    return status;
}

void bench_report_release(bench_report *r)
{
    t2d_bench_release(&r->result);
    json_decref(r->settings);
    json_decref(r->warnings);
    json_decref(r->against);
}

double bench_pictures_per_second(const bench_report *r)
{
    return (double)r->batch * r->result.samples.count / r->spread.sum;
}

double bench_flop_per_second(const bench_report *r)
{
    return r->window_flop * r->windows * r->batch / r->spread.median;
}

double bench_floor_seconds(const bench_report *r)
{
    return r->window_flop * r->windows * r->batch / r->result.ceiling;
}

double bench_roofline_seconds(const bench_report *r)
{
    double seconds = 0;
    for (int i = 0; i < r->result.stages.count; i++)
        seconds += t2d_stage_floor(&r->result.stages.rows[i], r->result.ceiling, r->result.bandwidth);
    return seconds;
}

/* ---- for people ---- */

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void show_head(const bench_report *r)
{
    const json_t *s = r->settings;
    t2d_error room;
    t2d_fail(&room, T2D_OK, "%s", text(s, "model"));
    printf("%s: pictures of %s, %lld classes, ", text(s, "scenario"), text(s, "picture"),
           number(s, "classes"));
    printf("%d %s window%s of %lld, batch %d\n", r->windows, text(s, "windows"), r->windows > 1 ? "s" : "",
           number(s, "size"), r->batch);
    printf("%s, checksum %s; %s on %s (%s)\n", room.message, text(s, "model_checksum"), text(s, "dtype"),
           text(s, "device"), text(s, "device_name"));
    printf("checked: scores finite, labels below the count, same bits twice, alone and in %d timed calls\n\n",
           r->result.samples.count);
}

static void show_latency(const bench_report *r)
{
    const t2d_spread *t = &r->spread;
    printf("host to mask, ms a %s: %d samples after %lld that warmed up\n",
           r->batch > 1 ? "batch" : "picture", r->result.samples.count, number(r->settings, "warmup"));
    printf("%10s %10s %10s %10s %10s %10s\n", "mean", "median", "p90", "p99", "min", "max");
    printf("%10.3f %10.3f %10.3f %10.3f %10.3f %10.3f\n\n", 1e3 * t->mean, 1e3 * t->median, 1e3 * t->p90,
           1e3 * t->p99, 1e3 * t->min, 1e3 * t->max);
}

static void show_against(const json_t *against)
{
    const json_t *differs = json_object_get(against, "differs"), *entry;
    size_t i;
    t2d_error room;
    t2d_fail(&room, T2D_OK, "%s", text(against, "file"));
    printf("against %s: median %.3f ms then, %.3f ms now, %.3f times as long\n", room.message,
           1e3 * json_number_value(json_object_get(against, "median_then")),
           1e3 * json_number_value(json_object_get(against, "median_now")),
           json_number_value(json_object_get(against, "ratio")));
    json_array_foreach(differs, i, entry)
    {
        t2d_fail(&room, T2D_OK, "%s", json_string_value(entry));
        printf("  not the same: %s\n", room.message);
    }
}

static void show_table(const bench_report *r)
{
    const json_t *entry;
    size_t i;
    show_head(r);
    show_latency(r);
    printf("throughput   %.4g pictures/s, %.4g windows/s\n", bench_pictures_per_second(r),
           bench_pictures_per_second(r) * r->windows);
    printf("vision tower %.1f GFLOP a window by count; %.1f GFLOP/s over the median, the rest of the way in "
           "it\n",
           1e-9 * r->window_flop, 1e-9 * bench_flop_per_second(r));
    printf("ceilings     %.1f GFLOP/s of a large product in this run, %.1f GB/s from and to memory\n",
           1e-9 * r->result.ceiling, 1e-9 * r->result.bandwidth);
    printf(
        "floor        %.3f ms for the tower's products, %.0f %% of the median; %.3f ms, %.0f %%, for every\n"
        "             operation at the ceiling that it meets first\n",
        1e3 * bench_floor_seconds(r), 100 * bench_floor_seconds(r) / r->spread.median,
        1e3 * bench_roofline_seconds(r), 100 * bench_roofline_seconds(r) / r->spread.median);
    printf("memory       %.1f MiB at most, the whole process\n", (double)r->result.peak_bytes / (1 << 20));
    printf("CPU time     %.0f %% of wall clock times threads (%d)\n", 100 * bench_cpu_share(r), r->threads);
    bench_machine_show(r);
    if (r->stages) bench_stages_show(r);
    if (r->against) show_against(r->against);
    json_array_foreach(r->warnings, i, entry) printf("warning: %s\n", json_string_value(entry));
}

void bench_report_show(const bench_report *report)
{
    if (common.json)
        print_json(bench_json(report));
    else
        show_table(report);
}
