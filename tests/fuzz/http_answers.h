/* http_answers.h -- what an HTTP server has sent, read as its client reads it.
 */
#ifndef HTTP_ANSWERS_H
#define HTTP_ANSWERS_H

#include "../../common/http.h"

#include <assert.h>
#include <stdbool.h>

/* A request, as far as it has come, and its answer. */
struct exchange {
    struct http_head request; /* its method alone, if it was no request */
    bool understood, whole;   /* its head; all of it */
    struct buf posted;
    struct http_head answer;
    struct buf body;
};

/* Uses the body of a message; false if its end is not here, or if it is
 * malformed. */
static bool pass_body(const struct http_head *h, struct span *in,
                      struct buf *body)
{
    struct http_body b;
    struct span data;
    ssize_t used;

    body->max = in->n;
    http_body_start(&b, h);
    while (!b.done && (used = http_body_next(&b, *in, &data)) > 0) {
        buf_add(body, data.p, data.n);
        in->p += used;
        in->n -= (size_t)used;
    }
    return b.done || (h->framing == HTTP_TO_CLOSE && in->n == 0);
}

/* Uses the next request, or what there is of it; false if there is none. */
static bool pass_request(struct exchange *x, struct span *sent)
{
    size_t empty = http_empty_lines(*sent);

    sent->p += empty;
    sent->n -= empty;
    if (sent->n == 0) return false;
    ssize_t used = http_parse_request(&x->request, *sent);
    x->understood = x->whole = used > 0;
    if (used > 0) {
        sent->p += used;
        sent->n -= (size_t)used;
        x->whole = pass_body(&x->request, sent, &x->posted);
    }
    if (!x->whole) sent->n = 0;
    return true;
}

static void pass_interim(struct span *got)
{
    struct http_head h;
    ssize_t used;

    while ((used = http_parse_response(&h, *got)) > 0 && h.status == 100) {
        got->p += used;
        got->n -= (size_t)used;
    }
}

/* Uses the next answer; false if it was cut off. */
static bool pass_answer(struct exchange *x, struct span *got)
{
    bool head_only = span_is(x->request.method, "HEAD");
    ssize_t used = http_parse_response(&x->answer, *got);

    assert(used >= 0);
    if (used == 0) return false;
    got->p += used;
    got->n -= (size_t)used;
    if (x->answer.status == 101) return true;
    assert(x->answer.status >= 200 && x->answer.minor == 1);
    assert(http_header(&x->answer, "Date").n == HTTP_DATE_SIZE - 1);
    return head_only || pass_body(&x->answer, got, &x->body);
}

/* Every request has one answer, in order, and nothing follows one that says
 * "close". WHOLE: nobody has cut them off. Each goes to JUDGE, which may be
 * NULL. Returns what follows a 101. */
static struct span check_answers(struct span sent, struct span got, bool whole,
                                 void (*judge)(const struct exchange *x))
{
    bool open = true, here = true;
    int status = 0;

    for (pass_interim(&got); got.n > 0 && status != 101; pass_interim(&got)) {
        struct exchange x = {0};
        assert(open && pass_request(&x, &sent));
        here = pass_answer(&x, &got);
        assert(here || !whole);
        open = x.answer.keep_alive && x.answer.framing != HTTP_TO_CLOSE;
        status = x.answer.status;
        if (status == 408) x.understood = x.whole = false; /* not in time */
        if (here && judge) judge(&x);
        buf_free(&x.posted);
        buf_free(&x.body);
        if (!here) return (struct span){NULL, 0};
    }
    if (status == 101) return got;
    if (whole && open) { /* what was whole has an answer */
        struct exchange x = {0};
        assert(!pass_request(&x, &sent) || !x.whole);
        buf_free(&x.posted);
    }
    return (struct span){NULL, 0};
}

#endif
