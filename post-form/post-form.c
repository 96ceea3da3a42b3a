/* post-form.c -- "Receiving POST data", "Accepting JSON".
 *
 *     make && ./post-form        then open http://localhost:8080/
 *
 * Read main() at the bottom first, then run(), then conn_turn(); the recipe
 * itself is the section called "the recipe". How a form is taken apart is in
 * form.c. */
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
#include "../common/json.h"
#include "../common/proxy.h"
#include "../common/qs.h"
#include "../common/show.h"
#include "form.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 16 * 1024,      /* one recv() per connection and turn */
    OUT_HIGH = 64 * 1024,       /* read no more while this much waits to go */
    BODY_MAX = 2 * 1024 * 1024, /* bytes of a posted body; more is 413 */
    PAGE_MAX = 64 * 1024,       /* bytes of one of our own pages */
    SHOW_MAX = 10000,           /* bytes of a body shown on the terminal */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,
    ANSWER_MAX = FORM_JSON_MAX(BODY_MAX) + 1024, /* with head and all */
    OUT_MAX = OUT_HIGH + ANSWER_MAX, /* one more answer, just below OUT_HIGH */
    FILES_EACH = 1, /* descriptors that a connection may need */
    OWN_CONNS = 0,  /* places for connections to our own helpers */
    SHOWS_IP = 0,   /* who a client is shows only in the trace */
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
static int idle_ms = 75000;   /* for the next request, or more of a body */
static int head_ms = 10000;   /* for one whole head, however it trickles */
static int max_conns = 10000; /* more wait until one has closed */
static int max_held = 512;    /* MiB of bodies and answers, of all together */
static int drain_ms = 0;      /* after SIGTERM: go on, but say "close" */
static int grace_ms = 5000;   /* and then, to finish what has begun */
static bool proxied;          /* PROXY=1: a proxy says who the client is */
static bool tracing;          /* TRACE=1: show the conversation on stderr */

/* ---- one connection ----------------------------------------------------- */

enum conn_state {
    PROXY_HEADER, /* PROXY=1: it has still to come */
    IDLE,         /* between requests: not a byte of the next one is here */
    READ_HEAD,    /* part of a request head is in c->in */
    READ_BODY,    /* of a POST; the answer waits for the whole of it */
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
    struct buf posted;                 /* so much of the body has come */
    void (*on_posted)(struct conn *c); /* called when it is whole */
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

static const char as_text[] = "text/plain; charset=utf-8";
static const char as_html[] = "text/html; charset=utf-8";
static const char as_json[] = "application/json";

/* What is in public/, read once, at the start. The path of any other GET is
 * ignored, as in the book: it gets the first of these. */
static struct page {
    const char *path, *file, *type;
    struct buf bytes;
} pages[] = {
    {.path = "/", .file = "public/form.html", .type = as_html},
    {.path = "/json", .file = "public/json.html", .type = as_html},
    {.path = "/json.js",
     .file = "public/json.js",
     .type = "text/javascript; charset=utf-8"},
    {.path = "/style.css",
     .file = "public/style.css",
     .type = "text/css; charset=utf-8"},
};

enum { PAGES = sizeof pages / sizeof *pages };

static bool read_page(struct page *page)
{
    FILE *file = fopen(page->file, "r");
    size_t n = 1;

    if (!file) return false;
    page->bytes.max = PAGE_MAX;
    while (n > 0 && !page->bytes.failed) {
        char part[4096];
        n = fread(part, 1, sizeof part, file);
        buf_add(&page->bytes, part, n);
    }
    int why = ferror(file) ? errno : page->bytes.failed ? EFBIG : 0;
    fclose(file);
    errno = why;
    return why == 0;
}

static void read_pages(void)
{
    for (int i = 0; i < PAGES; i++) {
        if (read_page(&pages[i])) continue;
        perror(pages[i].file);
        exit(1);
    }
}

/* For the Date header. Written once a second, since it costs more than the
 * rest of an answer. */
static const char *date(void)
{
    static char written[HTTP_DATE_SIZE];
    static time_t at;
    time_t t = time(NULL);

    if (t != at) http_date(written, t);
    at = t;
    return written;
}

/* FIELDS: the header lines that only some answers have. */
static void reply_head(struct conn *c, int status, const char *type,
                       const char *fields)
{
    buf_addf(&c->out,
             "HTTP/1.1 %d %s\r\n"
             "%s"
             "Content-Type: %s\r\n"
             "%s"
             "Date: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "Connection: %s\r\n"
             "\r\n",
             status, http_reason(status),
             status == 405 ? "Allow: GET, HEAD, POST\r\n" : "", type, fields,
             date(), c->keep_alive ? "keep-alive" : "close");
}

static void reply(struct conn *c, int status, const char *type,
                  struct span body)
{
    char length[48];

