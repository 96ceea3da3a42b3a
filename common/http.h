/* http.h -- HTTP/1.1 message heads and bodies: RFC 9110 and RFC 9112.
 *
 * The parsers are fed the bytes that have arrived so far, and answer:
 *
 *   > 0  that many bytes were used
 *   0    not whole yet: call again with the same bytes and more
 *   < 0  refused: minus the status to answer with, and then to close, since
 *        nobody knows where the next message would begin
 *
 * They keep nothing: every span in a head points into the bytes given. */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "buf.h"
#include "span.h"

enum {
    HTTP_HEAD_MAX = 32 * 1024,  /* bytes of a whole head; more is 431 */
    HTTP_TARGET_MAX = 8 * 1024, /* bytes of a request target; more is 414 */
    HTTP_METHOD_MAX = 32,       /* no method is longer; more is 501 */
    HTTP_HEADERS_MAX = 200,     /* header fields; more is 431 */
    HTTP_CHUNK_LINE_MAX = 1024, /* bytes of a chunk's size and extensions */
    HTTP_DATE_SIZE = 30,        /* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */
};

/* How the end of a body is told: RFC 9112, 6.3. Nobody else needs to look at
 * Content-Length or Transfer-Encoding. */
enum http_framing {
    HTTP_NONE,     /* there is no body */
    HTTP_LENGTH,   /* after `length` bytes */
    HTTP_CHUNKED,  /* after the chunk of size 0 and the trailers */
    HTTP_TO_CLOSE, /* when the sender closes; responses only */
};

struct http_header {
    struct span name, value; /* without the colon and the blanks around */
};

struct http_head {
    /* of a request */
    struct span method; /* even if the rest is refused; absent: not known */
    struct span target; /* origin-form, "/users?type=blue"; "*" of OPTIONS;
                         * host:port of CONNECT */
    struct span host;   /* host[:port]: of the absolute-form target, or Host */
    bool expect_continue; /* the client waits for "100 Continue" */

    /* of a response */
    int status;
    struct span reason;

    /* of both */
    int minor;       /* HTTP/1.minor */
    bool keep_alive; /* the connection may go on after this message */
    enum http_framing framing;
    uint64_t length; /* bytes of the body, if framing is HTTP_LENGTH */
    size_t nheaders;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* Checks all that RFC 9112 asks of a request head, framing and Host included.
 * Empty lines before the request line are skipped (2.2), a bare LF ends a
 * line as CRLF does (2.2), and an absolute-form target is cut to what follows
 * its host (3.2.2). */
ssize_t http_parse_request(struct http_head *h, struct span in);

/* How many bytes of whole empty lines IN begins with: before a request they
 * mean nothing, and it has not begun with them. */
size_t http_empty_lines(struct span in);

/* The same for a response head; what is malformed is -502. A response to HEAD
 * has no body whatever its headers say: only the caller knows. */
ssize_t http_parse_response(struct http_head *h, struct span in);

/* The value of the first header of that name; absent if there is none. */
struct span http_header(const struct http_head *h, const char *name);

/* Is TOKEN in the comma-separated lists of all headers of that name? */
bool http_has_token(const struct http_head *h, const char *name,
                    const char *token);

/* Takes the next item off a comma-separated list; empty ones are skipped
 * (RFC 9110, 5.6.1). False at the end. */
bool http_list_next(struct span *list, struct span *item);

/* Is VALUE, a Content-Type, the media type TYPE? Parameters do not count, nor
 * does the case of letters (RFC 9110, 8.3.1). */
bool http_type_is(struct span value, const char *type);

/* False if a page of another site made this request: there is an Origin, and
 * it is not http:// or https:// and then the request's own host. */
bool http_same_origin(const struct http_head *h);

/* A body as it arrives. Start with http_body_start(), then feed
 * http_body_next() what has arrived until `done`. */
struct http_body {
    enum http_framing framing;
    enum {
        HTTP_CHUNK_SIZE,
        HTTP_CHUNK_DATA,
        HTTP_CHUNK_END,
        HTTP_TRAILERS
    } part;        /* where in a chunked body the next byte stands */
    uint64_t left; /* bytes to come, of the body or of this chunk */
    size_t extra;  /* bytes of chunk extensions and trailers so far */
    bool done;     /* the last byte has been used */
};

void http_body_start(struct http_body *b, const struct http_head *h);

/* Uses the next bytes; *data are those of the body among them, possibly none.
 * With HTTP_TO_CLOSE the caller learns the end from the connection. Chunk
 * extensions and trailers are checked and thrown away. */
ssize_t http_body_next(struct http_body *b, struct span in, struct span *data);

/* "Not Found" for 404; "Unknown" for what RFC 9110 does not list. */
const char *http_reason(int status);

/* T as in a Date header: RFC 9110, 5.6.7. */
void http_date(char out[HTTP_DATE_SIZE], time_t t);

#endif
