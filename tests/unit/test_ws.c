/* test_ws.c */
#define _POSIX_C_SOURCE 200809L

#include "../../common/ws.h"
#include "test.h"

/* What ws_parse_head() says of the bytes so far, which is all it may see. */
static ssize_t parse(struct ws_head *h, const void *p, size_t n)
{
    char *copy = exact(p, n);
    ssize_t used = ws_parse_head(h, (struct span){copy, n});
    free(copy);
    return used;
}

/* A head, with four bytes of payload behind it: cut anywhere it is not whole,
 * and from its last byte on it is. */
static void accepted(const struct ws_head *want)
{
    unsigned char wire[14 + 4] = {0};
    size_t size = ws_write_head(wire, want);
    struct ws_head h;
    int wrong = 0;

    for (size_t n = 0; n <= size + 4; n++)
        wrong += parse(&h, wire, n) != (n < size ? 0 : (ssize_t)size);
    CHECK(wrong == 0, "opcode %d, length %llu: %d of the ways to cut it",
          want->opcode, (unsigned long long)want->length, wrong);
    CHECK(h.fin == want->fin && h.rsv == 0 && h.opcode == want->opcode &&
              h.masked == want->masked && h.length == want->length &&
              memcmp(h.mask, want->mask, 4) == 0,
          "opcode %d, length %llu", want->opcode,
          (unsigned long long)want->length);
}

static void all_heads(void)
{
    static const struct {
        uint64_t length;
        size_t size;
    } table[] = {
        {0, 2},           {1, 2},
        {124, 2},         {125, 2},
        {126, 4},         {127, 4},
        {255, 4},         {256, 4},
        {65535, 4},       {65536, 10},
        {1 << 24, 10},    {UINT32_MAX, 10},
        {1ULL << 32, 10}, {INT64_MAX - 1, 10},
        {INT64_MAX, 10},
    };
    static const unsigned char opcodes[] = {WS_CONTINUATION, WS_TEXT, WS_BINARY,
                                            WS_CLOSE,        WS_PING, WS_PONG};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (size_t k = 0; k < 4 * sizeof opcodes; k++) {
            struct ws_head h = {.fin = k & 1,
                                .opcode = opcodes[k / 4],
                                .masked = k & 2,
                                .length = table[i].length};
            unsigned char wire[14];

            if (h.masked) memcpy(h.mask, "\x37\xFA\x21\x3D", 4);
            CHECK(ws_write_head(wire, &h) == table[i].size + (h.masked ? 4 : 0),
                  "length %llu", (unsigned long long)h.length);
            if (h.opcode < WS_CLOSE || (h.fin && h.length <= 125)) accepted(&h);
        }
    }
}

/* Every pair of first bytes, by the letter of sections 5.2 and 5.5. */
static void all_beginnings(void)
{
    int wrong = 0;

    for (unsigned v = 0; v < 0x10000; v++) {
        unsigned char b[2] = {(unsigned char)(v >> 8), (unsigned char)v};
        bool fin = b[0] >= 128;
        int rsv = b[0] / 16 % 8, opcode = b[0] % 16, length = b[1] % 128;
        bool data = opcode <= 2, control = opcode >= 8 && opcode <= 10;
        struct ws_head h;

        bool one = rsv == 0 && (data || (control && fin));
        bool two = one && (data || length <= 125);
        bool whole = b[1] < 126;
        wrong += parse(&h, b, 1) != (one ? 0 : -1002);
        wrong += parse(&h, b, 2) != (!two ? -1002 : whole ? 2 : 0);
    }
    CHECK(wrong == 0, "%d wrong", wrong);
}

/* Heads refused, and how many bytes it takes to know. */
static void refused(void)
{
    static const struct {
        const char *wire;
        size_t known;
    } table[] = {
        {"\xC1\x85\0\0\0\0\0\0\0\0\0\0\0\0", 1},
        {"\x83\x85\0\0\0\0\0\0\0\0\0\0\0\0", 1},
        {"\x09\x80\0\0\0\0\0\0\0\0\0\0\0\0", 1},
        {"\x89\xFE\0\x7E\0\0\0\0\0\0\0\0\0\0", 2},
        {"\x88\xFF\0\0\0\0\0\1\0\0\0\0\0\0", 2},
        {"\x82\xFE\0\0\0\0\0\0\0\0\0\0\0\0", 4},
        {"\x82\xFE\0\x7D\0\0\0\0\0\0\0\0\0\0", 4},
        {"\x82\xFF\x80\0\0\0\0\0\0\0\0\0\0\0", 3},
        {"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0", 3},
        {"\x82\xFF\0\0\0\0\0\0\0\0\0\0\0\0", 8},
        {"\x82\x7F\0\0\0\0\0\0\xFF\xFF\0\0\0\0", 8},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct ws_head h;
        int wrong = 0;
        for (size_t n = 0; n <= 14; n++)
            wrong +=
                parse(&h, table[i].wire, n) != (n < table[i].known ? 0 : -1002);
        CHECK(wrong == 0, "line %zu: %d of the ways to cut it", i, wrong);
    }
}

