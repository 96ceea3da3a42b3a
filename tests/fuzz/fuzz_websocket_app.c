/* fuzz_websocket_app.c -- the server's message logic without a socket: however
 * the client's bytes are cut, the answer is the same; it is made of whole
 * frames, unmasked and in order, and nothing follows a Close. */
#define _POSIX_C_SOURCE 200809L

#define main websocket_app_main
#include "../../websocket-app/websocket-app.c"
#undef main

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The answer to these bytes, that come cut into pieces of PIECE. */
static struct buf answer(const uint8_t *data, size_t size, size_t piece)
{
    struct conn c = {.fd = -1};

    c.in.max = IN_MAX;
    c.out.max = OUT_MAX;
    conn_start(&c);
    conn_enter(&c, OPEN, idle_ms);
    for (size_t at = 0; at < size && c.state < REPLY; at += piece) {
        buf_add(&c.in, data + at, size - at < piece ? size - at : piece);
        assert(conn_reading(&c) && !c.in.failed);
        conn_advance(&c);
        /* No more is left than a head and a control frame, unless it is over.
         */
        assert(c.state >= REPLY || buf_len(&c.in) < 14 + 125);
        assert(buf_len(&c.message) <= (size_t)max_message);
    }
    assert(!c.out.failed);
    conn_stop(&c);
    buf_free(&c.in);
    return c.out;
}

static void check_frames(struct span out)
{
    bool over = false;

    while (out.n > 0) {
        struct ws_head h;
        ssize_t used = ws_parse_head(&h, out);
        assert(!over && used > 0 && h.fin && !h.masked);
        assert(h.length <= out.n - (size_t)used);
        over = h.opcode == WS_CLOSE;
        out.p += (size_t)used + h.length;
        out.n -= (size_t)used + h.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > OUT_HIGH / 4) return 0;
    size_t piece = 1 + data[0] % 16;
    echo = true;
    max_message = 1000;
    data++;
    size--;

    struct buf whole = answer(data, size, size > 0 ? size : 1);
    struct buf pieces = answer(data, size, piece);
    assert(buf_len(&whole) == buf_len(&pieces));
    assert(buf_len(&whole) == 0 ||
           memcmp(buf_at(&whole), buf_at(&pieces), buf_len(&whole)) == 0);
    check_frames(buf_span(&whole));
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
