#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64 /* files over 2 GiB, where a long has 32 bits */

#include "letters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "smtp.h"

enum {
    FROM_MAX = 200,        /* bytes of a sender in a file's name */
    COPY_SIZE = 64 * 1024, /* bytes of a text, copied at once */
};

/* A 250 is a promise: every recipient has a letter, whole and once, and has it
 * still when the power fails now. Until then nobody has one. So a message takes
 * these steps; JOB is its number, and N that of the letter:
 *
 *     mail/USER/.smtp-JOB-N   0. letter 1 is written as the text comes in
 *                             1. the others are copied from it, and each is
 *                                synced: fsync()
 *     mail/USER/FROM-MS       2. when all are, each gets its name by link():
 *                                rename() would replace a file of that name
 *                             3. the folders are synced: the names will last
 *                             4. the names with a dot go; the answer is 250
 *
 * Who fails on the way takes all back and answers 451 or 452. Who is killed can
 * not, so others look afterwards: if one letter of a message has but its first
 * name, step 2 was not done, nobody was promised anything, and all of it goes.
 */

#define TEMPORARY ".smtp-" /* so begin the names that nobody shall see */

static const struct names *mailboxes;

int find_name(const struct names *names, struct span name)
{
    for (int i = 0; i < names->n; i++)
        if (names->list[i].n == name.n &&
            memcmp(names->list[i].p, name.p, name.n) == 0)
            return i;
    return -1;
}

bool next_line(struct span *rest, struct span *word, struct span *address)
{
    const char *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;

    if (!end || end == rest->p) return false;
    size_t n = (size_t)(end - rest->p), blank = 0;
    while (rest->p[blank] != ' ') blank++;
    *word = (struct span){rest->p, blank};
    *address = (struct span){rest->p + blank + 1, n - blank - 1};
    *rest = (struct span){end + 1, rest->n - n - 1};
    return true;
}

bool next_job(struct span *rest, struct job *j)
{
    struct span all = *rest, word, address;

    while (next_line(&all, &word, &address)) continue;
    if (all.n == 0 || all.p[0] != '\n') return false;
    j->envelope = (struct span){rest->p, rest->n - all.n + 1};
    *rest = (struct span){all.p + 1, all.n - 1};
    return true;
}

/* Start with all zeros in *l. */
static bool next_letter(struct span *rest, struct letter *l)
{
    if (l->n++ == 0) next_line(rest, &l->job, &l->from);
    if (!next_line(rest, &l->user, &l->rcpt)) return false;
    snprintf(l->path, sizeof l->path, "mail/%.*s/" TEMPORARY "%.*s-%d",
             (int)l->user.n, l->user.p, (int)l->job.n, l->job.p, l->n);
    return true;
}

struct letter first_letter(struct span envelope)
{
    struct letter l = {0};
    next_letter(&envelope, &l);
    return l;
}

/* Does something to every letter, until it cannot be done. */
static bool each_letter(struct job *j,
                        bool (*act)(struct job *j, const struct letter *l))
{
    struct letter l = {0};
    struct span rest = j->envelope;

    while (next_letter(&rest, &l))
        if (!act(j, &l)) return false;
    return true;
}

int report(const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ||
                errno == EMFILE || errno == ENFILE;

    fprintf(stderr, "%.*s: %s\n", (int)(strrchr(path, '/') - path), path,
            strerror(errno));
    return full ? 452 : 451;
}

bool write_all(int fd, const char *p, size_t n)
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

/* close(), for one that has to report another error. */
static bool close_after(int fd, bool ok)
{
    int saved = errno;

    if (fd != -1) close(fd);
    errno = saved;
    return ok;
}

/* What stands before the text. Returns its length. */
static size_t letter_head(char head[2 * SMTP_LINE_MAX], const struct letter *l)
{
    return (size_t)snprintf(head, 2 * SMTP_LINE_MAX,
                            "From: %.*s \nTo: %.*s \n\n", (int)l->from.n,
                            l->from.p, (int)l->rcpt.n, l->rcpt.p);
}

/* O_EXCL: a file that is there already may be a link to a letter that was
 * delivered. */
int create_letter(const struct letter *l)
{
    char head[2 * SMTP_LINE_MAX];
    size_t n = letter_head(head, l);
    int fd = open(l->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);

    if (fd == -1 || write_all(fd, head, n)) return fd;
    int saved = errno;
    close(fd);
    unlink(l->path);
    errno = saved;
    return -1;
}

