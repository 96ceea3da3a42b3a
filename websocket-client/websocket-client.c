/* websocket-client.c -- "Communicating with WebSockets": the client in the
 * terminal.
 *
 *     make && ./websocket-client   talks to ../websocket-app
 *
 * Read main() at the bottom first, then run(), then on_message(); the recipe
 * itself is the section called "the recipe". The line that is being typed is
 * line.c's. Numbers in brackets are sections of RFC 6455. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../common/base64.h"
#include "../common/buf.h"
#include "../common/http.h"
#include "../common/qs.h"
#include "../common/show.h"
#include "../common/utf8.h"
#include "../common/ws.h"
#include "line.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 64 * 1024, /* one recv(), or read() of stdin, a turn */
    OUT_HIGH = 64 * 1024,  /* read no more while this much waits to go out */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,
    RANDOM_SIZE = 4096, /* bytes of /dev/urandom taken at a time */
    HEX_MAX = 16,       /* bytes of a binary message that are shown */
    REASON_MAX = 123,   /* bytes of the reason in a Close frame (5.5.1) */
    LINGER_MS = 2000,   /* for the server to close, after both Close frames */
};

/* From the environment, under these names in capitals. */
static int connect_ms = 10000; /* for each address; then for the handshake */
static int close_ms = 5000;    /* of silence, after our Close */
static int max_message = 16 * 1024 * 1024; /* bytes, either way */
static bool tracing;  /* TRACE=1: show what passes on stderr */
static bool no_color; /* NO_COLOR, set to anything */

static bool echo;       /* -e: send every message back */
static bool raw_binary; /* -b: write binary messages as they are */

/* ---- state: there is one connection -------------------------------------- */

enum { USER, NET, WAKE, SCREEN, SLOTS }; /* what run() waits for */

enum state {
    OPENING, /* our half of the handshake is on its way */
    OPEN,
    CLOSING, /* we have sent Close; the server's messages still count */
    LINGER,  /* nothing that comes counts any more; the server is to close */
    CLOSED,
};

static enum state state;
static const char *url_text; /* as it was given */
static int net = -1;         /* the socket */
static struct buf in, out;   /* received and not yet understood; to be sent */
static bool peer_done;       /* the server has sent its last byte */
static int64_t now;          /* milliseconds; read once a turn */
static int64_t deadline;     /* when the present state has lasted too long */
static const char *why;      /* connect_to() has failed */
static int wake_fd[2];       /* the signal handler writes, run() reads */

static char key[25];         /* Sec-WebSocket-Key */
static struct ws_head frame; /* the data frame that is arriving */
static uint64_t left;        /* bytes of its payload still to come */
static unsigned char type;   /* of the message; 0: none has begun */
static struct buf message;   /* its bytes so far */
static struct utf8 utf8;     /* if it is text: where its check stands */
static char ping[125];       /* the payload of the ping to be answered next */
static int ping_length = -1; /* -1: there is none */
static bool asked_pong;      /* by /ping: the next pong is shown */

static bool closed;       /* the server's Close has come ... */
static int code;          /* ... with this code; 0: without one */
static struct buf reason; /* and with this reason */
static bool close_sent;   /* ours has gone */
static bool cut_off;      /* but it, and what was before it, did not go out */
static const char *lost;  /* why no Close has come */

static struct buf user;   /* read from stdin, not yet looked at */
static size_t looked;     /* no line ends within so many bytes of it */
static bool skipping;     /* the rest of a line that was too long */
static long line_number;  /* of the line before, for messages */
static bool line_refused; /* one was not sent; it has been told */
static bool user_done;    /* stdin has ended */
static bool output_shown; /* stdout is a terminal, whatever stdin is */

static bool on_terminal; /* both are: lines are edited, colours shown */
static struct buf screen = {.max = SIZE_MAX}; /* to be written by put() */
static bool prompting; /* the prompt is on the screen, in the last row */
static struct line line = {.prompt = "-> ", .columns = 80};
static struct termios cooked, raw; /* the terminal's own modes, and ours */
static int screen_fd[2];           /* as wake_fd: resized, or back again */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void no_memory(void)
{
    fprintf(stderr, "%s: out of memory\n", url_text);
    exit(1);
}

/* ---- what is shown ------------------------------------------------------- */

static bool interrupted(void)
{
    struct pollfd wake = {wake_fd[0], POLLIN, 0};
    return poll(&wake, 1, 0) == 1;
}

/* Waits for a reader that is slow: nothing else is worth doing until then. */
static void write_out(const char *p, size_t n)
{
    struct pollfd ready = {STDOUT_FILENO, POLLOUT, 0};

    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, p, n);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) { /* who shares it with us made it so */
            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            if (errno != EPIPE) perror("stdout");
            exit(1);
        }
        if (n > 0 && interrupted()) exit(130);
    }
}

