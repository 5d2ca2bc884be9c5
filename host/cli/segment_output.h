/* segment_output.h — where the results of `t2d segment` go, and what is said about them. */
#ifndef T2D_SEGMENT_OUTPUT_H
#define T2D_SEGMENT_OUTPUT_H

#include "cli/cli.h"

/* What -o, --overlay and --scores asked for, and the paths it means for one picture (NULL: not asked for). */
typedef struct output_request {
    const char *mask, *overlay, *scores; /* as given; NULL when not */
    bool many;                           /* several pictures: each of the three is a folder */
} output_request;

typedef struct output_paths {
    char *mask, *overlay, *scores;
} output_paths;

/* Checks the request against all pictures (clashing names, folders that cannot be made); says what is wrong.
 */
int outputs_check(const output_request *request, char **pictures, int count);

/* The three paths for `picture`; says what is wrong (an output that would replace the picture). */
int outputs_plan(const output_request *request, const char *picture, output_paths *paths);
void outputs_release(output_paths *paths);

/* One picture's result on stdout: a line for people, or JSON.  `decided` (may be NULL): the run's options,
 * copied into the JSON. */
void report_mask(const char *picture, const output_paths *paths, const t2d_mask *mask,
                 const char *const *names, const json_t *decided, double seconds);

#endif
