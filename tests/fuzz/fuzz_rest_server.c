/* fuzz_rest_server.c -- the whole of rest-server: see server.h. */
#define SERVER "../../rest-server/rest-server.c"
#include "server.h"

#include "http_answers.h"

static void begin(bool option, int helpers)
{
    (void)helpers;
    dynamic = option;
}

/* The table of its README, read again. */
static void judge(const struct exchange *x)
{
    static const char index[] =
        "{\"name\": \"my-rest-server\", \"version\": 0}";
    const struct http_head *h = &x->request;
    bool head = span_is(h->method, "HEAD");
    int want = 404;

    if (!x->understood) {
        assert(x->answer.status >= 400);
        return;
    }
    if (!head && !span_is(h->method, "GET"))
        want = 405;
    else if (span_is(h->target, "/") || span_is(h->target, "/users"))
        want = 200;
    else if (span_is(h->target, "/healthz"))
        want = faults ? x->answer.status : 200; /* or 503 once it stops */
    else if (dynamic && h->target.n > 7 && !memcmp(h->target.p, "/users?", 7))
        want = 200;
    assert(x->answer.status == want || (dynamic && want == 404));
    if (want == 200 && span_is(h->target, "/") && !head)
        assert(span_is(buf_span(&x->body), index));
    assert(!head || buf_len(&x->body) == 0);
}

static void check(struct span sent, struct span got, bool whole)
{
    check_answers(sent, got, whole, judge);
}

static const struct target target = {.begin = begin, .check = check};