static void put(void)
{
    if (screen.failed) no_memory();
    write_out(buf_at(&screen), buf_len(&screen));
    buf_free(&screen);
}

static const char gray[] = "\x1b[90m", red[] = "\x1b[31m";

static void add_line(const char *color, const char *mark, struct span text)
{
    if (!no_color) buf_puts(&screen, color);
    buf_puts(&screen, mark);
    show_text(&screen, text);
    if (!no_color) buf_puts(&screen, "\x1b[39m");
    buf_puts(&screen, "\n");
}

static void add_prompt(void)
{
    line_draw(&line, &screen);
    prompting = true;
}

/* The prompt's row is empty now, and the cursor in its column 1. */
static void drop_prompt(void)
{
    if (prompting) buf_puts(&screen, "\x1b[1G\x1b[0J");
    prompting = false;
}

static void show_connected(void)
{
    if (!on_terminal) return;
    add_line(gray, "-- Connected --", span_of(""));
    buf_puts(&screen, "\n");
    add_prompt();
    put();
}

/* A line of the conversation. There is always an empty row above the prompt:
 * it goes there, and the prompt, with what is typed so far, below. */
static void show_line(const char *mark, struct span text)
{
    drop_prompt();
    buf_puts(&screen, "\x1b[1A\x1b[2K");
    add_line(gray, mark, text);
    buf_puts(&screen, "\n");
    add_prompt();
    put();
}

/* The same after the user has entered a line, which stays where it is. */
static void show_entered(const char *color, const char *mark, struct span text)
{
    line_draw(&line, &screen);
    buf_puts(&screen, "\n");
    add_line(color, mark, text);
    buf_puts(&screen, "\n");
    line_next(&line);
    add_prompt();
    put();
}

static void show_note(const char *text)
{
    show_entered(red, "Not sent: ", span_of(text));
}

static void show_error(struct span text)
{
    struct buf what = {.max = SIZE_MAX};

    buf_addf(&what, "%s: ", url_text);
    show_text(&what, text);
    if (what.failed) no_memory();
    if (on_terminal) {
        drop_prompt();
        add_line(red, "-- Error --", span_of(""));
        add_line(red, "", buf_span(&what));
        put();
    } else {
        fprintf(stderr, "%.*s\n", (int)buf_len(&what), buf_at(&what));
    }
    buf_free(&what);
}

/* With the server's own code and reason, or why there are none (1006 is what
 * browsers call that: 7.1.5). In a pipe the usual end goes without saying. */
static void show_disconnected(void)
{
    struct buf text = {.max = SIZE_MAX};
    bool usual = !lost && (code == 0 || code == 1000 || code == 1001);

    buf_puts(&text, on_terminal ? "-- Disconnected --" : "disconnected");
    if (lost) {
        buf_addf(&text, " (1006: %s)", lost);
    } else if (!usual || code == 1001 || buf_len(&reason) > 0) {
        buf_addf(&text, " (%d%s", code, buf_len(&reason) > 0 ? ": " : "");
        buf_add(&text, buf_at(&reason), buf_len(&reason));
        buf_puts(&text, ")");
    }
    if (on_terminal) {
        drop_prompt();
        add_line(gray, "", buf_span(&text));
        buf_puts(&screen, "\n");
        put();
    } else if (!usual) {
        show_error(buf_span(&text));
    }
    buf_free(&text);
}

/* In a pipe a message is a line; raw bytes are for programs, not terminals. */
static void print_line(const char *mark, struct span text)
{
    buf_puts(&screen, mark);
    if (output_shown)
        show_text(&screen, text);
    else
        buf_add(&screen, text.p, text.n);
    buf_puts(&screen, "\n");
    put();
}

static void describe_binary(struct buf *text, struct span bytes)
{
    buf_addf(text, "(binary, %zu bytes)", bytes.n);
    for (size_t i = 0; i < bytes.n && i < HEX_MAX; i++)
        buf_addf(text, " %02X", (unsigned char)bytes.p[i]);
    if (bytes.n > HEX_MAX) buf_puts(text, " ...");
}

static void show_message(const char *mark, unsigned char of_type,
                         struct span bytes)
{
    struct buf text = {.max = 256};

    if (of_type == WS_BINARY) {
        describe_binary(&text, bytes);
        bytes = buf_span(&text);
    }
    if (on_terminal)
        show_line(mark, bytes);
    else
        print_line(of_type == WS_BINARY ? mark : "", bytes);
    buf_free(&text);
}

/* ---- the recipe: what we send -------------------------------------------- */

static void enter(enum state next, int ms)
{
    state = next;
    deadline = now + ms;
}

