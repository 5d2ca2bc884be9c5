/* lists.c — class names and prompts from the command line and from files. */
#include "cli/cli.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_FILE_BYTES = 16 << 20 };

void string_list_release(string_list *list)
{
    for (int i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (string_list){0};
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Appends start..end without the spaces around it; false when memory ends. */
static bool append(string_list *list, const char *start, const char *end)
{
    while (start < end && is_space(*start)) start++;
    while (end > start && is_space(end[-1])) end--;
    char **items = realloc(list->items, ((size_t)list->count + 1) * sizeof *items);
    if (!items) return false;
    list->items = items;
    items[list->count] = strndup(start, (size_t)(end - start));
    return items[list->count] && ++list->count;
}

/* Pieces between separators; an empty one at the very end does not count. */
static int cut(const char *text, char separator, const char *what, string_list *list)
{
    int number = 1;
    for (const char *at = text; *at; number++) {
        const char *end = strchrnul(at, separator);
        if (!append(list, at, end)) return complain_text(EXIT_FAILED, "%s: out of memory", what);
        if (list->items[list->count - 1][0] == '\0') {
            if (end[*end ? 1 : 0] == '\0' && number > 1 &&
                separator == '\n') { /* the last line may be empty */
                free(list->items[--list->count]);
                return EXIT_GOOD;
            }
            return complain_text(separator == ',' ? EXIT_MISUSE : EXIT_INPUT, "%s: %s %d is empty", what,
                                 separator == ',' ? "class" : "line", number);
        }
        at = *end ? end + 1 : end;
    }
    return list->count ? EXIT_GOOD
                       : complain_text(separator == ',' ? EXIT_MISUSE : EXIT_INPUT, "%s: empty", what);
}

static int read_lines(const char *path, string_list *list)
{
    unsigned char *bytes;
    size_t count;
    t2d_error err;
    const t2d_status status = t2d_read_file(path, LIST_FILE_BYTES, &bytes, &count, &err);
    if (status != T2D_OK) return complain(code_of_input(status), &err);
    const char *text = (const char *)bytes;
    int code = EXIT_GOOD;
    if (strlen(text) != count)
        code = complain_text(EXIT_INPUT, "%s: not a text file: it holds a zero byte at offset %zu", path,
                             strlen(text));
    else
        code = cut(count >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text, '\n', path, list);
    free(bytes);
    return code;
}

int read_classes(const char *inline_classes, const char *file, string_list *list)
{
    *list = (string_list){0};
    if ((inline_classes != NULL) == (file != NULL))
        return complain_text(
            EXIT_MISUSE, inline_classes ? "give -c or --classes-file, not both"
                                        : "no classes: give them with -c \"cat,dog\" or --classes-file FILE");
    if (file) return read_lines(file, list);
    const int code = cut(inline_classes, ',', "-c", list);
    for (int i = 0; i < list->count; i++) /* as the published demo reads its categories */
        for (char *c = list->items[i]; *c; c++)
            if (*c == '_') *c = ' ';
    return code;
}

int read_templates(const char *name_or_file, string_list *prompts, t2d_vocab_options *options)
{
    int count;
    *prompts = (string_list){0};
    *options = (t2d_vocab_options){.templates = name_or_file};
    if (!name_or_file || t2d_templates_find(name_or_file, &count)) return EXIT_GOOD;
    if (!strpbrk(name_or_file, "./"))
        return complain_text(
            EXIT_MISUSE, "no template set is called '%s'; there are %s (or a file with a . or / in its name)",
            name_or_file, t2d_templates_names());
    const int code = read_lines(name_or_file, prompts);
    options->prompts = (const char *const *)prompts->items;
    options->prompt_count = prompts->count;
    return code;
}

int open_vocab(t2d_engine *engine, const string_list *classes, const char *templates, t2d_vocab **vocab)
{
    string_list prompts;
    t2d_vocab_options options;
    *vocab = NULL;
    int code = read_templates(templates, &prompts, &options);
    if (code == EXIT_GOOD) {
        t2d_error err;
        const double start = t2d_clock();
        const t2d_status status = t2d_vocab_create(engine, (const char *const *)classes->items,
                                                   classes->count, &options, vocab, &err);
        if (status != T2D_OK)
            code = complain(code_of_input(status), &err);
        else
            remark("%d classes (%d vectors) encoded in %.2f s", t2d_vocab_count(*vocab),
                   t2d_vocab_rows(*vocab), t2d_clock() - start);
    }
    string_list_release(&prompts);
    return code;
}
