/* cmd_merge.c — shards of an evaluation into one result; or one result, told again. */
#include "cli/eval_report.h"

#include <string.h>

static const char *output;

static const arg_option options[] = {
    {ARG_TEXT, 'o', "output", "FILE", "the whole as one results file", &output, 0, 0},
    OPTIONS_REPORT,
    {ARG_INT, 0, "worst", "K", "name the K worst pictures", &report_wants.worst, 0, 10000},
    {ARG_HEADING, 0, NULL, NULL, "talk:", NULL, 0, 0},
    OPTIONS_TALK,
};

static int run(const command *self, int count, char **operands)
{
    (void)self;
    if (count < 1) return complain_text(EXIT_MISUSE, "merge wants results files of t2d eval");
    if (count > 1 && !output)
        return complain_text(EXIT_MISUSE, "merge says where the whole goes with -o FILE");
    const char *path = operands[0];
    if (output) {
        t2d_error err;
        json_t *head;
        t2d_tally tally;
        const t2d_status status =
            t2d_merge((const char *const *)operands, count, output, &head, &tally, &err);
        if (status) return complain(status == T2D_E_ARGUMENT ? EXIT_MISUSE : code_of_input(status), &err);
        json_decref(head);
        t2d_tally_release(&tally);
        path = output;
    }
    eval_report report;
    int code = report_make(path, &report);
    if (code == EXIT_GOOD) report_show(&report);
    if (code == EXIT_GOOD && report.tally.failed > 0)
        code = complain_text(EXIT_SOME, "%lld of %lld pictures failed and are not counted",
                             (long long)report.tally.failed,
                             (long long)(report.tally.failed + report.tally.pictures));
    report_release(&report);
    return code;
}

command command_merge(void)
{
    return (command){.name = "merge",
                     .arguments = "RESULTS... -o WHOLE",
                     .summary = "shards of an evaluation into one result",
                     .details = "Adds up the results files that t2d eval --shard wrote, each picture exactly "
                                "once: a missing or\n"
                                "unfinished shard, a picture counted twice, and shards of different models, "
                                "presets, options or\n"
                                "data are refused.  With one complete file, tells its result again.\n",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
