/* layout.h — which tensors a model file holds: their names and shapes, from a config alone.
 * The reader checks a file against this list; the loader asks for the same names. */
#ifndef T2D_LAYOUT_H
#define T2D_LAYOUT_H

#include "model/model.h"

typedef struct t2d_layout_entry {
    char name[96];
    int rank;
    int64_t shape[4];
} t2d_layout_entry;

/* Calls `visit` for every tensor of such a model until it returns false; returns whether all were visited. */
typedef bool t2d_layout_visit(void *context, const t2d_layout_entry *entry);
bool t2d_layout_each(const t2d_config *config, t2d_layout_visit *visit, void *context);

#endif
