/* rest-server.c -- "Creating an HTTP server", "Binding to a random free port",
 * "Dynamic content".
 *
 *     make && ./rest-server        then: curl -i http://localhost:8080/users
 *
 * Read main() at the bottom first, then run(), then conn_turn(); the recipe
 * itself is the section called "the recipe". */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/http.h"
#include "../common/proxy.h"
#include "../common/qs.h"
#include "../common/show.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 16 * 1024, /* one recv() per connection and turn */
    OUT_HIGH = 64 * 1024,  /* read no more while this much waits to go out */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,
    OUT_MAX = 2 * OUT_HIGH, /* beyond OUT_HIGH, room for one more answer */
    FILES_EACH = 1,         /* descriptors that a connection may need */
    OWN_CONNS = 0,          /* places for connections to our own helpers */
    SHOWS_IP = 0,           /* who a client is shows only in the trace */
};

enum {
    BODY_MS = 10000,       /* for the next bytes of a body that is skipped */
    SEND_MS = 30000,       /* for the next bytes of an answer to get out */
    LINGER_MS = 2000,      /* for the peer to close, or send, after we have */
    LINGER_MAX_MS = 30000, /* in all, for a peer that goes on sending */
    STOP_LOOK_MS = 10,     /* between two looks round while we stop */
    ACCEPT_PAUSE_MS = 100, /* before accept() is tried again, out of files */
    BUSY_MS = 250,         /* heard from so lately, a connection is busy */
};

/* From the environment, under these names in capitals. */
static int port;              /* to listen on; 0: any free one */
static int idle_ms = 75000;   /* for the next request on a kept connection */
static int head_ms = 10000;   /* for one whole head, however it trickles */
static int max_conns = 10000; /* more wait until one has closed */
static int drain_ms = 0;      /* after SIGTERM: go on, but say "close" */
static int grace_ms = 5000;   /* and then, to finish what has begun */
static bool proxied;          /* PROXY=1: a proxy says who the client is */
static bool tracing;          /* TRACE=1: show the conversation on stderr */

static bool dynamic; /* -d: the recipe "Dynamic content" */

/* ---- one connection ----------------------------------------------------- */

enum conn_state {
    PROXY_HEADER, /* PROXY=1: it has still to come */
    IDLE,         /* between requests: not a byte of the next one is here */
    READ_HEAD,    /* part of a request head is in c->in */
    SKIP_BODY, /* answered; the request's body, which nobody wants, follows */
    REPLY,     /* the last answer is in c->out; then we close */
    LINGER,    /* all sent and shut down; waiting for the peer's close */
    CLOSED,    /* run() frees it at the end of the turn */
};

struct conn {
    int fd;
    enum conn_state state;
    int64_t entered;  /* the present state, when */
    int64_t deadline; /* when that has lasted too long */
    int64_t ready_at; /* when poll() last had news of it */
    bool peer_done;   /* the peer has sent its last byte */
    bool own;         /* to a helper of ours; no client, and not traced */
    char ip[64];      /* the client's address */
    struct buf in;    /* received, not yet understood */
    struct buf out;   /* to be sent */
    bool keep_alive;  /* another request may follow this one */
    bool head_only;   /* the method is HEAD: answer without the body */
    struct http_body body;
};

/* The busy ones stand first: conns[0 .. nbusy - 1]. See run(). */
static struct conn **conns;
static int nconns, nbusy;
static struct pollfd *pfds; /* what poll() is given, see run() */

static int64_t now;    /* milliseconds; read once a turn */
static bool draining;  /* SIGTERM has come */
static int wake_fd[2]; /* the signal handler writes, run() reads */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void conn_enter(struct conn *c, enum conn_state state, int ms)
{
    c->state = state;
    c->entered = now;
    c->deadline = now + ms;
}

/* ---- the recipe --------------------------------------------------------- */

static const struct user {
    int id;
    const char *first_name, *second_name, *type;
} users[] = {
    {1, "Bob", "Smith", "red"},
    {2, "David", "Clements", "blue"},
};

/* For the Date header. Written once a second, since it costs more than the
 * rest of an answer. */
