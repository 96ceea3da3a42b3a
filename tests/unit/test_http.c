/* test_http.c -- heads and bodies by the letter of RFC 9112 and RFC 9110. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/http.h"
#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- heads -------------------------------------------------------------- */

/* What a head was understood to be, in one line. */
static void describe(char *out, size_t size, const struct http_head *h,
                     bool response)
{
    static const char *const framing[] = {"none", "length", "chunked",
                                          "to-close"};
    char start[120];

    if (response)
        snprintf(start, sizeof start, "%d '%.*s'", h->status, (int)h->reason.n,
                 h->reason.p);
    else
        snprintf(start, sizeof start, "%.*s %.*s at %.*s", (int)h->method.n,
                 h->method.p, (int)h->target.n, h->target.p,
                 h->host.p ? (int)h->host.n : 1, h->host.p ? h->host.p : "-");
    int n = snprintf(out, size, "%s 1.%d %s %s", start, h->minor,
                     h->keep_alive ? "keep" : "close", framing[h->framing]);
    if (h->framing == HTTP_LENGTH)
        n += snprintf(out + n, size - (size_t)n, " %llu",
                      (unsigned long long)h->length);
    if (!response && h->expect_continue)
        snprintf(out + n, size - (size_t)n, " expect");
}

/* What is said of the first n bytes, which is all the parser may see. */
static ssize_t parse(const char *text, size_t n, bool response, char line[200])
{
    struct http_head h;
    char *copy = exact(text, n);

    memset(&h, 0xA5, sizeof h); /* nothing may be left as it was */
    ssize_t used = response ? http_parse_response(&h, (struct span){copy, n})
                            : http_parse_request(&h, (struct span){copy, n});
    *line = '\0';
    if (used > 0) describe(line, 200, &h, response);
    free(copy);
    return used;
}

/* Whole, and cut at every place (which is also byte by byte, since the parser
 * keeps nothing): a part is not whole yet, or refused as the whole is. With
 * more behind it a whole head is the same. STEP skips cuts of a long one. */
static bool stays(const char *text, size_t n, ssize_t want, bool response,
                  size_t step)
{
    char line[200];
    bool known = false;
    int wrong = 0;

    for (size_t cut = 0; cut <= n;
         cut += cut + step <= n || cut == n ? step : n - cut) {
        ssize_t used = parse(text, cut, response, line);
        if (want > 0)
            wrong += used != (cut < (size_t)want ? 0 : want);
        else
            wrong += used != want && (used != 0 || known || cut == n);
        known = known || used < 0;
    }
    return wrong == 0;
}

struct row {
    const char *text;
    const char *want; /* the description, or the status of the refusal */
};

static void check_head(const struct row *row, bool response)
{
    char line[200], more[1000];
    size_t n = strlen(row->text);
    int status = (int)strtol(row->want, NULL, 10);
    bool refused = strlen(row->want) == 3;
    ssize_t used = parse(row->text, n, response, line);

    if (refused) {
        CHECK(used == -status, "%s: %zd %s", row->text, used, line);
    } else {
        CHECK(used == (ssize_t)n && strcmp(line, row->want) == 0,
              "%s: %zd %s, not %s", row->text, used, line, row->want);
        snprintf(more, sizeof more, "%sGET /smuggled HTTP/1.1\r\n\r\n",
                 row->text);
        CHECK(parse(more, strlen(more), response, line) == (ssize_t)n &&
                  strcmp(line, row->want) == 0,
              "%s: with more behind it %s", row->text, line);
    }
    CHECK(stays(row->text, n, refused ? -status : (ssize_t)n, response, 1),
          "%s: a part of it", row->text);
}

#define HOST "Host: x\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define HEAD_OF(lines) GET HOST lines "\r\n"
#define PLAIN "GET / at x 1.1 keep none"
#define WITH_HOST(host) GET "Host: " host "\r\n\r\n"
#define TARGET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

