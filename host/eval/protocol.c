/* protocol.c — everything that decided a number, written down with it; and in what that differs from how the
 * published number was measured. */
#include "eval/eval.h"
#include "model/model.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = {"fp32", "fp16", "bf16"};
static const char PUBLISHED_TEMPLATES[] = "sub_imagenet_template";
enum { PUBLISHED_SIZE = 448, PUBLISHED_STRIDE = 224, PUBLISHED_LONG_SIDE = 2048, VIT_B = 768, VIT_L = 1024 };

/* The way from pixels to labels that is the same in every run; T2D_SLIDE is it. */
static json_t *fixed_steps(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "resize",
                     "keep ratio to fit long_side x short_side, OpenCV's INTER_LINEAR on 8 bits", "windows",
                     "size x size every stride, the last shifted back; mean where they overlap",
                     "resize_back", "bilinear, align_corners false", "argmax",
                     "softmax in fp32, first maximum", "counts",
                     "64-bit integers over pixels that are not ignored");
}

static void set_hex(json_t *object, const char *key, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
    json_object_set_new(object, key, json_string(text));
}

/* The checksum over the metadata, which has one of every tensor: it stands for the whole model. */
static t2d_status set_model(json_t *decides, json_t *ran, const char *path, t2d_error *err)
{
    t2d_st_file *file;
    const t2d_status status = t2d_st_open(path, &file, err);
    if (status) return status;
    const char *checksum = t2d_st_meta(file, "checksum.__metadata__");
    json_object_set_new(decides, "model", json_string(checksum ? checksum : "without checksum"));
    json_t *sources = json_object();
    for (int i = 0; i < t2d_st_meta_count(file); i++) {
        const char *key, *value;
        t2d_st_meta_at(file, i, &key, &value);
        if (strncmp(key, "source.", 7) == 0) json_object_set_new(sources, key + 7, json_string(value));
    }
    json_object_set_new(ran, "model", json_string(path));
    json_object_set_new(ran, "model_sources", sources);
    t2d_st_close(file);
    return T2D_OK;
}

static void set_prompts(json_t *decides, const t2d_protocol *p)
{
    int count = p->prompt_count;
    const char *const *prompts = p->prompts ? p->prompts : t2d_templates_find(p->templates, &count);
    json_t *list = json_array();
    for (int i = 0; prompts && i < count; i++) json_array_append_new(list, json_string(prompts[i]));
    json_object_set_new(decides, "templates", json_string(p->prompts ? "own" : p->templates));
    json_object_set_new(decides, "prompts", list);
}

static json_t *json_decimal(float value)
{
    char text[32]; /* 0.55, not 0.55000001192092896 */
    snprintf(text, sizeof text, "%.7g", (double)value);
    return json_real(strtod(text, NULL));
}

static void set_options(json_t *decides, const t2d_segment_options *o)
{
    json_object_set_new(decides, "size", json_integer(o->size));
    json_object_set_new(decides, "stride", json_integer(o->stride));
    json_object_set_new(decides, "short_side", json_integer(o->short_side));
    json_object_set_new(decides, "long_side", json_integer(o->long_side));
    json_object_set_new(decides, "background",
                        o->with_background ? json_decimal(o->background) : json_null());
    json_object_set_new(decides, "bg_clean", json_boolean(o->clean));
    if (o->clean) json_object_set_new(decides, "bg_clean_lambda", json_decimal(o->clean_lambda));
    json_object_set_new(decides, "pamr", json_boolean(o->pamr));
    json_object_set_new(decides, "steps", fixed_steps());
}

/* As it will be read back from a file: a number of more digits than are written would differ from itself. */
static json_t *as_written(json_t *head)
{
    char *text = json_dumps(head, JSON_COMPACT | JSON_REAL_PRECISION(7));
    json_t *read = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    json_decref(head);
    return read;
}

