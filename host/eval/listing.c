/* listing.c — which pictures a data folder has, in which order.
 * As mmseg finds them: a split file's names in its order, or, without one, every picture below the folder,
 * sorted by name.  Order matters: shards and resumed runs count pictures by their place in it. */
#include "eval/eval.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { SPLIT_BYTES = 1 << 30, DEEPEST = 16 };

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static char *join(const char *a, const char *b, t2d_error *err)
{
    const size_t room = strlen(a) + strlen(b) + 2;
    char *path = t2d_new(room, 1, "path", err);
    if (path) snprintf(path, room, *a && *b ? "%s/%s" : "%s%s", a, b);
    return path;
}

/* The root below `data`, whose leading parts may already be in `data`: data, data/VOCdevkit and
 * data/VOCdevkit/VOC2012 all mean the same folder. */
static t2d_status find_root(t2d_listing *l, const char *data, t2d_error *err)
{
    for (const char *rest = l->preset->root;;) {
        char *root = join(data, rest, err), *pictures = root ? join(root, l->preset->pictures, err) : NULL;
        const bool found = pictures && is_folder(pictures);
        const bool memory = pictures != NULL;
        free(pictures);
        if (found) {
            l->root = root;
            return T2D_OK;
        }
        free(root);
        if (!memory) return T2D_E_MEMORY;
        if (!*rest) break;
        const char *slash = strchr(rest, '/');
        rest = slash ? slash + 1 : "";
    }
    return t2d_fail(err, T2D_E_IO,
                    "%s: the pictures of %s are not there; %s%s%s is looked for in this folder, or its end",
                    data, l->preset->name, l->preset->root, *l->preset->root ? "/" : "", l->preset->pictures);
}

/* ---- names ---- */

static t2d_status push(t2d_listing *l, int64_t *capacity, const char *name, size_t length, t2d_error *err)
{
    if (l->count == *capacity) {
        const int64_t more = *capacity ? 2 * *capacity : 1024;
        char **stems = realloc(l->stems, (size_t)more * sizeof *stems);
        if (!stems) return t2d_fail(err, T2D_E_MEMORY, "picture names: out of memory");
        l->stems = stems;
        *capacity = more;
    }
    char *stem = strndup(name, length);
    if (!stem) return t2d_fail(err, T2D_E_MEMORY, "picture names: out of memory");
    l->stems[l->count++] = stem;
    return T2D_OK;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static t2d_status read_split(t2d_listing *l, const char *path, t2d_error *err)
{
    unsigned char *bytes;
    size_t count;
    int64_t capacity = 0;
    t2d_status status = t2d_read_file(path, SPLIT_BYTES, &bytes, &count, err);
    if (status) return status;
    if (memchr(bytes, 0, count))
        status = t2d_fail(err, T2D_E_FORMAT, "%s: not a text file: it holds a zero byte", path);
    for (const char *at = (const char *)bytes; status == T2D_OK && *at;) {
        const char *end = strchrnul(at, '\n'), *from = at, *to = end;
        while (from < to && is_space(*from)) from++;
        while (to > from && is_space(to[-1])) to--;
        if (to > from) status = push(l, &capacity, from, (size_t)(to - from), err);
        at = *end ? end + 1 : end;
    }
    free(bytes);
    return status;
}

static t2d_status scan(t2d_listing *l, int64_t *capacity, const char *folder, const char *below, int depth,
                       t2d_error *err);

/* One entry of a folder: a picture is listed, a folder entered, the rest passed over. */
static t2d_status scan_entry(t2d_listing *l, int64_t *capacity, const char *folder, const char *below,
                             const char *entry, int depth, t2d_error *err)
{
    char *path = join(folder, entry, err), *name = path ? join(below, entry, err) : NULL;
    t2d_status status = name ? T2D_OK : T2D_E_MEMORY;
    if (status == T2D_OK && is_folder(path)) {
        status = depth < DEEPEST ? scan(l, capacity, path, name, depth + 1, err)
                                 : t2d_fail(err, T2D_E_IO, "%s: more than %d folders deep", path, DEEPEST);
    } else if (status == T2D_OK) {
        const size_t length = strlen(name), suffix = strlen(l->preset->picture_suffix);
        if (length > suffix && strcmp(name + length - suffix, l->preset->picture_suffix) == 0)
            status = push(l, capacity, name, length - suffix, err);
    }
    free(path);
    free(name);
    return status;
}

static t2d_status scan(t2d_listing *l, int64_t *capacity, const char *folder, const char *below, int depth,
                       t2d_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir) return t2d_fail(err, T2D_E_IO, "%s: cannot list: %s", folder, strerror(errno));
    t2d_status status = T2D_OK;
    for (struct dirent *e; status == T2D_OK && (e = readdir(dir));)
        if (e->d_name[0] != '.') status = scan_entry(l, capacity, folder, below, e->d_name, depth, err);
    closedir(dir);
    return status;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static t2d_status scan_all(t2d_listing *l, t2d_error *err)
{
    int64_t capacity = 0;
    char *folder = join(l->root, l->preset->pictures, err);
    if (!folder) return T2D_E_MEMORY;
    const t2d_status status = scan(l, &capacity, folder, "", 0, err);
    free(folder);
    if (status == T2D_OK && l->count > 0) qsort(l->stems, (size_t)l->count, sizeof *l->stems, by_name);
    return status;
}

/* ---- the whole ---- */

static t2d_status check_twins(const t2d_listing *l, t2d_error *err)
{
    char **sorted = t2d_new((size_t)l->count, sizeof *sorted, "picture names", err);
    if (!sorted) return T2D_E_MEMORY;
    memcpy(sorted, l->stems, (size_t)l->count * sizeof *sorted);
    qsort(sorted, (size_t)l->count, sizeof *sorted, by_name);
    t2d_status status = T2D_OK;
    for (int64_t i = 1; status == T2D_OK && i < l->count; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status =
                t2d_fail(err, T2D_E_FORMAT, "picture '%s' is listed twice; it would count twice", sorted[i]);
    free(sorted);
    return status;
}

static t2d_status hash_names(t2d_listing *l, t2d_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return t2d_fail(err, T2D_E_MEMORY, "picture names: out of memory");
    XXH3_64bits_reset(state);
    for (int64_t i = 0; i < l->count; i++) XXH3_64bits_update(state, l->stems[i], strlen(l->stems[i]) + 1);
    l->hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return T2D_OK;
}

t2d_status t2d_listing_open(const t2d_preset *preset, const char *data, const char *split,
                            t2d_listing *listing, t2d_error *err)
{
    *listing = (t2d_listing){.preset = preset};
    char *own = NULL;
    t2d_status status = find_root(listing, data, err);
    if (status == T2D_OK && !split && preset->split) {
        split = own = join(listing->root, preset->split, err);
        status = own ? T2D_OK : T2D_E_MEMORY;
    }
    if (status == T2D_OK) status = split ? read_split(listing, split, err) : scan_all(listing, err);
    if (status == T2D_OK && listing->count == 0)
        status = t2d_fail(err, T2D_E_FORMAT, "%s: no pictures (*%s) of %s", split ? split : listing->root,
                          preset->picture_suffix, preset->name);
    if (status == T2D_OK) status = check_twins(listing, err);
    if (status == T2D_OK) status = hash_names(listing, err);
    free(own);
    if (status) t2d_listing_release(listing);
    return status;
}

void t2d_listing_release(t2d_listing *listing)
{
    for (int64_t i = 0; i < listing->count; i++) free(listing->stems[i]);
    free(listing->stems);
    free(listing->root);
    *listing = (t2d_listing){0};
}
