/* test_tokenizer.c — cleaning against Python's results, words and merges by hand, ids against CLIP's own.
 *
 * The published merges carry no licence and are not in the repository: what needs them is skipped unless
 * T2D_REFERENCE names a folder with bpe_simple_vocab_16e6.txt.gz. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/model.h"

/* ---- cleaning: expected values are those of ftfy 6.3.1, html and str of Python 3.11 ---- */

static void expect_clean(const char *text, const char *want)
{
    t2d_error err = {0};
    char *clean;
    cr_assert_eq(t2d_text_clean(text, &clean, &err), T2D_OK, "%s", err.message);
    cr_expect_str_eq(clean, want, "'%s' gives '%s', want '%s'", text, clean, want);
    free(clean);
}

Test(clean, spaces)
{
    expect_clean("", "");
    expect_clean(" \t\n ", "");
    expect_clean("  a \t\n photo   of\u00a0a\u3000dog  ", "a photo of a dog");
    expect_clean("a\r\nb\rc\u2028d\u2029e\ff", "a b c d e f");
    expect_clean("a\u200bb\u00adc", "a\u200bb\u00adc");
}

Test(clean, quotes_widths_and_ligatures)
{
    expect_clean("it\u2019s a \u201cquoted\u201d \u02bcword\u201b", "it's a \"quoted\" 'word'");
    expect_clean("\uff23\uff21\uff34\uff11\uff12 \uff76\uff9e", "cat12 \u30ac");
    expect_clean("\ufb01sh \ufb04 \u0132 \u0149 \ufb05", "fish ffl ij 'n \u017ft");
    expect_clean("\u2013 \u2014 \u2026 \u00bd \u2122", "\u2013 \u2014 \u2026 \u00bd \u2122");
}

Test(clean, controls)
{
    expect_clean("a\x07"
                 "b\x1b[31;1mred\x1b[0m\x7f \x1b[\u0663m.",
                 "abred .");
    expect_clean("\ufeff"
                 "cat\u206a\ufff9\ufffc",
                 "cat");
    expect_clean("\xc2\x80 \xc2\x92 \xc2\x85", "\u20ac ' \u2026"); /* C1 is Windows-1252 */
}

Test(clean, composition)
{
    expect_clean("cafe\u0301 nai\u0308ve", "caf\u00e9 na\u00efve");
    expect_clean("a\u0323\u0307 a\u0307\u0323", "\u1ea1\u0307 \u1ea1\u0307");
    expect_clean("\u1100\u1161\u11a8 \u212b", "\uac01 \u00e5");
}

Test(clean, references)
{
    expect_clean("cats &amp; dogs &amp;amp;amp;lt;b&gt;", "cats & dogs <b>");
    expect_clean("<i> &amp;amp;amp; &amp;amp;amp;amp;", "<i> &amp; &amp;amp;");
    expect_clean("&notit; &amp &EACUTE; &SZLIG; &NoSuch; &nGt;",
                 "\u00acit; & \u00e9 ss &nosuch; \u226b\u20d2");
    expect_clean("&#39;&#x27;&#X41; &#x41g; &#59; &#; &#x;", "''a ag; ; &#; &#x;");
    expect_clean("&#0; &#xD800; &#x110000; &#99999999999; &#128; a&#1;b",
                 "\ufffd \ufffd \ufffd \ufffd \u20ac ab");
}

Test(clean, only_lines_behind_a_bracket_are_html)
{
    expect_clean("&amp;amp;amp;amp; x\n<p>&amp;amp;amp;amp;", "& x <p>&amp;amp;");
}

Test(clean, lower_case)
{
    expect_clean("Stra\u00dfe \u0130stanbul", "stra\u00dfe i\u0307stanbul");
    expect_clean("\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
                 "\u03bf\u03b4\u03c5\u03c3\u03c3\u03b5\u03c5\u03c2");
    expect_clean("\u03a3 A\u03a3. A\u03a3.B \u216b\u03a3", "\u03c3 a\u03c2. a\u03c3.b \u217b\u03c2");
}

Test(clean, mojibake_is_kept) { expect_clean("caf\u00c3\u00a9", "caf\u00e3\u00a9"); }

Test(clean, refuses)
{
    static const char *const broken[] = {"a\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                         "\x80"};
    t2d_error err = {0};
    char *clean;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        cr_expect_eq(t2d_text_clean(broken[i], &clean, &err), T2D_E_ARGUMENT, "case %zu", i);
        cr_expect_null(clean);
    }
    cr_expect_str_eq(err.message, "text is not valid UTF-8: byte 0x80 at position 0");
    char *huge = malloc(20001);
    memset(huge, 'a', 20000);
    huge[20000] = '\0';
    cr_expect_eq(t2d_text_clean(huge, &clean, &err), T2D_E_ARGUMENT);
    cr_expect_str_eq(err.message, "text of 20000 bytes: at most 16384 are read; shorten it");
    free(huge);
}

