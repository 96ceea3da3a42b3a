/* test_sha1.c -- the standard's examples, and every length around the padding.
 *
 * The digests of the long list are digested once more, so that one line stands
 * for all of them: it is what
 *
 *     for n in $(seq 0 200); do head -c $n /dev/zero | tr '\0' a | sha1sum;
 * done
 *
 * prints, each as 20 bytes, through sha1sum again. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/sha1.h"
#include "test.h"

static const struct {
    const char *text, *want;
    size_t times;
} table[] = {
    {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709", 1},
    {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d", 1},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "84983e441c3bd26ebaae4aa1f95129e5e54670f1", 1},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
     "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "a49b2446a02c645bf419f995b67091253a04a259", 1},
    {"a", "34aa973cd4c4daa4f61eeb2bdbad27316534016f", 1000000},
    {"01234567012345670123456701234567",
     "dea356a2cddd90c7a7ecedc5ebb563934f460452", 20},
    {"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
     "b37a4f2cc0624f1690f64606cf385945b2bec4ea", 1},
};

static void check_digest(const void *p, size_t n, const char *want)
{
    unsigned char digest[20];
    char *in = exact(p, n), text[41];

    sha1(digest, in, n);
    for (int i = 0; i < 20; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    CHECK(strcmp(text, want) == 0, "%zu bytes: %s", n, text);
    free(in);
}

int main(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].text);
        char *text = malloc(n * table[i].times + 1);
        if (!text) abort();
        for (size_t k = 0; k < table[i].times; k++)
            memcpy(text + k * n, table[i].text, n);
        check_digest(text, n * table[i].times, table[i].want);
        free(text);
    }

    unsigned char digests[201 * 20];
    char letters[200];
    memset(letters, 'a', sizeof letters);
    for (size_t n = 0; n <= 200; n++) {
        char *in = exact(letters, n);
        sha1(digests + 20 * n, in, n);
        free(in);
    }
    check_digest(digests, sizeof digests,
                 "f6f332e8f89c35ee3df74d34ef8fda777d9647b9");
    return report();
}
