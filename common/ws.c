#define _POSIX_C_SOURCE 200809L

#include "ws.h"

#include "base64.h"
#include "sha1.h"

#include <assert.h>

enum { KEY_LENGTH = 24, GUID_LENGTH = 36 };

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/* Two or eight bytes of length: is it shown, by the HAVE bytes there are, that
 * fewer bytes would do, or that the top bit is set? */
static bool length_is_bad(const unsigned char *p, size_t have, size_t of)
{
    if (of == 2) return have == 2 && p[0] == 0 && p[1] < 126;
    return have > 0 &&
           (p[0] > 127 || (have >= 6 && memcmp(p, "\0\0\0\0\0", 6) == 0));
}

ssize_t ws_parse_head(struct ws_head *h, struct span in)
{
    const unsigned char *b = (const unsigned char *)in.p;

    if (in.n < 1) return 0;
    bool fin = b[0] & 0x80;
    unsigned char opcode = b[0] & 0x0F;
    bool control = opcode >= WS_CLOSE;
    if (b[0] & 0x70) return -1002;      /* RSV1 to RSV3 */
    if ((opcode & 7) > 2) return -1002; /* 3 to 7 and 11 to 15 are reserved */
    if (control && !fin) return -1002;  /* section 5.5 */

    if (in.n < 2) return 0;
    bool masked = b[1] & 0x80;
    uint64_t length = b[1] & 0x7F;
    if (control && length > 125) return -1002; /* section 5.5 */

    size_t extra = length == 127 ? 8 : length == 126 ? 2 : 0;
    size_t have = in.n - 2 < extra ? in.n - 2 : extra;
    if (extra > 0 && length_is_bad(b + 2, have, extra)) return -1002;

    size_t used = 2 + extra + (masked ? 4 : 0);
    if (in.n < used) return 0;
    if (extra > 0) length = 0;
    for (size_t i = 0; i < extra; i++) length = length << 8 | b[2 + i];

    *h = (struct ws_head){.fin = fin, .opcode = opcode, .length = length};
    h->masked = masked;
    if (masked) memcpy(h->mask, b + used - 4, 4);
    return (ssize_t)used;
}

size_t ws_write_head(unsigned char out[14], const struct ws_head *h)
{
    size_t extra = h->length > 0xFFFF ? 8 : h->length > 125 ? 2 : 0;
    uint64_t first = extra == 8 ? 127 : extra == 2 ? 126 : h->length;
    size_t used = 2 + extra;

    out[0] = (unsigned char)((h->fin ? 0x80 : 0) | h->rsv << 4 | h->opcode);
    out[1] = (unsigned char)((h->masked ? 0x80 : 0) | first);
    for (size_t i = 0; i < extra; i++)
        out[used - 1 - i] = (unsigned char)(h->length >> 8 * i);
    if (!h->masked) return used;
    memcpy(out + used, h->mask, 4);
    return used + 4;
}

void ws_mask(char *p, size_t n, const unsigned char mask[4], size_t at)
{
    unsigned char key[8]; /* the mask twice, as it stands at p */
    uint64_t eight, key8;
    size_t i = 0;

    for (size_t k = 0; k < 8; k++) key[k] = mask[(at + k) % 4];
    memcpy(&key8, key, 8);
    for (; n - i >= 8; i += 8) {
        memcpy(&eight, p + i, 8); /* memcpy(): p may have any alignment */
        eight ^= key8;
        memcpy(p + i, &eight, 8);
    }
    for (; i < n; i++) p[i] = (char)(p[i] ^ key[i % 8]);
}

bool ws_key_ok(struct span key)
{
    char text[KEY_LENGTH];
    unsigned char bytes[KEY_LENGTH / 4 * 3];

    if (key.n != KEY_LENGTH || memcmp(key.p + 22, "==", 2) != 0) return false;

    /* The RFC's own example of a key (4.1) ends in EC==, with bits set that
     * stand for nothing. With digits for the padding, they stand for some. */
    memcpy(text, key.p, 22);
    memcpy(text + 22, "AA", 2);
    return base64_decode(bytes, (struct span){text, sizeof text}) > 0;
}

void ws_accept_key(char out[29], struct span key)
{
    char text[KEY_LENGTH + GUID_LENGTH];
    unsigned char digest[20];

    assert(key.n == KEY_LENGTH);
    memcpy(text, key.p, KEY_LENGTH);
    memcpy(text + KEY_LENGTH, guid, GUID_LENGTH);
    sha1(digest, text, sizeof text);
    out[base64_encode(out, digest, sizeof digest)] = '\0';
}

bool ws_close_ok(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
