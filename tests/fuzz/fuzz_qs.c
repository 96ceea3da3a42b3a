/* fuzz_qs.c -- the parts of a URL and the pairs of a query lie inside it and,
 * put together again, are it; what is encoded comes back decoded. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/qs.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool within(struct span part, struct span whole)
{
    return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void urls(struct span text)
{
    struct url u;
    struct span path, query;

    if (url_split(text, &u)) {
        assert(u.scheme.n > 0 && u.host.n > 0);
        assert(within(u.scheme, text) && within(u.target, text));
        assert(within(u.host, u.authority));
        assert(!u.port.p || (u.port.n > 0 && within(u.port, u.authority)));
        assert(u.scheme.p == text.p);
        assert(u.authority.p == u.scheme.p + u.scheme.n + 3);
        assert(u.target.p == u.authority.p + u.authority.n);
        assert(!memchr(u.authority.p, '@', u.authority.n));
        for (size_t i = 0; i < text.n; i++)
            assert(text.p[i] > ' ' && text.p[i] < 0x7f);
    }
    qs_split(text, &path, &query);
    assert(path.n > 0 && !memchr(path.p, '?', path.n));
    if (query.p) assert(within(query, text) && query.p[-1] == '?');
}

static void pairs(struct span text)
{
    struct span rest = text, name, value;
    const char *at = text.p;

    while (qs_next(&rest, &name, &value)) {
        assert(within(name, text) && within(value, text) && name.p >= at);
        assert(!name.n || !memchr(name.p, '=', name.n));
        assert(!value.n || !memchr(value.p, '&', value.n));
        for (; at < name.p; at++) assert(*at == '&');
        at = value.p + value.n;
    }
    for (; at < text.p + text.n; at++) assert(*at == '&');
}

static void escapes(struct span text)
{
    char *encoded = malloc(3 * text.n + 1), *out = malloc(3 * text.n + 1);
    char *same = malloc(text.n > 0 ? text.n : 1); /* all that it may fill */

    if (!encoded || !out || !same) abort();
    for (size_t i = 0; i < text.n; i++)
        sprintf(encoded + 3 * i, i % 2 ? "%%%02x" : "%%%02X",
                (unsigned char)text.p[i]);
    assert(qs_decode(out, (struct span){encoded, 3 * text.n}) == text.n);
    assert(text.n == 0 || memcmp(out, text.p, text.n) == 0);
    assert(qs_decode(same, text) <= text.n);
    free(encoded);
    free(out);
    free(same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    if (!copy) abort();
    if (size > 0) memcpy(copy, data, size);
    urls((struct span){copy, size});
    pairs((struct span){copy, size});
    escapes((struct span){copy, size});
    free(copy);
    return 0;
}
