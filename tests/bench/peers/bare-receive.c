/* bare-receive.c -- the floor for file-upload: takes the body of one request
 * after the other, writes it to a file as it is, flushes that to the disk, and
 * answers. Nothing is checked. With "sink" nothing is written either.
 *
 *     PORT=8080 ROOT=folder bare-receive [sink] */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n"
                             "Connection: close\r\n\r\nsaved\n";
static char in[128 * 1024];

static void serve(int fd, int file)
{
    size_t n = 0, head;
    ssize_t got;
    char *end = NULL;

    while (!end && (got = recv(fd, in + n, sizeof in - 1 - n, 0)) > 0) {
        in[n += (size_t)got] = '\0';
        end = strstr(in, "\r\n\r\n");
    }
    if (!end) return;
    head = (size_t)(end + 4 - in);
    char *length = strcasestr(in, "\r\nContent-Length:");
    long long left = length && length < end ? atoll(length + 17) : -1;
    char last[5] = "";

    memmove(in, in + head, n -= head);
    for (;;) {
        if (file >= 0 && write(file, in, n) != (ssize_t)n) return;
        if (left >= 0 && (left -= (long long)n) <= 0) break;
        if (left < 0 && n >= 5) memcpy(last, in + n - 5, 5);
        if (left < 0 && n < 5) { /* the last chunk came in pieces */
            memmove(last, last + n, 5 - n);
            memcpy(last + 5 - n, in, n);
        }
        if (left < 0 && memcmp(last, "0\r\n\r\n", 5) == 0) break;
        if ((got = recv(fd, in, sizeof in, 0)) <= 0) return;
        n = (size_t)got;
    }
    if (file >= 0) fsync(file);
    send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (recv(fd, in, sizeof in, 0) > 0) continue;
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_port = htons(atoi(getenv("PORT")))};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, sink = argc > 1;

    (void)argv;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) == -1) return 1;
    if (listen(listener, SOMAXCONN) == -1) return 1;
    if (!sink && chdir(getenv("ROOT")) == -1) return 1;
    for (int i = 0;; i++) {
        int fd = accept(listener, NULL, NULL), file = -1;
        char name[32];

        if (fd == -1) continue;
        snprintf(name, sizeof name, "file-%d", i);
        if (!sink) file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (sink || file >= 0) serve(fd, file);
        close(fd);
        if (file >= 0) close(file);
    }
}