/* ---- merges by hand ---- */

static const char small[] = "a b\nab c</w>\na a\naa aa\n' s</w>\n";
enum { AB = 512, ABC, AA, AAAA, APOSTROPHE_S, START, END };

static t2d_tokenizer *make(const char *merges)
{
    t2d_error err = {0};
    t2d_tokenizer *t = NULL;
    cr_assert_eq(t2d_tokenizer_create(merges, strlen(merges), &t, &err), T2D_OK, "%s", err.message);
    return t;
}

/* Ids of one ASCII character inside a word and at its end. */
#define IN(c) ((c)-33)
#define LAST(c) (256 + (c)-33)
/* The ids wanted between start and end, closed by -1. */
#define IDS(...) ((const int[]){__VA_ARGS__, -1})

static void expect_ids(const t2d_tokenizer *t, const char *text, const int *want)
{
    t2d_error err = {0};
    int32_t ids[64];
    int count, n = 0;
    cr_assert_eq(t2d_tokenizer_encode(t, text, ids, 64, &count, &err), T2D_OK, "%s", err.message);
    while (want[n] >= 0) n++;
    cr_assert_eq(count, n + 2, "'%s': %d ids, want %d", text, count, n + 2);
    cr_expect_eq(ids[0], t2d_tokenizer_vocabulary(t) - 2);
    for (int i = 0; i < n; i++)
        cr_expect_eq(ids[i + 1], want[i], "'%s'[%d]: %d, want %d", text, i, ids[i + 1], want[i]);
    cr_expect_eq(ids[count - 1], t2d_tokenizer_vocabulary(t) - 1);
}

Test(tokenizer, bytes)
{
    t2d_tokenizer *t = make("");
    cr_expect_eq(t2d_tokenizer_vocabulary(t), 514);
    expect_ids(t, "", (const int[]){-1});
    expect_ids(t, "!", IDS(256));
    expect_ids(t, "~~", IDS(93, 256 + 93));
    expect_ids(t, "\u00a1", IDS(126, 256 + 94));       /* c2 a1 */
    expect_ids(t, "\u20ac", IDS(158, 224, 256 + 105)); /* e2 82 ac */
    expect_ids(t, "\u00ad", IDS(126, 511));            /* c2 ad: the last of the alphabet */
    t2d_tokenizer_destroy(t);
}

Test(tokenizer, merges)
{
    t2d_tokenizer *t = make(small);
    cr_expect_eq(t2d_tokenizer_vocabulary(t), END + 1);
    expect_ids(t, "abc", IDS(ABC));
    expect_ids(t, "abcab", IDS(AB, IN('c'), IN('a'), LAST('b'))); /* the last b is b</w>: no pair */
    expect_ids(t, "aabc", IDS(IN('a'), ABC));                     /* lowest rank first, not leftmost */
    expect_ids(t, "aaaaa", IDS(AAAA, LAST('a')));
    expect_ids(t, "aaaa", IDS(AA, IN('a'), LAST('a')));
    t2d_tokenizer_destroy(t);
}

Test(tokenizer, words)
{
    t2d_tokenizer *t = make(small);
    expect_ids(t, "X'S", IDS(LAST('x'), APOSTROPHE_S));
    expect_ids(t, "''s", IDS(IN('\''), LAST('\''), LAST('s')));
    expect_ids(t, "'\u017f", IDS(IN('\''), 129, 256 + 123)); /* a long s is an s, but has its own bytes */
    expect_ids(t, "'tx", IDS(IN('\''), LAST('t'), LAST('x')));
    expect_ids(t, "1.23", IDS(LAST('1'), LAST('.'), LAST('2'), LAST('3')));
    expect_ids(t, "x_y", IDS(LAST('x'), LAST('_'), LAST('y')));
    expect_ids(t, "x\u0345y", IDS(LAST('x'), LAST('y')));             /* in no word */
    expect_ids(t, "\u0130", IDS(LAST('i'), 136, 256 + 188 + 33 + 8)); /* i, then cc 87 */
    t2d_tokenizer_destroy(t);
}

Test(tokenizer, special_tokens)
{
    t2d_tokenizer *t = make(small);
    expect_ids(t, "<|startoftext|>x<|EndOfText|>", IDS(START, LAST('x'), END));
    expect_ids(t, "!<|endoftext|>",
               IDS(IN('!'), IN('<'), LAST('|'), IN('e'), IN('n'), IN('d'), IN('o'), IN('f'), IN('t'), IN('e'),
                   IN('x'), LAST('t'), IN('|'), LAST('>')));
    t2d_tokenizer_destroy(t);
}

