/* example.c — a picture and words in, a mask out: the whole API in forty lines.
 *     example MODEL PICTURE MASK.png cat dog ... */
#include <stdio.h>
#include <talk2dino.h>

static int fail(const t2d_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

int main(int argc, char **argv)
{
    t2d_error err;
    t2d_engine *engine = NULL;
    t2d_vocab *vocab = NULL;
    t2d_session *session = NULL;
    t2d_image image = {0};
    t2d_mask mask = {0};
    int code = 0;
    if (argc < 5) {
        fprintf(stderr, "usage: example MODEL PICTURE MASK.png CLASS...\n");
        return 2;
    }
    if (t2d_engine_open(argv[1], NULL, &engine, &err) != T2D_OK ||
        t2d_vocab_create(engine, (const char *const *)argv + 4, argc - 4, NULL, &vocab, &err) != T2D_OK ||
        t2d_session_create(engine, &session, &err) != T2D_OK ||
        t2d_image_read(argv[2], 0, &image, &err) != T2D_OK ||
        t2d_segment(session, vocab, &image, NULL, &mask, NULL, &err) != T2D_OK ||
        t2d_mask_write(argv[3], &mask, &err) != T2D_OK)
        code = fail(&err);
    else
        printf("%s: %d x %d, %d labels\n", argv[3], mask.width, mask.height, mask.labels);
    t2d_mask_release(&mask);
    t2d_image_release(&image);
    t2d_session_destroy(session);
    t2d_vocab_destroy(vocab);
    t2d_engine_close(engine);
    return code;
}