/* The examples of section 5.7. */
static void examples(void)
{
    struct ws_head h;
    char hello[] = "\x7f\x9f\x4d\x51\x58";
    unsigned char wire[14];

    CHECK(parse(&h, "\x81\x05Hello", 7) == 2, "unmasked text");
    CHECK(h.fin && h.opcode == WS_TEXT && !h.masked && h.length == 5, "text");
    CHECK(parse(&h, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11) == 6,
          "masked text");
    CHECK(h.masked && h.length == 5, "masked text");
    ws_mask(hello, 5, h.mask, 0);
    CHECK(strcmp(hello, "Hello") == 0, "%s", hello);
    CHECK(parse(&h, "\x01\x03Hel", 5) == 2 && !h.fin, "a first fragment");
    CHECK(parse(&h, "\x80\x02lo", 4) == 2 && h.opcode == 0, "the last one");
    CHECK(parse(&h, "\x82\x7E\x01\x00", 4) == 4 && h.length == 256, "256");
    CHECK(parse(&h, "\x82\x7F\0\0\0\0\0\1\0\0", 10) == 10 && h.length == 65536,
          "65536");

    h = (struct ws_head){.fin = true, .rsv = 4, .opcode = WS_TEXT};
    CHECK(ws_write_head(wire, &h) == 2 && wire[0] == 0xC1, "%02x", wire[0]);
}

/* Any length, alignment and place in the payload, against one byte a time;
 * cut anywhere it comes out the same. */
static void masking(void)
{
    static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    char plain[64], want[64];

    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (char)(i * 37);
    for (size_t n = 0; n <= 40; n++) {
        int wrong = 0;
        for (size_t at = 0; at < 9; at++) {
            for (size_t i = 0; i < n; i++)
                want[i] = (char)(plain[i] ^ mask[(at + i) % 4]);
            for (size_t off = 0; off < 8; off++) {
                char *room = malloc(off + n + 1);
                if (!room) abort();
                memcpy(room + off, plain, n);
                ws_mask(room + off, n, mask, at);
                wrong += memcmp(room + off, want, n) != 0;
                free(room);
            }
            for (size_t cut = 0; cut <= n; cut++) {
                char *a = exact(plain, cut), *b = exact(plain + cut, n - cut);
                ws_mask(a, cut, mask, at);
                ws_mask(b, n - cut, mask, at + cut);
                wrong += memcmp(a, want, cut) != 0 ||
                         memcmp(b, want + cut, n - cut) != 0;
                free(a);
                free(b);
            }
        }
        CHECK(wrong == 0, "%zu bytes: %d wrong", n, wrong);
    }
    ws_mask(NULL, 0, mask, 3);
}

static void answer_to_a_short_key(void)
{
    char answer[29];
    ws_accept_key(answer, span_of("dGhlIHNhbXBsZSBub25jZQ="));
}

static void keys(void)
{
    static const struct {
        const char *key;
        bool ok;
    } table[] = {
        {"dGhlIHNhbXBsZSBub25jZQ==", true}, /* section 1.3 */
        {"AQIDBAUGBwgJCgsMDQ4PEC==", true}, /* section 4.1 */
        {"AAAAAAAAAAAAAAAAAAAAAA==", true},
        {"+/+/+/+/+/+/+/+/+/+/+w==", true},
        {"", false},
        {"dGhlIHNhbXBsZSBub25jZQ=", false},
        {"dGhlIHNhbXBsZSBub25jZQ", false},
        {"dGhlIHNhbXBsZSBub25jZQ== ", false},
        {"dGhlIHNhbXBsZSBub25jZQ===", false},
        {"dGhlIHNhbXBsZSBub25jZQA=", false}, /* 17 bytes */
        {"dGhlIHNhbXBsZSBub25jZQAA", false}, /* 18 */
        {"dGhlIHNhbXBsZSBub25jZ===", false},
        {"dGhlIHNhbXBsZSBub25j====", false},
        {"dGhlIHNhbXBsZSBub2==ZQ==", false},
        {"dGhlIHNhbXBsZSBub25j-_==", false},
        {"dGhlIHNhbXBsZSBub25j Q==", false},
        {"dGhlIHNhbXBsZSBub25=ZQ==", false},
        {"dGhlIHNhbXBsZSBub25jZQ=A", false},
        {"dGhlIHNhbXBsZQ==", false},                 /* 10 bytes */
        {"dGhlIHNhbXBsZSBub25jZSBub25jZQ==", false}, /* 22 */
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].key);
        char *copy = exact(table[i].key, n);
        CHECK(ws_key_ok((struct span){copy, n}) == table[i].ok, "%s",
              table[i].key);
        int wrong = 0;
        for (size_t cut = 0; cut < n && table[i].ok; cut++)
            wrong += ws_key_ok((struct span){copy, cut});
        CHECK(wrong == 0, "%s: %d of its parts", table[i].key, wrong);
        free(copy);
    }
    CHECK(!ws_key_ok((struct span){NULL, 0}), "no key");

    char answer[29];
    ws_accept_key(answer, span_of("dGhlIHNhbXBsZSBub25jZQ=="));
    CHECK(strcmp(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0, "%s", answer);
    CHECK(aborts(answer_to_a_short_key), "for a key that ws_key_ok() refuses");
}

static void close_codes(void)
{
    static const struct {
        int from, to;
        bool ok;
    } table[] = {
        {-1, 999, false},     {1000, 1003, true},  {1004, 1006, false},
        {1007, 1014, true},   {1015, 2999, false}, {3000, 4999, true},
        {5000, 65535, false},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int wrong = 0;
        for (int code = table[i].from; code <= table[i].to; code++)
            wrong += ws_close_ok(code) != table[i].ok;
        CHECK(wrong == 0, "%d to %d", table[i].from, table[i].to);
    }
}

int main(void)
{
    all_heads();
    all_beginnings();
    refused();
    examples();
    masking();
    keys();
    close_codes();
    return report();
}
