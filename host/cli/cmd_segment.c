/* cmd_segment.c — pictures and words in, masks out.  A bad picture among several is named and passed over. */
#include "cli/segment_job.h"
#include "segment/passes.h"

#include <stdlib.h>
#include <string.h>

static struct {
    const char *classes, *classes_file, *templates, *list, *shard, *max_failures;
    output_request out;
    int resume, keep_suffix, readers, together;
    int whole, slide, size, stride, with_background, clean, pamr, swap;
    float background, clean_lambda, alpha;
} opt = {.background = -1, .clean_lambda = -1, .alpha = 0.6F, .readers = 2};

static const arg_option options[] = {
    {ARG_TEXT, 'c', "classes", "A,B;C", "class names; aliases of one class after ';', '_' is a space",
     &opt.classes, 0, 0},
    {ARG_TEXT, 0, "classes-file", "FILE", "one class a line instead", &opt.classes_file, 0, 0},
    OPTION_MODEL,
    {ARG_HEADING, 0, NULL, NULL, "results:", NULL, 0, 0},
    {ARG_TEXT, 'o', "output", "OUT",
     "mask: PNG of class ids (default PICTURE_mask.png; - is standard output)", &opt.out.mask, 0, 0},
    {ARG_TEXT, 0, "overlay", "OUT", "picture with coloured classes and a legend, PNG", &opt.out.overlay, 0,
     0},
    {ARG_FLOAT, 0, "alpha", "A", "weight of the colours in the overlay, 0 to 1 (0.6)", &opt.alpha, 0, 1},
    {ARG_TEXT, 0, "scores", "OUT", ".npy of [classes, height, width] fp32: what the argmax saw",
     &opt.out.scores, 0, 0},
    {ARG_HEADING, 0, NULL, NULL, "many pictures:", NULL, 0, 0},
    {ARG_TEXT, 0, "list", "FILE", "paths of pictures, one a line; - is standard input", &opt.list, 0, 0},
    {ARG_FLAG, 0, "resume", NULL, "pass over pictures whose results stand, whole", &opt.resume, 0, 0},
    {ARG_TEXT, 0, "shard", "I/N", "every N-th picture from the I-th: processes that share the work",
     &opt.shard, 0, 0},
    {ARG_FLAG, 0, "keep-suffix", NULL, "results are a.jpg.png, not a.png (with --list always)",
     &opt.keep_suffix, 0, 0},
    {ARG_TEXT, 0, "max-failures", "N|P%", "end the run when more pictures failed (default: pass over all)",
     &opt.max_failures, 0, 0},
    {ARG_INT, 0, "batch", "N", "pictures segmented together (default: what fills a pass)", &opt.together, 1,
     T2D_PASS_MOST},
    {ARG_INT, 0, "readers", "N", "threads that read pictures ahead (2)", &opt.readers, 1, 256},
    {ARG_HEADING, 0, NULL, NULL, "what decides the numbers:", NULL, 0, 0},
    {ARG_FLAG, 0, "slide", NULL, "overlapping windows, the evaluation protocol (default)", &opt.slide, 0, 0},
    {ARG_FLAG, 0, "whole", NULL, "the picture squeezed to size x size, as in the published demo", &opt.whole,
     0, 0},
    {ARG_INT, 0, "size", "N", "side of a window, a multiple of the patch (default: the model's)", &opt.size,
     1, 8192},
    {ARG_INT, 0, "stride", "N", "step between windows (default: the model's)", &opt.stride, 1, 8192},
    {ARG_TEXT, 0, "templates", "NAME|FILE", "prompts (default: the model's)", &opt.templates, 0, 0},
    {ARG_FLAG, 0, "with-background", NULL, "label 0 is what scores below the model's threshold",
     &opt.with_background, 0, 0},
    {ARG_FLOAT, 0, "background", "T", "the same with this threshold, 0 to 1", &opt.background, 0, 1},
    {ARG_FLAG, 0, "bg-clean", NULL, "background cleaning by the CLS heads' attention", &opt.clean, 0, 0},
    {ARG_FLOAT, 0, "bg-clean-lambda", "L", "its weight (default: the model's)", &opt.clean_lambda, 0, 100},
    {ARG_FLAG, 0, "pamr", NULL, "refine masks by the picture's edges (PAMR, 10 iterations)", &opt.pamr, 0, 0},
    {ARG_FLAG, 0, "swap-channels", NULL, "feed BGR, as the published demo does", &opt.swap, 0, 0},
    {ARG_HEADING, 0, NULL, NULL, "machine and talk:", NULL, 0, 0},
    OPTIONS_DEVICE,
    OPTIONS_TALK,
};

