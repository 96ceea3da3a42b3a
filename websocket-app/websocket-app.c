/* websocket-app.c -- "Communicating with WebSockets".
 *
 *     make && ./websocket-app      then open http://localhost:8080/
 *
 * Read main() at the bottom first, then run(), then conn_turn(); the recipe
 * itself is the section called "the recipe". Numbers in brackets are sections
 * of RFC 6455. */
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
#include "../common/utf8.h"
#include "../common/ws.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 64 * 1024, /* one recv() per connection and turn */
    OUT_HIGH = 64 * 1024,  /* read no more while this much waits to go out */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,
    OUT_MAX = 2 * OUT_HIGH, /* and one message: see conn_start() */
    FILES_EACH = 1,         /* descriptors that a connection may need */
    OWN_CONNS = 0,          /* places for connections to our own helpers */
    SHOWS_IP = 1, /* who a client is shows elsewhere than in the trace */
    PAGE_MAX = 32 * 1024, /* bytes of a file in public/ */
    SHOW_MAX = 10000,     /* bytes of a message shown on the terminal */
};

enum {
    BODY_MS = 10000,       /* for the next bytes of a body that is skipped */
    SEND_MS = 30000,       /* for the next bytes of an answer to get out */
    CLOSE_MS = 5000,       /* for the peer's Close frame after ours */
    LINGER_MS = 2000,      /* for the peer to close, or send, after we have */
    LINGER_MAX_MS = 30000, /* in all, for a peer that goes on sending */
    STOP_LOOK_MS = 10,     /* between two looks round while we stop */
    ACCEPT_PAUSE_MS = 100, /* before accept() is tried again, out of files */
    BUSY_MS = 250,         /* heard from so lately, a connection is busy */
};

/* From the environment, under these names in capitals. */
static int port;              /* to listen on; 0: any free one */
static int idle_ms = 30000;   /* quiet so long: a ping; twice: dropped */
static int head_ms = 10000;   /* for one whole head, however it trickles */
static int max_conns = 10000; /* more wait until one has closed */
static int drain_ms = 0;      /* after SIGTERM: go on, but say "close" */
static int grace_ms = 5000;   /* and then, to finish what has begun */
static int max_message = 16 * 1024 * 1024; /* bytes; more is 1009 */
static int max_held = 512; /* MiB of messages, of all together; more: 1013 */
static bool any_origin;    /* ORIGIN=*: pages of other sites may connect */
static bool proxied;       /* PROXY=1: a proxy says who the client is */
static bool tracing;       /* TRACE=1: show the conversation on stderr */

static bool echo; /* -e: send every message back */

/* ---- one connection ----------------------------------------------------- */

enum conn_state {
    PROXY_HEADER, /* PROXY=1: it has still to come */
    IDLE,      /* HTTP, between requests: not a byte of the next one is here */
    READ_HEAD, /* part of a request head is in c->in */
    SKIP_BODY, /* answered; the request's body, which nobody wants, follows */
    OPEN,      /* the handshake is done: frames go both ways */
    CLOSING,   /* our Close frame has gone first; waiting for the peer's */
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

    /* HTTP, before the handshake */
    bool keep_alive; /* another request may follow this one */
    bool head_only;  /* the method is HEAD: answer without the body */
    struct http_body body;

    /* WebSocket, after it */
    bool pinged;          /* nothing has come since our ping */
    struct ws_head frame; /* the data frame that is arriving */
    uint64_t left;        /* bytes of its payload still to come */
    unsigned char type;   /* of the message: WS_TEXT, WS_BINARY; 0: none */
    struct buf message;   /* its bytes so far, unmasked */
    struct utf8 utf8;     /* if it is text: where its check stands */
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

/* One frame, which is the whole of its message, unmasked (5.1). */
static void send_frame(struct conn *c, unsigned char opcode,
                       struct span payload)
{
    struct ws_head h = {.fin = true, .opcode = opcode, .length = payload.n};
    unsigned char head[14];