static const char *date(void)
{
    static char text[HTTP_DATE_SIZE];
    static time_t written;
    time_t t = time(NULL);

    if (t != written) http_date(text, t);
    written = t;
    return text;
}

static void reply(struct conn *c, int status, struct span body)
{
    struct buf *out = &c->out;

    buf_addf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    if (status == 405) buf_puts(out, "Allow: GET, HEAD\r\n");
    buf_addf(out,
             "Content-Type: application/json\r\n"
             "Content-Length: %zu\r\n"
             "Date: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "Connection: %s\r\n"
             "\r\n",
             body.n, date(), c->keep_alive ? "keep-alive" : "close");
    if (!c->head_only) buf_add(out, body.p, body.n);
}

static void reply_ok(struct conn *c, const char *json)
{
    reply(c, 200, span_of(json));
}

static void reply_error(struct conn *c, int status)
{
    char json[80];
    snprintf(json, sizeof json, "{\"error\": \"%s\"}", http_reason(status));
    reply(c, status, span_of(json));
}

static void get_index(struct conn *c)
{
    reply_ok(c, "{\"name\": \"my-rest-server\", \"version\": 0}");
}

static void get_users(struct conn *c)
{
    reply_ok(c, "{\"data\": [{\"id\": 1, \"first_name\": \"Bob\", "
                "\"second_name\": \"Smith\"}]}");
}

/* Does the query ask for users of this type? Without a type it asks for all;
 * with more than one, no user has them all. */
static bool wanted(struct span query, const struct user *user)
{
    char text[HTTP_TARGET_MAX];
    struct span name, value;
    int types = 0;
    bool equal = false;

    while (qs_next(&query, &name, &value)) {
        name = (struct span){text, qs_decode(text, name)};
        if (!span_is(name, "type")) continue;
        types++;
        value = (struct span){text, qs_decode(text, value)};
        equal = value.n == 0 || span_is(value, user->type);
    }
    return types == 0 || (types == 1 && equal);
}

static void get_users_by_type(struct conn *c, struct span query)
{
    struct buf list = {.max = 1024};

    buf_puts(&list, "{\"data\": [");
    for (size_t i = 0, n = 0; i < sizeof users / sizeof *users; i++) {
        if (!wanted(query, &users[i])) continue;
        buf_addf(&list,
                 "%s{\"id\":%d,\"first_name\":\"%s\",\"second_name\":\"%s\","
                 "\"type\":\"%s\"}",
                 n++ > 0 ? "," : "", users[i].id, users[i].first_name,
                 users[i].second_name, users[i].type);
    }
    buf_puts(&list, "]}");
    if (list.failed)
        reply_error(c, 500);
    else
        reply(c, 200, buf_span(&list));
    buf_free(&list);
}

/* For load balancers: they stop sending requests here when it says 503. */
static void get_health(struct conn *c)
{
    if (draining)
        reply(c, 503, span_of("{\"status\":\"draining\"}"));
    else
        reply_ok(c, "{\"status\":\"ok\"}");
}

static void handle_request(struct conn *c, const struct http_head *h)
{
    struct span path, query;
    qs_split(h->target, &path, &query);

    if (!c->head_only && !span_is(h->method, "GET"))
        reply_error(c, 405);
    else if (span_is(h->target, "/"))
        get_index(c);
    else if (dynamic && span_is(path, "/users"))
        get_users_by_type(c, query);
    else if (span_is(h->target, "/users"))
        get_users(c);
    else if (span_is(h->target, "/healthz"))
        get_health(c);
    else
        reply_error(c, 404);
}

/* ---- the connection's life: these differ from server to server ----------- */

static void conn_start(struct conn *c)
{
    conn_enter(c, IDLE, idle_ms);
}

static void conn_stop(struct conn *c)
{
    (void)c; /* this recipe holds nothing but the two buffers */
}

static bool conn_reading(const struct conn *c)
{
    return c->state < REPLY;
}

/* The request cannot be understood, so neither can what follows it. One
 * that is malformed only in its body has had its answer, and gets no second. */
static void refuse(struct conn *c, int status)
{
    c->keep_alive = false;
    if (c->state != SKIP_BODY) reply_error(c, status);
    conn_enter(c, REPLY, SEND_MS);
}

