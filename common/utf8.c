#define _POSIX_C_SOURCE 200809L

#include "utf8.h"

#include <stdint.h>

static bool continues(char c)
{
    return (c & 0xC0) == 0x80;
}

/* The first byte tells how many follow, and the table in RFC 3629, section 4,
 * what the second may be: its narrower ranges shut out the overlong forms (E0,
 * F0), the surrogates (ED) and what is above U+10FFFF (F4). */
static bool begin(struct utf8 *u, unsigned char c)
{
    if (c < 0x80) return true;
    if (c < 0xC2 || c > 0xF4) return false;
    u->need = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    u->low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    u->high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    return true;
}

static bool step(struct utf8 *u, unsigned char c)
{
    if (u->need == 0) return begin(u, c);
    if (c < u->low || c > u->high) return false;
    u->need--;
    u->low = 0x80;
    u->high = 0xBF;
    return true;
}

/* How many bytes there are before the first bad one. */
static size_t good(struct utf8 *u, struct span in)
{
    size_t i = 0;

    while (i < in.n) {
        /* Most text is ASCII for long stretches: look at eight at once. */
        uint64_t eight = 0;
        if (u->need == 0 && in.n - i >= sizeof eight) {
            memcpy(&eight, in.p + i, sizeof eight);
            if ((eight & 0x8080808080808080) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        if (!step(u, (unsigned char)in.p[i])) break;
        i++;
    }
    return i;
}

bool utf8_next(struct utf8 *u, struct span in)
{
    return good(u, in) == in.n;
}

bool utf8_whole(const struct utf8 *u)
{
    return u->need == 0;
}

void utf8_repair(struct buf *out, struct span in)
{
    while (in.n > 0) {
        struct utf8 u = {0};
        size_t end = good(&u, in), whole = end;

        /* A character cut off is left out, back to its first byte. */
        if (!utf8_whole(&u)) {
            whole--;
            while (continues(in.p[whole])) whole--;
        }
        buf_add(out, in.p, whole);
        if (whole == in.n) return;

        buf_add(out, "\xEF\xBF\xBD", 3);
        if (end == whole) end++; /* the bad byte begins nothing itself */
        in.p += end;
        in.n -= end;
    }
}
