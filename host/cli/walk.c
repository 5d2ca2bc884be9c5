/* walk.c — a stack of folders, each with its names: nothing else is held, however many pictures there are. */
#include "cli/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MOST_DEPTH = 256 };

typedef struct entry {
    char *name;
    unsigned char type; /* d_type */
    bool twin;          /* an earlier picture of the folder has the same name but for its suffix */
} entry;

typedef struct level {
    char *path, *prefix; /* the folder; what its pictures' names begin with */
    entry *entries;
    size_t count, at;
    dev_t device;
    ino_t inode;
} level;

struct walk {
    level levels[MOST_DEPTH];
    int depth;
    bool keep_suffix;
    const left_out *out;
    char *root, *prefix; /* until it is entered */
};

/* ---- names ---- */

void found_release(found_picture *found)
{
    free(found->path);
    free(found->name);
    *found = (found_picture){0};
}

static size_t stem_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot > name ? (size_t)(dot - name) : strlen(name);
}

bool is_picture_name(const char *name)
{
    static const char *const suffixes[] = {".jpg", ".jpeg", ".png", ".webp", ".ppm", ".pgm"};
    const char *suffix = name + stem_length(name);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcasecmp(suffix, suffixes[i]) == 0) return true;
    return false;
}

char *result_name(const char *name, bool keep_suffix)
{
    return keep_suffix ? strdup(name) : strndup(name, stem_length(name));
}

static char *join(const char *a, const char *between, const char *b)
{
    char *text = NULL;
    return asprintf(&text, "%s%s%s", a, between, b) < 0 ? NULL : text;
}

static t2d_status no_memory(found_picture *found)
{
    return found->status = t2d_fail(&found->err, T2D_E_MEMORY, "names of pictures: out of memory");
}

/* ---- a folder's entries ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static int by_stem(const entry *a, const entry *b)
{
    const size_t p = stem_length(a->name), q = stem_length(b->name);
    const int order = memcmp(a->name, b->name, p < q ? p : q);
    return order ? order : (p > q) - (p < q);
}

static int by_stem_then_name(const void *a, const void *b)
{
    const entry *p = *(entry *const *)a, *q = *(entry *const *)b;
    const int order = by_stem(p, q);
    return order ? order : strcmp(p->name, q->name);
}

static bool is_wanted(const struct dirent *d)
{
    if (d->d_name[0] == '.') return false;
    if (d->d_type == DT_DIR || d->d_type == DT_LNK || d->d_type == DT_UNKNOWN) return true;
    return d->d_type == DT_REG && is_picture_name(d->d_name);
}

static bool append(level *l, size_t *room, const struct dirent *d)
{
    if (l->count == *room) {
        const size_t more = *room ? *room * 2 : 64;
        entry *entries = realloc(l->entries, more * sizeof *entries);
        if (!entries) return false;
        l->entries = entries;
        *room = more;
    }
    char *name = strdup(d->d_name);
    if (name) l->entries[l->count++] = (entry){.name = name, .type = d->d_type};
    return name;
}

/* Marks all but the first of those whose results would be the same file. */
static bool mark_twins(level *l)
{
    entry **sorted = malloc((l->count ? l->count : 1) * sizeof *sorted);
    size_t count = 0;
    if (!sorted) return false;
    for (size_t i = 0; i < l->count; i++)
        if (l->entries[i].type != DT_DIR && is_picture_name(l->entries[i].name))
            sorted[count++] = &l->entries[i];
    qsort(sorted, count, sizeof *sorted, by_stem_then_name);
    for (size_t i = 1; i < count; i++) sorted[i]->twin = by_stem(sorted[i - 1], sorted[i]) == 0;
    free(sorted);
    return true;
}

static t2d_status read_entries(level *l, DIR *folder, bool twins, found_picture *found)
{
    size_t room = 0;
    errno = 0;
    for (const struct dirent *d; (d = readdir(folder)); errno = 0)
        if (is_wanted(d) && !append(l, &room, d)) return no_memory(found);
    if (errno)
        return found->status = t2d_fail(&found->err, T2D_E_IO, "%s: cannot read this folder: %s", l->path,
                                        strerror(errno));
    if (l->count) qsort(l->entries, l->count, sizeof *l->entries, by_name);
    return twins && !mark_twins(l) ? no_memory(found) : T2D_OK;
}

static void release(level *l)
{
    for (size_t i = 0; i < l->count; i++) free(l->entries[i].name);
    free(l->entries);
    free(l->path);
    free(l->prefix);
}

