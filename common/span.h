/* span.h -- some bytes in memory that belong to somebody else.
 *
 * A span is borrowed, not NUL-terminated, and passed by value. It points into
 * someone's buffer and dies at that buffer's next add or drop; to keep the
 * bytes, copy them. */
#ifndef SPAN_H
#define SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *p; /* NULL: absent, which is not the same as empty */
    size_t n;      /* bytes */
};

/* The characters of a C string, without its NUL. */
static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

/* Byte for byte the same as TEXT. */
static inline bool span_is(struct span s, const char *text)
{
    size_t n = strlen(text);
    return s.p && s.n == n && memcmp(s.p, text, n) == 0;
}

/* The same bytes, but the letters A-Z and a-z count as equal: header names,
 * media types, host names and SMTP verbs. Never depends on the locale. */
static inline bool span_same_nocase(struct span a, struct span b)
{
    if (!a.p || a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++) {
        char x = a.p[i], y = b.p[i];
        if (x >= 'A' && x <= 'Z') x = (char)(x + 32);
        if (y >= 'A' && y <= 'Z') y = (char)(y + 32);
        if (x != y) return false;
    }
    return true;
}

static inline bool span_is_nocase(struct span s, const char *text)
{
    return span_same_nocase(s, span_of(text));
}

#endif
