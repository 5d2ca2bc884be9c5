/* html.c — character references to characters, twice: as Python's html.unescape does and as ftfy does before.
 *
 * The two differ: html.unescape takes "&amp" and "&notit;" (as "¬it;"), ftfy only what is closed by ';' and
 * taken whole, but also some names in capitals ("&EACUTE;"). */
#include "model/clean.h"

#include <stdlib.h>
#include <string.h>

enum {
    LONGEST_NAME = 32,   /* html.unescape looks no further */
    LONGEST_CLOSED = 24, /* nor does ftfy */
    LAST_RUNE = 0x10ffff,
    REPLACEMENT = 0xfffd,
    NOTHING = -1
};

typedef struct entity {
    const char *name;
    int32_t text[3]; /* ends at the first 0 */
    int shouted;     /* a name in capitals that only ftfy knows */
} entity;

static const entity entities[] = {
#include "model/html_entities.inc"
};

static int by_name(const void *key, const void *row) { return strcmp(key, ((const entity *)row)->name); }

static const entity *find(const char *name)
{
    return bsearch(name, entities, sizeof entities / sizeof *entities, sizeof *entities, by_name);
}

static void push_entity(t2d_runes *out, const entity *e)
{
    for (int i = 0; i < 3 && e->text[i]; i++) t2d_runes_push(out, e->text[i]);
}

static bool is_digit(int32_t c) { return c >= '0' && c <= '9'; }
static bool is_letter(int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static int digit_value(int32_t c, int base)
{
    if (is_digit(c)) return c - '0';
    const int32_t lower = c | 0x20;
    return base == 16 && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What HTML5 makes of a number: Windows-1252 for C1, U+FFFD for what is no character, nothing for controls
 * and noncharacters. */
static int32_t numbered(int32_t number)
{
    if (number == 0 || number > LAST_RUNE || (number >= 0xd800 && number <= 0xdfff)) return REPLACEMENT;
    if (number >= 0x80 && number <= 0x9f) return t2d_rune_from_cp1252(number);
    const bool control =
        (number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r') ||
        number == 0x7f;
    const bool noncharacter = (number >= 0xfdd0 && number <= 0xfdef) || (number & 0xfffe) == 0xfffe;
    return control || noncharacter ? NOTHING : number;
}

/* "&#123;" or "&#x7b" at `from`: its number, and the place behind it in *end; false when it is neither. */
static bool parse_number(const t2d_runes *in, size_t from, int32_t *number, size_t *end)
{
    size_t i = from + 2;
    const int base = i < in->count && (in->at[i] | 0x20) == 'x' ? 16 : 10;
    if (base == 16) i++;
    const size_t first = i;
    int32_t value = 0;
    for (; i < in->count; i++) {
        const int digit = digit_value(in->at[i], base);
        if (digit < 0) break;
        if (value <= LAST_RUNE) value = value * base + digit;
    }
    if (i == first) return false;
    if (i < in->count && in->at[i] == ';') i++;
    *number = value;
    *end = i;
    return true;
}

/* The characters of a name behind the '&' at `from`, at most `longest`, and its ';' if there is one.  Runes
 * that no name has become 1, so that prefixes keep their length in characters. */
static size_t read_name(const t2d_runes *in, size_t from, char name[LONGEST_NAME + 2])
{
    size_t n = 0;
    for (; n < LONGEST_NAME && from + 1 + n < in->count; n++) {
        const int32_t c = in->at[from + 1 + n];
        if (c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' || c == ';')
            break;
        name[n] = c < 0x80 ? (char)c : 1;
    }
    if (n > 0 && from + 1 + n < in->count && in->at[from + 1 + n] == ';') name[n++] = ';';
    name[n] = '\0';
    return n;
}

/* The longest known beginning of a name: its entity, and its length in *used. */
static const entity *find_longest(char *name, size_t length, size_t *used)
{
    for (size_t n = length; n > 1; n--) {
        name[n] = '\0';
        const entity *e = find(name);
        if (e && !e->shouted) {
            *used = n;
            return e;
        }
    }
    return NULL;
}

/* One reference at the '&' at `from`; returns the place to go on from. */
static size_t unescape_one(const t2d_runes *in, size_t from, t2d_runes *out)
{
    if (from + 1 < in->count && in->at[from + 1] == '#') {
        int32_t number;
        size_t end;
        if (parse_number(in, from, &number, &end)) {
            const int32_t rune = numbered(number);
            if (rune != NOTHING) t2d_runes_push(out, rune);
            return end;
        }
    } else {
        char name[LONGEST_NAME + 2];
        size_t used;
        const size_t length = read_name(in, from, name);
        const entity *e = find_longest(name, length, &used);
        if (e) {
            push_entity(out, e);
            return from + 1 + used;
        }
    }
    t2d_runes_push(out, '&');
    return from + 1;
}

void t2d_html_unescape(const t2d_runes *in, t2d_runes *out)
{
    for (size_t i = 0; i < in->count;) {
        if (in->at[i] == '&') {
            i = unescape_one(in, i, out);
        } else {
            t2d_runes_push(out, in->at[i++]);
        }
    }
    if (in->failed) out->failed = true;
}

/* Length of "&name;" or "&#number;" at `from`, 0 when there is none. */
static size_t closed_length(const t2d_runes *in, size_t from)
{
    size_t i = from + 1;
    if (i < in->count && in->at[i] == '#') i++;
    const size_t first = i;
    while (i < in->count && i - first <= LONGEST_CLOSED && (is_digit(in->at[i]) || is_letter(in->at[i]))) i++;
    const bool closed = i > first && i - first <= LONGEST_CLOSED && i < in->count && in->at[i] == ';';
    return closed ? i + 1 - from : 0;
}

/* Appends what the closed reference stands for; false when it stands for nothing known. */
static bool push_closed(const t2d_runes *in, size_t from, size_t length, t2d_runes *out)
{
    if (in->at[from + 1] == '#') {
        int32_t number;
        size_t end;
        if (!parse_number(in, from, &number, &end) || end != from + length || number == ';') return false;
        const int32_t rune = numbered(number);
        if (rune != NOTHING) t2d_runes_push(out, rune);
        return true;
    }
    char name[LONGEST_NAME + 2];
    read_name(in, from, name);
    const entity *e = find(name);
    if (e) push_entity(out, e);
    return e != NULL;
}

void t2d_html_unescape_closed(const t2d_runes *in, t2d_runes *out)
{
    for (size_t i = 0; i < in->count;) {
        const size_t length = in->at[i] == '&' ? closed_length(in, i) : 0;
        if (length && push_closed(in, i, length, out)) {
            i += length;
        } else {
            t2d_runes_push(out, in->at[i++]);
        }
    }
    if (in->failed) out->failed = true;
}
