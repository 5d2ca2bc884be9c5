/* ranks.c — who am I among how many?  Every launcher says it in variables of its own; and when all are done
 * is seen from the files, so that nothing but a shared folder is needed. */
#include "cli/gather.h"
#include "eval/eval.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_RANKS = 1 << 16 };

typedef struct launcher {
    const char *name, *rank, *count, *local;
} launcher;

/* SLURM_NTASKS is set in a batch script too, where nobody started the others: a step's own count is meant. */
static const launcher launchers[] = {
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {"SLURM", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
};

/* -1: no number. */
static int read_number(const char *text)
{
    char *end;
    const long value = text ? strtol(text, &end, 10) : -1;
    return text && *text && !*end && value >= 0 && value <= MOST_RANKS ? (int)value : -1;
}

static int check(const ranks *r)
{
    if (r->count < 1 || r->rank < 0 || r->rank >= r->count)
        return complain_text(EXIT_MISUSE, "%s says rank %d of %d; ranks are 0 to %d of at least 1", r->from,
                             r->rank, r->count, r->count > 0 ? r->count - 1 : 0);
    return EXIT_GOOD;
}

int ranks_find(int rank, int count, int local, ranks *found)
{
    *found = (ranks){.rank = 0, .count = 1, .local = local};
    if ((rank >= 0) != (count >= 0)) return complain_text(EXIT_MISUSE, "--rank and --ranks belong together");
    if (rank >= 0) {
        *found = (ranks){.rank = rank, .count = count, .local = local, .from = "--rank"};
        return check(found);
    }
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        const launcher *l = &launchers[i];
        if (!getenv(l->rank) || !getenv(l->count)) continue;
        *found = (ranks){read_number(getenv(l->rank)), read_number(getenv(l->count)),
                         local >= 0 ? local : read_number(getenv(l->local)), l->name};
        return check(found);
    }
    return EXIT_GOOD;
}

char *ranks_part(const char *path, int rank, int count)
{
    char *part = NULL;
    if (asprintf(&part, "%s.part-%d-of-%d", path, rank + 1, count) < 0) return NULL;
    return part;
}

char *gather_name(const char *path, int rank, int count)
{
    char *name = NULL;
    if (asprintf(&name, "%s.from-%d-of-%d", path, rank + 1, count) < 0) return NULL;
    return name;
}

/* ---- waiting ---- */

typedef struct part {
    int64_t seen, lines, wanted; /* bytes of whole lines; a line that is cut off may be written anew */
} part;

/* Counts the lines that are new; true when there were any. */
static bool look(part *p, const char *path)
{
    char block[1 << 16];
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    const int64_t before = p->lines;
    for (int64_t at = p->seen; file >= 0 && (n = pread(file, block, sizeof block, at)) > 0; at += n)
        for (ssize_t i = 0; i < n; i++)
            if (block[i] == '\n') {
                p->lines++;
                p->seen = at + i + 1;
            }
    if (file >= 0) close(file);
    return p->lines > before;
}

int ranks_wait(const char *path, int count, int64_t pictures, int patience, const atomic_bool *stop)
{
    part *parts = calloc((size_t)count, sizeof *parts);
    int waiting = parts ? count : 0, code = parts ? EXIT_GOOD : complain_text(EXIT_FAILED, "out of memory");
    double news = t2d_clock();
    for (int i = 0; i < waiting; i++) parts[i].wanted = 1 + t2d_share_count(pictures, i, count);
    while (code == EXIT_GOOD && waiting > 0) {
        waiting = 0;
        for (int i = 0; i < count; i++) {
            char *name = ranks_part(path, i, count);
            if (parts[i].lines < parts[i].wanted && name && look(&parts[i], name)) news = t2d_clock();
            waiting += parts[i].lines < parts[i].wanted;
            free(name);
        }
        if (waiting == 0) break;
        if (atomic_load(stop) || t2d_clock() - news > patience)
            code = complain_text(
                EXIT_FAILED,
                "%d of %d ranks are not done%s; what is counted is kept in %s.part-*: the same "
                "run goes on from there",
                waiting, count, atomic_load(stop) ? "" : " and nothing came from them for a while", path);
        else
            usleep(200 * 1000);
    }
    free(parts);
    return code;
}
