/* unicode.c — code points, with utf8proc's tables and Python's rules.
 *
 * utf8proc 2.8 knows Unicode 15.0, Python 3.11 knows 14.0: they differ only in code points that did not exist
 * before 15.0, and there the newer table is taken. */
#include "model/clean.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool reserve(t2d_runes *text, size_t more)
{
    if (text->failed) return false;
    if (text->room - text->count >= more) return true;
    const size_t room = 2 * text->room + more + 64;
    int32_t *at = realloc(text->at, room * sizeof *at);
    if (!at) {
        text->failed = true;
        return false;
    }
    text->at = at;
    text->room = room;
    return true;
}

void t2d_runes_push(t2d_runes *text, int32_t rune)
{
    if (reserve(text, 1)) text->at[text->count++] = rune;
}

void t2d_runes_append(t2d_runes *text, const int32_t *runes, size_t count)
{
    if (count == 0 || !reserve(text, count)) return;
    memcpy(text->at + text->count, runes, count * sizeof *runes);
    text->count += count;
}

void t2d_runes_release(t2d_runes *text)
{
    free(text->at);
    *text = (t2d_runes){0};
}

t2d_status t2d_runes_decode(const char *utf8, t2d_runes *text, t2d_error *err)
{
    const size_t bytes = strlen(utf8);
    for (size_t i = 0; i < bytes;) {
        int32_t rune;
        const utf8proc_ssize_t used =
            utf8proc_iterate((const uint8_t *)utf8 + i, (utf8proc_ssize_t)(bytes - i), &rune);
        if (used <= 0)
            return t2d_fail(err, T2D_E_ARGUMENT, "text is not valid UTF-8: byte 0x%02x at position %zu",
                            (unsigned char)utf8[i], i);
        t2d_runes_push(text, rune);
        i += (size_t)used;
    }
    return text->failed ? t2d_fail(err, T2D_E_MEMORY, "text of %zu bytes: out of memory", bytes) : T2D_OK;
}

t2d_status t2d_runes_encode(const t2d_runes *text, char **utf8, t2d_error *err)
{
    *utf8 = NULL;
    if (text->failed) return t2d_fail(err, T2D_E_MEMORY, "text: out of memory while cleaning it");
    char *bytes = t2d_new(4 * text->count + 1, 1, "cleaned text", err);
    if (!bytes) return T2D_E_MEMORY;
    char *end = bytes;
    for (size_t i = 0; i < text->count; i++) end += utf8proc_encode_char(text->at[i], (uint8_t *)end);
    *end = '\0';
    *utf8 = bytes;
    return T2D_OK;
}

/* ---- normalization form C ---- */

static utf8proc_propval_t combining(int32_t rune) { return utf8proc_get_property(rune)->combining_class; }

/* Marks behind a base in the order of their classes; equal classes keep their order. */
static void order_marks(int32_t *at, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const int32_t rune = at[i];
        const utf8proc_propval_t class = combining(rune);
        if (class == 0) continue;
        size_t j = i;
        for (; j > 0 && combining(at[j - 1]) > class; j--) at[j] = at[j - 1];
        at[j] = rune;
    }
}

void t2d_runes_compose(t2d_runes *text)
{
    enum { LONGEST = 8, FIRST_MARK = 0x300 }; /* nothing below U+0300 composes or decomposes for good */
    size_t plain = 0;
    while (plain < text->count && text->at[plain] < FIRST_MARK) plain++;
    if (plain == text->count) return;

    t2d_runes apart = {0};
    for (size_t i = 0; i < text->count; i++) {
        int32_t parts[LONGEST];
        int boundary = 0;
        const utf8proc_ssize_t n =
            utf8proc_decompose_char(text->at[i], parts, LONGEST, UTF8PROC_DECOMPOSE, &boundary);
        if (n >= 1 && n <= LONGEST) t2d_runes_append(&apart, parts, (size_t)n);
    }
    order_marks(apart.at, apart.count);
    if (!apart.failed) {
        const utf8proc_ssize_t n = utf8proc_normalize_utf32(apart.at, (utf8proc_ssize_t)apart.count,
                                                            UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        apart.count = n > 0 ? (size_t)n : 0;
    }
    apart.failed = apart.failed || text->failed;
    t2d_runes_release(text);
    *text = apart;
}

/* ---- lower case ---- */

static bool between(int32_t rune, int32_t first, int32_t last) { return rune >= first && rune <= last; }

/* Unicode's Case_Ignorable: marks, format characters, modifiers, and what stands inside words. */
static bool ignorable(int32_t rune)
{
    static const int32_t within[] = {'\'',   '.',    ':',    0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                     0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    for (size_t i = 0; i < sizeof within / sizeof *within; i++)
        if (rune == within[i]) return true;
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return false;
    }
}

/* Unicode's Cased, among what is not ignorable: letters with case, ordinals, Roman numerals, circled and
 * squared letters. */
static bool cased(int32_t rune)
{
    switch (utf8proc_category(rune)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default:
        break;
    }
    return rune == 0xaa || rune == 0xba || between(rune, 0x2160, 0x217f) || between(rune, 0x24b6, 0x24e9) ||
           between(rune, 0x1f130, 0x1f149) || between(rune, 0x1f150, 0x1f169) ||
           between(rune, 0x1f170, 0x1f189);
}

/* A sigma ends a word when a cased letter stands before it and none behind, the ignorable ones skipped. */
static bool ends_word(const t2d_runes *text, size_t sigma)
{
    size_t before = sigma, behind = sigma + 1;
    while (before > 0 && ignorable(text->at[before - 1])) before--;
    if (before == 0 || !cased(text->at[before - 1])) return false;
    while (behind < text->count && ignorable(text->at[behind])) behind++;
    return behind == text->count || !cased(text->at[behind]);
}

void t2d_runes_lower(const t2d_runes *text, t2d_runes *out)
{
    enum { I_WITH_DOT = 0x130, DOT_ABOVE = 0x307, SIGMA = 0x3a3, FINAL_SIGMA = 0x3c2 };
    for (size_t i = 0; i < text->count; i++) {
        const int32_t rune = text->at[i];
        if (rune == I_WITH_DOT) {
            t2d_runes_push(out, 'i');
            t2d_runes_push(out, DOT_ABOVE);
        } else if (rune == SIGMA && ends_word(text, i)) {
            t2d_runes_push(out, FINAL_SIGMA);
        } else {
            t2d_runes_push(out, utf8proc_tolower(rune));
        }
    }
    if (text->failed) out->failed = true;
}

/* ---- kinds of characters ---- */

bool t2d_rune_is_space(int32_t rune)
{
    return between(rune, 0x09, 0x0d) || rune == ' ' || rune == 0x85 || rune == 0xa0 || rune == 0x1680 ||
           between(rune, 0x2000, 0x200a) || rune == 0x2028 || rune == 0x2029 || rune == 0x202f ||
           rune == 0x205f || rune == 0x3000;
}

int32_t t2d_rune_from_cp1252(int32_t rune)
{
    static const uint16_t table[32] = {0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                       0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008d, 0x017d, 0x008f,
                                       0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                       0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};
    return between(rune, 0x80, 0x9f) ? table[rune - 0x80] : rune;
}
