/* interpose.c -- makes one call of a program fail, and keeps a list of all.
 *
 * Linked into a program with -Wl,--wrap=NAME for each __wrap_NAME below: then
 * the program's own calls come here, and those inside libc do not. That leaves
 * out what no program can help: a failing malloc() inside printf().
 *
 *     FAULT_STATE=FILE   a struct state, shared with the program's helpers
 *     FAULT="ROLE NAME N ERROR ALWAYS"
 *
 * The Nth call of NAME fails with this errno (getaddrinfo() and getnameinfo():
 * with minus this); with ALWAYS, so do all after it. ERROR 0: one byte is moved
 * and no more. ROLE 0 is the program, 1 and up are the helpers that it forks.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <termios.h>
#include <unistd.h>

enum { CALLS = 1 << 16, FRAMES = 16 };

struct call {
    uint32_t role;
    uint32_t place; /* what the callers from here up to main() hash to */
    char name[24];
};

static struct state {
    uint32_t calls; /* also those beyond the list's end */
    uint32_t fired; /* how many of them failed */
    struct call list[CALLS];
} * state;

static unsigned role, forks;

/* The plan. */
static unsigned planned_role, planned_n, always;
static char planned_name[24];
static int planned_error = -1;

int __real_open(const char *, int, ...);
int __real_close(int);

static void set_up(void)
{
    const char *plan = getenv("FAULT"), *file = getenv("FAULT_STATE");
    int fd = file ? __real_open(file, O_RDWR) : -1;

    state = fd == -1 ? MAP_FAILED
                     : mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE,
                            MAP_SHARED, fd, 0);
    if (state == MAP_FAILED ||
        (plan && sscanf(plan, "%u %23s %u %d %u", &planned_role, planned_name,
                        &planned_n, &planned_error, &always) != 5))
        abort();
    __real_close(fd);
}

/* All of the program is compiled with frame pointers; what lies beyond main()
 * is not looked at. */
__attribute__((no_sanitize("address", "undefined"))) static uint32_t
place_of(void **frame)
{
    extern char __executable_start, etext;
    uint32_t hash = 2166136261U;

    for (int i = 0; i < FRAMES; i++) {
        char *caller = frame[1];
        if (caller < &__executable_start || caller >= &etext) break;
        hash = (hash ^ (uint32_t)(caller - &__executable_start)) * 16777619U;
        if ((void **)frame[0] <= frame) break;
        frame = frame[0];
    }
    return hash;
}

/* What is called after main() is not the program's: gcov writes its counts. */
static bool over;

__attribute__((destructor)) static void stop_counting(void)
{
    over = true;
}

static int error; /* of the present call: -1 for none, 0: one byte only */

static bool fails(const char *name, void *frame)
{
    static unsigned n;

    error = -1;
    if (over) return false;
    if (!state) set_up();
    uint32_t at = __atomic_fetch_add(&state->calls, 1, __ATOMIC_RELAXED);
    if (at < CALLS) {
        struct call *call = &state->list[at];
        call->role = role;
        call->place = place_of(frame);
        snprintf(call->name, sizeof call->name, "%s", name);
    }
    if (role != planned_role || strcmp(name, planned_name) != 0) return false;
    n++;
    if (n != planned_n && !(always && n > planned_n)) return false;
    state->fired++;
    error = planned_error;
    if (error > 0) errno = error;
    return error > 0;
}

