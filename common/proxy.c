#define _POSIX_C_SOURCE 200809L

#include "proxy.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <sys/socket.h>

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443" (2.1) --------- */

/* What stands before the next blank; the blank is gone, too. */
static struct span next_word(struct span *rest)
{
    const char *blank = memchr(rest->p, ' ', rest->n);
    size_t n = blank ? (size_t)(blank - rest->p) : rest->n;
    struct span word = {rest->p, n};

    if (blank) n++;
    rest->p += n;
    rest->n -= n;
    return word;
}

/* Also writes it as everybody else does: small letters, the longest run of
 * zeros left out. */
static bool parse_address(char ip[PROXY_IP_SIZE], int family, struct span text)
{
    unsigned char bytes[16];

    if (text.n >= PROXY_IP_SIZE || memchr(text.p, '\0', text.n)) return false;
    memcpy(ip, text.p, text.n);
    ip[text.n] = '\0';
    if (inet_pton(family, ip, bytes) != 1) return false;
    inet_ntop(family, bytes, ip, PROXY_IP_SIZE);
    return true;
}

static bool port_ok(struct span text)
{
    long port = 0;

    if (text.n < 1 || text.n > 5 || (text.n > 1 && text.p[0] == '0'))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        port = 10 * port + text.p[i] - '0';
    }
    return port <= 65535;
}

static ssize_t parse_line(char ip[PROXY_IP_SIZE], struct span in)
{
    size_t n = in.n < PROXY_LINE_MAX ? in.n : PROXY_LINE_MAX;
    const char *end = memchr(in.p, '\n', n);
    char to[PROXY_IP_SIZE];

    if (!end) return in.n < PROXY_LINE_MAX ? 0 : -1;
    if (end[-1] != '\r') return -1;
    struct span rest = {in.p, (size_t)(end - in.p) - 1};
    ssize_t used = end + 1 - in.p;

    next_word(&rest); /* "PROXY" */
    struct span protocol = next_word(&rest);
    int family = span_is(protocol, "TCP4") ? AF_INET : AF_INET6;
    ip[0] = '\0';
    if (span_is(protocol, "UNKNOWN")) return used;
    if (family == AF_INET6 && !span_is(protocol, "TCP6")) return -1;
    if (!parse_address(ip, family, next_word(&rest)) ||
        !parse_address(to, family, next_word(&rest)) ||
        !port_ok(next_word(&rest)))
        return -1;
    return port_ok(rest) ? used : -1;
}

/* ---- version 2: a signature, four bytes, and a block (2.2) --------------- */

static ssize_t parse_block(char ip[PROXY_IP_SIZE], struct span in)
{
    const unsigned char *b = (const unsigned char *)in.p;

    if (in.n < 16) return 0;
    size_t length = (size_t)b[14] << 8 | b[15];
    int version = b[12] >> 4, command = b[12] & 15;
    int family = b[13] >> 4, transport = b[13] & 15;
    bool told =
        command == 1 && transport == 1; /* by TCP; not the proxy's own */
    bool ip4 = told && family == 1, ip6 = told && family == 2;

    if (version != 2 || command > 1) return -1;
    if (command == 1 && (family > 3 || transport > 2)) return -1;
    if (16 + length > PROXY_BLOCK_MAX) return -1;
    if (length < (ip4 ? 12 : ip6 ? 36 : 0)) return -1;
    if (in.n < 16 + length) return 0;
    ip[0] = '\0';
    if (ip4 || ip6)
        inet_ntop(ip4 ? AF_INET : AF_INET6, b + 16, ip, PROXY_IP_SIZE);
    return (ssize_t)(16 + length);
}

static bool begins(struct span in, const char *with, size_t n)
{
    return memcmp(in.p, with, in.n < n ? in.n : n) == 0;
}

ssize_t proxy_parse(char ip[PROXY_IP_SIZE], struct span in)
{
    if (in.n == 0) return 0;
    if (begins(in, "PROXY ", 6)) return parse_line(ip, in);
    if (begins(in, "\r\n\r\n\0\r\nQUIT\n", 12)) return parse_block(ip, in);
    return -1;
}
