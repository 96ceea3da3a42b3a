/* bare-answer.c -- the floor for rest-server: a loop that parses nothing. Of
 * whatever comes, each SIZE bytes are one request, and get one fixed answer.
 *
 *     PORT=8080 bare-answer SIZE [close]     close: after the first answer */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 1024, ROOM = 16 * 1024 };

#define ANSWER(connection)                                                     \
    "HTTP/1.1 200 OK\r\n"                                                      \
    "Content-Type: application/json\r\n"                                       \
    "Content-Length: 40\r\n"                                                   \
    "Date: Mon, 23 Nov 2026 16:29:00 GMT\r\n"                                  \
    "X-Content-Type-Options: nosniff\r\n"                                      \
    "Connection: " connection "\r\n\r\n"                                       \
    "{\"name\": \"my-rest-server\", \"version\": 0}"

static const char *answer = ANSWER("keep-alive");

static size_t size; /* of a request */
static int closing;
static unsigned left[65536]; /* by descriptor: bytes of the next request */

static void serve(int fd)
{
    static char in[ROOM], out[ROOM / 16 * sizeof ANSWER("keep-alive")];
    ssize_t n = recv(fd, in, sizeof in, 0);
    char *end = out;
    size_t length = strlen(answer);

    if (n <= 0) {
        close(fd);
        return;
    }
    left[fd] += (unsigned)n;
    for (; left[fd] >= size; left[fd] -= (unsigned)size)
        end = mempcpy(end, answer, length);
    if (end > out && send(fd, out, (size_t)(end - out), 0) == -1) return;
    if (closing && end > out) close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_port = htons(atoi(getenv("PORT")))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    int epoll = epoll_create1(0);
    struct epoll_event events[MANY], event = {EPOLLIN, {.fd = listener}};

    if (argc < 2 || (size = strtoul(argv[1], NULL, 10)) < 16) return 2;
    closing = argc > 2;
    if (closing) answer = ANSWER("close");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) == -1) return 1;
    if (listen(listener, SOMAXCONN) == -1) return 1;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, MANY, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (event.data.fd == -1) continue;
            left[event.data.fd] = 0;
            setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}
