/* templates.c — the named sets of prompts of the published code (which has them from TCL).
 *
 * "a" is never turned into "an".  Sets that are sums of others are stored once, and their parts point into
 * them. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { FULL = 80, MASKCLIP = 5, SUBSET = 7 };

#define MASKCLIP_PROMPTS                                                                                     \
    "there is a {} in the scene.", "there is the {} in the scene.", "this is a {} in the scene.",            \
        "this is the {} in the scene.", "this is one {} in the scene."

/* The 80 prompts of CLIP's notebook "Prompt Engineering for ImageNet", then MaskCLIP's five. */
static const char *const full_maskclip[FULL + MASKCLIP] = {
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
    MASKCLIP_PROMPTS,
};

/* The seven that CLIP's authors found to do nearly as well as the 80. */
#define SUBSET_PROMPTS                                                                                       \
    "itap of a {}.", "a bad photo of a {}.", "a origami {}.", "a photo of the large {}.",                    \
        "a {} in a video game.", "art of the {}.", "a photo of the small {}."

static const char *const subset_maskclip[SUBSET + MASKCLIP] = {
    SUBSET_PROMPTS,
    MASKCLIP_PROMPTS,
};
static const char *const custom[] = {SUBSET_PROMPTS, "a photo of many {}.", "a photo of {}s."};
static const char *const simple[] = {"a photo of a {}."};
static const char *const identity[] = {"{}"};
static const char *const plural[] = {"a photo of {}s."};

static const struct set {
    const char *name;
    const char *const *prompts;
    int count;
} sets[] = {
    {"sub_imagenet_template", subset_maskclip, SUBSET},
    {"simple", simple, 1},
    {"simple_imagenet_template", simple, 1},
    {"identity", identity, 1},
    {"plural", plural, 1},
    {"maskclip", full_maskclip + FULL, MASKCLIP},
    {"full", full_maskclip, FULL},
    {"subset", subset_maskclip, SUBSET},
    {"full+maskclip", full_maskclip, FULL + MASKCLIP},
    {"subset+maskclip", subset_maskclip, SUBSET + MASKCLIP},
    {"custom", custom, sizeof custom / sizeof *custom},
};

const char *const *t2d_templates_find(const char *name, int *count)
{
    *count = 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(sets[i].name, name) == 0) {
            *count = sets[i].count;
            return sets[i].prompts;
        }
    return NULL;
}

const char *t2d_templates_names(void)
{
    return "sub_imagenet_template, simple, simple_imagenet_template, identity, plural, maskclip, full, "
           "subset, "
           "full+maskclip, subset+maskclip, custom";
}

t2d_status t2d_template_fill(const char *prompt, const char *name, char **text, t2d_error *err)
{
    *text = NULL;
    const char *hole = strstr(prompt, "{}");
    if (!hole || strstr(hole + 2, "{}"))
        return t2d_fail(err, T2D_E_ARGUMENT, "prompt '%s': want exactly one {} for the class name, found %s",
                        prompt, hole ? "more" : "none");
    const size_t before = (size_t)(hole - prompt), behind = strlen(hole + 2), bytes = strlen(name);
    char *filled = t2d_new(before + bytes + behind + 1, 1, "prompt", err);
    if (!filled) return T2D_E_MEMORY;
    memcpy(filled, prompt, before);
    memcpy(filled + before, name, bytes);
    memcpy(filled + before + bytes, hole + 2, behind);
    *text = filled;
    return T2D_OK;
}
