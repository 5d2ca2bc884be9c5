/* segment_output.c — names of result files, and the line that is printed about a mask.
 *
 * One picture: -o, --overlay and --scores name files.  Several: they name folders, and a file is called after
 * its picture. */
#include "cli/segment_output.h"
#include "io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int make_folder(const char *path)
{
    if (!path || is_folder(path) || mkdir(path, 0777) == 0) return EXIT_GOOD;
    return complain_text(EXIT_FAILED, "%s: cannot make this folder for the results of several pictures: %s",
                         path, strerror(errno));
}

int outputs_check(const output_request *request)
{
    if (!request->many) return EXIT_GOOD;
    const char *folders[] = {request->mask, request->overlay, request->scores};
    int code = EXIT_GOOD;
    for (int i = 0; code == EXIT_GOOD && i < 3; i++)
        if (folders[i] && strcmp(folders[i], "-") == 0)
            code = complain_text(EXIT_MISUSE, "several pictures cannot all be written to standard output");
    for (int i = 0; code == EXIT_GOOD && i < 3; i++) code = make_folder(folders[i]);
    return code;
}

/* Whether `path` is `folder` or lies in it; both resolved. */
static bool lies_in(const char *path, const char *folder)
{
    const size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 &&
           (path[length] == '\0' || path[length] == '/' || (length == 1 && folder[0] == '/'));
}

static int check_apart(const char *results, const char *operand)
{
    char *a = realpath(operand, NULL), *b = realpath(results, NULL);
    const bool inside = a && b && lies_in(a, b);
    free(a);
    free(b);
    if (!inside) return EXIT_GOOD;
    return complain_text(EXIT_MISUSE,
                         "%s: the pictures of %s lie in it, and results would be taken for pictures; name a "
                         "folder of their own (one within %s is left out of the walk)",
                         results, operand, operand);
}

