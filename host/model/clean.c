/* clean.c — text as CLIP's tokenizer wants it: ftfy.fix_text, html.unescape twice, strip, one space between
 * words, lower case.
 *
 * Of ftfy 6.3 one thing is left out: the repair of mojibake, text that was UTF-8 and was read as Latin-1 or a
 * Windows code page.  Where the published pipeline turns "cafÃ©" into "café" and "â€™" into an apostrophe,
 * this one keeps the characters as they came.  Text that was never misread is not concerned. */
#include "model/clean.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* No prompt is longer.  A bound, because ftfy repeats itself until nothing changes: "&amp;amp;amp;..." takes
 * one round for each. */
enum { LONGEST_TEXT = 16384 };

/* ---- the steps of ftfy ---- */

static const struct ligature {
    int32_t rune, parts[4];
} ligatures[] = {
    {0x132, {'I', 'J'}},    {0x133, {'i', 'j'}},   {0x149, {0x2bc, 'n'}},     {0x1c4, {'D', 0x17d}},
    {0x1c5, {'D', 0x17e}},  {0x1c6, {'d', 0x17e}}, {0x1c7, {'L', 'J'}},       {0x1c8, {'L', 'j'}},
    {0x1c9, {'l', 'j'}},    {0x1ca, {'N', 'J'}},   {0x1cb, {'N', 'j'}},       {0x1cc, {'n', 'j'}},
    {0x1f1, {'D', 'Z'}},    {0x1f2, {'D', 'z'}},   {0x1f3, {'d', 'z'}},       {0xfb00, {'f', 'f'}},
    {0xfb01, {'f', 'i'}},   {0xfb02, {'f', 'l'}},  {0xfb03, {'f', 'f', 'i'}}, {0xfb04, {'f', 'f', 'l'}},
    {0xfb05, {0x17f, 't'}}, {0xfb06, {'s', 't'}},
};

/* Curly quotes to straight ones, separators of lines and paragraphs to newlines. */
static int32_t straighten(int32_t c)
{
    if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) return '\'';
    if (c >= 0x201c && c <= 0x201f) return '"';
    return c == '\r' || c == 0x2028 || c == 0x2029 ? '\n' : c;
}

/* The letters of a ligature, the usual form of a half or full width character, or the character itself. */
static int spell_out(int32_t c, int32_t parts[4])
{
    for (size_t i = 0; c >= 0x132 && i < sizeof ligatures / sizeof *ligatures; i++)
        if (ligatures[i].rune == c) {
            int n = 0;
            for (; n < 4 && ligatures[i].parts[n]; n++) parts[n] = ligatures[i].parts[n];
            return n;
        }
    if (c > 0xff00 && c < 0xfff0) {
        int boundary = 0;
        const utf8proc_ssize_t n = utf8proc_decompose_char(
            c, parts, 4, (utf8proc_option_t)(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT), &boundary);
        if (n >= 1 && n <= 4) return (int)n;
    }
    parts[0] = c == 0x3000 ? ' ' : c;
    return 1;
}

/* fix_c1_controls, fix_latin_ligatures, fix_character_width, uncurl_quotes, fix_line_breaks. */
static void fold(const t2d_runes *in, t2d_runes *out)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->at[i] == '\r' && i + 1 < in->count && in->at[i + 1] == '\n') continue;
        int32_t parts[4];
        const int n = spell_out(t2d_rune_from_cp1252(in->at[i]), parts);
        for (int k = 0; k < n; k++) t2d_runes_push(out, straighten(parts[k]));
    }
}

/* Length of an escape sequence "ESC [ digits and ; letter" at `from`, else 0.  Digits are those of any
 * script. */
static size_t escape_length(const t2d_runes *in, size_t from)
{
    size_t i = from + 2;
    if (i >= in->count || in->at[from] != 0x1b || in->at[from + 1] != '[') return 0;
    while (i < in->count && (in->at[i] == ';' || utf8proc_category(in->at[i]) == UTF8PROC_CATEGORY_ND)) i++;
    const int32_t letter = i < in->count ? in->at[i] | 0x20 : 0;
    return letter >= 'a' && letter <= 'z' ? i + 1 - from : 0;
}

