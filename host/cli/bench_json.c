/* bench_json.c — the numbers of a bench as one line of JSON: every key says its unit, every sample is there.
 */
#include "cli/bench_report.h"

json_t *bench_samples_json(const t2d_samples *samples)
{
    json_t *list = json_array();
    for (int i = 0; i < samples->count; i++) json_array_append_new(list, json_real(samples->seconds[i]));
    return list;
}

json_t *bench_json(const bench_report *r)
{
    const t2d_spread *t = &r->spread;
    json_t *line = json_pack("{s:s, s:O, s:b}", "started", r->started, "settings", r->settings, "sound", 1);
    json_object_set_new(line, "latency_seconds",
                        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "mean", t->mean, "median", t->median,
                                  "p90", t->p90, "p99", t->p99, "min", t->min, "max", t->max));
    json_object_set_new(line, "pictures_per_second", json_real(bench_pictures_per_second(r)));
    json_object_set_new(line, "windows_per_picture", json_integer(r->windows));
    json_object_set_new(line, "windows_per_second", json_real(bench_pictures_per_second(r) * r->windows));
    json_object_set_new(line, "tower_flop_per_window", json_real(r->window_flop));
    json_object_set_new(line, "tower_flop_per_second", json_real(bench_flop_per_second(r)));
    json_object_set_new(line, "ceiling_flop_per_second", json_real(r->result.ceiling));
    json_object_set_new(line, "tower_floor_seconds", json_real(bench_floor_seconds(r)));
    json_object_set_new(line, "ceiling_bytes_per_second", json_real(r->result.bandwidth));
    json_object_set_new(line, "floor_seconds", json_real(bench_roofline_seconds(r)));
    json_object_set_new(line, "peak_memory_bytes", json_integer(r->result.peak_bytes));
    json_object_set_new(line, "cpu_seconds", json_real(r->result.cpu_seconds));
    json_object_set_new(line, "cpu_share", json_real(bench_cpu_share(r)));
    json_object_set_new(line, "load_average_before",
                        r->result.load_before < 0 ? json_null() : json_real(r->result.load_before));
    json_object_set_new(line, "machine", bench_machine_json(r));
    json_object_set_new(line, "operations", bench_stages_json(r));
    if (r->stages) {
        json_object_set_new(line, "metered_seconds", json_real(r->turn_median));
        json_object_set_new(line, "metered_samples_seconds", bench_samples_json(&r->result.stages.turns));
        json_object_set_new(line, "host_share", json_real(bench_host_share(r)));
    }
    json_object_set(line, "warnings", r->warnings);
    if (r->against) json_object_set(line, "compare", r->against);
    json_object_set_new(line, "samples_seconds", bench_samples_json(&r->result.samples));
    return line;
}
