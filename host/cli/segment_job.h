/* segment_job.h — the running part of `t2d segment`: pictures from their source to their masks. */
#ifndef T2D_SEGMENT_JOB_H
#define T2D_SEGMENT_JOB_H

#include "cli/many.h"
#include "cli/segment_output.h"
#include "cli/source.h"

typedef struct segment_job {
    source_request from;
    output_request out;
    left_out apart; /* the folders of results */
    bool resume;
    failure_limit most_failures; /* number < 0: all may fail */
    int readers, together;
    float alpha; /* of overlays */
    t2d_engine *engine;
    t2d_vocab *vocab;
    t2d_session *session;
    t2d_segment_options options;
    const char **names; /* one for each label, "background" first where there is one */
    json_t *decided;
} segment_job;

/* All pictures; says what is wrong and returns the exit code. */
int segment_all(const segment_job *job);

#endif