static bool copy_text(const struct letter *from, int to)
{
    char data[COPY_SIZE];
    ssize_t n = (ssize_t)letter_head(data, from);
    int fd = open(from->path, O_RDONLY | O_NOFOLLOW);
    bool ok = fd != -1 && lseek(fd, (off_t)n, SEEK_SET) != -1;

    while (ok && (n = read(fd, data, sizeof data)) > 0)
        ok = write_all(to, data, (size_t)n);
    return close_after(fd, ok && n == 0);
}

/* Step 1. */
static bool write_letter(struct job *j, const struct letter *l)
{
    struct letter first = first_letter(j->envelope);
    int fd =
        l->n == 1 ? open(l->path, O_WRONLY | O_NOFOLLOW) : create_letter(l);
    bool ok = fd != -1 && (l->n == 1 || copy_text(&first, fd));

    ok = close_after(fd, ok && fsync(fd) == 0);
    if (!ok) j->status = report(l->path);
    return ok;
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* FROM-MILLISECONDS; the sender as far as it is safe in a file's name. */
static void final_path(char path[PATH_SIZE], const struct letter *l, int64_t ms)
{
    char safe[FROM_MAX + 1];
    size_t n = l->from.n < FROM_MAX ? l->from.n : FROM_MAX;

    while (n > 0 && n < l->from.n && (l->from.p[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    for (size_t i = 0; i < n; i++) {
        char byte = l->from.p[i];
        bool unsafe = strchr(i == 0 ? "/\\.-" : "/\\", byte) != NULL;
        safe[i] = unsafe ? '_' : byte;
    }
    if (n == 0) safe[n++] = '_'; /* the null sender */
    snprintf(path, PATH_SIZE, "mail/%.*s/%.*s-%lld", (int)l->user.n, l->user.p,
             (int)n, safe, (long long)ms);
}

/* Step 2: the first millisecond that is free. More than a thousand letters a
 * second run ahead of the clock; so the search goes on where the last ended. */
static bool link_letter(struct job *j, const struct letter *l)
{
    static int64_t ms;
    char path[PATH_SIZE];
    int done;

    if (ms < wall_ms()) ms = wall_ms();
    do {
        final_path(path, l, ms++);
        done = link(l->path, path);
    } while (done == -1 && errno == EEXIST);
    if (done == -1) j->status = report(l->path);
    return done == 0;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    return close_after(fd, fd != -1 && fsync(fd) == 0);
}

/* Of each mailbox, in this batch: 0, or what fsync() said; -1: not called. */
static int synced[NAMES_MAX];

/* Step 3. */
static bool sync_mailbox(struct job *j, const struct letter *l)
{
    char path[PATH_SIZE];
    int *error = &synced[find_name(mailboxes, l->user)];

    snprintf(path, sizeof path, "mail/%.*s/", (int)l->user.n, l->user.p);
    if (*error == -1) *error = sync_folder(path) ? 0 : errno;
    errno = *error;
    if (errno) j->status = report(path);
    return errno == 0;
}

static bool is_temporary(const char *name)
{
    return strncmp(name, TEMPORARY, strlen(TEMPORARY)) == 0;
}

/* Of the letter with this first name. */
static void unlink_final(const char *temporary)
{
    char path[PATH_SIZE];
    int folder = (int)(strrchr(temporary, '/') - temporary);
    struct stat letter, other;
    struct dirent *entry;

    if (lstat(temporary, &letter) == -1 || letter.st_nlink == 1) return;
    snprintf(path, sizeof path, "%.*s", folder, temporary);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "%.*s/%s", folder, temporary,
                 entry->d_name);
        if (!is_temporary(entry->d_name) && lstat(path, &other) == 0 &&
            other.st_ino == letter.st_ino)
            unlink(path);
    }
    if (dir) closedir(dir);
}

static bool take_back(struct job *j, const struct letter *l)
{
    if (j->status != 250) unlink_final(l->path);
    return true;
}

static bool unlink_temporary(struct job *j, const struct letter *l)
{
    (void)j;
    unlink(l->path);
    return true;
}

void deliver(struct job *jobs, int n)
{
    for (int i = 0; i < NAMES_MAX; i++) synced[i] = -1;
    for (int i = 0; i < n; i++) {
        struct job *j = &jobs[i];
        j->status = 250;
        if (each_letter(j, write_letter)) each_letter(j, link_letter);
    }
    for (int i = 0; i < n; i++)
        if (jobs[i].status == 250) each_letter(&jobs[i], sync_mailbox);
    for (int i = 0; i < n; i++) {
        each_letter(&jobs[i], take_back); /* of all, before any is forgotten */
        each_letter(&jobs[i], unlink_temporary);
    }
}

/* A letter that has no first name any more had come to step 4. */
static bool is_half_done(const char *temporary)
{
    struct stat letter;
    return lstat(temporary, &letter) == 0 && letter.st_nlink == 1;
}

static bool check_letter(struct job *j, const struct letter *l)
{
    if (is_half_done(l->path)) j->status = 451;
    return true;
}

void settle(struct job *j)
{
    j->status = 250;
    each_letter(j, check_letter);
    each_letter(j, take_back);
    each_letter(j, unlink_temporary);
}

/* ---- at the start ------------------------------------------------------- */

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int lock_fd = -1; /* mail/.lock */

/* Locks byte AT of mail/.lock. Every server holds byte 0 and every syncer byte
 * 1, shared, so that a server which starts can see whether others are at work.
 * However a process ends, its locks end with it. */
static bool lock_mail(short type, off_t at, int command)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 1};

    lock.l_start = at;
    if (lock_fd == -1)
        lock_fd = open("mail/.lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    return lock_fd != -1 && fcntl(lock_fd, command, &lock) == 0;
}

bool lock_for_syncer(void)
{
    lock_fd = -1; /* it has been closed */
    return lock_mail(F_RDLCK, 1, F_SETLKW);
}

static void make_folder(const char *path, const char *parent)
{
    if (mkdir(path, 0700) == -1 && errno != EEXIST) die(path);
    if (!sync_folder(path)) die(path);
    if (!sync_folder(parent)) die(parent);
}

/* One temporary name, in three rounds: find what is half done, take back the
 * final names of these messages, forget all temporary names. */
static void clear_name(int round, const char *path, struct buf *half_done)
{
    const char *number = strrchr(path, '/') + 1 + strlen(TEMPORARY);
    long long job = strtoll(number, NULL, 10), one;

    if (round == 0 && is_half_done(path)) buf_add(half_done, &job, sizeof job);
    for (size_t i = 0; round == 1 && i < buf_len(half_done); i += sizeof one) {
        memcpy(&one, buf_at(half_done) + i, sizeof one);
        if (one == job) unlink_final(path);
    }
    if (round == 2) unlink(path);
}

/* What a crash has left. */
static void clear_left_overs(void)
{
    struct buf half_done = {.max = INT_MAX};
    char path[PATH_SIZE];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < mailboxes->n; i++) {
            struct dirent *entry;
            struct span user = mailboxes->list[i];
            snprintf(path, sizeof path, "mail/%.*s", (int)user.n, user.p);
            DIR *dir = opendir(path);
            if (!dir) die(path);
            while ((entry = readdir(dir)) != NULL) {
                if (!is_temporary(entry->d_name)) continue;
                snprintf(path, sizeof path, "mail/%.*s/%s", (int)user.n, user.p,
                         entry->d_name);
                clear_name(round, path, &half_done);
            }
            closedir(dir);
        }
    }
    if (half_done.failed) die("mail");
    buf_free(&half_done);
}

/* The syncers of a server that was killed may still be at work: they stop at
 * once, and are waited for. */
long long open_mail(const struct names *users)
{
    char path[PATH_SIZE];

    mailboxes = users;
    make_folder("mail", ".");
    for (int i = 0; i < mailboxes->n; i++) {
        snprintf(path, sizeof path, "mail/%.*s", (int)mailboxes->list[i].n,
                 mailboxes->list[i].p);
        make_folder(path, "mail");
    }
    if (lock_mail(F_WRLCK, 0, F_SETLK) && lock_mail(F_WRLCK, 1, F_SETLKW)) {
        clear_left_overs();
        if (!lock_mail(F_UNLCK, 1, F_SETLK)) die("mail/.lock");
    }
    if (!lock_mail(F_RDLCK, 0, F_SETLK)) die("mail/.lock");
    return wall_ms() * 1000;
}
