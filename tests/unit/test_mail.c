/* test_mail.c */
#define _POSIX_C_SOURCE 200809L

#include "../../smtp-client/mail.h"
#include "test.h"

/* ---- replies ------------------------------------------------------------- */

static const struct {
    const char *in;
    int code; /* 0: not whole yet; -1: no reply */
    int used; /* if not all of it */
} replies[] = {
    {"220 smtp.example.com ready\r\n", 220, 0},
    {"250 \r\n", 250, 0},
    {"250\r\n", 250, 0}, /* RFC 5321, 4.2: a code alone is to be taken */
    {"250 OK\n", 250, 0},
    {"250\n", 250, 0},
    {"250-a\r\n250-b\r\n250 c\r\n", 250, 0},
    {"250-\r\n250\r\n", 250, 0},
    {"599 x\r\n", 599, 0},
    {"200 x\r\n", 200, 0},
    {"250 a\r\n250 b\r\n", 250, 7},
    {"250 \xff \x1b\r\n", 250, 0},
    {"", 0, 0},
    {"2", 0, 0},
    {"25", 0, 0},
    {"250", 0, 0},
    {"250 a", 0, 0},
    {"250 a\r", 0, 0},
    {"250-a\r\n", 0, 0},
    {"250-a\r\n25", 0, 0},
    {"250-a\r\n250-b\r\n", 0, 0},
    {"150 a\r\n", -1, 0},
    {"650 a\r\n", -1, 0},
    {"\r\n", -1, 0},
    {" 250 a\r\n", -1, 0},
    {"25\r\n", -1, 0},
    {"2500 a\r\n", -1, 0},
    {"250_a\r\n", -1, 0},
    {"250\ta\r\n", -1, 0},
    {"25x", -1, 0},
    {"HTTP/1.1 400 Bad Request\r\n", -1, 0},
    {"250-a\r\n251 b\r\n", -1, 0}, /* all lines of a reply say the same */
    {"250-a\r\n550 b\r\n", -1, 0},
    {"250-a\r\nb\r\n", -1, 0},
    {"250-a\r\n\r\n", -1, 0},
};

static ssize_t parse(const char *p, size_t n, int *code)
{
    char *copy = exact(p, n);
    ssize_t used = mail_parse_reply(code, (struct span){copy, n});
    free(copy);
    return used;
}

static void test_replies(void)
{
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        const char *in = replies[i].in;
        size_t n = strlen(in);
        ssize_t want = replies[i].used > 0 ? replies[i].used : (ssize_t)n;
        int code = 0;
        if (replies[i].code <= 0) want = replies[i].code;

        ssize_t used = parse(in, n, &code);
        CHECK(used == want, "%s: %zd", in, used);
        CHECK(code == (want > 0 ? replies[i].code : 0), "%s: %d", in, code);

        /* Cut anywhere: not whole yet, and a refusal stays one. */
        bool bad = false;
        for (size_t cut = 0; cut < (want > 0 ? (size_t)want : n); cut++) {
            used = parse(in, cut, &code);
            CHECK(used == 0 || (used == -1 && want == -1), "%s at %zu", in,
                  cut);
            CHECK(!bad || used == -1, "%s at %zu", in, cut);
            bad = used == -1;
        }
    }
}

static void test_lines(void)
{
    struct span reply = span_of("250-a b\r\n250-\r\n250 \xff\n250\r\n"), text;

    CHECK(mail_next_line(&reply, &text) && span_is(text, "a b"), "1");
    CHECK(mail_next_line(&reply, &text) && span_is(text, ""), "2");
    CHECK(mail_next_line(&reply, &text) && span_is(text, "\xff"), "3");
    CHECK(mail_next_line(&reply, &text) && span_is(text, ""), "4");
    CHECK(!mail_next_line(&reply, &text), "the end");
}

static void test_offers(void)
{
    struct span reply = span_of("250-PIPELINING here\r\n250-size 1000\r\n"
                                "250-8BITMIME\r\n250-XSMTPUTF8\r\n"
                                "250 SMTPUTF8x\r\n"),
                value = {NULL, 0};

    CHECK(!mail_offers(reply, "PIPELINING", &value), "the server's name");
    CHECK(mail_offers(reply, "SIZE", &value) && span_is(value, "1000"), "-");
    CHECK(mail_offers(reply, "8BITMIME", &value) && !value.p, "-");
    CHECK(!mail_offers(reply, "SMTPUTF8", &value), "others");
    CHECK(!mail_offers(span_of("250 a\r\n"), "SIZE", &value), "none");
}