static int check_usage(int pictures, const string_list *classes)
{
    if (opt.list && pictures > 0)
        return complain_text(EXIT_MISUSE, "--list names the pictures; leave the operands out");
    if (!opt.list && pictures < 1)
        return complain_text(EXIT_MISUSE, "segment wants at least one picture or folder, or --list");
    if (opt.whole && opt.slide) return complain_text(EXIT_MISUSE, "--whole and --slide exclude each other");
    if (opt.whole && opt.stride)
        return complain_text(EXIT_MISUSE, "--stride belongs to --slide: --whole has one window");
    if (common.json && opt.out.mask && strcmp(opt.out.mask, "-") == 0)
        return complain_text(EXIT_MISUSE, "-o - and --json both want standard output");
    if ((opt.with_background || opt.background >= 0) && strcasecmp(classes->items[0], "background") == 0)
        return complain_text(EXIT_MISUSE,
                             "the first class is called background and a background label is added as well: "
                             "leave one of them out");
    return EXIT_GOOD;
}

static void decide(segment_job *j)
{
    t2d_segment_options *o = &j->options;
    t2d_segment_defaults(j->engine, o);
    o->mode = opt.whole ? T2D_WHOLE : T2D_SLIDE;
    o->size = opt.size ? opt.size : o->size;
    o->stride = opt.stride ? opt.stride : o->stride < o->size ? o->stride : o->size;
    o->with_background = opt.with_background || opt.background >= 0;
    o->background = opt.background >= 0 ? opt.background : o->background;
    o->clean = opt.clean;
    o->clean_lambda = opt.clean_lambda >= 0 ? opt.clean_lambda : o->clean_lambda;
    o->pamr = opt.pamr;
    o->swap_channels = opt.swap;
}

/* What a run decided, for its JSON lines. */
static json_t *decisions(const segment_job *j)
{
    const t2d_segment_options *o = &j->options;
    t2d_engine_info info;
    t2d_engine_describe(j->engine, &info);
    json_t *d = json_pack("{s:s, s:s, s:s, s:i, s:s, s:i, s:b, s:b, s:b}", "version", t2d_version(), "device",
                          info.device, "dtype", dtype_names[info.dtype], "threads", info.threads, "mode",
                          o->mode == T2D_WHOLE ? "whole" : "slide", "size", o->size, "bg_clean", o->clean,
                          "pamr", o->pamr, "swap_channels", o->swap_channels);
    json_object_set_new(d, "templates", json_string(opt.templates ? opt.templates : info.templates));
    json_object_set_new(d, "background", o->with_background ? json_real((double)o->background) : json_null());
    if (o->clean) json_object_set_new(d, "bg_clean_lambda", json_real((double)o->clean_lambda));
    if (o->mode == T2D_SLIDE) {
        json_object_set_new(d, "stride", json_integer(o->stride));
        json_object_set_new(d, "short_side", json_integer(o->short_side));
        json_object_set_new(d, "long_side", json_integer(o->long_side));
    }
    return d;
}