    buf_add(&c->out, head, ws_write_head(head, &h));
    buf_add(&c->out, payload.p, payload.n);
}

/* Only so much of it: printing holds up everybody else. It is UTF-8, and not
 * cut within a character. */
static void add_text(struct buf *lines, struct span text)
{
    size_t n = text.n < SHOW_MAX ? text.n : SHOW_MAX;

    while (n < text.n && (text.p[n] & 0xC0) == 0x80) n--;
    show_text(lines, (struct span){text.p, n});
    if (n < text.n) buf_addf(lines, "... %zu more bytes", text.n - n);
}

/* The book's socket.on('message', ...): a whole message has come. */
static void on_message(struct conn *c, unsigned char type, struct span message)
{
    struct buf lines = {.max = 5 * SHOW_MAX}; /* \xHH is the longest */

    if (echo) {
        send_frame(c, type, message);
        return;
    }
    buf_puts(&lines, "Received: ");
    if (type == WS_TEXT)
        add_text(&lines, message);
    else
        buf_addf(&lines, "(binary, %zu bytes)", message.n);
    buf_addf(&lines, "\nFrom IP: %s\n", c->ip);
    if (!lines.failed) fwrite(buf_at(&lines), 1, buf_len(&lines), stdout);
    buf_free(&lines);
    if (type == WS_TEXT && span_is(message, "Hello"))
        send_frame(c, WS_TEXT, span_of("Websockets!"));
}

/* ---- the recipe: frames make messages ------------------------------------
 * Each of these uses bytes of c->in, and answers as the parsers do: bytes used,
 * 0 for "not whole yet", or minus the code of the Close frame that says what
 * was wrong. */

/* CODE 0: a Close frame without a code. */
static void send_close(struct conn *c, int code)
{
    char payload[] = {(char)(code >> 8), (char)code};
    send_frame(c, WS_CLOSE, (struct span){payload, code ? 2 : 0});
}

/* The peer broke the rules, so nothing it sends from now on has a meaning: it
 * is told why, and that is the last frame it gets (7.1.7). */
static void fail(struct conn *c, int code)
{
    if (c->state == OPEN) send_close(c, code);
    buf_free(&c->message);
    conn_enter(c, REPLY, SEND_MS);
}

/* The code in a Close frame: 0 if there is none, minus the code to answer with
 * if the frame is not in order (5.5.1, 7.4, 8.1). */
static int close_code(struct span payload)
{
    const unsigned char *p = (const unsigned char *)payload.p;
    struct utf8 check = {0};

    if (payload.n == 0) return 0;
    if (payload.n == 1 || !ws_close_ok(p[0] << 8 | p[1])) return -1002;
    struct span reason = {payload.p + 2, payload.n - 2};
    if (!utf8_next(&check, reason) || !utf8_whole(&check)) return -1007;
    return p[0] << 8 | p[1];
}

/* The peer says goodbye: it hears the same, and then we close (5.5.1, 7.1.1).
 */
static int on_close(struct conn *c, struct span payload)
{
    int code = close_code(payload);

    if (code < 0) return code;
    if (c->state == OPEN) send_close(c, code);
    conn_enter(c, REPLY, SEND_MS);
    return 0;
}

/* A control frame, which may stand between the frames of a message (5.5). At
 * most 125 bytes: it is taken when it is whole. */
static ssize_t read_control(struct conn *c, const struct ws_head *h,
                            size_t head)
{
    struct span payload = {buf_at(&c->in) + head, (size_t)h->length};
    int error = 0;

    if (buf_len(&c->in) < head + payload.n) return 0;
    ws_mask(buf_at(&c->in) + head, payload.n, h->mask, 0);
    if (h->opcode == WS_PING)
        send_frame(c, WS_PONG, payload);
    else if (h->opcode == WS_CLOSE)
        error = on_close(c, payload);
    return error < 0 ? error : (ssize_t)(head + payload.n);
}

/* After the last byte of a data frame: perhaps its message is whole. */
static bool end_frame(struct conn *c)
{
    if (!c->frame.fin) return true;
    if (c->type == WS_TEXT && !utf8_whole(&c->utf8)) return false;
    if (c->state == OPEN) on_message(c, c->type, buf_span(&c->message));
    buf_free(&c->message);
    c->type = 0;
    return true;
}

static ssize_t read_frame(struct conn *c)
{
    struct ws_head h;
    ssize_t used = ws_parse_head(&h, buf_span(&c->in));

    if (used <= 0) return used;
    if (!h.masked) return -1002; /* 5.1 */
    if (h.opcode >= WS_CLOSE) return read_control(c, &h, (size_t)used);

    /* A message begins with its type and goes on without (5.4). */
    if ((h.opcode == WS_CONTINUATION) != (c->type != 0)) return -1002;
    if (h.length > (size_t)max_message - buf_len(&c->message)) return -1009;
    if (c->type == 0) {
        c->type = h.opcode;
        c->utf8 = (struct utf8){0};
    }
    c->frame = h;
    c->left = h.length;
    return c->left > 0 || end_frame(c) ? used : -1007;
}

/* Bytes that all connections hold. One may hold MAX_MESSAGE; ten thousand must
 * not hold all there are. */
static size_t bytes_held(void)
{
    size_t sum = 0;

    for (int i = 0; i < nconns; i++)
        sum += conns[i]->message.cap + conns[i]->out.cap;
    return sum;
}

/* Keeps some more of the message. Returns 0, or the code that refuses it. */
static int keep_message(struct conn *c, struct span data)
{
    if (buf_len(&c->message) > READ_SIZE &&
        bytes_held() / (1024 * 1024) >= (size_t)max_held)
        return 1013; /* "Try Again Later" */
    buf_add(&c->message, data.p, data.n);
    return c->message.failed ? 1011 : 0; /* no memory */
}

/* What has come of a payload is unmasked and checked at once: text that is not
 * UTF-8 is refused at its first bad byte (8.1). */
static ssize_t read_payload(struct conn *c)
{
    char *p = buf_at(&c->in);
    size_t n = buf_len(&c->in);

    if (n > c->left) n = (size_t)c->left;
    ws_mask(p, n, c->frame.mask, (size_t)(c->frame.length - c->left));
    if (c->type == WS_TEXT && !utf8_next(&c->utf8, (struct span){p, n}))
        return -1007;
    int error = c->state == OPEN ? keep_message(c, (struct span){p, n}) : 0;
    if (error) return -error;
    c->left -= n;
    return c->left > 0 || end_frame(c) ? (ssize_t)n : -1007;
}

/* Whatever comes shows that the peer is still there. */
static ssize_t read_frames(struct conn *c)
{
    ssize_t used = c->left > 0 ? read_payload(c) : read_frame(c);

    if (used > 0 && c->state == OPEN) {
        conn_enter(c, OPEN, idle_ms);
        c->pinged = false;
    }
    return used;
}

/* ---- the recipe: HTTP, the page and the handshake ------------------------ */

static struct page {
    const char *path, *file, *type;
    struct buf text;
} pages[] = {
    {"/", "public/index.html", "text/html; charset=utf-8", {.max = PAGE_MAX}},
    {"/app.js",
     "public/app.js",
     "text/javascript; charset=utf-8",
     {.max = PAGE_MAX}},
    {"/style.css",
     "public/style.css",
     "text/css; charset=utf-8",
     {.max = PAGE_MAX}},
};

enum { PAGES = sizeof pages / sizeof *pages };

static void read_page(struct page *page)
{
    FILE *file = fopen(page->file, "r");
    char text[1024];
    size_t n;

    while (file && (n = fread(text, 1, sizeof text, file)) > 0)
        buf_add(&page->text, text, n);
    if (!file || ferror(file) || page->text.failed) {
        fprintf(stderr, "%s: %s\n", page->file,
                page->text.failed ? "too long" : strerror(errno));
        exit(1);
    }
    fclose(file);
}

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

static void reply(struct conn *c, int status, const char *type,
                  struct span body)
{
    struct buf *out = &c->out;

