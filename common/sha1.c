#define _POSIX_C_SOURCE 200809L

#include "sha1.h"

#include <stdint.h>
#include <string.h>

static uint32_t rotate(uint32_t x, int bits)
{
    return x << bits | x >> (32 - bits);
}

/* Ch, Parity, Maj, Parity: twenty rounds each (section 4.1.1). */
static uint32_t mix(int round, uint32_t b, uint32_t c, uint32_t d)
{
    switch (round / 20) {
    case 0: return (b & c) ^ (~b & d);
    case 2: return (b & c) ^ (b & d) ^ (c & d);
    default: return b ^ c ^ d;
    }
}

/* One block of 64 bytes, with the names of section 6.1.2. */
static void add_block(uint32_t h[5], const unsigned char *block)
{
    static const uint32_t k[] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC,
                                 0xCA62C1D6};
    uint32_t w[80];

    for (int t = 0; t < 16; t++, block += 4)
        w[t] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 |
               (uint32_t)block[2] << 8 | block[3];
    for (int t = 16; t < 80; t++)
        w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);

    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 80; t++) {
        uint32_t sum = rotate(a, 5) + mix(t, b, c, d) + e + k[t / 20] + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = sum;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

void sha1(unsigned char out[20], const void *p, size_t n)
{
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476,
                     0xC3D2E1F0};
    const unsigned char *in = p;
    size_t left = n;

    for (; left >= 64; in += 64, left -= 64) add_block(h, in);

    /* What is left, a bit 1, zeros, and the length in bits in the last eight
     * bytes of one more block, or of two if it does not fit (section 5.1.1). */
    unsigned char last[128] = {0};
    if (left > 0) memcpy(last, in, left);
    last[left] = 0x80;
    size_t size = left < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)n * 8;
    for (size_t i = 1; i <= 8; i++, bits >>= 8)
        last[size - i] = (unsigned char)bits;
    for (size_t i = 0; i < size; i += 64) add_block(h, last + i);

    for (int i = 0; i < 20; i++)
        out[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}