t2d_status t2d_protocol_head(const t2d_protocol *p, int64_t first, int64_t step, json_t **head,
                             t2d_error *err)
{
    json_t *decides = json_object(), *ran = json_object();
    const size_t device = strcspn(p->engine->device, ":"); /* any of a kind */
    *head = NULL;
    json_object_set_new(decides, "version", json_string(t2d_version()));
    json_object_set(decides, "preset", p->preset->json);
    set_hex(decides, "preset_hash", p->preset->hash);
    json_object_set_new(decides, "labels", json_integer(p->preset->label_count));
    json_object_set(decides, "classes", json_object_get(p->preset->json, "classes"));
    json_object_set_new(decides, "pictures", json_integer((json_int_t)p->listing->count));
    set_hex(decides, "picture_names", p->listing->hash);
    const t2d_status status = set_model(decides, ran, p->model, err);
    json_object_set_new(decides, "dim", json_integer(p->engine->vision_dim));
    json_object_set_new(decides, "dtype", json_string(dtypes[p->engine->dtype]));
    json_object_set_new(decides, "device", json_stringn(p->engine->device, device));
    set_prompts(decides, p);
    set_options(decides, p->options);
    json_object_set_new(ran, "device", json_string(p->engine->device));
    json_object_set_new(ran, "device_name", json_string(p->engine->device_name));
    json_object_set_new(ran, "threads", json_integer(p->engine->threads));
    json_object_set_new(ran, "data", json_string(p->listing->root));
    *head = json_pack("{s:s, s:o, s:o, s:[I, I]}", "format", "t2d eval results 1", "decides", decides, "ran",
                      ran, "shard", (json_int_t)first, (json_int_t)step);
    *head = as_written(*head);
    if (!*head) return t2d_fail(err, T2D_E_MEMORY, "protocol: out of memory");
    if (status) {
        json_decref(*head);
        *head = NULL;
    }
    return status;
}

/* ---- what differs ---- */

static void say(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(json_t *list, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(list, json_string(text));
}

static int integer(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static void say_options(json_t *list, const json_t *d)
{
    const json_t *preset = json_object_get(d, "preset"), *rule = json_object_get(preset, "background");
    const double found = json_number_value(json_object_get(d, "background")),
                 b = json_number_value(json_object_get(rule, "threshold")),
                 l = json_number_value(json_object_get(rule, "vit_l_threshold"));
    const int dim = integer(d, "dim");
    if (rule && found != b && found != l)
        say(list, "the background threshold is %g; the preset's is %g (ViT-L: %g)", found, b, l);
    if (rule && b != l && ((dim == VIT_L && found == b) || (dim == VIT_B && found == l)))
        say(list, "the background threshold is that of %s, the model is %s", found == l ? "ViT-L" : "ViT-B",
            dim == VIT_L ? "ViT-L" : "ViT-B");
    if (json_is_true(json_object_get(d, "bg_clean")) != json_is_true(json_object_get(rule, "clean")))
        say(list, "background cleaning is %s, the preset has it %s",
            json_is_true(json_object_get(d, "bg_clean")) ? "on" : "off",
            json_is_true(json_object_get(rule, "clean")) ? "on" : "off");
    const char *templates = json_string_value(json_object_get(d, "templates"));
    if (strcmp(templates, PUBLISHED_TEMPLATES) != 0)
        say(list, "the prompts are '%s', not %s", templates, PUBLISHED_TEMPLATES);
    if (integer(d, "size") != PUBLISHED_SIZE || integer(d, "stride") != PUBLISHED_STRIDE ||
        integer(d, "short_side") != PUBLISHED_SIZE || integer(d, "long_side") != PUBLISHED_LONG_SIDE)
        say(list, "windows of %d every %d on pictures resized to %d x %d; published: %d every %d on %d x %d",
            integer(d, "size"), integer(d, "stride"), integer(d, "long_side"), integer(d, "short_side"),
            PUBLISHED_SIZE, PUBLISHED_STRIDE, PUBLISHED_LONG_SIDE, PUBLISHED_SIZE);
}

json_t *t2d_differences(const json_t *head, const t2d_tally *tally)
{
    json_t *list = json_array();
    const json_t *d = json_object_get(head, "decides"), *preset = json_object_get(d, "preset");
    const char *dtype = json_string_value(json_object_get(d, "dtype"));
    const int dim = integer(d, "dim"), expected = integer(preset, "expected"),
              pictures = integer(d, "pictures");
    if (strcmp(dtype, "fp32") == 0)
        say(list,
            "weights and activations are fp32; the published code runs CLIP's text tower in fp16 on CUDA");
    else
        say(list, "weights and activations are %s; the published code runs DINOv2 in fp32", dtype);
    say(list, "counts are 64-bit integers; mmseg adds up in fp32, which rounds totals beyond 2^24 pixels");
    if (dim != VIT_B && dim != VIT_L)
        say(list, "the vision tower is %d wide; figures are published for ViT-B (%d) and ViT-L (%d)", dim,
            VIT_B, VIT_L);
    say_options(list, d);
    if (expected && expected != pictures)
        say(list, "%d pictures are listed; the published split has %d", pictures, expected);
    if (tally->failed > 0)
        say(list, "%lld pictures could not be read and are not counted", (long long)tally->failed);
    const json_t *files = json_object_get(preset, "label_files");
    for (int i = 1; i < T2D_MOST_LABEL_FILES; i++)
        if (tally->by_file[i] > 0)
            say(list,
                "labels of %lld pictures were mapped from *%s; converted files would be the same labels",
                (long long)tally->by_file[i],
                json_string_value(json_object_get(json_array_get(files, (size_t)i), "suffix")));
    return list;
}
