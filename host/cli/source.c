/* source.c — where pictures come from.  A list may be longer than memory, so that equal names cannot be
 * looked for: its results keep the pictures' suffixes, and lines that differ have results that differ. */
#include "cli/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct source {
    const source_request *asked;
    const left_out *out;
    int operand; /* the next one */
    walk *walk;  /* of the one before it */
    FILE *list;
    char *line;
    size_t room;
    int64_t line_number, number; /* of the next picture, of all shares */
};

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool source_is_stream(const source_request *request)
{
    for (int i = 0; i < request->count; i++)
        if (is_folder(request->operands[i])) return true;
    return request->list != NULL;
}

/* "dir/cat.jpg" -> "cat", malloc'd. */
static char *operand_name(const source_request *r, const char *operand)
{
    if (strcmp(operand, "-") == 0) return strdup("stdin");
    char *real = is_folder(operand) ? realpath(operand, NULL) : NULL; /* "." and "/data/" have names too */
    const char *path = real ? real : operand, *slash = strrchr(path, '/');
    char *name = result_name(slash ? slash + 1 : path, r->keep_suffix || real);
    free(real);
    return name;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

int source_check(const source_request *r)
{
    char **names = calloc((size_t)r->count + 1, sizeof *names);
    int code = names ? EXIT_GOOD : complain_text(EXIT_FAILED, "picture names: out of memory");
    for (int i = 0; code == EXIT_GOOD && i < r->count; i++)
        if (!(names[i] = operand_name(r, r->operands[i])))
            code = complain_text(EXIT_FAILED, "picture names: out of memory");
    if (code == EXIT_GOOD) qsort(names, (size_t)r->count, sizeof *names, by_text);
    for (int i = 1; code == EXIT_GOOD && i < r->count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            code =
                complain_text(EXIT_MISUSE,
                              "two pictures are called '%s': their results would be the same file; segment "
                              "them in two runs with different -o",
                              names[i]);
    for (int i = 0; names && i < r->count; i++) free(names[i]);
    free(names);
    return code;
}

int source_open(const source_request *request, const left_out *out, source **opened)
{
    source *s = *opened = calloc(1, sizeof *s);
    if (!s) return complain_text(EXIT_FAILED, "names of pictures: out of memory");
    *s = (source){.asked = request, .out = out};
    if (!request->list) return EXIT_GOOD;
    s->list = strcmp(request->list, "-") == 0 ? stdin : fopen(request->list, "re");
    if (s->list) return EXIT_GOOD;
    return complain_text(EXIT_INPUT, "%s: cannot open this list: %s", request->list, strerror(errno));
}

void source_close(source *s)
{
    if (!s) return;
    if (s->list && s->list != stdin) fclose(s->list);
    walk_close(s->walk);
    free(s->line);
    free(s);
}

/* ---- operands ---- */

static t2d_status no_memory(found_picture *found)
{
    return found->status = t2d_fail(&found->err, T2D_E_MEMORY, "names of pictures: out of memory");
}

/* A folder among several operands has a folder of its own among the results. */
static t2d_status open_walk(source *s, const char *folder, found_picture *found)
{
    char *prefix = NULL, *name = s->asked->count > 1 ? operand_name(s->asked, folder) : strdup("");
    if (name && asprintf(&prefix, "%s%s", name, *name ? "/" : "") < 0) prefix = NULL;
    s->walk = prefix ? walk_open(folder, prefix, s->asked->keep_suffix, s->out) : NULL;
    free(prefix);
    free(name);
    return s->walk ? T2D_OK : no_memory(found);
}

static bool next_operand(source *s, found_picture *found)
{
    while (s->walk || s->operand < s->asked->count) {
        if (s->walk && walk_next(s->walk, found)) return true;
        walk_close(s->walk);
        s->walk = NULL;
        if (s->operand == s->asked->count) break;
        const char *operand = s->asked->operands[s->operand++];
        *found = (found_picture){0};
        if (is_folder(operand)) {
            if (open_walk(s, operand, found) != T2D_OK) return true;
            continue;
        }
        found->path = strdup(operand);
        found->name = operand_name(s->asked, operand);
        if (!found->path || !found->name) no_memory(found);
        return true;
    }
    return false;
}

/* ---- lists ---- */

/* "/data/./a//b.jpg" -> "data/a/b.jpg", in `to`; false where ".." would lead out of the results' folder. */
static bool mirror(const char *path, char *to)
{
    char *end = to;
    for (size_t length; *path; path += length) {
        path += strspn(path, "/");
        length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.') return false;
        if (length == 0 || (length == 1 && path[0] == '.')) continue;
        if (end > to) *end++ = '/';
        memcpy(end, path, length);
        end += length;
    }
    *end = '\0';
    return end > to;
}

static void read_line(source *s, size_t length, found_picture *found)
{
    const char *list = s->list == stdin ? "standard input" : s->asked->list;
    const long long at = (long long)s->line_number;
    found->path = strdup(strcmp(s->line, "-") == 0 ? "./-" : s->line);
    found->name = strdup(s->line);
    if (!found->path || !found->name)
        no_memory(found);
    else if (strlen(s->line) != length)
        found->status =
            t2d_fail(&found->err, T2D_E_FORMAT, "%s: line %lld holds a zero byte: not a path", list, at);
    else if (!mirror(s->line, found->name))
        found->status =
            t2d_fail(&found->err, T2D_E_FORMAT,
                     "%s: line %lld, '%s': its result would not lie in the folder of results; write "
                     "it without '..', from / on",
                     list, at, s->line);
}

static bool next_line(source *s, found_picture *found)
{
    *found = (found_picture){0};
    for (ssize_t length; (length = getline(&s->line, &s->room, s->list)) >= 0;) {
        s->line_number++;
        while (length > 0 && (s->line[length - 1] == '\n' || s->line[length - 1] == '\r'))
            s->line[--length] = '\0';
        if (length == 0) continue;
        read_line(s, (size_t)length, found);
        return true;
    }
    if (!ferror(s->list)) return false;
    clearerr(s->list); /* once: what follows is the end */
    found->status = t2d_fail(&found->err, T2D_E_IO, "%s: cannot read: %s", s->asked->list, strerror(errno));
    return true;
}

bool source_next(source *s, found_picture *found)
{
    while (s->list ? next_line(s, found) : next_operand(s, found)) {
        if (s->number++ % s->asked->step == s->asked->first) return true;
        found_release(found);
    }
    return false;
}
