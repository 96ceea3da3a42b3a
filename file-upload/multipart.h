/* multipart.h -- a form with files as it arrives: multipart/form-data (RFC
 * 7578) in the framing of RFC 2046, section 5.1.
 *
 *     --BOUNDARY CRLF
 *     Content-Disposition: form-data; name="userfile1"; filename="a.txt" CRLF
 *     CRLF
 *     the file, and after it a CRLF that belongs to the delimiter
 *     --BOUNDARY--
 *
 * The body may come in pieces, cut anywhere. Nothing of a file is kept or
 * copied; a part's head is, until it is whole. */
#ifndef MULTIPART_H
#define MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "../common/buf.h"
#include "../common/span.h"

enum {
    MULTIPART_BOUNDARY_MAX = 70,    /* characters: RFC 2046, 5.1.1 */
    MULTIPART_BLANKS_MAX = 60,      /* behind a boundary; more make it data */
    MULTIPART_HEAD_MAX = 32 * 1024, /* bytes of a part's head */
};

enum multipart_event {
    MULTIPART_MORE, /* all input is used */
    MULTIPART_HEAD, /* a part begins: see `name` and `filename` */
    MULTIPART_DATA, /* some bytes of it */
    MULTIPART_END,  /* it was whole */
    MULTIPART_BAD,  /* this is no multipart/form-data, and never will be */
};

struct multipart {
    /* Of the part, as the sender means them: without quotes and escapes. Good
     * until the next call. */
    struct span name;
    struct span filename; /* absent: the part is no file, but a text field */

    enum {
        MULTIPART_IN_PREAMBLE, /* before the first delimiter */
        MULTIPART_IN_HEAD,
        MULTIPART_IN_DATA,
        MULTIPART_IN_EPILOGUE, /* behind the last delimiter */
        MULTIPART_IN_RUINS
    } state;
    struct buf head;
    size_t line_ends; /* bytes of CR LF CR LF that the head ends in now */

    size_t length; /* of the delimiter: CR LF - - BOUNDARY */
    size_t held;   /* bytes of `text` seen last: perhaps a delimiter */
    size_t before; /* of them, not data in any case: they end the head */
    unsigned char skip[256]; /* see search() */

    /* The delimiter; then what follows it in its line. */
    char text[4 + MULTIPART_BOUNDARY_MAX + MULTIPART_BLANKS_MAX];
};

/* Gets ready for a body of this Content-Type. False if it names no boundary of
 * 1 to 70 visible characters. */
bool multipart_start(struct multipart *m, struct span content_type);

/* Says what comes next in *in, and takes it off there. With MULTIPART_DATA,
 * *data are the bytes; they lie in the input or in M. Call it until it answers
 * MULTIPART_MORE. */
enum multipart_event multipart_next(struct multipart *m, struct span *in,
                                    struct span *data);

/* The closing delimiter has come: nothing is missing. */
bool multipart_whole(const struct multipart *m);

/* Gives the memory back. */
void multipart_free(struct multipart *m);

/* Decodes %XX into OUT, which holds in.n bytes and may be in.p itself; '+' and
 * a '%' that two hex digits do not follow stand for themselves. Returns the
 * length. */
size_t percent_decode(char *out, struct span in);

#endif
