/* disk.c -- see disk.h. Read disk_do() and helper_turn() first, then
 * helper_main(). The same text in file-upload and smtp-server. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "disk.h"

/* A job in the server, until its answer has come. */
struct job {
    struct job *next;
    struct conn *c; /* who waits for it; NULL: it has left */
    size_t n;       /* bytes of the text, with its NUL */
    char text[];
};

/* Its jobs are in the order in which it was given them: so are its answers,
 * which therefore need not name them. */
struct helper {
    struct conn *c; /* c->peer_done: its process is gone */
    struct job *first, **end;
    int njobs;
};

static const struct disk_events *events;
static struct helper helpers[HELPERS_MAX];
static int nhelpers, most;

/* ---- in a helper --------------------------------------------------------- */

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done == -1 && errno != EINTR) return false;
        if (done == -1) continue;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* Does the first jobs of those that are whole. Returns how many bytes of IN
 * they were, 0 if there is none, or -1 if the server is gone. */
static ssize_t do_jobs(int fd, struct span in)
{
    static struct disk_job jobs[DISK_BATCH];
    size_t used = 0;
    const char *end;
    int n = 0;

    while (n < DISK_BATCH && used < in.n &&
           (end = memchr(in.p + used, '\0', in.n - used))) {
        jobs[n++].text = in.p + used;
        used = (size_t)(end - in.p) + 1;
    }
    if (n > 0) events->on_jobs(jobs, n);
    for (int i = 0; i < n; i++)
        if (!write_all(fd, jobs[i].answer, strlen(jobs[i].answer) + 1))
            return -1;
    return (ssize_t)used;
}

/* All that a helper does. It ends when the server has ended. */
static void helper_main(int fd)
{
    struct buf in = {.max = DISK_QUEUE_MAX + READ_SIZE};

    signal(SIGINT, SIG_IGN); /* ^C is for the server, which closes our socket */
    signal(SIGTERM, SIG_IGN);
    for (int i = 3; i < FILES_EACH * max_conns + HELPERS_MAX + 16; i++)
        if (i != fd) close(i); /* fork() has copied the clients' sockets */
    if (events->on_start) events->on_start();

    for (;;) {
        char *room = buf_room(&in, READ_SIZE);
        ssize_t used, n = room ? read(fd, room, READ_SIZE) : 0;
        if (n == -1 && errno == EINTR) continue;
        if (n <= 0) _exit(0);
        in.end += (size_t)n;
        while ((used = do_jobs(fd, buf_span(&in))) > 0)
            buf_drop(&in, (size_t)used);
        if (used < 0) _exit(0);
    }
}

/* ---- in the server ------------------------------------------------------- */

/* Returns our end of the socket that leads to a new helper, or -1. */
static int start_process(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) return -1;
    pid_t pid = fork();
    if (pid == 0) helper_main(pair[1]);
    close(pair[1]);
    if (pid > 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0) return pair[0];
    close(pair[0]);
    return -1;
}

static void end_job(struct job *job, const char *answer)
{
    if (job->c) job->c->job = NULL;
    events->on_done(job->c, job->text, answer);
    free(job);
}

/* Its process is gone, and with it the answers to its jobs. Its place among the
 * connections is taken by a new one; if there is none, we try again later. */
static void replace(struct helper *h)
{
    struct job *lost = h->first, *next;

    close(h->c->fd);
    buf_free(&h->c->in);
    buf_free(&h->c->out);
    h->first = NULL;
    h->end = &h->first;
    h->njobs = 0;
    h->c->fd = start_process();
    h->c->peer_done = h->c->fd == -1;
    h->c->deadline = h->c->fd == -1 ? now + PAUSE_MS : INT64_MAX;
    for (; lost; lost = next) {
        next = lost->next;
        end_job(lost, NULL);
    }
}

/* The event of a helper's connection: answers have come, or it has died. */
static void helper_turn(struct conn *c)
{
    struct helper *h = helpers;
    const char *end;

    while (h->c != c) h++;
    while (h->first && buf_len(&c->in) > 0 &&
           (end = memchr(buf_at(&c->in), '\0', buf_len(&c->in)))) {
        struct job *job = h->first;
        size_t n = (size_t)(end - buf_at(&c->in)) + 1;

        h->first = job->next;
        if (!h->first) h->end = &h->first;
        h->njobs--;
        end_job(job, buf_at(&c->in));
        buf_drop(&c->in, n);
    }
    if (c->peer_done) replace(h);
}

void disk_start(const struct disk_events *e, int n)
{
    events = e;
    signal(SIGCHLD, SIG_IGN); /* a helper that ends leaves no zombie */
    most = n;
}

void disk_on_open(void)
{
    struct helper *h = &helpers[nhelpers];

    if (nhelpers == most || nhelpers > nconns - nhelpers) return;
    int fd = start_process();
    h->c = fd == -1 ? NULL : conn_open(fd, helper_turn);
    if (!h->c) return; /* fewer will do */
    h->c->out.max = DISK_QUEUE_MAX;
    h->end = &h->first;
    nhelpers++;
}

static struct helper *least_busy(void)
{
    struct helper *best = NULL;

    for (struct helper *h = helpers; h < helpers + nhelpers; h++)
        if (!h->c->peer_done && (!best || h->njobs < best->njobs)) best = h;
    return best;
}

bool disk_do(struct conn *c, struct span text)
{
    struct helper *h = least_busy();
    struct job *job = malloc(sizeof *job + text.n + 1);
    struct disk_job here;

    if (!job || (h && !buf_room(&h->c->out, text.n + 1))) {
        if (h) h->c->out.failed = false;
        free(job);
        return false;
    }
    *job = (struct job){NULL, c, text.n + 1};
    memcpy(job->text, text.p, text.n);
    job->text[text.n] = '\0';
    c->job = job;
    if (h) {
        buf_add(&h->c->out, job->text, job->n);
        *h->end = job;
        h->end = &job->next;
        h->njobs++;
    } else {
        here.text = job->text;
        events->on_jobs(&here, 1);
        end_job(job, here.answer);
    }
    return true;
}

void disk_forget(struct conn *c)
{
    if (c->job) c->job->c = NULL;
    c->job = NULL;
}

size_t disk_bytes(const struct conn *c)
{
    return c->job ? sizeof *c->job + c->job->n : 0;
}
