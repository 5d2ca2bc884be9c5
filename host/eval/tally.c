/* tally.c — adding up the records of pictures. */
#include "eval/eval.h"

#include <stdlib.h>

t2d_status t2d_tally_init(t2d_tally *tally, int labels, t2d_error *err)
{
    *tally = (t2d_tally){.labels = labels};
    tally->confusion = t2d_new((size_t)labels * (size_t)labels, sizeof *tally->confusion, "counts", err);
    return tally->confusion ? T2D_OK : T2D_E_MEMORY;
}

void t2d_tally_release(t2d_tally *tally)
{
    free(tally->confusion);
    *tally = (t2d_tally){0};
}

void t2d_tally_add(t2d_tally *tally, const t2d_record *record)
{
    if (record->failed) {
        tally->failed++;
        return;
    }
    for (size_t i = 0; i < record->cell_count; i++) {
        const t2d_cell *c = &record->cells[i];
        tally->confusion[(size_t)c->truth * (size_t)tally->labels + c->found] += c->pixels;
        tally->pixels += c->pixels;
    }
    tally->pictures++;
    tally->ignored += record->ignored;
    tally->by_file[record->file]++;
    tally->hash += record->hash;
    for (int s = 0; s < T2D_STAGES; s++) tally->seconds[s] += record->seconds[s];
}

void t2d_tally_classes(const t2d_tally *tally, t2d_class_count *classes)
{
    const size_t n = (size_t)tally->labels;
    for (size_t c = 0; c < n; c++) {
        classes[c] = (t2d_class_count){.both = tally->confusion[c * n + c]};
        for (size_t k = 0; k < n; k++) {
            classes[c].truth += tally->confusion[c * n + k];
            classes[c].found += tally->confusion[k * n + c];
        }
    }
}
