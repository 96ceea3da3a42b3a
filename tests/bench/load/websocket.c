/* websocket.c -- keeps a WebSocket echo busy, and compares what comes back.
 *
 *     websocket PORT CONNECTIONS SIZE IN_FLIGHT SECONDS
 *
 * Each connection has IN_FLIGHT messages of SIZE bytes on their way. Prints the
 * number of echoes, and the seconds they took. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 256 * 1024 };

struct conn {
    size_t sent, received; /* of the present message, each way */
    int flying;            /* begun to be sent, not yet back */
};

static const char hello[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                            "\r\n";
static char *out, *echo; /* the frame to send, and the one to come */
static size_t out_size, echo_size;
static int in_flight;
static long echoes;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t frame_head(unsigned char *p, size_t n, int mask)
{
    size_t bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;

    p[0] = 0x82; /* binary, and the only frame */
    p[1] = (unsigned char)((bytes == 0 ? n : bytes == 2 ? 126 : 127) | mask);
    for (size_t i = 0; i < bytes; i++)
        p[2 + i] = (unsigned char)(n >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

/* The same bytes as both sides write them: RFC 6455, 5.2 and 5.3. */
static void make_frames(size_t n)
{
    static const unsigned char mask[] = {0x37, 0xfa, 0x21, 0x3d};
    size_t head;

    out = malloc(n + 14);
    echo = malloc(n + 14);
    if (!out || !echo) err(1, "malloc");
    head = frame_head((unsigned char *)echo, n, 0);
    echo_size = head + n;
    for (size_t i = 0; i < n; i++) echo[head + i] = (char)('a' + i % 26);
    head = frame_head((unsigned char *)out, n, 0x80);
    memcpy(out + head, mask, 4);
    out_size = head + 4 + n;
    for (size_t i = 0; i < n; i++)
        out[head + 4 + i] = (char)(('a' + i % 26) ^ mask[i % 4]);
}

static int open_conn(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    char text[4096] = "";
    size_t n = 0;

    if (connect(fd, (struct sockaddr *)&a, sizeof a) == -1) err(1, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (send(fd, hello, sizeof hello - 1, 0) == -1) err(1, "send");
    while (!strstr(text, "\r\n\r\n")) {
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got <= 0) errx(1, "no handshake");
        n += (size_t)got;
    }
    if (strncmp(text, "HTTP/1.1 101", 12) != 0) errx(1, "refused: %s", text);
    return fd;
}

/* Sends what it may, several messages in one piece if they are small. */
static void feed(struct conn *c, int fd)
{
    static char pieces[ROOM];
    size_t n = 0;

    if (c->sent == 0 && out_size * (size_t)in_flight <= ROOM) {
        for (; c->flying < in_flight; c->flying++, n += out_size)
            memcpy(pieces + n, out, out_size);
        if (n > 0 && send(fd, pieces, n, 0) != (ssize_t)n) err(1, "send");
        return;
    }
    while (c->sent > 0 || c->flying < in_flight) {
        ssize_t done =
            send(fd, out + c->sent, out_size - c->sent, MSG_DONTWAIT);
        if (done == -1) return;
        if (c->sent == 0) c->flying++;
        c->sent = (c->sent + (size_t)done) % out_size;
    }
}

static void take(struct conn *c, int fd)
{
    static char in[ROOM];
    ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);

    if (n == 0) errx(1, "the server hung up");
    for (ssize_t at = 0; at < n;) {
        size_t want = echo_size - c->received;
        if (want > (size_t)(n - at)) want = (size_t)(n - at);
        if (memcmp(in + at, echo + c->received, want) != 0)
            errx(1, "not what was sent");
        at += (ssize_t)want;
        c->received += want;
        if (c->received < echo_size) continue;
        c->received = 0;
        c->flying--;
        echoes++;
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) errx(2, "PORT CONNECTIONS SIZE IN_FLIGHT SECONDS");
    int n = atoi(argv[2]);
    struct pollfd *fds = calloc((size_t)n, sizeof *fds);
    struct conn *conns = calloc((size_t)n, sizeof *conns);

    make_frames(strtoul(argv[3], NULL, 10));
    in_flight = atoi(argv[4]);
    for (int i = 0; i < n; i++) fds[i].fd = open_conn(atoi(argv[1]));
    double begun = now(), end = begun + atof(argv[5]);
    while (now() < end) {
        for (int i = 0; i < n; i++) {
            feed(&conns[i], fds[i].fd);
            fds[i].events = POLLIN | (conns[i].sent > 0 ? POLLOUT : 0);
        }
        if (poll(fds, (nfds_t)n, 1000) == 0) errx(1, "no echo for a second");
        for (int i = 0; i < n; i++)
            if (fds[i].revents) take(&conns[i], fds[i].fd);
    }
    printf("%ld %f\n", echoes, now() - begun);
    return 0;
}
