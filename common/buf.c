#define _POSIX_C_SOURCE 200809L

#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SMALLEST = 256 };

/* Makes room behind the bytes, by moving them to the front when at least as
 * much has been dropped as is still there (so that a byte is moved once for
 * each byte dropped, on average), and else by growing. Where there is much,
 * realloc() moves pages, which costs far less than to copy into new ones. */
char *buf_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b);

    if (b->failed) return NULL;
    if (n > b->max || len > b->max - n) {
        b->failed = true;
        return NULL;
    }
    if (n <= b->cap - b->end) return b->data + b->end;

    bool grow = b->start < len || len + n > b->cap;
    if (b->start > 0) memmove(b->data, b->data + b->start, len);
    b->start = 0;
    b->end = len;
    if (grow) {
        size_t cap = b->cap < SMALLEST ? SMALLEST : b->cap * 2;
        if (cap < len + n) cap = len + n;
        char *data = realloc(b->data, cap);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    return b->data + len;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    char *room = n > 0 ? buf_room(b, n) : NULL;
    if (!room) return;
    memcpy(room, p, n);
    b->end += n;
}

void buf_puts(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_addf(struct buf *b, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof text) {
        buf_add(b, text, (size_t)n);
        return;
    }

    /* Longer than most: print it again, in place, with one byte for the NUL. */
    char *room = n < 0 ? NULL : buf_room(b, (size_t)n + 1);
    if (!room) {
        b->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(room, (size_t)n + 1, format, args);
    va_end(args);
    b->end += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end) b->start = b->end = 0;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}
