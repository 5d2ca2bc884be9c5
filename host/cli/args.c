/* args.c — reading options.  A number with a tail ("448px"), a flag with a value or an unknown name is an
 * error: a long run with a misread option costs more than a retyped command. */
#include "cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN = 26 }; /* where the explanations begin */

static const arg_option *find_name(const arg_option *options, int count, const char *name, size_t length)
{
    for (int i = 0; i < count; i++)
        if (options[i].name && strlen(options[i].name) == length &&
            strncmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

static const arg_option *find_letter(const arg_option *options, int count, char letter)
{
    for (int i = 0; i < count; i++)
        if (options[i].letter && options[i].letter == letter) return &options[i];
    return NULL;
}

static t2d_status set_number(const arg_option *o, const char *value, t2d_error *err)
{
    char *end;
    errno = 0;
    const bool whole = o->kind == ARG_INT;
    const double number = whole ? (double)strtol(value, &end, 10) : strtod(value, &end);
    if (end == value || *end || errno || !isfinite(number) || number < o->low || number > o->high)
        return t2d_fail(err, T2D_E_ARGUMENT, "--%s %s: want a %snumber from %g to %g", o->name, value,
                        whole ? "whole " : "", o->low, o->high);
    if (whole)
        *(int *)o->target = (int)number;
    else
        *(float *)o->target = (float)number;
    return T2D_OK;
}

static t2d_status set_choice(const arg_option *o, const char *value, t2d_error *err)
{
    const size_t length = strlen(value);
    int index = 0;
    for (const char *word = o->value; *word; index++) {
        const char *end = strchrnul(word, '|');
        if ((size_t)(end - word) == length && strncmp(word, value, length) == 0) {
            *(int *)o->target = index;
            return T2D_OK;
        }
        word = *end ? end + 1 : end;
    }
    return t2d_fail(err, T2D_E_ARGUMENT, "--%s %s: want one of %s", o->name, value, o->value);
}

static t2d_status set(const arg_option *o, const char *value, t2d_error *err)
{
    switch (o->kind) {
    case ARG_TEXT:
        *(const char **)o->target = value;
        return T2D_OK;
    case ARG_INT:
    case ARG_FLOAT:
        return set_number(o, value, err);
    case ARG_CHOICE:
        return set_choice(o, value, err);
    default:
        return t2d_fail(err, T2D_E_ARGUMENT, "--%s takes no value", o->name);
    }
}

/* argv[*at] is "--name", "--name=value" or "-x"; *at moves past a value of its own. */
static t2d_status read_one(int argc, char **argv, const arg_option *options, int count, int *at,
                           t2d_error *err)
{
    const char *text = argv[*at], *inner = NULL;
    const arg_option *o;
    if (text[1] == '-') {
        const size_t length = strcspn(text + 2, "=");
        inner = text[2 + length] ? text + 3 + length : NULL;
        o = find_name(options, count, text + 2, length);
    } else {
        o = text[2] ? NULL : find_letter(options, count, text[1]);
    }
    if (!o) return t2d_fail(err, T2D_E_ARGUMENT, "unknown option %s; --help lists the options", text);
    if (o->kind == ARG_FLAG && !inner) {
        *(int *)o->target = 1;
        return T2D_OK;
    }
    if (inner) return set(o, inner, err);
    if (*at + 1 >= argc) return t2d_fail(err, T2D_E_ARGUMENT, "%s needs a value: %s", text, o->value);
    return set(o, argv[++*at], err);
}

t2d_status args_read(int argc, char **argv, const arg_option *options, int count, int *rest_count,
                     t2d_error *err)
{
    bool options_end = false;
    *rest_count = 0;
    for (int i = 1; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (options_end || argv[i][0] != '-' || argv[i][1] == '\0') {
            argv[(*rest_count)++] = argv[i];
        } else {
            const t2d_status status = read_one(argc, argv, options, count, &i, err);
            if (status != T2D_OK) return status;
        }
    }
    return T2D_OK;
}

void args_help(FILE *stream, const arg_option *options, int count)
{
    for (int i = 0; i < count; i++) {
        const arg_option *o = &options[i];
        if (o->kind == ARG_HEADING) {
            fprintf(stream, "\n%s\n", o->help);
            continue;
        }
        char left[64], letter[8] = "    ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        if (strlen(left) > COLUMN)
            fprintf(stream, "  %s\n  %-*s  %s\n", left, COLUMN, "", o->help);
        else
            fprintf(stream, "  %-*s  %s\n", COLUMN, left, o->help);
    }
}