    snprintf(length, sizeof length, "Content-Length: %zu\r\n", body.n);
    reply_head(c, status, type, length);
    if (!c->head_only) buf_add(&c->out, body.p, body.n);
}

static void reply_error(struct conn *c, int status)
{
    reply(c, status, as_text,
          span_of(status == 413 ? "Too Large" : http_reason(status)));
}

/* Our pages, and nobody else's, may be styled by our style sheet, run our
 * script, and post to us: a browser holds them to it (CSP Level 3). */
static void get_page(struct conn *c, const struct page *page)
{
    char fields[320];

    snprintf(fields, sizeof fields,
             "Content-Length: %zu\r\n"
             "Content-Security-Policy: default-src 'none'; script-src 'self'; "
             "style-src 'self'; connect-src 'self'; img-src data:; "
             "form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n",
             buf_len(&page->bytes));
    reply_head(c, 200, page->type, fields);
    if (!c->head_only)
        buf_add(&c->out, buf_at(&page->bytes), buf_len(&page->bytes));
}

/* Whatever was posted goes to the terminal as text: no byte of it can clear
 * the screen, or look like a line of ours. */
static void print_posted(struct span what)
{
    struct buf line = {.max = 8 * SHOW_MAX};
    size_t n = what.n < SHOW_MAX ? what.n : SHOW_MAX;

    while (n < what.n && n > 0 && (what.p[n] & 0xC0) == 0x80)
        n--; /* not within a character of UTF-8 */
    buf_puts(&line, "User Posted:  ");
    show_text(&line, (struct span){what.p, n});
    if (n < what.n) buf_addf(&line, "... %zu more bytes", what.n - n);
    buf_puts(&line, "\n");
    if (!line.failed) fwrite(buf_at(&line), 1, buf_len(&line), stdout);
    fflush(stdout);
    buf_free(&line);
}

static void post_form(struct conn *c)
{
    static const char you[] = "You Posted: ";
    struct buf body = {.max = ANSWER_MAX};

    buf_puts(&body, you);
    if (form_json(&body, buf_span(&c->posted))) {
        print_posted((struct span){buf_at(&body) + strlen(you),
                                   buf_len(&body) - strlen(you)});
        reply(c, 200, as_text, buf_span(&body));
    } else {
        reply_error(c, 503); /* out of memory */
    }
    buf_free(&body);
}

static void post_json(struct conn *c)
{
    struct span posted = buf_span(&c->posted);
    struct buf body = {.max = ANSWER_MAX};

    if (!json_ok(posted)) {
        reply_error(c, 400);
        return;
    }
    print_posted(posted);
    buf_puts(&body, "{\"data\": ");
    buf_add(&body, posted.p, posted.n);
    buf_puts(&body, "}");
    if (body.failed)
        reply_error(c, 503);
    else
        reply(c, 200, as_json, buf_span(&body));
    buf_free(&body);
}

/* ---- the next recipe's counterpart --------------------------------------
 * "Making an HTTP POST request" talks to two services of its time. They have
 * closed or changed, and these stand in for them. */

/* Adds a JSON text without the blanks between its values. */
static void add_compact(struct buf *out, struct span value)
{
    bool quoted = false;

    for (size_t i = 0; i < value.n; i++) {
        const char *at = value.p + i;
        if (!quoted && strchr(" \t\r\n", *at)) continue;
        if (*at == '"') quoted = !quoted;
        size_t n = *at == '\\' ? 2 : 1; /* and what it escapes, a quote say */
        buf_add(out, at, n);
        i += n - 1;
    }
}

/* "2016-12-20T15:39:04.330Z", as JavaScript's toISOString() writes it. */
static void iso_time(char out[32])
{
    struct timespec t;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
}

static void post_user(struct conn *c)
{
    static int id = 631; /* the book's; they go round within three digits */
    struct buf body = {.max = ANSWER_MAX};
    char created[32];

    if (json_ok(buf_span(&c->posted))) add_compact(&body, buf_span(&c->posted));
    if (body.failed) {
        reply_error(c, 503);
    } else if (buf_len(&body) == 0 || *buf_at(&body) != '{') {
        reply_error(c, 400);
    } else {
        iso_time(created);
        body.end--; /* the closing brace */
        buf_addf(&body, "%s\"id\":\"%d\",\"createdAt\":\"%s\"}",
                 buf_len(&body) > 1 ? "," : "", id, created);
        id = id < 999 ? id + 1 : 100;
        reply(c, 201, as_json, buf_span(&body));
    }
    buf_free(&body);
}

/* In chunks, one for each user, so that a client can show that it reads them.
 * HTTP/1.0 has none: there the close ends the body (RFC 9112, 6.3). */
static void get_users(struct conn *c, bool chunked)
{
    static const char *const chunks[] = {
        "{\"page\":1,\"per_page\":3,\"total\":12,\"total_pages\":4,\"data\":[",
        "{\"id\":1,\"first_name\":\"george\",\"last_name\":\"bluth\","
        "\"avatar\":\"https://example.com/faces/1.jpg\"},",
        "{\"id\":2,\"first_name\":\"lucille\",\"last_name\":\"bluth\","
        "\"avatar\":\"https://example.com/faces/2.jpg\"},",
        "{\"id\":3,\"first_name\":\"tobias\",\"last_name\":\"funke\","
        "\"avatar\":\"https://example.com/faces/3.jpg\"}",
        "]}",
    };

    if (!chunked) c->keep_alive = false;
    reply_head(c, 200, as_json,
               chunked ? "Transfer-Encoding: chunked\r\n" : "");
    if (c->head_only) return;
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        if (chunked)
            buf_addf(&c->out, "%zx\r\n%s\r\n", strlen(chunks[i]), chunks[i]);
        else
            buf_puts(&c->out, chunks[i]);
    if (chunked) buf_puts(&c->out, "0\r\n\r\n");
}

static void get_guid(struct conn *c)
{
    reply(c, 200, as_json,
          span_of("{\"guid\":\"9c4e0f5d-2b1a-4c7e-8d36-5a0b7f1e6c42\","
                  "\"name\":\"some.json\"}"));
}

/* For load balancers: they stop sending requests here when it says 503. */
static void get_health(struct conn *c)
{
    if (draining)
        reply(c, 503, as_json, span_of("{\"status\":\"draining\"}"));
    else
        reply(c, 200, as_json, span_of("{\"status\":\"ok\"}"));
}

/* ---- which of all this a request asks for -------------------------------- */

static void handle_get(struct conn *c, const struct http_head *h,
                       struct span path)
{
    const struct page *page = pages;

