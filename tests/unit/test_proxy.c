/* test_proxy.c */
#define _POSIX_C_SOURCE 200809L

#include "../../common/proxy.h"
#include "test.h"

static ssize_t parse(char *ip, const char *p, size_t n)
{
    char *copy = exact(p, n);
    ssize_t used = proxy_parse(ip, (struct span){copy, n});
    free(copy);
    return used;
}

/* A whole header with more behind it: cut anywhere it is not whole, and what
 * follows is not looked at. */
static void accepted(const char *what, const char *p, size_t n, const char *ip)
{
    char got[PROXY_IP_SIZE] = "?", wire[PROXY_BLOCK_MAX + 8];
    int wrong = 0;

    memcpy(wire, p, n);
    memcpy(wire + n, "\r\n\r\nGET ", 8);
    for (size_t i = 0; i < n; i++) wrong += parse(got, wire, i) != 0;
    for (size_t i = n; i <= n + 8; i++)
        wrong += parse(got, wire, i) != (ssize_t)n;
    CHECK(wrong == 0, "%s: %d of the ways to cut it", what, wrong);
    CHECK(strcmp(got, ip) == 0, "%s: %s", what, got);
}

/* Refused once and for all: not for lack of more. */
static void refused(const char *what, const char *p, size_t n)
{
    char got[PROXY_IP_SIZE];
    ssize_t used = 0;

    for (size_t i = 0; i <= n && used == 0; i++) used = parse(got, p, i);
    CHECK(used == -1, "%s: %zd", what, used);
}

static void lines(void)
{
    static const struct {
        const char *line, *ip;
    } table[] = {
        {"TCP4 192.0.2.1 192.0.2.9 56324 443\r\n", "192.0.2.1"},
        {"TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0"},
        {"TCP6 2001:DB8:0::1 ::1 1 2\r\n", "2001:db8::1"},
        {"TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "::ffff:192.0.2.1"},
        {"TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"UNKNOWN\r\n", ""},
        {"UNKNOWN \1\xFF anything 99999\r\n", ""},
        {"UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         ""},
        {"UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 \r\n",
         NULL},
        {"\r\n", NULL},
        {" TCP4 192.0.2.1 192.0.2.9 1 2\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 1 2\n", NULL},
        {"TCP4\r\n", NULL},
        {"TCP5 192.0.2.1 192.0.2.9 1 2\r\n", NULL},
        {"tcp4 192.0.2.1 192.0.2.9 1 2\r\n", NULL},
        {"UDP4 192.0.2.1 192.0.2.9 1 2\r\n", NULL},
        {"TCP4 192.0.2.1  192.0.2.9 1 2\r\n", NULL},
        {"TCP4 192.0.2 192.0.2.9 1 2\r\n", NULL},
        {"TCP4 192.0.2.256 192.0.2.9 1 2\r\n", NULL},
        {"TCP4 ::1 192.0.2.9 1 2\r\n", NULL},
        {"TCP6 192.0.2.1 ::1 1 2\r\n", NULL},
        {"TCP4 192.0.2.1 x 1 2\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 1\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 1 2 3\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 1 2 \r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 01 2\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 1 65536\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 100000 2\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 +1 2\r\n", NULL},
        {"TCP4 192.0.2.1 192.0.2.9 1: 2\r\n", NULL},
        {"TCP4 0000000000000000000000000000000000000000000000 1.1.1.1 1 2\r\n",
         NULL},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char line[200];
        int n = snprintf(line, sizeof line, "PROXY %s", table[i].line);
        if (table[i].ip)
            accepted(line, line, (size_t)n, table[i].ip);
        else
            refused(line, line, (size_t)n);
    }
    refused("a NUL in the address", "PROXY TCP4 1.1.1.1\0002 1.1.1.1 1 2\r\n",
            35);
    refused("no line", "GET / HTTP/1.1\r\n", 16);
    refused("a line without an end",
            "PROXY UNKNOWN 45678901234567890"
            "12345678901234567890123456789012345678"
            "90123456789012345678901234567890123456",
            PROXY_LINE_MAX);
}

/* VERSION_COMMAND and FAMILY are one byte each of the header; the block is
 * LENGTH bytes of an address and anything. */
static size_t block(char *out, int version_command, int family, size_t length)
{
    static const char addresses[] = "\xC0\x00\x02\x01\xC0\x00\x02\x09"
                                    "\x01\xBB\x01\xBB\x00\x00\x00\x01";

    memcpy(out, "\r\n\r\n\0\r\nQUIT\n", 12);
    out[12] = (char)version_command;
    out[13] = (char)family;
    out[14] = (char)(length >> 8);
    out[15] = (char)length;
    memset(out + 16, 0xFF, length);
    memcpy(out + 16, addresses, length < 16 ? length : 16);
    return 16 + length;
}

static void blocks(void)
{
    static const struct {
        int version_command, family;
        size_t length;
        const char *ip;
    } table[] = {
        {0x21, 0x11, 12, "192.0.2.1"},
        {0x21, 0x11, 13, "192.0.2.1"},
        {0x21, 0x11, PROXY_BLOCK_MAX - 16, "192.0.2.1"},
        {0x21, 0x21, 36, "c000:201:c000:209:1bb:1bb:0:1"},
        {0x21, 0x21, 90, "c000:201:c000:209:1bb:1bb:0:1"},
        {0x20, 0x00, 0, ""},  /* LOCAL, a health check */
        {0x20, 0x11, 12, ""}, /* its addresses do not count */
        {0x20, 0x11, 3, ""},
        {0x20, 0x41, 0, ""}, /* nor does their family */
        {0x20, 0xFF, 12, ""},
        {0x21, 0x00, 0, ""}, /* UNSPEC */
        {0x21, 0x00, 40, ""},
        {0x21, 0x31, 216, ""}, /* a socket of Unix */
        {0x21, 0x12, 12, ""},  /* UDP */
        {0x21, 0x11, 11, NULL},
        {0x21, 0x11, 0, NULL},
        {0x21, 0x21, 35, NULL},
        {0x22, 0x11, 12, NULL},
        {0x11, 0x11, 12, NULL},
        {0x31, 0x11, 12, NULL},
        {0x21, 0x41, 12, NULL},
        {0x21, 0x13, 12, NULL},
        {0x21, 0x11, PROXY_BLOCK_MAX - 15, NULL},
        {0x21, 0x11, 0xFFFF, NULL},
    };
    static char wire[16 + 0xFFFF];

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = block(wire, table[i].version_command, table[i].family,
                         table[i].length);
        char what[80];
        snprintf(what, sizeof what, "%02X %02X, %zu bytes",
                 (unsigned)table[i].version_command, (unsigned)table[i].family,
                 table[i].length);
        if (table[i].ip)
            accepted(what, wire, n, table[i].ip);
        else
            refused(what, wire, n);
    }
    refused("another signature", "\r\n\r\n\0\r\nQUIT\r", 12);
}

int main(void)
{
    lines();
    blocks();
    return report();
}
