/* cmd_eval.c — a benchmark from its folder to its number. */
#include "cli/eval_compare.h"
#include "cli/eval_job.h"

#include <stdlib.h>
#include <string.h>

enum { READERS = 2, PATIENCE = 600 };

static eval_request opt = {
    .background = -1, .readers = READERS, .rank = -1, .ranks = -1, .local_rank = -1, .patience = PATIENCE};

static const arg_option options[] = {
    {ARG_TEXT, 'p', "preset", "NAME|FILE",
     "voc21, voc20, context60, context59, coco_stuff, coco_object, cityscapes, ade20k, or JSON", &opt.preset,
     0, 0},
    {ARG_TEXT, 'd', "data", "FOLDER", "where mmsegmentation's data are, or this data set alone", &opt.data, 0,
     0},
    OPTION_MODEL,
    {ARG_TEXT, 'o', "output", "FILE", "results, a line per picture (default PRESET_eval.jsonl)", &opt.output,
     0, 0},
    {ARG_HEADING, 0, NULL, NULL, "what decides the numbers:", NULL, 0, 0},
    {ARG_FLAG, 0, "pamr", NULL, "refine masks by the picture's edges", &opt.pamr, 0, 0},
    {ARG_FLAG, 0, "vit-l", NULL, "the preset's background threshold for ViT-L", &opt.vit_l, 0, 0},
    {ARG_FLOAT, 0, "background", "T", "another background threshold, 0 to 1", &opt.background, 0, 1},
    {ARG_CHOICE, 0, "bg-clean", "preset|on|off", "background cleaning (default: as in the preset)",
     &opt.clean, 0, 0},
    {ARG_TEXT, 0, "templates", "NAME|FILE", "prompts (default: the model's)", &opt.templates, 0, 0},
    {ARG_TEXT, 0, "split", "FILE", "names of the pictures, one a line (default: the preset's)", &opt.split, 0,
     0},
    {ARG_INT, 0, "size", "N", "side of a window (default: the model's)", &opt.size, 1, 8192},
    {ARG_INT, 0, "stride", "N", "step between windows (default: the model's)", &opt.stride, 1, 8192},
    {ARG_HEADING, 0, NULL, NULL, "many pictures:", NULL, 0, 0},
    {ARG_TEXT, 0, "max-failures", "N|P%", "pictures that may be unreadable and are passed over (0)",
     &opt.max_failures, 0, 0},
    {ARG_TEXT, 0, "shard", "I/N", "count every N-th picture from the I-th; t2d merge adds up", &opt.shard, 0,
     0},
    {ARG_INT, 0, "rank", "R", "this process among --ranks (default: the launcher's variables)", &opt.rank, 0,
     65535},
    {ARG_INT, 0, "ranks", "N", "processes that share the pictures and the folder of -o", &opt.ranks, 1,
     65536},
    {ARG_INT, 0, "local-rank", "L", "--device cuda is cuda:L", &opt.local_rank, 0, 1023},
    {ARG_FLAG, 0, "mpi", NULL, "ranks have no folder in common: MPI brings their results together", &opt.mpi,
     0, 0},
    {ARG_INT, 0, "patience", "S", "seconds rank 0 waits for news from the others (600)", &opt.patience, 1,
     1000000},
    {ARG_INT, 0, "batch", "N", "pictures segmented together (default: what fills a pass)", &opt.together, 1,
     64},
    {ARG_INT, 0, "readers", "N", "threads that read pictures ahead (2)", &opt.readers, 1, 256},
    {ARG_CHOICE, 0, "counting", "auto|host|machine",
     "who counts pixels: the same numbers (auto: a GPU, else the host)", &opt.counting, 0, 0},
    OPTIONS_REPORT,
    {ARG_INT, 0, "worst", "K", "name the K worst pictures", &report_wants.worst, 0, 10000},
    {ARG_TEXT, 0, "worst-folder", "FOLDER", "and draw them: found beside true (10 if --worst says nothing)",
     &opt.worst_folder, 0, 0},
    {ARG_TEXT, 0, "compare", "A", "with a second results file: how sure is A - B", &opt.compare, 0, 0},
    {ARG_FLAG, 0, "show-preset", NULL, "print the preset as JSON: a pattern for one's own", &opt.show_preset,
     0, 0},
    {ARG_HEADING, 0, NULL, NULL, "machine and talk:", NULL, 0, 0},
    OPTIONS_DEVICE,
    OPTIONS_TALK,
};

static int show_preset(void)
{
    t2d_error err;
    t2d_preset *preset;
    if (!opt.preset) return complain_text(EXIT_MISUSE, "--show-preset wants --preset NAME");
    const t2d_status status = t2d_preset_open(opt.preset, &preset, &err);
    if (status) return complain(status == T2D_E_ARGUMENT ? EXIT_MISUSE : code_of_input(status), &err);
    char *text = json_dumps(preset->json, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7));
    puts(text ? text : "");
    free(text);
    t2d_preset_close(preset);
    return EXIT_GOOD;
}

static int report(const eval_job *job)
{
    eval_report made;
    int code = report_make(job->whole, &made);
    if (code == EXIT_GOOD) code = job_worst(job, &made);
    if (code == EXIT_GOOD) {
        report_show(&made);
        if (made.tally.failed > 0)
            code = complain_text(EXIT_SOME, "%lld of %lld pictures failed and are not counted",
                                 (long long)made.tally.failed,
                                 (long long)(made.tally.failed + made.tally.pictures));
    }
    report_release(&made);
    return code;
}

static int run(const command *self, int count, char **operands)
{
    (void)self;
    if (opt.compare && count == 1) return compare_results(opt.compare, operands[0]);
    if (opt.compare) return complain_text(EXIT_MISUSE, "--compare wants two results files: --compare A B");
    if (count > 0) return complain_text(EXIT_MISUSE, "eval takes no operand; the folder is named by --data");
    if (opt.show_preset) return show_preset();
    if (opt.worst_folder && report_wants.worst == 0) report_wants.worst = 10;
    eval_job job;
    int code = job_plan(&opt, &job);
    if (code == EXIT_GOOD) code = job_open(&job);
    if (code == EXIT_GOOD) code = job_count(&job);
    if (code == EXIT_GOOD && job_reports(&job))
        code = report(&job);
    else if (code == EXIT_GOOD && opt.shard && !common.json)
        printf("%s is complete; t2d merge puts shards together\n", job.mine);
    job_close(&job);
    return code;
}

command command_eval(void)
{
    return (command){.name = "eval",
                     .arguments = "--preset NAME --data FOLDER -m MODEL",
                     .summary = "a benchmark: mIoU, classes, protocol",
                     .details =
                         "Counts a benchmark's pictures by the protocol of its published figures, from "
                         "the folders that\n"
                         "mmsegmentation uses.  What is counted stands in the results file, a line per "
                         "picture: the same\n"
                         "command goes on where it was stopped.  With --ranks, or under mpirun, srun "
                         "and torchrun, several\n"
                         "processes count one share each.  --compare A B tells two results apart.\n",
                     .options = options,
                     .option_count = sizeof options / sizeof *options,
                     .run = run};
}
