/* tokenizer.c — CLIP's byte-pair encoding: words, bytes, merges, ids.
 *
 * A symbol is its id.  No two merges may spell the same symbol, so equal ids and equal spellings are the same
 * thing; and a merge may only join what earlier lines made, so a merge never creates a pair of lower rank. */
#include "model/clean.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { BYTES = 256, FIRST_MERGE = 2 * BYTES, NO_RANK = INT32_MAX };

typedef struct slot {
    int32_t left, right, rank; /* rank NO_RANK: empty */
} slot;

struct t2d_tokenizer {
    int merges;
    uint32_t mask; /* slots - 1, a power of two minus one */
    slot *slots;
};

/* ---- the alphabet ---- */

/* Printable bytes of Latin-1 come first, the other 68 behind them. */
static int32_t byte_symbol(unsigned char b)
{
    if (b >= 33 && b <= 126) return b - 33;
    if (b >= 161 && b <= 172) return b - 161 + 94;
    if (b >= 174) return b - 174 + 106;
    return 188 + (b < 33 ? b : b < 161 ? b - 127 + 33 : 67);
}

/* How the merges spell a byte: itself, or U+0100 and up for the 68. */
static int32_t byte_rune(unsigned char b)
{
    const int32_t id = byte_symbol(b);
    return id < 188 ? b : 0x100 + id - 188;
}

/* ---- the table of merges ---- */

static slot *find_pair(const t2d_tokenizer *t, int32_t left, int32_t right)
{
    const uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    uint32_t i = (uint32_t)(key >> 32) & t->mask;
    while (t->slots[i].rank != NO_RANK && (t->slots[i].left != left || t->slots[i].right != right))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

/* Spellings while the merges are read: one after another in `text`, found by hash. */
typedef struct spellings {
    char *text;
    size_t *start; /* [symbols + 1] */
    int32_t *ids;  /* hash table, -1: empty */
    uint32_t mask;
    int count;
} spellings;

static int32_t *find_spelling(const spellings *s, const char *text, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    uint32_t i = hash & s->mask;
    for (; s->ids[i] >= 0; i = (i + 1) & s->mask) {
        const size_t start = s->start[s->ids[i]];
        if (s->start[s->ids[i] + 1] - start == length && memcmp(s->text + start, text, length) == 0) break;
    }
    return &s->ids[i];
}

/* Appends left + right as the next symbol; false when something is spelled so already. */
static bool add_spelling(spellings *s, const char *left, size_t left_bytes, const char *right,
                         size_t right_bytes)
{
    char *at = s->text + s->start[s->count];
    memcpy(at, left, left_bytes);
    memcpy(at + left_bytes, right, right_bytes);
    int32_t *id = find_spelling(s, at, left_bytes + right_bytes);
    if (*id >= 0) return false;
    *id = s->count;
    s->start[s->count + 1] = s->start[s->count] + left_bytes + right_bytes;
    s->count++;
    return true;
}

static void add_alphabet(spellings *s)
{
    unsigned char byte_of[BYTES];
    for (int b = 0; b < BYTES; b++) byte_of[byte_symbol((unsigned char)b)] = (unsigned char)b;
    for (int id = 0; id < FIRST_MERGE; id++) {
        char utf8[4];
        const utf8proc_ssize_t n = utf8proc_encode_char(byte_rune(byte_of[id % BYTES]), (uint8_t *)utf8);
        add_spelling(s, utf8, (size_t)n, "</w>", id < BYTES ? 0 : 4);
    }
}

static t2d_status spellings_init(spellings *s, size_t text_bytes, uint32_t slots, int symbols, t2d_error *err)
{
    s->mask = slots - 1;
    s->text = t2d_new(text_bytes + FIRST_MERGE * 6, 1, "tokenizer spellings", err);
    s->start = t2d_new((size_t)symbols + 1, sizeof *s->start, "tokenizer spellings", err);
    s->ids = t2d_new(slots, sizeof *s->ids, "tokenizer spellings", err);
    if (!s->text || !s->start || !s->ids) return T2D_E_MEMORY;
    memset(s->ids, 0xff, slots * sizeof *s->ids);
    add_alphabet(s);
    return T2D_OK;
}

static t2d_status unknown(const char *part, size_t bytes, int line, t2d_error *err)
{
    return t2d_fail(err, T2D_E_FORMAT,
                    "tokenizer.merges, line %d: '%.*s' is neither a byte nor the result of an earlier line",
                    line, bytes > 80 ? 80 : (int)bytes, part);
}

/* One line without its newline. */
static t2d_status add_merge(t2d_tokenizer *t, spellings *s, const char *line, size_t bytes, t2d_error *err)
{
    const int number = t->merges + 1;
    const char *space = memchr(line, ' ', bytes);
    const size_t left_bytes = space ? (size_t)(space - line) : 0;
    if (left_bytes == 0 || left_bytes + 1 >= bytes)
        return t2d_fail(err, T2D_E_FORMAT, "tokenizer.merges, line %d: want 'left right', found '%.*s'",
                        number, bytes > 80 ? 80 : (int)bytes, line);
    const char *right_part = space + 1;
    const size_t right_bytes = bytes - left_bytes - 1;
    const int32_t left = *find_spelling(s, line, left_bytes);
    const int32_t right = *find_spelling(s, right_part, right_bytes);
    if (left < 0) return unknown(line, left_bytes, number, err);
    if (right < 0) return unknown(right_part, right_bytes, number, err);
    if (!add_spelling(s, line, left_bytes, right_part, right_bytes))
        return t2d_fail(err, T2D_E_FORMAT,
                        "tokenizer.merges, line %d: '%.*s' makes a symbol that exists already", number,
                        bytes > 80 ? 80 : (int)bytes, line);
    *find_pair(t, left, right) = (slot){left, right, t->merges++};
    return T2D_OK;
}

static t2d_status add_merges(t2d_tokenizer *t, spellings *s, const char *text, size_t bytes, t2d_error *err)
{
    const char *end = text + bytes;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        const t2d_status status = add_merge(t, s, text, (size_t)(stop - text), err);
        if (status != T2D_OK) return status;
        text = newline ? newline + 1 : end;
    }
    return T2D_OK;
}

