/* fuzz_websocket_app.c -- the whole of websocket-app: see server.h. What it
 * sends is made of whole frames, unmasked and in order, and nothing follows a
 * Close. */
#define SERVER "../../websocket-app/websocket-app.c"
#include "server.h"

#include "http_answers.h"

static void prepare(void)
{
    for (int i = 0; i < PAGES; i++) buf_puts(&pages[i].text, pages[i].path);
    max_message = 1000;
}

static void begin(bool option, int helpers)
{
    (void)helpers;
    echo = option;
}

/* What does not look like a request is frames: no opcode is a letter. */
static struct span opening(struct span text)
{
    bool request = (text.p[0] >= 'A' && text.p[0] <= 'Z') || text.p[0] == '\r';

    if (request) return span_of("");
    return span_of("GET / HTTP/1.1\r\nHost: localhost\r\n"
                   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
}

static void check_frame(const struct ws_head *h, struct span payload)
{
    const unsigned char *p = (const unsigned char *)payload.p;
    bool text = h->opcode == WS_TEXT;
    struct utf8 u = {0};

    assert(h->fin && !h->masked);
    if (h->opcode == WS_CLOSE && payload.n > 0) {
        assert(payload.n >= 2 && ws_close_ok(p[0] << 8 | p[1]));
        payload = (struct span){payload.p + 2, payload.n - 2};
        text = true;
    }
    if (text) assert(utf8_next(&u, payload) && utf8_whole(&u));
}

static void check(struct span sent, struct span got, bool whole)
{
    struct span out = check_answers(sent, got, whole, NULL);
    bool over = false;

    while (out.n > 0) {
        struct ws_head h;
        ssize_t used = ws_parse_head(&h, out);
        assert(!over && used >= 0);
        if (used == 0 || h.length > out.n - (size_t)used) {
            assert(!whole);
            return;
        }
        check_frame(&h, (struct span){out.p + used, (size_t)h.length});
        over = h.opcode == WS_CLOSE;
        out.p += (size_t)used + h.length;
        out.n -= (size_t)used + h.length;
    }
}

static const struct target target = {
    .prepare = prepare, .begin = begin, .opening = opening, .check = check};