static ssize_t read_head(struct conn *c)
{
    struct span in = buf_span(&c->in);
    struct http_head head;
    size_t empty = http_empty_lines(in);
    if (empty > 0) return (ssize_t)empty; /* no request has begun with them */

    ssize_t used = http_parse_request(&head, in);
    c->head_only = span_is(head.method, "HEAD");
    if (used == 0 && c->state == IDLE && !span_is(in, "\r"))
        conn_enter(c, READ_HEAD, head_ms);
    if (used == 0 && c->state == READ_HEAD && c->peer_done) return -400;
    if (used <= 0) return used;

    /* A client that waits for "100 Continue" gets its final answer instead, and
     * may then send the body or not: RFC 9110, 10.1.1. So it is the last. */
    c->keep_alive = head.keep_alive && !draining && !head.expect_continue;
    handle_request(c, &head);
    http_body_start(&c->body, &head);
    if (!c->keep_alive)
        conn_enter(c, REPLY, SEND_MS);
    else if (!c->body.done)
        conn_enter(c, SKIP_BODY, BODY_MS);
    else
        conn_enter(c, IDLE, idle_ms);
    return used;
}

static ssize_t skip_body(struct conn *c)
{
    struct span ignored;
    ssize_t used = http_body_next(&c->body, buf_span(&c->in), &ignored);

    if (c->body.done)
        conn_enter(c, IDLE, idle_ms);
    else if (used > 0)
        conn_enter(c, SKIP_BODY, BODY_MS);
    return used;
}

/* Answer the requests in c->in, as long as c->out has room. */
static void conn_advance(struct conn *c)
{
    while (conn_reading(c) && buf_len(&c->in) > 0 &&
           buf_len(&c->out) < OUT_HIGH) {
        ssize_t used = c->state == SKIP_BODY ? skip_body(c) : read_head(c);
        if (used == 0) return;
        if (used < 0) {
            refuse(c, (int)-used);
            return;
        }
        buf_drop(&c->in, (size_t)used);
    }
}

static void conn_expire(struct conn *c)
{
    if (c->state == READ_HEAD && buf_len(&c->out) == 0)
        refuse(c, 408);
    else
        c->state = CLOSED;
}

/* The server stops: close unless a request has begun or an answer is going
 * out. */
static void conn_end(struct conn *c)
{
    if (c->state == IDLE && buf_len(&c->out) == 0) c->state = CLOSED;
}

/* ==== the same in all five servers, from here to main() =================== */

/* A number from the environment, or VALUE if it is not there. */
static int setting(const char *name, int value, int min, int max)
{
    const char *text = getenv(name);
    char *end;

    if (!text || !*text) return value;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < min || n > max) {
        fprintf(stderr, "%s=%s: not a number from %d to %d\n", name, text, min,
                max);
        exit(2);
    }
    return (int)n;
}

/* Whoever started us may have closed 0, 1 or 2. No socket may get one of these
 * numbers: what is printed would go there. */
static void keep_standard_files(void)
{
    int fd;

    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

/* What the environment says, and a table for so many connections. */
static void read_settings(int default_port)
{
    keep_standard_files();
    port = setting("PORT", default_port, 0, 65535);
    idle_ms = setting("IDLE_MS", idle_ms, 1, INT_MAX);
    head_ms = setting("HEAD_MS", head_ms, 1, INT_MAX);
    max_conns = setting("MAX_CONNS", max_conns, 1, 1000000) + OWN_CONNS;
    drain_ms = setting("DRAIN_MS", drain_ms, 0, INT_MAX);
    grace_ms = setting("GRACE_MS", grace_ms, 0, INT_MAX);
    proxied = setting("PROXY", 0, 0, 1);
    tracing = setting("TRACE", 0, 0, 1);
    conns = calloc((size_t)max_conns, sizeof(struct conn *));
    pfds = calloc((size_t)max_conns + 2, sizeof *pfds);
    if (!conns || !pfds) {
        perror("MAX_CONNS");
        exit(1);
    }
}

/* One of IPv4 that "::" has let in is shown as such. */
static void set_ip(struct conn *c, const char *ip)
{
    bool mapped = strncmp(ip, "::ffff:", 7) == 0 && strchr(ip, '.');
    snprintf(c->ip, sizeof c->ip, "%s", mapped ? ip + 7 : ip);
}

static void find_ip(struct conn *c)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char ip[sizeof c->ip] = "unknown";

    if (getpeername(c->fd, (struct sockaddr *)&a, &len) == 0)
        getnameinfo((struct sockaddr *)&a, len, ip, sizeof ip, NULL, 0,
                    NI_NUMERICHOST);
    set_ip(c, ip);
}

