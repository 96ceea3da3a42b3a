/* sha1.h -- the SHA-1 digest of some bytes (FIPS 180-4, section 6.1).
 *
 * SHA-1 has long been broken as a seal: two texts with the same digest can be
 * made. It is here for the WebSocket handshake alone, where it proves only that
 * the server read the request (RFC 6455, section 10.8). Use it for nothing
 * else. */
#ifndef SHA1_H
#define SHA1_H

#include <stddef.h>

void sha1(unsigned char out[20], const void *p, size_t n);

#endif
