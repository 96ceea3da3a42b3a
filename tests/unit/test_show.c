/* test_show.c */
#define _POSIX_C_SOURCE 200809L

#include "../../common/show.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool shows(const struct buf *out, const char *want)
{
    return !out->failed && buf_len(out) == strlen(want) &&
           (buf_len(out) == 0 || memcmp(buf_at(out), want, buf_len(out)) == 0);
}

static void texts(void)
{
    static const struct {
        const char *text, *shown;
    } table[] = {
        {"", ""},
        {"plain ~", "plain ~"},
        {"a\\b", "a\\b"}, /* not a wire, so the backslash stands for itself */
        {"\x1B[31mred\x1B[0m", "\\x1B[31mred\\x1B[0m"},
        {"a\r\n\tb\x7F\b\a", "a\\x0D\\x0A\\x09b\\x7F\\x08\\x07"},
        {"Cian \xC3\x93", "Cian \xC3\x93"},
        {"\xE4\xBD\xA0\xF0\x9F\x98\x80", "\xE4\xBD\xA0\xF0\x9F\x98\x80"},
        {"\xC2\x80\xC2\x9B\xC2\x9F", "\\xC2\\x80\\xC2\\x9B\\xC2\\x9F"}, /* C1 */
        {"\xC2\xA0", "\xC2\xA0"},
        {"\xE0\xA0\x80\xF0\x90\x80\x80", "\xE0\xA0\x80\xF0\x90\x80\x80"},
        {"\xE2\x80\xA8\xE2\x80\xA9", "\\xE2\\x80\\xA8\\xE2\\x80\\xA9"},
        {"\xE2\x80\xAE"
         "abc",
         "\\xE2\\x80\\xAE"
         "abc"},
        {"\xE2\x81\xA6\xE2\x81\xA9", "\\xE2\\x81\\xA6\\xE2\\x81\\xA9"},
        {"\xE2\x80\x8E\xE2\x80\x8F", "\\xE2\\x80\\x8E\\xE2\\x80\\x8F"},
        {"\xD8\x9C", "\\xD8\\x9C"},
        {"\xE2\x80\xA7\xE2\x81\xA5", "\xE2\x80\xA7\xE2\x81\xA5"},
        {"\xFF", "\\xFF"},
        {"a\x80z", "a\\x80z"},
        {"\xC3", "\\xC3"},
        {"\xC3z", "\\xC3z"},
        {"\xE4\xBD", "\\xE4\\xBD"},
        {"\xE4\xBDz", "\\xE4\\xBDz"},
        {"\xF0\x9F\x98", "\\xF0\\x9F\\x98"},
        {"\xC0\x80", "\\xC0\\x80"},
        {"\xED\xA0\x80", "\\xED\\xA0\\x80"},
        {"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"},
        {"\xF8\x88\x80\x80\x80", "\\xF8\\x88\\x80\\x80\\x80"},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        size_t n = strlen(table[i].text);
        char *copy = exact(table[i].text, n);
        struct buf out = {.max = 1000};
        show_text(&out, (struct span){copy, n});
        CHECK(shows(&out, table[i].shown), "%s: %.*s", table[i].shown,
              (int)buf_len(&out), buf_at(&out));
        buf_free(&out);
        free(copy);
    }

    struct buf out = {.max = 100};
    show_text(&out, (struct span){"a\0b", 3});
    CHECK(shows(&out, "a\\x00b"), "NUL");
    buf_free(&out);
    out.max = 3;
    show_text(&out, span_of("abcd\n"));
    CHECK(out.failed, "no room");
    buf_free(&out);
}

static void wires(void)
{
    static const struct {
        const char *bytes, *shown;
    } table[] = {
        {"", ""},
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
         "C: GET / HTTP/1.1\nC: Host: x\nC: \n"},
        {"\r\n", "C: \n"},
        {"hello", "C: hello\\\n"},
        {"a\r\nb", "C: a\nC: b\\\n"},
        {"a\nb\r\n", "C: a\\x0Ab\n"},
        {"a\n", "C: a\\x0A\\\n"},
        {"a\r", "C: a\\x0D\\\n"},
        {"\r\r\n", "C: \\x0D\n"},
        {"\n\r\n", "C: \\x0A\n"},
        {"a\\b\\\r\n", "C: a\\\\b\\\\\n"},
        {"\\x41\r\n", "C: \\\\x41\n"},
        {"\\\\", "C: \\\\\\\\\\\n"},
        {"\x1B[2J\r\n", "C: \\x1B[2J\n"},
        {"caf\xC3\xA9\r\n", "C: caf\xC3\xA9\n"},
        {"\xC3\r\n", "C: \\xC3\n"},
        /* In tests/sessions/ this alone on a line is the end of a stream. */
        {"<close>\r\n", "C: \\x3Cclose>\n"},
        {"<close>", "C: <close>\\\n"},
        {"<close> \r\n", "C: <close> \n"},
        {"a <close>\r\n", "C: a <close>\n"},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        size_t n = strlen(table[i].bytes);
        char *copy = exact(table[i].bytes, n);
        struct buf out = {.max = 1000};
        show_wire(&out, 'C', (struct span){copy, n});
        CHECK(shows(&out, table[i].shown), "%s: %.*s", table[i].shown,
              (int)buf_len(&out), buf_at(&out));
        buf_free(&out);
        free(copy);
    }
}

/* What is past SHOW_WIRE_MAX is counted, wherever the cut falls. */
static void long_wires(void)
{
    static const struct {
        size_t n, crlf; /* bytes of x, but CRLF here */
        const char *end;
    } table[] = {
        {SHOW_WIRE_MAX - 1, 0, "xx\\\n"},
        {SHOW_WIRE_MAX, 0, "xx\\\n"},
        {SHOW_WIRE_MAX + 1, 0, "xx\\(1)\\\n"},
        {SHOW_WIRE_MAX + 1000, 0, "xx\\(1000)\\\n"},
        {SHOW_WIRE_MAX + 1, SHOW_WIRE_MAX - 2, "xx\nS: \\(1)\\\n"},
        {SHOW_WIRE_MAX, SHOW_WIRE_MAX - 2, "xx\n"},
        {SHOW_WIRE_MAX + 1, SHOW_WIRE_MAX - 1, "xx\\x0D\\(1)\\\n"},
        {SHOW_WIRE_MAX + 2, SHOW_WIRE_MAX, "xx\\(2)\\\n"},
        {SHOW_WIRE_MAX + 9, SHOW_WIRE_MAX - 3, "xx\nS: x\\(9)\\\n"},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        char bytes[2 * SHOW_WIRE_MAX];
        struct buf out = {.max = 10 * SHOW_WIRE_MAX};
        size_t end = strlen(table[i].end);

        memset(bytes, 'x', sizeof bytes);
        if (table[i].crlf) memcpy(bytes + table[i].crlf, "\r\n", 2);
        char *copy = exact(bytes, table[i].n);
        show_wire(&out, 'S', (struct span){copy, table[i].n});
        CHECK(buf_len(&out) > end && memcmp(buf_at(&out), "S: xx", 5) == 0 &&
                  memcmp(buf_at(&out) + buf_len(&out) - end, table[i].end,
                         end) == 0,
              "line %zu: %.*s", i, (int)buf_len(&out), buf_at(&out));
        buf_free(&out);
        free(copy);
    }
}

int main(void)
{
    texts();
    wires();
    long_wires();
    return report();
}
