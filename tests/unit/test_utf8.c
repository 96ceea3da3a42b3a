/* test_utf8.c -- against tables of what UTF-8 is, made by encoding every
 * character: nothing in them is shared with the decoder. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/utf8.h"
#include "test.h"

/* What one, two or three bytes are. */
enum { CHARACTER = 1, BEGINNING = 2 };
static unsigned char kind1[1 << 8], kind2[1 << 16], kind3[1 << 24];

static size_t encode(unsigned char out[4], unsigned long c)
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (unsigned char)(0xC0 + c / 64);
        out[1] = (unsigned char)(0x80 + c % 64);
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char)(0xE0 + c / 4096);
        out[1] = (unsigned char)(0x80 + c / 64 % 64);
        out[2] = (unsigned char)(0x80 + c % 64);
        return 3;
    }
    out[0] = (unsigned char)(0xF0 + c / 262144);
    out[1] = (unsigned char)(0x80 + c / 4096 % 64);
    out[2] = (unsigned char)(0x80 + c / 64 % 64);
    out[3] = (unsigned char)(0x80 + c % 64);
    return 4;
}

static unsigned char *kind(const unsigned char *p, size_t n)
{
    if (n == 1) return &kind1[p[0]];
    if (n == 2) return &kind2[p[0] << 8 | p[1]];
    return &kind3[p[0] << 16 | p[1] << 8 | p[2]];
}

static bool check(const void *p, size_t n, bool *whole)
{
    struct utf8 u = {0};
    bool ok = utf8_next(&u, (struct span){p, n});
    *whole = utf8_whole(&u);
    return ok;
}

/* Every character there is passes, is whole only at its end, and fills the
 * tables. */
static void all_characters(void)
{
    int wrong = 0;

    for (unsigned long c = 0; c <= 0x10FFFF; c++) {
        unsigned char text[4];
        bool whole;

        if (c >= 0xD800 && c <= 0xDFFF) continue;
        size_t n = encode(text, c);
        for (size_t i = 1; i <= n; i++) {
            wrong += !check(text, i, &whole) || whole != (i == n);
            if (i < 4) *kind(text, i) |= i == n ? CHARACTER : BEGINNING;
        }
    }
    CHECK(wrong == 0, "%d wrong", wrong);
}

/* The same outcome for at most three bytes, from the tables. */
static bool expected(const unsigned char *p, size_t n, bool *whole)
{
    *whole = true;
    for (size_t i = 1; i <= n; i++)
        if (*kind(p, i) & CHARACTER) return expected(p + i, n - i, whole);
    *whole = n == 0;
    return n == 0 || *kind(p, n) & BEGINNING;
}

static void all_short_sequences(void)
{
    for (size_t n = 1; n <= 3; n++) {
        int wrong = 0;
        for (unsigned long v = 0; v < 1UL << 8 * n; v++) {
            unsigned char text[3];
            bool whole, want_whole;

            for (size_t i = 0; i < n; i++)
                text[i] = (unsigned char)(v >> 8 * (n - 1 - i));
            bool want = expected(text, n, &want_whole);
            wrong +=
                check(text, n, &whole) != want || (want && whole != want_whole);
        }
        CHECK(wrong == 0, "%d of %zu bytes", wrong, n);
    }
}

enum outcome { BAD, CUT, WHOLE };

/* In one piece, byte by byte, and in two pieces wherever it can be cut: the
 * same outcome, from memory that ends with the piece. */
static void try(const char *text, size_t n, enum outcome want)
{
    int wrong = 0;

    for (size_t cut = 0; cut <= n; cut++) {
        struct utf8 u = {0};
        char *a = exact(text, cut), *b = exact(text + cut, n - cut);
        bool ok = utf8_next(&u, (struct span){a, cut}) &&
                  utf8_next(&u, (struct span){b, n - cut});
        enum outcome got = !ok ? BAD : utf8_whole(&u) ? WHOLE : CUT;
        wrong += got != want;
        free(a);
        free(b);
    }
    CHECK(wrong == 0, "\"%s\": %d of the ways to cut it", text, wrong);

    struct utf8 u = {0};
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        char *a = exact(text + i, 1);
        ok = utf8_next(&u, (struct span){a, 1});
        free(a);
    }
    enum outcome got = !ok ? BAD : utf8_whole(&u) ? WHOLE : CUT;
    CHECK(got == want, "\"%s\" byte by byte", text);
}

