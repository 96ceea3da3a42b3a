/* fuzz_mail.c -- a reply stays what it was found to be when more bytes come; an
 * address ends where its <> ends; a text, cut anywhere, is the same, has no
 * line that ends it before its end, and comes out at the other side whole. */
#define _POSIX_C_SOURCE 200809L

#include "../../smtp-client/mail.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replies(const char *p, size_t size)
{
    ssize_t before = 0;

    for (size_t n = 0; n <= size && n < 300; n++) {
        int code = 0;
        char *copy = malloc(n > 0 ? n : 1);
        if (!copy) abort();
        if (n > 0) memcpy(copy, p, n);
        ssize_t used = mail_parse_reply(&code, (struct span){copy, n});
        assert(used >= -1 && used <= (ssize_t)n);
        assert(before == 0 || used == before);
        assert(used > 0 ? code >= 200 && code < 600 : code == 0);
        assert(used <= 0 || before > 0 || used == (ssize_t)n);
        if (used > 0) {
            struct span reply = {copy, (size_t)used}, value;
            mail_offers(reply, "SIZE", &value);
        }
        before = used;
        free(copy);
    }
}

static void addresses(struct span list)
{
    struct span entry, address;
    size_t left = list.n;

    while (mail_next_entry(&list, &entry)) {
        assert(list.n < left && entry.n > 0);
        left = list.n;
        if (!mail_address(entry, &address)) continue;
        bool quoted = false;
        assert(address.n > 0 && address.n <= MAIL_ADDRESS_MAX);
        for (size_t i = 0; i < address.n; i++) {
            char c = address.p[i];
            assert((unsigned char)c >= ' ' && c != 0x7f);
            if (c == '\\' && quoted)
                i++;
            else if (c == '"')
                quoted = !quoted;
            assert(quoted || (c != ' ' && c != '<' && c != '>'));
        }
        assert(!quoted);
    }
}

/* What a server makes of it: bytes, or -1 if a dot ends it before its end. */
static ssize_t receive(char *to, struct span wire)
{
    size_t n = 0;

    for (size_t i = 0; i < wire.n; i++) {
        bool first = i == 0 || wire.p[i - 1] == '\n';
        if (wire.p[i] == '\n') assert(i > 0 && wire.p[i - 1] == '\r');
        if (i > 0 && wire.p[i - 1] == '\r') assert(wire.p[i] == '\n');
        if (first && wire.p[i] == '.') {
            if (wire.p[++i] == '\r') return i + 2 == wire.n ? (ssize_t)n : -1;
        }
        to[n++] = wire.p[i];
    }
    return -1;
}

/* The same, as the text says it should be. */
static size_t ended(char *to, struct span text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '\n' && i > 0 && text.p[i - 1] == '\r') continue;
        if (c == '\r' || c == '\n') {
            to[n++] = '\r';
            c = '\n';
        }
        to[n++] = c;
    }
    if (n > 0 && to[n - 1] != '\n') {
        to[n++] = '\r';
        to[n++] = '\n';
    }
    return n;
}

static void texts(struct span text, size_t cut)
{
    struct buf out = {.max = 2 * text.n + 5};
    struct mail_text t = {0};
    char *got = malloc(out.max), *want = malloc(out.max);

    if (!got || !want) abort();
    cut %= text.n + 1;
    mail_add_text(&t, &out, (struct span){text.p, cut});
    mail_add_text(&t, &out, (struct span){text.p + cut, text.n - cut});
    mail_end_text(&t, &out);
    assert(!out.failed);
    size_t n = ended(want, text);
    assert(receive(got, buf_span(&out)) == (ssize_t)n && t.size == n);
    assert(memcmp(got, want, n) == 0);
    free(got);
    free(want);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};

    replies(text.p, size);
    addresses(text);
    if (size > 0) texts((struct span){text.p + 1, size - 1}, data[0]);
    size_t head = mail_head(text);
    assert(head <= size);
    mail_has_field((struct span){text.p, head}, "Date");
    return 0;
}
