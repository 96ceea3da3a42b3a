/* fuzz_show.c -- what is shown holds no control character and is UTF-8; read
 * as tests/play.py reads it, it is the wire again. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/show.h"
#include "../../common/utf8.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void harmless(struct span shown, const char *except)
{
    struct utf8 u = {0};

    assert(utf8_next(&u, shown) && utf8_whole(&u));
    for (size_t i = 0; i < shown.n; i++) {
        unsigned char c = (unsigned char)shown.p[i];
        assert((c >= ' ' && c != 0x7f) || (c && strchr(except, c)));
        if (c == 0xC2) assert((unsigned char)shown.p[i + 1] >= 0xA0); /* C1 */
    }
}

/* The bytes that the text of one line stands for: \xHH, \\ and a last single
 * backslash, which takes back the CRLF. \(N) adds to *more. */
static void read_line(struct buf *wire, struct span line, size_t *more)
{
    bool ended = true;

    assert(!span_is(line, "<close>"));
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        if (c == '\\') {
            assert(i + 1 <= line.n);
            if (i + 1 == line.n) {
                ended = false;
                break;
            }
            c = line.p[++i];
            if (c == 'x') {
                char hex[3] = {line.p[i + 1], line.p[i + 2], 0};
                c = (char)strtol(hex, NULL, 16);
                i += 2;
            } else if (c == '(') {
                *more += strtoull(line.p + i + 1, NULL, 10);
                while (line.p[i] != ')') i++;
                continue;
            } else {
                assert(c == '\\');
            }
        }
        buf_add(wire, &c, 1);
    }
    if (ended) buf_puts(wire, "\r\n");
}

static void wire(struct span bytes)
{
    struct buf shown = {.max = 16 * SHOW_WIRE_MAX}, again = {.max = bytes.n};
    size_t more = 0;

    show_wire(&shown, 'C', bytes);
    assert(!shown.failed);
    struct span rest = buf_span(&shown);
    if (rest.n > 0) harmless(rest, "\n");
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        assert(end && rest.n > 3 && memcmp(rest.p, "C: ", 3) == 0);
        struct span line = {rest.p + 3, (size_t)(end - rest.p) - 3};
        assert(more == 0); /* it is the last */
        read_line(&again, line, &more);
        rest.n -= (size_t)(end + 1 - rest.p);
        rest.p = end + 1;
    }
    size_t n = bytes.n < SHOW_WIRE_MAX ? bytes.n : SHOW_WIRE_MAX;
    assert(!again.failed && buf_len(&again) == n && more == bytes.n - n);
    assert(n == 0 || memcmp(buf_at(&again), bytes.p, n) == 0);
    buf_free(&shown);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf shown = {.max = 4 * size};
    char *copy = malloc(size > 0 ? size : 1);

    if (!copy) abort();
    if (size > 0) memcpy(copy, data, size);
    show_text(&shown, (struct span){copy, size});
    assert(!shown.failed);
    if (size > 0) harmless(buf_span(&shown), "");
    wire((struct span){copy, size});
    buf_free(&shown);
    free(copy);
    return 0;
}
