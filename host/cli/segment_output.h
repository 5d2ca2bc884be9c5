/* segment_output.h — where the results of `t2d segment` go, and what is said about them. */
#ifndef T2D_SEGMENT_OUTPUT_H
#define T2D_SEGMENT_OUTPUT_H

#include "cli/cli.h"
#include "cli/walk.h"

/* What -o, --overlay and --scores asked for, and the paths it means for one picture (NULL: not asked for). */
typedef struct output_request {
    const char *mask, *overlay, *scores; /* as given; NULL when not */
    bool many;                           /* several pictures: each of the three is a folder */
} output_request;

typedef struct output_paths {
    char *mask, *overlay, *scores;
} output_paths;

/* Makes the folders of several pictures' results; says what is wrong. */
int outputs_check(const output_request *request);

/* The folders of results, of which pictures are not taken.  One that has a folder of pictures in it is
 * refused. */
int outputs_leave_out(const output_request *request, char **operands, int count, left_out *out);

/* The three paths for `picture`, whose results are called `name`.  On failure *err has the sentence (an
 * output that would replace the picture). */
t2d_status outputs_plan(const output_request *request, const char *picture, const char *name,
                        output_paths *paths, t2d_error *err);
void outputs_release(output_paths *paths);

/* Makes the folders that lead to a result. */
t2d_status outputs_make_way(const char *path, t2d_error *err);

/* Whether all results are there, and the PNG files among them end as they should. */
bool outputs_stand(const output_paths *paths);

/* Labels by how much of the picture they cover. */
typedef struct label_share {
    int label;
    int64_t pixels;
} label_share;

/* What is said about a mask; without the mask itself. */
typedef struct mask_report {
    int width, height, count;
    label_share *shares; /* [count] labels that occur, most pixels first */
} mask_report;
t2d_status mask_report_make(const t2d_mask *mask, mask_report *report, t2d_error *err);

/* One picture's result on stdout: a line for people, or JSON.  `decided` (may be NULL): the run's options,
 * copied into the JSON. */
void report_mask(const char *picture, const output_paths *paths, const mask_report *report,
                 const char *const *names, const json_t *decided, double seconds);

#endif
