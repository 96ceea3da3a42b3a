/* test_base64.c */
#define _POSIX_C_SOURCE 200809L

#include "../../common/base64.h"
#include "test.h"

static ssize_t decode(unsigned char **out, const char *text, size_t n)
{
    char *copy = exact(text, n);
    *out = (unsigned char *)exact(copy, n / 4 * 3); /* what it must hold */
    ssize_t used = base64_decode(*out, (struct span){copy, n});
    free(copy);
    return used;
}

/* There and back, in memory of just the size that the header names, and to
 * WANT if that is given. No part of the text is taken for something longer or
 * cut in a character. */
static bool round_trip(const void *bytes, size_t n, const char *want)
{
    size_t size = (n + 2) / 3 * 4;
    char *in = exact(bytes, n), *text = malloc(size + 1);
    unsigned char *back;

    if (!text) abort();
    bool ok = base64_encode(text, in, n) == size;
    text[size] = '\0';
    ok = ok && (!want || strcmp(text, want) == 0);
    ok = decode(&back, text, size) == (ssize_t)n && ok;
    ok = ok && memcmp(back, bytes, n) == 0;
    free(back);

    for (size_t cut = 0; cut < size; cut++) {
        ssize_t part = decode(&back, text, cut);
        ok = ok && part == (cut % 4 ? -1 : (ssize_t)cut / 4 * 3);
        free(back);
    }
    free(in);
    free(text);
    return ok;
}

static const struct {
    const char *bytes;
    size_t n;
    const char *text;
} encoded[] = {
    /* RFC 4648, section 10. */
    {"", 0, ""},
    {"f", 1, "Zg=="},
    {"fo", 2, "Zm8="},
    {"foo", 3, "Zm9v"},
    {"foob", 4, "Zm9vYg=="},
    {"fooba", 5, "Zm9vYmE="},
    {"foobar", 6, "Zm9vYmFy"},
    {"\xFB\xFF\xFE", 3, "+//+"},
    {"\0\0\0", 3, "AAAA"},
};

static const char *const malformed[] = {
    "A",    "AA",   "AAA",  "AAAAA",    "=",        "==",       "===",
    "====", "A===", "AA=A", "A=AA",     "=AAA",     "Zg==Zg==", "Zm8=Zm9v",
    "Zg=",  "Zg",   "Zm8",  "Zm9v\n",   "Zm9v\r\n", "Zm 9",     "Zm9\n",
    " Zm9", "Zm9-", "Zm9_", "Zm9*",     "Zm9\xC3",  "Zm9v====", "Zm9vA===",
    "Zh==", "Zm9=", "Zk==", "ZgA=====", "Zg=a",     "Z===",     "Zm9vZh==",
};

int main(void)
{
    for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++)
        CHECK(round_trip(encoded[i].bytes, encoded[i].n, encoded[i].text), "%s",
              encoded[i].text);

    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        unsigned char *out;
        CHECK(decode(&out, malformed[i], strlen(malformed[i])) == -1, "%s",
              malformed[i]);
        free(out);
    }

    /* All two-byte texts, and every byte as each of the four characters. */
    int wrong = 0;
    for (unsigned v = 0; v < 0x10000; v++) {
        unsigned char two[2] = {(unsigned char)(v >> 8), (unsigned char)v};
        wrong += !round_trip(two, 2, NULL);
    }
    CHECK(wrong == 0, "%d of all two-byte texts", wrong);
    wrong = 0;
    for (int c = 0; c < 256; c++) {
        bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c >= '0' && c <= '9') || c == '+' || c == '/';
        for (size_t at = 0; at < 4; at++) {
            char text[] = "AAAA";
            unsigned char *out;
            text[at] = (char)c;
            bool ok = digit || (c == '=' && at == 3);
            wrong += (decode(&out, text, 4) > 0) != ok;
            free(out);
        }
    }
    CHECK(wrong == 0, "%d of all bytes at all places", wrong);
    return report();
}
