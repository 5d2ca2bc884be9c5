/* cmd_info.c — what is in a model file (info), and is it sound (verify). */
#include "cli/cli.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

static int show_tensors;

static const arg_option info_options[] = {
    OPTION_MODEL,
    {ARG_FLAG, 0, "tensors", NULL, "list every tensor as well", &show_tensors, 0, 0},
    {ARG_FLAG, 0, "json", NULL, "as one line of JSON", &common.json, 0, 0},
};
static const arg_option verify_options[] = {
    OPTION_MODEL,
    {ARG_FLAG, 0, "json", NULL, "as one line of JSON", &common.json, 0, 0},
    {ARG_FLAG, 'q', "quiet", NULL, "only errors on stderr", &common.quiet, 0, 0},
};

/* The model file: the one operand, -m, or the environment's. */
static int open_file(const char *name, int count, char **operands, const char **path, t2d_st_file **file,
                     t2d_config *config)
{
    *path = count > 0 ? operands[0] : common.model ? common.model : getenv("T2D_MODEL");
    *file = NULL;
    if (count > 1 || !*path || (count == 1 && common.model))
        return complain_text(EXIT_MISUSE, "%s wants one model file", name);
    t2d_error err;
    t2d_status status = t2d_st_open(*path, file, &err);
    if (status == T2D_OK && (status = t2d_config_read(*file, config, &err)) != T2D_OK)
        t2d_fail_in(&err, *path);
    return status == T2D_OK ? EXIT_GOOD : complain(code_of_input(status), &err);
}

static uint64_t data_bytes(const t2d_st_file *file)
{
    uint64_t bytes = 0;
    for (int i = 0; i < t2d_st_count(file); i++) bytes += t2d_st_at(file, i)->bytes;
    return bytes;
}

/* A string from the file, safe for a terminal. */
static const char *printable(t2d_error *room, const char *text)
{
    t2d_fail(room, T2D_OK, "%s", text ? text : "");
    return room->message;
}

/* ---- info ---- */

static void print_metadata(const t2d_st_file *file)
{
    for (int i = 0; i < t2d_st_meta_count(file); i++) {
        const char *key, *value;
        t2d_error room;
        t2d_st_meta_at(file, i, &key, &value);
        if (strncmp(key, "source.", 7) == 0 || strncmp(key, "license.", 8) == 0 ||
            strcmp(key, "exporter") == 0)
            printf("  %-26.60s %s\n", key, printable(&room, value));
    }
}

static void print_tensor(const t2d_st_tensor *t)
{
    t2d_error room;
    printf("  %-52s %-4s [", printable(&room, t->name), t2d_st_type_name(t->type));
    for (int d = 0; d < t->rank; d++) printf("%s%lld", d ? ", " : "", (long long)t->shape[d]);
    puts("]");
}

static void print_info(const char *path, const t2d_st_file *file, const t2d_config *c)
{
    t2d_error room;
    printf("%s: %d tensors, %.1f MiB, ", path, t2d_st_count(file), (double)data_bytes(file) / (1 << 20));
    printf("weights in %s\n", printable(&room, t2d_st_meta(file, "dtype")));
    printf("vision   DINOv2: %d wide, %d blocks, %d heads, patch %d, %d registers, %s %d\n", c->vision.dim,
           c->vision.depth, c->vision.heads, c->vision.patch, c->vision.registers,
           c->vision.swiglu ? "SwiGLU" : "MLP", c->vision.hidden);
    printf("         position table %d x %d, %s, offset %g\n", c->vision.grid, c->vision.grid,
           c->vision.antialias ? "antialiased" : "not antialiased", (double)c->vision.offset);
    printf("text     CLIP: %d wide, %d blocks, %d heads, %d tokens of a vocabulary of %d\n", c->text.dim,
           c->text.depth, c->text.heads, c->text.context, c->text.vocabulary);
    printf("psi      %d -> %d -> %d\n", c->text.embed, c->vision.dim, c->vision.dim);
    printf("segment  windows of %d every %d on pictures fitted to %d x %d, templates %s,\n", c->size,
           c->stride, c->long_side, c->short_side, c->templates);
    printf("         background %g, cleaning lambda %g\n", (double)c->background, (double)c->clean_lambda);
    puts("made of");
    print_metadata(file);
    if (show_tensors) puts("tensors");
    for (int i = 0; show_tensors && i < t2d_st_count(file); i++) print_tensor(t2d_st_at(file, i));
}

