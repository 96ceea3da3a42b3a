/* fuzz_base64.c -- bytes written as text come back; text that is accepted is
 * the one way to write what it says. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/base64.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *room(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    if (!p) abort();
    return p;
}

static void as_bytes(const uint8_t *data, size_t size)
{
    size_t n = (size + 2) / 3 * 4;
    char *text = room(n);
    unsigned char *back = room(n / 4 * 3);

    assert(base64_encode(text, data, size) == n);
    assert(base64_decode(back, (struct span){text, n}) == (ssize_t)size);
    assert(size == 0 || memcmp(back, data, size) == 0);
    free(text);
    free(back);
}

static void as_text(const char *text, size_t size)
{
    unsigned char *bytes = room(size / 4 * 3);
    char *again = room(size);
    ssize_t n = base64_decode(bytes, (struct span){text, size});

    if (n >= 0) {
        assert(base64_encode(again, bytes, (size_t)n) == size);
        assert(size == 0 || memcmp(again, text, size) == 0);
    }
    free(bytes);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_bytes(data, size);
    as_text((const char *)data, size);
    return 0;
}