/* ---- addresses ----------------------------------------------------------- */

static const struct {
    const char *list;
    const char *want; /* each in [], what is no address as ! */
} lists[] = {
    {"", ""},
    {" ,; ;\t", ""},
    {"you@example.com", "[you@example.com]"},
    {"you@example.com; another@localhost",
     "[you@example.com][another@localhost]"},
    {" a@b ,c@d,", "[a@b][c@d]"},
    {"a@b,,c@d;;e", "[a@b][c@d][e]"},
    {"You <you@example.com>", "[you@example.com]"},
    {"<a@b>", "[a@b]"},
    {"\"Smith, Bob\" <bob@b>, c@d", "[bob@b][c@d]"},
    {"\"a;b <c>\"@d", "[\"a;b <c>\"@d]"},
    {"\"a\\\",b\"@d,e", "[\"a\\\",b\"@d][e]"},
    {"j\xC3\xBCrgen@m\xC3\xBCller.example",
     "[j\xC3\xBCrgen@m\xC3\xBCller.example]"},
    {"postmaster", "[postmaster]"},
    {"a b@c", "!"},
    {"a\tb@c", "!"},
    {"a@b>", "!"},
    {"a@b> SIZE=1 <", "!"},
    {"<a@b> SIZE=1", "!"},
    {"<a@b", "!"},
    {"<>", "!"},
    {"<<a@b>>", "!"},
    {"< a@b>", "!"},
    {"x <a@b> <c@d>", "!"},
    {"a@b\r\nDATA", "!"},
    {"a@b\nDATA", "!"},
    {"a@b\rDATA", "!"},
    {"\"a\r\nb\"@c", "!"},
    {"\"a\\\r\nb\"@c", "!"},
    {"<a@b\r\nRSET\r\nMAIL FROM:<x@y>", "!"},
    {"a\x7f@b", "!"},
    {"a\x1b[m@b", "!"},
    {"a\xff@b", "!"},
    {"a\xC3", "!"},
    {"\"a@b", "!"},
    {"\"a\\\"@b", "!"},
    {"\"a@b, c@d", "!"},
    {"a@b, c d, e", "[a@b]![e]"},
};

static void test_addresses(void)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct buf got = {.max = 1000};
        size_t n = strlen(lists[i].list);
        char *copy = exact(lists[i].list, n);
        struct span list = {copy, n}, entry, address;

        while (mail_next_entry(&list, &entry)) {
            if (mail_address(entry, &address)) {
                buf_puts(&got, "[");
                buf_add(&got, address.p, address.n);
                buf_puts(&got, "]");
            } else {
                buf_puts(&got, "!");
            }
        }
        buf_add(&got, "", 1);
        CHECK(strcmp(buf_at(&got), lists[i].want) == 0, "%s: %s", lists[i].list,
              buf_at(&got));
        buf_free(&got);
        free(copy);
    }
    char longest[MAIL_ADDRESS_MAX + 1];
    struct span address;
    memset(longest, 'a', sizeof longest);
    CHECK(mail_address((struct span){longest, MAIL_ADDRESS_MAX}, &address),
          "-");
    CHECK(!mail_address((struct span){longest, sizeof longest}, &address), "-");
    CHECK(!mail_address((struct span){"a\0b", 3}, &address), "a NUL");
}

/* ---- text ---------------------------------------------------------------- */

#define TEXT(in, out, size)                                                    \
    {                                                                          \
        (in), sizeof(in) - 1, (out), sizeof(out) - 1, (size)                   \
    }