Test(tokenizer, too_long_for_the_context)
{
    t2d_tokenizer *t = make(small);
    t2d_error err = {0};
    int32_t ids[4] = {-7, -7, -7, -7};
    int count;
    cr_expect_eq(t2d_tokenizer_encode(t, "abc x", ids, 4, &count, &err), T2D_OK);
    cr_expect_eq(count, 4);
    cr_expect_eq(t2d_tokenizer_encode(t, "abc x y", ids, 3, &count, &err), T2D_E_ARGUMENT);
    cr_expect_eq(count, 5);
    cr_expect_str_eq(err.message, "'abc x y' is 5 tokens, at most 3 fit; shorten it");
    cr_expect_eq(ids[2], LAST('x'));
    cr_expect_eq(ids[3], END, "the fourth is of the call before: nothing behind the capacity is written");
    t2d_tokenizer_destroy(t);
}

Test(tokenizer, long_word)
{
    t2d_tokenizer *t = make(small);
    t2d_error err = {0};
    char *word = malloc(16385);
    memset(word, 'a', 16384);
    word[16384] = '\0';
    int32_t id;
    int count;
    cr_expect_eq(t2d_tokenizer_encode(t, word, &id, 1, &count, &err), T2D_E_ARGUMENT);
    cr_expect_eq(count, 4095 + 3 + 2, "4095 times aaaa, aa, a, a</w>, start and end");
    free(word);
    t2d_tokenizer_destroy(t);
}

Test(tokenizer, refuses_damaged_merges)
{
    static const struct {
        const char *merges, *message;
    } cases[] = {
        {"a b\n\n", "tokenizer.merges, line 2: want 'left right', found ''"},
        {"ab\n", "tokenizer.merges, line 1: want 'left right', found 'ab'"},
        {" b\n", "tokenizer.merges, line 1: want 'left right', found ' b'"},
        {"a \n", "tokenizer.merges, line 1: want 'left right', found 'a '"},
        {"a b\nab cd\nc d",
         "tokenizer.merges, line 2: 'cd' is neither a byte nor the result of an earlier line"},
        {"a b c\n", "tokenizer.merges, line 1: 'b c' is neither a byte nor the result of an earlier line"},
        {"a b\na b\n", "tokenizer.merges, line 2: 'a b' makes a symbol that exists already"},
        {"a b\nb c\nab c\na bc\n", "tokenizer.merges, line 4: 'a bc' makes a symbol that exists already"},
        {"a \u0144\n",
         "tokenizer.merges, line 1: '\u0144' is neither a byte nor the result of an earlier line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        t2d_error err = {0};
        t2d_tokenizer *t;
        cr_expect_eq(t2d_tokenizer_create(cases[i].merges, strlen(cases[i].merges), &t, &err), T2D_E_FORMAT);
        cr_expect_null(t);
        cr_expect_str_eq(err.message, cases[i].message, "%s", err.message);
    }
}

/* ---- CLIP's own merges ---- */

/* Lines 1 to 48894 of bpe_simple_vocab_16e6.txt.gz; line 0 is a header, the rest is unused. */
static t2d_tokenizer *published(void)
{
    enum { ROOM = 4 << 20, MERGES = 48894 };
    const char *folder = getenv("T2D_REFERENCE");
    if (!folder) cr_skip_test("T2D_REFERENCE is not set: CLIP's merges are not in the repository");
    char path[4096];
    snprintf(path, sizeof path, "%s/bpe_simple_vocab_16e6.txt.gz", folder);
    gzFile file = gzopen(path, "rb");
    cr_assert_not_null(file, "%s cannot be opened", path);
    char *text = calloc(ROOM, 1);
    cr_assert_gt(gzread(file, text, ROOM - 1), 0);
    gzclose(file);
    char *first = strchr(text, '\n') + 1, *stop = first;
    for (int i = 0; i < MERGES; i++) stop = strchr(stop, '\n') + 1;
    *stop = '\0';
    t2d_tokenizer *t = make(first);
    free(text);
    return t;
}

Test(published, cases)
{
    t2d_tokenizer *t = published();
    cr_expect_eq(t2d_tokenizer_vocabulary(t), 49408);
    json_error_t why;
    json_t *root = json_load_file(T2D_GOLDEN "/tokenizer_cases.json", 0, &why);
    cr_assert_not_null(root, "%s", why.text);
    json_t *cases = json_object_get(root, "cases"), *item, *id;
    cr_assert_eq(json_array_size(cases), 46);
    size_t i, k;
    json_array_foreach(cases, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *want = json_object_get(item, "ids");
        int32_t ids[256];
        int count;
        t2d_error err = {0};
        cr_assert_eq(
            t2d_tokenizer_encode(t, json_string_value(json_object_get(item, "text")), ids, 256, &count, &err),
            T2D_OK, "%s: %s", name, err.message);
        cr_assert_eq(count, (int)json_array_size(want) + 2, "%s", name);
        cr_expect_eq(ids[0], 49406);
        cr_expect_eq(ids[count - 1], 49407);
        json_array_foreach(want, k, id) cr_expect_eq(ids[k + 1], json_integer_value(id), "%s[%zu]", name, k);
    }
    json_decref(root);
    t2d_tokenizer_destroy(t);
}
