/* count.c — how often truth and finding meet, in one picture.
 * Regions are wide and flat, so runs of the same pair are added at once; and only the pairs that occur are
 * kept: a picture of 150 classes has some dozens of them. */
#include "eval/eval.h"

#include <assert.h>
#include <stdlib.h>

t2d_status t2d_counter_init(t2d_counter *counter, int labels, t2d_error *err)
{
    *counter = (t2d_counter){.labels = labels};
    counter->matrix = t2d_new((size_t)labels * (size_t)labels, sizeof *counter->matrix, "counts", err);
    return counter->matrix ? T2D_OK : T2D_E_MEMORY;
}

void t2d_counter_release(t2d_counter *counter)
{
    free(counter->matrix);
    free(counter->cells);
    *counter = (t2d_counter){0};
}

static t2d_status add_cell(t2d_counter *c, uint16_t truth, uint16_t found, uint32_t pixels, t2d_error *err)
{
    if (c->count == c->capacity) {
        const size_t more = c->capacity ? 2 * c->capacity : 256;
        t2d_cell *cells = realloc(c->cells, more * sizeof *cells);
        if (!cells) return t2d_fail(err, T2D_E_MEMORY, "counts: out of memory");
        c->cells = cells;
        c->capacity = more;
    }
    c->cells[c->count++] = (t2d_cell){truth, found, pixels};
    return T2D_OK;
}

static int by_pair(const void *a, const void *b)
{
    const t2d_cell *x = a, *y = b;
    return x->truth != y->truth ? x->truth - y->truth : x->found - y->found;
}

/* Moves the sums from the matrix to the cells, and leaves it zero. */
static void collect(t2d_counter *c)
{
    for (size_t i = 0; i < c->count; i++) {
        uint32_t *sum = &c->matrix[(size_t)c->cells[i].truth * (size_t)c->labels + c->cells[i].found];
        c->cells[i].pixels = *sum;
        *sum = 0;
    }
    if (c->count > 0) qsort(c->cells, c->count, sizeof *c->cells, by_pair);
}

t2d_status t2d_counter_count(t2d_counter *counter, const t2d_labels *truth, const t2d_mask *mask,
                             t2d_error *err)
{
    assert(truth->width == mask->width && truth->height == mask->height && mask->labels == counter->labels);
    const size_t pixels = (size_t)mask->width * (size_t)mask->height;
    t2d_status status = T2D_OK;
    counter->count = 0;
    counter->ignored = 0;
    for (size_t i = 0, next; status == T2D_OK && i < pixels; i = next) {
        const uint16_t t = truth->values[i], f = mask->ids[i];
        for (next = i + 1; next < pixels && truth->values[next] == t && mask->ids[next] == f;) next++;
        if (t == T2D_IGNORED) {
            counter->ignored += (int64_t)(next - i);
            continue;
        }
        assert(t < counter->labels && f < counter->labels);
        uint32_t *sum = &counter->matrix[(size_t)t * (size_t)counter->labels + f];
        if (*sum == 0) status = add_cell(counter, t, f, 0, err);
        if (status == T2D_OK) *sum += (uint32_t)(next - i);
    }
    collect(counter);
    return status;
}

t2d_status t2d_counter_read(t2d_counter *counter, const uint32_t *table, int64_t pixels, t2d_error *err)
{
    const uint16_t labels = (uint16_t)counter->labels;
    t2d_status status = T2D_OK;
    counter->count = 0;
    counter->ignored = pixels;
    for (uint16_t t = 0; t < labels; t++, table += labels)
        for (uint16_t f = 0; status == T2D_OK && f < labels; f++) {
            if (table[f] > 0) status = add_cell(counter, t, f, table[f], err);
            counter->ignored -= table[f];
        }
    return status;
}
