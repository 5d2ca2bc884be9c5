/* cli.h — what the commands share: exit codes, common options, class lists, talk. */
#ifndef T2D_CLI_H
#define T2D_CLI_H

#include "cli/args.h"

#include <jansson.h>

enum {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1,    /* the machine: memory, disk, an output that cannot be written */
    EXIT_MISUSE = 2,    /* the command line */
    EXIT_INPUT = 3,     /* a picture, a model file or a class list that is missing or damaged */
    EXIT_NO_DEVICE = 4, /* the device is not there, failed, or cannot do what was asked */
    EXIT_SOME = 5,      /* some of several pictures failed */
};

typedef struct command {
    const char *name, *arguments, *summary;
    const char *details; /* paragraphs for `t2d help NAME` */
    const arg_option *options;
    int option_count;
    int (*run)(const struct command *self, int count, char **operands);
} command;

/* One function per command: its row of the table. */
command command_segment(void);
command command_features(void);
command command_text(void);
command command_eval(void);
command command_merge(void);
command command_bench(void);
command command_demo(void);
command command_info(void);
command command_verify(void);
command command_doctor(void);

/* ---- common options ---- */

typedef struct common_options {
    const char *model, *device;
    int dtype, threads, json, quiet, verbose;
} common_options;
extern common_options common;
extern const char *const dtype_names[3]; /* by t2d_dtype */

#define OPTION_MODEL                                                                                         \
    {                                                                                                        \
        ARG_TEXT, 'm', "model", "FILE", "model file (or the environment's T2D_MODEL)", &common.model, 0, 0   \
    }
#define OPTIONS_DEVICE                                                                                       \
    {                                                                                                        \
        ARG_TEXT,                                                                                            \
        0,                                                                                                   \
        "device",                                                                                            \
        "NAME",                                                                                              \
        "auto (default), cpu, cuda or cuda:N; only auto may choose the CPU",                                 \
        &common.device,                                                                                      \
        0,                                                                                                   \
        0},                                                                                                  \
        {ARG_CHOICE,    0, "dtype", "fp32|fp16|bf16", "of weights and activations (default fp32)",           \
         &common.dtype, 0, 0},                                                                               \
    {                                                                                                        \
        ARG_INT, 't', "threads", "N", "CPU threads (default: all this process may use)", &common.threads, 1, \
            4096                                                                                             \
    }
#define OPTIONS_TALK                                                                                         \
    {ARG_FLAG, 0, "json", NULL, "results as one line of JSON each", &common.json, 0, 0},                     \
        {ARG_FLAG, 'q', "quiet", NULL, "only errors on stderr", &common.quiet, 0, 0},                        \
    {                                                                                                        \
        ARG_FLAG, 'v', "verbose", NULL, "device and times on stderr", &common.verbose, 0, 0                  \
    }

/* Opens the model that -m names; on failure says why and returns the exit code, else EXIT_GOOD. */
int open_engine(t2d_engine **engine);

/* ---- talk ---- */

/* "t2d: sentence" on stderr; returns `code`. */
int complain(int code, const t2d_error *err);
int complain_text(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Exit codes of a status, by whose fault it can be. */
int code_of_input(t2d_status status);
int code_of_output(t2d_status status);
int code_of_engine(t2d_status status);
/* One line on stderr with -v. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends a session (or NULL), with a remark when its device ran short of memory. */
void end_session(t2d_session *session);
/* Prints and releases a JSON object as one line on stdout. */
void print_json(json_t *object);
/* "[3/10] name" on a terminal, "[3] name" where the total is 0; "" clears it. */
void progress(int64_t done, int64_t total, const char *name);

/* ---- class lists and prompts ---- */

typedef struct string_list {
    char **items;
    int count;
} string_list;
void string_list_release(string_list *list);

/* Classes of -c ("cat,traffic_light") or --classes-file; says what is wrong itself. */
int read_classes(const char *inline_classes, const char *file, string_list *list);

/* --templates: a set's name, or a file of prompts (one a line, each with one {}). */
int read_templates(const char *name_or_file, string_list *prompts, t2d_vocab_options *options);

/* Encodes the classes; says what is wrong itself. */
int open_vocab(t2d_engine *engine, const string_list *classes, const char *templates, t2d_vocab **vocab);

#endif
