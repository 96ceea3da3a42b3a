/* fuzz_post_form.c -- the whole of post-form: see server.h. */
#define SERVER "../../post-form/post-form.c"
#include "server.h"

#include "http_answers.h"

static void prepare(void)
{
    for (int i = 0; i < PAGES; i++) {
        pages[i].bytes.max = PAGE_MAX;
        buf_puts(&pages[i].bytes, pages[i].path);
    }
}

static void begin(bool option, int helpers)
{
    (void)option;
    (void)helpers;
}

static void mask_behind(struct span got, const char *name, size_t digits)
{
    size_t n = strlen(name);

    for (size_t i = 0; i + n + digits <= got.n; i++)
        if (memcmp(got.p + i, name, n) == 0)
            memset((char *)got.p + i + n, '0', digits);
}

/* Each user that is made has another number. */
static void mask(struct span got)
{
    mask_behind(got, "\"id\":\"", strlen("631"));
    mask_behind(got, "\"createdAt\":\"", strlen("2016-12-20T15:39:04.330Z"));
}

/* What was posted, and only that, comes back. */
static void judge(const struct exchange *x)
{
    struct span type = http_header(&x->request, "Content-Type");
    struct span posted = buf_span(&x->posted), body = buf_span(&x->body);
    struct buf want = {.max = ANSWER_MAX};

    if (!x->understood) assert(x->answer.status >= 400);
    if (!x->whole || !span_is(x->request.method, "POST")) return;
    if (x->answer.status == 201) {
        assert(json_ok(posted) && json_ok(body) && body.p[0] == '{');
    } else if (x->answer.status == 200 && http_type_is(type, as_json)) {
        buf_puts(&want, "{\"data\": ");
        buf_add(&want, posted.p, posted.n);
        buf_puts(&want, "}");
        assert(json_ok(posted));
    } else if (x->answer.status == 200) {
        buf_puts(&want, "You Posted: ");
        form_json(&want, posted);
    }
    if (x->answer.status == 200)
        assert(body.n == buf_len(&want) &&
               memcmp(body.p, buf_at(&want), body.n) == 0);
    buf_free(&want);
}

static void check(struct span sent, struct span got, bool whole)
{
    check_answers(sent, got, whole, judge);
}

static const struct target target = {
    .prepare = prepare, .begin = begin, .mask = mask, .check = check};
