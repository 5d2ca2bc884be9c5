/* fuzz_eval.c — any bytes as a label map, a preset or a results file (the first byte says which): what was
 * meant, or a sentence. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eval/eval.h"

static void labels(const uint8_t *bytes, size_t count)
{
    t2d_labels l;
    t2d_error err = {0};
    const t2d_status status = t2d_labels_decode(bytes, count, "fuzz", &l, &err);
    if (status ? l.values != NULL || err.status != status : !l.values || l.width < 1 || l.height < 1) abort();
    t2d_labels_release(&l);
}

static void preset(const uint8_t *bytes, size_t count)
{
    t2d_preset *p;
    t2d_error err = {0};
    const t2d_status status = t2d_preset_read((const char *)bytes, count, "fuzz", &p, &err);
    if (status ? p != NULL || err.status != status : !p || p->label_count < 1 || p->file_count < 1) abort();
    for (int i = 0; p && i < p->file_count; i++)
        for (int raw = 0; raw < T2D_RAW_LABELS; raw++) {
            const uint16_t label = p->files[i].map[raw];
            if (label >= p->label_count && label != T2D_IGNORED && label != T2D_UNMAPPED) abort();
        }
    t2d_preset_close(p);
}

static void results(const uint8_t *bytes, size_t count)
{
    char path[64];
    const int file = memfd_create("fuzz", 0);
    if (file < 0 || write(file, bytes, count) != (ssize_t)count) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    t2d_reader reader;
    t2d_record record;
    t2d_tally tally;
    t2d_error err = {0};
    bool found = true;
    if (t2d_reader_open(&reader, path, &err) == T2D_OK && reader.head && reader.labels < 64 &&
        t2d_tally_init(&tally, reader.labels, &err) == T2D_OK) {
        while (found && t2d_reader_next(&reader, &record, &found, &err) == T2D_OK)
            if (found) t2d_tally_add(&tally, &record);
        t2d_tally_release(&tally);
    }
    t2d_reader_close(&reader);
    close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0) return 0;
    void (*const kinds[])(const uint8_t *, size_t) = {labels, preset, results};
    kinds[bytes[0] % 3](bytes + 1, count - 1);
    return 0;
}
