/* error.c — filling in what went wrong. */
#include "base/base.h"

#include <stdarg.h>
#include <string.h>

/* Length of the sound UTF-8 character at `p`, 0 when there is none (overlong forms and surrogates are none).
 */
static int utf8_length(const unsigned char *p)
{
    if (p[0] < 0x80) return 1;
    const int length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    const unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[0] < 0xc2 || p[0] > 0xf4 || p[1] < low || p[1] > high) return 0;
    for (int i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return length;
}

/* C0, DEL, and C1, which is two bytes in UTF-8. */
static bool is_control(const unsigned char *p)
{
    return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
}

/* File names and file contents end up in messages: nothing in them may steer a terminal, and what is not
 * UTF-8 becomes a question mark.  `cut`: the text lost its end, perhaps in the middle of a character, which
 * is then dropped. */
static void copy_clean(char *to, const char *text, bool cut)
{
    const unsigned char *end = (const unsigned char *)text + strlen(text);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        const int length = utf8_length(p);
        if (length == 0 && cut && *p >= 0xc0 && end - p < 4) break;
        if (length == 0 || is_control(p)) {
            *to++ = *p == '\n' || *p == '\t' ? ' ' : '?';
        } else {
            memcpy(to, p, (size_t)length);
            to += length;
        }
        p += length ? length : 1;
    }
    *to = '\0';
}

t2d_status t2d_fail(t2d_error *err, t2d_status status, const char *format, ...)
{
    if (!err) return status;
    char text[sizeof err->message]; /* the arguments may point into *err */
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) text[0] = '\0';
    err->status = status;
    copy_clean(err->message, text, length >= (int)sizeof text);
    return status;
}

t2d_status t2d_fail_in(t2d_error *err, const char *prefix)
{
    if (!err) return T2D_E_FORMAT;
    const size_t length = strlen(prefix);
    if (strncmp(err->message, prefix, length) == 0 && err->message[length] == ':') return err->status;
    return t2d_fail(err, err->status, "%s: %s", prefix, err->message);
}

const char *t2d_version(void)
{
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
    return TEXT(T2D_VERSION_MAJOR) "." TEXT(T2D_VERSION_MINOR) "." TEXT(T2D_VERSION_PATCH);
}
