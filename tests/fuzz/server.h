/* server.h -- a whole server in a small world that the input plays: clients
 * that send in pieces, do not read, or vanish, helpers that take their time,
 * and a clock that stands still until it is moved.
 *
 *     #define SERVER "../../rest-server/rest-server.c"
 *     #include "server.h"
 *
 * run() and all that it calls is the program's; only the system calls are ours.
 * An input is FLAGS, STEPS and REPEATS, a byte each; then so many steps; then
 * what each of the clients sends, as often as REPEATS says.
 *
 * Without faults every client must get what one gets that is alone and sends
 * all at once, byte for byte. With faults there are still the rules that hold
 * always: see look_around(), world_poll() and world_close(). */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../common/buf.h"
#include "../../common/utf8.h"
#include "folder.h"

enum {
    CLIENTS = 3,
    HELPERS = 2, /* processes that a server starts: see conn.own */
    SOCKETS = CLIENTS + HELPERS,
    FD = 1000, /* of socks[0], and so on */
    LISTENER = 900,
    WAKE,    /* where the signal to stop is read */
    FAR_END, /* what a helper would have */
    STEPS_MAX = 400,
    SENT_MAX = 200 * 1024, /* bytes of a client, repeats and all */
    PIECE_MAX = 16 * 1024, /* bytes that recv() gives at once: more room than
                            * that costs more time than all the rest */
    IDLE_POLLS = 5,        /* that find something ready, and nothing is done */
    LIVES_MAX = 3600000,   /* milliseconds that a silent client is kept */
};

/* A connection, as the system sees it. The peer is a client or a helper. */
struct sock {
    enum { AWAY, KNOCKING, HERE, LEFT } at; /* HERE: the server has it */
    struct span rest;                       /* the client has still to send */
    struct buf wire; /* sent; recv() has not had it yet */
    size_t sent;     /* bytes that have been on the wire */
    bool done;       /* and no more will come */
    bool told;       /* which recv() has said */
    bool gone;       /* the peer has reset the connection */
    int again;       /* calls that will be told to try again */
    size_t room;     /* bytes that send() will take */
    bool shut;       /* the server will send no more */
    struct buf got;  /* what it has sent */
};

/* What a file that includes this one says of its server. All but begin() and
 * check() may be missing. */
struct conn;
static const struct target {
    void (*prepare)(void);                   /* once, at the start */
    void (*begin)(bool option, int helpers); /* a play */
    void (*end)(void);
    struct span (*opening)(struct span text);  /* what stands before it */
    bool (*waiting)(const struct conn *c);     /* for a helper alone */
    bool (*helper_works)(struct sock *helper); /* false: nothing to do */
    void (*mask)(struct span got); /* takes out what is never the same */
    void (*check)(struct span sent, struct span got, bool whole);
    unsigned repeats; /* so many at most, if they cost much; 0: any number */
} target;

static int world_accept(int fd, struct sockaddr *address, socklen_t *length);
static int world_clock(clockid_t clock, struct timespec *t);
static int world_close(int fd);
static int world_fcntl(int fd, int command, ...);
static pid_t world_fork(void);
static size_t world_fwrite(const void *p, size_t size, size_t n, FILE *file);
static int world_getpeername(int fd, struct sockaddr *a, socklen_t *length);
static int world_poll(struct pollfd *fds, nfds_t n, int timeout);
static ssize_t world_recv(int fd, void *p, size_t n, int flags);
static ssize_t world_send(int fd, const void *p, size_t n, int flags);
static int world_shutdown(int fd, int how);
static int world_socketpair(int family, int type, int protocol, int pair[2]);

#define buf_room(b, n) buf_room(b, (n) < PIECE_MAX ? (n) : PIECE_MAX)
#define accept world_accept
#define clock_gettime world_clock
#define close world_close
#define fcntl world_fcntl
#define fork world_fork
#define fwrite world_fwrite
#define getpeername world_getpeername
#define poll world_poll
#define recv world_recv
#define send world_send
#define shutdown world_shutdown
#define socketpair world_socketpair
#define time(t) ((time_t)1480000000) /* all answers have the same Date */
#define main server_main
static FILE *terminal;
#undef stdout
#undef stderr
#define stdout terminal
#define stderr terminal
#define puts(text) fprintf(terminal, "%s\n", text)

#include SERVER
#ifdef SERVER_MODULE
#include SERVER_MODULE
#endif

