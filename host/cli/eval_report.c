/* eval_report.c — one walk over a results file, and all that is made on the way. */
#include "cli/eval_report.h"
#include "cli/eval_csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

report_request report_wants = {.rounds = ROUNDS};

/* ---- the worst pictures ---- */

/* Keeps the `worst_count` lowest, in order; of equals the earlier picture. */
static void remember(eval_report *report, const t2d_record *record, double iou)
{
    const int room = report_wants.worst;
    int at = report->worst_count;
    while (at > 0 && iou < report->worst[at - 1].iou) at--;
    if (at >= room) return;
    const int kept = report->worst_count < room ? report->worst_count : room - 1;
    memmove(report->worst + at + 1, report->worst + at, (size_t)(kept - at) * sizeof *report->worst);
    report->worst[at] = (poor_picture){.picture = record->picture, .iou = iou};
    snprintf(report->worst[at].name, sizeof report->worst[at].name, "%s", record->name);
    report->worst_count = kept + 1;
}

/* ---- the walk ---- */

typedef struct walk {
    eval_report *report;
    t2d_class_count *room; /* [labels], zero */
    t2d_bootstrap bootstrap;
    picture_csv *csv;
} walk;

static t2d_status see(walk *w, const t2d_record *record, t2d_error *err)
{
    eval_report *report = w->report;
    t2d_tally_add(&report->tally, record);
    if (w->csv) {
        const t2d_status status = picture_csv_add(w->csv, record, err);
        if (status) return status;
    }
    if (record->failed) return T2D_OK;
    if (w->bootstrap.rounds) t2d_bootstrap_add(&w->bootstrap, record);
    const double iou = t2d_cells_iou(record->cells, record->cell_count, w->room);
    if (report->worst && !isnan(iou)) remember(report, record, iou);
    return T2D_OK;
}

static t2d_status read_all(walk *w, t2d_reader *reader, t2d_error *err)
{
    t2d_record record;
    bool found = true;
    t2d_status status = T2D_OK;
    int64_t seen = 0;
    while (status == T2D_OK && found) {
        status = t2d_reader_next(reader, &record, &found, err);
        if (status == T2D_OK && found) {
            status = see(w, &record, err);
            seen++;
        }
    }
    if (status == T2D_OK && (reader->step != 1 || seen < reader->pictures))
        status = t2d_fail(err, T2D_E_FORMAT,
                          "%s holds %lld of %lld pictures: finish it with t2d eval, or put shards together "
                          "with t2d merge",
                          reader->path, (long long)seen, (long long)reader->pictures);
    return status;
}

static t2d_status find_interval(walk *w, t2d_error *err)
{
    const int rounds = w->bootstrap.rounds;
    if (rounds == 0) return T2D_OK;
    double *values = t2d_new((size_t)rounds, sizeof *values, "bootstrap", err);
    if (!values) return T2D_E_MEMORY;
    for (int r = 0; r < rounds; r++) values[r] = t2d_bootstrap_iou(&w->bootstrap, r);
    w->report->has_interval = t2d_interval(values, rounds, &w->report->low, &w->report->high);
    free(values);
    return T2D_OK;
}

static t2d_status prepare(walk *w, const t2d_reader *reader, t2d_error *err)
{
    eval_report *report = w->report;
    if (!reader->head) return t2d_fail(err, T2D_E_FORMAT, "%s: empty", reader->path);
    report->head = json_incref(reader->head);
    t2d_status status = t2d_tally_init(&report->tally, reader->labels, err);
    if (status) return status;
    w->room = t2d_new((size_t)reader->labels, sizeof *w->room, "report", err);
    report->classes = t2d_new((size_t)reader->labels, sizeof *report->classes, "report", err);
    if (report_wants.worst > 0)
        report->worst = t2d_new((size_t)report_wants.worst, sizeof *report->worst, "report", err);
    if (!w->room || !report->classes || (report_wants.worst > 0 && !report->worst)) return T2D_E_MEMORY;
    if (report_wants.rounds > 0)
        status = t2d_bootstrap_init(&w->bootstrap, report_wants.rounds, reader->labels,
                                    (uint64_t)report_wants.seed, err);
    return status;
}

/* What is made of the sums. */
static t2d_status conclude(walk *w, t2d_error *err)
{
    eval_report *report = w->report;
    t2d_tally_classes(&report->tally, report->classes);
    report->metrics = t2d_metrics_of(report->classes, report->tally.labels);
    const json_t *classes = json_object_get(json_object_get(report->head, "decides"), "classes");
    t2d_status status = find_interval(w, err);
    if (status == T2D_OK && w->csv) status = picture_csv_commit(w->csv, err);
    if (status == T2D_OK && report_wants.csv)
        status = class_csv_write(report_wants.csv, classes, report->classes, report->tally.labels, err);
    if (status == T2D_OK && report_wants.confusion)
        status = t2d_confusion_write(report_wants.confusion, classes, &report->tally, err);
    return status;
}

int report_make(const char *path, eval_report *report)
{
    t2d_error err;
    t2d_reader reader;
    walk w = {.report = report};
    *report = (eval_report){.path = path};
    t2d_status status = t2d_reader_open(&reader, path, &err);
    if (status) return complain(code_of_input(status), &err);
    bool ours = false; /* whether what failed is an output */
    status = prepare(&w, &reader, &err);
    if (status == T2D_OK && report_wants.per_picture) {
        status = picture_csv_open(&w.csv, report_wants.per_picture, report->head, &err);
        ours = status != T2D_OK;
    }
    if (status == T2D_OK) status = read_all(&w, &reader, &err);
    if (status == T2D_OK) {
        status = conclude(&w, &err);
        ours = status != T2D_OK;
    }
    const int code =
        status == T2D_OK ? EXIT_GOOD : complain(ours ? code_of_output(status) : code_of_input(status), &err);
    picture_csv_close(w.csv);
    t2d_bootstrap_release(&w.bootstrap);
    free(w.room);
    t2d_reader_close(&reader);
    return code;
}

void report_release(eval_report *report)
{
    json_decref(report->head);
    t2d_tally_release(&report->tally);
    free(report->classes);
    free(report->worst);
    *report = (eval_report){0};
}
