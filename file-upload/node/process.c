/* process.c -- how a server starts: options and settings, its folder, a socket
 * that listens, and the signal that ends it. Nothing here is about the recipe.
 * The same text in all five servers. */
#define _XOPEN_SOURCE 700 /* POSIX 2008, and realpath() */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node.h"

int idle_ms = 75000, head_ms = 10000, max_conns = 10000, max_held = 512;
int drain_ms = 0, grace_ms = 5000, tracing = 0;
static int port;
static const char *host, *root;
int wake_fd[2];

static const struct setting settings[] = {
    {"HOST", &host, NULL, 0, 0, "listens there; :: is all, IPv4 too"},
    {"PORT", NULL, &port, 0, 65535, "0 takes a free one and prints it"},
    {"ROOT", &root, NULL, 0, 0, "its folder; default: the program's"},
    {"IDLE_MS", NULL, &idle_ms, 1, INT_MAX, "closes what is quiet so long"},
    {"HEAD_MS", NULL, &head_ms, 1, INT_MAX, "for one head, or command"},
    {"MAX_CONNS", NULL, &max_conns, 1, 1000000, "at once; more wait"},
    {"MAX_HELD", NULL, &max_held, 1, 1000000, "MiB, of all connections"},
    {"DRAIN_MS", NULL, &drain_ms, 0, INT_MAX, "goes on after SIGTERM"},
    {"GRACE_MS", NULL, &grace_ms, 0, INT_MAX, "then, to end what began"},
    {"TRACE", NULL, &tracing, 0, 1, "1 shows the conversation on stderr"},
    {.name = NULL},
};

/* ---- options and settings ------------------------------------------------ */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void print_settings(const struct setting *s)
{
    for (; s && s->name; s++) {
        char value[64];
        if (s->text)
            snprintf(value, sizeof value, "%s=%s", s->name,
                     *s->text ? *s->text : "");
        else
            snprintf(value, sizeof value, "%s=%d", s->name, *s->value);
        printf("  %-21s %s\n", value, s->help);
    }
}

static void print_help(void)
{
    printf("%s\n", recipe.usage);
    if (recipe.flag) printf("  %-21s %s\n", recipe.flag, recipe.flag_help);
    printf("  %-21s this text\n", "-h, --help");
    printf("  %-21s the version\n\n", "--version");
    printf("Environment, with defaults:\n");
    print_settings(settings);
    print_settings(recipe.settings);
    printf("\n%s\n", recipe.try);
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (recipe.flag && strcmp(argv[i], recipe.flag) == 0) {
            *recipe.flag_value = 1;
            continue;
        }
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            print_help();
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("%s 1.0\n", recipe.name);
        } else {
            fprintf(stderr, "%s: unknown argument %s; try --help\n",
                    recipe.name, argv[i]);
            exit(2);
        }
        if (fflush(stdout) == EOF) fail("stdout", strerror(errno));
        exit(0);
    }
}

static void read_settings(const struct setting *s)
{
    for (; s && s->name; s++) {
        const char *text = getenv(s->name);
        char *end;
        if (!text || !*text) continue;
        if (s->text) {
            *s->text = text;
            continue;
        }
        errno = 0;
        long n = strtol(text, &end, 10);
        if (errno || *end || n < s->min || n > s->max) {
            fprintf(stderr, "%s=%s: not a number from %d to %d\n", s->name,
                    text, s->min, s->max);
            exit(2);
        }
        *s->value = (int)n;
    }
}

/* Changes to the folder $ROOT, or else to that of the program's own file, where
 * public/ is. A program that was found in $PATH stays where it was started. */
static void enter_folder(const char *program)
{
    char path[PATH_MAX];

    if (!root) {
        if (!strchr(program, '/') || !realpath(program, path)) return;
        *(strrchr(path, '/') + 1) = '\0';
        root = path;
    }
    if (chdir(root) == 0) return;
    fprintf(stderr, "ROOT=%s: %s\n", root, strerror(errno));
    exit(1);
}

