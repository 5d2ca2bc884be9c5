/* cmd_bench.c — the time from a picture in memory to its mask, after the answers were checked. */
#include "bench/random_model.h"
#include "cli/bench_report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_SIDE = 16384, ITERATIONS = 20, WARMUP = 2, CLASSES = 21 };

static struct {
    const char *arch, *picture, *csv, *compare;
    int scenario, batch, classes, whole, size, stride, warmup, iterations, seed, stages;
    float seconds;
} opt = {.picture = "640x480", .classes = CLASSES, .warmup = WARMUP};

static const char *const scenarios[] = {"single-stream", "offline"};

static const arg_option options[] = {
    OPTION_MODEL,
    {ARG_TEXT, 0, "arch", "NAME",
     "instead: random weights; vit-s14, -b14, -l14, each also with -reg4 (vit-b14-reg4)", &opt.arch, 0, 0},
    {ARG_HEADING, 0, NULL, NULL, "what is timed:", NULL, 0, 0},
    {ARG_CHOICE, 0, "mode", "single-stream|offline",
     "one picture after the other (default), or batches of them", &opt.scenario, 0, 0},
    {ARG_INT, 0, "batch", "N", "pictures of a batch (default: what fills a pass)", &opt.batch, 1, 1024},
    {ARG_TEXT, 0, "picture", "WxH", "size of the random pictures (640x480)", &opt.picture, 0, 0},
    {ARG_INT, 0, "classes", "N", "number of classes (21)", &opt.classes, 1, 10000},
    {ARG_FLAG, 0, "whole", NULL, "one window a picture, instead of sliding ones", &opt.whole, 0, 0},
    {ARG_INT, 0, "size", "N", "side of a window, a multiple of the patch (default: the model's)", &opt.size,
     1, 8192},
    {ARG_INT, 0, "stride", "N", "step between windows (default: the model's)", &opt.stride, 1, 8192},
    {ARG_INT, 0, "seed", "N", "of the pictures, and of --arch's weights (0)", &opt.seed, 0, INT32_MAX},
    {ARG_HEADING, 0, NULL, NULL, "how often:", NULL, 0, 0},
    {ARG_INT, 0, "warmup", "N", "calls before those that count (2)", &opt.warmup, 0, 1000000},
    {ARG_INT, 0, "iterations", "N", "calls that count (20)", &opt.iterations, 1, 10000000},
    {ARG_FLOAT, 0, "seconds", "S", "instead: calls until they took so long", &opt.seconds, 0.001, 1e6},
    {ARG_HEADING, 0, NULL, NULL, "results:", NULL, 0, 0},
    {ARG_FLAG, 0, "stages", NULL, "as many calls again, each taken apart by stage and operation", &opt.stages,
     0, 0},
    {ARG_TEXT, 0, "csv", "FILE", "add a row to this table", &opt.csv, 0, 0},
    {ARG_TEXT, 0, "compare", "OLD.json", "how this run stands to one that --json wrote", &opt.compare, 0, 0},
    {ARG_HEADING, 0, NULL, NULL, "machine and talk:", NULL, 0, 0},
    OPTIONS_DEVICE,
    OPTIONS_TALK,
};

typedef struct job {
    t2d_random_model random; /* of --arch */
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
    t2d_bench_plan plan;
    json_t *old;
    bench_report report;
} job;

/* ---- what was asked for ---- */

static bool read_side(const char **text, int *side)
{
    char *end;
    const long value = **text >= '1' && **text <= '9' ? strtol(*text, &end, 10) : 0;
    if (value < 1 || value > MOST_SIDE) return false;
    *side = (int)value;
    *text = end;
    return true;
}

static int read_picture(t2d_bench_plan *p)
{
    const char *at = opt.picture;
    if (read_side(&at, &p->width) && *at++ == 'x' && read_side(&at, &p->height) && *at == '\0')
        return EXIT_GOOD;
    return complain_text(EXIT_MISUSE, "--picture %s: want WIDTHxHEIGHT like 640x480, sides of 1 to %d",
                         opt.picture, MOST_SIDE);
}

