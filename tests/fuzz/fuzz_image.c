/* fuzz_image.c — any bytes as a picture: a picture of the allowed size or a sentence, nothing else. */
#include <stdlib.h>
#include <string.h>

#include "talk2dino.h"

static volatile uint8_t last_seen;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const int64_t max_pixels = 1 << 18;
    t2d_image image;
    t2d_error err = {0};
    const t2d_status status = t2d_image_decode(bytes, count, "fuzz", max_pixels, &image, &err);
    if (status ? image.pixels || err.status != status || strncmp(err.message, "fuzz: ", 6) != 0
               : !image.pixels || image.width < 1 || image.height < 1 ||
                     (int64_t)image.width * image.height > max_pixels)
        abort();
    for (int64_t i = 0; !status && i < (int64_t)image.width * image.height * 3; i++)
        last_seen = image.pixels[i]; /* the buffer must be as large as the sizes say */
    t2d_image_release(&image);
    return 0;
}
