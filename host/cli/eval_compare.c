/* eval_compare.c — is A better than B, or were these pictures kind to it?
 * Both files are walked side by side and every round of the bootstrap draws the same pictures for both, so
 * that what makes a picture hard cancels out of the difference. */
#include "cli/eval_compare.h"
#include "cli/eval_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct side {
    t2d_reader reader;
    t2d_record record;
    bool found;
    t2d_tally tally;
    t2d_bootstrap bootstrap;
    t2d_metrics metrics;
} side;

static t2d_status side_open(side *s, const char *path, t2d_error *err)
{
    t2d_status status = t2d_reader_open(&s->reader, path, err);
    if (status) return status;
    if (!s->reader.head) return t2d_fail(err, T2D_E_FORMAT, "%s: empty", path);
    if (s->reader.step != 1)
        return t2d_fail(err, T2D_E_ARGUMENT, "%s is one shard; t2d merge makes a whole of shards", path);
    status = t2d_tally_init(&s->tally, s->reader.labels, err);
    if (status) return status;
    return t2d_bootstrap_init(&s->bootstrap, report_wants.rounds > 0 ? report_wants.rounds : ROUNDS,
                              s->reader.labels, (uint64_t)report_wants.seed, err);
}

static void side_close(side *s)
{
    t2d_reader_close(&s->reader);
    t2d_tally_release(&s->tally);
    t2d_bootstrap_release(&s->bootstrap);
}

static t2d_status side_advance(side *s, t2d_error *err)
{
    const t2d_status status = t2d_reader_next(&s->reader, &s->record, &s->found, err);
    if (status == T2D_OK && !s->found && s->reader.at < s->reader.pictures)
        return t2d_fail(err, T2D_E_FORMAT, "%s holds %lld of %lld pictures: finish it with t2d eval",
                        s->reader.path, (long long)s->reader.at, (long long)s->reader.pictures);
    return status;
}

static t2d_status check_pair(const side *a, const side *b, t2d_error *err)
{
    const json_t *da = json_object_get(a->reader.head, "decides"),
                 *db = json_object_get(b->reader.head, "decides");
    static const char *const keys[] = {"labels", "classes", "pictures", "picture_names"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!json_equal(json_object_get(da, keys[i]), json_object_get(db, keys[i])))
            return t2d_fail(err, T2D_E_ARGUMENT,
                            "%s and %s are not about the same pictures and classes (%s differ)",
                            a->reader.path, b->reader.path, keys[i]);
    return T2D_OK;
}

static void side_add(side *s)
{
    t2d_tally_add(&s->tally, &s->record);
    t2d_bootstrap_add(&s->bootstrap, &s->record);
}

/* A picture that failed in one counts in neither. */
static t2d_status walk(side *a, side *b, int64_t *left_out, t2d_error *err)
{
    t2d_status status = check_pair(a, b, err);
    while (status == T2D_OK) {
        status = side_advance(a, err);
        if (status == T2D_OK) status = side_advance(b, err);
        if (status || !a->found || !b->found) break;
        if (a->record.failed || b->record.failed) {
            ++*left_out;
            continue;
        }
        if (a->record.hash != b->record.hash)
            return t2d_fail(err, T2D_E_ARGUMENT, "picture '%.100s' or its labels changed between %s and %s",
                            a->record.name, a->reader.path, b->reader.path);
        side_add(a);
        side_add(b);
    }
    return status;
}

static t2d_status measure(side *s, t2d_error *err)
{
    t2d_class_count *classes = t2d_new((size_t)s->tally.labels, sizeof *classes, "comparison", err);
    if (!classes) return T2D_E_MEMORY;
    t2d_tally_classes(&s->tally, classes);
    s->metrics = t2d_metrics_of(classes, s->tally.labels);
    free(classes);
    return T2D_OK;
}

typedef struct verdict {
    double difference, low, high, share; /* share: of rounds in which A is above B */
    bool has_interval;
} verdict;

static t2d_status judge(side *a, side *b, verdict *v, t2d_error *err)
{
    const int rounds = a->bootstrap.rounds;
    double *values = t2d_new((size_t)rounds, sizeof *values, "comparison", err);
    t2d_status status = values ? measure(a, err) : T2D_E_MEMORY;
    if (status == T2D_OK) status = measure(b, err);
    if (status == T2D_OK) {
        int above = 0;
        for (int r = 0; r < rounds; r++) {
            values[r] = t2d_bootstrap_iou(&a->bootstrap, r) - t2d_bootstrap_iou(&b->bootstrap, r);
            above += values[r] > 0;
        }
        v->difference = a->metrics.mean_iou - b->metrics.mean_iou;
        v->share = (double)above / rounds;
        v->has_interval = t2d_interval(values, rounds, &v->low, &v->high);
    }
    free(values);
    return status;
}

static void show(const side *a, const side *b, const verdict *v, int64_t left_out)
{
    if (common.json) {
        json_t *line =
            json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:I, s:I}", "a", a->reader.path,
                      "b", b->reader.path, "a_miou", a->metrics.mean_iou, "b_miou", b->metrics.mean_iou,
                      "difference", v->difference, "low", v->low, "high", v->high, "share_above", v->share,
                      "rounds", a->bootstrap.rounds, "seed", report_wants.seed, "pictures",
                      (json_int_t)a->tally.pictures, "left_out", (json_int_t)left_out);
        print_json(line);
        return;
    }
    printf("A  mIoU %6.2f  %s\nB  mIoU %6.2f  %s\n", 100 * a->metrics.mean_iou, a->reader.path,
           100 * b->metrics.mean_iou, b->reader.path);
    printf("A - B  %+6.2f  from %+.2f to %+.2f in 95 %% of %d resampled sets of %lld pictures; above 0 in "
           "%.1f %%\n",
           100 * v->difference, 100 * v->low, 100 * v->high, a->bootstrap.rounds,
           (long long)a->tally.pictures, 100 * v->share);
    if (left_out > 0)
        printf("%lld pictures failed in one of them and count in neither\n", (long long)left_out);
}

int compare_results(const char *a_path, const char *b_path)
{
    t2d_error err;
    side a = {0}, b = {0};
    verdict v = {0};
    int64_t left_out = 0;
    t2d_status status = side_open(&a, a_path, &err);
    if (status == T2D_OK) status = side_open(&b, b_path, &err);
    if (status == T2D_OK) status = walk(&a, &b, &left_out, &err);
    if (status == T2D_OK) status = judge(&a, &b, &v, &err);
    if (status == T2D_OK && !v.has_interval)
        status = t2d_fail(&err, T2D_E_FORMAT, "%s and %s have no picture in common that was counted", a_path,
                          b_path);
    if (status == T2D_OK) show(&a, &b, &v, left_out);
    side_close(&a);
    side_close(&b);
    if (status == T2D_OK) return EXIT_GOOD;
    return complain(status == T2D_E_ARGUMENT ? EXIT_MISUSE : code_of_input(status), &err);
}
