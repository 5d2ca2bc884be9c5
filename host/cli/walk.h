/* walk.h — the pictures of a folder and of the folders in it, one after the other. */
#ifndef T2D_WALK_H
#define T2D_WALK_H

#include "base/base.h"

#include <sys/types.h>

/* A picture, or something in its place that cannot be one. */
typedef struct found_picture {
    char *path; /* malloc'd, as `name` */
    char *name; /* what its results are called, below their folder: the path without suffix, or with it */
    t2d_status status; /* not T2D_OK: there is no picture, and *err has the sentence */
    t2d_error err;
} found_picture;
void found_release(found_picture *found);

/* Whether a name ends like a picture's: jpg jpeg png webp ppm pgm, in any case. */
bool is_picture_name(const char *name);

/* "cat.jpg" -> "cat", or all of it; malloc'd. */
char *result_name(const char *name, bool keep_suffix);

/* Folders that the walk leaves out. */
typedef struct left_out {
    dev_t device[3];
    ino_t inode[3];
    int count;
} left_out;

typedef struct walk walk;

/* A walk below `folder`, whose pictures' names begin with `prefix`.  NULL without memory.  Every folder's
 * entries come sorted by byte; names that begin with a dot, folders in `out` (kept by the caller) and folders
 * that lead back into one being walked are left out.  Memory: the names of the folders from the root to the
 * present one. */
walk *walk_open(const char *folder, const char *prefix, bool keep_suffix, const left_out *out);

/* False after the last. */
bool walk_next(walk *w, found_picture *found);
void walk_close(walk *w);

#endif
