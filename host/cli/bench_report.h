/* bench_report.h — what `t2d bench` found, and its forms: a table, JSON, a row of CSV, a comparison. */
#ifndef T2D_BENCH_REPORT_H
#define T2D_BENCH_REPORT_H

#include "bench/bench.h"
#include "cli/cli.h"

typedef struct bench_report {
    json_t *settings; /* everything needed to repeat the run */
    char started[32]; /* ISO 8601, UTC */
    int threads, batch;
    bool on_cpu;
    int windows; /* of a picture */
    double window_flop;
    t2d_bench_result result;
    t2d_spread spread;
    double stage_median[T2D_STAGE_ROWS], turn_median; /* seconds, of --stages */
    bool stages;                                      /* asked for */
    json_t *warnings;                                 /* sentences */
    json_t *against;                                  /* of --compare, or NULL */
} bench_report;

/* Spread and warnings, from the result. */
t2d_status bench_report_finish(bench_report *report, t2d_error *err);
void bench_report_release(bench_report *report);

double bench_pictures_per_second(const bench_report *report);
/* Operations of the vision tower by count over the median call: the rest of a picture's way is in the time.
 */
double bench_flop_per_second(const bench_report *report);

/* Of the CPU time that the threads could have had. */
double bench_cpu_share(const bench_report *report);

/* Of a call: the tower's operations at the ceiling's rate; and the roofline of all operations, each at the
 * ceiling that it meets first. */
double bench_floor_seconds(const bench_report *report);
double bench_roofline_seconds(const bench_report *report);

void bench_report_show(const bench_report *report);

/* ---- bench_json.c ---- */

json_t *bench_json(const bench_report *report);
json_t *bench_samples_json(const t2d_samples *samples);

/* ---- bench_stages.c ---- */

void bench_stages_show(const bench_report *report);
/* A list with work and floor of every operation, and its times where stages were asked for. */
json_t *bench_stages_json(const bench_report *report);
/* Of a metered call: what is between the operations.  A card waits for it. */
double bench_host_share(const bench_report *report);

/* ---- bench_machine.c ---- */

void bench_machine_show(const bench_report *report);
json_t *bench_machine_json(const bench_report *report);
void bench_machine_warn(const t2d_bench_result *result, json_t *warnings);

/* ---- bench_csv.c: says what is wrong itself ---- */

/* Before the run: may a row be added to `path`? */
int bench_csv_check(const char *path, const bench_report *report);
/* One row, below a header where the file is new or empty. */
int bench_csv_append(const char *path, const bench_report *report);

/* ---- bench_compare.c ---- */

/* Reads what `t2d bench --json` wrote; says what is wrong itself. */
int bench_old_read(const char *path, json_t **old);
/* {"file", "median_then", "median_now", "ratio", "differs"}: differs has a sentence for each setting that is
 * not the same. */
json_t *bench_compare(const char *path, const json_t *old, const bench_report *report);

#endif
