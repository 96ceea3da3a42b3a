/* disk.h -- helper processes that wait for the disk. The same text in
 * file-upload and smtp-server.
 *
 * fsync() may take long, and poll() cannot wait for it. Node has threads for
 * that; we have processes. A job is a text without NUL. A socket leads to each
 * helper and stands among the connections: to run() it is one more peer. */
#ifndef DISK_H
#define DISK_H

#include "node.h"

enum {
    DISK_BATCH = 32,               /* jobs that a helper does together */
    DISK_ANSWER_MAX = 1024,        /* bytes of an answer, with its NUL */
    DISK_QUEUE_MAX = 16 * 1 << 20, /* bytes of jobs that wait for a helper */
};

struct disk_job {
    const char *text;
    char answer[DISK_ANSWER_MAX]; /* a text too */
};

struct disk_events {
    /* In a helper, once it has closed our clients' sockets. May be NULL. */
    void (*on_start)(void);

    /* In a helper: does N jobs and writes their answers. It must not fail for
     * want of memory, and need not be quick. */
    void (*on_jobs)(struct disk_job *jobs, int n);

    /* In the server: the job TEXT, which C waited for, has ended. C is NULL if
     * the client has left meanwhile. ANSWER is NULL if the helper was killed:
     * nobody knows how far it got. */
    void (*on_done)(struct conn *c, const char *text, const char *answer);
};

/* At most so many helpers. With 0 the server does all jobs itself, while its
 * clients wait. Call it before serve(). */
void disk_start(const struct disk_events *events, int helpers);

/* Call it in on_open(): starts one more helper, as long as there are fewer than
 * clients. One that dies is replaced at once. */
void disk_on_open(void);

/* Gives TEXT to the helper that has the fewest jobs. on_done() may be called
 * before this returns. Returns false if there is no memory. */
bool disk_do(struct conn *c, struct span text);

/* C leaves: on_done() will not get it. */
void disk_forget(struct conn *c);

size_t disk_bytes(const struct conn *c); /* that its job holds */

#endif
