/* fuzz_json.c -- what json_quote() writes is JSON and json_text() reads it
 * back; a JSON text stays one inside an array or a member, and comes out of the
 * member as it went in; an array, object or string that is cut is none. A
 * second check, written another way, is of the same opinion about all. */
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

/* ---- the second check: a machine that looks at one character after another,
 * as the diagrams of json.org do, where the other calls for what it expects. */

enum {
    VALUE,        /* one must begin */
    VALUE_OR_END, /* or the array is empty */
    NAME_OR_END,  /* of the first member, or the object is empty */
    NAME,
    COLON,
    AFTER,    /* a value: a comma, or the end of what it is in */
    STRING,   /* in one that is a value */
    IN_NAME,  /* in one that is a name */
    ESCAPE,   /* behind a backslash */
    HEX,      /* digits of \uXXXX */
    WORD,     /* in true, false or null */
    MINUS,    /* of a number: behind its sign */
    ZERO,     /* behind a 0 that begins it */
    DIGITS,   /* in its whole part */
    POINT,    /* behind the point */
    FRACTION, /* in the digits behind that */
    E,        /* behind the e */
    SIGN,     /* behind the exponent's sign */
    EXPONENT, /* in its digits */
    BAD
};

struct machine {
    int state, text; /* TEXT: STRING or IN_NAME, to come back to */
    int hex;         /* digits to come */
    const char *word;
    char open[1024]; /* the arrays and objects we are in */
    size_t depth;
};

static bool number_may_end(int state)
{
    return state == ZERO || state == DIGITS || state == FRACTION ||
           state == EXPONENT;
}

static int in_number(int state, char c)
{
    bool digit = c >= '0' && c <= '9', e = c == 'e' || c == 'E';

    switch (state) {
    case MINUS: return c == '0' ? ZERO : digit ? DIGITS : BAD;
    case ZERO: return c == '.' ? POINT : e ? E : AFTER;
    case DIGITS: return digit ? DIGITS : c == '.' ? POINT : e ? E : AFTER;
    case POINT: return digit ? FRACTION : BAD;
    case FRACTION: return digit ? FRACTION : e ? E : AFTER;
    case E: return digit ? EXPONENT : c == '+' || c == '-' ? SIGN : BAD;
    case SIGN: return digit ? EXPONENT : BAD;
    default: return digit ? EXPONENT : AFTER;
    }
}

static int in_string(struct machine *m, unsigned char c)
{
    switch (m->state) {
    case ESCAPE:
        m->hex = 4;
        if (c == 'u') return HEX;
        return c && strchr("\"\\/bfnrt", c) ? m->text : BAD;
    case HEX:
        if (!c || !strchr("0123456789abcdefABCDEF", c)) return BAD;
        return --m->hex > 0 ? HEX : m->text;
    default:
        m->text = m->state;
        if (c == '\\') return ESCAPE;
        if (c == '"') return m->text == IN_NAME ? COLON : AFTER;
        return c < 0x20 ? BAD : m->text;
    }
}

static int open_one(struct machine *m, char c)
{
    if (m->depth == 512) return BAD;
    m->open[m->depth++] = c;
    return c == '[' ? VALUE_OR_END : NAME_OR_END;
}

static int close_one(struct machine *m, char c)
{
    if (m->depth == 0 || m->open[m->depth - 1] != c) return BAD;
    m->depth--;
    return AFTER;
}

static int begin_value(struct machine *m, char c)
{
    static const char *const words[] = {"true", "false", "null"};

    if (c == '[' || c == '{') return open_one(m, c);
    if (c == '"') return STRING;
    if (c == '-') return MINUS;
    if (c == '0') return ZERO;
    if (c >= '1' && c <= '9') return DIGITS;
    for (int i = 0; i < 3; i++) {
        if (c != *words[i]) continue;
        m->word = words[i] + 1;
        return WORD;
    }
    return BAD;
}

static int between(struct machine *m, char c)
{
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') return m->state;
    switch (m->state) {
    case VALUE_OR_END:
        if (c == ']') return close_one(m, '[');
        return begin_value(m, c);
    case NAME_OR_END:
        if (c == '}') return close_one(m, '{');
        return c == '"' ? IN_NAME : BAD;
    case NAME: return c == '"' ? IN_NAME : BAD;
    case COLON: return c == ':' ? VALUE : BAD;
    case AFTER:
        if (c == ']') return close_one(m, '[');
        if (c == '}') return close_one(m, '{');
        if (c != ',' || m->depth == 0) return BAD;
        return m->open[m->depth - 1] == '[' ? VALUE : NAME;
    default: return begin_value(m, c);
    }
}

static bool second_check(struct span text)
{
    struct machine m = {.state = VALUE};

    for (size_t i = 0; i < text.n && m.state != BAD; i++) {
        char c = text.p[i];
        if (m.state >= MINUS) {
            m.state = in_number(m.state, c);
            if (m.state != AFTER) continue;
        }
        if (m.state == WORD)
            m.state = c != *m.word++ ? BAD : *m.word ? WORD : AFTER;
        else if (m.state >= STRING)
            m.state = in_string(&m, (unsigned char)c);
        else
            m.state = between(&m, c);
    }
    return m.depth == 0 && (m.state == AFTER || number_may_end(m.state));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size}, value;

    if (is_utf8(text)) {
        quoted(text);
        assert(json_ok(text) == second_check(text));
    }
    if (json_ok(text)) {
        assert(is_utf8(text));
        json_member(text, "a", &value);
        in_member(text);
        cut(text);
    }
    return 0;
}
