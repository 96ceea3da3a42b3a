/* net.c -- what Node's net module does unseen: all connections are served by
 * one loop around poll(). Read run() first, at the end, then conn_turn(). The
 * same text in all five servers. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "console.h"

/* The busy connections come first: conns[0 .. nbusy - 1]. */
struct conn **conns;
int nconns;
static int nhelpers; /* how many of them lead to our own helper processes */
static int nbusy;
static struct pollfd *pfds; /* [2 + i] is conns[i]; poll() skips fd -1 */
static size_t all_held;     /* bytes: the sum of c->held */

int64_t now;
bool draining;

int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool make_tables(void)
{
    size_t n = (size_t)max_conns + HELPERS_MAX + 2;

    conns = calloc(n, sizeof(struct conn *));
    pfds = calloc(n, sizeof *pfds);
    return conns && pfds;
}

/* ---- one connection ------------------------------------------------------ */

void conn_enter(struct conn *c, enum conn_state state, int ms)
{
    c->state = state;
    c->entered = now;
    c->deadline = now + ms;
}

/* Moves one of conns, so it must not be called while run() walks them. */
struct conn *conn_open(int fd, void (*helper)(struct conn *c))
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
        free(c);
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->helper = helper;
    c->heard = now;
    c->in.max = IN_MAX;
    c->out.max = OUT_MAX;
    if (helper)
        c->deadline = INT64_MAX;
    else
        recipe.on_open(c);
    nhelpers += helper != NULL;
    conns[nconns++] = conns[nbusy]; /* the first quiet one becomes the last, */
    conns[nbusy++] = c;             /* and the new one, busy, takes its place */
    return c;
}

const char *client_ip(struct conn *c)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;

    if (!c->ip[0] && (getpeername(c->fd, (struct sockaddr *)&a, &len) == -1 ||
                      getnameinfo((struct sockaddr *)&a, len, c->ip,
                                  sizeof c->ip, NULL, 0, NI_NUMERICHOST) != 0))
        snprintf(c->ip, sizeof c->ip, "unknown");
    /* An IPv4 client of a "::" listener appears as ::ffff:192.0.2.1. */
    return strncmp(c->ip, "::ffff:", 7) == 0 ? c->ip + 7 : c->ip;
}

/* Keeps all_held up to date: adds what C holds more, or less, than when it was
 * last counted. So nobody has to walk through all connections for the sum. */
static void count_bytes(struct conn *c)
{
    size_t bytes = c->in.cap + c->out.cap;

    if (recipe.bytes && !c->helper) bytes += recipe.bytes(c);
    all_held += bytes - c->held; /* unsigned: right, even if it is less */
    c->held = bytes;
}