#undef buf_room
#undef accept
#undef clock_gettime
#undef close
#undef fcntl
#undef fork
#undef fwrite
#undef getpeername
#undef poll
#undef recv
#undef send
#undef shutdown
#undef socketpair
#undef time
#undef main
#undef puts
#undef fsync
#undef link
#undef lstat
#undef open
#undef opendir
#undef unlink
#undef write

/* ---- the world ---------------------------------------------------------- */

static struct sock socks[SOCKETS];
static int64_t clock_ms;
static unsigned moves; /* more whenever something has happened */
static int accept_error;

/* The play: what the input has to say. */
static enum { STEPPING, SENDING, ENDING, LEAVING, STOPPING } phase;
static enum { EOFS, SILENCE, DEAFNESS, RESETS } ending;
static const uint8_t *steps;
static size_t nsteps, taken;
static int nclients, at_once;
static bool faults, stop, alone;
static int64_t later;   /* milliseconds that are still to pass */
static int64_t over_ms; /* by then the last connection has to be closed */

static bool is_proxied(struct span text)
{
    static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";

    return text.n >= 12 && (memcmp(text.p, "PROXY ", 6) == 0 ||
                            memcmp(text.p, signature, 12) == 0);
}

static struct sock *sock_of(int fd)
{
    assert(fd >= FD && fd < FD + SOCKETS && socks[fd - FD].at == HERE);
    return &socks[fd - FD];
}

static bool is_helper(const struct sock *s)
{
    return s >= socks + CLIENTS;
}

static int fails(int error)
{
    errno = error;
    return -1;
}

static int world_accept(int fd, struct sockaddr *address, socklen_t *length)
{
    (void)address;
    (void)length;
    assert(fd == LISTENER);
    if (accept_error) {
        errno = accept_error;
        accept_error = 0;
        return -1;
    }
    for (int i = 0; i < CLIENTS; i++) {
        if (socks[i].at != KNOCKING) continue;
        moves++;
        socks[i].at = HERE;
        return FD + i;
    }
    return fails(EAGAIN);
}

static int world_clock(clockid_t clock, struct timespec *t)
{
    (void)clock;
    *t = (struct timespec){clock_ms / 1000, clock_ms % 1000 * 1000000};
    return 0;
}

/* Left alone, a server closes a connection when the client has, and has read
 * all of it: or else a reset may overtake its last answer. */
static int world_close(int fd)
{
    if (fd < LISTENER) return close(fd);
    moves++;
    if (fd < FD) return 0;
    struct sock *s = sock_of(fd);
    bool answered = s->shut && s->told && buf_len(&s->wire) == 0;
    if (!faults && !is_helper(s))
        assert(answered || (proxied && buf_len(&s->got) == 0));
    s->at = LEFT;
    return 0;
}

static int world_fcntl(int fd, int command, ...)
{
    (void)fd;
    (void)command;
    return 0;
}

/* The helper is born; what it does is helper_works(). */
static pid_t world_fork(void)
{
    return 1;
}

/* No byte of what is printed can drive a terminal. */
static size_t world_fwrite(const void *p, size_t size, size_t n, FILE *file)
{
    struct span text = {p, size * n};
    struct utf8 u = {0};

    (void)file;
    assert(utf8_next(&u, text) && utf8_whole(&u));
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        assert((c >= ' ' && c != 0x7f) || c == '\n');
        if (c == 0xC2) assert((unsigned char)text.p[i + 1] >= 0xA0);
    }
    return n;
}

static int world_getpeername(int fd, struct sockaddr *a, socklen_t *length)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (sock_of(fd)->gone) return fails(ENOTCONN);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert(*length >= sizeof in);
    memcpy(a, &in, sizeof in);
    *length = sizeof in;
    return 0;
}

static ssize_t world_recv(int fd, void *p, size_t n, int flags)
{
    struct sock *s = sock_of(fd);
    size_t have = buf_len(&s->wire);

    (void)flags;
    assert(n > 0);
    if (s->gone) return fails(ECONNRESET);
    if (s->again > 0) {
        moves++;
        return fails(s->again-- % 2 ? EINTR : EAGAIN);
    }
    if (have == 0 && !s->done) return fails(EAGAIN);
    if (have > 0 || !s->told) moves++;
    if (n > PIECE_MAX) n = PIECE_MAX;
    if (n > have) n = have;
    if (n == 0) {
        s->told = true;
        return 0;
    }
    memcpy(p, buf_at(&s->wire), n);
    buf_drop(&s->wire, n);
    return (ssize_t)n;
}

