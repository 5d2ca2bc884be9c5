/* eval_report.h — what `t2d eval` and `t2d merge` say about a complete results file. */
#ifndef T2D_EVAL_REPORT_H
#define T2D_EVAL_REPORT_H

#include "cli/cli.h"
#include "eval/eval.h"

/* What was asked for beside the table. */
typedef struct report_request {
    const char *csv, *per_picture, *confusion; /* files, or NULL */
    int rounds, seed;                          /* of the bootstrap; 0 rounds: no interval */
    int worst;                                 /* pictures to name */
} report_request;
extern report_request report_wants;

enum { ROUNDS = 1000 };

#define OPTIONS_REPORT                                                                                        \
    {ARG_HEADING, 0, NULL, NULL, "report:", NULL, 0, 0},                                                      \
        {ARG_TEXT, 0, "csv", "FILE", "classes as CSV: IoU, accuracy, pixels", &report_wants.csv, 0, 0},       \
        {ARG_TEXT,                                                                                            \
         0,                                                                                                   \
         "per-picture",                                                                                       \
         "FILE",                                                                                              \
         "pictures as CSV: mIoU, accuracy, IoU of every class",                                               \
         &report_wants.per_picture,                                                                           \
         0,                                                                                                   \
         0},                                                                                                  \
        {ARG_TEXT, 0, "confusion", "FILE", "the confusion matrix as a picture, PNG", &report_wants.confusion, \
         0,        0},                                                                                        \
        {ARG_INT,                                                                                             \
         0,                                                                                                   \
         "bootstrap",                                                                                         \
         "N",                                                                                                 \
         "rounds for the interval of mIoU (1000; 0: none)",                                                   \
         &report_wants.rounds,                                                                                \
         0,                                                                                                   \
         1000000},                                                                                            \
    {                                                                                                         \
        ARG_INT, 0, "seed", "N", "of the bootstrap (0)", &report_wants.seed, 0, 2147483647                    \
    }

typedef struct poor_picture {
    int64_t picture;
    double iou;
    char name[128];
} poor_picture;

/* Everything a report tells; made by one walk over the file. */
typedef struct eval_report {
    const char *path;
    json_t *head;
    t2d_tally tally;
    t2d_class_count *classes;
    t2d_metrics metrics;
    bool has_interval;
    double low, high;    /* of mIoU */
    poor_picture *worst; /* [worst_count], the worst first */
    int worst_count;
} eval_report;

/* Walks the results file that is complete, writes --csv, --per-picture and --confusion; says what is wrong.
 */
int report_make(const char *path, eval_report *report);
void report_release(eval_report *report);

/* The report on stdout: a table, or with --json one line. */
void report_show(const eval_report *report);

#endif
