/* qs.h -- the parts of a URL (RFC 3986), and what its query string and the body
 * of a form are both written in: name=value&name=value
 * (application/x-www-form-urlencoded of the WHATWG URL standard). */
#ifndef QS_H
#define QS_H

#include <stdbool.h>
#include <stddef.h>

#include "span.h"

/* http://localhost:8080/users?type=blue#top */
struct url {
    struct span scheme;    /* "http" */
    struct span authority; /* "localhost:8080", as the Host header has it */
    struct span host;      /* "localhost"; of "[::1]:80" it is "::1" */
    struct span port;      /* "8080"; absent if the URL has none */
    struct span target;    /* "/users?type=blue"; empty, or only a query, if
                            * the URL has no path: then "/" belongs before it */
};

/* False if TEXT is no URL with a scheme and a host, or holds blanks, control
 * characters, bytes above ASCII, a user name, or a port that is no number up
 * to 65535. */
bool url_split(struct span text, struct url *url);

/* "/users?type=blue#top" is the path "/users" and the query "type=blue". The
 * query is absent without a '?'. */
void qs_split(struct span target, struct span *path, struct span *query);

/* Takes the next pair off the front of *rest, still encoded; empty pairs are
 * skipped, and a name without '=' has an empty value. False at the end. */
bool qs_next(struct span *rest, struct span *name, struct span *value);

/* Decodes '+' and %XX into OUT, which holds in.n bytes; a '%' that two hex
 * digits do not follow stands for itself. Returns the length. */
size_t qs_decode(char *out, struct span in);

#endif
