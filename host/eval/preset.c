/* preset.c — presets by name or by file. */
#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>

enum { PRESET_BYTES = 16 << 20 };

static t2d_status open_file(const char *path, t2d_preset **preset, t2d_error *err)
{
    unsigned char *bytes;
    size_t count;
    t2d_status status = t2d_read_file(path, PRESET_BYTES, &bytes, &count, err);
    if (status) return status;
    status = t2d_preset_read((const char *)bytes, count, path, preset, err);
    free(bytes);
    return status;
}

t2d_status t2d_preset_open(const char *name_or_file, t2d_preset **preset, t2d_error *err)
{
    *preset = NULL;
    for (const t2d_preset_text *t = t2d_preset_texts; t->name; t++)
        if (strcmp(t->name, name_or_file) == 0)
            return t2d_preset_read(t->json, strlen(t->json), t->name, preset, err);
    if (strpbrk(name_or_file, "./")) return open_file(name_or_file, preset, err);
    char names[256] = "";
    for (const t2d_preset_text *t = t2d_preset_texts; t->name; t++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", t->name);
    }
    return t2d_fail(err, T2D_E_ARGUMENT,
                    "no preset is called '%.60s'; there are %s (or a JSON file with a . or / in its name)",
                    name_or_file, names);
}
