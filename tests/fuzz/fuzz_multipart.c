/* fuzz_multipart.c -- cut anywhere, the outcome is the same, and so far that of
 * the first piece alone. A form that is written comes back. The first byte says
 * where to cut. */
#define _POSIX_C_SOURCE 200809L

#include "../../file-upload/multipart.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
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

/* REST: the size of all pieces but the first; 0: there are none. */
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
        if (rest == 0) break;
    }
    if (rest > 0 && multipart_whole(&m)) buf_puts(story, "<whole>");
    multipart_free(&m);
    assert(!story->failed);
}

static void same(const struct buf *a, const struct buf *b)
{
    assert(buf_len(a) == buf_len(b));
    if (buf_len(a) > 0) assert(!memcmp(buf_at(a), buf_at(b), buf_len(a)));
}

/* What was told of a part of the body still stands when more comes. */
static void begins(const struct buf *whole, const struct buf *part)
{
    assert(buf_len(part) <= buf_len(whole));
    if (buf_len(part) > 0)
        assert(!memcmp(buf_at(whole), buf_at(part), buf_len(part)));
}

static void add_quoted(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"') buf_puts(out, "%22");
        if (text.p[i] == '\r') buf_puts(out, "%0D");
        if (text.p[i] == '\n') buf_puts(out, "%0A");
        if (!memchr("\"\r\n", text.p[i], 3)) buf_add(out, text.p + i, 1);
    }
}

static bool holds(struct span text, const char *what)
{
    size_t n = strlen(what);

    for (size_t i = 0; i + n <= text.n; i++)
        if (memcmp(text.p + i, what, n) == 0) return true;
    return false;
}

/* A form of one file, as browsers write it. */
static void comes_back(struct span name, struct span file, size_t piece)
{
    size_t max = 4 * (name.n + file.n) + 400;
    struct buf body = {.max = max}, story = {.max = max}, want = {.max = max};

    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < ' ' || strchr("\"%\\\x7f", name.p[i]))
            return;
    if (name.n == 0 || holds(file, "\r\n---B")) return;
    buf_puts(&body, "---B\r\nContent-Disposition: form-data; name=\"");
    add_quoted(&body, name);
    buf_puts(&body, "\"; filename=\"f\"\r\n\r\n");
    if (file.n >= 4 && memcmp(file.p, "---B", 4) == 0) file.n = 0;
    buf_add(&body, file.p, file.n);
    buf_puts(&body, "\r\n---B--\r\n");
    buf_addf(&want, "<%d>", MULTIPART_HEAD);
    buf_add(&want, name.p, name.n);
    buf_puts(&want, "|f");
    buf_add(&want, file.p, file.n);
    buf_addf(&want, "<%d><whole>", MULTIPART_END);
    play(&story, buf_at(&body), buf_len(&body), piece, piece);
    same(&story, &want);
    buf_free(&body);
    buf_free(&story);
    buf_free(&want);
}

static void percent(struct span text)
{
    char *encoded = malloc(3 * text.n + 1), *out = malloc(3 * text.n + 1);

    if (!encoded || !out) abort();
    for (size_t i = 0; i < text.n; i++)
        sprintf(encoded + 3 * i, i % 2 ? "%%%02x" : "%%%02X",
                (unsigned char)text.p[i]);
    assert(percent_decode(out, (struct span){encoded, 3 * text.n}) == text.n);
    assert(text.n == 0 || memcmp(out, text.p, text.n) == 0);
    assert(percent_decode(out, text) <= text.n);
    free(encoded);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct span type = {p, size};
    struct multipart m;

    multipart_start(&m, type);
    if (size == 0) return 0;
    size_t cut = data[0], max = 64 * size + 64;
    struct buf whole = {.max = max}, bytes = whole, parts = whole,
               first = whole;
    play(&whole, p + 1, size - 1, size, size);
    play(&bytes, p + 1, size - 1, 1, 1);
    play(&parts, p + 1, size - 1, cut > 0 ? cut : 1, size);
    same(&whole, &bytes);
    same(&whole, &parts);
    play(&first, p + 1, size - 1, cut > 0 ? cut : 1, 0);
    begins(&whole, &first);
    size_t n = size - 1 < 20 ? size - 1 : cut % 20;
    comes_back((struct span){p + 1, n}, (struct span){p + 1 + n, size - 1 - n},
               1 + cut);
    percent((struct span){p, size});
    buf_free(&whole);
    buf_free(&bytes);
    buf_free(&parts);
    buf_free(&first);
    return 0;
}