/* Keys and masks that nobody can predict (5.3, 10.3). */
static void random_bytes(void *to, size_t n)
{
    static unsigned char pool[RANDOM_SIZE];
    static size_t ready;

    if (n > ready) {
        int fd = open("/dev/urandom", O_RDONLY);
        ssize_t got;
        do got = read(fd, pool, sizeof pool);
        while (got == -1 && errno == EINTR);
        if (got < (ssize_t)n) {
            if (got >= 0) errno = EIO;
            perror("/dev/urandom");
            exit(1);
        }
        ready = (size_t)got;
        close(fd);
    }
    ready -= n;
    memcpy(to, pool + ready, n);
}

/* One frame, which is the whole of its message, masked (5.1). */
static void send_frame(unsigned char opcode, struct span payload)
{
    struct ws_head h = {
        .fin = true, .opcode = opcode, .masked = true, .length = payload.n};
    unsigned char head[14];

    random_bytes(h.mask, sizeof h.mask);
    buf_add(&out, head, ws_write_head(head, &h));
    char *room = buf_room(&out, payload.n);
    if (!room) no_memory();
    if (payload.n > 0) memcpy(room, payload.p, payload.n);
    ws_mask(room, payload.n, h.mask, 0);
    out.end += payload.n;
}

/* CODE 0: a Close frame without a code. There is only one, and nothing after
 * it but pongs (5.5.1). */
static void send_close(int with_code, struct span with_reason)
{
    char payload[2 + REASON_MAX] = {(char)(with_code >> 8), (char)with_code};

    if (close_sent) return;
    close_sent = true;
    if (with_reason.n > 0) memcpy(payload + 2, with_reason.p, with_reason.n);
    send_frame(WS_CLOSE,
               (struct span){payload, with_code ? 2 + with_reason.n : 0});
}

/* We say goodbye first. What the server had to say still comes (7.1.2). */
static void start_close(int with_code, struct span with_reason)
{
    send_close(with_code, with_reason);
    enter(CLOSING, close_ms);
}

/* Of several pings that wait the last is answered, which is enough (5.5.3). So
 * a server that sends pings and does not read cannot fill our memory. */
static void send_pong(void)
{
    if (ping_length < 0 || buf_len(&out) >= OUT_HIGH || state > CLOSING) return;
    send_frame(WS_PONG, (struct span){ping, (size_t)ping_length});
    ping_length = -1;
}

/* Both sides have said all: the server is to close first (7.1.1). */
static void linger(void)
{
    enter(LINGER, close_ms < LINGER_MS ? close_ms : LINGER_MS);
}

/* ---- the recipe: what we receive -----------------------------------------
 * Each of these uses bytes of `in` and returns how many; 0 means not whole yet,
 * and -1 that fail() was called. */

/* The server breaks the rules, so nothing that it sends from now on has a
 * meaning. It is told why (7.1.7). */
static ssize_t fail(int with_code, const char *text)
{
    show_error(span_of(text));
    if (state == OPENING) {
        state = CLOSED;
    } else {
        send_close(with_code, span_of(""));
        linger();
    }
    return -1;
}

/* A whole message has come. */
static void on_message(struct span bytes)
{
    if (type == WS_BINARY && raw_binary && !output_shown)
        write_out(bytes.p, bytes.n);
    else
        show_message("=> ", type, bytes);
    if (!echo || state != OPEN) return;
    send_frame(type, bytes);
    if (on_terminal) show_message("<= ", type, bytes);
}

static void on_pong(struct span payload)
{
    if (on_terminal && asked_pong)
        show_line(payload.n > 0 ? "=> (pong) " : "=> (pong)", payload);
    asked_pong = false;
}

/* The server says goodbye, first or in answer to us: 5.5.1, 7.4. */
static ssize_t on_close(struct span payload)
{
    const unsigned char *p = (const unsigned char *)payload.p;
    struct span text = {payload.p, 0};
    struct utf8 check = {0};

    if (payload.n == 1 || (payload.n > 1 && !ws_close_ok(p[0] << 8 | p[1])))
        return fail(1002, "the server's Close has no code that it may have");
    if (payload.n > 2) text = (struct span){payload.p + 2, payload.n - 2};
    if (!utf8_next(&check, text) || !utf8_whole(&check))
        return fail(1007, "the reason in the server's Close is not UTF-8");
    closed = true;
    code = payload.n > 0 ? p[0] << 8 | p[1] : 0;
    buf_add(&reason, text.p, text.n);
    send_close(code, span_of(""));
    linger();
    return 0;
}

/* A control frame, which may stand between the frames of a message (5.5). At
 * most 125 bytes: it is taken when it is whole. */
static ssize_t read_control(const struct ws_head *h, size_t head)
{
    struct span payload = {buf_at(&in) + head, (size_t)h->length};

    if (buf_len(&in) < head + payload.n) return 0;
    if (h->opcode == WS_CLOSE && on_close(payload) < 0) return -1;
    if (h->opcode == WS_PONG) on_pong(payload);
    if (h->opcode == WS_PING) {
        memcpy(ping, payload.p, payload.n);
        ping_length = (int)payload.n;
        send_pong();
    }
    return (ssize_t)(head + payload.n);
}