/* Returns BAD instead of calling it. */
#define WRAP(type, bad, name, params, args)                                    \
    type __real_##name params;                                                 \
    type __wrap_##name params                                                  \
    {                                                                          \
        if (fails(#name, __builtin_frame_address(0))) return bad;              \
        return __real_##name args;                                             \
    }

/* Of these the last parameter but FLAGS is n, a number of bytes. */
#define WRAP_BYTES(name, params, args)                                         \
    ssize_t __real_##name params;                                              \
    ssize_t __wrap_##name params                                               \
    {                                                                          \
        if (fails(#name, __builtin_frame_address(0))) return -1;               \
        if (error == 0 && n > 1) n = 1;                                        \
        return __real_##name args;                                             \
    }

/* What is closed is closed, also if that is said to have failed. */
#define WRAP_CLOSE(name, type)                                                 \
    int __real_##name(type);                                                   \
    int __wrap_##name(type x)                                                  \
    {                                                                          \
        bool bad = fails(#name, __builtin_frame_address(0));                   \
        int rc = __real_##name(x);                                             \
        if (bad) errno = error;                                                \
        return bad ? -1 : rc;                                                  \
    }

/* Of these the third parameter is there or not. */
#define WRAP_DOTS(name, first, second)                                         \
    int __real_##name(first, second, ...);                                     \
    int __wrap_##name(first a, second b, ...)                                  \
    {                                                                          \
        va_list rest;                                                          \
        va_start(rest, b);                                                     \
        void *c = va_arg(rest, void *);                                        \
        va_end(rest);                                                          \
        if (fails(#name, __builtin_frame_address(0))) return -1;               \
        return __real_##name(a, b, c);                                         \
    }

WRAP(int, -1, socket, (int a, int b, int c), (a, b, c))
WRAP(int, -1, socketpair, (int a, int b, int c, int d[2]), (a, b, c, d))
WRAP(int, -1, pipe, (int a[2]), (a))
WRAP(int, -1, bind, (int a, const struct sockaddr *b, socklen_t c), (a, b, c))
WRAP(int, -1, listen, (int a, int b), (a, b))
WRAP(int, -1, accept, (int a, struct sockaddr *b, socklen_t *c), (a, b, c))
WRAP(int, -1, connect, (int a, const struct sockaddr *b, socklen_t c),
     (a, b, c))
WRAP(int, -1, getsockname, (int a, struct sockaddr *b, socklen_t *c), (a, b, c))
WRAP(int, -1, getpeername, (int a, struct sockaddr *b, socklen_t *c), (a, b, c))
WRAP(int, -1, getsockopt, (int a, int b, int c, void *d, socklen_t *e),
     (a, b, c, d, e))
WRAP(int, -1, setsockopt, (int a, int b, int c, const void *d, socklen_t e),
     (a, b, c, d, e))
WRAP(int, -1, shutdown, (int a, int b), (a, b))
WRAP(int, -error, getaddrinfo,
     (const char *a, const char *b, const struct addrinfo *c,
      struct addrinfo **d),
     (a, b, c, d))
WRAP(int, -error, getnameinfo,
     (const struct sockaddr *a, socklen_t b, char *c, socklen_t d, char *e,
      socklen_t f, int g),
     (a, b, c, d, e, f, g))
WRAP(int, -1, gethostname, (char *a, size_t b), (a, b))
WRAP(int, -1, poll, (struct pollfd * a, nfds_t b, int c), (a, b, c))
WRAP_BYTES(recv, (int a, void *b, size_t n, int c), (a, b, n, c))
WRAP_BYTES(send, (int a, const void *b, size_t n, int c), (a, b, n, c))
WRAP_BYTES(read, (int a, void *b, size_t n), (a, b, n))

/* One byte is the signal handler's, to a pipe that is empty: it has room. */
ssize_t __real_write(int, const void *, size_t);
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (n > 1 && fails("write", __builtin_frame_address(0))) return -1;
    return __real_write(fd, p, n > 1 && error == 0 ? 1 : n);
}

WRAP_DOTS(open, const char *, int)
WRAP_DOTS(fcntl, int, int)
WRAP_DOTS(ioctl, int, unsigned long)
WRAP_CLOSE(close, int)
WRAP(int, -1, fsync, (int a), (a))
WRAP(off_t, -1, lseek, (int a, off_t b, int c), (a, b, c))
WRAP(int, -1, link, (const char *a, const char *b), (a, b))
WRAP(int, -1, unlink, (const char *a), (a))
WRAP(int, -1, stat, (const char *a, struct stat *b), (a, b))
WRAP(int, -1, lstat, (const char *a, struct stat *b), (a, b))
WRAP(int, -1, fstat, (int a, struct stat *b), (a, b))
WRAP(int, -1, access, (const char *a, int b), (a, b))
WRAP(int, -1, mkdir, (const char *a, mode_t b), (a, b))
WRAP(int, -1, chdir, (const char *a), (a))
WRAP(ssize_t, -1, readlink, (const char *a, char *b, size_t c), (a, b, c))
WRAP(DIR *, NULL, opendir, (const char *a), (a))
WRAP(struct dirent *, NULL, readdir, (DIR * a), (a))
WRAP_CLOSE(closedir, DIR *)
WRAP(int, -1, getrlimit, (int a, struct rlimit *b), (a, b))
WRAP(int, -1, setrlimit, (int a, const struct rlimit *b), (a, b))
WRAP(int, -1, tcgetattr, (int a, struct termios *b), (a, b))
WRAP(int, -1, tcsetattr, (int a, int b, const struct termios *c), (a, b, c))

WRAP(void *, NULL, malloc, (size_t a), (a))
WRAP(void *, NULL, calloc, (size_t a, size_t b), (a, b))
WRAP(void *, NULL, realloc, (void *a, size_t b), (a, b))
WRAP(FILE *, NULL, fopen, (const char *a, const char *b), (a, b))
WRAP(FILE *, NULL, fdopen, (int a, const char *b), (a, b))
WRAP(char *, NULL, fgets, (char *a, int b, FILE *c), (a, b, c))
WRAP_CLOSE(fclose, FILE *)

static FILE *unreadable;

size_t __real_fread(void *, size_t, size_t, FILE *);
size_t __wrap_fread(void *p, size_t size, size_t n, FILE *file)
{
    if (!fails("fread", __builtin_frame_address(0)))
        return __real_fread(p, size, n, file);
    unreadable = file;
    return 0;
}

int __real_ferror(FILE *);
int __wrap_ferror(FILE *file)
{
    return file == unreadable || __real_ferror(file);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void)
{
    if (fails("fork", __builtin_frame_address(0))) return -1;
    forks++;
    pid_t pid = __real_fork();
    if (pid == 0) role = forks;
    return pid;
}
