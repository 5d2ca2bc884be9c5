/* source.h — the pictures of a run, one after the other: operands, folders, or the lines of a list. */
#ifndef T2D_SOURCE_H
#define T2D_SOURCE_H

#include "cli/cli.h"
#include "cli/walk.h"

typedef struct source_request {
    char **operands; /* pictures and folders */
    int count;
    const char *list; /* a file of paths, or "-"; NULL: the operands */
    bool keep_suffix; /* in the names of results */
    int64_t first, step;
} source_request;

typedef struct source source;

/* Whether results need a folder: a list, or a folder among the operands. */
bool source_is_stream(const source_request *request);

/* Refuses operands whose results would be the same file.  Says what is wrong, as does source_open. */
int source_check(const source_request *request);

/* `out` (kept by the caller, as the request): folders that are no source of pictures. */
int source_open(const source_request *request, const left_out *out, source **opened);

/* The next picture of the share; false after the last.  One thread at a time. */
bool source_next(source *s, found_picture *found);
void source_close(source *s);

#endif
