/* cmd_segment.c — pictures and words in, masks out.  A bad picture among several is named and passed over. */
#include "cli/segment_output.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

static struct {
    const char *classes, *classes_file, *templates;
    output_request out;
    int whole, slide, size, stride, with_background, clean, pamr, swap;
    float background, clean_lambda, alpha;
} opt = {.background = -1, .clean_lambda = -1, .alpha = 0.6F};

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

/* Everything that stays the same from picture to picture. */
typedef struct job {
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
    t2d_segment_options options;
    const char **names; /* one for each label, "background" first where there is one */
    json_t *decided;
} job;

static int check_usage(int pictures, const string_list *classes)
{
    if (pictures < 1) return complain_text(EXIT_MISUSE, "segment wants at least one picture");
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

static void decide(job *j)
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
static json_t *decisions(const job *j)
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

static int prepare(job *j, const string_list *classes)
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

static void finish(job *j)
{
    json_decref(j->decided);
    free(j->names);
    end_session(j->session);
    t2d_vocab_destroy(j->vocab);
    t2d_engine_close(j->engine);
}

/* ---- one picture ---- */

static int write_results(const job *j, const output_paths *paths, const t2d_image *image,
                         const t2d_mask *mask, t2d_npy_map *scores)
{
    t2d_error err;
    t2d_status status = T2D_OK;
    if (paths->overlay) status = t2d_overlay_write(paths->overlay, image, mask, j->names, opt.alpha, &err);
    if (status == T2D_OK && paths->scores) status = t2d_npy_map_commit(scores, &err);
    if (status == T2D_OK) /* the mask comes last: where it stands, all of its picture's results stand */
        status = t2d_mask_write(paths->mask, mask, &err);
    return status == T2D_OK ? EXIT_GOOD : complain(code_of_output(status), &err);
}

static int segment_image(const job *j, const char *picture, const output_paths *paths, const t2d_image *image)
{
    t2d_error err;
    t2d_mask mask = {0};
    t2d_npy_map scores = {0};
    const int labels = t2d_vocab_count(j->vocab) + (j->options.with_background ? 1 : 0);
    const int shape[3] = {labels, image->height, image->width};
    if (paths->scores && t2d_npy_map_open(&scores, paths->scores, shape, 3, &err) != T2D_OK)
        return complain(code_of_output(err.status), &err);
    int code;
    const double start = t2d_clock();
    const t2d_status status = t2d_segment(j->session, j->vocab, image, &j->options, &mask, scores.data, &err);
    const double seconds = t2d_clock() - start;
    if (status != T2D_OK) {
        t2d_fail_in(&err, picture);
        code = complain(code_of_engine(status), &err);
    } else {
        code = write_results(j, paths, image, &mask, &scores);
    }
    if (code == EXIT_GOOD) {
        report_mask(picture, paths, &mask, j->names, j->decided, seconds);
        remark("%s: segmented in %.3f s", picture, seconds);
    }
    t2d_npy_map_abort(&scores);
    t2d_mask_release(&mask);
    return code;
}

static int segment_picture(const job *j, const char *picture)
{
    t2d_error err;
    t2d_image image = {0};
    output_paths paths;
    int code = outputs_plan(&opt.out, picture, &paths);
    if (code == EXIT_GOOD) {
        const t2d_status status = t2d_image_read(picture, 0, &image, &err);
        code = status == T2D_OK ? segment_image(j, picture, &paths, &image)
                                : complain(code_of_input(status), &err);
    }
    t2d_image_release(&image);
    outputs_release(&paths);
    return code;
}

static int segment_all(const job *j, int count, char **pictures)
{
    int failed = 0, first_code = EXIT_GOOD;
    for (int i = 0; i < count; i++) {
        progress(i + 1, count, pictures[i]);
        const int code = segment_picture(j, pictures[i]);
        failed += code != EXIT_GOOD;
        first_code = first_code == EXIT_GOOD ? code : first_code;
    }
    progress(count, count, "");
    if (failed > 0 && count > 1) complain_text(EXIT_SOME, "%d of %d pictures failed", failed, count);
    return failed > 0 && failed < count ? EXIT_SOME : first_code;
}

static int run(const command *self, int count, char **pictures)
{
    (void)self;
    string_list classes;
    job j = {0};
    opt.out.many = count > 1;
    int code = read_classes(opt.classes, opt.classes_file, &classes);
    if (code == EXIT_GOOD) code = check_usage(count, &classes);
    if (code == EXIT_GOOD) code = outputs_check(&opt.out, pictures, count);
    if (code == EXIT_GOOD) code = prepare(&j, &classes);
    if (code == EXIT_GOOD) code = segment_all(&j, count, pictures);
    finish(&j);
    string_list_release(&classes);
    return code;
}

command command_segment(void)
{
    return (command){.name = "segment",
                     .arguments = "PICTURE... -m MODEL -c \"cat,dog\" [-o OUT]",
                     .summary = "masks of the classes you name",
                     .details = "A picture is PNG, JPEG, WebP or PPM; - is standard input.  The mask has the "
                                "picture's size: class n\n"
                                "(from 0) in the order given, or n + 1 when there is a background.  With "
                                "several pictures, OUT is a\n"
                                "folder, and a picture that cannot be read does not stop the others.\n",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
