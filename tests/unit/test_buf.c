/* test_buf.c -- against a plain array, and at the limits. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/buf.h"
#include "test.h"

#include <stdint.h>
#include <wchar.h>

/* The address sanitizer's malloc() shall say no as others do. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static bool holds(const struct buf *b, const char *want, size_t n)
{
    return buf_len(b) == n && buf_span(b).n == n &&
           buf_span(b).p == buf_at(b) &&
           (n == 0 || memcmp(buf_at(b), want, n) == 0);
}

static void empty(void)
{
    struct buf b = {.max = 10};

    CHECK(buf_len(&b) == 0 && !buf_at(&b) && !buf_span(&b).p, "all zeros");
    buf_add(&b, NULL, 0);
    buf_puts(&b, "");
    buf_addf(&b, "%s", "");
    buf_drop(&b, 0);
    CHECK(holds(&b, "", 0) && !b.failed, "nothing added");
    buf_free(&b);
    buf_free(&b);
    CHECK(!b.data && b.max == 10, "freed twice");
}

/* Exactly max bytes go in; one more is refused whole, and so is all that
 * follows, until it is freed. */
static void full(void)
{
    static const size_t sizes[] = {1, 2, 255, 256, 257, 1000, 5000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        struct buf b = {.max = n};
        char *text = malloc(n + 1);
        if (!text) abort();
        memset(text, 'x', n + 1);

        buf_add(&b, text, n);
        CHECK(holds(&b, text, n) && !b.failed, "%zu", n);
        buf_drop(&b, n);
        CHECK(holds(&b, "", 0), "%zu, dropped", n);
        buf_add(&b, text, 1);
        buf_add(&b, text, n);
        CHECK(holds(&b, text, 1) && b.failed, "%zu and 1", n);
        buf_drop(&b, 1);
        buf_puts(&b, "y");
        buf_addf(&b, "%d", 1);
        CHECK(holds(&b, "", 0) && b.failed && !buf_room(&b, 1), "failed");
        buf_free(&b);
        CHECK(!b.failed && b.max == n, "ready for use");
        buf_add(&b, text, n + 1);
        CHECK(holds(&b, "", 0) && b.failed, "%zu in a piece", n + 1);
        buf_free(&b);
        CHECK(!buf_room(&b, SIZE_MAX) && b.failed, "SIZE_MAX");
        buf_free(&b);
        free(text);
    }

    struct buf none = {0};
    buf_puts(&none, "x");
    CHECK(none.failed && !none.data, "max 0");

    /* Memory that is not to be had: only asked for, never touched. */
    struct buf huge = {.max = SIZE_MAX};
    CHECK(!buf_room(&huge, SIZE_MAX) && huge.failed, "no memory");
    buf_addf(&huge, "x");
    CHECK(buf_len(&huge) == 0, "no memory");
}

static void formatted(void)
{
    static const size_t sizes[] = {1, 510, 511, 512, 513, 3000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int n = (int)sizes[i];
        char want[4000];
        struct buf b = {.max = 3100};

        memset(want, ' ', sizeof want);
        memcpy(want, "ab", 2);
        want[2 + n - 1] = '7';
        buf_puts(&b, "ab");
        buf_addf(&b, "%*d", n, 7);
        CHECK(holds(&b, want, (size_t)n + 2) && !b.failed, "%d", n);
        want[2 + n] = 'z';
        buf_addf(&b, "%c", 'z');
        CHECK(holds(&b, want, (size_t)n + 3), "%d and z", n);
        buf_free(&b);

        b.max = (size_t)n + 1; /* a long one needs room for its NUL, too */
        buf_addf(&b, "%*d", n, 7);
        CHECK(buf_len(&b) == (size_t)n && !b.failed, "%d into %d", n, n + 1);
        buf_free(&b);
        b.max = (size_t)n - 1;
        buf_addf(&b, "%*d", n, 7);
        CHECK(holds(&b, "", 0) && b.failed, "%d into %d", n, n - 1);
        buf_free(&b);
    }

    /* The "C" locale has no such character. */
    struct buf b = {.max = 100};
    buf_puts(&b, "ab");
    buf_addf(&b, "%lc", (wint_t)0x20AC);
    CHECK(b.failed && holds(&b, "ab", 2), "not to be printed");
    buf_free(&b);
}

/* Room may be taken and not used, or in part. */
static void room(void)
{
    struct buf b = {.max = 1000};

    char *p = buf_room(&b, 600);
    CHECK(p && buf_len(&b) == 0, "600");
    memset(p, 'a', 600);
    b.end += 2;
    p = buf_room(&b, 998);
    CHECK(p == buf_at(&b) + 2, "behind the two");
    memset(p, 'b', 998);
    b.end += 998;
    CHECK(buf_len(&b) == 1000 && memcmp(buf_at(&b), "aab", 3) == 0, "aab");
    CHECK(buf_room(&b, 0) != NULL && !b.failed, "none");
    CHECK(!buf_room(&b, 1) && b.failed, "1 more");
    buf_free(&b);
}

/* A full buffer of which some has been dropped: an add makes room by moving
 * what is left, and no byte of it changes. */
static void add_after_drop(void)
{
    int wrong = 0;

    for (size_t n = 1; n < 256; n++) {
        struct buf b = {.max = 1000};
        unsigned char all[256 + 1];

        for (size_t i = 0; i < sizeof all; i++) all[i] = (unsigned char)i;
        buf_add(&b, all, 256);
        buf_drop(&b, n);
        buf_add(&b, all + 256, 1);
        if (!holds(&b, (const char *)all + n, 257 - n)) wrong++;
        buf_free(&b);
    }
    CHECK(wrong == 0, "%d", wrong);
}

static void drop_too_much(void)
{
    struct buf b = {.max = 10};
    buf_puts(&b, "abc");
    buf_drop(&b, 4);
}

/* Adds and drops of all sizes, with the same done to a plain array. The memory
 * it takes stays within a small factor of what it ever held. */
static void at_random(void)
{
    static char plain[1 << 20], chunk[3000];
    struct buf b = {.max = sizeof plain};
    size_t len = 0, most = 0;
    unsigned random = 1;
    int wrong = 0;

    for (int turn = 0; turn < 20000; turn++) {
        random = random * 1103515245 + 12345;
        size_t n = (random >> 8) % (turn % 7 ? 40 : sizeof chunk);
        if (random >> 30 & 1 && len + n <= 50000) {
            memset(chunk, (char)turn, n);
            buf_add(&b, chunk, n);
            memcpy(plain + len, chunk, n);
            len += n;
        } else {
            if (n > len) n = len;
            buf_drop(&b, n);
            memmove(plain, plain + n, len - n);
            len -= n;
        }
        if (len > most) most = len;
        wrong += !holds(&b, plain, len) || b.end > b.cap ||
                 b.cap > 4 * (most + sizeof chunk);
    }
    CHECK(wrong == 0, "%d of 20000 turns", wrong);

    /* A queue that never empties moves its bytes without growing. */
    buf_free(&b);
    for (int i = 0; i < 100000; i++) {
        buf_puts(&b, "0123456789");
        if (i >= 10) buf_drop(&b, 10);
    }
    CHECK(buf_len(&b) == 100 && b.cap <= 1024, "%zu bytes for 100", b.cap);
    buf_free(&b);
}

int main(void)
{
    empty();
    full();
    formatted();
    room();
    add_after_drop();
    CHECK(aborts(drop_too_much), "4 of 3 bytes");
    at_random();
    return report();
}