static const struct {
    const char *text;
    enum outcome want;
    const char *repaired;
} table[] = {
    {"", WHOLE, ""},
    {"plain ASCII of more than eight bytes", WHOLE,
     "plain ASCII of more than eight bytes"},
    {"\x7F", WHOLE, "\x7F"},
    {"Cian \xC3\x93 Maid\xC3\xADn", WHOLE, "Cian \xC3\x93 Maid\xC3\xADn"},
    {"eight...\xE4\xBD\xA0...eight and more", WHOLE,
     "eight...\xE4\xBD\xA0...eight and more"},
    {"\xF4\x8F\xBF\xBF", WHOLE, "\xF4\x8F\xBF\xBF"},
    {"\xEF\xBB\xBF", WHOLE, "\xEF\xBB\xBF"}, /* a byte order mark is text */
    {"\xC3", CUT, "?"},
    {"\xE4\xBD", CUT, "?"},
    {"\xF0\x9F\x98", CUT, "?"},
    {"four\xF0\x9F", CUT, "four?"},
    {"\xFF", BAD, "?"},
    {"\x80", BAD, "?"},
    {"a\x80\x80z", BAD, "a??z"},
    {"\xC0\x80", BAD, "??"},
    {"\xC1\xBF", BAD, "??"},
    {"\xE0\x9F\xBF", BAD, "???"},
    {"\xED\xA0\x80", BAD, "???"}, /* a surrogate, D800 */
    {"\xED\xBF\xBF", BAD, "???"}, /* and DFFF */
    {"\xF0\x8F\xBF\xBF", BAD, "????"},
    {"\xF4\x90\x80\x80", BAD, "????"}, /* U+110000 */
    {"\xF5\x80", BAD, "??"},
    {"\xE4\xBDz", BAD, "?z"},
    {"\xE4\xE4\xBD\xA0", BAD, "?\xE4\xBD\xA0"},
    {"\xF0\x9F\x98\xFFz", BAD, "??z"},
    {"\xF0\x9F\x98\xC3\xA9", BAD, "?\xC3\xA9"},
    {"\xC3"
     "abcdefgh\xA9",
     BAD, "?abcdefgh?"}, /* eight at once do not fill a gap */
    {"eight...and\xFFmore after it", BAD, "eight...and?more after it"},
    /* The Unicode standard's own example (section 3.9, table 3-8). */
    {"a\xF1\x80\x80\xE1\x80\xC2"
     "b\x80"
     "c\x80\xBF"
     "d",
     BAD, "a???b?c??d"},
};

static bool repaired_is(const char *text, size_t n, const char *want)
{
    struct buf out = {.max = 3 * n}, plain = {.max = 1000};
    char *a = exact(text, n);

    utf8_repair(&out, (struct span){a, n});
    for (; *want; want++)
        *want == '?' ? buf_puts(&plain, "\xEF\xBF\xBD")
                     : buf_add(&plain, want, 1);
    bool same = !out.failed && buf_len(&out) == buf_len(&plain) &&
                (buf_len(&out) == 0 ||
                 memcmp(buf_at(&out), buf_at(&plain), buf_len(&out)) == 0);
    free(a);
    buf_free(&out);
    buf_free(&plain);
    return same;
}

/* What utf8_repair() makes, with '?' for U+FFFD, by the definition itself: at
 * each place a character, or the longest beginning of one, or one byte. Only
 * for texts without characters of four bytes. */
static void repair_slowly(char *out, const unsigned char *p, size_t n)
{
    while (n > 0) {
        size_t character = 0, subpart = 1;
        for (size_t i = 1; i <= n && i <= 3; i++) {
            if (*kind(p, i) & CHARACTER) character = i;
            if (*kind(p, i) & BEGINNING) subpart = i;
        }
        if (character)
            memcpy(out, p, character);
        else
            *out = '?';
        out += character ? character : 1;
        p += character ? character : subpart;
        n -= character ? character : subpart;
    }
    *out = '\0';
}

/* All sequences of one to four bytes that stand at a border of some range. */
static void repair_borders(void)
{
    static const unsigned char border[] = {
        0x01, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
        0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    const size_t base = sizeof border;

    for (size_t n = 1, count = base; n <= 4; n++, count *= base) {
        int wrong = 0;
        for (size_t v = 0; v < count; v++) {
            unsigned char text[4];
            char want[5];
            bool whole;
            size_t rest = v;

            for (size_t i = 0; i < n; i++, rest /= base)
                text[i] = border[rest % base];
            if (n == 4 && check(text, n, &whole) && *kind(text, 3) & BEGINNING)
                continue;
            repair_slowly(want, text, n);
            wrong += !repaired_is((char *)text, n, want);
        }
        CHECK(wrong == 0, "%d of %zu bytes", wrong, n);
    }
}

int main(void)
{
    all_characters();
    all_short_sequences();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        try(table[i].text, strlen(table[i].text), table[i].want);
        CHECK(repaired_is(table[i].text, strlen(table[i].text),
                          table[i].repaired),
              "\"%s\"", table[i].text);
    }
    try("a\0b", 3, WHOLE);
    repair_borders();

    struct buf small = {.max = 2};
    utf8_repair(&small, span_of("\xFF"));
    CHECK(small.failed && buf_len(&small) == 0, "no room for U+FFFD");
    return report();
}