int outputs_leave_out(const output_request *request, char **operands, int count, left_out *out)
{
    const char *folders[] = {request->mask, request->overlay, request->scores};
    struct stat info;
    *out = (left_out){0};
    int code = EXIT_GOOD;
    for (int i = 0; code == EXIT_GOOD && i < 3; i++) {
        if (!folders[i] || stat(folders[i], &info) != 0) continue;
        out->device[out->count] = info.st_dev;
        out->inode[out->count++] = info.st_ino;
        for (int k = 0; code == EXIT_GOOD && k < count; k++)
            if (is_folder(operands[k])) code = check_apart(folders[i], operands[k]);
    }
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

/* An overlay beside the masks has a name that another picture's mask may have. */
static bool is_like_overlay(const output_request *request, const char *name)
{
    const char *end = "_overlay";
    const size_t length = strlen(name), tail = strlen(end);
    return request->many && request->mask && request->overlay &&
           strcmp(request->mask, request->overlay) == 0 && length > tail &&
           strcmp(name + length - tail, end) == 0;
}

static t2d_status check_paths(const output_paths *paths, const char *picture, t2d_error *err)
{
    const char *all[] = {paths->mask, paths->overlay, paths->scores};
    for (int i = 0; i < 3; i++) {
        if (all[i] && same_file(all[i], picture))
            return t2d_fail(err, T2D_E_ARGUMENT, "%s would be replaced by its own result; choose another -o",
                            picture);
        for (int k = 0; k < i; k++)
            if (all[i] && all[k] && strcmp(all[i], all[k]) == 0)
                return t2d_fail(err, T2D_E_ARGUMENT, "two results would be the same file %s", all[i]);
    }
    return T2D_OK;
}

t2d_status outputs_plan(const output_request *request, const char *picture, const char *name,
                        output_paths *paths, t2d_error *err)
{
    *paths = (output_paths){0};
    if (is_like_overlay(request, name))
        return t2d_fail(
            err, T2D_E_ARGUMENT,
            "%s: its mask might replace another picture's overlay; give --overlay a folder of its "
            "own",
            picture);
    paths->mask = request->mask ? place(request->mask, request->many, name, "%s/%s.png")
                                : join("%s%s", name, "_mask.png");
    if (request->overlay) paths->overlay = place(request->overlay, request->many, name, "%s/%s_overlay.png");
    if (request->scores) paths->scores = place(request->scores, request->many, name, "%s/%s.npy");
    if (!paths->mask || (request->overlay && !paths->overlay) || (request->scores && !paths->scores))
        return t2d_fail(err, T2D_E_MEMORY, "%s: names of its results: out of memory", picture);
    return check_paths(paths, picture, err);
}

void outputs_release(output_paths *paths)
{
    free(paths->mask);
    free(paths->overlay);
    free(paths->scores);
    *paths = (output_paths){0};
}

t2d_status outputs_make_way(const char *path, t2d_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
    if (!folder) return T2D_OK; /* the current folder, the root, or no memory, which the file will notice */
    t2d_status status = T2D_OK;
    if (mkdir(folder, 0777) != 0 && errno == ENOENT) {
        status = outputs_make_way(folder, err);
        if (status == T2D_OK && mkdir(folder, 0777) != 0 && errno != EEXIST)
            status = t2d_fail(err, T2D_E_IO, "%s: cannot make this folder: %s", folder, strerror(errno));
    }
    free(folder);
    return status;
}

bool outputs_stand(const output_paths *paths)
{
    return t2d_png_is_whole(paths->mask) && (!paths->overlay || t2d_png_is_whole(paths->overlay)) &&
           (!paths->scores || access(paths->scores, F_OK) == 0);
}

/* ---- the report ---- */

static int by_pixels(const void *a, const void *b)
{
    const label_share *p = a, *q = b;
    return p->pixels != q->pixels ? (p->pixels > q->pixels ? -1 : 1) : p->label - q->label;
}

t2d_status mask_report_make(const t2d_mask *mask, mask_report *report, t2d_error *err)
{
    label_share *shares = t2d_new((size_t)mask->labels, sizeof *shares, "labels that occur", err);
    *report = (mask_report){.width = mask->width, .height = mask->height, .shares = shares};
    if (!shares) return T2D_E_MEMORY;
    for (int i = 0; i < mask->labels; i++) shares[i].label = i;
    for (size_t i = 0; i < (size_t)mask->width * (size_t)mask->height; i++) shares[mask->ids[i]].pixels++;
    qsort(shares, (size_t)mask->labels, sizeof *shares, by_pixels);
    while (report->count < mask->labels && shares[report->count].pixels > 0) report->count++;
    return T2D_OK;
}

static void report_json(const char *picture, const output_paths *paths, const mask_report *r,
                        const char *const *names, const json_t *decided, double seconds)
{
    json_t *labels = json_array();
    for (int i = 0; i < r->count; i++)
        json_array_append_new(labels, json_pack("{s:i, s:s, s:I}", "id", r->shares[i].label, "name",
                                                names[r->shares[i].label], "pixels",
                                                (json_int_t)r->shares[i].pixels));
    json_t *line = json_pack("{s:s, s:s, s:s?, s:s?, s:i, s:i, s:o, s:f}", "picture", picture, "mask",
                             paths->mask, "overlay", paths->overlay, "scores", paths->scores, "width",
                             r->width, "height", r->height, "labels", labels, "seconds", seconds);
    json_object_update(line, (json_t *)decided);
    print_json(line);
}

void report_mask(const char *picture, const output_paths *paths, const mask_report *r,
                 const char *const *names, const json_t *decided, double seconds)
{
    enum { MOST = 6 };
    if (!common.json && strcmp(paths->mask, "-") == 0) return;
    if (common.json) {
        report_json(picture, paths, r, names, decided, seconds);
        return;
    }
    const double pixels = (double)r->width * r->height;
    printf("%s -> %s  %d x %d ", picture, paths->mask, r->width, r->height);
    for (int i = 0; i < r->count && i < MOST; i++)
        printf("%s %s %.1f %%", i ? "," : "", names[r->shares[i].label],
               100 * (double)r->shares[i].pixels / pixels);
    puts(r->count > MOST ? ", ..." : "");
    fflush(stdout);
}
