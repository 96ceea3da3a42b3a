/* utf8.h -- is this text UTF-8 (RFC 3629)?
 *
 * Strictly: no overlong form, no surrogate (U+D800 to U+DFFF), nothing above
 * U+10FFFF. The text may come in pieces, cut anywhere. */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>

#include "buf.h"
#include "span.h"

/* Where a check stands between two pieces. All zeros: before the first. */
struct utf8 {
    unsigned char need;      /* bytes still to come of the present character */
    unsigned char low, high; /* if any: the next one is within these */
};

/* Checks the next piece. False at the first byte that no UTF-8 text can have
 * there, and then the check is over: no later piece makes it good. */
bool utf8_next(struct utf8 *u, struct span in);

/* Nothing is missing: the last character was not cut off. */
bool utf8_whole(const struct utf8 *u);

/* Adds IN with what is not UTF-8 replaced by U+FFFD, as browsers do: one for
 * each byte that begins nothing, and one for as many bytes as do begin a
 * character that then does not go on (Unicode 15, section 3.9, "maximal
 * subparts"). OUT may grow by three times IN. */
void utf8_repair(struct buf *out, struct span in);

#endif
