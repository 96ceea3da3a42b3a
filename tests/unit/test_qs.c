/* test_qs.c */
#define _POSIX_C_SOURCE 200809L

#include "../../common/qs.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool is(struct span s, const char *text)
{
    return text ? span_is(s, text) : !s.p && s.n == 0;
}

/* ---- URLs --------------------------------------------------------------- */

static const struct {
    const char *text, *scheme, *authority, *host, *port, *target;
} urls[] = {
    {"http://localhost:8080/users?type=blue#top", "http", "localhost:8080",
     "localhost", "8080", "/users?type=blue"},
    {"http://x", "http", "x", "x", NULL, ""},
    {"http://x/", "http", "x", "x", NULL, "/"},
    {"http://x?a=b", "http", "x", "x", NULL, "?a=b"},
    {"http://x#a", "http", "x", "x", NULL, ""},
    {"http://x/#/?", "http", "x", "x", NULL, "/"},
    {"http://x/?a#b?c", "http", "x", "x", NULL, "/?a"},
    {"http://x:/", "http", "x:", "x", NULL, "/"},
    {"http://x:0/", "http", "x:0", "x", "0", "/"},
    {"http://x:65535", "http", "x:65535", "x", "65535", ""},
    {"http://x:9090", "http", "x:9090", "x", "9090", ""},
    {"http://x:00080/", "http", "x:00080", "x", "00080", "/"},
    {"WS://X/y", "WS", "X", "X", NULL, "/y"},
    {"wss://x/a:b@c//d", "wss", "x", "x", NULL, "/a:b@c//d"},
    {"http://x//y", "http", "x", "x", NULL, "//y"},
    {"http://x/http://y", "http", "x", "x", NULL, "/http://y"},
    {"http://x?@", "http", "x", "x", NULL, "?@"},
    {"http://[::1]", "http", "[::1]", "::1", NULL, ""},
    {"http://[::1]/", "http", "[::1]", "::1", NULL, "/"},
    {"http://[::1]:8080/", "http", "[::1]:8080", "::1", "8080", "/"},
    {"http://[::1]:/", "http", "[::1]:", "::1", NULL, "/"},
    {"http://[::1]?a", "http", "[::1]", "::1", NULL, "?a"},
    {"http://127.0.0.1:1/%20", "http", "127.0.0.1:1", "127.0.0.1", "1", "/%20"},
};

static const char *const no_urls[] = {
    "",
    "x",
    "/",
    "localhost",
    "localhost:8080",
    "localhost:8080/users",
    "/users",
    "//x/",
    "://x/",
    "http",
    "http:",
    "http:/",
    "http://",
    "http:///",
    "http://?a",
    "http://#a",
    "http:x",
    "http:/x",
    "#http://x",
    "http#://x",
    "mailto:me@me.com",
    "http://:80",
    "http://:80/",
    "http://x:80x/",
    "http://x:-1/",
    "http://x:+1/",
    "http://x:65536/",
    "http://x:99999999999999999999/",
    "http://x:80:80/",
    "http://::1/",
    "http://[/",
    "http://[]/",
    "http://[]:80/",
    "http://[::1",
    "http://[::1/",
    "http://[::1]80/",
    "http://[::1]x:80/",
    "http://[::1]:x/",
    "http://u@x/",
    "http://u:p@x/",
    "http://@x/",
    "http://x@/",
    "http://u@[::1]/",
    "http://x y/",
    "http://x/a b",
    " http://x/",
    "http://x/ ",
    "http://x/\n",
    "http://x/\r\nHost: y",
    "http://x/#\n",
    "http://x/\t",
    "http://x/\x01",
    "http://x/\x7F",
    "http://x/\xC3\xA9",
    "http://\xC3\xA9/",
    "http://x/\xFF",
};

