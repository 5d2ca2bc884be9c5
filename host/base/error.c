/* error.c — filling in what went wrong. */
#include "base/base.h"

#include <stdarg.h>
#include <string.h>

/* File names and file contents end up in messages: nothing in them may steer a terminal. */
static void escape_controls(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f) *p = *p == '\n' || *p == '\t' ? ' ' : '?';
}

/* A message that was cut in the middle of a UTF-8 sequence loses the broken end. */
static void trim_broken_utf8(char *text)
{
    const size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) start--;
    if (start == 0 || (unsigned char)text[start - 1] < 0xc0) return;
    const unsigned char lead = (unsigned char)text[start - 1];
    const size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (length - (start - 1) < want) text[start - 1] = '\0';
}

t2d_status t2d_fail(t2d_error *err, t2d_status status, const char *format, ...)
{
    if (!err) return status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->status = status;
    escape_controls(err->message);
    trim_broken_utf8(err->message);
    return status;
}

t2d_status t2d_fail_in(t2d_error *err, const char *prefix)
{
    if (!err) return T2D_E_FORMAT;
    char message[sizeof err->message];
    memcpy(message, err->message, sizeof message);
    return t2d_fail(err, err->status, "%s: %s", prefix, message);
}

const char *t2d_version(void)
{
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
    return TEXT(T2D_VERSION_MAJOR) "." TEXT(T2D_VERSION_MINOR) "." TEXT(T2D_VERSION_PATCH);
}
