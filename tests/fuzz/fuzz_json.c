/* fuzz_json.c -- what json_quote() writes is JSON and json_text() reads it
 * back; a JSON text stays one inside an array or a member, and comes out of the
 * member as it went in; an array, object or string that is cut is none. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/json.h"
#include "../../common/utf8.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_utf8(struct span text)
{
    struct utf8 u = {0};
    return utf8_next(&u, text) && utf8_whole(&u);
}

static bool same(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static void quoted(struct span text)
{
    struct buf quoted = {.max = 6 * text.n + 2}, back = {.max = text.n};

    json_quote(&quoted, text);
    assert(!quoted.failed && json_ok(buf_span(&quoted)));
    json_text(&back, buf_span(&quoted));
    assert(!back.failed && same(buf_span(&back), text));
    buf_free(&quoted);
    buf_free(&back);
}

static struct span trimmed(struct span text)
{
    while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1])) text.n--;
    while (text.n > 0 && strchr(" \t\r\n", *text.p)) text.p++, text.n--;
    return text;
}

static void in_member(struct span doc)
{
    struct buf object = {.max = doc.n + 100}, text = {.max = doc.n};
    struct span value;

    buf_puts(&object, "{\"\":0,\"n\\u0061me\":0, \"name\" :");
    buf_add(&object, doc.p, doc.n);
    buf_puts(&object, ",\"z\":0}");
    if (json_ok(buf_span(&object))) {
        assert(json_member(buf_span(&object), "name", &value));
        assert(same(value, trimmed(doc)));
        json_text(&text, value);
        assert(!text.failed && is_utf8(buf_span(&text)));
        assert(!json_member(buf_span(&object), "nam", &value));
    } else {
        assert(doc.n >= 1024); /* 512 deep already */
    }
    buf_free(&object);
    buf_free(&text);
}

static void cut(struct span doc)
{
    struct span whole = trimmed(doc);
    if (!strchr("[{\"tfn", *whole.p)) return;
    for (size_t n = 0; n < whole.n && n < 200; n++)
        assert(!json_ok((struct span){whole.p, n}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size}, value;

    if (is_utf8(text)) quoted(text);
    if (json_ok(text)) {
        assert(is_utf8(text));
        json_member(text, "a", &value);
        in_member(text);
        cut(text);
    }
    return 0;
}
