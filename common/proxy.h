/* proxy.h -- who the client is, when a proxy stands between: the header of the
 * PROXY protocol, as text (version 1) or binary (version 2), that the proxy
 * sends before anything of the client's. Numbers in brackets are sections of
 * "The PROXY protocol, versions 1 and 2" (HAProxy, 2020).
 *
 * Only a proxy that is trusted may say so: anybody can write such a header. */
#ifndef PROXY_H
#define PROXY_H

#include <sys/types.h>

#include "span.h"

enum {
    PROXY_IP_SIZE = 46,    /* the longest address of IPv6 as text, and NUL */
    PROXY_LINE_MAX = 107,  /* bytes of a header of version 1 (2.1) */
    PROXY_BLOCK_MAX = 4096 /* bytes of one of version 2, with its extensions;
                            * it is meant to fit into one segment (2) */
};

/* Takes the header from the front of the bytes so far. IP becomes the client's
 * address as text, "192.0.2.1" or "2001:db8::1", or "" if the proxy speaks for
 * itself (a health check) or cannot tell: then the socket's own counts.
 * Returns the bytes used, 0 if the header is not whole yet, or -1 if this is
 * none: then the connection has to be dropped (2). */
ssize_t proxy_parse(char ip[PROXY_IP_SIZE], struct span in);

#endif