static void conn_open(int fd)
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
        free(c);
        close(fd);
        return;
    }
    c->fd = fd;
    c->ready_at = now;
    c->in.max = IN_MAX;
    c->out.max = OUT_MAX;
    if (tracing || SHOWS_IP) find_ip(c);
    conn_start(c);
    if (proxied && !c->own) conn_enter(c, PROXY_HEADER, head_ms);
    conns[nconns++] = conns[nbusy];
    conns[nbusy++] = c;
}

static int traced_fd = -1; /* whose bytes the trace has shown last */

static void conn_free(struct conn *c)
{
    conn_stop(c);
    close(c->fd);
    if (tracing && !c->own) fputs("---\n", stderr); /* as in tests/sessions */
    traced_fd = -1;
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

static void trace(const struct conn *c, char who, const char *p, size_t n)
{
    struct buf lines = {.max = 16 * SHOW_WIRE_MAX};

    if (!tracing || c->own) return;
    if (c->fd != traced_fd)
        fprintf(stderr, "# connection %d from %s\n", c->fd, c->ip);
    traced_fd = c->fd;
    show_wire(&lines, who, (struct span){p, n});
    if (!lines.failed) fwrite(buf_at(&lines), 1, buf_len(&lines), stderr);
    buf_free(&lines);
}

static void conn_read(struct conn *c)
{
    char *room = buf_room(&c->in, READ_SIZE);
    ssize_t n = room ? recv(c->fd, room, READ_SIZE, 0) : -1;

    if (n > 0) {
        trace(c, 'C', room, (size_t)n);
        if (c->state != LINGER)
            c->in.end += (size_t)n;
        else if (now - c->entered < LINGER_MAX_MS)
            c->deadline = now + LINGER_MS;
    } else if (n == 0) {
        c->peer_done = true;
    } else if (!room || (errno != EAGAIN && errno != EINTR)) {
        c->state = CLOSED;
    }
}

static void conn_write(struct conn *c)
{
    ssize_t n = send(c->fd, buf_at(&c->out), buf_len(&c->out), 0);

    if (n >= 0) {
        trace(c, 'S', buf_at(&c->out), (size_t)n);
        buf_drop(&c->out, (size_t)n);
        if (buf_len(&c->out) > 0) c->deadline = now + SEND_MS;
    } else if (errno != EAGAIN && errno != EINTR) {
        c->state = CLOSED;
    }
}

/* What this connection waits for: the whole of backpressure is here. */
static short conn_events(const struct conn *c)
{
    short events = 0;

    if (buf_len(&c->out) > 0 && c->state != PROXY_HEADER) events |= POLLOUT;
    if (c->state == LINGER ||
        (conn_reading(c) && !c->peer_done && buf_len(&c->out) < OUT_HIGH))
        events |= POLLIN;
    return events;
}

/* What a proxy says of the client comes before anything else, and before we
 * say anything. Who says nothing of the kind is no proxy. */
static void read_proxy_header(struct conn *c)
{
    char ip[PROXY_IP_SIZE];
    ssize_t used = proxy_parse(ip, buf_span(&c->in));

    if (used == 0 && !c->peer_done) return;
    if (used <= 0) {
        c->state = CLOSED;
        return;
    }
    if (ip[0]) set_ip(c, ip);
    traced_fd = -1; /* it is shown anew, from there */
    buf_drop(&c->in, (size_t)used);
    conn_enter(c, IDLE, idle_ms);
}

/* One turn of the loop for one connection: read, act, write, move on. */
static void conn_turn(struct conn *c, short revents)
{
    bool full;

    if (revents & POLLIN) conn_read(c);
    if (revents & (POLLERR | POLLNVAL)) c->state = CLOSED;
    if ((revents & POLLHUP) && !(revents & POLLIN)) c->state = CLOSED;
    if (c->state == PROXY_HEADER) read_proxy_header(c);
    if (c->state == PROXY_HEADER) return;

    /* conn_advance() stops when it wants more input, or when c->out is full;
     * then it goes on as soon as some has been sent. So when all is done either
     * c->out is full, or what is left of c->in is less than it can use. */
    do {
        conn_advance(c);
        full = buf_len(&c->out) >= OUT_HIGH;
        if (c->out.failed) c->state = CLOSED;
        if (c->state != CLOSED && buf_len(&c->out) > 0) conn_write(c);
    } while (full && buf_len(&c->out) < OUT_HIGH);

    /* Between requests a connection holds no memory but its struct. */
    if (buf_len(&c->in) == 0) buf_free(&c->in);
    if (buf_len(&c->out) == 0) buf_free(&c->out);

    if (c->state == CLOSED || buf_len(&c->out) > 0) return;
    if (c->state == REPLY || (conn_reading(c) && c->peer_done)) {
        shutdown(c->fd, SHUT_WR);
        buf_free(&c->in); /* nothing that comes now is looked at */
        conn_enter(c, LINGER, LINGER_MS);
    }
    if (c->state == LINGER && c->peer_done) c->state = CLOSED;
}

static int listen_on(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char text[8];
    int fd = -1, on = 1, off = 0;

    snprintf(text, sizeof text, "%d", port);
    int rc = getaddrinfo(host, text, &hints, &list);
    if (rc != 0) {
        fprintf(stderr, "%s port %d: %s\n", host, port, gai_strerror(rc));
        exit(1);
    }
    for (struct addrinfo *a = list; a && fd == -1; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd == -1) continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (a->ai_family == AF_INET6) /* "::" takes IPv4 as well */
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
            listen(fd, SOMAXCONN) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
            break;
        int saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd == -1) {
        fprintf(stderr, "%s port %d: %s\n", host, port, strerror(errno));
        exit(1);
    }
    return fd;
}

