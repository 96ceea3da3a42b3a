/* fuzz_buf.c -- a buf is a row of bytes: whatever is added, dropped and
 * refused, it holds what a plain array would. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 3000 };

static char plain[2 * MAX];
static size_t nplain;

static void add_plain(const void *p, size_t n, bool taken)
{
    if (!taken) return;
    memcpy(plain + nplain, p, n);
    nplain += n;
}

static void step(struct buf *b, unsigned what, size_t n)
{
    static char bytes[MAX];
    bool fits = !b->failed && n <= b->max - buf_len(b);

    memset(bytes, 'a' + (int)(n % 26), n);
    switch (what) {
    case 0:
        buf_add(b, bytes, n);
        add_plain(bytes, n, fits);
        break;
    case 1: /* a NUL has its place while it is printed, if that is long */
        fits = fits && (n < 512 || n < b->max - buf_len(b));
        buf_addf(b, "%.*s", (int)n, bytes);
        add_plain(bytes, n, fits);
        break;
    case 2:
        if (n > buf_len(b)) n = buf_len(b);
        buf_drop(b, n);
        memmove(plain, plain + n, nplain - n);
        nplain -= n;
        return;
    case 3: {
        if (n == 0) return;
        char *room = buf_room(b, n);
        assert((room != NULL) == fits);
        if (!room) break;
        memcpy(room, bytes, n);
        b->end += n / 2;
        add_plain(bytes, n / 2, true);
        break;
    }
    case 4:
        buf_free(b);
        nplain = 0;
        return;
    }
    assert(b->failed == !fits || n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b = {0};

    if (size == 0) return 0;
    b.max = data[0] * 10u;
    nplain = 0;
    for (size_t i = 1; i + 1 < size; i += 2) {
        step(&b, data[i] % 8 % 5, data[i + 1] * (1u + data[i] / 8 % 4 * 3));
        assert(buf_len(&b) == nplain && nplain <= b.max);
        assert(nplain == 0 || memcmp(buf_at(&b), plain, nplain) == 0);
        assert(b.start <= b.end && b.end <= b.cap);
    }
    buf_free(&b);
    return 0;
}
