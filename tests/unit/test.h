/* test.h -- what every unit test shares: CHECK, exact copies, the last line.
 *
 * A parser is fed from exact(): a malloc() of just the bytes it may look at,
 * so that the address sanitizer catches a look at one byte too many. */
#ifndef TEST_H
#define TEST_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int passed, failed;

/* One check; the message is printf's, and says which input it was. */
#define CHECK(ok, ...)                                                         \
    do {                                                                       \
        if (ok) {                                                              \
            passed++;                                                          \
        } else {                                                               \
            failed++;                                                          \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #ok);                    \
            printf(__VA_ARGS__);                                               \
            printf("\n");                                                      \
        }                                                                      \
    } while (0)

/* What must hold at every step of a long run: only a failure is counted. */
#define HOLDS(ok, ...)                                                         \
    do {                                                                       \
        if (!(ok)) CHECK(ok, __VA_ARGS__);                                     \
    } while (0)

/* A copy that ends where its memory ends. The caller frees it. */
static inline char *exact(const void *p, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);
    if (!copy) abort();
    if (n > 0) memcpy(copy, p, n);
    return copy;
}

static inline void on_abort(int sig)
{
    (void)sig;
    exit(99);
}

/* Whether an assert() stops this call: it is made by a child, which has nothing
 * to say. */
static inline bool aborts(void (*call)(void))
{
    int status = -1;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, on_abort);
        close(STDERR_FILENO);
        call();
        exit(0);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 99;
}

/* The last statement of main(). */
static inline int report(void)
{
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}

#endif