/* A socket that listens already, given to us as descriptor 3 by systemd, say:
 * it outlives us, so that no client is refused while we are started again. See
 * sd_listen_fds(3). -1: there is none. */
static int inherited_listener(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int fd = 3, listens = 0;
    socklen_t size = sizeof listens;
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;

    if (!pid || !count || strtol(pid, NULL, 10) != getpid()) return -1;
    if (strcmp(count, "1") != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == -1 ||
        !listens || getsockname(fd, (struct sockaddr *)&a, &len) == -1 ||
        (a.sin6_family != AF_INET && a.sin6_family != AF_INET6) ||
        fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
        fprintf(stderr, "LISTEN_FDS=%s: not one TCP socket that listens\n",
                count);
        exit(1);
    }
    return fd;
}

static void print_address(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[64], service[8];

    if (getsockname(fd, (struct sockaddr *)&a, &len) == -1) {
        perror("getsockname");
        exit(1);
    }
    int rc = getnameinfo((struct sockaddr *)&a, len, host, sizeof host, service,
                         sizeof service, NI_NUMERICHOST | NI_NUMERICSERV);
    if (rc != 0) {
        fprintf(stderr, "getnameinfo: %s\n", gai_strerror(rc));
        exit(1);
    }
    printf("{\"address\":\"%s\",\"family\":\"%s\",\"port\":%s}\n", host,
           a.ss_family == AF_INET6 ? "IPv6" : "IPv4", service);
    fflush(stdout);
}

/* Take what is waiting. Returns when to look again: later if out of files. */
static int64_t accept_all(int listener)
{
    static bool reported;

    while (nconns < max_conns) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            conn_open(fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            reported = false; /* all are in: the next time is news again */
            return now;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (!reported) perror("accept");
            reported = true;
            break;
        }
    }
    return now + ACCEPT_PAUSE_MS;
}

static void swap_conns(int i, int j)
{
    struct conn *c = conns[i];
    conns[i] = conns[j];
    conns[j] = c;
}