static ssize_t world_send(int fd, const void *p, size_t n, int flags)
{
    struct sock *s = sock_of(fd);

    (void)flags;
    assert(n > 0 && !s->shut);
    if (s->gone || (is_helper(s) && s->done)) return fails(EPIPE);
    if (s->again > 0) {
        moves++;
        return fails(s->again-- % 2 ? EINTR : EAGAIN);
    }
    if (s->room == 0) return fails(EAGAIN);
    if (n > s->room) n = s->room;
    if (s->room != SIZE_MAX) s->room -= n;
    moves++;
    buf_add(&s->got, p, n);
    assert(!s->got.failed);
    return (ssize_t)n;
}

static int world_shutdown(int fd, int how)
{
    struct sock *s = sock_of(fd);

    assert(how == SHUT_WR && !s->shut);
    moves++;
    s->shut = true;
    return 0;
}

static void empty(struct sock *s)
{
    buf_free(&s->wire);
    buf_free(&s->got);
    *s = (struct sock){.wire.max = SIZE_MAX, .got.max = SIZE_MAX};
    s->room = SIZE_MAX;
}

static int world_socketpair(int family, int type, int protocol, int pair[2])
{
    (void)family;
    (void)type;
    (void)protocol;
    for (int i = CLIENTS; i < SOCKETS; i++) {
        if (socks[i].at == HERE) continue;
        empty(&socks[i]);
        socks[i].at = HERE;
        pair[0] = FD + i;
        pair[1] = FAR_END;
        return 0;
    }
    return fails(EMFILE);
}

/* ---- the play ----------------------------------------------------------- */

static void arrive(struct sock *s, size_t n)
{
    if (n > s->rest.n) n = s->rest.n;
    if (n == 0) return;
    buf_add(&s->wire, s->rest.p, n);
    assert(!s->wire.failed);
    s->sent += n;
    s->rest.p += n;
    s->rest.n -= n;
}

static void reset(struct sock *s)
{
    s->gone = true;
    s->rest.n = 0;
    buf_drop(&s->wire, buf_len(&s->wire));
}

static void fault(struct sock *s, unsigned which, struct sock *helper)
{
    static const int accept_errors[] = {EMFILE, ECONNABORTED, EINTR, ENOBUFS};

    switch (which % 7) {
    case 0: reset(s); break;
    case 1:
        s->done = true;
        s->rest.n = 0;
        break;
    case 2: accept_error = accept_errors[taken % 4]; break;
    case 3: /* the disk does its work a few times more, and once not */
    case 4:
        disk_works = taken % 32;
        disk_errors = which % 7 == 3 ? 1 : 10;
        break;
    case 5: stop = true; break;
    case 6:
        helper->done = true; /* it has been killed */
        buf_drop(&helper->wire, buf_len(&helper->wire));
    }
}

static bool helper_turn(struct sock *helper)
{
    return target.helper_works && helper->at == HERE && !helper->done &&
           target.helper_works(helper);
}

static bool all_sent(void)
{
    for (int i = 0; i < nclients; i++)
        if (socks[i].rest.n > 0) return false;
    return true;
}

static bool step(void)
{
    static const size_t rooms[] = {0, 1, 17, 1000, 100000, SIZE_MAX};

    if (nsteps == 0 || taken == STEPS_MAX || (taken >= nsteps && all_sent()))
        return false;
    unsigned byte = steps[taken++ % nsteps], arg = byte >> 3;
    unsigned which = arg / (unsigned)nclients;
    struct sock *s = &socks[arg % (unsigned)nclients];
    struct sock *helper = &socks[CLIENTS + arg % HELPERS];

    if (s->at == AWAY) s->at = KNOCKING;
    switch (byte & 7) {
    case 0: arrive(s, 1 + which); break;
    case 1: arrive(s, 60 * (1 + which)); break;
    case 2: arrive(s, SIZE_MAX); break;
    case 3: s->room = rooms[which % 6]; break;
    case 4: helper_turn(helper); break;
    case 5: s->again = 1 + (int)which % 3; break;
    case 6: later = faults ? 1 << arg % 23 : 0; break;
    case 7:
        if (faults) fault(s, which, helper);
    }
    return true;
}

/* All that is left is sent, and nothing has to be waited for. */
static void send_all(void)
{
    for (int i = 0; i < nclients; i++) {
        struct sock *s = &socks[i];
        if (s->at == AWAY) s->at = KNOCKING;
        arrive(s, SIZE_MAX);
        s->room = ending == DEAFNESS ? 0 : SIZE_MAX;
    }
    for (int i = 0; i < SOCKETS; i++) socks[i].again = 0;
    disk_errors = accept_error = 0;
}

static void end_all(void)
{
    for (int i = 0; i < nclients; i++)
        if (ending == EOFS)
            socks[i].done = true;
        else if (ending == RESETS)
            reset(&socks[i]);
}

