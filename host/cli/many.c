/* many.c — signals, shards, limits and rates, for all commands over many pictures. */
#include "cli/many.h"

#include <signal.h>
#include <stdlib.h>

atomic_bool stopped;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stopped, true);
}

void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int read_shard(const char *text, int64_t *first, int64_t *step)
{
    char *end = NULL;
    const long index = strtol(text, &end, 10), count = *end == '/' ? strtol(end + 1, &end, 10) : 0;
    if (*end || count < 1 || index < 1 || index > count || count > 1 << 16)
        return complain_text(EXIT_MISUSE, "--shard %s: want I/N, from 1/N to N/N", text);
    *first = index - 1;
    *step = count;
    return EXIT_GOOD;
}

int read_failure_limit(const char *text, failure_limit *limit)
{
    char *end;
    *limit = (failure_limit){0};
    if (!text) return EXIT_GOOD;
    const double number = strtod(text, &end);
    const bool relative = *end == '%', whole = (double)(int64_t)number == number;
    if (end == text || end[relative] || !(number >= 0 && number <= (relative ? 100 : 1e12)) ||
        (!relative && !whole))
        return complain_text(EXIT_MISUSE, "--max-failures %s: want a number of pictures, or a share as 1%%",
                             text);
    *limit = (failure_limit){number, relative};
    return EXIT_GOOD;
}

void progress_rate(int64_t done, int64_t total, int64_t fresh, double start)
{
    const double rate = (double)fresh / (t2d_clock() - start), left = (double)(total - done) / rate;
    char text[64];
    if (fresh < 1)
        snprintf(text, sizeof text, "...");
    else if (total < done)
        snprintf(text, sizeof text, "%.3g pictures/s", rate);
    else
        snprintf(text, sizeof text, "%.3g pictures/s, %lld:%02d left", rate, (long long)left / 60,
                 (int)((long long)left % 60));
    progress(done, total, text);
}