/* Free the finished, the only place that does, and sort the busy from the
 * quiet. If poll() was given only the busy ones, only they can have changed. */
static void sweep(bool all)
{
    for (int i = 0; i < (all ? nconns : nbusy);) {
        struct conn *c = conns[i];
        bool busy = now - c->ready_at < BUSY_MS;

        if (c->state == CLOSED) {
            int hole = i;
            if (i < nbusy) conns[i] = conns[hole = --nbusy];
            conns[hole] = conns[--nconns];
            conn_free(c);
        } else if (i < nbusy && !busy) {
            swap_conns(i, --nbusy);
        } else {
            if (i >= nbusy && busy) swap_conns(i, nbusy++);
            i++;
        }
    }
}

/* False: nothing is known yet. The system may lack memory for a moment. */
static bool wait_ready(int n, int ms)
{
    const struct timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000L};

    if (poll(pfds, (nfds_t)n, ms) >= 0) return true;
    if (errno == EINTR) return false;
    bool passes = errno == ENOMEM || errno == EAGAIN;
    perror("poll");
    if (!passes) exit(1);
    nanosleep(&pause, NULL);
    return false;
}

static void run(int listener)
{
    int64_t accept_at = 0, all_at = 0, stop_at = INT64_MAX;

    while (listener >= 0 || nconns > 0) {
        /* 1. Say what we wait for: the table is built anew each turn, so that
         *    pfds[2 + i] always belongs to conns[i]. poll() looks at every
         *    descriptor it is given, so the quiet connections, which may be
         *    thousands, are given to it only now and then. */
        now = now_ms();
        bool stopping = listener < 0;
        bool accepting = now >= accept_at;
        bool all = nbusy == 0 || nbusy == nconns || stopping || now >= all_at;
        int n = all ? nconns : nbusy;
        int64_t next = stop_at;
        if (!accepting && accept_at < next) next = accept_at;
        if (!all && all_at < next) next = all_at;
        if (stopping && now + STOP_LOOK_MS < next) next = now + STOP_LOOK_MS;
        pfds[0] = (struct pollfd){accepting ? listener : -1, POLLIN, 0};
        pfds[1] = (struct pollfd){draining ? -1 : wake_fd[0], POLLIN, 0};
        for (int i = 0; i < n; i++) {
            struct conn *c = conns[i];
            if (c->out.failed) c->state = CLOSED; /* not in its own turn */
            pfds[2 + i] = (struct pollfd){c->fd, conn_events(c), 0};
            int64_t end = c->state == CLOSED ? now : c->deadline;
            if (end < next) next = end;
        }

        /* 2. Wait, until a descriptor is ready or the nearest deadline. */
        int64_t wait = next <= now ? 0 : next - now;
        if (wait > INT_MAX) wait = INT_MAX;
        if (!wait_ready(2 + n, (int)wait)) continue;

        /* 3. Serve the ready ones; tell the late ones. */
        now = now_ms();
        for (int i = 0; i < n; i++) {
            struct conn *c = conns[i];
            if (pfds[2 + i].revents) {
                c->ready_at = now;
                conn_turn(c, pfds[2 + i].revents);
            }
            if (c->state != CLOSED && now >= c->deadline) conn_expire(c);
            if (stopping && c->state == PROXY_HEADER && buf_len(&c->in) == 0)
                c->state = CLOSED; /* nothing has begun */
            if (c->state != CLOSED && stopping) conn_end(c);
        }
        if (all) all_at = now + 1 + nconns / 200;

        /* 4. New connections; and the signal to stop, which first lets the
         *    clients know (drain_ms), then ends (grace_ms). */
        if (pfds[0].revents) accept_at = accept_all(listener);
        if (pfds[1].revents) {
            draining = true;
            stop_at = now + drain_ms;
        }
        if (now >= stop_at && listener >= 0) {
            accept_all(listener); /* what has knocked already is let in */
            close(listener);
            listener = -1;
            stop_at = now + grace_ms;
        } else if (now >= stop_at) {
            for (int i = 0; i < nconns; i++) conns[i]->state = CLOSED;
            all = true;
        }

        /* 5. Forget the finished. */
        sweep(all);
    }
}