/* Only for sweep(). C still stands in conns while on_close() runs. */
static void conn_free(struct conn *c)
{
    all_held -= c->held;
    if (recipe.on_close && !c->helper) recipe.on_close(c);
    trace_end(c);
    close(c->fd);
    nhelpers -= c->helper != NULL;
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

/* The other end is gone. A helper's place stays: a new one will take it. */
static void conn_lost(struct conn *c)
{
    c->peer_done = true;
    if (!c->helper) c->state = CLOSED;
}

/* While we LINGER, what comes is thrown away: c->in.end stays. */
static void conn_read(struct conn *c)
{
    char *room = buf_room(&c->in, READ_SIZE);
    ssize_t n = room ? recv(c->fd, room, READ_SIZE, 0) : -1;

    if (n > 0) {
        trace(c, 'C', (struct span){room, (size_t)n});
        if (c->state != LINGER)
            c->in.end += (size_t)n;
        else if (now - c->entered < LINGER_MAX_MS)
            c->deadline = now + LINGER_MS;
    } else if (n == 0) {
        c->peer_done = true;
    } else if (!room || (errno != EAGAIN && errno != EINTR)) {
        conn_lost(c);
    }
}

/* Sends what it can. Returns true if c->out was full and now has room. */
static bool conn_write(struct conn *c)
{
    bool full = buf_len(&c->out) >= OUT_HIGH;

    if (c->out.failed) c->state = CLOSED; /* part of an answer is missing */
    if (c->state == CLOSED || buf_len(&c->out) == 0) return false;
    ssize_t n = send(c->fd, buf_at(&c->out), buf_len(&c->out), 0);
    if (n == -1) {
        if (errno != EAGAIN && errno != EINTR) conn_lost(c);
        return false;
    }
    trace(c, 'S', (struct span){buf_at(&c->out), (size_t)n});
    buf_drop(&c->out, (size_t)n);
    if (buf_len(&c->out) > 0 && !c->helper) c->deadline = now + SEND_MS;
    return full && buf_len(&c->out) < OUT_HIGH;
}

/* What poll() must wait for. We do not read from a client that does not take
 * its answers: its own send() then has to wait. That is all of backpressure.
 * A helper is read from whatever waits for it: its answers free our clients. */
static short conn_events(const struct conn *c)
{
    bool room = c->helper || (buf_len(&c->out) < OUT_HIGH &&
                              buf_len(&c->in) <= IN_MAX - READ_SIZE);
    bool reading = c->state < LAST_ANSWER && !c->peer_done && room;

    return (short)((buf_len(&c->out) > 0 ? POLLOUT : 0) |
                   (reading || c->state == LINGER ? POLLIN : 0));
}

/* One turn for one connection: read, act, write, move on. */
static void conn_turn(struct conn *c, short revents)
{
    if (revents & POLLIN)
        conn_read(c);
    else if (revents & (POLLERR | POLLHUP | POLLNVAL))
        conn_lost(c);

    c->again = false;
    c->helper ? c->helper(c) : recipe.on_input(c);

    /* on_input() stops early when c->out is full. If conn_write() has made
     * room, there is more to do: bytes already in c->in do not wake poll(). */
    if (conn_write(c)) c->again = true;

    if (buf_len(&c->in) == 0) buf_free(&c->in); /* idle ones need no memory */
    if (buf_len(&c->out) == 0) buf_free(&c->out);
    if (c->helper || c->again || c->state == CLOSED || buf_len(&c->out) > 0)
        return;

    /* close() with unread bytes makes TCP send a reset, which can destroy our
     * last answer. So close only our side, and wait for the client's. */
    if (c->state == LAST_ANSWER || (c->state < LAST_ANSWER && c->peer_done)) {
        shutdown(c->fd, SHUT_WR);
        buf_free(&c->in);
        conn_enter(c, LINGER, LINGER_MS);
    }
    if (c->state == LINGER && c->peer_done) c->state = CLOSED;
}

/* ---- all connections ----------------------------------------------------- */

/* Returns when to look at the listener again: at once; or a little later if we
 * are full or out of files, or else poll() would report it without end. */
static int64_t accept_all(int listener)
{
    static bool reported;

    while (nconns - nhelpers < max_conns) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            conn_open(fd, NULL);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            reported = false;
            return now;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (!reported) console_error("accept: %s", strerror(errno));
            reported = true;
            break;
        }
    }
    return now + PAUSE_MS;
}

/* Frees the closed connections and moves the busy ones to the front. No other
 * place frees one: whoever handles an event only sets CLOSED, so pfds[2 + i]
 * and conns[i] agree all turn long, and no pointer to a connection dangles. */
static void sweep(void)
{
    for (int i = nconns; i-- > 0;) {
        if (conns[i]->state != CLOSED) continue;
        conn_free(conns[i]);
        conns[i] = conns[--nconns];
    }
    nbusy = 0;
    for (int i = 0; i < nconns; i++) {
        struct conn *c = conns[i];
        if (now - c->heard >= BUSY_MS) continue;
        conns[i] = conns[nbusy];
        conns[nbusy++] = c;
    }
}

/* Over the limit, refuses the client that holds most. To refuse the newest
 * instead would let a few that never finish lock out all others. */
static void make_room(void)
{
    while (all_held / (1024 * 1024) >= (size_t)max_held) {
        struct conn *most = NULL;
        for (int i = 0; i < nconns; i++) {
            struct conn *c = conns[i];
            if (!c->helper && c->state != CLOSED &&
                c->held > (most ? most->held : 0))
                most = c;
        }
        if (!most) return;
        size_t before = most->held;
        buf_free(&most->in);
        if (most->state != LAST_ANSWER && most->state != LINGER)
            recipe.on_no_room(most);
        count_bytes(most);
        if (most->held < before / 2) continue;
        most->state = CLOSED; /* it holds answers that it does not take */
        buf_free(&most->out);
        count_bytes(most);
    }
}