    buf_addf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    if (status == 405) buf_puts(out, "Allow: GET, HEAD\r\n");
    if (status == 426) /* 4.4, and RFC 9110, 15.5.22 */
        buf_puts(out, "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n");
    buf_addf(out,
             "Content-Type: %s\r\n"
             "Content-Length: %zu\r\n"
             "Date: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "Content-Security-Policy: default-src 'none'; script-src 'self'; "
             "style-src 'self'; connect-src 'self'; img-src data:; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
             "Connection: %s%s\r\n"
             "\r\n",
             type, body.n, date(), status == 426 ? "Upgrade, " : "",
             c->keep_alive ? "keep-alive" : "close");
    if (!c->head_only) buf_add(out, body.p, body.n);
}

static void reply_error(struct conn *c, int status)
{
    char text[80];
    snprintf(text, sizeof text, "%s\n", http_reason(status));
    reply(c, status, "text/plain; charset=utf-8", span_of(text));
}

/* As in the book, any path but those below is the page. */
static void get_page(struct conn *c, struct span path)
{
    const struct page *page = &pages[0];

    for (int i = 1; i < PAGES; i++)
        if (span_is(path, pages[i].path)) page = &pages[i];
    reply(c, 200, page->type, buf_span(&page->text));
}

/* For load balancers: they stop sending requests here when it says 503. */
static void get_health(struct conn *c)
{
    if (draining)
        reply(c, 503, "application/json", span_of("{\"status\":\"draining\"}"));
    else
        reply(c, 200, "application/json", span_of("{\"status\":\"ok\"}"));
}

static void handle_request(struct conn *c, const struct http_head *h)
{
    struct span path, query;
    qs_split(h->target, &path, &query);

    if (!c->head_only && !span_is(h->method, "GET"))
        reply_error(c, 405);
    else if (span_is(h->target, "/healthz"))
        get_health(c);
    else
        get_page(c, path);
}

/* A header that may stand in a request only once (11.3); otherwise it counts
 * as absent. */
static struct span only_header(const struct http_head *h, const char *name)
{
    int n = 0;