static void split_urls(void)
{
    for (size_t i = 0; i < COUNT(urls); i++) {
        size_t n = strlen(urls[i].text);
        char *copy = exact(urls[i].text, n);
        struct url u;

        memset(&u, 0xA5, sizeof u);
        CHECK(url_split((struct span){copy, n}, &u), "%s", urls[i].text);
        CHECK(is(u.scheme, urls[i].scheme) &&
                  is(u.authority, urls[i].authority) &&
                  is(u.host, urls[i].host) && is(u.port, urls[i].port) &&
                  is(u.target, urls[i].target),
              "%s: %.*s %.*s %.*s %.*s %.*s", urls[i].text, (int)u.scheme.n,
              u.scheme.p, (int)u.authority.n, u.authority.p, (int)u.host.n,
              u.host.p, (int)u.port.n, u.port.p, (int)u.target.n, u.target.p);
        for (size_t cut = 0; cut < n; cut++) { /* no byte past the end */
            char *part = exact(copy, cut);
            url_split((struct span){part, cut}, &u);
            free(part);
        }
        free(copy);
    }
    for (size_t i = 0; i < COUNT(no_urls); i++) {
        size_t n = strlen(no_urls[i]);
        char *copy = exact(no_urls[i], n);
        struct url u;
        CHECK(!url_split((struct span){copy, n}, &u), "%s", no_urls[i]);
        free(copy);
    }
    struct url u;
    CHECK(!url_split((struct span){"http://x\0y/", 11}, &u), "NUL");
    CHECK(!url_split((struct span){NULL, 0}, &u), "absent");
}

/* ---- targets ------------------------------------------------------------ */

static void split_targets(void)
{
    static const struct {
        const char *target, *path, *query;
    } table[] = {
        {"/", "/", NULL},
        {"/users", "/users", NULL},
        {"/users?", "/users", ""},
        {"/users?type=blue", "/users", "type=blue"},
        {"/users?type=blue#top", "/users", "type=blue"},
        {"/users#top?type=blue", "/users", NULL},
        {"/users?#", "/users", ""},
        {"/users??a?", "/users", "?a?"},
        {"/a=b&c", "/a=b&c", NULL},
        {"?a", "/", "a"}, /* of http://localhost?a */
        {"#a", "/", NULL},
        {"?", "/", ""},
        {"", "/", NULL},
        {"*", "*", NULL},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        size_t n = strlen(table[i].target);
        char *copy = exact(table[i].target, n);
        struct span path, query;
        qs_split((struct span){copy, n}, &path, &query);
        CHECK(is(path, table[i].path) && is(query, table[i].query),
              "%s: %.*s %.*s", table[i].target, (int)path.n, path.p,
              (int)query.n, query.p);
        free(copy);
    }
}

/* ---- pairs -------------------------------------------------------------- */

