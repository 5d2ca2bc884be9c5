/* segment_output.c — names of result files, and the line that is printed about a mask.
 *
 * One picture: -o, --overlay and --scores name files.  Several: they name folders, and a file is called after
 * its picture.  No two pictures may end in the same file. */
#include "cli/segment_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- names ---- */

/* "dir/cat.jpg" -> "cat", malloc'd. */
static char *stem(const char *picture)
{
    if (strcmp(picture, "-") == 0) return strdup("stdin");
    const char *slash = strrchr(picture, '/'), *name = slash ? slash + 1 : picture;
    const char *dot = strrchr(name, '.');
    return strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int check_clashes(char **pictures, int count)
{
    char **stems = calloc((size_t)count, sizeof *stems);
    int code = stems ? EXIT_GOOD : complain_text(EXIT_FAILED, "picture names: out of memory");
    for (int i = 0; code == EXIT_GOOD && i < count; i++)
        if (!(stems[i] = stem(pictures[i])))
            code = complain_text(EXIT_FAILED, "picture names: out of memory");
    if (code == EXIT_GOOD) qsort(stems, (size_t)count, sizeof *stems, by_text);
    for (int i = 1; code == EXIT_GOOD && i < count; i++)
        if (strcmp(stems[i - 1], stems[i]) == 0)
            code =
                complain_text(EXIT_MISUSE,
                              "two pictures are called '%s': their results would be the same file; segment "
                              "them in two runs with different -o",
                              stems[i]);
    for (int i = 0; stems && i < count; i++) free(stems[i]);
    free(stems);
    return code;
}

static int make_folder(const char *path)
{
    if (!path || is_folder(path) || mkdir(path, 0777) == 0) return EXIT_GOOD;
    return complain_text(EXIT_FAILED, "%s: cannot make this folder for the results of several pictures: %s",
                         path, strerror(errno));
}

int outputs_check(const output_request *request, char **pictures, int count)
{
    if (!request->many) return EXIT_GOOD;
    const char *folders[] = {request->mask, request->overlay, request->scores};
    int code = check_clashes(pictures, count);
    for (int i = 0; code == EXIT_GOOD && i < 3; i++)
        code = folders[i] && strcmp(folders[i], "-") == 0
                   ? complain_text(EXIT_MISUSE, "several pictures cannot all be written to standard output")
                   : make_folder(folders[i]);
    return code;
}

static char *join(const char *format, const char *a, const char *b)
{
    char *text = NULL;
    if (asprintf(&text, format, a, b) < 0) return NULL;
    return text;
}

/* A given path as it is, or a file called after the picture in a given folder. */
static char *place(const char *given, bool many, const char *name, const char *in_folder)
{
    return many || is_folder(given) ? join(in_folder, given, name) : strdup(given);
}

/* Whether writing `path` would replace the picture it is made from. */
static bool same_file(const char *path, const char *picture)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(picture, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int outputs_plan(const output_request *request, const char *picture, output_paths *paths)
{
    *paths = (output_paths){0};
    char *name = stem(picture);
    if (name) {
        paths->mask = request->mask ? place(request->mask, request->many, name, "%s/%s.png")
                                    : join("%s%s", name, "_mask.png");
        if (request->overlay)
            paths->overlay = place(request->overlay, request->many, name, "%s/%s_overlay.png");
        if (request->scores) paths->scores = place(request->scores, request->many, name, "%s/%s.npy");
    }
    free(name);
    if (!paths->mask || (request->overlay && !paths->overlay) || (request->scores && !paths->scores))
        return complain_text(EXIT_FAILED, "%s: names of its results: out of memory", picture);
    const char *all[] = {paths->mask, paths->overlay, paths->scores};
    for (int i = 0; i < 3; i++) {
        if (all[i] && same_file(all[i], picture))
            return complain_text(EXIT_MISUSE, "%s would be replaced by its own result; choose another -o",
                                 picture);
        for (int k = 0; k < i; k++)
            if (all[i] && all[k] && strcmp(all[i], all[k]) == 0)
                return complain_text(EXIT_MISUSE, "two results would be the same file %s", all[i]);
    }
    return EXIT_GOOD;
}

void outputs_release(output_paths *paths)
{
    free(paths->mask);
    free(paths->overlay);
    free(paths->scores);
    *paths = (output_paths){0};
}

/* ---- the report ---- */

typedef struct share {
    int label;
    int64_t pixels;
} share;

static int by_pixels(const void *a, const void *b)
{
    const share *p = a, *q = b;
    return p->pixels != q->pixels ? (p->pixels > q->pixels ? -1 : 1) : p->label - q->label;
}

/* Labels by how much of the picture they cover; *count of them occur.  Caller frees; NULL without memory. */
static share *count_labels(const t2d_mask *mask, int *count)
{
    share *shares = calloc((size_t)mask->labels, sizeof *shares);
    if (!shares) return NULL;
    for (int i = 0; i < mask->labels; i++) shares[i].label = i;
    for (size_t i = 0; i < (size_t)mask->width * (size_t)mask->height; i++) shares[mask->ids[i]].pixels++;
    qsort(shares, (size_t)mask->labels, sizeof *shares, by_pixels);
    for (*count = 0; *count < mask->labels && shares[*count].pixels > 0;) (*count)++;
    return shares;
}

static void report_json(const char *picture, const output_paths *paths, const t2d_mask *mask,
                        const share *shares, int count, const char *const *names, const json_t *decided,
                        double seconds)
{
    json_t *labels = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(labels,
                              json_pack("{s:i, s:s, s:I}", "id", shares[i].label, "name",
                                        names[shares[i].label], "pixels", (json_int_t)shares[i].pixels));
    json_t *line = json_pack("{s:s, s:s, s:s?, s:s?, s:i, s:i, s:o, s:f}", "picture", picture, "mask",
                             paths->mask, "overlay", paths->overlay, "scores", paths->scores, "width",
                             mask->width, "height", mask->height, "labels", labels, "seconds", seconds);
    json_object_update(line, (json_t *)decided);
    print_json(line);
}

void report_mask(const char *picture, const output_paths *paths, const t2d_mask *mask,
                 const char *const *names, const json_t *decided, double seconds)
{
    enum { MOST = 6 };
    if (!common.json && strcmp(paths->mask, "-") == 0) return;
    int count = 0;
    share *shares = count_labels(mask, &count);
    if (!shares) return;
    if (common.json) {
        report_json(picture, paths, mask, shares, count, names, decided, seconds);
        free(shares);
        return;
    }
    const double pixels = (double)mask->width * mask->height;
    printf("%s -> %s  %d x %d ", picture, paths->mask, mask->width, mask->height);
    for (int i = 0; i < count && i < MOST; i++)
        printf("%s %s %.1f %%", i ? "," : "", names[shares[i].label],
               100 * (double)shares[i].pixels / pixels);
    puts(count > MOST ? ", ..." : "");
    fflush(stdout);
    free(shares);
}