/* After the last byte of a data frame: perhaps its message is whole. */
static ssize_t end_frame(size_t used)
{
    if (!frame.fin) return (ssize_t)used;
    if (type == WS_TEXT && !utf8_whole(&utf8))
        return fail(1007, "the server sends text that is not UTF-8");
    on_message(buf_span(&message));
    buf_free(&message);
    type = 0;
    return (ssize_t)used;
}

static ssize_t read_frame(void)
{
    struct ws_head h;
    ssize_t used = ws_parse_head(&h, buf_span(&in));

    if (used == 0) return 0;
    if (used < 0)
        return fail(1002, "the server sends a frame that is not RFC 6455's");
    if (h.masked) return fail(1002, "the server masks its frames"); /* 5.1 */
    if (h.opcode >= WS_CLOSE) return read_control(&h, (size_t)used);

    /* A message begins with its type and goes on without (5.4). */
    if ((h.opcode == WS_CONTINUATION) != (type != 0))
        return fail(1002, "the server mixes up its messages' fragments");
    if (h.length > (size_t)max_message - buf_len(&message))
        return fail(1009, "the server sends more than MAX_MESSAGE");
    if (type == 0) {
        type = h.opcode;
        utf8 = (struct utf8){0};
    }
    frame = h;
    left = h.length;
    return left > 0 ? used : end_frame((size_t)used);
}

/* Text that is not UTF-8 is refused at its first bad byte (8.1). */
static ssize_t read_payload(void)
{
    struct span bytes = buf_span(&in);

    if (bytes.n > left) bytes.n = (size_t)left;
    if (type == WS_TEXT && !utf8_next(&utf8, bytes))
        return fail(1007, "the server sends text that is not UTF-8");
    buf_add(&message, bytes.p, bytes.n);
    if (message.failed) no_memory();
    left -= bytes.n;
    return left > 0 ? (ssize_t)bytes.n : end_frame(bytes.n);
}

/* ---- the recipe: the handshake (4.1) --------------------------------------
 */

static void send_handshake(const struct url *url)
{
    unsigned char nonce[16];
    struct span target = url->target;

    random_bytes(nonce, sizeof nonce);
    base64_encode(key, nonce, sizeof nonce);
    buf_addf(&out,
             "GET %s%.*s HTTP/1.1\r\n"
             "Host: %.*s\r\n"
             "Upgrade: websocket\r\n"
             "Connection: Upgrade\r\n"
             "Sec-WebSocket-Key: %s\r\n"
             "Sec-WebSocket-Version: 13\r\n"
             "\r\n",
             target.n == 0 || target.p[0] != '/' ? "/" : "", (int)target.n,
             target.p, (int)url->authority.n, url->authority.p, key);
    if (out.failed) no_memory();
}

/* What is wrong with a 101; NULL if nothing is. */
static const char *wrong_with(const struct http_head *h)
{
    char accept[29];

    ws_accept_key(accept, span_of(key));
    if (h->minor < 1) return "it is not HTTP/1.1";
    if (!http_has_token(h, "Upgrade", "websocket"))
        return "no Upgrade: websocket";
    if (!http_has_token(h, "Connection", "Upgrade"))
        return "no Connection: Upgrade";
    if (!span_is(http_header(h, "Sec-WebSocket-Accept"), accept))
        return "its Sec-WebSocket-Accept does not answer our key";
    if (http_header(h, "Sec-WebSocket-Extensions").n > 0)
        return "an extension that nobody asked for";
    if (http_header(h, "Sec-WebSocket-Protocol").n > 0)
        return "a subprotocol that nobody asked for";
    return NULL;
}

static ssize_t read_handshake(void)
{
    struct http_head h;
    char text[256];
    ssize_t used = http_parse_response(&h, buf_span(&in));

    if (used == 0) return 0;
    if (used < 0) return fail(0, "the answer is not HTTP");
    if (h.status != 101 && h.status < 200) return used; /* 103 and the like */
    if (h.status != 101) {
        struct span words = h.reason;
        if (words.n == 0) words = span_of(http_reason(h.status));
        snprintf(text, sizeof text, "unexpected server response: %d %.*s",
                 h.status, (int)words.n, words.p);
        return fail(0, text);
    }
    const char *wrong = wrong_with(&h);
    if (wrong) {
        snprintf(text, sizeof text, "unexpected server response: 101, but %s",
                 wrong);
        return fail(0, text);
    }
    enter(OPEN, close_ms);
    show_connected();
    return used;
}

/* Use what has come, unless -e waits for the server to take its answers. */
static void read_all(void)
{
    ssize_t used = 1;

    while (used > 0 && buf_len(&in) > 0 && state < LINGER &&
           !(echo && buf_len(&out) >= OUT_HIGH)) {
        if (state == OPENING)
            used = read_handshake();
        else
            used = left > 0 ? read_payload() : read_frame();
        if (used > 0) buf_drop(&in, (size_t)used);
    }
    if (state >= LINGER) buf_drop(&in, buf_len(&in));
}

