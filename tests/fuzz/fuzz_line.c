/* fuzz_line.c -- any keys, with looks at the screen at any time between them:
 * the cursor is always inside the text and on the screen, no byte of what is
 * drawn can drive a terminal, and a line that has been entered holds no control
 * character. */
#define _POSIX_C_SOURCE 200809L

#include "../../websocket-client/line.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One sequence that line_draw() may write, at P; its length. */
static size_t sequence(const char *p, size_t n, size_t columns)
{
    size_t i = 2, number = 0;

    assert(n > 3 && p[1] == '[');
    for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
        number = number * 10 + (size_t)(p[i] - '0');
    assert(i < n);
    assert((p[i] == 'J' && number == 0) ||
           (p[i] == 'G' && number >= 1 && (number <= columns || columns < 2)));
    return i + 1;
}

static void look(struct line *l)
{
    struct buf screen = {.max = 1 << 16};

    line_draw(l, &screen);
    assert(!screen.failed && l->at <= line_text(l).n && l->left <= l->at);
    struct span s = buf_span(&screen);
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == 0x1b) {
            i += sequence(s.p + i, s.n - i, l->columns);
            continue;
        }
        assert(c >= ' ' && c != 0x7F);
        assert(c != 0xC2 || (unsigned char)s.p[i + 1] >= 0xA0);
        i++;
    }
    buf_free(&screen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line l = {.prompt = "-> ", .columns = 80};

    if (size < 3) return 0;
    l.columns = data[0];
    l.text.max = 16 + data[1] * 16u;
    size_t every = 1 + data[2];
    for (size_t i = 3; i < size; i++) {
        enum line_event event = line_key(&l, (char)data[i]);
        assert(l.at <= line_text(&l).n);
        if (i % every == 0) look(&l);
        if (event == LINE_ENDED) assert(line_text(&l).n == 0);
        if (event != LINE_ENTERED) continue;
        struct span text = line_text(&l);
        for (size_t k = 0; k < text.n; k++)
            assert((unsigned char)text.p[k] >= ' ' && text.p[k] != 0x7F);
        line_next(&l);
        l.columns = data[i];
    }
    look(&l);
    line_free(&l);
    return 0;
}
