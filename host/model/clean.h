/* clean.h — text as code points: what clean.c, html.c, unicode.c, words.c and tokenizer.c share.
 *
 * A step of the cleaning reads one list of runes and appends to another.  Running out of memory is remembered
 * in the list (`failed`), so that a step has no error path; who takes the result asks once. */
#ifndef T2D_CLEAN_H
#define T2D_CLEAN_H

#include "base/base.h"

typedef struct t2d_runes {
    int32_t *at;
    size_t count, room;
    bool failed;
} t2d_runes;

void t2d_runes_push(t2d_runes *text, int32_t rune);
void t2d_runes_append(t2d_runes *text, const int32_t *runes, size_t count);
void t2d_runes_release(t2d_runes *text);

/* UTF-8 to runes; T2D_E_ARGUMENT with the byte's position when it is not valid UTF-8. */
t2d_status t2d_runes_decode(const char *utf8, t2d_runes *text, t2d_error *err);
/* And back; the caller frees. */
t2d_status t2d_runes_encode(const t2d_runes *text, char **utf8, t2d_error *err);

/* Normalization form C, in place. */
void t2d_runes_compose(t2d_runes *text);
/* Python's str.lower: one to one but for capital I with dot and the sigma that ends a word. */
void t2d_runes_lower(const t2d_runes *in, t2d_runes *out);

/* Unicode's White_Space, the \s of Python's regular expressions. */
bool t2d_rune_is_space(int32_t rune);

/* What Windows-1252 has at 0x80 .. 0x9f; other runes, and its five holes, are returned as they are. */
int32_t t2d_rune_from_cp1252(int32_t rune);

/* html.unescape of Python: every reference HTML5 knows, closed by ';' or not. */
void t2d_html_unescape(const t2d_runes *in, t2d_runes *out);
/* ftfy's unescape_html: only those closed by ';', and some in capitals. */
void t2d_html_unescape_closed(const t2d_runes *in, t2d_runes *out);

/* The next word at or behind *text, which moves to its beginning: its length in bytes, 0 at the end of the
 * text. */
size_t t2d_word_next(const char **text);
/* 0 when the word is the start token, 1 when it is the end token, else -1. */
int t2d_word_special(const char *word, size_t bytes);

#endif
