/* cmd_features.c — what DINOv2 sees in a picture, as a safetensors file. */
#include "cli/cli.h"
#include "io/io.h"

static struct {
    const char *output;
    int size, swap;
} opt;

static const arg_option options[] = {
    {ARG_TEXT, 'o', "output", "FILE", "safetensors file to write", &opt.output, 0, 0},
    {ARG_INT, 0, "size", "N", "side the picture is squeezed to (default: the model's)", &opt.size, 1, 8192},
    {ARG_FLAG, 0, "swap-channels", NULL, "feed BGR, as the published demo does", &opt.swap, 0, 0},
    OPTION_MODEL,
    OPTIONS_DEVICE,
    OPTIONS_TALK,
};

static t2d_status write_features(const t2d_features *f, t2d_error *err)
{
    const int64_t patches = (int64_t)f->grid * f->grid;
    const t2d_st_item items[] = {
        {"patch_tokens", T2D_ST_F32, 2, {patches, f->dim}, f->patch_tokens},
        {"cls", T2D_ST_F32, 1, {f->dim}, f->cls},
        {"cls_attention_logits", T2D_ST_F32, 2, {f->heads, patches}, f->cls_attention_logits},
        {"head_embeddings", T2D_ST_F32, 2, {f->heads, f->dim}, f->head_embeddings},
        {"registers", T2D_ST_F32, 2, {f->registers, f->dim}, f->register_tokens},
    };
    char size[16], grid[16];
    snprintf(size, sizeof size, "%d", f->size);
    snprintf(grid, sizeof grid, "%d", f->grid);
    const char *const meta[][2] = {{"size", size}, {"grid", grid}};
    return t2d_st_write(opt.output, items, f->registers > 0 ? 5 : 4, meta, 2, err);
}

static int compute(t2d_engine *engine, const t2d_image *image)
{
    t2d_error err;
    t2d_engine_info info;
    t2d_session *session;
    t2d_features features;
    t2d_engine_describe(engine, &info);
    t2d_status status = t2d_session_create(engine, &session, &err);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    const double start = t2d_clock();
    status = t2d_features_compute(session, image, opt.size ? opt.size : info.size, opt.swap, &features, &err);
    t2d_session_destroy(session);
    if (status != T2D_OK) return complain(code_of_engine(status), &err);
    remark("features in %.3f s", t2d_clock() - start);
    status = write_features(&features, &err);
    if (status == T2D_OK && common.json)
        print_json(json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "features", opt.output, "size", features.size,
                             "grid", features.grid, "dim", features.dim, "heads", features.heads, "registers",
                             features.registers));
    t2d_features_release(&features);
    return status == T2D_OK ? EXIT_GOOD : complain(code_of_output(status), &err);
}

static int run(const command *self, int count, char **operands)
{
    (void)self;
    if (count != 1) return complain_text(EXIT_MISUSE, "features wants one picture, got %d", count);
    if (!opt.output) return complain_text(EXIT_MISUSE, "where to? give -o FILE.safetensors");
    t2d_error err;
    t2d_image image;
    t2d_engine *engine;
    const t2d_status status = t2d_image_read(operands[0], 0, &image, &err);
    if (status != T2D_OK) return complain(code_of_input(status), &err);
    int code = open_engine(&engine);
    if (code == EXIT_GOOD) code = compute(engine, &image);
    t2d_engine_close(engine);
    t2d_image_release(&image);
    return code;
}

command command_features(void)
{
    return (command){
        .name = "features",
        .arguments = "IMAGE -m MODEL -o FILE.safetensors",
        .summary = "DINOv2 tokens, CLS attention and head embeddings of a picture",
        .details = "The picture is squeezed to --size (bilinear, no antialias, as published).  The file "
                   "holds, in fp32:\n"
                   "  patch_tokens [patches, dim], cls [dim], registers [n, dim] (where there are any),\n"
                   "  cls_attention_logits [heads, patches], head_embeddings [heads, dim]",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .run = run};
}
