/* cmd_demo.c — the model that ships with the project, on a picture that ships with it: words in, mask out, no
 * download.  Everything lies in one folder: below the installed prefix, or in the source tree. */
#include "cli/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *classes, *output;
    int eval;
} opt;

static const arg_option options[] = {
    {ARG_TEXT, 'c', "classes", "A,B;C", "words of your own instead of the sample's", &opt.classes, 0, 0},
    {ARG_TEXT, 'o', "output", "DIR", "where mask and overlay are written (default: here)", &opt.output, 0, 0},
    {ARG_FLAG, 0, "eval", NULL, "instead: mIoU on 200 scenes that training never saw, which Python draws now",
     &opt.eval, 0, 0},
    OPTIONS_DEVICE,
    OPTIONS_TALK,
};

/* The scenes that ship, and words for each. */
static const struct sample {
    const char *name, *classes;
} samples[] = {
    {"beach", "sky,cloud,sun,sea,sand,grass,tree,sheep,umbrella,yellow boat,black boat"},
    {"meadow", "sky,cloud,grass,sea,road,cow,sheep,dog,tree,tent,balloon"},
    {"town", "sky,sun,road,grass,sand,tree,person,ball,orange car,blue car,purple car"},
    {"balloons",
     "sky,cloud,sun,mountain,grass,sand,road,sea,house,tent,dog,umbrella,yellow balloon,white balloon"},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

/* DIR/name, allocated; NULL without memory. */
static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* The folder of the demonstration: share/talk2dino beside the command's bin, else the tree it was built from.
 */
static char *find_home(void)
{
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = NULL;
    if (length > 0) {
        self[length] = '\0';
        slash = strrchr(self, '/');
    }
    if (slash) {
        *slash = '\0';
        char *home = join(self, T2D_SHARE_FROM_BIN);
        char *model = home ? join(home, "demo/model.safetensors") : NULL;
        const bool there = model && access(model, R_OK) == 0;
        free(model);
        if (there) return home;
        free(home);
    }
    return strdup(T2D_DEMO_SOURCE);
}

static const struct sample *find_sample(const char *name)
{
    for (int i = 0; i < SAMPLES; i++)
        if (strcmp(samples[i].name, name) == 0) return &samples[i];
    return NULL;
}

/* Everything of one run; released together. */
typedef struct show {
    char *picture, *mask_path, *overlay_path;
    string_list classes;
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
    t2d_image image;
    t2d_mask mask;
    const char **names;
} show;

static void finish(show *s)
{
    free(s->names);
    t2d_mask_release(&s->mask);
    t2d_image_release(&s->image);
    end_session(s->session);
    t2d_vocab_destroy(s->vocab);
    t2d_engine_close(s->engine);
    string_list_release(&s->classes);
    free(s->overlay_path);
    free(s->mask_path);
    free(s->picture);
}

static int plan(show *s, const struct sample *sample, const char *home)
{
    if (asprintf(&s->picture, "%s/demo/samples/%s.png", home, sample->name) < 0) s->picture = NULL;
    if (asprintf(&s->mask_path, "%s/%s_mask.png", opt.output, sample->name) < 0) s->mask_path = NULL;
    if (asprintf(&s->overlay_path, "%s/%s_overlay.png", opt.output, sample->name) < 0) s->overlay_path = NULL;
    if (!s->picture || !s->mask_path || !s->overlay_path)
        return complain_text(EXIT_FAILED, "names of files: out of memory");
    return read_classes(opt.classes ? opt.classes : sample->classes, NULL, &s->classes);
}

static int prepare(show *s)
{
    t2d_error err;
    int code = open_engine(&s->engine);
    if (code == EXIT_GOOD) code = open_vocab(s->engine, &s->classes, NULL, &s->vocab);
    if (code != EXIT_GOOD) return code;
    t2d_status status = t2d_session_create(s->engine, &s->session, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    status = t2d_image_read(s->picture, 0, &s->image, &err);
    if (status != T2D_OK) return complain(code_of_input(status), &err);
    const int count = t2d_vocab_count(s->vocab);
    s->names = calloc((size_t)count, sizeof *s->names);
    if (!s->names) return complain_text(EXIT_FAILED, "class names: out of memory");
    for (int i = 0; i < count; i++) s->names[i] = t2d_vocab_name(s->vocab, i);
    return EXIT_GOOD;
}

static int segment(show *s)
{
    t2d_error err;
    const double start = t2d_clock();
    t2d_status status = t2d_segment(s->session, s->vocab, &s->image, NULL, &s->mask, NULL, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    remark("segmented in %.3f s", t2d_clock() - start);
    status = t2d_overlay_write(s->overlay_path, &s->image, &s->mask, s->names, 0.6F, &err);
    if (status == T2D_OK) status = t2d_mask_write(s->mask_path, &s->mask, &err);
    return status == T2D_OK ? EXIT_GOOD : complain(code_of_output(status), &err);
}

/* ---- talk ---- */

static void introduce(const show *s, const char *words)
{
    if (common.json || common.quiet) return;
    printf("A small Talk2DINO, trained on drawn scenes, looks for words in a drawn picture.\n"
           "model    %s\npicture  %s\nwords    %s\n",
           common.model, s->picture, words);
}

/* label, word, part of the picture; of labels that occur. */
static void list_labels(const show *s)
{
    const size_t pixels = (size_t)s->mask.width * s->mask.height;
    for (int label = 0; label < s->mask.labels; label++) {
        size_t count = 0;
        for (size_t i = 0; i < pixels; i++) count += s->mask.ids[i] == label;
        if (count == 0) continue;
        terminal_swatch(label);
        printf("%7d  %-14s %5.1f %%\n", label, s->names[label], 100.0 * (double)count / (double)pixels);
    }
}

static void advise(void)
{
    printf("\nNext, a picture of your own, though this model knows only its cartoon world:\n"
           "  t2d segment PICTURE -m %s -c 'sky,grass,red car' --overlay look.png\n"
           "How well it does on scenes it never saw:\n"
           "  t2d demo --eval\n"
           "For photographs make a model of the published weights of DINOv2, CLIP and Talk2DINO:\n"
           "  python3 python_export/export.py --help\n",
           common.model);
}

static void tell_result(const show *s)
{
    if (common.json) {
        json_t *names = json_array();
        for (int i = 0; i < s->mask.labels; i++) json_array_append_new(names, json_string(s->names[i]));
        print_json(json_pack("{s:s, s:s, s:s, s:s, s:o}", "model", common.model, "picture", s->picture,
                             "mask", s->mask_path, "overlay", s->overlay_path, "classes", names));
        return;
    }
    if (!common.quiet) {
        terminal_picture(&s->image, &s->mask);
        list_labels(s);
    }
    printf("mask     %s  (a PNG of labels)\noverlay  %s\n", s->mask_path, s->overlay_path);
    if (!common.quiet) advise();
}

static int demonstrate(const struct sample *sample, const char *home)
{
    show s = {0};
    int code = plan(&s, sample, home);
    if (code == EXIT_GOOD) introduce(&s, opt.classes ? opt.classes : sample->classes);
    if (code == EXIT_GOOD) code = prepare(&s);
    if (code == EXIT_GOOD) code = segment(&s);
    if (code == EXIT_GOOD) tell_result(&s);
    finish(&s);
    return code;
}

/* The scenes are drawn by Python: this process becomes evaluate.py, which runs `t2d segment` again. */
static int evaluate(const char *home)
{
    char *script = join(home, "demo/evaluate.py"), *more = NULL, self[4096], threads[32] = "";
    if (common.threads) snprintf(threads, sizeof threads, " --threads %d", common.threads);
    if (asprintf(&more, "--device %s --dtype %s%s", common.device ? common.device : "auto",
                 dtype_names[common.dtype], threads) < 0)
        more = NULL;
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    if (script && more)
        execlp("python3", "python3", script, "--t2d", self, "-m", common.model, "--more", more, (char *)NULL);
    free(more);
    free(script);
    return complain_text(EXIT_FAILED,
                         "demo --eval wants python3 with NumPy, OpenCV and Pillow to draw the scenes: "
                         "%s",
                         strerror(errno));
}

static int run(const command *self, int count, char **operands)
{
    (void)self;
    if (count > 1) return complain_text(EXIT_MISUSE, "demo wants one sample at most");
    if (opt.eval && (count || opt.classes || opt.output || common.json))
        return complain_text(EXIT_MISUSE,
                             "demo --eval has scenes and words of its own: it takes no sample, -c, -o "
                             "or --json");
    if (!opt.output) opt.output = ".";
    const struct sample *sample = count ? find_sample(operands[0]) : samples;
    if (!sample)
        return complain_text(EXIT_MISUSE, "there is no sample '%s'; there are beach, meadow, town, balloons",
                             operands[0]);
    char *home = find_home(), *model = home ? join(home, "demo/model.safetensors") : NULL;
    common.model = model;
    const int code = !model     ? complain_text(EXIT_FAILED, "names of files: out of memory")
                     : opt.eval ? evaluate(home)
                                : demonstrate(sample, home);
    common.model = NULL;
    free(model);
    free(home);
    return code;
}

command command_demo(void)
{
    return (command){.name = "demo",
                     .arguments = "[beach|meadow|town|balloons] [-c WORDS] [-o DIR]",
                     .summary = "a small model on a picture, both of which ship with t2d",
                     .details =
                         "The model was trained on drawn scenes; it knows sky, sea, grass, sand, road, "
                         "mountain, car, bus,\nboat, house, ball, tent, umbrella, balloon, person, cow, "
                         "sheep, dog, tree, rock, cloud, sun and moon,\nand red, orange, yellow, green, "
                         "blue, purple, white and black ones.\n",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
