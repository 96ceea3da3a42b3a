#define _POSIX_C_SOURCE 200809L

#include "http.h"

#include <arpa/inet.h>

/* ---- characters --------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* tchar, RFC 9110, 5.6.2 */
static bool is_token(char c)
{
    return is_alpha(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* What may stand in a target: the visible characters of ASCII. */
static bool is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* In a header's value: no control characters, but bytes above ASCII are in
 * order (RFC 9110, 5.5). */
static bool is_value(char c)
{
    return (unsigned char)c >= ' ' ? c != 0x7f : c == '\t';
}

/* A folded header brings line ends with it; they count as blanks. */
static bool is_space(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

static struct span trim(struct span s)
{
    while (s.n > 0 && is_space(s.p[0])) s.p++, s.n--;
    while (s.n > 0 && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

/* ---- lines ------------------------------------------------------------------
 * Each of these looks at the bytes from `at` on, and answers as the parsers
 * do: bytes used, 0 for "not whole yet", or minus the status. */

/* CRLF, or a bare LF; but never a bare CR: RFC 9112, 2.2. */
static ssize_t line_end(struct span in, size_t at)
{
    if (at < in.n && in.p[at] == '\n') return 1;
    if (at < in.n && in.p[at] != '\r') return -400;
    if (at + 1 >= in.n) return 0;
    return in.p[at + 1] == '\n' ? 2 : -400;
}

/* "HTTP/1.1", and sets *minor. A later 1.x is read as 1.1 (RFC 9110, 2.5). */
static ssize_t version(struct span in, size_t at, int *minor)
{
    static const char form[] = "HTTP/d.d";
    size_t i = 0;

    for (; i < sizeof form - 1 && at + i < in.n; i++) {
        char c = in.p[at + i];
        if (form[i] == 'd' ? !is_digit(c) : c != form[i]) return -400;
    }
    if (i < sizeof form - 1) return 0;
    if (in.p[at + 5] != '1') return -505;
    *minor = in.p[at + 7] == '0' ? 0 : 1;
    return (ssize_t)i;
}

static ssize_t request_line(struct http_head *h, struct span in, size_t at)
{
    size_t start = at;

    while (at < in.n && is_token(in.p[at])) at++;
    h->method = (struct span){in.p + start, at - start};
    if (h->method.n > HTTP_METHOD_MAX) return -501; /* RFC 9112, 3 */
    if (at == in.n) return 0;
    if (h->method.n == 0 || in.p[at] != ' ') return -400;

    size_t target = ++at;
    while (at < in.n && is_visible(in.p[at])) at++;
    h->target = (struct span){in.p + target, at - target};
    if (h->target.n > HTTP_TARGET_MAX) return -414; /* RFC 9112, 3 */
    if (at == in.n) return 0;
    if (h->target.n == 0 || in.p[at] != ' ') return -400;

    ssize_t used = version(in, ++at, &h->minor);
    if (used <= 0) return used;
    at += (size_t)used;

    used = line_end(in, at);
    return used > 0 ? (ssize_t)(at - start) + used : used;
}

/* "HTTP/1.1 200 OK"; some servers leave out the reason and its blank. */
static ssize_t status_line(struct http_head *h, struct span in)
{
    ssize_t used = version(in, 0, &h->minor);
    if (used <= 0) return used;
    size_t at = (size_t)used;

    for (size_t i = 0; i < 4; i++) {
        if (at + i == in.n) return 0;
        char c = in.p[at + i];
        if (i == 0 ? c != ' ' : !is_digit(c)) return -400;
        if (i > 0) h->status = (i == 1 ? 0 : h->status * 10) + (c - '0');
    }
    at += 4;
    if (h->status < 100) return -400;

    size_t start = at;
    if (at < in.n && in.p[at] == ' ')
        start = ++at;
    else if (at < in.n && is_value(in.p[at]))
        return -400;
    while (at < in.n && is_value(in.p[at])) at++;
    h->reason = (struct span){in.p + start, at - start};

    used = line_end(in, at);
    return used > 0 ? (ssize_t)at + used : used;
}

/* "Name: value". A line that begins with a blank folds the one before, which
 * nobody may send in a request any more (RFC 9112, 5.2); in a response it
 * counts as part of the value, and FOLD says so. */
static ssize_t field_line(struct http_header *f, struct span in, size_t at,
                          bool fold)
{
    size_t start = at;

    while (at < in.n && is_token(in.p[at])) at++;
    if (at == in.n) return 0;
    if (at == start || in.p[at] != ':') return -400; /* RFC 9112, 5.1 */
    f->name = (struct span){in.p + start, at - start};

    size_t value = ++at;
    for (;;) {
        while (at < in.n && is_value(in.p[at])) at++;
        ssize_t used = line_end(in, at);
        if (used <= 0) return used;
        f->value = trim((struct span){in.p + value, at - value});
        at += (size_t)used;
        if (!fold) break;
        if (at == in.n) return 0;
        if (!is_blank(in.p[at])) break;
    }
    return (ssize_t)(at - start);
}

/* The header fields and the empty line after them. */
static ssize_t field_lines(struct http_head *h, struct span in, size_t at,
                           bool fold)
{
    size_t start = at;

    h->nheaders = 0;
    while (at < in.n && in.p[at] != '\r' && in.p[at] != '\n') {
        if (h->nheaders == HTTP_HEADERS_MAX) return -431;
        ssize_t used = field_line(&h->headers[h->nheaders], in, at, fold);
        if (used <= 0) return used;
        h->nheaders++;
        at += (size_t)used;
    }
    ssize_t used = line_end(in, at);
    return used > 0 ? (ssize_t)(at - start) + used : used;
}

/* ---- what the headers mean ---------------------------------------------- */

struct span http_header(const struct http_head *h, const char *name)
{
    for (size_t i = 0; i < h->nheaders; i++)
        if (span_is_nocase(h->headers[i].name, name))
            return h->headers[i].value;
    return (struct span){NULL, 0};
}

bool http_list_next(struct span *list, struct span *item)
{
    while (list->n > 0) {
        const char *comma = memchr(list->p, ',', list->n);
        size_t n = comma ? (size_t)(comma - list->p) : list->n;
        struct span next = trim((struct span){list->p, n});
        if (comma) n++;
        list->p += n;
        list->n -= n;
        if (next.n == 0) continue;
        *item = next;
        return true;
    }
    return false;
}

bool http_has_token(const struct http_head *h, const char *name,
                    const char *token)
{
    for (size_t i = 0; i < h->nheaders; i++) {
        struct span list = h->headers[i].value, item;
        if (!span_is_nocase(h->headers[i].name, name)) continue;
        while (http_list_next(&list, &item))
            if (span_is_nocase(item, token)) return true;
    }
    return false;
}

bool http_type_is(struct span value, const char *type)
{
    const char *end = value.n > 0 ? memchr(value.p, ';', value.n) : NULL;
    if (end) value.n = (size_t)(end - value.p);
    return span_is_nocase(trim(value), type);
}

/* What stands before TEXT's host, as "http://"; 0 if TEXT does not begin so. */
static size_t scheme_length(struct span text, const char *scheme)
{
    size_t n = strlen(scheme);
    if (text.n < n) return 0;
    return span_is_nocase((struct span){text.p, n}, scheme) ? n : 0;
}

bool http_same_origin(const struct http_head *h)
{
    struct span origin = http_header(h, "Origin");
    if (!origin.p) return true;

    size_t n = scheme_length(origin, "http://");
    if (n == 0) n = scheme_length(origin, "https://");
    return n > 0 &&
           span_same_nocase((struct span){origin.p + n, origin.n - n}, h->host);
}

/* "[::1]" or "[v1.x]": RFC 3986, 3.2.2 */
static bool is_ip_literal(struct span s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (s.n < 4 || s.p[0] != '[' || s.p[s.n - 1] != ']') return false;
    s = (struct span){s.p + 1, s.n - 2};
    if (s.n < sizeof text) {
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        if (inet_pton(AF_INET6, text, &address) == 1) return true;
    }
    if (s.p[0] != 'v' && s.p[0] != 'V') return false;
    size_t i = 1;
    while (i < s.n && hex_value(s.p[i]) >= 0) i++;
    if (i == 1 || i + 1 >= s.n || s.p[i++] != '.') return false;
    for (; i < s.n; i++)
        if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) &&
            !strchr("-._~!$&'()*+,;=:", s.p[i]))
            return false;
    return true;
}

/* A name or an IPv4 address: RFC 3986, 3.2.2 */
static bool is_reg_name(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') {
            if (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 ||
                hex_value(s.p[i + 2]) < 0)
                return false;
            i += 2;
        } else if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) &&
                   !strchr("-._~!$&'()*+,;=", s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

/* host[:port]; RFC 9110, 7.2 and RFC 3986, 3.2.2 and 3.2.3. */
static bool is_host(struct span s)
{
    size_t host = s.n;
    long port = 0;

    while (host > 0 && is_digit(s.p[host - 1])) host--;
    if (host > 0 && s.p[host - 1] == ':') {
        for (size_t i = host; i < s.n; i++)
            if ((port = port * 10 + (s.p[i] - '0')) > 65535) return false;
        s.n = host - 1;
    }
    return is_ip_literal(s) || is_reg_name(s);
}

/* Splits the host off "http://host[:port]/path": RFC 9112, 3.2.2. Only http:
 * a request for https must not be served in the clear (RFC 9110, 7.4). */
static bool absolute_form(struct http_head *h)
{
    size_t n = scheme_length(h->target, "http://");
    if (n == 0) return false;

    struct span rest = {h->target.p + n, h->target.n - n};
    size_t host = 0;
    while (host < rest.n && !strchr("/?#", rest.p[host])) host++;
    h->host = (struct span){rest.p, host};
    h->target = (struct span){rest.p + host, rest.n - host};
    if (h->target.n == 0) h->target = span_of("/");
    return is_host(h->host);
}

/* The four forms of a target, RFC 9112, 3.2, and the Host beside it. */
static bool target_ok(struct http_head *h)
{
    size_t hosts = 0;

    h->host = (struct span){NULL, 0};
    for (size_t i = 0; i < h->nheaders; i++) {
        if (!span_is_nocase(h->headers[i].name, "Host")) continue;
        h->host = h->headers[i].value;
        hosts++;
    }
    /* An empty Host stands for a target that has none: RFC 9112, 3.2. */
    if (hosts > 1 || (hosts == 0 && h->minor > 0)) return false;
    if (h->host.n > 0 && !is_host(h->host)) return false;

    if (span_is(h->method, "CONNECT")) return is_host(h->target);
    if (h->target.p[0] == '/') return true;
    if (span_is(h->target, "*")) return span_is(h->method, "OPTIONS");
    return absolute_form(h);
}

/* "5", or "5, 5" of an intermediary that joined two: RFC 9110, 8.6. */
static bool content_length(struct http_head *h, struct span value)
{
    struct span item;
    bool any = false;

    while (http_list_next(&value, &item)) {
        uint64_t n = 0;
        for (size_t i = 0; i < item.n; i++) {
            if (!is_digit(item.p[i])) return false;
            unsigned digit = (unsigned)(item.p[i] - '0');
            if (n > (UINT64_MAX - digit) / 10) return false;
            n = n * 10 + digit;
        }
        if (h->framing == HTTP_LENGTH && n != h->length) return false;
        h->framing = HTTP_LENGTH;
        h->length = n;
        any = true;
    }
    return any;
}

/* How the body ends, as far as the headers tell: RFC 9112, 6. Two ways at
 * once, or a way unknown, is how requests are smuggled past a proxy. A response
 * may be coded in an unknown way to its close, but not have chunks in it. */
static bool framing_ok(struct http_head *h, bool response)
{
    bool coded = false;
    int codings = 0;
    struct span last = {NULL, 0};

    h->framing = HTTP_NONE;
    for (size_t i = 0; i < h->nheaders; i++) {
        struct span value = h->headers[i].value;
        if (span_is_nocase(h->headers[i].name, "Content-Length")) {
            if (!content_length(h, value)) return false;
        } else if (span_is_nocase(h->headers[i].name, "Transfer-Encoding")) {
            coded = true;
            while (http_list_next(&value, &last)) codings++;
        }
    }
    if (!coded) return true;
    if (h->framing == HTTP_LENGTH || h->minor == 0) return false;
    h->framing = HTTP_CHUNKED;
    if (codings == 1 && span_is_nocase(last, "chunked")) return true;
    h->framing = HTTP_TO_CLOSE;
    return response && codings == 1;
}

static bool stays_open(const struct http_head *h)
{
    if (http_has_token(h, "Connection", "close")) return false;
    return h->minor > 0 || http_has_token(h, "Connection", "keep-alive");
}

size_t http_empty_lines(struct span in)
{
    size_t at = 0;
    ssize_t used;

    while (at < in.n && (used = line_end(in, at)) > 0) at += (size_t)used;
    return at;
}

static ssize_t request_head(struct http_head *h, struct span in)
{
    size_t at = http_empty_lines(in);
    ssize_t used;

    h->method = (struct span){NULL, 0};
    if (at < in.n && in.p[at] == '\r') return line_end(in, at);
    if ((used = request_line(h, in, at)) <= 0) return used;
    at += (size_t)used;
    if ((used = field_lines(h, in, at, false)) <= 0) return used;
    return (ssize_t)at + used;
}

ssize_t http_parse_request(struct http_head *h, struct span in)
{
    if (in.n > HTTP_HEAD_MAX) in.n = HTTP_HEAD_MAX;
    ssize_t used = request_head(h, in);
    if (used == 0 && in.n == HTTP_HEAD_MAX) return -431;
    if (used <= 0) return used;

    if (!target_ok(h) || !framing_ok(h, false)) return -400;
    h->keep_alive = stays_open(h);
    h->expect_continue = false;
    struct span expect = http_header(h, "Expect");
    if (expect.p && h->minor > 0) { /* RFC 9110, 10.1.1 */
        if (!span_is_nocase(expect, "100-continue")) return -417;
        h->expect_continue = h->framing != HTTP_NONE;
    }
    return used;
}

ssize_t http_parse_response(struct http_head *h, struct span in)
{
    if (in.n > HTTP_HEAD_MAX) in.n = HTTP_HEAD_MAX;
    ssize_t line = status_line(h, in);
    ssize_t rest = line > 0 ? field_lines(h, in, (size_t)line, true) : line;
    if (rest < 0 || (rest == 0 && in.n == HTTP_HEAD_MAX)) return -502;
    if (rest == 0) return 0;

    if (!framing_ok(h, true)) return -502;
    h->keep_alive = stays_open(h);
    if (h->status < 200 || h->status == 204 || h->status == 304)
        h->framing = HTTP_NONE;
    else if (h->framing == HTTP_NONE)
        h->framing = HTTP_TO_CLOSE; /* RFC 9112, 6.3, rule 8 */
    return line + rest;
}

/* ---- bodies ------------------------------------------------------------- */

void http_body_start(struct http_body *b, const struct http_head *h)
{
    *b = (struct http_body){.framing = h->framing};
    if (h->framing == HTTP_LENGTH) b->left = h->length;
    b->done = h->framing == HTTP_NONE ||
              (h->framing == HTTP_LENGTH && h->length == 0);
}

/* "1a;name=value", RFC 9112, 7.1 */
static ssize_t chunk_size(struct http_body *b, struct span in)
{
    size_t at = 0;
    uint64_t size = 0;

    for (; at < in.n && hex_value(in.p[at]) >= 0; at++) {
        if (size > UINT64_MAX >> 4) return -400;
        size = size << 4 | (uint64_t)hex_value(in.p[at]);
    }
    if (at == 0) return -400;

    size_t extension = at;
    while (at < in.n && is_blank(in.p[at])) at++;
    if (at < in.n && in.p[at] == ';')
        while (at < in.n && is_value(in.p[at])) at++;
    else if (at < in.n && at > extension)
        return -400;
    if (at > HTTP_CHUNK_LINE_MAX) return -400;
    ssize_t end = line_end(in, at);
    if (end <= 0) return end;

    b->extra += at - extension;
    if (b->extra > HTTP_HEAD_MAX) return -400;
    b->left = size;
    b->part = size > 0 ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
    return (ssize_t)at + end;
}

/* A trailer field, or the empty line that ends the message: 7.1.2. */
static ssize_t trailer(struct http_body *b, struct span in)
{
    struct http_header ignored;
    bool last = in.p[0] == '\r' || in.p[0] == '\n';
    ssize_t used = last ? line_end(in, 0) : field_line(&ignored, in, 0, false);

    size_t extra = b->extra + (used > 0 ? (size_t)used : in.n);
    if (used >= 0 && extra > HTTP_HEAD_MAX) return -431;
    if (used <= 0) return used;
    b->extra = extra;
    b->done = last;
    return used;
}

/* The CRLF after the data of a chunk. */
static ssize_t chunk_end(struct http_body *b, struct span in)
{
    ssize_t used = line_end(in, 0);
    if (used > 0) b->part = HTTP_CHUNK_SIZE;
    return used;
}

/* A line of a chunked body, of which at least a byte is here. Nobody types
 * these: a bare LF, which a proxy on the way may have read otherwise, is
 * refused. */
static ssize_t chunk_line(struct http_body *b, struct span in)
{
    ssize_t used = b->part == HTTP_CHUNK_SIZE  ? chunk_size(b, in)
                   : b->part == HTTP_CHUNK_END ? chunk_end(b, in)
                                               : trailer(b, in);
    if (used != 1 && (used <= 0 || in.p[used - 2] == '\r')) return used;
    b->done = false;
    return -400;
}

ssize_t http_body_next(struct http_body *b, struct span in, struct span *data)
{
    *data = (struct span){in.p, 0};
    if (b->done || in.n == 0) return 0;
    if (b->framing == HTTP_CHUNKED && b->part != HTTP_CHUNK_DATA)
        return chunk_line(b, in);

    data->n = in.n;
    if (b->framing != HTTP_TO_CLOSE) {
        if (data->n > b->left) data->n = (size_t)b->left;
        b->left -= data->n;
        if (b->left == 0) {
            b->done = b->framing == HTTP_LENGTH;
            b->part = HTTP_CHUNK_END;
        }
    }
    return (ssize_t)data->n;
}

/* ---- for answers -------------------------------------------------------- */

const char *http_reason(int status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 426: return "Upgrade Required";
    case 431: return "Request Header Fields Too Large"; /* RFC 6585 */
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage"; /* RFC 4918 */
    default: return "Unknown";
    }
}

void http_date(char out[HTTP_DATE_SIZE], time_t t)
{
    struct tm tm = {0};

    /* No program here calls setlocale(): the names are English. */
    gmtime_r(&t, &tm);
    strftime(out, HTTP_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}
