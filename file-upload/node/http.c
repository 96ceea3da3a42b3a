/* http.c -- what Node's http module does unseen: it finds requests in the bytes
 * of c->in, whatever pieces they come in, and writes answers into c->out. Read
 * http_input() first, then upwards. The same text in all four HTTP servers. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <time.h>

#include "http.h"

/* Made once a second, because it costs more than the rest of an answer. */
static const char *date(void)
{
    static char text[HTTP_DATE_SIZE];
    static time_t made;
    time_t t = time(NULL);

    if (t != made) http_date(text, t);
    made = t;
    return text;
}

/* ---- answers ------------------------------------------------------------- */

void reply_head(struct conn *c, int status, const char *fields)
{
    /* A client that waits for "100 Continue" may send its body even after an
     * answer, or not (RFC 9110, 10.1.1). So what comes next is unknown. */
    if (draining || c->expect_continue) c->keep_alive = false;
    buf_addf(&c->out,
             "HTTP/1.1 %d %s\r\n"
             "%s"
             "Date: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "Connection: %s%s\r\n"
             "\r\n",
             status, http_reason(status), fields, date(),
             status == 426 ? "Upgrade, " : "", /* RFC 9110, 7.8 */
             c->keep_alive ? "keep-alive" : "close");
}

/* The whole answer is in c->out. The state says what comes next. */
void end_reply(struct conn *c)
{
    if (!c->keep_alive)
        conn_enter(c, LAST_ANSWER, SEND_MS);
    else if (!c->body.done)
        conn_enter(c, SKIP_BODY, idle_ms);
    else
        conn_enter(c, IDLE, idle_ms);
}

void reply(struct conn *c, int status, const char *fields, struct span body)
{
    char all[1024];

    snprintf(all, sizeof all, "%sContent-Length: %zu\r\n", fields, body.n);
    reply_head(c, status, all);
    if (!c->head_only) buf_add(&c->out, body.p, body.n);
    end_reply(c);
}

/* After a request that cannot be parsed nobody knows where the next one starts:
 * answer and close. If only its body was malformed, it may have been answered
 * already; then send no second answer. */
static void refuse(struct conn *c, int status)
{
    c->keep_alive = false;
    if (c->state == SKIP_BODY)
        end_reply(c);
    else
        recipe.on_error(c, status);
}

/* A load balancer asks this now and then, and sends its clients elsewhere when
 * the answer is 503. */
static void get_health(struct conn *c)
{
    const char *json =
        draining ? "{\"status\":\"draining\"}" : "{\"status\":\"ok\"}";

    reply(c, draining ? 503 : 200, "Content-Type: application/json\r\n",
          span_of(json));
}

/* ---- requests ------------------------------------------------------------ */

void want_body(struct conn *c)
{
    if (c->expect_continue && !c->body.done)
        buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    c->expect_continue = false;
    conn_enter(c, READ_BODY, idle_ms);
    if (c->body.done) recipe.on_end(c); /* there is no body */
}

/* Like the parsers in common/, the next two return how many bytes of c->in they
 * have used, 0 if they need more, or minus the status to refuse with. */

static ssize_t read_head(struct conn *c)
{
    struct span in = buf_span(&c->in);
    struct http_head head;
    size_t empty = http_empty_lines(in);
    if (empty > 0) return (ssize_t)empty; /* still IDLE: no request yet */

    ssize_t used = http_parse_request(&head, in);
    c->head_only = span_is(head.method, "HEAD");
    c->expect_continue = false;

    /* One deadline for the whole head: it does not move with each byte, or a
     * client could hold a place for hours. A lone CR may be half of an empty
     * line, so it does not begin a request either. */
    if (used == 0 && c->state == IDLE && !span_is(in, "\r"))
        conn_enter(c, READ_HEAD, head_ms);
    if (used == 0 && c->state == READ_HEAD && c->peer_done) return -400;
    if (used <= 0) return used;

    c->keep_alive = head.keep_alive;
    c->expect_continue = head.expect_continue;
    http_body_start(&c->body, &head);
    bool get = c->head_only || span_is(head.method, "GET");
    if (get && span_is(head.target, "/healthz"))
        get_health(c);
    else
        recipe.on_request(c, &head);
    return used; /* only now is the head dropped: it points into c->in */
}

static ssize_t read_body(struct conn *c)
{
    struct span data;
    ssize_t used = http_body_next(&c->body, buf_span(&c->in), &data);

    if (used <= 0) return used;
    c->deadline = now + idle_ms; /* a large body may take long, if it moves */
    if (c->state == SKIP_BODY) {
        if (c->body.done) conn_enter(c, IDLE, idle_ms);
        return used;
    }
    if (data.n > 0) {
        size_t left = data.n - recipe.on_data(c, data);
        http_body_unread(&c->body, left);
        if (left > 0) c->again = true;
        used -= (ssize_t)left;
    }
    if (c->state == READ_BODY && c->body.done) recipe.on_end(c);
    return used;
}

/* Uses c->in until more bytes are needed, c->out is full, no request may
 * follow, or it is the others' turn. A client may send several requests without
 * waiting for answers. */
void http_input(struct conn *c)
{
    ssize_t used = 1;
    int heads = 0;

    while (used > 0 && c->state <= SKIP_BODY && buf_len(&c->in) > 0 &&
           buf_len(&c->out) < OUT_HIGH && !c->again) {
        bool head = c->state < READ_BODY;
        used = head ? read_head(c) : read_body(c);
        if (used > 0) buf_drop(&c->in, (size_t)used);
        if (head && ++heads == TURN_MAX) c->again = true;
    }
    bool wants_more = used == 0 || buf_len(&c->in) == 0;
    if (used < 0)
        refuse(c, (int)-used);
    else if (c->state == READ_BODY && c->peer_done && wants_more)
        refuse(c, 400); /* the rest of the body will never come */
}

/* ---- the other events of net.c ------------------------------------------- */

void http_open(struct conn *c)
{
    conn_enter(c, IDLE, idle_ms);
}

void http_timeout(struct conn *c)
{
    bool begun = c->state == READ_HEAD || c->state == READ_BODY;

    /* If c->out is not empty, the client does not even take its answers. */
    if (begun && buf_len(&c->out) == 0)
        refuse(c, 408);
    else
        c->state = CLOSED;
}

void http_no_room(struct conn *c)
{
    refuse(c, 503);
}

void http_stop(struct conn *c)
{
    if (c->state == IDLE && buf_len(&c->out) == 0) c->state = CLOSED;
}