/* The second signal is final. */
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

    if (pipe(wake_fd) == -1) {
        perror("pipe");
        exit(1);
    }
    fcntl(wake_fd[1], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN); /* a lost peer is an error of send(), no more */
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
}

/* As many files as max_conns needs, if the system lets us. */
static void allow_files(void)
{
    struct rlimit files;
    rlim_t need = (rlim_t)max_conns * FILES_EACH + 16;

    if (getrlimit(RLIMIT_NOFILE, &files) == -1 || files.rlim_cur >= need)
        return;
    files.rlim_cur = need < files.rlim_max ? need : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* The program's file, as the shell found it: by its path, or in $PATH. */
static void find_program(char file[PATH_MAX], const char *name)
{
    const char *path = getenv("PATH");

    snprintf(file, PATH_MAX, "%s", name);
    if (strchr(name, '/')) return;
    while (path && *path) {
        int n = (int)strcspn(path, ":");
        snprintf(file, PATH_MAX, "%.*s/%s", n > 0 ? n : 1, n > 0 ? path : ".",
                 name);
        if (access(file, X_OK) == 0) return;
        path += n;
        if (*path == ':') path++;
    }
}

/* Go where the file is; if it is a symbolic link, where it leads. What is not
 * found there is reported when it is opened. */
static void enter_folder_of(char file[PATH_MAX])
{
    for (int links = 0; links < 8; links++) {
        char *slash = strrchr(file, '/');
        if (slash) {
            *slash = '\0';
            if (chdir(slash > file ? file : "/") == -1) return;
            memmove(file, slash + 1, strlen(slash + 1) + 1);
        }
        char target[PATH_MAX];
        ssize_t n = readlink(file, target, sizeof target - 1);
        if (n == -1) return;
        target[n] = '\0';
        memcpy(file, target, (size_t)n + 1);
    }
}

/* Work in ROOT, or else beside the program, wherever it was started from. */
static void enter_folder(const char *name)
{
    const char *root = getenv("ROOT");

    if (root && *root) {
        if (chdir(root) == 0) return;
        fprintf(stderr, "ROOT=%s: %s\n", root, strerror(errno));
        exit(1);
    }
    char file[PATH_MAX];
    find_program(file, name);
    enter_folder_of(file);
}

/* Listen, say where, and serve. What the recipe needs is ready by then. */
static void serve(const char *default_host)
{
    const char *host = getenv("HOST");
    int on = 1;

    allow_files();
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line is seen when it is printed */
    stop_on_signals();
    int listener = inherited_listener();
    if (listener == -1)
        listener = listen_on(host && *host ? host : default_host);
    /* An answer is sent as it is ready, not held back to fill a packet: a
     * connection has this from the socket that it is accepted from. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    print_address(listener);
    run(listener);
    free(conns);
    free(pfds);
}

/* ==== main ================================================================ */

static const char help[] =
    "Usage: rest-server [-d]\n"
    "Answers GET / and GET /users in JSON.\n"
    "\n"
    "  -d             dynamic content: /users?type=blue\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "Environment, with defaults:\n"
    "  HOST=0.0.0.0   the address to listen on; :: is IPv6 and IPv4\n"
    "  PORT=8080      the port; 0 takes a free one and prints it\n"
    "  IDLE_MS=75000  close a connection that is quiet for so long\n"
    "  HEAD_MS=10000  time for one whole request head\n"
    "  MAX_CONNS=10000  connections at once; more wait\n"
    "  DRAIN_MS=0     after SIGTERM, go on serving for so long\n"
    "  GRACE_MS=5000  and then finish what has begun\n"
    "  PROXY=1        require the PROXY protocol: a proxy says who calls\n"
    "  TRACE=1        show the conversation on stderr\n"
    "\n"
    "Try: curl -i http://localhost:8080/users\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-d") == 0) {
            dynamic = true;
        } else if (strcmp(argv[i], "-h") == 0 ||
                   strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("rest-server 1.0");
            exit(0);
        } else {
            fprintf(stderr, "rest-server: unknown argument %s; try --help\n",
                    argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    read_settings(8080);
    enter_folder(argv[0]);
    serve("0.0.0.0");
    return 0;
}