    for (int i = 0; i < PAGES; i++)
        if (span_is(path, pages[i].path)) page = &pages[i];

    if (span_is(path, "/api/users"))
        get_users(c, h->minor > 0);
    else if (span_is(path, "/ncb3/some.json"))
        get_guid(c);
    else if (span_is(path, "/healthz"))
        get_health(c);
    else
        get_page(c, page);
}

/* The status that a POST is refused with before its body is read; 0 if it is
 * not. Then c->on_posted is who wants the body. */
static int check_post(struct conn *c, const struct http_head *h,
                      struct span path)
{
    struct span type = http_header(h, "Content-Type");
    bool users = span_is(path, "/api/users");

    if (!http_same_origin(h)) return 403;
    if (http_type_is(type, as_json))
        c->on_posted = users ? post_user : post_json;
    else if (http_type_is(type, "application/x-www-form-urlencoded") && !users)
        c->on_posted = post_form;
    else
        return 415;
    if (h->framing == HTTP_NONE) return 400;
    if (h->framing == HTTP_LENGTH && h->length > BODY_MAX) return 413;
    return 0;
}

/* The status that a request is refused with; 0 if it is not. */
static int check_request(struct conn *c, const struct http_head *h,
                         struct span path)
{
    if (span_is(h->method, "POST")) return check_post(c, h, path);
    if (c->head_only || span_is(h->method, "GET")) return 0;
    return 405;
}

/* Answers a request, or leaves that to c->on_posted. */
static void handle_request(struct conn *c, const struct http_head *h)
{
    struct span path, query;

    qs_split(h->target, &path, &query);
    c->on_posted = NULL;
    int status = check_request(c, h, path);
    if (status != 0) c->on_posted = NULL;

    /* A client that waits for "100 Continue" and gets its final answer instead
     * may then send the body or not (RFC 9110, 10.1.1), and one that does not
     * say how long its body is may send it, too. So it is the last. */
    c->keep_alive = h->keep_alive && !draining && status != 400 &&
                    (c->on_posted || !h->expect_continue);
    if (status != 0)
        reply_error(c, status);
    else if (!c->on_posted)
        handle_get(c, h, path);
}

/* ---- the connection's life: these differ from server to server ----------- */

static void conn_start(struct conn *c)
{
    c->posted.max = BODY_MAX;
    conn_enter(c, IDLE, idle_ms);
}

static void conn_stop(struct conn *c)
{
    buf_free(&c->posted);
}

static bool conn_reading(const struct conn *c)
{
    return c->state < REPLY;
}

/* The answer is in c->out. What comes next on this connection? */
static void answered(struct conn *c)
{
    buf_free(&c->posted);
    if (!c->keep_alive)
        conn_enter(c, REPLY, SEND_MS);
    else if (!c->body.done)
        conn_enter(c, SKIP_BODY, BODY_MS);
    else
        conn_enter(c, IDLE, idle_ms);
}

/* The request cannot be understood, so neither can what follows it. One
 * that is malformed only in its body has had its answer, and gets no second. */
static void refuse(struct conn *c, int status)
{
    c->keep_alive = false;
    if (c->state != SKIP_BODY) reply_error(c, status);
    answered(c);
}

static void body_is_whole(struct conn *c)
{
    if (draining) c->keep_alive = false;
    c->on_posted(c);
    answered(c);
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

    http_body_start(&c->body, &head);
    handle_request(c, &head);
    if (!c->on_posted) {
        answered(c);
    } else if (c->body.done) {
        body_is_whole(c);
    } else {
        if (head.expect_continue)
            buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        conn_enter(c, READ_BODY, idle_ms);
    }
    return used;
}

/* Bytes that all connections hold. A peer that sends and never reads holds
 * some; ten thousand of them must not hold all there are. */
static size_t bytes_held(void)
{
    size_t sum = 0;

    for (int i = 0; i < nconns; i++)
        sum += conns[i]->posted.cap + conns[i]->out.cap;
    return sum;
}

/* Keeps some more of the body; returns 0, or the status that refuses it. */
static int keep_posted(struct conn *c, struct span data)
{
    size_t have = buf_len(&c->posted);

    if (data.n > BODY_MAX - have) return 413;
    if (have > READ_SIZE && bytes_held() / (1024 * 1024) >= (size_t)max_held)
        return 503;
    buf_add(&c->posted, data.p, data.n);
    return c->posted.failed ? 503 : 0;
}

static ssize_t read_body(struct conn *c)
{
    struct span data;
    ssize_t used = http_body_next(&c->body, buf_span(&c->in), &data);

    if (used <= 0) return used == 0 && c->peer_done ? -400 : used;
    int refusal = keep_posted(c, data);
    if (refusal) {
        reply_error(c, refusal);
        answered(c);
    } else if (c->body.done) {
        body_is_whole(c);
    } else {
        conn_enter(c, READ_BODY, idle_ms);
    }
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

/* A body that ends too early is noticed when there is no more input. */
static bool has_input(const struct conn *c)
{
    return buf_len(&c->in) > 0 || (c->state == READ_BODY && c->peer_done);
}

/* Answer the requests in c->in, as long as c->out has room. */
static void conn_advance(struct conn *c)
{
    while (conn_reading(c) && has_input(c) && buf_len(&c->out) < OUT_HIGH) {
        ssize_t used = c->state == READ_BODY   ? read_body(c)
                       : c->state == SKIP_BODY ? skip_body(c)
                                               : read_head(c);
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
    if ((c->state == READ_HEAD || c->state == READ_BODY) &&
        buf_len(&c->out) == 0)
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
    "Usage: post-form\n"
    "Serves a form, and answers what is posted: a form, or JSON.\n"
    "\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "Environment, with defaults:\n"
    "  HOST=127.0.0.1 the address to listen on; :: is IPv6 and IPv4\n"
    "  PORT=8080      the port; 0 takes a free one and prints it\n"
    "  ROOT=          the folder that public/ is in; else the program's own\n"
    "  IDLE_MS=75000  close a connection that is quiet for so long\n"
    "  HEAD_MS=10000  time for one whole request head\n"
    "  MAX_CONNS=10000  connections at once; more wait\n"
    "  MAX_HELD=512   MiB of bodies and answers at once; more is 503\n"
    "  DRAIN_MS=0     after SIGTERM, go on serving for so long\n"
    "  GRACE_MS=5000  and then finish what has begun\n"
    "  PROXY=1        require the PROXY protocol: a proxy says who calls\n"
    "  TRACE=1        show the conversation on stderr\n"
    "\n"
    "Try: curl -d userinput1=hello http://localhost:8080/\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("post-form 1.0");
            exit(0);
        } else {
            fprintf(stderr, "post-form: unknown argument %s; try --help\n",
                    argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    max_held = setting("MAX_HELD", max_held, 1, 1000000);
    read_settings(8080);
    enter_folder(argv[0]);
    read_pages();
    serve("127.0.0.1");
    return 0;
}
