/* test_templates.c — the named sets of prompts, and names put into them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

Test(templates, sets)
{
    static const struct {
        const char *name;
        int count;
        const char *first, *last;
    } sets[] = {
        {"sub_imagenet_template", 7, "itap of a {}.", "a photo of the small {}."},
        {"subset", 7, "itap of a {}.", "a photo of the small {}."},
        {"simple", 1, "a photo of a {}.", "a photo of a {}."},
        {"simple_imagenet_template", 1, "a photo of a {}.", "a photo of a {}."},
        {"identity", 1, "{}", "{}"},
        {"plural", 1, "a photo of {}s.", "a photo of {}s."},
        {"maskclip", 5, "there is a {} in the scene.", "this is one {} in the scene."},
        {"full", 80, "a bad photo of a {}.", "a tattoo of the {}."},
        {"full+maskclip", 85, "a bad photo of a {}.", "this is one {} in the scene."},
        {"subset+maskclip", 12, "itap of a {}.", "this is one {} in the scene."},
        {"custom", 9, "itap of a {}.", "a photo of {}s."},
    };
    char names[512] = "";
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        int count;
        const char *const *prompts = t2d_templates_find(sets[i].name, &count);
        cr_assert_not_null(prompts, "%s", sets[i].name);
        cr_assert_eq(count, sets[i].count, "%s has %d", sets[i].name, count);
        cr_expect_str_eq(prompts[0], sets[i].first);
        cr_expect_str_eq(prompts[count - 1], sets[i].last);
        cr_expect_not_null(strstr(t2d_templates_names(), sets[i].name));
        strcat(names, sets[i].name);
    }
    int count = 1;
    cr_expect_null(t2d_templates_find("imagenet", &count));
    cr_expect_eq(count, 0);
    cr_expect_eq(strlen(names) + 2 * (sizeof sets / sizeof *sets - 1), strlen(t2d_templates_names()),
                 "names() lists these and no others");
}

Test(templates, every_prompt_once_with_one_hole)
{
    int count;
    const char *const *all = t2d_templates_find("full+maskclip", &count);
    for (int i = 0; i < count; i++) {
        t2d_error err = {0};
        char *text;
        cr_expect_eq(t2d_template_fill(all[i], "cat", &text, &err), T2D_OK, "%s", err.message);
        free(text);
        for (int k = 0; k < i; k++) cr_expect_str_neq(all[i], all[k]);
    }
}

Test(templates, fill)
{
    t2d_error err = {0};
    char *text;
    cr_assert_eq(t2d_template_fill("a photo of {}s.", "traffic light", &text, &err), T2D_OK);
    cr_expect_str_eq(text, "a photo of traffic lights.");
    free(text);
    cr_assert_eq(t2d_template_fill("{}", "a {} b", &text, &err), T2D_OK);
    cr_expect_str_eq(text, "a {} b", "what the name holds is not looked into");
    free(text);
    cr_expect_eq(t2d_template_fill("a photo", "cat", &text, &err), T2D_E_ARGUMENT);
    cr_expect_null(text);
    cr_expect_str_eq(err.message, "prompt 'a photo': want exactly one {} for the class name, found none");
    cr_expect_eq(t2d_template_fill("{} and {}", "cat", &text, &err), T2D_E_ARGUMENT);
    cr_expect_str_eq(err.message, "prompt '{} and {}': want exactly one {} for the class name, found more");
}
