/* eval_job.h — the running part of `t2d eval`: what was asked for, and counting it. */
#ifndef T2D_EVAL_JOB_H
#define T2D_EVAL_JOB_H

#include "cli/eval_report.h"
#include "cli/ranks.h"

/* As given on the command line. */
typedef struct eval_request {
    const char *preset, *data, *split, *output, *templates, *shard, *max_failures, *compare, *worst_folder;
    int pamr, vit_l, clean; /* clean: 0 as the preset says, 1 on, 2 off */
    int counting;           /* t2d_count_by */
    float background;       /* < 0: the preset's */
    int size, stride, readers, together;
    int rank, ranks, local_rank, patience;
    int show_preset, mpi;
} eval_request;

/* Everything that stays the same from picture to picture. */
typedef struct eval_job {
    const eval_request *asked;
    t2d_preset *preset;
    t2d_listing listing;
    ranks ranks;
    int64_t first, step; /* this process's pictures */
    char *whole, *mine;  /* the results file of all pictures, and this process's */
    t2d_engine *engine;
    t2d_engine_info info;
    t2d_session *session;
    t2d_vocab *vocab;
    string_list prompts;
    t2d_segment_options options;
    json_t *head; /* of this process's file */
} eval_job;

/* Preset, data and file names; cheap, and before the model.  Says what is wrong, as do the others. */
int job_plan(const eval_request *asked, eval_job *job);
int job_open(eval_job *job);  /* the model, the words, and what is decided */
int job_count(eval_job *job); /* pictures into the results file; of all ranks, where there are several */
bool job_reports(const eval_job *job);                         /* whether this process has the whole */
int job_worst(const eval_job *job, const eval_report *report); /* overlays of the worst pictures */
void job_close(eval_job *job);

#endif