/* Fills the table for poll() with the first N connections. Returns the earliest
 * of NEXT and their deadlines. */
static int64_t watch(int n, int64_t next)
{
    for (int i = 0; i < n; i++) {
        struct conn *c = conns[i];
        if (c->out.failed) c->state = CLOSED; /* in an event, not in a turn */
        bool closed = c->state == CLOSED;
        pfds[2 + i] = (struct pollfd){closed ? -1 : c->fd, conn_events(c), 0};
        if (!closed && c->deadline < next) next = c->deadline;
        if (!closed && c->again) next = now;
    }
    return next;
}

/* Once the signal has come. First we go on for drain_ms, so that load balancers
 * notice. Then we let nobody in, and what has begun has grace_ms to end.
 * Returns when the next of these steps is due. */
static int64_t stop_step(int *listener)
{
    static int64_t at;

    if (at == 0) at = now + drain_ms;
    if (*listener >= 0 && now >= at) {
        accept_all(*listener); /* clients that have connected already */
        close(*listener);
        *listener = -1;
        at = now + grace_ms;
    }
    for (int i = 0; *listener < 0 && i < nconns; i++) {
        struct conn *c = conns[i];
        if (c->helper) continue;
        if (c->state != CLOSED) recipe.on_stop(c);
        if (now >= at) c->state = CLOSED;
    }
    return at;
}

/* Returns false if poll() says nothing: try again. The system may be short of
 * memory for a moment, which is no reason to end. */
static bool wait_until(int64_t next, int n)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    int64_t wait = next <= now ? 0 : next - now;

    if (poll(pfds, (nfds_t)n + 2, wait < INT_MAX ? (int)wait : INT_MAX) != -1)
        return true;
    if (errno == EINTR) return false;
    bool passes = errno == ENOMEM || errno == EAGAIN;
    console_error("poll: %s", strerror(errno));
    if (!passes) exit(1);
    nanosleep(&pause, NULL);
    return false;
}

void run(int listener)
{
    int64_t accept_at = 0, all_at = 0, stop_at = INT64_MAX;

    while (listener >= 0 || nconns > nhelpers) {
        /* 1. Say what we wait for. poll() looks at each descriptor it is given,
         *    and thousands may be quiet. So most turns poll only the busy ones,
         *    conns[0 .. nbusy - 1]; now and then a turn polls all of them. */
        now = now_ms();
        bool all =
            nbusy == 0 || nbusy == nconns || now >= all_at || listener < 0;
        int n = all ? nconns : nbusy;
        int64_t next = stop_at;
        if (!all && all_at < next) next = all_at;
        if (now < accept_at && accept_at < next) next = accept_at;
        next = watch(n, next);
        pfds[0] = (struct pollfd){now < accept_at ? -1 : listener, POLLIN, 0};
        pfds[1] = (struct pollfd){draining ? -1 : wake_fd[0], POLLIN, 0};

        /* 2. Wait until one is ready, or the first deadline has come. */
        if (!wait_until(next, n)) continue;

        /* 3. Serve the ready ones, and those whose deadline has passed. */
        now = now_ms();
        for (int i = 0; i < n; i++) {
            struct conn *c = conns[i];
            short revents = pfds[2 + i].revents;
            if (revents || c->again) {
                c->heard = now;
                conn_turn(c, revents);
            }
            if (c->state != CLOSED && now >= c->deadline)
                c->helper ? c->helper(c) : recipe.on_timeout(c);
            count_bytes(c);
            make_room();
        }

        /* 4. New clients, and the signal to stop. */
        if (pfds[0].revents) accept_at = accept_all(listener);
        if (pfds[1].revents) draining = true;
        if (draining) stop_at = stop_step(&listener);

        /* 5. Free the closed ones. With thousands, not every turn. */
        if (all || listener < 0) sweep();
        if (all) all_at = now + 1 + nconns / 200;
    }
    for (int i = 0; i < nconns; i++) conns[i]->state = CLOSED;
    sweep(); /* only helpers are left; they end when their socket closes */
}