    for (size_t i = 0; i < h->nheaders; i++)
        if (span_is_nocase(h->headers[i].name, name)) n++;
    return n == 1 ? http_header(h, name) : (struct span){NULL, 0};
}

/* Also if some of it was lost on the way: a proxy that does not know about
 * WebSocket drops Upgrade and Connection. */
static bool wants_websocket(const struct http_head *h)
{
    return http_has_token(h, "Upgrade", "websocket") ||
           http_header(h, "Sec-WebSocket-Key").p ||
           http_header(h, "Sec-WebSocket-Version").p;
}

/* What 4.2.1 asks of a client's handshake; 0 if all is well, else the status to
 * answer with. */
static int handshake_error(const struct conn *c, const struct http_head *h)
{
    if (!c->head_only && !span_is(h->method, "GET")) return 405;
    if (c->head_only || h->minor == 0 || h->host.n == 0) return 400;
    if (!http_has_token(h, "Upgrade", "websocket")) return 400;
    if (!http_has_token(h, "Connection", "Upgrade")) return 400;
    if (!c->body.done) return 400; /* where would the frames begin? */
    if (!span_is(only_header(h, "Sec-WebSocket-Version"), "13")) return 426;
    if (!ws_key_ok(only_header(h, "Sec-WebSocket-Key"))) return 400;

    /* Browsers let any page connect anywhere, with the user's cookies; only
     * Origin tells whose page it is (10.2). */
    if (!any_origin && !http_same_origin(h)) return 403;
    return 0;
}

/* Subprotocols are not selected and extensions declined, by not naming them in
 * the answer (4.2.2). */
static void open_websocket(struct conn *c, const struct http_head *h)
{
    int error = handshake_error(c, h);
    char accept_key[29];

    if (error) {
        c->keep_alive = false; /* frames may follow: do not read them as HTTP */
        reply_error(c, error);
        return;
    }
    ws_accept_key(accept_key, http_header(h, "Sec-WebSocket-Key"));
    buf_addf(&c->out,
             "HTTP/1.1 101 Switching Protocols\r\n"
             "Upgrade: websocket\r\n"
             "Connection: Upgrade\r\n"
             "Sec-WebSocket-Accept: %s\r\n"
             "\r\n",
             accept_key);
    conn_enter(c, OPEN, idle_ms);
}

/* ---- the connection's life: these differ from server to server ----------- */

static void conn_start(struct conn *c)
{
    c->message.max = (size_t)max_message;
    c->out.max += (size_t)max_message; /* room for its echo */
    conn_enter(c, IDLE, idle_ms);
}

static void conn_stop(struct conn *c)
{
    buf_free(&c->message);
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
    http_body_start(&c->body, &head);
    if (wants_websocket(&head))
        open_websocket(c, &head);
    else
        handle_request(c, &head);

    if (c->state == OPEN) return used;
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

/* Take the requests, and then the frames, in c->in, as long as c->out has
 * room. */
static void conn_advance(struct conn *c)
{
    while (c->state < REPLY && buf_len(&c->in) > 0 &&
           buf_len(&c->out) < OUT_HIGH) {
        ssize_t used = c->state >= OPEN        ? read_frames(c)
                       : c->state == SKIP_BODY ? skip_body(c)
                                               : read_head(c);
        if (used == 0) return;
        if (used > 0)
            buf_drop(&c->in, (size_t)used);
        else if (c->state >= OPEN)
            fail(c, (int)-used);
        else
            refuse(c, (int)-used);
    }
}

/* A peer that does not take its answer has SEND_MS, however short idle_ms is,
 * and is then dropped. One that is silent may have vanished: the pong to our
 * ping, or anything else, shows that it has not. */
static void conn_expire(struct conn *c)
{
    if (buf_len(&c->out) > 0) {
        c->deadline = c->entered + SEND_MS;
        if (now >= c->deadline) c->state = CLOSED;
    } else if (c->state == READ_HEAD) {
        refuse(c, 408);
    } else if (c->state == OPEN && !c->pinged) {
        send_frame(c, WS_PING, span_of(""));
        conn_enter(c, OPEN, idle_ms);
        c->pinged = true;
    } else {
        c->state = CLOSED;
    }
}

/* The server stops, and says so (7.4.1). HTTP connections close unless a
 * request has begun or an answer is going out. */
static void conn_end(struct conn *c)
{
    if (c->state == OPEN) {
        send_close(c, 1001);
        conn_enter(c, CLOSING, CLOSE_MS);
    } else if (c->state == IDLE && buf_len(&c->out) == 0) {
        c->state = CLOSED;
    }
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
    "Usage: websocket-app [-e]\n"
    "Serves a page that talks to it over a WebSocket, and prints each "
    "message.\n"
    "\n"
    "  -e             echo: send every message back instead\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "Environment, with defaults:\n"
    "  HOST=127.0.0.1 the address to listen on; :: is IPv6 and IPv4\n"
    "  PORT=8080      the port; 0 takes a free one and prints it\n"
    "  ROOT=          the folder that holds public/; else the program's own\n"
    "  ORIGIN=        * lets pages of other sites connect\n"
    "  MAX_MESSAGE=16777216  bytes of one message\n"
    "  MAX_HELD=512   MiB of messages at once; more is Close 1013\n"
    "  IDLE_MS=30000  ping a peer that is silent so long; drop it after twice\n"
    "  HEAD_MS=10000  time for one whole request head\n"
    "  MAX_CONNS=10000  connections at once; more wait\n"
    "  DRAIN_MS=0     after SIGTERM, go on serving for so long\n"
    "  GRACE_MS=5000  and then wait for the peers to say goodbye\n"
    "  PROXY=1        require the PROXY protocol: a proxy says who calls\n"
    "  TRACE=1        show the conversation on stderr\n"
    "\n"
    "Try: open http://localhost:8080/ in a browser and send Hello\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-e") == 0) {
            echo = true;
        } else if (strcmp(argv[i], "-h") == 0 ||
                   strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("websocket-app 1.0");
            exit(0);
        } else {
            fprintf(stderr, "websocket-app: unknown argument %s; try --help\n",
                    argv[i]);
            exit(2);
        }
    }
}

static void read_own_settings(void)
{
    const char *origin = getenv("ORIGIN");

    max_message = setting("MAX_MESSAGE", max_message, 1, 1 << 30);
    max_held = setting("MAX_HELD", max_held, 1, 1000000);
    any_origin = origin && strcmp(origin, "*") == 0;
    if (origin && *origin && !any_origin) {
        fprintf(stderr, "ORIGIN=%s: not *\n", origin);
        exit(2);
    }
}

static void read_pages(void)
{
    for (int i = 0; i < PAGES; i++) read_page(&pages[i]);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    read_own_settings();
    read_settings(8080);
    enter_folder(argv[0]);
    read_pages();
    serve("127.0.0.1");
    return 0;
}
