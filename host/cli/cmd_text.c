/* cmd_text.c — class names to vectors, or to token ids. */
#include "cli/cli.h"
#include "io/io.h"

#include <stdlib.h>

static struct {
    const char *classes, *classes_file, *templates, *output;
    int tokens;
} opt;

static const arg_option options[] = {
    {ARG_TEXT, 'c', "classes", "A,B;C", "class names; aliases of one class after ';', '_' is a space",
     &opt.classes, 0, 0},
    {ARG_TEXT, 0, "classes-file", "FILE", "one class a line instead", &opt.classes_file, 0, 0},
    {ARG_TEXT, 'o', "output", "FILE.npy", "unit vectors [rows, dim] fp32, one row for every alias",
     &opt.output, 0, 0},
    {ARG_FLAG, 0, "tokens", NULL, "print the token ids of each class (no template) instead", &opt.tokens, 0,
     0},
    {ARG_TEXT, 0, "templates", "NAME|FILE", "prompts (default: the model's)", &opt.templates, 0, 0},
    OPTION_MODEL,
    OPTIONS_DEVICE,
    OPTIONS_TALK,
};

static void print_tokens(const char *text, const int32_t *ids, int count)
{
    if (common.json) {
        json_t *array = json_array();
        for (int i = 0; i < count; i++) json_array_append_new(array, json_integer(ids[i]));
        print_json(json_pack("{s:s, s:o}", "text", text, "tokens", array));
        return;
    }
    printf("%s:", text);
    for (int i = 0; i < count; i++) printf(" %d", ids[i]);
    putchar('\n');
}

static int tokenize_all(const t2d_engine *engine, const string_list *classes)
{
    t2d_engine_info info;
    t2d_engine_describe(engine, &info);
    int32_t *ids = calloc((size_t)info.context, sizeof *ids);
    int code = ids ? EXIT_GOOD : complain_text(EXIT_FAILED, "token ids: out of memory");
    for (int i = 0; code == EXIT_GOOD && i < classes->count; i++) {
        t2d_error err;
        int count;
        const t2d_status status = t2d_tokenize(engine, classes->items[i], ids, info.context, &count, &err);
        if (status != T2D_OK)
            code = complain(code_of_input(status), &err);
        else
            print_tokens(classes->items[i], ids, count);
    }
    free(ids);
    return code;
}

static int write_vectors(t2d_engine *engine, const string_list *classes)
{
    t2d_vocab *vocab;
    const int code = open_vocab(engine, classes, opt.templates, &vocab);
    if (code != EXIT_GOOD) return code;
    t2d_error err;
    const int shape[2] = {t2d_vocab_rows(vocab), t2d_vocab_dim(vocab)};
    const t2d_status status = t2d_npy_write(opt.output, t2d_vocab_vectors(vocab), shape, 2, &err);
    if (status == T2D_OK && common.json)
        print_json(json_pack("{s:s, s:i, s:i, s:i}", "vectors", opt.output, "classes", t2d_vocab_count(vocab),
                             "rows", shape[0], "dim", shape[1]));
    t2d_vocab_destroy(vocab);
    return status == T2D_OK ? EXIT_GOOD : complain(code_of_output(status), &err);
}

static int run(const command *self, int count, char **operands)
{
    (void)self;
    if (count > 0)
        return complain_text(EXIT_MISUSE, "text takes no file '%s'; classes come with -c or --classes-file",
                             operands[0]);
    if (!opt.output && !opt.tokens)
        return complain_text(EXIT_MISUSE, "where to? give -o FILE.npy, or --tokens to see token ids");
    string_list classes;
    t2d_engine *engine = NULL;
    int code = read_classes(opt.classes, opt.classes_file, &classes);
    if (code == EXIT_GOOD) code = open_engine(&engine);
    if (code == EXIT_GOOD)
        code = opt.tokens ? tokenize_all(engine, &classes) : write_vectors(engine, &classes);
    t2d_engine_close(engine);
    string_list_release(&classes);
    return code;
}

command command_text(void)
{
    return (command){.name = "text",
                     .arguments = "-m MODEL -c \"cat,dog\" (-o FILE.npy | --tokens)",
                     .summary = "class names to unit vectors in DINO's space",
                     .details =
                         "Every prompt goes through CLIP's text encoder; the mean of a class's features goes "
                         "through psi\nand is scaled to length 1.",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
