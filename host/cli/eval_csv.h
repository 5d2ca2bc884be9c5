/* eval_csv.h — results of `t2d eval` as tables for other programs; and how a table quotes. */
#ifndef T2D_EVAL_CSV_H
#define T2D_EVAL_CSV_H

#include "eval/eval.h"

/* A field: in quotes where it has to be. */
void csv_text(FILE *f, const char *text);

/* class,iou,accuracy,both,truth,found; what does not exist is empty. */
t2d_status class_csv_write(const char *path, const json_t *names, const t2d_class_count *classes, int labels,
                           t2d_error *err);

/* A row per picture: picture,name,failed,miou,accuracy,pixels,ignored, then the IoU of every class. */
typedef struct picture_csv picture_csv;
t2d_status picture_csv_open(picture_csv **csv, const char *path, const json_t *head, t2d_error *err);
t2d_status picture_csv_add(picture_csv *csv, const t2d_record *record, t2d_error *err);
t2d_status picture_csv_commit(picture_csv *csv, t2d_error *err);
void picture_csv_close(picture_csv *csv); /* NULL is harmless; without commit nothing is left */

#endif
