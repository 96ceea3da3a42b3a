#define _POSIX_C_SOURCE 200809L

#include "base64.h"

#include <stdint.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(char *out, const void *p, size_t n)
{
    const unsigned char *in = p;
    size_t used = 0;

    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        if (have > 1) bits |= (uint32_t)in[i + 1] << 8;
        if (have > 2) bits |= in[i + 2];

        out[used++] = digits[bits >> 18];
        out[used++] = digits[bits >> 12 & 63];
        out[used++] = have > 1 ? digits[bits >> 6 & 63] : '=';
        out[used++] = have > 2 ? digits[bits & 63] : '=';
    }
    return used;
}

/* Four characters, of which the last PAD stand for nothing, as 24 bits; -1 if
 * one is no digit. */
static int32_t decode_four(const char *p, int pad)
{
    int32_t bits = 0;

    for (int i = 0; i < 4 - pad; i++) {
        const char *at = memchr(digits, p[i], 64);
        if (!at) return -1;
        bits = bits << 6 | (int32_t)(at - digits);
    }
    return bits << 6 * pad;
}

ssize_t base64_decode(void *out, struct span in)
{
    unsigned char *to = out;
    ssize_t used = 0;
    int pad = 0;

    if (in.n % 4 != 0) return -1;
    while (pad < 2 && in.n > 0 && in.p[in.n - 1 - (size_t)pad] == '=') pad++;

    for (size_t i = 0; i < in.n; i += 4) {
        int unused = i + 4 == in.n ? pad : 0;
        int32_t bits = decode_four(in.p + i, unused);
        if (bits < 0 || bits & ((1 << 8 * unused) - 1)) return -1;

        to[used++] = (unsigned char)(bits >> 16);
        if (unused < 2) to[used++] = (unsigned char)(bits >> 8);
        if (unused < 1) to[used++] = (unsigned char)bits;
    }
    return used;
}