static const struct {
    const char *in;
    size_t n;
    const char *out; /* then comes the dot */
    size_t out_n;
    uint64_t size;
} texts[] = {
    TEXT("", "", 0),
    TEXT("hooray :)\n", "hooray :)\r\n", 11),
    TEXT("hooray :)", "hooray :)\r\n", 11),
    TEXT("a\r\nb\r\n", "a\r\nb\r\n", 6),
    TEXT("a\rb\r", "a\r\nb\r\n", 6),
    TEXT("a\n\rb", "a\r\n\r\nb\r\n", 8),
    TEXT("a\r\r\nb", "a\r\n\r\nb\r\n", 8),
    TEXT("\n\n", "\r\n\r\n", 4),
    TEXT("\r\r", "\r\n\r\n", 4),
    TEXT("\r\n\n\r", "\r\n\r\n\r\n", 6),
    TEXT(".", "..\r\n", 3),
    TEXT(".\n", "..\r\n", 3),
    TEXT("..\n...", "...\r\n....\r\n", 9),
    TEXT("a\n.\nb", "a\r\n..\r\nb\r\n", 9),
    TEXT("a\r.\rb", "a\r\n..\r\nb\r\n", 9),
    TEXT("a\r\n.\r\nb", "a\r\n..\r\nb\r\n", 9),
    TEXT("a\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n", 12),
    TEXT("a.b\n a.", "a.b\r\n a.\r\n", 10),
    TEXT("\0\xff\x80 \x1b", "\0\xff\x80 \x1b\r\n", 7),
};

/* Pieces of n bytes, or two pieces, the first of cut bytes. */
static void stuff(size_t i, size_t cut, bool repeat)
{
    struct buf out = {.max = 200};
    struct mail_text t = {0};
    size_t before;

    for (size_t at = 0; at < texts[i].n;) {
        size_t n = texts[i].n - at;
        if ((at == 0 || repeat) && n > cut) n = cut;
        char *copy = exact(texts[i].in + at, n);
        before = buf_len(&out);
        mail_add_text(&t, &out, (struct span){copy, n});
        CHECK(buf_len(&out) - before <= 2 * n, "%zu: no more than twice", i);
        free(copy);
        at += n;
    }
    mail_end_text(&t, &out);
    CHECK(t.size == texts[i].size, "%zu cut at %zu", i, cut);
    CHECK(buf_len(&out) == texts[i].out_n + 3 &&
              memcmp(buf_at(&out), texts[i].out, texts[i].out_n) == 0 &&
              memcmp(buf_at(&out) + texts[i].out_n, ".\r\n", 3) == 0,
          "%zu cut at %zu", i, cut);
    buf_free(&out);
}

static void test_texts(void)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        stuff(i, texts[i].n + 1, false);
        stuff(i, 1, true);
        for (size_t cut = 1; cut < texts[i].n; cut++) stuff(i, cut, false);
    }
}

/* ---- header fields ------------------------------------------------------- */

static const struct {
    const char *text;
    size_t head;
} heads[] = {
    {"", 0},
    {"hello\n", 0},
    {"\nSubject: x\n", 0},
    {" Subject: x\n", 0},
    {": x\n", 0},
    {"Dear Bob: hello\n", 0},
    {"http://example.com/\n", 0},
    {"J\xC3\xBC: x\n", 0},
    {"Subject", 0},
    {"Subject:", 8},
    {"Subject: x", 10},
    {"Subject: x\n", 11},
    {"Subject:x\r\n", 11},
    {"Subject: x\rhello\r", 11},
    {"Subject: x\n\nA: b\n", 11},
    {"Subject: x\nhello\nA: b\n", 11},
    {"Subject: x\n y\n\tz\nhello\n", 17},
    {"A: b\nC: d\n\nhello\n", 10},
    {"A: b\r\nC: d\r\n\r\nhello\r\n", 12},
};

static void test_heads(void)
{
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        size_t n = strlen(heads[i].text);
        char *copy = exact(heads[i].text, n);
        size_t head = mail_head((struct span){copy, n});
        CHECK(head == heads[i].head, "%s: %zu", heads[i].text, head);
        free(copy);
    }
    struct span head = span_of("Subject: x\r\n Date: no\r\nfrom: a\r\n");
    CHECK(mail_has_field(head, "From"), "any case");
    CHECK(mail_has_field(head, "SUBJECT"), "any case");
    CHECK(!mail_has_field(head, "Date"), "this goes on with the subject");
    CHECK(!mail_has_field(head, "Fro"), "-");
    CHECK(!mail_has_field((struct span){NULL, 0}, "From"), "-");
}

int main(void)
{
    test_replies();
    test_lines();
    test_offers();
    test_addresses();
    test_texts();
    test_heads();
    return report();
}
