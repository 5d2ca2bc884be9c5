/* words.c — clean text to words, by the published expression
 *     <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
 * of Python's regex module, case ignored. */
#include "model/clean.h"

#include <string.h>
#include <utf8proc.h>

static const char *const specials[] = {"<|startoftext|>", "<|endoftext|>"};
static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

typedef enum kind { NO_WORD, LETTER, NUMBER, OTHER } kind;

/* Spaces are in no word; nor is U+0345, which the published expression, ignoring case, takes for a letter
 * when it looks for others and for a mark when it looks for letters. */
static kind kind_of(int32_t rune)
{
    enum { YPOGEGRAMMENI = 0x345 };
    if (t2d_rune_is_space(rune) || rune == YPOGEGRAMMENI) return NO_WORD;
    const utf8proc_category_t c = utf8proc_category(rune);
    if (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) return LETTER;
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO ? NUMBER : OTHER;
}

/* Reads the character at *p (valid UTF-8, not its end) and steps behind it. */
static kind step(const char **p)
{
    int32_t rune;
    *p += utf8proc_iterate((const uint8_t *)*p, -1, &rune);
    return kind_of(rune);
}

/* Bytes of `text` that match, 0 when it does not begin so.  The text is in lower case; a long s, which has no
 * other, equals s when case is ignored. */
static size_t match(const char *text, const char *literal)
{
    const char *p = text;
    for (; *literal; literal++) {
        if (*p == *literal)
            p++;
        else if (*literal == 's' && strncmp(p, "\u017f", 2) == 0)
            p += 2;
        else
            return 0;
    }
    return (size_t)(p - text);
}

/* Alternatives are tried in this order; a run of letters or of other characters is as long as it can be. */
size_t t2d_word_next(const char **text)
{
    const char *p = *text;
    kind first = NO_WORD;
    while (*p && first == NO_WORD) {
        *text = p;
        first = step(&p);
    }
    if (first == NO_WORD) return 0;
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (match(*text, specials[i])) return match(*text, specials[i]);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (match(*text, endings[i])) return match(*text, endings[i]);
    while (*p && first != NUMBER) {
        const char *next = p;
        if (step(&next) != first) break;
        p = next;
    }
    return (size_t)(p - *text);
}

int t2d_word_special(const char *word, size_t bytes)
{
    for (int i = 0; i < 2; i++)
        if (bytes == strlen(specials[i]) && memcmp(word, specials[i], bytes) == 0) return i;
    return -1;
}