static bool is_control(int32_t c)
{
    return c <= 0x08 || c == 0x0b || (c >= 0x0e && c < 0x20) || c == 0x7f || (c >= 0x206a && c <= 0x206f) ||
           c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
}

/* remove_terminal_escapes, remove_control_chars. */
static void drop_controls(const t2d_runes *in, t2d_runes *out)
{
    for (size_t i = 0; i < in->count;) {
        const size_t escape = escape_length(in, i);
        if (!escape && !is_control(in->at[i])) t2d_runes_push(out, in->at[i]);
        i += escape ? escape : 1;
    }
}

/* ---- ftfy.fix_text ---- */

static void swap(t2d_runes *a, t2d_runes *b)
{
    const t2d_runes t = *a;
    *a = *b;
    *b = t;
}

/* One round over a line; false when it changed nothing. */
static bool fix_round(t2d_runes *line, t2d_runes *a, t2d_runes *b, bool unescape)
{
    a->count = b->count = 0;
    if (unescape)
        t2d_html_unescape_closed(line, a);
    else
        t2d_runes_append(a, line->at, line->count);
    fold(a, b);
    a->count = 0;
    drop_controls(b, a);
    t2d_runes_compose(a);
    const bool same =
        a->count == line->count && (a->count == 0 || memcmp(a->at, line->at, a->count * sizeof *a->at) == 0);
    swap(line, a);
    return !same && !line->failed && !b->failed;
}

/* Line by line, each until nothing changes.  From the first line with a '<' on, the text is taken for HTML
 * and its references are left alone. */
static void fix_text(const t2d_runes *in, t2d_runes *out)
{
    t2d_runes line = {0}, a = {0}, b = {0};
    bool unescape = true;
    for (size_t i = 0; i < in->count;) {
        size_t end = i;
        while (end < in->count && in->at[end] != '\n') end++;
        if (end < in->count) end++;
        for (size_t k = i; k < end; k++) unescape = unescape && in->at[k] != '<';
        line.count = 0;
        t2d_runes_append(&line, in->at + i, end - i);
        while (fix_round(&line, &a, &b, unescape)) {
        }
        t2d_runes_append(out, line.at, line.count);
        i = end;
    }
    if (line.failed || a.failed || b.failed) out->failed = true;
    t2d_runes_release(&line);
    t2d_runes_release(&a);
    t2d_runes_release(&b);
}

/* ---- the whole ---- */

/* No space at either end, one between words. */
static void collapse_spaces(const t2d_runes *in, t2d_runes *out)
{
    bool gap = false;
    for (size_t i = 0; i < in->count; i++) {
        if (t2d_rune_is_space(in->at[i])) {
            gap = out->count > 0;
            continue;
        }
        if (gap) t2d_runes_push(out, ' ');
        gap = false;
        t2d_runes_push(out, in->at[i]);
    }
    if (in->failed) out->failed = true;
}

t2d_status t2d_text_clean(const char *text, char **clean, t2d_error *err)
{
    *clean = NULL;
    const size_t bytes = strlen(text);
    if (bytes > LONGEST_TEXT)
        return t2d_fail(err, T2D_E_ARGUMENT, "text of %zu bytes: at most %d are read; shorten it", bytes,
                        LONGEST_TEXT);
    t2d_runes raw = {0}, fixed = {0}, once = {0}, twice = {0}, spaced = {0}, lower = {0};
    t2d_status status = t2d_runes_decode(text, &raw, err);
    if (status != T2D_OK) goto done;
    fix_text(&raw, &fixed);
    t2d_html_unescape(&fixed, &once);
    t2d_html_unescape(&once, &twice);
    collapse_spaces(&twice, &spaced);
    t2d_runes_lower(&spaced, &lower);
    status = t2d_runes_encode(&lower, clean, err);
done:
    t2d_runes_release(&raw);
    t2d_runes_release(&fixed);
    t2d_runes_release(&once);
    t2d_runes_release(&twice);
    t2d_runes_release(&spaced);
    t2d_runes_release(&lower);
    return status;
}
