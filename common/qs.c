#define _POSIX_C_SOURCE 200809L

#include "qs.h"

/* Cuts *rest at the first DELIMITER, and returns what stood before it. */
static struct span cut(struct span *rest, char delimiter)
{
    const char *at = rest->n > 0 ? memchr(rest->p, delimiter, rest->n) : NULL;
    if (!at) {
        struct span whole = *rest;
        *rest = (struct span){NULL, 0};
        return whole;
    }
    struct span before = {rest->p, (size_t)(at - rest->p)};
    *rest = (struct span){at + 1, rest->n - before.n - 1};
    return before;
}

/* Cuts "host:port" or "[host]:port" at the colon. */
static bool split_authority(struct url *url)
{
    struct span rest = url->authority;

    if (rest.n > 0 && rest.p[0] == '[') {
        rest = (struct span){rest.p + 1, rest.n - 1};
        url->host = cut(&rest, ']');
        if (!rest.p || (rest.n > 0 && rest.p[0] != ':')) return false;
        if (rest.n > 0) rest = (struct span){rest.p + 1, rest.n - 1};
        url->port = rest;
    } else {
        url->host = cut(&rest, ':');
        url->port = rest;
    }
    if (url->port.n == 0) url->port.p = NULL;

    long port = 0;
    for (size_t i = 0; i < url->port.n; i++) {
        if (url->port.p[i] < '0' || url->port.p[i] > '9') return false;
        port = port * 10 + (url->port.p[i] - '0');
        if (port > 65535) return false;
    }
    return url->host.n > 0;
}

bool url_split(struct span text, struct url *url)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f) return false;

    text = cut(&text, '#');
    url->scheme = cut(&text, ':');
    if (url->scheme.n == 0 || text.n < 2 || memcmp(text.p, "//", 2) != 0)
        return false;
    text = (struct span){text.p + 2, text.n - 2};

    size_t n = 0;
    while (n < text.n && text.p[n] != '/' && text.p[n] != '?') n++;
    url->authority = (struct span){text.p, n};
    url->target = (struct span){text.p + n, text.n - n};
    if (n > 0 && memchr(text.p, '@', n)) return false;
    return split_authority(url);
}

void qs_split(struct span target, struct span *path, struct span *query)
{
    target = cut(&target, '#');
    *path = cut(&target, '?');
    *query = target;
    if (path->n == 0) *path = span_of("/"); /* of http://localhost?x */
}

bool qs_next(struct span *rest, struct span *name, struct span *value)
{
    struct span pair;

    do {
        if (rest->n == 0) return false;
        pair = cut(rest, '&');
    } while (pair.n == 0);
    *name = cut(&pair, '=');
    *value = pair.p ? pair : (struct span){name->p + name->n, 0};
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

size_t qs_decode(char *out, struct span in)
{
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '+') c = ' ';
        if (c == '%' && in.n - i > 2 && hex_value(in.p[i + 1]) >= 0 &&
            hex_value(in.p[i + 2]) >= 0) {
            c = (char)(hex_value(in.p[i + 1]) * 16 + hex_value(in.p[i + 2]));
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}