static bool helpers_work(void)
{
    for (int i = CLIENTS; i < SOCKETS; i++)
        if (helper_turn(&socks[i])) return true;
    return false;
}

static bool clients_are(int at)
{
    for (int i = 0; i < nclients; i++)
        if ((int)socks[i].at == at) return true;
    return false;
}

/* The next thing that happens; false if that is only the time which passes. */
static bool next_thing(void)
{
    moves++;
    if (phase > STEPPING && helpers_work()) return true;
    switch (phase) {
    case STEPPING:
        for (int i = 0; i < at_once && phase == STEPPING; i++)
            if (!step()) phase = SENDING;
        return true;
    case SENDING:
        send_all();
        phase = ENDING;
        return true;
    case ENDING:
        end_all();
        phase = LEAVING;
        over_ms = clock_ms + LIVES_MAX;
        return true;
    case LEAVING:
        if (clients_are(HERE) || (clients_are(KNOCKING) && !stop)) return false;
        stop = true;
        phase = STOPPING;
        return true;
    default: return false;
    }
}

/* ---- poll(), where all of it meets -------------------------------------- */

/* Whatever has happened, the server is in order when it waits. */
static void look_around(void)
{
    int here = 0;

    for (int i = 0; i < SOCKETS; i++) here += socks[i].at == HERE;
    assert(here == nconns && nbusy <= nconns); /* none is lost */
    for (int i = 0; i < nconns; i++) {
        sock_of(conns[i]->fd);
        assert(conns[i]->own == is_helper(sock_of(conns[i]->fd)));
        assert(!conns[i]->in.failed && !conns[i]->out.failed);
    }
}

/* Nothing is ready: so each connection waits for something, and has done all
 * that it can with what it has. */
static void check_stalls(void)
{
    for (int i = 0; i < nconns; i++) {
        struct conn *c = conns[i];
        size_t in = buf_len(&c->in), out = buf_len(&c->out);
        enum conn_state state = c->state;

        assert(conn_events(c) != 0 || (target.waiting && target.waiting(c)));
        if (c->own || c->state == PROXY_HEADER) continue;
        if (out > 0) continue; /* it goes on when that has left */
        conn_advance(c);
        assert(c->state == state);
        assert(buf_len(&c->in) == in && buf_len(&c->out) == out);
    }
}

static short events_of(const struct sock *s, short wanted)
{
    short ready = 0;

    if (s->gone) return (short)(POLLERR | POLLHUP | wanted);
    if (buf_len(&s->wire) > 0 || s->done) ready |= POLLIN;
    if (s->room > 0) ready |= POLLOUT;
    ready &= wanted;
    if (s->done && (s->shut || is_helper(s))) ready |= POLLHUP;
    return ready;
}

static int mark_ready(struct pollfd *fds, nfds_t n)
{
    int ready = 0;

    for (nfds_t i = 0; i < n; i++) {
        int fd = fds[i].fd;
        fds[i].revents = 0;
        if (fd == LISTENER && (accept_error || clients_are(KNOCKING)))
            fds[i].revents = POLLIN;
        else if (fd == WAKE && stop)
            fds[i].revents = POLLIN;
        else if (fd >= FD)
            fds[i].revents = events_of(sock_of(fd), fds[i].events);
        if (fds[i].revents) ready++;
    }
    return ready;
}

/* A turn of the loop has to get somewhere, or the machine runs hot. */
static int returns(int ready)
{
    static unsigned before;
    static int idle;

    idle = moves == before ? idle + 1 : 0;
    before = moves;
    assert(idle < IDLE_POLLS);
    return ready;
}

/* Is poll() not told of all there is? Quiet connections are looked at only now
 * and then, and new ones not at once if there were too many. */
static bool not_all(const struct pollfd *fds, nfds_t n)
{
    nfds_t here = 2;

    for (int i = 0; i < SOCKETS; i++) here += socks[i].at == HERE;
    return n < here || (fds[0].fd == -1 && phase == LEAVING && !stop &&
                        clients_are(KNOCKING));
}

static int world_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    int ready;

    look_around();
    assert(timeout >= 0);
    while ((ready = mark_ready(fds, n)) == 0) {
        bool all = !not_all(fds, n);
        if (all) check_stalls();
        if (all && later == 0 && timeout > 0) {
            if (next_thing()) continue;
            later = timeout;
            assert(ending == SILENCE || ending == DEAFNESS || stop ||
                   clients_are(KNOCKING));
        }
        int64_t ms = all && later < timeout ? later : timeout;
        later = later > ms ? later - ms : 0;
        clock_ms += ms;
        assert(phase < LEAVING || clock_ms < over_ms);
        if (ms > 0) moves++;
        if (ms == timeout) break;
    }
    return returns(ready);
}

