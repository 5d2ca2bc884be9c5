/* args.h — options from tables: strict numbers, no guessing, help made from the same table. */
#ifndef T2D_ARGS_H
#define T2D_ARGS_H

#include "base/base.h"

typedef enum arg_kind {
    ARG_HEADING, /* no option: a line between options in the help */
    ARG_FLAG,    /* int, set to 1 */
    ARG_TEXT,    /* const char * */
    ARG_INT,     /* int, in [low, high] */
    ARG_FLOAT,   /* float, in [low, high] */
    ARG_CHOICE,  /* int: index in `choices`, words separated by '|' */
} arg_kind;

typedef struct arg_option {
    arg_kind kind;
    char letter;       /* 'm' for -m, or 0 */
    const char *name;  /* "model" for --model */
    const char *value; /* "FILE" in the help; for ARG_CHOICE the words themselves */
    const char *help;
    void *target;
    double low, high;
} arg_option;

/* Reads argv[1 ..] (argv[0] is the command).  Options may stand anywhere; `--` ends them.  What is not an
 * option stays in argv[0 .. *rest_count - 1].  T2D_E_ARGUMENT with a sentence for anything not understood. */
t2d_status args_read(int argc, char **argv, const arg_option *options, int count, int *rest_count,
                     t2d_error *err);

/* One line per option, aligned, to `stream`. */
void args_help(FILE *stream, const arg_option *options, int count);

#endif
