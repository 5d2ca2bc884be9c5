/* cmd_doctor.c — what can this machine do?  Every line is tried, not guessed. */
#include "backend.h"
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

static const arg_option options[] = {
    OPTION_MODEL,
    {ARG_FLAG, 0, "json", NULL, "as one line of JSON", &common.json, 0, 0},
};

/* MemTotal or MemAvailable in GiB; 0 when the system does not say. */
static double memory_gib(const char *key)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    double kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) kib = strtod(line + strlen(key) + 1, NULL);
    if (f) fclose(f);
    return kib / (1 << 20);
}

/* One device in all compute types: {"asked", "device" (where it works), "dtypes": {name: {"works", "how" and
 * "choices", or "why"}}}. */
static json_t *try_device(const char *device)
{
    json_t *result = json_pack("{s:s}", "asked", device), *dtypes = json_object();
    for (int d = T2D_DTYPE_FP32; d <= T2D_DTYPE_BF16; d++) {
        t2d_error err;
        t2d_backend *be;
        json_t *answer;
        if (t2d_backend_open(device, (t2d_dtype)d, 0, &be, &err) == T2D_OK) {
            json_object_set_new(result, "device", json_string(be->device));
            answer = json_pack("{s:b, s:s, s:s}", "works", 1, "how", be->description, "choices", be->choices);
            be->op->close(be);
        } else {
            answer = json_pack("{s:b, s:s}", "works", 0, "why", err.message);
        }
        json_object_set_new(dtypes, dtype_names[d], answer);
    }
    json_object_set_new(result, "dtypes", dtypes);
    return result;
}

static void print_device(const json_t *device)
{
    const char *asked = json_string_value(json_object_get(device, "asked"));
    const char *name = json_string_value(json_object_get(device, "device"));
    const json_t *dtypes = json_object_get(device, "dtypes");
    if (!name) {
        const json_t *fp32 = json_object_get(dtypes, dtype_names[T2D_DTYPE_FP32]);
        printf("%-8s no: %s\n", asked, json_string_value(json_object_get(fp32, "why")));
        return;
    }
    if (strcmp(asked, "auto") == 0) {
        printf("%-8s chooses %s\n", asked, name);
        return;
    }
    for (int d = 0; d < 3; d++) {
        const json_t *answer = json_object_get(dtypes, dtype_names[d]);
        const bool works = json_is_true(json_object_get(answer, "works"));
        printf("%-8s %s %s\n", d ? "" : name, dtype_names[d],
               json_string_value(json_object_get(answer, works ? "how" : "why")));
        if (works) printf("%-8s      %s\n", "", json_string_value(json_object_get(answer, "choices")));
    }
}

/* The model that -m or the environment names, opened on the chosen device. */
static int try_model(json_t *result)
{
    const char *path = common.model ? common.model : getenv("T2D_MODEL");
    if (!path) return EXIT_GOOD;
    t2d_error err;
    t2d_engine *engine;
    const t2d_status status = t2d_engine_open(path, NULL, &engine, &err);
    json_object_set_new(result, "model", json_string(path));
    if (status != T2D_OK) json_object_set_new(result, "model_problem", json_string(err.message));
    t2d_engine_close(engine);
    return status == T2D_OK ? EXIT_GOOD : code_of_engine(status);
}

static int run(const command *self, int count, char **operands)
{
    (void)self;
    if (count > 0)
        return complain_text(EXIT_MISUSE, "doctor takes no operand '%s'; a model is named with -m",
                             operands[0]);
    json_t *devices = json_array();
    static const char *const names[] = {"cpu", "cuda", "auto"};
    for (int i = 0; i < 3; i++) json_array_append_new(devices, try_device(names[i]));
    json_t *result =
        json_pack("{s:s, s:f, s:f, s:o}", "version", t2d_version(), "memory_gib", memory_gib("MemTotal"),
                  "memory_available_gib", memory_gib("MemAvailable"), "devices", devices);
    const int code = try_model(result);
    if (common.json) {
        print_json(result);
        return code;
    }
    printf("t2d %s, memory %.1f GiB of which %.1f GiB available\n", t2d_version(), memory_gib("MemTotal"),
           memory_gib("MemAvailable"));
    for (int i = 0; i < 3; i++) print_device(json_array_get(devices, (size_t)i));
    const char *model = json_string_value(json_object_get(result, "model"));
    const char *problem = json_string_value(json_object_get(result, "model_problem"));
    if (model) printf("model    %s\n", problem ? problem : model);
    json_decref(result);
    return code;
}

command command_doctor(void)
{
    return (command){.name = "doctor",
                     .arguments = "[-m MODEL]",
                     .summary = "what this machine can do",
                     .details = "Tries every device in every compute type, and the model when one is named.",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
