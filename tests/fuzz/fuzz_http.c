/* fuzz_http.c -- heads: a part of one is not whole yet or refused as the whole
 * is, and with more behind it a whole one stays as it was. Bodies: wherever
 * they are cut, the same bytes come out and the same end is found. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/http.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef ssize_t parser(struct http_head *, struct span);

/* Memory that ends with the bytes. */
static char *exact(const void *p, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);
    if (!copy) abort();
    if (n > 0) memcpy(copy, p, n);
    return copy;
}

/* No span leads out of the bytes used, and names are names. */
static void inside(const struct http_head *h, const char *p, ssize_t used)
{
    const char *end = p + used;

    assert(h->nheaders <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < h->nheaders; i++) {
        struct span name = h->headers[i].name, value = h->headers[i].value;
        assert(name.n > 0 && name.p > p && name.p + name.n < end);
        assert(value.p > p && value.p + value.n < end);
        assert(!memchr(name.p, ' ', name.n) && !memchr(value.p, 0, value.n));
    }
}

static void head(parser *parse, const uint8_t *data, size_t size, int status)
{
    struct http_head h;
    char *whole = exact(data, size);
    ssize_t known = 0, want = parse(&h, (struct span){whole, size});

    assert(want <= (ssize_t)size && want >= -599);
    assert(want >= 0 || want <= -400);
    assert(!status || want >= 0 || want == -status);
    assert(want != 0 || size < HTTP_HEAD_MAX);
    if (want > 0) {
        inside(&h, whole, want);
        assert(whole[want - 1] == '\n');
    }
    /* Every cut of a short one, some of a long one. */
    for (size_t cut = 0; cut < size; cut += 1 + size / 300) {
        char *part = exact(data, cut);
        ssize_t used = parse(&h, (struct span){part, cut});
        if (want > 0)
            assert(used == (cut < (size_t)want ? 0 : want));
        else
            assert(used == 0 || used == want);
        assert(known == 0 || used == known);
        known = used;
        free(part);
    }
    free(whole);
}

/* Feeds a body in parts of the sizes that HOW gives, at least one byte each;
 * returns the bytes used up to its end, 0 if that is not there, or the
 * refusal. */
static ssize_t body(const struct http_head *h, const uint8_t *data, size_t size,
                    const uint8_t *how, size_t parts, struct buf *out)
{
    struct http_body b;
    size_t at = 0, end = 0;

    http_body_start(&b, h);
    for (size_t i = 0; end < size && !b.done; i++) {
        end += parts > 0 ? 1 + how[i % parts] : size;
        if (end > size) end = size;
        for (;;) {
            char *copy = exact(data + at, end - at);
            struct span part;
            ssize_t used =
                http_body_next(&b, (struct span){copy, end - at}, &part);
            assert(used <= (ssize_t)(end - at));
            if (used < 0) assert((used == -400 || used == -431) && !b.done);
            if (used > 0) {
                assert(part.p >= copy && part.p + part.n <= copy + used);
                buf_add(out, part.p, part.n);
            }
            free(copy);
            if (used < 0) return used;
            if (used == 0) break;
            at += (size_t)used;
        }
    }
    return b.done ? (ssize_t)at : 0;
}

static void bodies(const uint8_t *data, size_t size)
{
    static const uint8_t bytewise[] = {0};
    const uint8_t *how = data;
    size_t parts = size < 8 ? size : 8;
    struct http_head h = {.framing = HTTP_CHUNKED};

    if (size > parts && data[parts] & 1)
        h = (struct http_head){.framing = HTTP_LENGTH, .length = data[0]};
    data += parts;
    size -= parts;
    struct buf a = {.max = size}, b = {.max = size}, c = {.max = size};
    ssize_t whole = body(&h, data, size, NULL, 0, &a);
    assert(body(&h, data, size, how, parts, &b) == whole);
    assert(body(&h, data, size, bytewise, 1, &c) == whole);
    if (whole > 0) assert(buf_len(&a) <= (size_t)whole);
    if (whole >= 0) {
        size_t n = buf_len(&a);
        assert(buf_len(&b) == n && buf_len(&c) == n);
        assert(n == 0 || memcmp(buf_at(&a), buf_at(&b), n) == 0);
        assert(n == 0 || memcmp(buf_at(&a), buf_at(&c), n) == 0);
    }
    buf_free(&a);
    buf_free(&b);
    buf_free(&c);
}

/* What only reads. */
static void lists(const uint8_t *data, size_t size)
{
    char *copy = exact(data, size);
    struct span list = {copy, size}, item;

    while (http_list_next(&list, &item)) {
        assert(item.n > 0 && !memchr(item.p, ',', item.n));
        assert(item.p >= copy && item.p + item.n <= copy + size);
    }
    assert(list.n == 0);
    http_type_is((struct span){copy, size}, "application/json");
    assert(http_empty_lines((struct span){copy, size}) <= size);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    head(http_parse_request, data, size, 0);
    head(http_parse_response, data, size, 502);
    bodies(data, size);
    lists(data, size);
    return 0;
}
