/* eval_show.c — the report on stdout: a table for people, one line of JSON for programs.  Both say what was
 * decided, what is published, and in what the two differ. */
#include "cli/eval_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const stages[T2D_STAGES] = {"read", "wait", "segment", "count"};

static const json_t *decides(const eval_report *r) { return json_object_get(r->head, "decides"); }
static const json_t *preset(const eval_report *r) { return json_object_get(decides(r), "preset"); }

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* Pictures a second of one process: what it did one after the other.  Reading and counting are beside that.
 */
static double rate(const t2d_tally *t)
{
    const double seconds = t->seconds[T2D_STAGE_WAIT] + t->seconds[T2D_STAGE_SEGMENT];
    return seconds > 0 ? (double)t->pictures / seconds : 0;
}

/* ---- for people ---- */

/* Percent with two decimals, as mmseg prints it; "-" where there is none. */
static const char *percent(double share, char room[16])
{
    if (isnan(share))
        snprintf(room, 16, "-");
    else
        snprintf(room, 16, "%.2f", 100 * share);
    return room;
}

static void show_classes(const eval_report *r)
{
    const json_t *names = json_object_get(decides(r), "classes");
    printf("  %-24s %7s %7s %15s\n", "class", "IoU", "acc", "pixels");
    for (int i = 0; i < r->tally.labels; i++) {
        char iou[16], accuracy[16];
        t2d_error name;
        t2d_fail(&name, T2D_OK, "%s", json_string_value(json_array_get(names, (size_t)i)));
        printf("  %-24.24s %7s %7s %15llu\n", name.message, percent(t2d_class_iou(&r->classes[i]), iou),
               percent(t2d_class_accuracy(&r->classes[i]), accuracy),
               (unsigned long long)r->classes[i].truth);
    }
}

static void show_numbers(const eval_report *r)
{
    char room[16];
    printf("\n  mIoU %7s", percent(r->metrics.mean_iou, room));
    if (r->has_interval)
        printf("   %.2f to %.2f in 95 %% of %d resampled sets of pictures", 100 * r->low, 100 * r->high,
               report_wants.rounds);
    printf("\n  mAcc %7s\n", percent(r->metrics.mean_accuracy, room));
    printf("  aAcc %7s\n", percent(r->metrics.all_accuracy, room));
}

static void show_published(const eval_report *r)
{
    const json_t *list = json_object_get(preset(r), "published"), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
        printf("%s mIoU %.1f  %s\n", i ? "          " : "\npublished ",
               json_number_value(json_object_get(entry, "miou")), text(entry, "of"));
    if (json_array_size(list)) printf("           (%s)\n", text(preset(r), "published_source"));
    json_t *differences = t2d_differences(r->head, &r->tally);
    json_array_foreach(differences, i, entry)
        printf("%s %s\n", i ? "         " : "\ndiffers  ", json_string_value(entry));
    json_decref(differences);
}

static void show_speed(const eval_report *r)
{
    const t2d_tally *t = &r->tally;
    if (t->pictures == 0) return;
    printf("\nspeed     %.3g pictures/s; a picture: ", rate(t));
    for (int s = 0; s < T2D_STAGES; s++)
        printf("%s%s %.3g ms%s", s ? ", " : "", stages[s], 1e3 * t->seconds[s] / (double)t->pictures,
               s == T2D_STAGE_READ || s == T2D_STAGE_COUNT ? " (beside the rest)" : "");
    putchar('\n');
}

static void show_protocol(const eval_report *r)
{
    const json_t *d = decides(r), *steps = json_object_get(d, "steps"),
                 *ran = json_object_get(r->head, "ran");
    const json_t *background = json_object_get(d, "background");
    const char *key;
    json_t *value;
    printf("\nprotocol  t2d %s, %s, %s on %s\n", text(d, "version"), text(d, "dtype"), text(d, "device"),
           text(ran, "device_name"));
    printf("          model %s, checksum %s\n", text(ran, "model"), text(d, "model"));
    printf("          data %s, names %s, bytes %016llx\n", text(ran, "data"), text(d, "picture_names"),
           (unsigned long long)r->tally.hash);
    printf("          preset %s, %s\n", text(preset(r), "name"), text(d, "preset_hash"));
    printf("          prompts %s (%zu)\n", text(d, "templates"),
           json_array_size(json_object_get(d, "prompts")));
    if (json_is_null(background))
        printf("          no background");
    else
        printf("          background %g", json_number_value(background));
    printf(", cleaning %s, PAMR %s\n", json_is_true(json_object_get(d, "bg_clean")) ? "on" : "off",
           json_is_true(json_object_get(d, "pamr")) ? "on" : "off");
    printf("          size %lld, stride %lld, short side %lld, long side %lld\n",
           (long long)json_integer_value(json_object_get(d, "size")),
           (long long)json_integer_value(json_object_get(d, "stride")),
           (long long)json_integer_value(json_object_get(d, "short_side")),
           (long long)json_integer_value(json_object_get(d, "long_side")));
    json_object_foreach((json_t *)steps, key, value)
        printf("          %s: %s\n", key, json_string_value(value));
}

