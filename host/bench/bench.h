/* bench.h — how long pictures in host memory take to become masks: random pictures, a check of the answers,
 * then samples and what they say.  There are no samples without the check: what is wrong has no speed. */
#ifndef T2D_BENCH_H
#define T2D_BENCH_H

#include "bench/machine.h"
#include "segment/segment.h"

/* ---- samples (samples.c) ---- */

typedef struct t2d_samples {
    double *seconds; /* [count], in the order they were taken */
    int count, capacity;
} t2d_samples;
t2d_status t2d_samples_add(t2d_samples *samples, double seconds, t2d_error *err);
void t2d_samples_release(t2d_samples *samples);

typedef struct t2d_spread {
    double mean, median, p90, p99, min, max, sum;
} t2d_spread;
/* Of at least one sample. */
t2d_status t2d_spread_of(const t2d_samples *samples, t2d_spread *spread, t2d_error *err);

/* By nearest rank: the smallest sample that `percent` (1 to 100) of all samples do not exceed; always one
 * that was measured. */
double t2d_percentile(const double *sorted, int count, int percent);

/* ---- pictures and work (work.c) ---- */

/* Uniform noise, the same for the same seed and index on every machine.  The caller releases. */
t2d_status t2d_random_picture(int width, int height, uint64_t seed, uint64_t index, t2d_image *image,
                              t2d_error *err);

/* Operations of one window of `size` in the vision tower by count: patch embedding and blocks, attention's
 * two products included; norms, softmax and activations not. */
double t2d_window_flop(const t2d_config *config, int size);

/* A weight matrix of a model, for a machine keeps the shapes of its weights to itself. */
typedef struct t2d_weight {
    const char *name; /* "linear qkv" */
    int out, in;
    bool fp32; /* whatever the compute type */
} t2d_weight;
t2d_weight t2d_weight_find(const t2d_model *model, const t2d_linear *linear);

/* ---- stages (work.c; meter.h fills them) ---- */

enum { T2D_STAGE_ROWS = 24 };

/* An operation of a stage, in a call that segments: */
typedef struct t2d_stage {
    const char *stage, *operation;
    int calls;           /* of the operation */
    double flop;         /* of its products */
    double bytes;        /* every operand once: what must travel to and from memory at least */
    t2d_samples samples; /* seconds, one for each call that segments */
} t2d_stage;

typedef struct t2d_stages {
    t2d_stage rows[T2D_STAGE_ROWS]; /* in the order in which they first came */
    int count;
    t2d_samples turns; /* seconds of the calls as a whole */
} t2d_stages;
void t2d_stages_release(t2d_stages *stages);

/* The roofline's time: what its products take at one ceiling or its bytes at the other, whichever is longer.
 */
double t2d_stage_floor(const t2d_stage *stage, double flop_per_second, double bytes_per_second);

/* ---- the run (run.c) ---- */

/* As MLPerf's inference rules name them. */
typedef enum t2d_scenario {
    T2D_SINGLE_STREAM = 0, /* one picture, and the next when its mask is there */
    T2D_OFFLINE,           /* all pictures are there: they go in batches */
} t2d_scenario;

typedef struct t2d_bench_plan {
    int batch; /* pictures of a call */
    int width, height;
    int warmup, iterations; /* calls before the clock counts; calls that count, or 0: */
    double seconds;         /* calls until so much time has been counted */
    bool stages;            /* after the calls that count, as many with a meter before the machine */
    uint64_t seed;
    t2d_segment_options options;
} t2d_bench_plan;

typedef struct t2d_bench_result {
    bool unsound;        /* the run ended because an answer was wrong: what the error says */
    t2d_samples samples; /* of calls */
    double cpu_seconds;  /* of this process during the calls that count */
    double load_before;  /* the system's load average of the minute before; negative: not known */
    int64_t peak_bytes;  /* most memory the process has had resident, before the ceiling was measured */
    double ceiling;      /* operations per second of a large product, the best before and after the calls */
    double bandwidth;    /* bytes per second from and to memory, likewise */
    t2d_stages stages;   /* of the plan's stages, or of one call of the check: its times mean nothing */
    t2d_machine machine;
    t2d_machine_state before, after; /* right before and after the calls that count */
} t2d_bench_result;

/* Checks, warms up, measures.  Every mask of every timed call is compared with its picture's alone, between
 * the measurements. */
t2d_status t2d_bench_run(t2d_session *session, const t2d_vocab *vocab, const t2d_bench_plan *plan,
                         t2d_bench_result *result, t2d_error *err);
void t2d_bench_release(t2d_bench_result *result);

/* ---- what the machine can do (ceiling.c) ---- */

/* Raises *flop_per_second to the rate of large products by the machine's own operation, in the session's
 * compute type. */
t2d_status t2d_ceiling_measure(t2d_session *session, double *flop_per_second, t2d_error *err);

/* Raises *bytes_per_second to the rate at which memory is read and written (bandwidth.c). */
t2d_status t2d_bandwidth_measure(t2d_session *session, double *bytes_per_second, t2d_error *err);

/* ---- what a sound answer is (check.c); false: *err says what is wrong ---- */

/* Every id is below mask->labels. */
bool t2d_mask_sound(const t2d_mask *mask, t2d_error *err);
/* Both masks have the same bits; `what` begins the sentence otherwise. */
bool t2d_masks_same(const t2d_mask *a, const t2d_mask *b, const char *what, t2d_error *err);
/* Scores [labels, height, width] are finite and the mask names the best of each pixel.  Softmax in fp32 may
 * give two labels the same score where the argmax saw 1e-6 between them. */
bool t2d_scores_sound(const float *scores, const t2d_mask *mask, t2d_error *err);

#endif
