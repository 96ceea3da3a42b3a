/* fuzz_smtp.c -- a message's text is the same however it is cut, and as a
 * plain reading of the whole says; paths that are taken are well-formed. */
#define _POSIX_C_SOURCE 200809L

#include "../../smtp-server/smtp.h"

#include <assert.h>
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
    text(data, size);
    command(data, size);
    return 0;
}
