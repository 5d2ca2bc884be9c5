/* eval_csv.c — CSV as RFC 4180 has it: a text with a comma, a quote or a line end stands in quotes. */
#include "cli/eval_csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void csv_text(FILE *f, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"') fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

/* Nine digits tell any two counts of a picture apart; what does not exist is empty. */
static void put_number(FILE *f, double value)
{
    if (isnan(value))
        fputc(',', f);
    else
        fprintf(f, ",%.9f", value);
}

static const char *name_of(const json_t *names, int index)
{
    const char *name = json_string_value(json_array_get(names, (size_t)index));
    return name ? name : "";
}

t2d_status class_csv_write(const char *path, const json_t *names, const t2d_class_count *classes, int labels,
                           t2d_error *err)
{
    t2d_outfile out;
    const t2d_status status = t2d_outfile_open(&out, path, err);
    if (status) return status;
    fputs("class,iou,accuracy,both,truth,found\n", out.stream);
    for (int i = 0; i < labels; i++) {
        const t2d_class_count *c = &classes[i];
        csv_text(out.stream, name_of(names, i));
        put_number(out.stream, t2d_class_iou(c));
        put_number(out.stream, t2d_class_accuracy(c));
        fprintf(out.stream, ",%llu,%llu,%llu\n", (unsigned long long)c->both, (unsigned long long)c->truth,
                (unsigned long long)c->found);
    }
    return t2d_outfile_commit(&out, err);
}

struct picture_csv {
    t2d_outfile out;
    int labels;
    t2d_class_count *classes;
};

t2d_status picture_csv_open(picture_csv **csv, const char *path, const json_t *head, t2d_error *err)
{
    const json_t *names = json_object_get(json_object_get(head, "decides"), "classes");
    picture_csv *c = *csv = t2d_new(1, sizeof *c, "table", err);
    if (!c) return T2D_E_MEMORY;
    c->labels = (int)json_array_size(names);
    c->classes = t2d_new((size_t)c->labels, sizeof *c->classes, "table", err);
    if (!c->classes) return T2D_E_MEMORY;
    const t2d_status status = t2d_outfile_open(&c->out, path, err);
    if (status) return status;
    fputs("picture,name,failed,miou,accuracy,pixels,ignored", c->out.stream);
    for (int i = 0; i < c->labels; i++) {
        fputc(',', c->out.stream);
        csv_text(c->out.stream, name_of(names, i));
    }
    fputc('\n', c->out.stream);
    return T2D_OK;
}

/* The sums of one picture's cells. */
static void sum_cells(picture_csv *c, const t2d_record *record)
{
    memset(c->classes, 0, (size_t)c->labels * sizeof *c->classes);
    for (size_t i = 0; i < record->cell_count; i++) {
        const t2d_cell *cell = &record->cells[i];
        c->classes[cell->truth].truth += cell->pixels;
        c->classes[cell->found].found += cell->pixels;
        if (cell->truth == cell->found) c->classes[cell->truth].both += cell->pixels;
    }
}

t2d_status picture_csv_add(picture_csv *c, const t2d_record *record, t2d_error *err)
{
    FILE *f = c->out.stream;
    fprintf(f, "%lld,", (long long)record->picture);
    csv_text(f, record->name);
    fputc(',', f);
    csv_text(f, record->failed ? record->failed : "");
    sum_cells(c, record);
    const t2d_metrics m = t2d_metrics_of(c->classes, c->labels);
    const long long pixels = (long long)record->width * record->height - record->ignored;
    put_number(f, m.mean_iou);
    put_number(f, m.all_accuracy);
    fprintf(f, ",%lld,%lld", pixels, (long long)record->ignored);
    for (int i = 0; i < c->labels; i++) put_number(f, t2d_class_iou(&c->classes[i]));
    return fputc('\n', f) == EOF ? t2d_fail(err, T2D_E_IO, "%s: cannot write", c->out.path) : T2D_OK;
}

t2d_status picture_csv_commit(picture_csv *c, t2d_error *err) { return t2d_outfile_commit(&c->out, err); }

void picture_csv_close(picture_csv *c)
{
    if (!c) return;
    t2d_outfile_abort(&c->out);
    free(c->classes);
    free(c);
}