/* ---- the recipe: what the user says ---------------------------------------
 */

/* What may not be sent as text; NULL if nothing is wrong. */
static const char *wrong_text(struct span text)
{
    struct utf8 check = {0};

    if (text.n > (size_t)max_message) return "longer than MAX_MESSAGE";
    if (!utf8_next(&check, text) || !utf8_whole(&check)) return "not UTF-8";
    return NULL;
}

/* The word that *text begins with; it and the blank after it are taken off. */
static struct span take_word(struct span *text)
{
    struct span word = *text;

    if (text->n == 0) return word;
    const char *blank = memchr(text->p, ' ', text->n);
    if (blank) word.n = (size_t)(blank - text->p);
    text->p += word.n + (blank ? 1 : 0);
    text->n -= word.n + (blank ? 1 : 0);
    return word;
}

/* A number of up to four digits; 0 if it is not one. */
static int number_of(struct span word)
{
    int n = 0;

    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9' || word.n > 4) return 0;
        n = n * 10 + (word.p[i] - '0');
    }
    return n;
}

/* "/close", "/close 4000", "/close 4000 See you." */
static void close_command(struct span rest)
{
    struct span word = take_word(&rest);
    int number = word.n == 0 ? 1000 : number_of(word);

    if (!ws_close_ok(number)) {
        show_note("that is no code for a Close: 1000, or 3000 to 4999");
    } else if (rest.n > REASON_MAX) {
        show_note("a reason has at most 123 bytes");
    } else {
        start_close(number, rest);
        show_entered(gray, "<= ", line_text(&line));
    }
}

static void ping_command(struct span payload)
{
    if (payload.n > sizeof ping) {
        show_note("a ping has at most 125 bytes");
        return;
    }
    send_frame(WS_PING, payload);
    asked_pong = true;
    show_entered(gray, "<= ", line_text(&line));
}

/* The book's terminal.on('line', ...): a line has been entered. */
static void on_line(struct span text)
{
    const char *wrong = wrong_text(text);
    struct span rest = text, word = take_word(&rest);

    if (wrong) {
        show_note(wrong);
    } else if (span_is(word, "/ping")) {
        ping_command(rest);
    } else if (span_is(word, "/close")) {
        close_command(rest);
    } else if (text.n > 1 && text.p[0] == '/' && text.p[1] != '/') {
        show_note("a command is /ping or /close; // sends a line with one /");
    } else {
        if (text.n > 1 && text.p[0] == '/') { /* two of them stand for one */
            text.p++;
            text.n--;
        }
        send_frame(WS_TEXT, text);
        show_entered(gray, "<= ", text);
    }
}

static void on_keys(void)
{
    while (state == OPEN && buf_len(&user) > 0 && buf_len(&out) < OUT_HIGH) {
        char c = *buf_at(&user);
        buf_drop(&user, 1);
        switch (line_key(&line, c)) {
        case LINE_ENTERED: on_line(line_text(&line)); break;
        case LINE_ENDED: start_close(1000, span_of("")); break;
        case LINE_CLEARED: /* but for the empty row above the prompt */
            write_out("\x1b[H\x1b[2J\n", 8);
            break;
        case LINE_GOES_ON: break;
        }
    }
    add_prompt();
    put();
}

/* In a pipe: a line of stdin is a message, as it is. */
static void on_input_line(struct span text)
{
    const char *wrong = skipping ? "longer than MAX_MESSAGE" : wrong_text(text);

    line_number++;
    skipping = false;
    if (!wrong) {
        send_frame(WS_TEXT, text);
        return;
    }
    fprintf(stderr, "stdin, line %ld: %s, not sent\n", line_number, wrong);
    line_refused = true;
}

/* Is a whole line there? Then it is dealt with. */
static bool take_line(void)
{
    struct span rest = buf_span(&user);
    const char *end = NULL;

    if (rest.n > looked) end = memchr(rest.p + looked, '\n', rest.n - looked);
    if (end || (user_done && (rest.n > 0 || skipping))) {
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        on_input_line((struct span){rest.p, n});
        buf_drop(&user, end ? n + 1 : n);
        looked = 0;
        return true;
    }
    if (rest.n > (size_t)max_message) { /* no need to hold it any longer */
        skipping = true;
        buf_drop(&user, rest.n);
    }
    looked = buf_len(&user);
    return false;
}

/* Send what the user has said, as long as the server takes it; at the end say
 * goodbye. -e goes on until the server has nothing more to be sent back. */
static void send_all(void)
{
    if (state != OPEN) return;
    if (on_terminal && buf_len(&user) > 0)
        on_keys();
    else if (!on_terminal)
        while (buf_len(&out) < OUT_HIGH && take_line()) continue;
    if (user_done && buf_len(&user) == 0 && state == OPEN &&
        (on_terminal || !echo))
        start_close(1000, span_of(""));
}

