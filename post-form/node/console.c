/* console.c -- what console.log() does unseen: it prints a line, and never
 * waits. The same text in all five servers. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "../../common/show.h"
#include "console.h"

enum {
    LINE_MAX_SHOWN = 10000, /* bytes of a text that are shown */
    PIECE = 512,            /* a pipe or terminal that is ready takes these */
};

static int dropped;        /* lines since the last that was printed */
static int traced_fd = -1; /* whose bytes the trace showed last */

/* A terminal may have been stopped with ^S, and a pipe may be full. Then
 * write() would wait, and all clients with it. Returns how much was written.
 * Setting O_NONBLOCK is no way out: it would hold for the shell, too. */
static size_t write_now(int fd, struct span text)
{
    struct pollfd ready = {fd, POLLOUT, 0};
    size_t done = 0;

    while (done < text.n && poll(&ready, 1, 0) == 1 &&
           (ready.revents & POLLOUT)) {
        size_t piece = text.n - done < PIECE ? text.n - done : PIECE;
        ssize_t n = write(fd, text.p + done, piece);
        if (n <= 0) break;
        done += (size_t)n;
    }
    return done;
}

/* Prints whole lines. Half a line would swallow the next one, so its end is
 * made up for first. */
static void print(int fd, const struct buf *lines)
{
    static bool cut[STDERR_FILENO + 1]; /* half a line was printed */
    char note[64];

    int n = snprintf(note, sizeof note, "%s", cut[fd] ? "\n" : "");
    if (dropped > 0)
        n += snprintf(note + n, sizeof note - (size_t)n,
                      "(%d lines not shown)\n", dropped);
    if (n > 0 && write_now(fd, (struct span){note, (size_t)n}) < (size_t)n) {
        dropped++;
        return;
    }
    size_t done = lines->failed ? 0 : write_now(fd, buf_span(lines));
    cut[fd] = done > 0 && done < buf_len(lines);
    dropped = done < buf_len(lines) || lines->failed;
}

static void print_line(int fd, const char *label, struct span text)
{
    struct buf line = {.max = 8 * LINE_MAX_SHOWN};
    size_t n = text.n < LINE_MAX_SHOWN ? text.n : LINE_MAX_SHOWN;

    while (n < text.n && n > 0 && (text.p[n] & 0xC0) == 0x80)
        n--; /* do not cut a character of UTF-8 in two */
    show_text(&line, span_of(label));
    show_text(&line, (struct span){text.p, n});
    if (n < text.n) buf_addf(&line, "... %zu more bytes", text.n - n);
    buf_puts(&line, "\n");
    print(fd, &line);
    buf_free(&line);
}

static void print_format(int fd, const char *format, va_list args)
{
    char text[2048];

    vsnprintf(text, sizeof text, format, args);
    print_line(fd, "", span_of(text));
}

void console_log(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_format(STDOUT_FILENO, format, args);
    va_end(args);
}

void console_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_format(STDERR_FILENO, format, args);
    va_end(args);
}

void console_show(const char *label, struct span text)
{
    print_line(STDOUT_FILENO, label, text);
}

void trace(struct conn *c, char who, struct span bytes)
{
    struct buf lines = {.max = 16 * SHOW_WIRE_MAX};

    if (!tracing || c->helper) return;
    if (c->fd != traced_fd)
        buf_addf(&lines, "# connection %d from %s\n", c->fd, client_ip(c));
    traced_fd = c->fd;
    show_wire(&lines, who, bytes);
    print(STDERR_FILENO, &lines);
    buf_free(&lines);
}

void trace_end(const struct conn *c)
{
    struct buf line = {.max = 8};

    traced_fd = -1; /* its number will be another's */
    if (!tracing || c->helper) return;
    buf_puts(&line, "---\n");
    print(STDERR_FILENO, &line);
    buf_free(&line);
}
