/* fuzz_text.c — any bytes as a text: clean UTF-8 and ids of the vocabulary, or a sentence, nothing else.
 *
 * What cleaning promises is checked: no space at the ends, none twice; and ids that do not depend on how many
 * of them there was room for. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

static const char merges[] = "a b\nab c</w>\na a\naa aa\n' s</w>\n& a\n";

static void check_clean(const char *text)
{
    char *clean;
    t2d_error err = {0};
    if (t2d_text_clean(text, &clean, &err) != T2D_OK) {
        assert(clean == NULL && err.message[0]);
        return;
    }
    const size_t n = strlen(clean);
    assert(n == 0 || (clean[0] != ' ' && clean[n - 1] != ' '));
    assert(strstr(clean, "  ") == NULL);
    free(clean);
}

static void check_ids(const t2d_tokenizer *t, const char *text)
{
    enum { ROOM = 77 };
    int32_t ids[ROOM], few[2] = {-1, -1};
    int count, again;
    t2d_error err = {0};
    const t2d_status status = t2d_tokenizer_encode(t, text, ids, ROOM, &count, &err);
    assert((status == T2D_OK) == (count >= 2 && count <= ROOM));
    const int vocabulary = t2d_tokenizer_vocabulary(t);
    for (int i = 0; i < count && i < ROOM; i++) assert(ids[i] >= 0 && ids[i] < vocabulary);
    if (status == T2D_OK) assert(ids[0] == vocabulary - 2 && ids[count - 1] == vocabulary - 1);
    (void)t2d_tokenizer_encode(t, text, few, 1, &again, NULL);
    assert(again == count && few[1] == -1);
}

/* The bytes as merges: a tokenizer or a sentence. */
static void check_merges(const char *bytes, size_t count)
{
    t2d_tokenizer *t;
    t2d_error err = {0};
    if (t2d_tokenizer_create(bytes, count, &t, &err) == T2D_OK)
        check_ids(t, "ab abc a\u00e9");
    else
        assert(t == NULL && err.message[0]);
    t2d_tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static t2d_tokenizer *t;
    if (!t && t2d_tokenizer_create(merges, strlen(merges), &t, NULL) != T2D_OK) abort();
    char *text = malloc(count + 1);
    if (!text) return 0;
    memcpy(text, bytes, count);
    text[count] = '\0';
    check_clean(text);
    check_ids(t, text);
    check_merges(text, count);
    free(text);
    return 0;
}