/* ==== the same in all three clients, from here to main() ================== */

/* A number from the environment, or VALUE if it is not there. */
static int setting(const char *name, int value, int min, int max)
{
    const char *text = getenv(name);
    char *end;

    if (!text || !*text) return value;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < min || n > max) {
        fprintf(stderr, "%s=%s: not a number from %d to %d\n", name, text, min,
                max);
        exit(2);
    }
    return (int)n;
}

/* One address of the host. Waits for connect_ms at most, or for a signal. */
static int connect_address(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    int error = 0, ready = 1;
    socklen_t len = sizeof error;
    struct pollfd pfds[] = {{fd, POLLOUT, 0}, {wake_fd[0], POLLIN, 0}};

    if (fd == -1 || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
        error = errno;
    } else if (connect(fd, a->ai_addr, a->ai_addrlen) == -1) {
        error = errno;
        if (error == EINPROGRESS) {
            do ready = poll(pfds, 2, connect_ms);
            while (ready == -1 && errno == EINTR);
            if (ready == 0)
                error = ETIMEDOUT;
            else if (pfds[1].revents)
                error = EINTR;
            else
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        }
    }
    if (error == 0) return fd;
    why = strerror(error);
    if (fd != -1) close(fd);
    return -1;
}

/* A connection to the first of the host's addresses that answers, not blocking;
 * or -1, and `why`. */
static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int fd = -1;

    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        why = gai_strerror(rc);
        return -1;
    }
    for (struct addrinfo *a = list; a && fd == -1; a = a->ai_next)
        fd = connect_address(a);
    freeaddrinfo(list);
    return fd;
}

/* Show what passes, in the form of tests/sessions: C is this program. */
static void trace(char who, const char *p, size_t n)
{
    struct buf lines = {.max = 16 * SHOW_WIRE_MAX};

    if (!tracing) return;
    show_wire(&lines, who, (struct span){p, n});
    if (!lines.failed) fwrite(buf_at(&lines), 1, buf_len(&lines), stderr);
    buf_free(&lines);
}

/* The second signal is final. */
static void on_signal(int sig)
{
    int saved = errno;
    (void)sig;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    (void)!write(wake_fd[1], "", 1);
    errno = saved;
}

static void wake_on_signals(void)
{
    struct sigaction wake = {.sa_handler = on_signal};

    if (pipe(wake_fd) == -1) {
        perror("pipe");
        exit(1);
    }
    fcntl(wake_fd[1], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN); /* a lost peer is an error of send(), no more */
    sigaction(SIGTERM, &wake, NULL);
    sigaction(SIGINT, &wake, NULL);
}

/* ==== main ================================================================ */

/* ---- the terminal's modes ------------------------------------------------ */

static void handle(int sig, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(sig, &action, NULL);
}

/* The terminal gets its own modes back, whatever ends us or, with ^Z, stops us.
 * POSIX lets a handler call tcsetattr(), sigaction() and raise(). */
static void on_leaving(int sig)
{
    int saved = errno;

    tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
    if (sig == SIGINT || sig == SIGTERM) {
        on_signal(sig);
    } else {
        handle(sig, SIG_DFL, 0);
        raise(sig); /* comes back after SIGTSTP, when we are continued */
        handle(sig, on_leaving, SA_NODEFER);
    }
    errno = saved;
}

/* Continued, or resized: run() will look at the terminal anew. */
static void on_change(int sig)
{
    int saved = errno;
    (void)!write(screen_fd[1], sig == SIGCONT ? "\n" : "", 1);
    errno = saved;
}

static void restore_terminal(void)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

