/* fuzz_smtp.c -- a message's text is the same however it is cut, and as a
 * plain reading of the whole says; what the client of this collection sends
 * comes out as it was; a line stays what it was found to be when more comes;
 * paths that are taken are well-formed, and end where the client means them
 * to. */
#define _POSIX_C_SOURCE 200809L

#include "../../smtp-client/mail.h"
#include "../../smtp-server/smtp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same by looking at one whole line after the other. Returns the bytes
 * used with the dot, 0 if the end has not come. */
static size_t plain(bool typed, const char *in, size_t n, char *out,
                    size_t *nout)
{
    bool lf = typed, crlf = !typed; /* how the line before has ended */

    *nout = 0;
    for (size_t i = 0; i < n;) {
        bool begins = lf || crlf;
        if (begins && in[i] == '.') {
            if (crlf && i + 2 < n && in[i + 1] == '\r' && in[i + 2] == '\n')
                return i + 3;
            if (lf && i + 1 < n && in[i + 1] == '\n') return i + 2;
            i++;
        }
        lf = crlf = false;
        while (i < n && !lf && !crlf) {
            if (in[i] == '\n') {
                crlf = i > 0 && in[i - 1] == '\r';
                lf = typed && !crlf;
            }
            out[(*nout)++] = in[i++];
        }
    }
    return 0;
}

static void text(const uint8_t *data, size_t size)
{
    if (size < 2) return;
    bool typed = data[0] & 1;
    size_t step = (size_t)(data[0] >> 1) + 1, n = size - 1;
    const char *in = (const char *)data + 1;
    char *want = malloc(n), *got = malloc(n);
    size_t nwant, ngot = 0, at = 0;
    struct smtp_text t;

    if (!want || !got) abort();
    size_t used = plain(typed, in, n, want, &nwant);
    smtp_text_start(&t, typed);
    for (size_t end = 0; end < n && !t.done;) {
        end = n - end < step ? n : end + step;
        for (size_t some = 1; some > 0 && at < end && !t.done; at += some) {
            struct span part;
            char *copy = malloc(end - at);
            if (!copy) abort();
            memcpy(copy, in + at, end - at);
            some = smtp_text_next(&t, (struct span){copy, end - at}, &part);
            assert(ngot + part.n <= n);
            if (part.n > 0) memcpy(got + ngot, part.p, part.n);
            ngot += part.n;
            free(copy);
        }
    }
    assert(t.done == (used > 0));
    if (t.done) assert(at == used && ngot == nwant);
    assert(ngot <= nwant && memcmp(got, want, ngot) == 0);
    free(want);
    free(got);
}

/* A text whose lines are in order goes through both ends unchanged. */
static void sent(const char *p, size_t n)
{
    struct buf out = {.max = 3 * n + 8}, want = out, back = out;
    struct mail_text stuffed = {0};
    struct smtp_text t;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') buf_puts(&want, "\r");
        if (p[i] != '\r') buf_add(&want, p + i, 1);
    }
    if (n > 0 && buf_len(&want) > 0 &&
        buf_at(&want)[buf_len(&want) - 1] != '\n')
        buf_puts(&want, "\r\n");
    mail_add_text(&stuffed, &out, buf_span(&want));
    mail_end_text(&stuffed, &out);
    smtp_text_start(&t, false);
    struct span in = buf_span(&out), part;
    while (in.n > 0) {
        size_t used = smtp_text_next(&t, in, &part);
        assert(used > 0);
        buf_add(&back, part.p, part.n);
        in.p += used;
        in.n -= used;
        assert(t.done == (in.n == 0));
    }
    assert(t.done && buf_len(&back) == buf_len(&want));
    if (buf_len(&want) > 0)
        assert(!memcmp(buf_at(&back), buf_at(&want), buf_len(&want)));
    buf_free(&out);
    buf_free(&want);
    buf_free(&back);
}

static void lines(const char *p, size_t size)
{
    struct span line;
    ssize_t before = 0;
    bool typed;

    for (size_t n = 0; n <= size && n <= SMTP_LINE_MAX + 2; n++) {
        char *copy = malloc(n > 0 ? n : 1);
        if (!copy) abort();
        if (n > 0) memcpy(copy, p, n);
        ssize_t used = smtp_line((struct span){copy, n}, &line, &typed);
        assert(used == -500 || (used >= 0 && used <= (ssize_t)n));
        assert(before == 0 || used == before);
        assert(before != 0 || used <= 0 || used == (ssize_t)n);
        assert(used <= 0 || line.n + (typed ? 1 : 2) == (size_t)used);
        before = used;
        free(copy);
    }
}

/* What the client puts between <>, the server finds there, or nothing. */
static void address(struct span entry)
{
    char text[MAIL_ADDRESS_MAX + 20];
    struct span found;
    struct smtp_path path;

    if (!mail_address(entry, &found)) return;
    int n =
        snprintf(text, sizeof text, "TO:<%.*s> SIZE=1", (int)found.n, found.p);
    struct span args = {text, (size_t)n};
    if (found.n > SMTP_LINE_MAX || memchr(found.p, '\0', found.n) ||
        !smtp_path(&args, "TO:", &path))
        return;
    assert(span_is(args, "SIZE=1"));
    assert(path.address.n <= found.n); /* without a source route */
    assert(!memcmp(path.address.p, text + 4 + (found.n - path.address.n),
                   path.address.n));
}

/* Any local part can be written in quotes. */
static void quotes(const char *p, size_t n)
{
    char quoted[202], back[202];
    size_t to = 0;

    quoted[to++] = '"';
    for (size_t i = 0; i < n && i < 100; i++) {
        if (p[i] == '"' || p[i] == '\\') quoted[to++] = '\\';
        quoted[to++] = p[i];
    }
    quoted[to++] = '"';
    if (n > 100) n = 100;
    assert(smtp_unquote(back, (struct span){quoted, to}) == n);
    assert(n == 0 || memcmp(back, p, n) == 0);
}

static void command(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size}, line, verb, args, name, value;
    struct smtp_path path;
    uint64_t number;
    bool typed;

    if (size == 0 || smtp_line(in, &line, &typed) <= 0) return;
    assert(line.n <= SMTP_LINE_MAX);
    if (!smtp_command(line, &verb, &args)) return;
    assert(verb.n > 0 && verb.n + args.n <= line.n);
    if (smtp_path(&args, "FROM:", &path) && path.address.n > 0) {
        char meaning[SMTP_LINE_MAX];
        assert(smtp_unquote(meaning, path.local) <= path.local.n);
        for (size_t i = 0; i < path.address.n; i++)
            assert((unsigned char)path.address.p[i] >= ' ' ||
                   path.address.p[i] == '\t');
        for (size_t i = 0; i < path.domain.n; i++)
            assert(path.domain.p[i] != '@' && path.domain.p[i] != '/');
    }
    while (smtp_param(&args, &name, &value)) smtp_size(value, &number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;

    text(data, size);
    sent(p, size);
    lines(p, size);
    address((struct span){p, size});
    quotes(p, size);
    command(data, size);
    return 0;
}