/* If the shell has closed 0, 1 or 2, no socket may get that number: a client
 * would receive what we print. */
static void keep_standard_files(void)
{
    int fd;

    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

void set_up(int argc, char **argv)
{
    keep_standard_files();
    port = recipe.port;
    host = recipe.host;
    read_options(argc, argv);
    read_settings(settings);
    read_settings(recipe.settings);
    enter_folder(argv[0]);
    if (!make_tables()) fail("MAX_CONNS", strerror(errno));
}

/* ---- listening ----------------------------------------------------------- */

static int try_listen(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    int on = 1, off = 0;

    if (fd == -1) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) /* "::" takes IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        listen(fd, SOMAXCONN) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int listen_on(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char text[8], what[300];
    int fd = -1;

    snprintf(text, sizeof text, "%d", port);
    snprintf(what, sizeof what, "%s port %d", host, port);
    int rc = getaddrinfo(host, text, &hints, &list);
    if (rc != 0) fail(what, gai_strerror(rc));
    for (struct addrinfo *a = list; a && fd == -1; a = a->ai_next)
        fd = try_listen(a);
    freeaddrinfo(list);
    if (fd == -1) fail(what, strerror(errno));
    return fd;
}

/* systemd may pass a socket that is already listening, as descriptor 3; see
 * sd_listen_fds(3). It stays open while we restart, so no client is refused.
 * Returns -1 if there is none. */
static int inherited_listener(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int fd = 3, listens = 0;
    socklen_t size = sizeof listens, len = sizeof(struct sockaddr_storage);
    struct sockaddr_storage a;

    if (!pid || !count || strtol(pid, NULL, 10) != getpid()) return -1;
    if (strcmp(count, "1") == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
        listens && getsockname(fd, (struct sockaddr *)&a, &len) == 0 &&
        (a.ss_family == AF_INET || a.ss_family == AF_INET6) &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    fprintf(stderr, "LISTEN_FDS=%s: not one TCP socket that listens\n", count);
    exit(1);
}

/* Our first line of output: with PORT=0 nobody else knows the port. */
static void print_address(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char address[64], number[8];

    if (getsockname(fd, (struct sockaddr *)&a, &len) == -1 ||
        getnameinfo((struct sockaddr *)&a, len, address, sizeof address, number,
                    sizeof number, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        fail("getsockname", strerror(errno));
    printf("{\"address\":\"%s\",\"family\":\"%s\",\"port\":%s}\n", address,
           a.ss_family == AF_INET6 ? "IPv6" : "IPv4", number);
    fflush(stdout);
}

/* ---- the signal to stop -------------------------------------------------- */

/* A byte in a pipe wakes poll(). A flag would not, if it were set just before
 * poll() goes to sleep. The second signal ends the program at once. */
static void on_signal(int sig)
{
    int saved = errno;
    (void)sig;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    (void)!write(wake_fd[1], "", 1);
    errno = saved;
}

static void stop_on_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};

    if (pipe(wake_fd) == -1) fail("pipe", strerror(errno));
    fcntl(wake_fd[1], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN); /* send() to a client that left returns EPIPE */
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
}

/* Asks for as many open files as max_conns needs; the system may give fewer. */
static void allow_files(void)
{
    struct rlimit files;
    rlim_t need = (rlim_t)max_conns * FILES_EACH + HELPERS_MAX + 16;

    if (getrlimit(RLIMIT_NOFILE, &files) == -1 || files.rlim_cur >= need)
        return;
    files.rlim_cur = need < files.rlim_max ? need : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int serve(void)
{
    allow_files();
    setvbuf(stdout, NULL, _IOLBF, 0); /* show each line at once, in pipes too */
    stop_on_signals();
    int on = 1, listener = inherited_listener();
    if (listener == -1) listener = listen_on();
    /* Send answers at once. Accepted sockets inherit this from the listener. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    print_address(listener);
    run(listener);
    return 0;
}