static void set_terminal(void)
{
#ifdef TIOCGWINSZ
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        line.columns = size.ws_col;
#endif
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

/* After ^Z the shell has written to the screen: an empty row, and our own. */
static void look_at_terminal(void)
{
    char news[64];
    ssize_t n = read(screen_fd[0], news, sizeof news);

    set_terminal();
    line.left = line.at; /* there may be room for more of what is before it */
    if (!prompting) return;
    if (n > 0 && memchr(news, '\n', (size_t)n)) buf_puts(&screen, "\n");
    add_prompt();
    put();
}

/* Keys come as they are pressed, and are not echoed: line.c does that. ISIG
 * stays, so ^C and ^Z are signals, and "\n" is still a new line on output. */
static void start_terminal(void)
{
    static const int leaving[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct sigaction old;

    output_shown = isatty(STDOUT_FILENO);
    if (!output_shown || tcgetattr(STDIN_FILENO, &cooked) == -1) return;
    on_terminal = true;
    raw = cooked;
    raw.c_iflag &= (tcflag_t) ~(IXON | ISTRIP | INLCR | IGNCR);
    raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (pipe(screen_fd) == -1) {
        perror("pipe");
        exit(1);
    }
    fcntl(screen_fd[1], F_SETFL, O_NONBLOCK);
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++)
        if (sigaction(leaving[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            handle(leaving[i], on_leaving, SA_NODEFER);
    handle(SIGCONT, on_change, SA_RESTART);
#ifdef SIGWINCH
    handle(SIGWINCH, on_change, SA_RESTART);
#endif
    atexit(restore_terminal);
    set_terminal();
}

/* ---- the loop ------------------------------------------------------------ */

static void net_read(void)
{
    char *room = buf_room(&in, READ_SIZE);
    ssize_t n = room ? recv(net, room, READ_SIZE, 0) : -1;

    if (!room) no_memory();
    if (n > 0) {
        trace('S', room, (size_t)n);
        in.end += (size_t)n;
        if (state == OPEN || state == CLOSING) deadline = now + close_ms;
    } else if (n == 0) {
        peer_done = true;
    } else if (errno != EAGAIN && errno != EINTR) {
        if (state < LINGER) show_error(span_of(strerror(errno)));
        state = CLOSED;
    }
}

/* If nothing can be sent any more, what has come may still tell why. */
static void net_write(void)
{
    ssize_t n = send(net, buf_at(&out), buf_len(&out), 0);

    if (n >= 0) {
        trace('C', buf_at(&out), (size_t)n);
        buf_drop(&out, (size_t)n);
        if (state == OPEN || state == CLOSING) deadline = now + close_ms;
    } else if (errno != EAGAIN && errno != EINTR) {
        buf_drop(&out, buf_len(&out));
        shutdown(net, SHUT_WR); /* a frame without its end has no successor */
        if (state < LINGER) cut_off = true;
    }
}

/* poll() has said that there is something: one read() does not block. */
static void user_read(void)
{
    char *room = buf_room(&user, READ_SIZE);
    ssize_t n = room ? read(STDIN_FILENO, room, READ_SIZE) : -1;

    if (!room) no_memory();
    if (n > 0) {
        user.end += (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        if (n == -1) {
            perror("stdin");
            line_refused = true;
        }
        user_done = true;
        deadline = now + close_ms;
    }
}

/* Is the server waited for, before more is read from it or for it? */
static bool out_full(void)
{
    return buf_len(&out) >= OUT_HIGH;
}

/* Use all input there is; again, if the answers to it leave at once, since what
 * has been read already will not wake poll() a second time. */
static void advance(void)
{
    bool full;

    do {
        read_all();
        send_all();
        send_pong();
        full = out_full();
        if (state != CLOSED && buf_len(&out) > 0) net_write();
    } while (full && !out_full());

    /* After fail() we have said all, and the server need not say anything. */
    if (state == LINGER && !closed && buf_len(&out) == 0)
        shutdown(net, SHUT_WR);
}

/* The server has closed; what it had sent has been used. */
static void on_end(void)
{
    if (state == OPENING) {
        fail(0, "the server closed before it answered");
    } else if (state < LINGER) {
        lost = "the server closed without a Close frame";
        state = CLOSED;
    } else if (buf_len(&out) == 0) {
        state = CLOSED;
    }
}

static void expire(void)
{
    if (state == OPENING) {
        fail(0, "no answer to the handshake");
    } else if (state == OPEN) {
        start_close(1000, span_of(""));
    } else {
        if (state == CLOSING) lost = "no answer to our Close";
        state = CLOSED;
    }
}

/* ^C: no time for anything but to say that we leave, if that goes at once. */
static void interrupt(void)
{
    if (state == OPEN) {
        send_close(1001, span_of(""));
        net_write();
    }
    if (on_terminal) show_disconnected();
    exit(130);
}

static void run(void)
{
    struct pollfd pfds[SLOTS];

    while (state != CLOSED) {
        /* 1. Say what we wait for, anew each turn: a slot that is not wanted
         *    has descriptor -1. This is all of backpressure: who does not
         *    read is not read for. */
        now = now_ms();
        bool user_wanted = state == OPEN && !user_done && !out_full();
        bool net_wanted = !peer_done && !(echo && out_full());
        bool timed = state != OPEN || (user_done && echo);
        short events = (short)((net_wanted ? POLLIN : 0) |
                               (buf_len(&out) > 0 ? POLLOUT : 0));
        pfds[USER] =
            (struct pollfd){user_wanted ? STDIN_FILENO : -1, POLLIN, 0};
        pfds[NET] = (struct pollfd){events ? net : -1, events, 0};
        pfds[WAKE] = (struct pollfd){wake_fd[0], POLLIN, 0};
        pfds[SCREEN] =
            (struct pollfd){on_terminal ? screen_fd[0] : -1, POLLIN, 0};

        /* 2. Wait, until a descriptor is ready or the deadline. */
        int64_t wait = !timed ? -1 : deadline > now ? deadline - now : 0;
        if (poll(pfds, SLOTS, (int)wait) == -1) {
            if (errno == EINTR) continue;
            perror("poll");
            exit(1);
        }

        /* 3. Take in what has come, use it, send what can be sent. */
        now = now_ms();
        if (pfds[WAKE].revents) interrupt();
        if (pfds[SCREEN].revents) look_at_terminal();
        if (pfds[USER].revents) user_read();
        if (pfds[NET].revents && net_wanted) net_read();
        advance();

        /* 4. The end, in one way or the other. */
        if (peer_done && !(echo && out_full())) on_end();
        if (timed && now >= deadline && state != CLOSED) expire();
    }
}

/* ---- main's own ---------------------------------------------------------- */

static const char help[] =
    "Usage: websocket-client [-b] [-e] [ws://HOST[:PORT]/PATH]\n"
    "Sends each line as a message, and shows each message that comes.\n"
    "The URL is ws://localhost:8080 unless given.\n"
    "\n"
    "  -b             in a pipe: binary messages are written as they are\n"
    "  -e             send every message back\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "On a terminal ^D says goodbye, ^C leaves at once, and these are "
    "commands:\n"
    "/ping [TEXT], /close [CODE [REASON]]; //x sends /x.\n"
    "\n"
    "Environment, with defaults:\n"
    "  CONNECT_MS=10000      time for the connection, and for the handshake\n"
    "  CLOSE_MS=5000         silence after which Close is not waited for\n"
    "  MAX_MESSAGE=16777216  bytes of a message, either way\n"
    "  NO_COLOR=1            no colours\n"
    "  TRACE=1               show what passes on stderr\n"
    "\n"
    "Try: ./websocket-client ws://localhost:8080\n";

static _Noreturn void usage(const char *what, const char *about)
{
    struct buf text = {.max = SIZE_MAX};

    show_text(&text, span_of(about));
    fprintf(stderr, "websocket-client: %s %.*s; try --help\n", what,
            (int)buf_len(&text), buf_at(&text));
    exit(2);
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-b") == 0) {
            raw_binary = true;
        } else if (strcmp(argv[i], "-e") == 0) {
            echo = true;
        } else if (strcmp(argv[i], "-h") == 0 ||
                   strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("websocket-client 1.0");
            exit(0);
        } else if (argv[i][0] == '-' || url_text) {
            usage("unknown argument", argv[i]);
        } else {
            url_text = argv[i];
        }
    }
    if (!url_text) url_text = "ws://localhost:8080";
}

static void read_settings(void)
{
    const char *color = getenv("NO_COLOR");

    connect_ms = setting("CONNECT_MS", connect_ms, 1, INT_MAX);
    close_ms = setting("CLOSE_MS", close_ms, 1, INT_MAX);
    max_message = setting("MAX_MESSAGE", max_message, 1, 1 << 30);
    tracing = setting("TRACE", 0, 0, 1);
    no_color = color && *color;
    in.max = IN_MAX;
    out.max = (size_t)max_message + 2 * OUT_HIGH;
    message.max = (size_t)max_message;
    user.max = (size_t)max_message + READ_SIZE;
    line.text.max = (size_t)max_message + 1; /* seen to be too long */
    reason.max = REASON_MAX;
}

static void read_url(struct url *url)
{
    bool whole = url_split(span_of(url_text), url);

    if (whole && span_is_nocase(url->scheme, "wss")) {
        fprintf(stderr,
                "%s: TLS is outside this program; run stunnel as a client of "
                "that host and connect to it with ws://\n",
                url_text);
        exit(2);
    }
    if (!whole || !span_is_nocase(url->scheme, "ws"))
        usage("not a ws:// URL:", url_text);
}

static char *copy_of(struct span text)
{
    char *copy = malloc(text.n + 1);

    if (!copy) no_memory();
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return copy;
}

/* Started with 0, 1 or 2 closed, we must not get a socket of that number:
 * messages would be printed into it. */
static void open_missing(void)
{
    int fd;

    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

int main(int argc, char **argv)
{
    struct url url;
    int on = 1;

    open_missing();
    read_options(argc, argv);
    read_settings();
    read_url(&url);
    wake_on_signals();
    start_terminal();
    char *host = copy_of(url.host);
    char *port = copy_of(url.port.p ? url.port : span_of("80"));
    net = connect_to(host, port);
    if (interrupted()) exit(130);
    if (net == -1) {
        show_error(span_of(why));
    } else {
        /* A line goes out when it is entered, not held back for more. */
        setsockopt(net, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        send_handshake(&url);
        now = now_ms();
        enter(OPENING, connect_ms);
        run();
        close(net);
    }
    if (cut_off && closed) show_error(span_of("not all could be sent"));
    show_disconnected();
    free(host);
    free(port);
    /* Clean is when both have said Close, whatever the codes (7.1.4). */
    return closed && !line_refused && !cut_off ? 0 : 1;
}
