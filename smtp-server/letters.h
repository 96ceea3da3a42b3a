/* letters.h -- messages as files in mail/, one letter for each recipient: what
 * it takes to answer 250 and mean it. letters.c begins with the steps. */
#ifndef LETTERS_H
#define LETTERS_H

#include <stdbool.h>

#include "../common/span.h"

enum {
    NAMES_MAX = 100, /* users, and hosts */
    PATH_SIZE = 600, /* "mail/", a user, "/" and a file's name */
};

struct names {
    struct span list[NAMES_MAX];
    int n;
};

/* -1: nobody of that name. */
int find_name(const struct names *names, struct span name);

struct job {
    struct span envelope; /* lines, see next_line() */
    int status;           /* 250, 451 or 452 */
};

struct letter {
    struct span job, from, user, rcpt;
    int n;                /* 1 is the first */
    char path[PATH_SIZE]; /* mail/USER/.smtp-JOB-N */
};

/* Makes mail/ and a folder for each user, and clears them of what a crash has
 * left, unless another server is at work there. Ends the program if it cannot.
 * Returns a number above those of all earlier jobs. */
long long open_mail(const struct names *users);

/* Takes a line off the front of an envelope. The first is "JOB FROM\n", the
 * others are "USER RCPT\n"; an empty one may stand at the end. */
bool next_line(struct span *rest, struct span *word, struct span *address);

/* Takes an envelope, with its empty line, off the front. */
bool next_job(struct span *rest, struct job *j);

struct letter first_letter(struct span envelope);

/* A new letter with its head; -1 and errno if it cannot be. The text is to be
 * written behind that. */
int create_letter(const struct letter *l);

bool write_all(int fd, const char *p, size_t n);

/* For the operator: errno, and the folder of the file that it is about. Returns
 * 452 for what may pass when there is more room, 451 for the rest. */
int report(const char *path);

/* Brings messages, whose first letters have been written and closed, to all
 * their recipients, or to none, and says so in jobs[i].status. Each mailbox is
 * synced once for all of them. */
void deliver(struct job *jobs, int n);

/* For a job whose deliver() was killed on the way. */
void settle(struct job *j);

/* For a process that calls deliver(), when it starts and has closed all files:
 * a server that starts waits for its end. False: it cannot, and shall not. */
bool lock_for_syncer(void);

#endif