static int check_usage(int operands)
{
    if (operands > 0)
        return complain_text(EXIT_MISUSE, "bench takes no operand: its pictures are random, see --picture");
    if (opt.arch && common.model)
        return complain_text(EXIT_MISUSE, "--arch and -m exclude each other: --arch makes a model");
    if (opt.iterations && opt.seconds > 0)
        return complain_text(EXIT_MISUSE, "--iterations and --seconds exclude each other");
    if (opt.batch > 1 && opt.scenario == T2D_SINGLE_STREAM)
        return complain_text(EXIT_MISUSE,
                             "--batch %d wants --mode offline: a single stream has one picture "
                             "at a time",
                             opt.batch);
    if (opt.whole && opt.stride)
        return complain_text(EXIT_MISUSE, "--stride and --whole exclude each other: --whole has one window");
    return EXIT_GOOD;
}

static int what_fills_a_pass(const job *j)
{
    const t2d_segment_options *o = &j->plan.options;
    const int side = o->size / j->engine->model.config.vision.patch;
    const int tokens = j->report.windows * (t2d_prefix_tokens(j->engine) + side * side);
    const int batch = t2d_session_tokens(j->session, NULL) / tokens;
    return batch > 1 ? batch : 1;
}

static void decide(job *j)
{
    t2d_bench_plan *p = &j->plan;
    t2d_segment_options *o = &p->options;
    t2d_segment_defaults(j->engine, o);
    o->mode = opt.whole ? T2D_WHOLE : T2D_SLIDE;
    o->size = opt.size ? opt.size : o->size;
    o->stride = opt.stride ? opt.stride : o->stride < o->size ? o->stride : o->size;
    p->warmup = opt.warmup;
    p->seconds = (double)opt.seconds;
    p->iterations = opt.iterations ? opt.iterations : opt.seconds > 0 ? 0 : ITERATIONS;
    p->seed = (uint64_t)opt.seed;
    p->stages = j->report.stages = opt.stages;
    j->report.windows = t2d_windows_of(o, p->width, p->height, NULL, NULL);
    p->batch = opt.batch ? opt.batch : opt.scenario == T2D_SINGLE_STREAM ? 1 : what_fills_a_pass(j);
}

/* ---- what is written down with the numbers ---- */

static int name_model(const job *j, json_t *settings)
{
    t2d_error err;
    t2d_st_file *file;
    const char *path = opt.arch ? j->random.path : common.model ? common.model : getenv("T2D_MODEL");
    const t2d_status status = t2d_st_open(path, &file, &err);
    if (status != T2D_OK) return complain(code_of_input(status), &err);
    const char *checksum = t2d_st_meta(file, "checksum.__metadata__");
    json_object_set_new(settings, "model",
                        opt.arch ? json_sprintf("%s, random weights of seed %d", opt.arch, opt.seed)
                                 : json_string(path));
    json_object_set_new(settings, "model_checksum", json_string(checksum ? checksum : "none"));
    t2d_st_close(file);
    return EXIT_GOOD;
}

static int write_settings(job *j)
{
    const t2d_bench_plan *p = &j->plan;
    const t2d_segment_options *o = &p->options;
    t2d_engine_info info;
    t2d_engine_describe(j->engine, &info);
    json_t *s = j->report.settings =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "scenario", scenarios[opt.scenario], "version",
                  t2d_version(), "device", info.device, "device_name", info.device_name, "dtype",
                  dtype_names[info.dtype], "threads", info.threads);
    const int code = name_model(j, s);
    json_object_set_new(s, "windows", json_string(opt.whole ? "whole" : "slide"));
    json_object_set_new(s, "size", json_integer(o->size));
    json_object_set_new(s, "stride", opt.whole ? json_null() : json_integer(o->stride));
    json_object_set_new(s, "short_side", opt.whole ? json_null() : json_integer(o->short_side));
    json_object_set_new(s, "long_side", opt.whole ? json_null() : json_integer(o->long_side));
    json_object_set_new(s, "picture", json_sprintf("%dx%d", p->width, p->height));
    json_object_set_new(s, "batch", json_integer(p->batch));
    json_object_set_new(s, "classes", json_integer(opt.classes));
    json_object_set_new(s, "seed", json_integer(opt.seed));
    json_object_set_new(s, "warmup", json_integer(p->warmup));
    json_object_set_new(s, "iterations", p->iterations ? json_integer(p->iterations) : json_null());
    json_object_set_new(s, "seconds", p->iterations ? json_null() : json_real(p->seconds));
    j->report.batch = p->batch;
    j->report.threads = info.threads;
    j->report.on_cpu = strcmp(info.device, "cpu") == 0;
    j->report.window_flop = t2d_window_flop(&j->engine->model.config, o->size);
    const time_t now = time(NULL);
    struct tm utc;
    strftime(j->report.started, sizeof j->report.started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    return code;
}

