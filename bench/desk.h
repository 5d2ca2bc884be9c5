/* desk.h — where one operation of a machine is tried: numbers that plain C knows too, memory, the check, then
 * the clock.  What fails its check gets no time. */
#ifndef T2D_BENCH_DESK_H
#define T2D_BENCH_DESK_H

#include "roofs.h"
#include "tolerance.h"

enum { MEMORIES = 12, CHECKS = 24 }; /* memories of a trial; values that are checked of a result */

/* What a window costs: one of the published models. */
typedef struct shape {
    const char *model;
    int dim, heads, hidden;
    int size, grid, skip;  /* side of a window in pixels and in patches; CLS and registers */
    int tokens, sequences; /* of one window (or text), and how many of them there are */
} shape;

typedef struct desk {
    t2d_backend *be;
    roofs roof;
    double seconds; /* of measuring, per trial */
    double most;    /* a call whose floor is above it is passed over */
    bool check_only;
    const char *only, *spoil; /* operations, or NULL */
    json_t *rows, *passed_over;
    int failed, checked;
} desk;

/* Values on the machine: noise in shift - scale .. shift + scale, rounded to the compute type where `act`. */
typedef struct input {
    void *at;
    size_t count;
    uint64_t stream;
    float scale, shift;
    bool act;
} input;

/* Integers that run and check need; what they mean stands with each operation. */
typedef struct trial {
    desk *d;
    const shape *s;
    char operation[24], variant[40], dims[72];
    int classes, n[4];
    bool flag;
    double flop, bytes; /* of one call: operations; bytes that must move, inputs once and outputs once */
    bool product;       /* whether those are operations of a matrix product in the compute type */
    input in[5];
    void *out, *memory[MEMORIES];
    int memories;
    t2d_linear *linear;
    const void *more; /* the operation's own */
    bool no_room;
    /* the verdict */
    int values;
    double worst; /* error over what is allowed */
    char failure[1024];
} trial;

/* ---- a trial, in this order ---- */
trial trial_of(desk *d, const shape *s, const char *operation, const char *variant, const char *dims, ...)
    __attribute__((format(printf, 5, 6)));
bool trial_wanted(trial *t, double flop, double bytes, bool product);
input *trial_input(trial *t, int index, size_t count, float scale, float shift, bool act);
void *trial_memory(trial *t, size_t bytes); /* released at the end; never NULL unless there is no room */
void trial_linear(trial *t, int out, int in, bool fp32);
/* Runs once, checks, times, writes the row down, releases.  False: the check failed. */
bool trial_finish(trial *t, void (*run)(trial *), void (*check)(trial *));

/* ---- for checks ---- */
float value_of(const trial *t, const input *in, size_t index);
float linear_value(int out, int in, size_t index); /* weights as they were given to linear_create */
float linear_bias(int index);
float rounded(const desk *d, float value); /* to the compute type and back */
double rounding(const desk *d);            /* half a unit of the compute type, relative; 0 in fp32 */
size_t pick(const trial *t, int draw, size_t below);
/* `count` (at most 4096) values of a result from `at` on; valid until the next call. */
const float *got_of(trial *t, size_t at, size_t count, bool act);
/* tests/tolerance.h: within limit * scale, and the rounding of a stored result. */
void near(trial *t, double got, double want, double scale, tolerance tol, bool act);
void must(trial *t, bool good, const char *sentence);

/* ---- all operations at a shape (tries_*.c) ---- */
void try_tower(desk *d, const shape *s);
void try_text(desk *d, const shape *s);
void try_heads(desk *d, const shape *s);
void try_masks(desk *d, const shape *s, int classes);
void try_memory(desk *d);

typedef struct readout_case {
    const char *name;
    int grid, canvas_width, canvas_height, side, stride, width, height, classes;
    bool pamr, softmax, background, scores;
} readout_case;
void try_readout(desk *d, const readout_case *c);

#endif