/* ---- folders entered and left ---- */

/* Results of this run, or a folder that leads back into one being walked. */
static bool is_left_out(const walk *w, const struct stat *info)
{
    for (int i = 0; i < w->out->count; i++)
        if (w->out->device[i] == info->st_dev && w->out->inode[i] == info->st_ino) return true;
    for (int i = 0; i < w->depth; i++)
        if (w->levels[i].device == info->st_dev && w->levels[i].inode == info->st_ino) return true;
    return false;
}

/* Enters the folder, or passes over it; found->status when it cannot be read.  Owns path and prefix. */
static t2d_status enter(walk *w, char *path, char *prefix, found_picture *found)
{
    level l = {.path = path, .prefix = prefix};
    struct stat info;
    DIR *folder = path && prefix ? opendir(path) : NULL;
    if (!path || !prefix)
        no_memory(found);
    else if (!folder || fstat(dirfd(folder), &info) != 0)
        found->status =
            t2d_fail(&found->err, T2D_E_IO, "%s: cannot read this folder: %s", path, strerror(errno));
    else if (is_left_out(w, &info))
        release(&l);
    else if (w->depth == MOST_DEPTH)
        found->status = t2d_fail(&found->err, T2D_E_IO, "%s: more than %d folders deep", path, MOST_DEPTH);
    else if (read_entries(&l, folder, !w->keep_suffix, found) == T2D_OK) {
        l.device = info.st_dev;
        l.inode = info.st_ino;
        w->levels[w->depth++] = l;
    }
    if (folder) closedir(folder);
    if (found->status) release(&l);
    return found->status;
}

walk *walk_open(const char *folder, const char *prefix, bool keep_suffix, const left_out *out)
{
    walk *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->keep_suffix = keep_suffix;
    w->out = out;
    w->root = strdup(folder);
    w->prefix = strdup(prefix);
    if (w->root && w->prefix) return w;
    walk_close(w);
    return NULL;
}

void walk_close(walk *w)
{
    if (!w) return;
    while (w->depth > 0) release(&w->levels[--w->depth]);
    free(w->root);
    free(w->prefix);
    free(w);
}

/* ---- one picture ---- */

/* What an entry is behind its links; what cannot be told is left to its reader. */
static unsigned char kind_of(const entry *e, const char *path)
{
    struct stat info;
    if (e->type == DT_DIR || e->type == DT_REG) return e->type;
    if (stat(path, &info) != 0 || S_ISREG(info.st_mode)) return DT_REG;
    return S_ISDIR(info.st_mode) ? DT_DIR : DT_UNKNOWN;
}

static void name_picture(const walk *w, const level *l, const entry *e, found_picture *found)
{
    char *own = result_name(e->name, w->keep_suffix);
    found->name = own ? join(l->prefix, "", own) : NULL;
    free(own);
    if (!found->name)
        no_memory(found);
    else if (e->twin)
        found->status =
            t2d_fail(&found->err, T2D_E_ARGUMENT,
                     "%s: another picture of this folder differs from it in its suffix alone, and "
                     "has the result %s.png; --keep-suffix gives each its own",
                     found->path, found->name);
}

/* The next entry of the present folder; false: it is no picture and no failure. */
static bool look_at(walk *w, found_picture *found)
{
    level *l = &w->levels[w->depth - 1];
    const entry *e = &l->entries[l->at++];
    const size_t end = strlen(l->path);
    found->path = join(l->path, end && l->path[end - 1] == '/' ? "" : "/", e->name);
    if (!found->path) return no_memory(found);
    const unsigned char kind = kind_of(e, found->path);
    if (kind == DT_DIR) return enter(w, strdup(found->path), join(l->prefix, e->name, "/"), found) != T2D_OK;
    if (kind != DT_REG || !is_picture_name(e->name)) return false;
    name_picture(w, l, e, found);
    return true;
}

bool walk_next(walk *w, found_picture *found)
{
    *found = (found_picture){0};
    if (w->root) {
        char *root = w->root, *prefix = w->prefix;
        w->root = w->prefix = NULL;
        if (enter(w, root, prefix, found) != T2D_OK) return true;
    }
    while (w->depth > 0) {
        const level *l = &w->levels[w->depth - 1];
        if (l->at < l->count) {
            if (look_at(w, found)) return true;
            found_release(found);
        } else {
            release(&w->levels[--w->depth]);
        }
    }
    return false;
}
