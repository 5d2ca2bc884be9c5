/* common.c — engine, messages and exit codes for all commands.  Results go to stdout, talk to stderr. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

common_options common;
const char *const dtype_names[3] = {"fp32", "fp16", "bf16"};

int complain(int code, const t2d_error *err)
{
    progress(0, 0, "");
    fprintf(stderr, "t2d: %s\n", err->message);
    return code;
}

int complain_text(int code, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    t2d_error err;
    t2d_fail(&err, T2D_E_ARGUMENT, "%s", text); /* control characters out */
    return complain(code, &err);
}

int code_of_input(t2d_status status)
{
    return status == T2D_E_MEMORY ? EXIT_FAILED : status == T2D_E_DEVICE ? EXIT_NO_DEVICE : EXIT_INPUT;
}

int code_of_output(t2d_status status)
{
    return status == T2D_E_ARGUMENT ? EXIT_MISUSE : status == T2D_E_DEVICE ? EXIT_NO_DEVICE : EXIT_FAILED;
}

int code_of_engine(t2d_status status)
{
    switch (status) {
    case T2D_E_IO:
    case T2D_E_FORMAT:
        return EXIT_INPUT;
    case T2D_E_DEVICE:
    case T2D_E_UNSUPPORTED:
        return EXIT_NO_DEVICE;
    case T2D_E_ARGUMENT:
        return EXIT_MISUSE;
    default:
        return EXIT_FAILED;
    }
}

void remark(const char *format, ...)
{
    if (!common.verbose || common.quiet) return;
    va_list args;
    va_start(args, format);
    fputs("t2d: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void end_session(t2d_session *session)
{
    int planned;
    const int tokens = session ? t2d_session_tokens(session, &planned) : 0;
    if (session && tokens < planned)
        remark("device memory had room for passes of %d tokens, not of %d: fewer windows travelled together",
               tokens, planned);
    t2d_session_destroy(session);
}

void print_json(json_t *object)
{
    char *line =
        object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7)) : NULL;
    puts(line ? line : "{\"error\":\"out of memory\"}");
    fflush(stdout); /* a line at a time, for those who read along */
    free(line);
    json_decref(object);
}

void progress(int64_t done, int64_t total, const char *name)
{
    static bool shown;
    if (common.quiet || common.json || !isatty(STDERR_FILENO) || (!shown && (total == 1 || !*name))) return;
    fprintf(stderr, "\r\033[K");
    shown = *name != '\0';
    if (shown) {
        t2d_error clean;
        t2d_fail(&clean, T2D_OK, "%.60s", name);
        if (total > 0)
            fprintf(stderr, "[%lld/%lld] %s", (long long)done, (long long)total, clean.message);
        else
            fprintf(stderr, "[%lld] %s", (long long)done, clean.message);
    }
    fflush(stderr);
}

int open_engine(t2d_engine **engine)
{
    *engine = NULL;
    const char *model = common.model ? common.model : getenv("T2D_MODEL");
    if (!model || !*model)
        return complain_text(
            EXIT_MISUSE,
            "no model: give one with -m FILE (python_export/export.py makes it from checkpoints)");
    t2d_error err;
    const t2d_engine_options options = {
        .device = common.device, .dtype = (t2d_dtype)common.dtype, .threads = common.threads};
    const double start = t2d_clock();
    const t2d_status status = t2d_engine_open(model, &options, engine, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    t2d_engine_info info;
    t2d_engine_describe(*engine, &info);
    remark("%s on %s (%s), %d threads, loaded in %.2f s", model, info.device, info.device_name, info.threads,
           t2d_clock() - start);
    if (!common.quiet && !common.json && !common.verbose &&
        (!common.device || strcmp(common.device, "auto") == 0))
        fprintf(stderr, "t2d: device %s\n", info.device);
    return EXIT_GOOD;
}