static int prepare(segment_job *j, const string_list *classes)
{
    int code = open_engine(&j->engine);
    if (code != EXIT_GOOD) return code;
    decide(j);
    code = open_vocab(j->engine, classes, opt.templates, &j->vocab);
    if (code != EXIT_GOOD) return code;
    t2d_error err;
    const t2d_status status = t2d_session_create(j->engine, &j->session, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    const int extra = j->options.with_background ? 1 : 0, count = t2d_vocab_count(j->vocab);
    j->names = calloc((size_t)count + 1, sizeof *j->names);
    if (!j->names) return complain_text(EXIT_FAILED, "class names: out of memory");
    if (extra) j->names[0] = "background";
    for (int i = 0; i < count; i++) j->names[extra + i] = t2d_vocab_name(j->vocab, i);
    j->decided = decisions(j);
    return EXIT_GOOD;
}

static void finish(segment_job *j)
{
    json_decref(j->decided);
    free(j->names);
    end_session(j->session);
    t2d_vocab_destroy(j->vocab);
    t2d_engine_close(j->engine);
}

/* Where the pictures are and where their masks go, before a model is loaded for them. */
static int plan(segment_job *j, int count, char **pictures)
{
    j->from = (source_request){.operands = pictures,
                               .count = count,
                               .list = opt.list,
                               .keep_suffix = opt.keep_suffix || opt.list,
                               .step = 1};
    j->out = opt.out;
    j->out.many = count > 1 || source_is_stream(&j->from);
    int code = EXIT_GOOD;
    if (source_is_stream(&j->from) && !opt.out.mask)
        code = complain_text(EXIT_MISUSE, "%s: a folder or a list wants -o FOLDER for its masks",
                             opt.list ? opt.list : pictures[0]);
    if (code == EXIT_GOOD && opt.shard) code = read_shard(opt.shard, &j->from.first, &j->from.step);
    if (code == EXIT_GOOD) code = read_failure_limit(opt.max_failures, &j->most_failures);
    if (!opt.max_failures) j->most_failures.number = -1;
    if (code == EXIT_GOOD) code = source_check(&j->from);
    if (code == EXIT_GOOD) code = outputs_check(&j->out);
    if (code == EXIT_GOOD && j->out.many) code = outputs_leave_out(&j->out, pictures, count, &j->apart);
    j->resume = opt.resume;
    j->readers = opt.readers;
    j->together = opt.together;
    j->alpha = opt.alpha;
    return code;
}

static int run(const command *self, int count, char **pictures)
{
    (void)self;
    string_list classes;
    segment_job j = {0};
    int code = read_classes(opt.classes, opt.classes_file, &classes);
    if (code == EXIT_GOOD) code = check_usage(count, &classes);
    if (code == EXIT_GOOD) code = plan(&j, count, pictures);
    if (code == EXIT_GOOD) code = prepare(&j, &classes);
    if (code == EXIT_GOOD) code = segment_all(&j);
    finish(&j);
    string_list_release(&classes);
    return code;
}

command command_segment(void)
{
    return (command){.name = "segment",
                     .arguments = "PICTURE|FOLDER... -m MODEL -c \"cat,dog\" [-o OUT]",
                     .summary = "masks of the classes you name",
                     .details =
                         "A picture is PNG, JPEG, WebP or PPM; - is standard input.  The mask has the "
                         "picture's size: class n\n"
                         "(from 0) in the order given, or n + 1 when there is a background.  With "
                         "several pictures, OUT is a\n"
                         "folder, and a picture that cannot be read does not stop the others.\n\n"
                         "Of a FOLDER all pictures are taken (jpg jpeg png webp ppm pgm; links are "
                         "followed, names that begin\n"
                         "with a dot are not), in the order of their names, and OUT gets the same "
                         "folders: sub/a.jpg becomes\n"
                         "OUT/sub/a.png.  Of a.jpg and a.png in one folder the second is refused.  OUT "
                         "may lie within the FOLDER.\n"
                         "Results of --list keep the whole path: /data/a.jpg becomes "
                         "OUT/data/a.jpg.png.\n\n"
                         "A run that was stopped goes on with --resume: a mask is written last, and "
                         "whole.  Several results are\n"
                         "sent to the disk together, every 512 pictures and at the end; what a power "
                         "failure cut off is found by\n"
                         "--resume.\n",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