/* The pairs are written one after the other, decoded: name=value; */
static const struct {
    const char *text, *pairs;
} queries[] = {
    {"", ""},
    {"&", ""},
    {"&&&", ""},
    {"a=b", "a=b;"},
    {"a=b&c=d", "a=b;c=d;"},
    {"&a=b&&c=d&", "a=b;c=d;"},
    {"a", "a=;"},
    {"a=", "a=;"},
    {"a&b", "a=;b=;"},
    {"=", "=;"},
    {"=b", "=b;"},
    {"=&=", "=;=;"},
    {"==", "==;"},
    {"a==b", "a==b;"},
    {"a=b=c", "a=b=c;"},
    {"a=1&a=2&a=1", "a=1;a=2;a=1;"},
    {"a;b=c;d", "a;b=c;d;"},
    {"a+b=c+d", "a b=c d;"},
    {"a%20b=c%20d", "a b=c d;"},
    {"a=%2B+%2b", "a=+ +;"},
    {"a=%26%3D%25", "a=&=%;"},
    {"%61%3D=%26", "a==&;"},
    {"a=%", "a=%;"},
    {"a=%4", "a=%4;"},
    {"a=%41", "a=A;"},
    {"a=%4&1=2", "a=%4;1=2;"},
    {"a=%&41", "a=%;41=;"},
    {"a%=1&%b=2&%%41=3", "a%=1;%b=2;%A=3;"},
    {"a=%4g", "a=%4g;"},
    {"a=%g4", "a=%g4;"},
    {"a=%zz", "a=%zz;"},
    {"a=%%%", "a=%%%;"},
    {"a=%u00e9", "a=%u00e9;"},
    {"a=%2541", "a=%41;"}, /* decoded once */
    {"a=%+1", "a=% 1;"},
    {"a=%-1", "a=%-1;"},
    {"a=% 1", "a=% 1;"},
    {"a=%0x", "a=%0x;"},
    {"a=%aF%Fa", "a=\xAF\xFA;"},
    {"a=%:0%@0%G0%`0%g0%/0", "a=%:0%@0%G0%`0%g0%/0;"},
    {"a=%0:%0@%0G%0`%0g%0/", "a=%0:%0@%0G%0`%0g%0/;"},
    {"a=%C3%A9", "a=\xC3\xA9;"},
    {"a=\xC3\xA9", "a=\xC3\xA9;"},
    {"a=%FF%00b", "a=\xFF\\0b;"},
    {"type=bl%75e", "type=blue;"},
    {"%74ype=blue", "type=blue;"},
    {"type[]=blue", "type[]=blue;"},
    {"a=\r\n", "a=\r\n;"},
    {"a=b?c=d#e", "a=b?c=d#e;"},
};

/* Decoded into memory of just the size that is asked for. */
static void add_decoded(char *pairs, struct span text)
{
    char *out = exact("", 0);
    out = realloc(out, text.n > 0 ? text.n : 1);
    if (!out) abort();
    size_t n = qs_decode(out, text);
    for (size_t i = 0; i < n; i++) {
        if (out[i])
            strncat(pairs, &out[i], 1);
        else
            strcat(pairs, "\\0");
    }
    free(out);
}

static void all_pairs(void)
{
    for (size_t i = 0; i < COUNT(queries); i++) {
        size_t n = strlen(queries[i].text);
        char pairs[100] = "", *copy = exact(queries[i].text, n);
        struct span rest = {copy, n}, name, value;

        while (qs_next(&rest, &name, &value)) {
            add_decoded(pairs, name);
            strcat(pairs, "=");
            add_decoded(pairs, value);
            strcat(pairs, ";");
        }
        CHECK(strcmp(pairs, queries[i].pairs) == 0, "%s: %s, not %s",
              queries[i].text, pairs, queries[i].pairs);
        CHECK(!qs_next(&rest, &name, &value), "%s: once more", queries[i].text);
        free(copy);
    }

    struct span absent = {NULL, 0}, name, value;
    CHECK(!qs_next(&absent, &name, &value), "absent");
}

/* %XX of every byte is that byte, in either case; any other two characters
 * after a % leave it as it is. */
static void every_escape(void)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    int wrong = 0;

    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char text[3] = {'%', (char)a, (char)b}, out[3], want;
            const char *x = a ? strchr(digits, a) : NULL;
            const char *y = b ? strchr(digits, b) : NULL;
            size_t n = qs_decode(out, (struct span){text, 3});
            if (x && y) {
                long high = x - digits, low = y - digits;
                if (high > 15) high -= 6;
                if (low > 15) low -= 6;
                want = (char)(high * 16 + low);
                wrong += n != 1 || out[0] != want;
            } else {
                wrong += n != 3 || out[0] != '%' ||
                         out[1] != (a == '+' ? ' ' : (char)a) ||
                         out[2] != (b == '+' ? ' ' : (char)b);
            }
        }
    }
    CHECK(wrong == 0, "%d of 65536", wrong);
}

int main(void)
{
    split_urls();
    split_targets();
    all_pairs();
    every_escape();
    return report();
}