static void show_table(const eval_report *r)
{
    const t2d_tally *t = &r->tally;
    printf("%s: %s\n%lld pictures counted, %lld failed; %lld pixels, %lld ignored\n\n",
           text(preset(r), "name"), text(preset(r), "title"), (long long)t->pictures, (long long)t->failed,
           (long long)t->pixels, (long long)t->ignored);
    show_classes(r);
    show_numbers(r);
    for (int i = 0; i < r->worst_count; i++)
        printf("%s %5.2f  %s\n", i ? "       " : "\nworst  ", 100 * r->worst[i].iou, r->worst[i].name);
    show_published(r);
    show_speed(r);
    show_protocol(r);
    printf("\nresults   %s\n", r->path);
}

/* ---- for programs ---- */

static json_t *number(double value) { return isnan(value) ? json_null() : json_real(value); }

static json_t *class_list(const eval_report *r)
{
    const json_t *names = json_object_get(decides(r), "classes");
    json_t *list = json_array();
    for (int i = 0; i < r->tally.labels; i++) {
        const t2d_class_count *c = &r->classes[i];
        json_array_append_new(list, json_pack("{s:O, s:o, s:o, s:I, s:I, s:I}", "name",
                                              json_array_get(names, (size_t)i), "iou",
                                              number(t2d_class_iou(c)), "accuracy",
                                              number(t2d_class_accuracy(c)), "both", (json_int_t)c->both,
                                              "truth", (json_int_t)c->truth, "found", (json_int_t)c->found));
    }
    return list;
}

static json_t *worst_list(const eval_report *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->worst_count; i++)
        json_array_append_new(list, json_pack("{s:I, s:s, s:f}", "picture", (json_int_t)r->worst[i].picture,
                                              "name", r->worst[i].name, "miou", r->worst[i].iou));
    return list;
}

static void show_json(const eval_report *r)
{
    const t2d_tally *t = &r->tally;
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)t->hash);
    json_t *line =
        json_pack("{s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "preset", text(preset(r), "name"), "miou",
                  number(r->metrics.mean_iou), "macc", number(r->metrics.mean_accuracy), "aacc",
                  number(r->metrics.all_accuracy), "pictures", (json_int_t)t->pictures, "failed",
                  (json_int_t)t->failed, "pixels", (json_int_t)t->pixels, "ignored", (json_int_t)t->ignored);
    if (r->has_interval)
        json_object_set_new(line, "interval",
                            json_pack("{s:f, s:f, s:i, s:i}", "low", r->low, "high", r->high, "rounds",
                                      report_wants.rounds, "seed", report_wants.seed));
    json_object_set_new(line, "classes", class_list(r));
    if (report_wants.worst > 0) json_object_set_new(line, "worst", worst_list(r));
    json_t *seconds = json_object();
    for (int s = 0; s < T2D_STAGES; s++) json_object_set_new(seconds, stages[s], json_real(t->seconds[s]));
    json_object_set_new(line, "seconds", seconds);
    json_object_set_new(line, "pictures_per_second", json_real(rate(t)));
    json_object_set_new(line, "data_hash", json_string(hash));
    json_object_set(line, "published", json_object_get(preset(r), "published"));
    json_object_set(line, "published_source", json_object_get(preset(r), "published_source"));
    json_object_set_new(line, "differences", t2d_differences(r->head, t));
    json_object_set(line, "decides", (json_t *)decides(r));
    json_object_set(line, "ran", json_object_get(r->head, "ran"));
    json_object_set_new(line, "results", json_string(r->path));
    print_json(line);
}

void report_show(const eval_report *report)
{
    if (common.json)
        show_json(report);
    else
        show_table(report);
}
