#define _POSIX_C_SOURCE 200809L

#include "show.h"

#include "utf8.h"

/* The length of the UTF-8 character that TEXT begins with; 0 if there is none,
 * or one that may not reach a terminal. */
static size_t printable(struct span text)
{
    static const char *const hidden[] = {
        /* U+2028, 2029: line ends; 200E, 200F, 061C: direction marks; 202A to
         * 202E: overrides; 2066 to 2069: isolates. In bytes, since tcc makes
         * something else of "\u2028". */
        "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\x8e", "\xe2\x80\x8f",
        "\xd8\x9c",     "\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac",
        "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa7",
        "\xe2\x81\xa8", "\xe2\x81\xa9",
    };
    unsigned char first = (unsigned char)text.p[0];
    struct utf8 check = {0};

    if (first < 0x80) return first >= ' ' && first != 0x7f;
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (n > text.n) return 0;
    text.n = n;
    if (!utf8_next(&check, text)) return 0;
    if (first == 0xc2 && (unsigned char)text.p[1] < 0xa0) return 0; /* C1 */
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (span_is(text, hidden[i])) return 0;
    return n;
}

static void show_byte(struct buf *out, char c)
{
    buf_addf(out, "\\x%02X", (unsigned char)c);
}

void show_text(struct buf *out, struct span text)
{
    while (text.n > 0) {
        size_t n = printable(text);
        if (n > 0)
            buf_add(out, text.p, n);
        else
            show_byte(out, text.p[0]);
        text.p += n > 0 ? n : 1;
        text.n -= n > 0 ? n : 1;
    }
}

/* One line of the wire, without its CRLF. */
static void show_line(struct buf *out, struct span line)
{
    while (line.n > 0) {
        const char *backslash = memchr(line.p, '\\', line.n);
        size_t n = backslash ? (size_t)(backslash - line.p) : line.n;
        show_text(out, (struct span){line.p, n});
        if (backslash) {
            buf_puts(out, "\\\\");
            n++;
        }
        line.p += n;
        line.n -= n;
    }
}

/* The bytes before the next CRLF; all there are if none follows. */
static size_t line_length(struct span bytes)
{
    for (size_t i = 0; i + 1 < bytes.n; i++)
        if (bytes.p[i] == '\r' && bytes.p[i + 1] == '\n') return i;
    return bytes.n;
}

void show_wire(struct buf *out, char who, struct span bytes)
{
    size_t hidden = bytes.n > SHOW_WIRE_MAX ? bytes.n - SHOW_WIRE_MAX : 0;

    bytes.n -= hidden;
    while (bytes.n > 0) {
        size_t n = line_length(bytes);
        bool ended = n < bytes.n;
        struct span line = {bytes.p, n};
        buf_addf(out, "%c: ", who);
        if (ended && span_is(line, "<close>")) { /* of tests/sessions/ */
            show_byte(out, '<');
            line = (struct span){line.p + 1, line.n - 1};
        }
        show_line(out, line);
        if (!ended && hidden > 0) buf_addf(out, "\\(%zu)", hidden);
        buf_puts(out, ended ? "\n" : "\\\n");
        if (ended) n += 2;
        bytes.p += n;
        bytes.n -= n;
        if (bytes.n == 0 && ended && hidden > 0)
            buf_addf(out, "%c: \\(%zu)\\\n", who, hidden);
    }
}
