/* metrics.c — from pixels to the numbers of the tables, as mmseg defines them (core/evaluation/metrics.py):
 * IoU = both / (truth + found - both), accuracy = both / truth, means over the classes for which the quotient
 * exists (nanmean).  mmseg adds up in fp32 tensors, which round beyond 2^24; these are 64-bit integers. */
#include "eval/eval.h"

#include <math.h>

static double quotient(uint64_t a, uint64_t b) { return b ? (double)a / (double)b : (double)NAN; }

double t2d_class_iou(const t2d_class_count *c) { return quotient(c->both, c->truth + c->found - c->both); }
double t2d_class_accuracy(const t2d_class_count *c) { return quotient(c->both, c->truth); }

typedef struct mean {
    double sum;
    int count;
} mean;

static void add(mean *m, double value)
{
    if (isnan(value)) return;
    m->sum += value;
    m->count++;
}

static double value(const mean *m) { return m->count ? m->sum / m->count : (double)NAN; }

t2d_metrics t2d_metrics_of(const t2d_class_count *classes, int labels)
{
    uint64_t both = 0, truth = 0;
    mean iou = {0}, accuracy = {0};
    for (int i = 0; i < labels; i++) {
        both += classes[i].both;
        truth += classes[i].truth;
        add(&iou, t2d_class_iou(&classes[i]));
        add(&accuracy, t2d_class_accuracy(&classes[i]));
    }
    return (t2d_metrics){quotient(both, truth), value(&iou), value(&accuracy)};
}

double t2d_cells_iou(const t2d_cell *cells, size_t count, t2d_class_count *room)
{
    mean iou = {0};
    for (size_t i = 0; i < count; i++) {
        room[cells[i].truth].truth += cells[i].pixels;
        room[cells[i].found].found += cells[i].pixels;
        if (cells[i].truth == cells[i].found) room[cells[i].truth].both += cells[i].pixels;
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t labels[2] = {cells[i].truth, cells[i].found};
        for (int k = 0; k < 2; k++) {
            add(&iou, t2d_class_iou(&room[labels[k]]));
            room[labels[k]] = (t2d_class_count){0}; /* counted once: then it is 0 / 0 */
        }
    }
    return value(&iou);
}