t2d_status t2d_tokenizer_create(const char *merges, size_t bytes, t2d_tokenizer **tokenizer, t2d_error *err)
{
    enum { MOST_BYTES = 1 << 28 }; /* ids and hashes stay within 32 bits */
    *tokenizer = NULL;
    if (bytes > MOST_BYTES)
        return t2d_fail(err, T2D_E_FORMAT, "tokenizer.merges: %zu bytes; at most %d are read", bytes,
                        MOST_BYTES);
    size_t lines = 1;
    for (size_t i = 0; i < bytes; i++) lines += merges[i] == '\n';
    uint32_t slots = 1024;
    while (slots < 2 * (FIRST_MERGE + lines)) slots *= 2;

    spellings s = {0};
    t2d_status status = T2D_E_MEMORY;
    t2d_tokenizer *t = t2d_new(1, sizeof *t, "tokenizer", err);
    if (!t) return status;
    t->mask = slots - 1;
    t->slots = t2d_new(slots, sizeof *t->slots, "tokenizer merges", err);
    if (!t->slots) goto done;
    for (uint32_t i = 0; i < slots; i++) t->slots[i].rank = NO_RANK;
    status = spellings_init(&s, bytes, slots, FIRST_MERGE + (int)lines, err);
    if (status == T2D_OK) status = add_merges(t, &s, merges, bytes, err);
done:
    free(s.text);
    free(s.start);
    free(s.ids);
    if (status == T2D_OK)
        *tokenizer = t;
    else
        t2d_tokenizer_destroy(t);
    return status;
}

void t2d_tokenizer_destroy(t2d_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    free(tokenizer->slots);
    free(tokenizer);
}

int t2d_tokenizer_vocabulary(const t2d_tokenizer *tokenizer) { return FIRST_MERGE + tokenizer->merges + 2; }

