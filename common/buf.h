/* buf.h -- bytes waiting: received and not yet understood, or to be sent.
 *
 * Bytes are added at the end and dropped from the front. A buf is owned by the
 * struct it sits in, and all zeros plus `max` is an empty one, ready for use.
 * It grows as bytes arrive and never beyond max. An add that does not fit sets
 * `failed`, and later adds do nothing: ten adds in a row need one check. */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "span.h"

struct buf {
    char *data;        /* malloc()ed, or NULL */
    size_t start, end; /* the bytes are data[start .. end - 1] */
    size_t cap;        /* the size of data */
    size_t max;        /* it may hold this many bytes */
    bool failed;       /* an add was past max, or found no memory */
};

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

/* The first byte; NULL while nothing was ever added. */
static inline char *buf_at(const struct buf *b)
{
    return b->data ? b->data + b->start : NULL;
}

/* All bytes, good until the next add or drop. */
static inline struct span buf_span(const struct buf *b)
{
    return (struct span){buf_at(b), buf_len(b)};
}

/* Room for n > 0 bytes behind the last one, for a caller that then fills it and
 * moves `end`; NULL, and failed set, if they do not fit. */
char *buf_room(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *p, size_t n);

/* Adds a C string. */
void buf_puts(struct buf *b, const char *text);

/* Adds what printf() would print. */
#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
void buf_addf(struct buf *b, const char *format, ...);

/* Forgets the first n bytes; n is at most buf_len(b). */
void buf_drop(struct buf *b, size_t n);

/* Gives the memory back; what is left is empty and ready for use. */
void buf_free(struct buf *b);

#endif
