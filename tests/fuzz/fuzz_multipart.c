/* fuzz_multipart.c -- cut anywhere, the outcome is the same. The first byte
 * says where to cut. */
#define _POSIX_C_SOURCE 200809L

#include "../../file-upload/multipart.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Adds what is told to STORY. False once the body is bad. */
static bool feed(struct multipart *m, struct buf *story, const char *p,
                 size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);
    if (!copy) abort();
    if (n > 0) memcpy(copy, p, n);
    struct span in = {copy, n}, data;
    enum multipart_event event;

    do {
        event = multipart_next(m, &in, &data);
        assert((event == MULTIPART_DATA) == (data.n > 0));
        buf_add(story, data.p, data.n);
        if (event == MULTIPART_DATA || event == MULTIPART_MORE) continue;
        buf_addf(story, "<%d>", event);
        if (event != MULTIPART_HEAD) continue;
        buf_add(story, m->name.p, m->name.n);
        buf_puts(story, m->filename.p ? "|" : "<>");
        buf_add(story, m->filename.p, m->filename.n);
    } while (event != MULTIPART_MORE && event != MULTIPART_BAD);
    assert(event == MULTIPART_BAD || in.n == 0);
    free(copy);
    return event != MULTIPART_BAD;
}

static void play(struct buf *story, const char *p, size_t n, size_t piece,
                 size_t rest)
{
    struct multipart m;
    bool good =
        multipart_start(&m, span_of("multipart/form-data; boundary=\"-B\""));

    assert(good);
    for (size_t at = 0; good && at < n; piece = rest) {
        if (piece > n - at) piece = n - at;
        good = feed(&m, story, p + at, piece);
        at += piece;
    }
    if (multipart_whole(&m)) buf_puts(story, "<whole>");
    multipart_free(&m);
    assert(!story->failed);
}

static void same(const struct buf *a, const struct buf *b)
{
    assert(buf_len(a) == buf_len(b));
    if (buf_len(a) > 0) assert(!memcmp(buf_at(a), buf_at(b), buf_len(a)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct span type = {p, size};
    struct multipart m;

    multipart_start(&m, type);
    if (size == 0) return 0;
    size_t cut = data[0], max = 64 * size + 64;
    struct buf whole = {.max = max}, bytes = {.max = max}, parts = {.max = max};
    play(&whole, p + 1, size - 1, size, size);
    play(&bytes, p + 1, size - 1, 1, 1);
    play(&parts, p + 1, size - 1, cut > 0 ? cut : 1, size);
    same(&whole, &bytes);
    same(&whole, &parts);
    buf_free(&whole);
    buf_free(&bytes);
    buf_free(&parts);
    return 0;
}
