/* fuzz_http.c -- heads: a part of one is not whole yet or refused as the whole
 * is, and with more behind it a whole one stays as it was; written again, it
 * means the same. Bodies: wherever they are cut, the same bytes come out and
 * the same end is found; what is written in chunks comes back. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/http.h"

#include <assert.h>
#include <stdio.h>
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

static bool same(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* One that was taken, as we would write it. */
static void again(const uint8_t *data, size_t size)
{
    struct buf text = {.max = 2 * HTTP_HEAD_MAX + 100};
    struct http_head h, other;

    if (http_parse_request(&h, (struct span){(const char *)data, size}) <= 0)
        return;
    buf_add(&text, h.method.p, h.method.n);
    buf_puts(&text, " ");
    buf_add(&text, h.target.p, h.target.n);
    buf_addf(&text, " HTTP/1.%d\r\n", h.minor);
    for (size_t i = 0; i < h.nheaders; i++) {
        buf_add(&text, h.headers[i].name.p, h.headers[i].name.n);
        buf_puts(&text, ": ");
        buf_add(&text, h.headers[i].value.p, h.headers[i].value.n);
        buf_puts(&text, "\r\n");
    }
    buf_puts(&text, "\r\n");
    assert(!text.failed);
    ssize_t used = http_parse_request(&other, buf_span(&text));
    if (buf_len(&text) < HTTP_HEAD_MAX && h.target.p[0] != '?') {
        assert(used == (ssize_t)buf_len(&text));
        assert(same(other.method, h.method) && same(other.target, h.target));
        assert(other.keep_alive == h.keep_alive && other.minor == h.minor);
        assert(other.framing == h.framing && other.nheaders == h.nheaders);
        assert(h.framing != HTTP_LENGTH || other.length == h.length);
        assert(other.expect_continue == h.expect_continue);
    }
    buf_free(&text);
}

static void chunks(const uint8_t *data, size_t size)
{
    struct http_head h = {.framing = HTTP_CHUNKED};
    struct buf text = {.max = 20 * size + 100}, back = {.max = size};
    static const uint8_t how[] = {6};

    for (size_t at = 0; at < size;) {
        size_t n = 1 + data[at] % 40u;
        if (n > size - at) n = size - at;
        buf_addf(&text, at % 2 ? "%zx\r\n" : "0%zX;a=b\r\n", n);
        buf_add(&text, data + at, n);
        buf_puts(&text, "\r\n");
        at += n;
    }
    buf_puts(&text, size % 2 ? "0\r\nA: b\r\n\r\n" : "0\r\n\r\n");
    assert(!text.failed);
    ssize_t used =
        body(&h, (const uint8_t *)buf_at(&text), buf_len(&text), how, 1, &back);
    assert(used == (ssize_t)buf_len(&text) || size > 4000);
    if (used > 0)
        assert(same(buf_span(&back), (struct span){(const char *)data, size}));
    buf_free(&text);
    buf_free(&back);
}

/* A date, and the time that it says. */
static void dates(const uint8_t *data, size_t size)
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    char text[HTTP_DATE_SIZE], month[4], day[4];
    int d, y, hour, min, sec;
    uint64_t number = 0;

    if (size < 5) return;
    memcpy(&number, data, 5);
    time_t t = (time_t)(number % 253402300800); /* the year 10000 */
    http_date(text, t);
    assert(strlen(text) == HTTP_DATE_SIZE - 1);
    assert(sscanf(text, "%3s, %2d %3s %4d %2d:%2d:%2d GMT", day, &d, month, &y,
                  &hour, &min, &sec) == 7);
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    int m = (int)(strstr(months, month) - months) / 3;
    if (m >= 10) y--; /* a year that begins in March has its odd day last */
    int64_t n = 365 * (int64_t)y + y / 4 - y / 100 + y / 400 +
                (153 * m + 2) / 5 + d - 719469;
    assert(t == n * 86400 + hour * 3600 + min * 60 + sec);
    assert(memcmp(day, days + n % 7 * 3, 3) == 0);
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
    again(data, size);
    bodies(data, size);
    chunks(data, size);
    lists(data, size);
    dates(data, size);
    return 0;
}
