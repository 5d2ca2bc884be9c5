/* fuzz_safetensors.c — any bytes as a model file: open it, read every tensor, crash on nothing. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensor(const t2d_st_file *file, const t2d_st_tensor *t)
{
    const int is_float = t->type == T2D_ST_F32 || t->type == T2D_ST_F16 || t->type == T2D_ST_BF16;
    char *bytes = malloc(is_float ? (size_t)t->count * sizeof(float) + 1 : t->bytes + 1);
    t2d_error err;
    if (is_float)
        t2d_st_read_f32(file, t, "0123456789abcdef", (float *)(void *)bytes, &err);
    else if (t2d_st_read(file, t, bytes, &err) != T2D_OK)
        abort(); /* open promised that it is all there */
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    t2d_error err;
    t2d_st_file *file;
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (t2d_st_open(path, &file, &err) == T2D_OK) {
        for (int i = 0; i < t2d_st_count(file); i++) {
            const t2d_st_tensor *t = t2d_st_at(file, i);
            read_tensor(file, t);
            if (t2d_st_find(file, t->name) != t) abort();
        }
        t2d_st_meta(file, "format");
    }
    t2d_st_close(file);
    close(fd);
    return 0;
}
