/* ws.h -- WebSocket frames and the handshake's key (RFC 6455).
 *
 * Only what can be said of one frame's head, or of one number, is decided here.
 * Which frames are masked, how they make up messages, and whether the text is
 * UTF-8 is the program's part. */
#ifndef WS_H
#define WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "span.h"

enum ws_opcode { /* section 5.2; from 8 on they are control frames */
                 WS_CONTINUATION = 0,
                 WS_TEXT = 1,
                 WS_BINARY = 2,
                 WS_CLOSE = 8,
                 WS_PING = 9,
                 WS_PONG = 10
};

struct ws_head {
    bool fin;              /* the last frame of its message */
    unsigned char rsv;     /* three bits for extensions, of which we have none:
                            * ws_parse_head() lets only 0 pass */
    unsigned char opcode;  /* an enum ws_opcode */
    bool masked;           /* always from a client, never from a server: 5.1 */
    unsigned char mask[4]; /* if masked */
    uint64_t length;       /* of the payload, bytes; below 2^63 */
};

/* Reads the head of a frame: > 0 the bytes it takes, the payload is next; 0 not
 * whole yet; -1002 not RFC 6455 (reserved bits, unknown opcodes, control frames
 * in fragments or over 125 bytes, lengths of 2^63 and more or not written in
 * the shortest way: sections 5.2 and 5.5), found at the first byte that shows
 * it. Only > 0 fills H. */
ssize_t ws_parse_head(struct ws_head *h, struct span in);

/* Writes a head, its length in the shortest way; returns its bytes, 2 to 14. */
size_t ws_write_head(unsigned char out[14], const struct ws_head *h);

/* Masks n bytes where they are, or unmasks them: it is the same (section 5.3).
 * AT: how much of the payload came before them. */
void ws_mask(char *p, size_t n, const unsigned char mask[4], size_t at);

/* Is this a Sec-WebSocket-Key: 16 bytes in base64 (section 4.2.1)? */
bool ws_key_ok(struct span key);

/* The Sec-WebSocket-Accept that answers a key that ws_key_ok() found good, and
 * a NUL (section 4.2.2, step 5.4). */
void ws_accept_key(char out[29], struct span key);

/* May a close frame carry this code (section 7.4 and IANA's register)? Not
 * those that only report a missing frame (1005, 1006, 1015), nor those below
 * 3000 that are not assigned. */
bool ws_close_ok(int code);

#endif
