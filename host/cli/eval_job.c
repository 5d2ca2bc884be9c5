/* eval_job.c — from what was asked to what is to be done: preset, data, shares, names, model, words. */
#include "cli/eval_job.h"
#include "backend.h"
#include "cli/gather.h"
#include "cli/many.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- whose pictures ---- */

static int find_share(eval_job *job)
{
    const eval_request *asked = job->asked;
    job->step = 1;
    int code = ranks_find(asked->rank, asked->ranks, asked->local_rank, &job->ranks);
    if (code == EXIT_GOOD && asked->shard && job->ranks.count > 1)
        return complain_text(EXIT_MISUSE, "--shard and %d ranks (%s) both divide the pictures; leave one out",
                             job->ranks.count, job->ranks.from);
    if (code == EXIT_GOOD && asked->mpi && !gather_is_built())
        return complain_text(EXIT_MISUSE,
                             "--mpi: this t2d was built without MPI; ranks with a folder in common "
                             "need none");
    if (code == EXIT_GOOD && asked->shard) code = read_shard(asked->shard, &job->first, &job->step);
    if (code == EXIT_GOOD && job->ranks.count > 1) {
        job->first = job->ranks.rank;
        job->step = job->ranks.count;
        remark("rank %d of %d (%s)", job->ranks.rank, job->ranks.count, job->ranks.from);
    }
    return code;
}

static int name_files(eval_job *job)
{
    const char *output = job->asked->output;
    int length = output              ? asprintf(&job->whole, "%s", output)
                 : job->asked->shard ? asprintf(&job->whole, "%s_eval.%lld-of-%lld.jsonl", job->preset->name,
                                                (long long)job->first + 1, (long long)job->step)
                                     : asprintf(&job->whole, "%s_eval.jsonl", job->preset->name);
    if (length < 0) job->whole = NULL;
    if (job->whole)
        job->mine = job->ranks.count > 1 ? ranks_part(job->whole, job->ranks.rank, job->ranks.count)
                                         : strdup(job->whole);
    return job->mine ? EXIT_GOOD : complain_text(EXIT_FAILED, "names of results: out of memory");
}

int job_plan(const eval_request *asked, eval_job *job)
{
    t2d_error err;
    *job = (eval_job){.asked = asked};
    if (!asked->preset || !asked->data)
        return complain_text(EXIT_MISUSE, "eval wants --preset NAME and --data FOLDER");
    if (asked->output && strcmp(asked->output, "-") == 0)
        return complain_text(EXIT_MISUSE,
                             "-o - : results go to a file, which a stopped run goes on from; the "
                             "report is on standard output");
    t2d_status status = t2d_preset_open(asked->preset, &job->preset, &err);
    if (status == T2D_OK)
        status = t2d_listing_open(job->preset, asked->data, asked->split, &job->listing, &err);
    if (status) return complain(status == T2D_E_ARGUMENT ? EXIT_MISUSE : code_of_input(status), &err);
    if (!job->preset->with_background && (asked->background >= 0 || asked->clean == 1))
        return complain_text(EXIT_MISUSE, "%s has no background: --background and --bg-clean mean nothing",
                             job->preset->name);
    if (asked->counting == T2D_COUNT_MACHINE && job->preset->label_count > T2D_MOST_COUNTED)
        return complain_text(EXIT_MISUSE,
                             "--counting machine: up to %d labels; %s has %d, which the host counts",
                             T2D_MOST_COUNTED, job->preset->name, job->preset->label_count);
    int code = find_share(job);
    if (code == EXIT_GOOD && t2d_share_count(job->listing.count, job->first, job->step) == 0)
        code = complain_text(EXIT_MISUSE, "%lld pictures leave none for share %lld of %lld",
                             (long long)job->listing.count, (long long)job->first + 1, (long long)job->step);
    return code == EXIT_GOOD ? name_files(job) : code;
}

/* ---- the model ---- */

static void decide(eval_job *job)
{
    const eval_request *asked = job->asked;
    t2d_segment_options *o = &job->options;
    t2d_segment_defaults(job->engine, o);
    o->mode = T2D_SLIDE;
    o->size = asked->size ? asked->size : o->size;
    o->stride = asked->stride ? asked->stride : o->stride < o->size ? o->stride : o->size;
    o->with_background = job->preset->with_background;
    if (o->with_background)
        o->background = asked->background >= 0 ? asked->background
                        : asked->vit_l         ? job->preset->vit_l_threshold
                                               : job->preset->threshold;
    o->clean = asked->clean == 1 || (asked->clean == 0 && job->preset->clean);
    o->pamr = asked->pamr;
}

/* The words are the classes; the background is a threshold and no word. */
static int encode(eval_job *job)
{
    const int skip = job->preset->with_background ? 1 : 0;
    const string_list words = {(char **)job->preset->classes + skip, job->preset->label_count - skip};
    return open_vocab(job->engine, &words, job->asked->templates, &job->vocab);
}

static int make_head(eval_job *job)
{
    t2d_vocab_options options;
    int code = read_templates(job->asked->templates, &job->prompts, &options);
    if (code != EXIT_GOOD) return code;
    const char *model = common.model ? common.model : getenv("T2D_MODEL");
    const t2d_protocol protocol = {.preset = job->preset,
                                   .listing = &job->listing,
                                   .engine = &job->info,
                                   .options = &job->options,
                                   .model = model,
                                   .templates =
                                       job->asked->templates ? job->asked->templates : job->info.templates,
                                   .prompts = options.prompts,
                                   .prompt_count = options.prompt_count};
    t2d_error err;
    const t2d_status status = t2d_protocol_head(&protocol, job->first, job->step, &job->head, &err);
    return status ? complain(code_of_input(status), &err) : EXIT_GOOD;
}

int job_open(eval_job *job)
{
    static char device[32];
    if (job->ranks.local >= 0 && common.device && strcmp(common.device, "cuda") == 0) {
        snprintf(device, sizeof device, "cuda:%d", job->ranks.local);
        common.device = device;
    }
    int code = open_engine(&job->engine);
    if (code != EXIT_GOOD) return code;
    t2d_engine_describe(job->engine, &job->info);
    decide(job);
    code = encode(job);
    if (code == EXIT_GOOD) code = make_head(job);
    if (code != EXIT_GOOD) return code;
    t2d_error err;
    const t2d_status status = t2d_session_create(job->engine, &job->session, &err);
    return status ? complain(code_of_engine(status), &err) : EXIT_GOOD;
}

void job_close(eval_job *job)
{
    json_decref(job->head);
    string_list_release(&job->prompts);
    end_session(job->session);
    t2d_vocab_destroy(job->vocab);
    t2d_engine_close(job->engine);
    t2d_listing_release(&job->listing);
    t2d_preset_close(job->preset);
    free(job->whole);
    free(job->mine);
}