/* ---- encoding ---- */

static int32_t rank_of(const t2d_tokenizer *t, int32_t left, int32_t right)
{
    return find_pair(t, left, right)->rank;
}

/* Joins all pairs of rank `best`, left to right; returns the number of symbols left. */
static size_t join(const t2d_tokenizer *t, int32_t *symbols, int32_t *ranks, size_t n, int32_t best)
{
    const int32_t joined = FIRST_MERGE + best;
    size_t kept = 0;
    for (size_t i = 0; i < n; kept++) {
        const bool pair = i + 1 < n && ranks[i] == best;
        symbols[kept] = pair ? joined : symbols[i];
        ranks[kept] = ranks[pair ? i + 1 : i];
        i += pair ? 2 : 1;
    }
    for (size_t i = 0; i + 1 < kept; i++)
        if (symbols[i] == joined || symbols[i + 1] == joined)
            ranks[i] = rank_of(t, symbols[i], symbols[i + 1]);
    return kept;
}

/* One word of n >= 1 bytes to symbols; returns how many.  ranks is room for n numbers: the rank of each pair
 * of neighbours, so that a round looks up only what it changed. */
static size_t encode_word(const t2d_tokenizer *t, const char *word, size_t n, int32_t *symbols,
                          int32_t *ranks)
{
    for (size_t i = 0; i < n; i++) symbols[i] = byte_symbol((unsigned char)word[i]);
    symbols[n - 1] += BYTES;
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = rank_of(t, symbols[i], symbols[i + 1]);
    for (;;) {
        int32_t best = NO_RANK;
        for (size_t i = 0; i + 1 < n; i++) best = ranks[i] < best ? ranks[i] : best;
        if (best == NO_RANK) return n;
        n = join(t, symbols, ranks, n, best);
    }
}

/* Where the ids go: the first `capacity` are written, all are counted. */
typedef struct sink {
    int32_t *ids;
    int capacity, count;
} sink;

static void emit(sink *out, int32_t id)
{
    if (out->count < out->capacity) out->ids[out->count] = id;
    out->count++;
}

static void encode_clean(const t2d_tokenizer *t, const char *text, int32_t *scratch, size_t room, sink *out)
{
    const int32_t start = FIRST_MERGE + t->merges;
    emit(out, start);
    for (size_t bytes; (bytes = t2d_word_next(&text)) > 0; text += bytes) {
        const int special = t2d_word_special(text, bytes);
        if (special >= 0) {
            emit(out, start + special);
            continue;
        }
        const size_t n = encode_word(t, text, bytes, scratch, scratch + room);
        for (size_t i = 0; i < n; i++) emit(out, scratch[i]);
    }
    emit(out, start + 1);
}

/* How much of a text to show in a message: at most 60 bytes, whole characters. */
static int shown(const char *text)
{
    size_t n = strlen(text);
    if (n > 60)
        for (n = 60; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;) n--;
    return (int)n;
}

t2d_status t2d_tokenizer_encode(const t2d_tokenizer *tokenizer, const char *text, int32_t *ids, int capacity,
                                int *count, t2d_error *err)
{
    *count = 0;
    char *clean;
    t2d_status status = t2d_text_clean(text, &clean, err);
    if (status != T2D_OK) return status;
    const size_t room = strlen(clean);
    int32_t *scratch = t2d_new(2 * room, sizeof *scratch, "symbols of a text", err);
    if (!scratch) {
        status = T2D_E_MEMORY;
        goto done;
    }
    sink out = {ids, capacity, 0};
    encode_clean(tokenizer, clean, scratch, room, &out);
    *count = out.count;
    if (out.count > capacity)
        status = t2d_fail(err, T2D_E_ARGUMENT, "'%.*s%s' is %d tokens, at most %d fit; shorten it",
                          shown(text), text, strlen(text) > 60 ? "..." : "", out.count, capacity);
done:
    free(scratch);
    free(clean);
    return status;
}
