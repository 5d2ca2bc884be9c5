/* syncer.c — a thread that sends file systems to the disk while others go on writing. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FOLDERS = 4 };

struct t2d_syncer {
    pthread_mutex_t lock;
    pthread_cond_t news;
    pthread_t thread;
    bool asked, ending;
    int files[MOST_FOLDERS], count;
    int cause; /* of the first failure */
};

/* A file system that has failed to write something says so once, to whoever syncs next. */
static int sync_all(const t2d_syncer *s)
{
    int cause = 0;
    for (int i = 0; i < s->count; i++)
        if (syncfs(s->files[i]) != 0 && !cause) cause = errno;
    return cause;
}

static void *work(void *argument)
{
    t2d_syncer *s = argument;
    pthread_mutex_lock(&s->lock);
    while (!s->ending) {
        if (!s->asked) {
            pthread_cond_wait(&s->news, &s->lock);
            continue;
        }
        s->asked = false;
        pthread_mutex_unlock(&s->lock);
        const int cause = sync_all(s);
        pthread_mutex_lock(&s->lock);
        s->cause = s->cause ? s->cause : cause;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void release(t2d_syncer *s)
{
    for (int i = 0; i < s->count; i++) close(s->files[i]);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->news);
    free(s);
}

t2d_status t2d_syncer_start(t2d_syncer **syncer, const char *const *folders, int count, t2d_error *err)
{
    *syncer = NULL;
    t2d_syncer *s = t2d_new(1, sizeof *s, "a thread", err);
    if (!s) return T2D_E_MEMORY;
    t2d_status status = T2D_OK;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->news, NULL);
    for (int i = 0; status == T2D_OK && i < count && i < MOST_FOLDERS; i++) {
        s->files[s->count] = open(folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->files[s->count] < 0)
            status = t2d_fail(err, T2D_E_IO, "%s: cannot open this folder: %s", folders[i], strerror(errno));
        else
            s->count++;
    }
    if (status == T2D_OK && pthread_create(&s->thread, NULL, work, s) != 0)
        status = t2d_fail(err, T2D_E_MEMORY, "no thread can be started");
    if (status)
        release(s);
    else
        *syncer = s;
    return status;
}

void t2d_syncer_ask(t2d_syncer *s)
{
    pthread_mutex_lock(&s->lock);
    s->asked = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
}

t2d_status t2d_syncer_finish(t2d_syncer *s, t2d_error *err)
{
    if (!s) return T2D_OK;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_signal(&s->news);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    const int last = sync_all(s), cause = s->cause ? s->cause : last;
    release(s);
    return cause ? t2d_fail(err, T2D_E_IO, "what was written may not be on the disk: %s", strerror(cause))
                 : T2D_OK;
}
