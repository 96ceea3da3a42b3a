/* fuzz_ws.c -- a head stays what it was found to be when more bytes come, and
 * is written as it was read and read as it was written; masking twice, in any
 * two pieces, is nothing. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/ws.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void head(const uint8_t *data, size_t size)
{
    ssize_t before = 0;

    for (size_t n = 0; n <= size && n <= 20; n++) {
        struct ws_head h;
        char *copy = malloc(n > 0 ? n : 1);
        if (!copy) abort();
        if (n > 0) memcpy(copy, data, n);

        ssize_t used = ws_parse_head(&h, (struct span){copy, n});
        assert(used <= (ssize_t)n && used >= -1002);
        assert(before == 0 || used == before);
        assert(n < 14 || used != 0);
        if (used > 0) {
            unsigned char out[14];
            assert(before == used || (size_t)used == n);
            assert(ws_write_head(out, &h) == (size_t)used);
            assert(memcmp(out, data, (size_t)used) == 0);
        }
        before = used;
        free(copy);
    }
}

/* The other way: what is written is read as it was meant. */
static void written(const uint8_t *data, size_t size)
{
    static const unsigned char opcodes[] = {WS_CONTINUATION, WS_TEXT, WS_BINARY,
                                            WS_CLOSE,        WS_PING, WS_PONG};
    struct ws_head h = {0}, back;
    unsigned char out[14];

    if (size < 13) return;
    h.opcode = opcodes[data[0] % 6];
    h.fin = h.opcode >= WS_CLOSE || data[0] & 64;
    h.masked = data[0] & 128;
    memcpy(&h.length, data + 1, 8);
    h.length >>= 1 + data[0] / 6 % 8 * 8;
    if (h.opcode >= WS_CLOSE) h.length %= 126;
    if (h.masked) memcpy(h.mask, data + 9, 4);
    size_t n = ws_write_head(out, &h);
    assert(n <= sizeof out);
    assert(ws_parse_head(&back, (struct span){(char *)out, n}) == (ssize_t)n);
    assert(back.fin == h.fin && back.opcode == h.opcode && back.rsv == 0);
    assert(back.masked == h.masked && back.length == h.length);
    assert(memcmp(back.mask, h.mask, 4) == 0);
}

static void masking(const uint8_t *data, size_t size)
{
    if (size < 6) return;
    size_t n = size - 6, at = data[4], cut = n > 0 ? data[5] % n : 0;
    char *copy = malloc(n + 1);
    if (!copy) abort();

    memcpy(copy, data + 6, n);
    ws_mask(copy, n, data, at);
    for (size_t i = 0; i < n; i++)
        assert((uint8_t)copy[i] == (data[6 + i] ^ data[(at + i) % 4]));
    ws_mask(copy, cut, data, at);
    ws_mask(copy + cut, n - cut, data, at + cut);
    assert(memcmp(copy, data + 6, n) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span key = {(const char *)data, size};
    char answer[29];

    head(data, size);
    written(data, size);
    masking(data, size);
    if (ws_key_ok(key)) {
        ws_accept_key(answer, key);
        assert(strlen(answer) == 28);
    }
    return 0;
}