static const struct row requests[] = {
    /* The request line: RFC 9112, 3. */
    {GET HOST "\r\n", PLAIN},
    {"GET / HTTP/1.1\nHost: x\n\n", PLAIN},
    {"GET / HTTP/1.1\r\nHost: x\n\r\n", PLAIN},
    {"GET / HTTP/1.1\nHost: x\r\n\n", PLAIN},
    {"\r\n" GET HOST "\r\n", PLAIN},
    {"\n\r\n\n" GET HOST "\r\n", PLAIN},
    {"\r" GET HOST "\r\n", "400"},
    {"\r\r\n" GET HOST "\r\n", "400"},
    {" \r\n" GET HOST "\r\n", "400"},
    {" " GET HOST "\r\n", "400"},
    {"\t" GET HOST "\r\n", "400"},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", "400"},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /\tHTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET / \tHTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET /\x0BHTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1\t\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1\r\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1\rHost: x\r\n\r\n", "400"},
    {"GET /\r\n" HOST "\r\n", "400"}, /* HTTP/0.9 */
    {"GET / \r\n" HOST "\r\n", "400"},
    {"GET\r\n" HOST "\r\n", "400"},
    {"GET \r\n" HOST "\r\n", "400"},
    {"GET HTTP/1.1\r\n" HOST "\r\n", "400"},
    {" / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"/ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"HTTP/1.1 200 OK\r\n\r\n", "400"},
    {"GET /\r\nHTTP/1.1\r\n" HOST "\r\n", "400"},
    {"G\xC3\x89T / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GET: / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"GE(T / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"\x16\x03\x01\x02", "400"}, /* a TLS client */
    {"get / HTTP/1.1\r\n" HOST "\r\n", "get / at x 1.1 keep none"},
    {"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n" HOST "\r\n",
     "!#$%&'*+-.^_`|~09azAZ / at x 1.1 keep none"},
    {"PROPFIND / HTTP/1.1\r\n" HOST "\r\n", "PROPFIND / at x 1.1 keep none"},

    /* Versions: RFC 9110, 2.5. */
    {"GET / HTTP/1.0\r\n\r\n", "GET / at - 1.0 close none"},
    {"GET / HTTP/1.0\r\n" HOST "\r\n", "GET / at x 1.0 close none"},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", PLAIN},
    {"GET / HTTP/1.9\r\n" HOST "\r\n", PLAIN},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", "505"},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", "505"},
    {"GET / HTTP/3.0\r\n" HOST "\r\n", "505"},
    {"GET / HTTP/9.9\r\n" HOST "\r\n", "505"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
    {"GET / HTTP/2\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/11.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/01.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1,1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.x\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/-1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/+1.1\r\n" HOST "\r\n", "400"},
    {"GET / http/1.1\r\n" HOST "\r\n", "400"},
    {"GET / Http/1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP 1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTPS/1.1\r\n" HOST "\r\n", "400"},
    {"GET / ICY/1.1\r\n" HOST "\r\n", "400"},
    {"GET / HTTP/1.1HTTP/1.1\r\n" HOST "\r\n", "400"},

    /* The four forms of a target: 3.2. */
    {TARGET("/users?type=blue"), "GET /users?type=blue at x 1.1 keep none"},
    {TARGET("/?"), "GET /? at x 1.1 keep none"},
    {TARGET("//users"), "GET //users at x 1.1 keep none"},
    {TARGET("/%zz"), "GET /%zz at x 1.1 keep none"},
    {TARGET("/a#b"), "GET /a#b at x 1.1 keep none"},
    {TARGET("/http://y/"), "GET /http://y/ at x 1.1 keep none"},
    {TARGET("/\x7F"), "400"},
    {TARGET("/\x01"), "400"},
    {TARGET("/\xC3\xA9"), "400"},
    {TARGET("/\xFF"), "400"},
    {TARGET("/a b"), "400"},
    {TARGET("users"), "400"},
    {TARGET("?"), "400"},
    {TARGET("#"), "400"},
    {TARGET("x:80"), "400"}, /* authority-form is CONNECT's alone */
    {TARGET("*"), "400"},    /* and this, OPTIONS' */
    {TARGET("http://y"), "GET / at y 1.1 keep none"},
    {TARGET("http://y/"), "GET / at y 1.1 keep none"},
    {TARGET("http://y:80/users?a"), "GET /users?a at y:80 1.1 keep none"},
    {TARGET("http://y?a"), "GET ?a at y 1.1 keep none"},
    {TARGET("http://y#a"), "GET #a at y 1.1 keep none"},
    {TARGET("HTTP://Y/"), "GET / at Y 1.1 keep none"},
    {TARGET("http://[::1]:8/a"), "GET /a at [::1]:8 1.1 keep none"},
    {TARGET("http://"), "400"},
    {TARGET("http:///"), "400"},
    {TARGET("http://?"), "400"},
    {TARGET("http:/y/"), "400"},
    {TARGET("http:y"), "400"},
    {TARGET("http://:80/"), "400"},
    {TARGET("http://y:65536/"), "400"},
    {TARGET("http://y:8x/"), "400"},
    {TARGET("http://u@y/"), "400"}, /* RFC 9110, 4.2.4 */
    {TARGET("http://u:p@y/"), "400"},
    {TARGET("http://[/users"), "400"},
    {TARGET("http://[::1/"), "400"},
    {TARGET("http://y\\z/"), "400"},
    {TARGET("https://y/"), "400"}, /* not to be had in the clear: 7.4 */
    {TARGET("ftp://y/"), "400"},
    {TARGET("javascript:1"), "400"},
    {"GET http://y/ HTTP/1.1\r\n\r\n", "400"}, /* Host all the same */
    {"GET http://y/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
    {"GET http://y/ HTTP/1.1\r\nHost:\r\n\r\n", "GET / at y 1.1 keep none"},
    {"GET http://y/ HTTP/1.0\r\n\r\n", "GET / at y 1.0 close none"},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * at x 1.1 keep none"},
    {"OPTIONS / HTTP/1.1\r\n" HOST "\r\n", "OPTIONS / at x 1.1 keep none"},
    {"OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"OPTIONS */ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"options * HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"CONNECT y:443 HTTP/1.1\r\n" HOST "\r\n",
     "CONNECT y:443 at x 1.1 keep none"},
    {"CONNECT [::1]:443 HTTP/1.1\r\n" HOST "\r\n",
     "CONNECT [::1]:443 at x 1.1 keep none"},
    {"CONNECT / HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"CONNECT http://y/ HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"CONNECT y:99999 HTTP/1.1\r\n" HOST "\r\n", "400"},

    /* Host: 3.2 and RFC 9110, 7.2. */
    {GET "\r\n", "400"},
    {GET HOST HOST "\r\n", "400"},
    {GET "Host: x\r\nhost: y\r\n\r\n", "400"},
    {GET "Host:\r\nHost: x\r\n\r\n", "400"},
    {GET "Host: x\r\nHost:\r\n\r\n", "400"},
    {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", "400"},
    {"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", "400"},
    {GET "Hosts: x\r\n\r\n", "400"},
    {GET "Hos: x\r\n\r\n", "400"},
    {GET "Host : x\r\n\r\n", "400"},
    {GET "\xEF\xBB\xBFHost: x\r\n\r\n", "400"},
    {WITH_HOST(""), "GET / at  1.1 keep none"},
    {WITH_HOST(" \t "), "GET / at  1.1 keep none"},
    {GET "hOsT:x\r\n\r\n", PLAIN},
    {GET "Host:\t x \t\r\n\r\n", PLAIN},
    {WITH_HOST("localhost:8080"), "GET / at localhost:8080 1.1 keep none"},
    {WITH_HOST("x:"), "GET / at x: 1.1 keep none"},
    {WITH_HOST("x:0"), "GET / at x:0 1.1 keep none"},
    {WITH_HOST("x:65535"), "GET / at x:65535 1.1 keep none"},
    {WITH_HOST("x:0065535"), "GET / at x:0065535 1.1 keep none"},
    {WITH_HOST("x:65536"), "400"},
    {WITH_HOST("x:99999999999999999999999"), "400"},
    {WITH_HOST("x:-1"), "400"},
    {WITH_HOST("x:+1"), "400"},
    {WITH_HOST("x: 80"), "400"},
    {WITH_HOST("x :80"), "400"},
    {WITH_HOST("x:80:80"), "400"},
    {WITH_HOST("x::80"), "400"},
    {WITH_HOST(":"), "400"},
    {WITH_HOST(":80"), "400"},
    {WITH_HOST("x, y"), "400"},
    {WITH_HOST("x y"), "400"},
    {WITH_HOST("x\ty"), "400"},
    {WITH_HOST("x/"), "400"},
    {WITH_HOST("x/y"), "400"},
    {WITH_HOST("x?y"), "400"},
    {WITH_HOST("x#y"), "400"},
    {WITH_HOST("u@x"), "400"},
    {WITH_HOST("x\\y"), "400"},
    {WITH_HOST("\"x\""), "400"},
    {WITH_HOST("<x>"), "400"},
    {WITH_HOST("x|y"), "400"},
    {WITH_HOST("x^y"), "400"},
    {WITH_HOST("x`y"), "400"},
    {WITH_HOST("{x}"), "400"},
    {WITH_HOST("http://x"), "400"},
    {WITH_HOST("x\xC3\xA9"), "400"},
    {WITH_HOST("x\x7F"), "400"},
    {WITH_HOST("a-b.c_d~e"), "GET / at a-b.c_d~e 1.1 keep none"},
    {WITH_HOST("a!$&'()*+,;=b"), "GET / at a!$&'()*+,;=b 1.1 keep none"},
    {WITH_HOST("x."), "GET / at x. 1.1 keep none"},
    {WITH_HOST("%41%fF"), "GET / at %41%fF 1.1 keep none"},
    {WITH_HOST("%00%0a"), "GET / at %00%0a 1.1 keep none"},
    {WITH_HOST("%4"), "400"},
    {WITH_HOST("%"), "400"},
    {WITH_HOST("a%g0"), "400"},
    {WITH_HOST("a%0g"), "400"},
    {WITH_HOST("127.0.0.1"), "GET / at 127.0.0.1 1.1 keep none"},
    {WITH_HOST("999.1.1.1"), "GET / at 999.1.1.1 1.1 keep none"},
    {WITH_HOST("80"), "GET / at 80 1.1 keep none"},
    {WITH_HOST("[::1]"), "GET / at [::1] 1.1 keep none"},
    {WITH_HOST("[::]:80"), "GET / at [::]:80 1.1 keep none"},
    {WITH_HOST("[1:2:3:4:5:6:7:8]:"), "GET / at [1:2:3:4:5:6:7:8]: 1.1 keep "
                                      "none"},
    {WITH_HOST("[::ffff:127.0.0.1]"), "GET / at [::ffff:127.0.0.1] 1.1 keep "
                                      "none"},
    {WITH_HOST("[ABCD:1234:ABCD:1234:ABCD:1234:192.168.158.190]"),
     "GET / at [ABCD:1234:ABCD:1234:ABCD:1234:192.168.158.190] 1.1 keep none"},
    {WITH_HOST("[v1.a:b]:80"), "GET / at [v1.a:b]:80 1.1 keep none"},
    {WITH_HOST("[VF0.~]"), "GET / at [VF0.~] 1.1 keep none"},
    {WITH_HOST("::1"), "400"},
    {WITH_HOST("[]"), "400"},
    {WITH_HOST("[]:80"), "400"},
    {WITH_HOST("[:]"), "400"},
    {WITH_HOST("[::1"), "400"},
    {WITH_HOST("::1]"), "400"},
    {WITH_HOST("x::1]"), "400"},
    {WITH_HOST("[::1x"), "400"},
    {WITH_HOST("[::1]80"), "400"},
    {WITH_HOST("[::1]x"), "400"},
    {WITH_HOST("[[::1]]"), "400"},
    {WITH_HOST("[x]"), "400"},
    {WITH_HOST("[1.2.3.4]"), "400"},
    {WITH_HOST("[::g]"), "400"},
    {WITH_HOST("[1:2:3:4:5:6:7:8:9]"), "400"},
    {WITH_HOST("[::1%25eth0]"), "400"},
    {WITH_HOST("[::1 ]"), "400"},
    {WITH_HOST("[v]"), "400"},
    {WITH_HOST("[v.]"), "400"},
    {WITH_HOST("[v1]"), "400"},
    {WITH_HOST("[v1.]"), "400"},
    {WITH_HOST("[v.a]"), "400"},
    {WITH_HOST("[v1:a]"), "400"},
    {WITH_HOST("[vg.a]"), "400"},
    {WITH_HOST("[v1.a/]"), "400"},
    {WITH_HOST("[v1.%41]"), "400"},
    {WITH_HOST("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]"), "400"},

    /* Header fields: 5. */
    {HEAD_OF("A: b\r\n"), PLAIN},
    {HEAD_OF("A:b\r\n"), PLAIN},
    {HEAD_OF("A:\r\n"), PLAIN},
    {HEAD_OF("A: \t \r\n"), PLAIN},
    {HEAD_OF("A: b:c\r\n"), PLAIN},
    {HEAD_OF("A: caf\xE9 \xFF\x80\r\n"), PLAIN},
    {HEAD_OF("A: a\tb\r\n"), PLAIN},
    {HEAD_OF("!#$%&'*+-.^_`|~: b\r\n"), PLAIN},
    {HEAD_OF("A: \"\\\"\r\n"), PLAIN},
    {HEAD_OF("A : b\r\n"), "400"},
    {HEAD_OF("A\t: b\r\n"), "400"},
    {HEAD_OF(" A: b\r\n"), "400"},
    {HEAD_OF("\tA: b\r\n"), "400"},
    {GET " Host: x\r\n\r\n", "400"},
    {GET "\r\n" HOST "\r\n", "400"},
    {HEAD_OF("A: b\r\n c\r\n"), "400"}, /* obs-fold: 5.2 */
    {HEAD_OF("A: b\r\n\tc\r\n"), "400"},
    {HEAD_OF("A: b\r\n \r\n"), "400"},
    {HEAD_OF("A: b\n c\r\n"), "400"},
    {HEAD_OF("A:\r\n b\r\n"), "400"},
    {HEAD_OF("A\r\n"), "400"},
    {HEAD_OF("A b\r\n"), "400"},
    {HEAD_OF(": b\r\n"), "400"},
    {HEAD_OF(":\r\n"), "400"},
    {HEAD_OF("A B: c\r\n"), "400"},
    {HEAD_OF("A[]: c\r\n"), "400"},
    {HEAD_OF("A(: c\r\n"), "400"},
    {HEAD_OF("A\x0B: c\r\n"), "400"},
    {HEAD_OF("A\xC3\xA9: c\r\n"), "400"},
    {HEAD_OF("\"A\": c\r\n"), "400"},
    {HEAD_OF("A;: c\r\n"), "400"},
    {HEAD_OF("A: b\rc\r\n"), "400"},
    {HEAD_OF("A: b\r\r\n"), "400"},
    {HEAD_OF("A: \rB: c\r\n"), "400"},
    {HEAD_OF("A: b\rTransfer-Encoding: chunked\r\n"), "400"},
    {HEAD_OF("A\r: b\r\n"), "400"},
    {HEAD_OF("A: b\x01\r\n"), "400"},
    {HEAD_OF("A: \x1B[31m\r\n"), "400"},
    {HEAD_OF("A: b\x0B\r\n"), "400"},
    {HEAD_OF("A: b\x0C\r\n"), "400"},
    {HEAD_OF("A: b\x7F\r\n"), "400"},
    {GET HOST "\rGET", "400"},
    {GET HOST "\r\r\n", "400"},

    /* Content-Length: RFC 9110, 8.6, and RFC 9112, 6.3. */
    {HEAD_OF("Content-Length: 5\r\n"), "GET / at x 1.1 keep length 5"},
    {HEAD_OF("content-length:0\r\n"), "GET / at x 1.1 keep length 0"},
    {HEAD_OF("Content-Length: 0005\r\n"), "GET / at x 1.1 keep length 5"},
    {HEAD_OF("Content-Length: 18446744073709551615\r\n"),
     "GET / at x 1.1 keep length 18446744073709551615"},
    {HEAD_OF("Content-Length: 5, 5\r\n"), "GET / at x 1.1 keep length 5"},
    {HEAD_OF("Content-Length: 5,5 ,\t5\r\n"), "GET / at x 1.1 keep length 5"},
    {HEAD_OF("Content-Length: 5\r\nContent-Length: 5\r\n"),
     "GET / at x 1.1 keep length 5"},
    {HEAD_OF("Content-Length: 5\r\nContent-Length: 05\r\n"),
     "GET / at x 1.1 keep length 5"},
    {"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n",
     "POST / at - 1.0 close length 5"},
    {HEAD_OF("Content-Length: 18446744073709551616\r\n"), "400"},
    {HEAD_OF("Content-Length: 18446744073709551621\r\n"), "400"},
    {HEAD_OF("Content-Length: 99999999999999999999999999999\r\n"), "400"},
    {HEAD_OF("Content-Length:\r\n"), "400"},
    {HEAD_OF("Content-Length: ,\r\n"), "400"},
    {HEAD_OF("Content-Length: -1\r\n"), "400"},
    {HEAD_OF("Content-Length: -0\r\n"), "400"},
    {HEAD_OF("Content-Length: +5\r\n"), "400"},
    {HEAD_OF("Content-Length: 5 5\r\n"), "400"},
    {HEAD_OF("Content-Length: 5;5\r\n"), "400"},
    {HEAD_OF("Content-Length: 5, 6\r\n"), "400"},
    {HEAD_OF("Content-Length: 5, x\r\n"), "400"},
    {HEAD_OF("Content-Length: 0x5\r\n"), "400"},
    {HEAD_OF("Content-Length: 5.0\r\n"), "400"},
    {HEAD_OF("Content-Length: 5e1\r\n"), "400"},
    {HEAD_OF("Content-Length: 5_0\r\n"), "400"},
    {HEAD_OF("Content-Length: \"5\"\r\n"), "400"},
    {HEAD_OF("Content-Length: five\r\n"), "400"},
    {HEAD_OF("Content-Length: 5x\r\n"), "400"},
    {HEAD_OF("Content-Length: \xD9\xA5\r\n"), "400"}, /* an Arabic five */
    {HEAD_OF("Content-Length: 5\r\nContent-Length: 6\r\n"), "400"},
    {HEAD_OF("Content-Length: 0\r\nContent-Length: 6\r\n"), "400"},
    {HEAD_OF("Content-Length: 5\r\nContent-Length:\r\n"), "400"},
    {HEAD_OF("Content-Length: 5\r\ncontent-length: x\r\n"), "400"},
    {HEAD_OF("Content-Length : 5\r\n"), "400"},
    {HEAD_OF("Content-Length\r\n"), "400"},
    {HEAD_OF("Content_Length: x\r\n"), PLAIN},
    {HEAD_OF("Content-Lengt: x\r\n"), PLAIN},

    /* Transfer-Encoding: 6.1. */
    {HEAD_OF("Transfer-Encoding: chunked\r\n"), "GET / at x 1.1 keep chunked"},
    {HEAD_OF("TRANSFER-ENCODING:CHUNKED\r\n"), "GET / at x 1.1 keep chunked"},
    {HEAD_OF("Transfer-Encoding: \t chunked \r\n"),
     "GET / at x 1.1 keep chunked"},
    {HEAD_OF("Transfer-Encoding: , chunked\r\n"),
     "GET / at x 1.1 keep chunked"},
    {HEAD_OF("Transfer-Encoding: chunked,\r\n"), "GET / at x 1.1 keep chunked"},
    {HEAD_OF("Transfer-Encoding: chunked, ,\r\n"),
     "GET / at x 1.1 keep chunked"},
    {HEAD_OF("Transfer-Encoding:\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: ,\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: identity\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: gzip\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: gzip, chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked, gzip\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked, chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked, identity\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: identity, chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     "400"},
    {HEAD_OF("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: xchunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunkedx\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunke\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked;q=1\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: \"chunked\"\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: 'chunked'\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: [chunked]\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: \x0B"
             "chunked\r\n"),
     "400"},
    {HEAD_OF("Transfer-Encoding: \xA0"
             "chunked\r\n"),
     "400"},
    {HEAD_OF("Transfer-Encoding: chunked\x0C\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding:\r\n chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding : chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding\t:chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked\r x: y\r\n"), "400"},
    {HEAD_OF("X: y\rTransfer-Encoding: chunked\r\n"), "400"},
    {HEAD_OF("Transfer_Encoding: chunked\r\n"), PLAIN},
    {HEAD_OF("X-Transfer-Encoding: chunked\r\n"), PLAIN},
    {HEAD_OF("X: y\r\n\tTransfer-Encoding: chunked\r\n"), "400"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", "400"},
    {"POST / HTTP/1.2\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
     "POST / at x 1.1 keep chunked"},

    /* Both: 6.3, rule 3. */
    {HEAD_OF("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), "400"},
    {HEAD_OF("Transfer-Encoding: chunked\r\nContent-Length: x\r\n"), "400"},
    {HEAD_OF("Content-Length: 5\r\nTransfer-Encoding: identity\r\n"), "400"},
    {HEAD_OF("Content-Length: 5\r\nTransfer-Encoding:\r\n"), "400"},
    {HEAD_OF("Content-Length: 5\nTransfer-Encoding: chunked\n"), "400"},

    /* The connection: 9.3. */
    {HEAD_OF("Connection: close\r\n"), "GET / at x 1.1 close none"},
    {HEAD_OF("connection:CLOSE\r\n"), "GET / at x 1.1 close none"},
    {HEAD_OF("Connection: x, close ,y\r\n"), "GET / at x 1.1 close none"},
    {HEAD_OF("Connection: x\r\nConnection: close\r\n"),
     "GET / at x 1.1 close none"},
    {HEAD_OF("Connection: keep-alive, close\r\n"), "GET / at x 1.1 close none"},
    {HEAD_OF("Connection: closed\r\n"), PLAIN},
    {HEAD_OF("Connection: \"close\"\r\n"), PLAIN},
    {HEAD_OF("Connection: keep-alive\r\n"), PLAIN},
    {HEAD_OF("Connection:\r\n"), PLAIN},
    {HEAD_OF("Proxy-Connection: close\r\n"), PLAIN},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "GET / at - 1.0 keep none"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
     "GET / at - 1.0 close none"},
    {"GET / HTTP/1.0\r\nKeep-Alive: 5\r\n\r\n", "GET / at - 1.0 close none"},

    /* Expect: RFC 9110, 10.1.1. */
    {HEAD_OF("Expect: 100-continue\r\nContent-Length: 5\r\n"),
     "GET / at x 1.1 keep length 5 expect"},
    {HEAD_OF("EXPECT:100-Continue\r\nTransfer-Encoding: chunked\r\n"),
     "GET / at x 1.1 keep chunked expect"},
    {HEAD_OF("Expect: 100-continue\r\n"), PLAIN},
    {HEAD_OF("Expect: 100-continu\r\n"), "417"},
    {HEAD_OF("Expect: 200-ok\r\n"), "417"},
    {HEAD_OF("Expect: 100-continue, x\r\n"), "417"},
    {HEAD_OF("Expect:\r\n"), "417"},
    {HEAD_OF("Expect: x\r\nContent-Length: 5, 6\r\n"), "400"},
    {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
     "POST / at - 1.0 close length 5"},
    {"GET / HTTP/1.0\r\nExpect: x\r\n\r\n", "GET / at - 1.0 close none"},
};

#define OK_HEAD(lines) "HTTP/1.1 200 OK\r\n" lines "\r\n"

static const struct row responses[] = {
    /* The status line: RFC 9112, 4. */
    {OK_HEAD(""), "200 'OK' 1.1 keep to-close"},
    {"HTTP/1.1 200 OK\n\n", "200 'OK' 1.1 keep to-close"},
    {"HTTP/1.0 200 OK\r\n\r\n", "200 'OK' 1.0 close to-close"},
    {"HTTP/1.7 200 OK\r\n\r\n", "200 'OK' 1.1 keep to-close"},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
     "404 'Not Found' 1.1 keep length 0"},
    {"HTTP/1.1 200 \r\n\r\n", "200 '' 1.1 keep to-close"},
    {"HTTP/1.1 200\r\n\r\n", "200 '' 1.1 keep to-close"},
    {"HTTP/1.1 200\n\n", "200 '' 1.1 keep to-close"},
    {"HTTP/1.1 999 Caf\xE9\tx\r\n\r\n", "999 'Caf\xE9\tx' 1.1 keep to-close"},
    {"HTTP/1.1 100\r\n\r\n", "100 '' 1.1 keep none"},
    {"HTTP/1.1 099 x\r\n\r\n", "502"},
    {"HTTP/1.1 000 x\r\n\r\n", "502"},
    {"HTTP/1.1 20 x\r\n\r\n", "502"},
    {"HTTP/1.1 2000 x\r\n\r\n", "502"},
    {"HTTP/1.1 200x\r\n\r\n", "502"},
    {"HTTP/1.1 200\tOK\r\n\r\n", "502"},
    {"HTTP/1.1  200 OK\r\n\r\n", "502"},
    {"HTTP/1.1\t200 OK\r\n\r\n", "502"},
    {"HTTP/1.1 2 0 OK\r\n\r\n", "502"},
    {"HTTP/1.1 -20 OK\r\n\r\n", "502"},
    {"HTTP/1.1 +20 OK\r\n\r\n", "502"},
    {"HTTP/1.1 OK\r\n\r\n", "502"},
    {"HTTP/1.1\r\n\r\n", "502"},
    {"HTTP/1.1 200 O\x01K\r\n\r\n", "502"},
    {"HTTP/1.1 200 O\x7FK\r\n\r\n", "502"},
    {"HTTP/1.1 200 OK\rX: y\r\n\r\n", "502"},
    {"HTTP/1.1 200\rOK\r\n\r\n", "502"},
    {"HTTP/2.0 200 OK\r\n\r\n", "502"},
    {"HTTP/0.9 200 OK\r\n\r\n", "502"},
    {"HTTP/2 200\r\n\r\n", "502"},
    {"http/1.1 200 OK\r\n\r\n", "502"},
    {"ICY 200 OK\r\n\r\n", "502"},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", "502"},
    {" HTTP/1.1 200 OK\r\n\r\n", "502"},
    {"<html>hello</html>", "502"},
    {"220 smtp.example.com ESMTP\r\n", "502"},

    /* Header fields, folded ones as well: 5.2. */
    {OK_HEAD("A: b\r\n c\r\n"), "200 'OK' 1.1 keep to-close"},
    {OK_HEAD("A: b\n\tc\n \n"), "200 'OK' 1.1 keep to-close"},
    {OK_HEAD("Content-Length:\r\n 5\r\n"), "200 'OK' 1.1 keep length 5"},
    {OK_HEAD("Content-Length: 5\r\n \r\n"), "200 'OK' 1.1 keep length 5"},
    {OK_HEAD("Content-Length: 5\r\n 6\r\n"), "502"},
    {OK_HEAD("Content-Length: 5,\r\n 6\r\n"), "502"},
    {OK_HEAD("Transfer-Encoding:\r\n\tchunked\r\n"),
     "200 'OK' 1.1 keep chunked"},
    {OK_HEAD(" A: b\r\n"), "502"},
    {OK_HEAD("A : b\r\n"), "502"},
    {OK_HEAD("A b\r\n"), "502"},
    {OK_HEAD(": b\r\n"), "502"},
    {OK_HEAD("A: b\rc\r\n"), "502"},
    {OK_HEAD("A: b\r\n c\rd\r\n"), "502"},
    {OK_HEAD("A: \x01\r\n"), "502"},
    {OK_HEAD("A: b\r\n \x01\r\n"), "502"},

    /* How the body ends: 6.3. */
    {OK_HEAD("Content-Length: 5\r\n"), "200 'OK' 1.1 keep length 5"},
    {OK_HEAD("Content-Length: 5\r\nContent-Length: 5\r\n"),
     "200 'OK' 1.1 keep length 5"},
    {OK_HEAD("Content-Length: 5\r\nContent-Length: 6\r\n"), "502"},
    {OK_HEAD("Content-Length: x\r\n"), "502"},
    {OK_HEAD("Content-Length:\r\n"), "502"},
    {OK_HEAD("Content-Length: 18446744073709551616\r\n"), "502"},
    {OK_HEAD("Transfer-Encoding: chunked\r\n"), "200 'OK' 1.1 keep chunked"},
    {OK_HEAD("Transfer-Encoding: gzip, chunked\r\n"), "502"},
    {OK_HEAD("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
     "502"},
    {OK_HEAD("Transfer-Encoding: gzip\r\n"), "200 'OK' 1.1 keep to-close"},
    {OK_HEAD("Transfer-Encoding: chunked, chunked\r\n"), "502"},
    {OK_HEAD("Transfer-Encoding:\r\n"), "502"},
    {OK_HEAD("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "502"},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "502"},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
     "204 'No Content' 1.1 keep none"},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
     "204 'No Content' 1.1 keep none"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     "304 'Not Modified' 1.1 keep none"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "100 'Continue' 1.1 keep none"},
    {"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n",
     "101 'Switching Protocols' 1.1 keep none"},
    {"HTTP/1.1 199 x\r\n\r\n", "199 'x' 1.1 keep none"},
    {"HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n",
     "205 'x' 1.1 keep length 0"},
    {OK_HEAD("Connection: close\r\nContent-Length: 5\r\n"),
     "200 'OK' 1.1 close length 5"},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
     "200 'OK' 1.0 keep length 5"},
};

/* Every byte at one place, and where it is in order; all the others are 400,
 * whether more follows or not. */
static void every_byte(const char *before, const char *after, const char *good,
                       bool above)
{
    size_t n = strlen(before), m = strlen(after);
    char text[200], line[200];
    int wrong = 0;

    memcpy(text, before, n);
    memcpy(text + n + 1, after, m);
    for (int c = 0; c < 256; c++) {
        bool ok = (c > 0 && c < 128 && strchr(good, c)) || (c > 127 && above);
        text[n] = (char)c;
        ssize_t want = ok ? (ssize_t)(n + 1 + m) : -400;
        wrong += parse(text, n + 1 + m, false, line) != want;
        wrong += !stays(text, n + 1 + m, want, false, 1);
    }
    CHECK(wrong == 0, "%s?%s: %d wrong", before, after, wrong);
}

#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN ALNUM "!#$%&'*+-.^_`|~"
#define VISIBLE TOKEN "\"(),/:;<=>?@[\\]{}"

static void every_byte_everywhere(void)
{
    every_byte("GET", "T / HTTP/1.1\r\n" HOST "\r\n", TOKEN, false);
    every_byte("GET /", "x HTTP/1.1\r\n" HOST "\r\n", VISIBLE, false);
    every_byte("GET ", "/ HTTP/1.1\r\n" HOST "\r\n", "/", false);
    every_byte("GET / HTTP/1.1", "\n" HOST "\r\n", "\r", false);
    every_byte("GET / HTTP/1.1\r", HOST "\r\n", "\n", false);
    every_byte(GET HOST "A", "b: c\r\n\r\n", TOKEN ":", false);
    every_byte(GET HOST "A", " c\r\n\r\n", ":", false);
    every_byte(GET HOST "A: b", "c\r\n\r\n", VISIBLE " \t", true);
    every_byte(GET "Host: a", "b\r\n\r\n", ALNUM "-._~!$&'()*+,;=", false);
    every_byte(GET "Host: a:8", "0\r\n\r\n", "0123456789", false);
    every_byte(GET "Host: [v1.", "]\r\n\r\n", ALNUM "-._~!$&'()*+,;=:", false);
    every_byte(GET HOST "Content-Length: 1", "2\r\n\r\n", "0123456789", false);
}

/* ---- limits, exactly at and one over ------------------------------------ */

/* BEFORE, then C so often that the whole has N bytes, then AFTER. */
static char *padded(const char *before, char c, const char *after, size_t n)
{
    size_t m = strlen(before), k = strlen(after);
    char *text = malloc(n + 1);
    if (!text) abort();
    memcpy(text, before, m);
    memset(text + m, c, n - m - k);
    memcpy(text + n - k, after, k + 1);
    return text;
}

static void limit(const char *before, char c, const char *after, size_t n,
                  bool response, int status)
{
    char line[200];
    char *text = padded(before, c, after, n);
    ssize_t want = status ? -status : (ssize_t)n;

    CHECK(parse(text, n, response, line) == want, "%zu bytes", n);
    CHECK(stays(text, n, want, response, 97), "%zu bytes, a part", n);
    free(text);
}

/* A head with so many header fields in all. */
static void fields(size_t count, const char *before, bool response, int status)
{
    struct buf text = {.max = 32 * 1024};
    char line[200];

    buf_puts(&text, before);
    for (size_t i = 1; i < count; i++) buf_puts(&text, "A:\r\n");
    buf_puts(&text, "\r\n");
    ssize_t want = status ? -status : (ssize_t)buf_len(&text);
    CHECK(parse(buf_at(&text), buf_len(&text), response, line) == want,
          "%zu fields", count);
    CHECK(stays(buf_at(&text), buf_len(&text), want, response, 1),
          "%zu fields, a part", count);
    buf_free(&text);
}

static void limits(void)
{
    const char *rest = " HTTP/1.1\r\n" HOST "\r\n", *end = "\r\n\r\n";
    const size_t around = strlen("GET ") + strlen(rest);

    limit("GET /", 'a', rest, HTTP_TARGET_MAX + around, false, 0);
    limit("GET /", 'a', rest, HTTP_TARGET_MAX + around + 1, false, 414);
    limit("GET /", 'a', rest, 2 * HTTP_HEAD_MAX, false, 414);
    limit("GET http://y/", 'a', rest, HTTP_TARGET_MAX + around, false, 0);
    limit("GET http://y/", 'a', rest, HTTP_TARGET_MAX + around + 1, false, 414);
    limit("", 'A', " / HTTP/1.1\r\n" HOST "\r\n",
          HTTP_METHOD_MAX + strlen(" /") + strlen(rest), false, 0);
    limit("", 'A', " / HTTP/1.1\r\n" HOST "\r\n",
          HTTP_METHOD_MAX + strlen(" /") + strlen(rest) + 1, false, 501);
    limit(GET HOST "A: ", 'a', end, HTTP_HEAD_MAX, false, 0);
    limit(GET HOST "A: ", 'a', end, HTTP_HEAD_MAX + 1, false, 431);
    limit(GET HOST "A: ", 'a', end, HTTP_HEAD_MAX * 2, false, 431);
    limit(GET HOST "", 'a', ":\r\n\r\n", HTTP_HEAD_MAX, false, 0);
    limit(GET HOST "", 'a', ":\r\n\r\n", HTTP_HEAD_MAX + 1, false, 431);
    limit("", '\n', GET HOST "\r\n", HTTP_HEAD_MAX, false, 0);
    limit("", '\n', GET HOST "\r\n", HTTP_HEAD_MAX + 1, false, 431);
    limit("HTTP/1.1 200 ", 'a', end, HTTP_HEAD_MAX, true, 0);
    limit("HTTP/1.1 200 ", 'a', end, HTTP_HEAD_MAX + 1, true, 502);
    limit("HTTP/1.1 200 OK\r\nA: ", 'a', end, HTTP_HEAD_MAX, true, 0);
    limit("HTTP/1.1 200 OK\r\nA: ", 'a', end, HTTP_HEAD_MAX + 1, true, 502);

    fields(HTTP_HEADERS_MAX, GET HOST, false, 0);
    fields(HTTP_HEADERS_MAX + 1, GET HOST, false, 431);
    fields(HTTP_HEADERS_MAX, "HTTP/1.1 200 OK\r\nB:\r\n", true, 0);
    fields(HTTP_HEADERS_MAX + 1, "HTTP/1.1 200 OK\r\nB:\r\n", true, 502);
}

static void empty_lines(void)
{
    static const struct {
        const char *text;
        size_t n;
    } table[] = {
        {"", 0},       {"\r", 0},        {"\r\n", 2},  {"\n", 1},
        {"\n\r", 1},   {"\r\n\r\nG", 4}, {"G\r\n", 0}, {"\r\rG", 0},
        {"\n\n\r", 2}, {"\r\n\rG", 2},   {" \r\n", 0},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        size_t n = strlen(table[i].text);
        char *copy = exact(table[i].text, n);
        CHECK(http_empty_lines((struct span){copy, n}) == table[i].n,
              "line %zu", i);
        free(copy);
    }
}

/* ---- what the headers mean ---------------------------------------------- */

static bool is(struct span s, const char *text)
{
    return text ? span_is(s, text) : !s.p;
}

static void meanings(void)
{
    const char *text = GET "host: x\r\nA: 1\r\na:  2 \r\nEmpty:\r\n"
                           "L: a, B ,\r\nl: ,,c d\r\n\r\n";
    struct http_head h;
    struct span list = span_of(" ,a, \t,b c ,,"), item;

    CHECK(http_parse_request(&h, span_of(text)) > 0, "%s", text);
    CHECK(h.nheaders == 6, "%zu fields", h.nheaders);
    CHECK(is(http_header(&h, "HOST"), "x"), "Host");
    CHECK(is(http_header(&h, "A"), "1"), "the first A");
    CHECK(is(http_header(&h, "empty"), ""), "Empty");
    CHECK(is(http_header(&h, "Absent"), NULL), "Absent");
    CHECK(is(h.headers[2].name, "a") && is(h.headers[2].value, "2"), "a: 2");
    CHECK(http_has_token(&h, "L", "A") && http_has_token(&h, "L", "b") &&
              http_has_token(&h, "L", "C d"),
          "L has a, B and c d");
    CHECK(!http_has_token(&h, "L", "c") && !http_has_token(&h, "L", "") &&
              !http_has_token(&h, "M", "a"),
          "but no more");

    CHECK(http_list_next(&list, &item) && is(item, "a"), "first");
    CHECK(http_list_next(&list, &item) && is(item, "b c"), "second");
    CHECK(!http_list_next(&list, &item) && is(item, "b c"), "end");
    CHECK(!http_list_next(&list, &item), "and again");

    CHECK(http_parse_response(
              &h, span_of(OK_HEAD("A: b\r\n  c \r\nB: d\r\n"))) > 0 &&
              h.nheaders == 2 && is(h.headers[1].value, "d"),
          "folded");
    CHECK(h.headers[0].value.n >= 4 && h.headers[0].value.p[0] == 'b',
          "the folded value");
}

static void media_types(void)
{
    static const struct {
        const char *value;
        bool same;
    } table[] = {
        {"application/json", true},
        {"APPLICATION/Json", true},
        {"application/json;", true},
        {"application/json; charset=utf-8", true},
        {"application/json ;a", true},
        {"application/jsonx", false},
        {"application/jso", false},
        {"xapplication/json", false},
        {"application / json", false},
        {"", false},
        {";application/json", false},
        {"application/json, text/html", false},
        {"application/json+x", false},
        {"text/html; application/json", false},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        size_t n = strlen(table[i].value);
        char *copy = exact(table[i].value, n);
        CHECK(http_type_is((struct span){copy, n}, "application/json") ==
                  table[i].same,
              "%s", table[i].value);
        free(copy);
    }
    CHECK(!http_type_is((struct span){NULL, 0}, "application/json"), "absent");
}

static void origins(void)
{
    static const struct {
        const char *lines;
        bool same;
    } table[] = {
        {HOST, true},
        {HOST "Origin: http://x\r\n", true},
        {HOST "Origin: https://x\r\n", true},
        {HOST "origin: HTTP://X\r\n", true},
        {HOST "Origin: http://x:80\r\n", false},
        {HOST "Origin: http://x/\r\n", false},
        {HOST "Origin: http://x.y\r\n", false},
        {HOST "Origin: http://y\r\n", false},
        {HOST "Origin: http://\r\n", false},
        {HOST "Origin: http:/\r\n", false},
        {HOST "Origin: x\r\n", false},
        {HOST "Origin: null\r\n", false},
        {HOST "Origin:\r\n", false},
        {HOST "Origin: ftp://x\r\n", false},
        {HOST "Origin: http://x http://x\r\n", false},
        {"Host: x:80\r\nOrigin: http://x:80\r\n", true},
        {"Host: [::1]:8080\r\nOrigin: http://[::1]:8080\r\n", true},
    };
    struct http_head h;

    for (size_t i = 0; i < COUNT(table); i++) {
        char text[200];
        snprintf(text, sizeof text, GET "%s\r\n", table[i].lines);
        CHECK(http_parse_request(&h, span_of(text)) > 0 &&
                  http_same_origin(&h) == table[i].same,
              "%s", text);
    }
    http_parse_request(&h,
                       span_of("GET / HTTP/1.0\r\nOrigin: http://x\r\n\r\n"));
    CHECK(!http_same_origin(&h), "no Host");
}

/* ---- bodies ------------------------------------------------------------- */

/* Feeds the parts of a body, cut at two places; what is not used yet comes
 * again with the next part, all from memory that ends there. Returns the
 * bytes used of the whole, 0 if the end is not there, or the refusal; *data
 * becomes the body. */
static ssize_t feed(const struct http_head *h, const char *text, size_t n,
                    size_t cut1, size_t cut2, struct buf *data)
{
    const size_t ends[] = {cut1, cut2, n};
    struct http_body b;
    size_t at = 0;

    *data = (struct buf){.max = n};
    http_body_start(&b, h);
    for (size_t i = 0; i < 3; i++) {
        char *copy = exact(text + at, ends[i] - at);
        struct span in = {copy, ends[i] - at}, part;
        ssize_t used;

        while ((used = http_body_next(&b, in, &part)) > 0) {
            buf_add(data, part.p, part.n);
            in.p += used;
            in.n -= (size_t)used;
            at += (size_t)used;
        }
        free(copy);
        if (used < 0) return b.done ? -1 : used;
        if (b.done) return (ssize_t)at;
    }
    return b.framing == HTTP_TO_CLOSE ? (ssize_t)at : 0;
}

/* Byte by byte, with what is not used yet before it. */
static ssize_t drip(const struct http_head *h, const char *text, size_t n,
                    struct buf *data)
{
    struct http_body b;
    size_t at = 0;

    *data = (struct buf){.max = n};
    http_body_start(&b, h);
    for (size_t end = 1; end <= n && !b.done; end++) {
        struct span part;
        ssize_t used;
        do {
            char *copy = exact(text + at, end - at);
            used = http_body_next(&b, (struct span){copy, end - at}, &part);
            if (used > 0) buf_add(data, part.p, part.n);
            free(copy);
            if (used < 0) return used;
            at += (size_t)used;
        } while (used > 0);
    }
    return b.done || b.framing == HTTP_TO_CLOSE ? (ssize_t)at : 0;
}

static bool holds(const struct buf *data, const char *want)
{
    return buf_len(data) == strlen(want) &&
           (buf_len(data) == 0 ||
            memcmp(buf_at(data), want, buf_len(data)) == 0);
}

/* want: the body, and then used counts its bytes on the wire; NULL: what used
 * says, 0 or a refusal. */
static void check_body(const struct http_head *h, const char *text, size_t n,
                       ssize_t used, const char *want)
{
    struct buf data;
    int wrong = 0;

    for (size_t cut2 = 0; cut2 <= n; cut2++) {
        for (size_t cut1 = 0; cut1 <= cut2; cut1++) {
            wrong += feed(h, text, n, cut1, cut2, &data) != used;
            wrong += want && !holds(&data, want);
            buf_free(&data);
        }
    }
    CHECK(wrong == 0, "%s: %d of the ways to cut it", text, wrong);
    CHECK(drip(h, text, n, &data) == used, "%s: byte by byte", text);
    CHECK(!want || holds(&data, want), "%s: byte by byte", text);
    buf_free(&data);

    wrong = 0;
    for (size_t part = 0; part < n; part++) {
        ssize_t got = feed(h, text, part, part, part, &data);
        if (used > 0 && part < (size_t)used)
            wrong += got != 0 && h->framing != HTTP_TO_CLOSE;
        else
            wrong += used > 0 ? got != used : got != 0 && got != used;
        buf_free(&data);
    }
    CHECK(wrong == 0, "%s: a part of it", text);
}

static void chunked_bodies(void)
{
    static const struct {
        const char *text;
        const char *want; /* the body; or the status; "" and used 0: more */
        int status;
    } table[] = {
        {"0\r\n\r\n", "", 0},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello", 0},
        {"1\r\na\r\n1\r\n\r\r\n1\r\n\n\r\n000\r\n\r\n", "a\r\n", 0},
        {"0000000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
        {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
        {"5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello", 0},
        {"5;\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5 ;a\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5\t ; a = \"b;c\"\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5;a=\"\xE9\"\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"0\r\nA: b\r\n\r\n", "", 0},
        {"0\r\nA: b\r\nC:\r\n\r\n", "", 0},
        {"0\r\nContent-Length: 5\r\n\r\n", "", 0},
        {"", NULL, 0},
        {"5", NULL, 0},
        {"5;a", NULL, 0},
        {"5\r", NULL, 0},
        {"5\r\nhell", NULL, 0},
        {"5\r\nhello", NULL, 0},
        {"5\r\nhello\r", NULL, 0},
        {"5\r\nhello\r\n", NULL, 0},
        {"5\r\nhello\r\n0\r\n", NULL, 0},
        {"5\r\nhello\r\n0\r\n\r", NULL, 0},
        {"0\r\nA: b\r\n", NULL, 0},
        {"FFFFFFFFFFFFFFFF\r\nhello", NULL, 0},
        {"10000000000000000\r\n", NULL, 400}, /* 2^64 */
        {"10000000000000005\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"FFFFFFFFFFFFFFFFF\r\n", NULL, 400},
        {"\r\n", NULL, 400},
        {"\r\n5\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {" 5\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5 \r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5 x\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"-5\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"+5\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"0x5\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5h\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"g\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5,5\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {";a\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5;a\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5;a\nb\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5;a\rb\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5;a\x01\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"5\rhello\r\n0\r\n\r\n", NULL, 400},
        {"5\r\rhello\r\n0\r\n\r\n", NULL, 400},
        {"5\r\nhello\n0\r\n\r\n", NULL, 400},
        {"5\r\nhello0\r\n\r\n", NULL, 400},
        {"5\r\nhello\r0\r\n\r\n", NULL, 400},
        {"5\r\nhello!\r\n0\r\n\r\n", NULL, 400},
        {"5\r\nhelloXX0\r\n\r\n", NULL, 400},
        {"4\r\nhello\r\n0\r\n\r\n", NULL, 400},
        {"0\n\r\n", NULL, 400},
        {"0\r\n\n", NULL, 400},
        {"0\r\n\rX", NULL, 400},
        {"0\r\nA: b\n\r\n", NULL, 400},
        {"0\r\nA: b\r\n\n", NULL, 400},
        {"0\r\nA:\n\r\n", NULL, 400},
        {"0\r\nA: b\r\n c\r\n\r\n", NULL, 400},
        {"0\r\nA : b\r\n\r\n", NULL, 400},
        {"0\r\nGET / HTTP/1.1\r\n\r\n", NULL, 400},
        {"0\r\n: b\r\n\r\n", NULL, 400},
        {"0\r\nA: \x01\r\n\r\n", NULL, 400},
    };
    struct http_head h = {.framing = HTTP_CHUNKED};

    for (size_t i = 0; i < COUNT(table); i++) {
        size_t n = strlen(table[i].text);
        char more[200];
        ssize_t used = table[i].want ? (ssize_t)n : -table[i].status;

        check_body(&h, table[i].text, n, used, table[i].want);
        if (!table[i].want) continue;
        int m = snprintf(more, sizeof more, "%s0\r\n\r\nG", table[i].text);
        check_body(&h, more, (size_t)m, used, table[i].want);
    }

    /* Every byte as the first of a size, and behind one. */
    int wrong = 0;
    for (int c = 0; c < 256; c++) {
        char text[] = "?\r\nhello, world...\r\n", next[] = "0?\r\n\r\n";
        struct buf data;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
                   (c >= 'A' && c <= 'F');

        text[0] = (char)c;
        wrong += (feed(&h, text, 3, 0, 0, &data) == 0) != hex;
        buf_free(&data);
        next[1] = (char)c;
        bool ok = hex || c == ' ' || c == '\t' || c == ';' || c == '\r';
        wrong += (feed(&h, next, 2, 0, 0, &data) == 0) != ok;
        buf_free(&data);
    }
    CHECK(wrong == 0, "%d wrong", wrong);
}

/* A chunk's line and all that is thrown away have limits. */
static void body_limit(const char *before, char c, const char *after, size_t n,
                       ssize_t want)
{
    struct http_head h = {.framing = HTTP_CHUNKED};
    struct buf data;
    char *text = padded(before, c, after, n);

    CHECK(feed(&h, text, n, 0, 0, &data) == want, "%s, %zu bytes", before, n);
    buf_free(&data);
    CHECK(feed(&h, text, n, 1, n - 1, &data) == want, "%s, %zu bytes, in parts",
          before, n);
    buf_free(&data);
    free(text);
}

static void body_limits(void)
{
    struct http_head h = {.framing = HTTP_CHUNKED};
    const size_t end = 2, line = HTTP_CHUNK_LINE_MAX;

    body_limit("5;", 'a', "\r\n", line + end, 0);
    body_limit("5;", 'a', "\r\n", line + end + 1, -400);
    body_limit("5;", 'a', "", line + 1, -400);
    body_limit("0", '0', "\r\n\r\n", line + end + 2, (ssize_t)(line + end + 2));
    body_limit("0", '0', "\r\n\r\n", line + end + 3, -400);
    body_limit("5 ", ' ', ";\r\n", line + end, 0);

    size_t used = strlen("0\r\n");
    size_t most = used + HTTP_HEAD_MAX; /* of which trailers */
    body_limit("0\r\nA: ", 'a', "\r\n\r\n", most, (ssize_t)most);
    body_limit("0\r\nA: ", 'a', "\r\n\r\n", most + 1, -431);
    body_limit("0\r\nA: ", 'a', "", most, 0);
    body_limit("0\r\nA: ", 'a', "", most + 1, -431);

    /* Many lines with extensions, each in order. */
    struct buf text = {.max = 1 << 20}, data;
    char *line_of = padded("1;", 'a', "\r\nx\r\n", 1 + 512 + 5);
    for (size_t i = 0; i < HTTP_HEAD_MAX / 512; i++) buf_puts(&text, line_of);
    CHECK(feed(&h, buf_at(&text), buf_len(&text), 0, 0, &data) == 0, "at most");
    buf_free(&data);
    buf_puts(&text, "1;\r\n");
    CHECK(feed(&h, buf_at(&text), buf_len(&text), 0, 0, &data) == -400, "more");
    buf_free(&data);
    buf_free(&text);
    free(line_of);
}

static void other_bodies(void)
{
    struct http_head h = {.framing = HTTP_NONE};
    struct http_body b;
    struct span data;

    http_body_start(&b, &h);
    CHECK(b.done && http_body_next(&b, span_of("x"), &data) == 0, "none");

    h = (struct http_head){.framing = HTTP_LENGTH, .length = 0};
    http_body_start(&b, &h);
    CHECK(b.done && http_body_next(&b, span_of("x"), &data) == 0, "length 0");

    h.length = 5;
    check_body(&h, "hello", 5, 5, "hello");
    check_body(&h, "helloGET /", 10, 5, "hello");
    check_body(&h, "hell", 4, 0, NULL);
    check_body(&h, "\r\n0\r\n", 5, 5, "\r\n0\r\n");

    h = (struct http_head){.framing = HTTP_LENGTH, .length = UINT64_MAX};
    check_body(&h, "hello", 5, 0, NULL);

    h = (struct http_head){.framing = HTTP_TO_CLOSE};
    check_body(&h, "5\r\nhello", 8, 8, "5\r\nhello");
}

/* ---- for answers -------------------------------------------------------- */

static void reasons(void)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {299, "Unknown"},
        {0, "Unknown"},
    };

    for (size_t i = 0; i < COUNT(table); i++)
        CHECK(strcmp(http_reason(table[i].status), table[i].reason) == 0,
              "%d: %s", table[i].status, http_reason(table[i].status));
}

static void dates(void)
{
    static const struct {
        time_t t;
        const char *text;
    } table[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* RFC 9110, 5.6.7 */
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {2147483647, "Tue, 19 Jan 2038 03:14:07 GMT"},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        char *out = exact("", 0);
        out = realloc(out, HTTP_DATE_SIZE);
        if (!out) abort();
        http_date(out, table[i].t);
        CHECK(strcmp(out, table[i].text) == 0, "%s", out);
        free(out);
    }
}

int main(void)
{
    for (size_t i = 0; i < COUNT(requests); i++)
        check_head(&requests[i], false);
    for (size_t i = 0; i < COUNT(responses); i++)
        check_head(&responses[i], true);
    every_byte_everywhere();
    limits();
    empty_lines();
    meanings();
    media_types();
    origins();
    chunked_bodies();
    body_limits();
    other_bodies();
    reasons();
    dates();
    return report();
}
