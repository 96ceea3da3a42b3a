/* fuzz_utf8.c -- cut anywhere, the outcome is the same, and that of a reading
 * by numbers, not by bytes; what was repaired is UTF-8, and what is UTF-8 is
 * left as it is. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/utf8.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_utf8(struct span text)
{
    struct utf8 u = {0};
    return utf8_next(&u, text) && utf8_whole(&u);
}

/* RFC 3629, section 3: the characters' numbers, from the shortest forms. */
static bool by_numbers(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

    while (n > 0) {
        size_t more = *p < 0x80   ? 0
                      : *p < 0xC0 ? 9
                      : *p < 0xE0 ? 1
                      : *p < 0xF0 ? 2
                      : *p < 0xF8 ? 3
                                  : 9;
        if (more >= n || more == 9) return false;
        uint32_t c = more == 0 ? *p : *p & (0x3Fu >> more);
        for (size_t i = 1; i <= more; i++) {
            if ((p[i] & 0xC0) != 0x80) return false;
            c = c << 6 | (p[i] & 0x3F);
        }
        if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
            return false;
        p += more + 1;
        n -= more + 1;
    }
    return true;
}

static void repair(struct span text)
{
    struct buf once = {.max = 3 * text.n}, twice = {.max = 3 * text.n};

    utf8_repair(&once, text);
    assert(!once.failed && is_utf8(buf_span(&once)));
    utf8_repair(&twice, buf_span(&once));
    assert(buf_len(&twice) == buf_len(&once));
    if (buf_len(&once) > 0)
        assert(memcmp(buf_at(&twice), buf_at(&once), buf_len(&once)) == 0);
    bool same = buf_len(&once) == text.n &&
                (text.n == 0 || memcmp(buf_at(&once), text.p, text.n) == 0);
    assert(same == is_utf8(text));
    buf_free(&once);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct utf8 all = {0}, bytes = {0};
    bool ok = utf8_next(&all, (struct span){p, size}), same = true;

    for (size_t i = 0; i < size && same; i++)
        same = utf8_next(&bytes, (struct span){p + i, 1});
    assert(same == ok);
    assert(!ok || utf8_whole(&all) == utf8_whole(&bytes));

    for (size_t cut = 0; cut <= size && cut < 100; cut++) {
        struct utf8 u = {0};
        bool parts = utf8_next(&u, (struct span){p, cut}) &&
                     utf8_next(&u, (struct span){p + cut, size - cut});
        assert(parts == ok);
        assert(!ok || utf8_whole(&all) == utf8_whole(&u));
    }
    assert((ok && utf8_whole(&all)) == by_numbers(data, size));
    repair((struct span){p, size});
    return 0;
}