/* ---- the run ---- */

/* Their names do not matter for the time, nor does the number of prompts: encoding words is not timed. */
static int make_words(job *j)
{
    t2d_error err;
    char(*names)[32] = calloc((size_t)opt.classes, sizeof *names);
    const char **list = calloc((size_t)opt.classes, sizeof *list);
    t2d_status status = names && list ? T2D_OK : t2d_fail(&err, T2D_E_MEMORY, "class names: out of memory");
    for (int i = 0; status == T2D_OK && i < opt.classes; i++) {
        snprintf(names[i], sizeof names[i], "thing %d", i);
        list[i] = names[i];
    }
    const t2d_vocab_options one_prompt = {.templates = "identity"};
    if (status == T2D_OK)
        status = t2d_vocab_create(j->engine, list, opt.classes, &one_prompt, &j->vocab, &err);
    free(names);
    free(list);
    return status == T2D_OK ? EXIT_GOOD : complain(code_of_engine(status), &err);
}

static int make_model(job *j)
{
    t2d_error err;
    t2d_model_size size;
    if (t2d_model_size_find(opt.arch, &size, &err) != T2D_OK)
        return complain_text(EXIT_MISUSE, "--arch: %s", err.message);
    const t2d_status status = t2d_random_model_open(&size, (uint64_t)opt.seed, &j->random, &err);
    if (status != T2D_OK) return complain(EXIT_FAILED, &err);
    common.model = j->random.path;
    return EXIT_GOOD;
}

static int prepare(job *j)
{
    int code = opt.compare ? bench_old_read(opt.compare, &j->old) : EXIT_GOOD;
    if (code == EXIT_GOOD && opt.arch) code = make_model(j);
    if (code == EXIT_GOOD) code = open_engine(&j->engine);
    if (code == EXIT_GOOD) code = make_words(j);
    if (code != EXIT_GOOD) return code;
    t2d_error err;
    const t2d_status status = t2d_session_create(j->engine, &j->session, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    decide(j);
    code = write_settings(j);
    t2d_random_model_close(&j->random); /* its memory is not needed any more */
    if (code == EXIT_GOOD && opt.csv) code = bench_csv_check(opt.csv, &j->report);
    return code;
}

static int measure(job *j)
{
    t2d_error err;
    bench_report *r = &j->report;
    t2d_status status = t2d_bench_run(j->session, j->vocab, &j->plan, &r->result, &err);
    if (r->result.unsound) return complain_text(EXIT_FAILED, "no speed for a wrong answer: %s", err.message);
    if (status == T2D_OK) status = bench_report_finish(r, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    if (j->old) r->against = bench_compare(opt.compare, j->old, r);
    bench_report_show(r);
    return opt.csv ? bench_csv_append(opt.csv, r) : EXIT_GOOD;
}

static int run(const command *self, int count, char **operands)
{
    (void)self;
    (void)operands;
    job j = {.random = {.fd = -1}};
    int code = check_usage(count);
    if (code == EXIT_GOOD) code = read_picture(&j.plan);
    if (code == EXIT_GOOD) code = prepare(&j);
    if (code == EXIT_GOOD) code = measure(&j);
    bench_report_release(&j.report);
    json_decref(j.old);
    end_session(j.session);
    t2d_vocab_destroy(j.vocab);
    t2d_engine_close(j.engine);
    t2d_random_model_close(&j.random);
    return code;
}

command command_bench(void)
{
    return (command){
        .name = "bench",
        .arguments = "-m MODEL | --arch NAME [--mode offline] [--json]",
        .summary = "time from picture to mask, checked first",
        .details = "Times random pictures from host memory to their masks.  First the answers are "
                   "checked: scores finite,\n"
                   "labels below the count, the same picture twice the same bits, in a batch the same "
                   "as alone; the masks\n"
                   "of every timed call are held against those.  Where one differs no time is printed "
                   "and the exit code is 1.\n"
                   "Scenarios have the names that MLPerf's inference rules give them; the length of a run is "
                   "yours to choose.\n"
                   "\n"
                   "Floors come from two ceilings measured in the same run: a large product, and memory "
                   "(STREAM's triad; on a\n"
                   "GPU a copy).  --stages waits for every operation, so that its times add up to more than "
                   "the latency; the\n"
                   "host row is what is between the operations.  Clocks, heat and energy are told where the "
                   "system tells them.\n",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .run = run};
}