/* ---- one input ---------------------------------------------------------- */

static void pass_proxy_header(struct span *sent)
{
    char ip[PROXY_IP_SIZE];
    ssize_t used = proxy_parse(ip, *sent);

    if (used <= 0) used = (ssize_t)sent->n; /* nobody looks at the rest */
    sent->p += used;
    sent->n -= (size_t)used;
}

static void play(struct span text, bool option, int helpers, int places)
{
    static struct conn *table[SOCKETS];
    static struct pollfd fds[SOCKETS + 2];

    for (int i = 0; i < SOCKETS; i++) {
        empty(&socks[i]);
        socks[i].rest = text;
    }
    socks[0].at = KNOCKING;
    phase = STEPPING;
    taken = 0;
    later = 0;
    stop = draining = false;
    accept_error = disk_errors = 0;
    clock_ms = 1480000000000;
    now = now_ms();
    conns = table;
    pfds = fds;
    max_conns = places;
    wake_fd[0] = WAKE;
    drain_ms = faults && at_once > 1 ? 500 : 0;
    target.begin(option, helpers);
    run(LISTENER);
    assert(nconns == 0);
    for (int i = 0; i < nclients; i++) {
        struct sock *s = &socks[i];
        struct span sent = {s->rest.p - s->sent, s->sent};
        struct span got = buf_span(&s->got);
        if (proxied) pass_proxy_header(&sent);
        assert(s->at != HERE);
        target.check(sent, got, s->shut); /* which is done when all is sent */
        if (target.mask) target.mask(got);
    }
    if (target.end) target.end();
}

/* What a client gets that has the server for itself. */
static void play_alone(struct span text, bool option, int helpers)
{
    int saved = nclients;
    size_t saved_steps = nsteps;

    nclients = 1;
    nsteps = 0;
    alone = true;
    play(text, option, helpers, 1);
    alone = false;
    nclients = saved;
    nsteps = saved_steps;
}

static int lowest_free(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

const char *__asan_default_options(void);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *program_name;

/* A play is many large buffers, each for a moment. */
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    program_name = (*argv)[0];
    terminal = fopen("/dev/null", "w");
    assert(terminal);
    if (target.prepare) target.prepare();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const int clients_of[] = {1, 2, 3, 3}, places_of[] = {3, 3, 3, 2};
    struct buf text = {.max = SENT_MAX};
    int lowest = lowest_free();

    if (size < 4) return 0;
    unsigned flags = bytes[0],
             repeats = bytes[2] < 200 ? 1 : 4 * (bytes[2] - 192u);
    int helpers = bytes[1] % (HELPERS + 1);
    bool option = flags & 128;
    if (target.repeats > 0 && repeats > target.repeats)
        repeats = target.repeats;
    nsteps = bytes[1] / (HELPERS + 1);
    if (nsteps > size - 4) nsteps = size - 4;
    steps = bytes + 3;
    bytes += 3 + nsteps;
    size -= 3 + nsteps;

    struct span opening = {NULL, 0}, sends = {(const char *)bytes, size};
    if (target.opening) opening = target.opening(sends);
    buf_add(&text, opening.p, opening.n);
    for (unsigned i = 0; i < repeats && size < SENT_MAX - buf_len(&text); i++)
        buf_add(&text, bytes, size);

    proxied = is_proxied(buf_span(&text));
    faults = flags & 4;
    tracing = flags & 8;
    at_once = flags & 16 ? 2 : 1;
    nclients = clients_of[flags & 3];
    ending = faults ? flags >> 5 & 3 : EOFS;
    struct buf want = {0};
    if (!faults) {
        play_alone(buf_span(&text), option, helpers);
        want = socks[0].got;
        socks[0].got = (struct buf){0};
    }
    play(buf_span(&text), option, helpers, places_of[flags & 3]);
    for (int i = 0; i < nclients && !faults; i++) {
        struct buf *got = &socks[i].got;
        assert(buf_len(got) == buf_len(&want));
        if (buf_len(got) > 0)
            assert(!memcmp(buf_at(got), buf_at(&want), buf_len(got)));
    }
    for (int i = 0; i < SOCKETS; i++) empty(&socks[i]);
    buf_free(&want);
    buf_free(&text);
    assert(lowest_free() == lowest); /* no file is left open */
    return 0;
}