static void print_info_json(const char *path, const t2d_st_file *file)
{
    json_t *metadata = json_object(), *tensors = json_array();
    for (int i = 0; i < t2d_st_meta_count(file); i++) {
        const char *key, *value;
        t2d_st_meta_at(file, i, &key, &value);
        if (strncmp(key, "checksum.", 9) != 0) json_object_set_new(metadata, key, json_string(value));
    }
    for (int i = 0; show_tensors && i < t2d_st_count(file); i++) {
        const t2d_st_tensor *t = t2d_st_at(file, i);
        json_t *shape = json_array();
        for (int d = 0; d < t->rank; d++) json_array_append_new(shape, json_integer(t->shape[d]));
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:o}", "name", t->name, "dtype",
                                                 t2d_st_type_name(t->type), "shape", shape));
    }
    json_t *line = json_pack("{s:s, s:i, s:I, s:o}", "model", path, "tensor_count", t2d_st_count(file),
                             "bytes", (json_int_t)data_bytes(file), "metadata", metadata);
    if (show_tensors) json_object_set(line, "tensors", tensors);
    json_decref(tensors);
    print_json(line);
}

static int run_info(const command *self, int count, char **operands)
{
    const char *path;
    t2d_st_file *file;
    t2d_config config;
    const int code = open_file(self->name, count, operands, &path, &file, &config);
    if (code == EXIT_GOOD && common.json)
        print_info_json(path, file);
    else if (code == EXIT_GOOD)
        print_info(path, file, &config);
    t2d_st_close(file);
    return code;
}

command command_info(void)
{
    return (command){
        .name = "info",
        .arguments = "MODEL",
        .summary = "what is in a model file",
        .details =
            "Reads the header and checks that the file holds exactly the tensors its metadata promises.",
        .options = info_options,
        .option_count = sizeof info_options / sizeof *info_options,
        .run = run_info};
}

/* ---- verify ---- */

static int run_verify(const command *self, int count, char **operands)
{
    const char *path;
    t2d_st_file *file;
    t2d_config config;
    t2d_error err;
    int code = open_file(self->name, count, operands, &path, &file, &config);
    const int tensors = code == EXIT_GOOD ? t2d_st_count(file) : 0;
    t2d_status status = code == EXIT_GOOD ? t2d_verify_metadata(file, &err) : T2D_OK;
    for (int i = 0; status == T2D_OK && i < tensors; i++) {
        progress(i + 1, tensors, t2d_st_at(file, i)->name);
        status = t2d_verify_tensor(file, t2d_st_at(file, i), &err);
    }
    progress(tensors, tensors, "");
    if (status != T2D_OK) {
        t2d_fail_in(&err, path);
        code = complain(code_of_input(status), &err);
    } else if (code == EXIT_GOOD && common.json) {
        print_json(json_pack("{s:s, s:b, s:i, s:I}", "model", path, "sound", 1, "tensors", tensors, "bytes",
                             (json_int_t)data_bytes(file)));
    } else if (code == EXIT_GOOD) {
        printf("%s: sound (metadata and %d tensors, %.1f MiB)\n", path, tensors,
               (double)data_bytes(file) / (1 << 20));
    }
    t2d_st_close(file);
    return code;
}

command command_verify(void)
{
    return (command){.name = "verify",
                     .arguments = "MODEL",
                     .summary = "compare every checksum of a model file",
                     .details = "Reads every tensor, compares its checksum, and looks for NaN and infinity.",
                     .options = verify_options,
                     .option_count = sizeof verify_options / sizeof *verify_options,
                     .run = run_verify};
}
