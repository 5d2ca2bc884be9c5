/* look.c — a picture twice, side by side: what was found, what is true. */
#include "eval/eval.h"
#include "io/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 80 };

typedef struct look {
    t2d_image image; /* twice as wide */
    t2d_mask mask;   /* one label more: pixels that do not count */
    uint8_t *palette;
    char (*texts)[NAME];
    const char **names;
} look;

static t2d_status look_init(look *l, const t2d_preset *preset, const t2d_image *picture, t2d_error *err)
{
    const size_t labels = (size_t)preset->label_count + 1;
    const size_t pixels = 2 * (size_t)picture->width * (size_t)picture->height;
    *l = (look){.image = {2 * picture->width, picture->height, t2d_new(pixels, 3, "overlay", err)},
                .mask = {2 * picture->width, picture->height, (int)labels,
                         t2d_new(pixels, sizeof(uint16_t), "overlay", err)},
                .palette = t2d_new(labels, 3, "overlay", err),
                .texts = t2d_new(labels, sizeof *l->texts, "overlay", err),
                .names = t2d_new(labels, sizeof *l->names, "overlay", err)};
    return l->image.pixels && l->mask.ids && l->palette && l->texts && l->names ? T2D_OK : T2D_E_MEMORY;
}

static void look_release(look *l)
{
    free(l->image.pixels);
    free(l->mask.ids);
    free(l->palette);
    free(l->texts);
    free(l->names);
}

static void copy_pixels(look *l, const t2d_sample *sample, const t2d_mask *found)
{
    const size_t width = (size_t)found->width;
    const uint16_t uncounted = (uint16_t)(l->mask.labels - 1);
    for (size_t y = 0; y < (size_t)found->height; y++) {
        const uint8_t *line = sample->picture.pixels + y * width * 3;
        memcpy(l->image.pixels + 2 * y * width * 3, line, width * 3);
        memcpy(l->image.pixels + (2 * y + 1) * width * 3, line, width * 3);
        const uint16_t *truth = sample->truth.values + y * width;
        uint16_t *ids = l->mask.ids + 2 * y * width;
        memcpy(ids, found->ids + y * width, width * sizeof *ids);
        for (size_t x = 0; x < width; x++) ids[width + x] = truth[x] == T2D_IGNORED ? uncounted : truth[x];
    }
}

static t2d_status name_labels(look *l, const t2d_preset *preset, const t2d_sample *sample,
                              const t2d_mask *found, t2d_error *err)
{
    static const uint8_t UNCOUNTED[3] = {224, 224, 192};
    t2d_counter counter;
    t2d_tally tally = {0};
    t2d_class_count *classes = t2d_new((size_t)preset->label_count, sizeof *classes, "overlay", err);
    t2d_status status = t2d_counter_init(&counter, preset->label_count, err);
    if (status == T2D_OK) status = t2d_tally_init(&tally, preset->label_count, err);
    if (status == T2D_OK && classes) status = t2d_counter_count(&counter, &sample->truth, found, err);
    if (status == T2D_OK && classes) {
        t2d_tally_add(&tally, &(t2d_record){.cells = counter.cells, .cell_count = counter.count});
        t2d_tally_classes(&tally, classes);
        for (int i = 0; i < preset->label_count; i++) {
            const double iou = t2d_class_iou(&classes[i]);
            const int length = (int)strcspn(preset->classes[i], ";");
            snprintf(l->texts[i], NAME, "%.*s, IoU %.0f", length < 60 ? length : 60, preset->classes[i],
                     isnan(iou) ? 0 : 100 * iou);
            l->names[i] = l->texts[i];
        }
        l->names[preset->label_count] = "not counted";
        memcpy(l->palette, preset->palette, (size_t)preset->label_count * 3);
        memcpy(l->palette + (size_t)preset->label_count * 3, UNCOUNTED, 3);
    }
    t2d_counter_release(&counter);
    t2d_tally_release(&tally);
    free(classes);
    return classes ? status : T2D_E_MEMORY;
}

t2d_status t2d_look_write(const char *path, const t2d_preset *preset, const t2d_sample *sample,
                          const t2d_mask *found, t2d_error *err)
{
    look l;
    t2d_status status = look_init(&l, preset, &sample->picture, err);
    if (status == T2D_OK) status = name_labels(&l, preset, sample, found, err);
    if (status == T2D_OK) {
        copy_pixels(&l, sample, found);
        status = t2d_overlay_write_coloured(path, &l.image, &l.mask, l.names, l.palette, 0.6F, false, err);
    }
    look_release(&l);
    return status;
}
