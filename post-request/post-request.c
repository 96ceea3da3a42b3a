/* post-request.c -- "Making an HTTP POST request", "Buffering a GET request",
 * "Streaming payloads", "Multipart POST uploads".
 *
 *     ../post-form/post-form &     then: make && ./post-request
 *
 * Read main() at the bottom first, then run(), then peer_turn(); the recipe
 * itself is the section called "the recipe". */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64 /* files over 2 GiB, where a long has 32 bits */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/http.h"
#include "../common/json.h"
#include "../common/qs.h"
#include "../common/show.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 64 * 1024, /* one read; and so, one chunk of what we send */
    OUT_HIGH = 64 * 1024,  /* read no more to send while this much waits */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,
    OUT_MAX = OUT_HIGH + 4 * READ_SIZE, /* a request head with a long URL */
    HELD_MAX = 16 * 1024 * 1024,        /* -g: an answer held whole */
    DATA_MAX = 1024 * 1024 * 1024,      /* -d: what is more, is for -s */
    SCREEN_MAX = 5 * HELD_MAX,          /* -g: one byte is \xHH at worst */
};

/* From the environment, under these names in capitals. */
static int connect_ms = 10000; /* for each address of a host */
static int reply_ms = 30000; /* for the next byte that a peer takes or sends */
static bool tracing;         /* TRACE=1: show the conversation on stderr */

/* What the arguments ask for. */
enum recipe { POST_DATA, GET_WHOLE, POST_STREAM, POST_FILES };
static enum recipe recipe;
static const char *data; /* -d: as it was given; NULL: the book's object */
static char **files;     /* -m: these, nfiles of them */
static int nfiles;

/* ---- the two peers ------------------------------------------------------ */

struct peer {
    struct url url;   /* of argv */
    char host[256];   /* without the brackets of [::1] */
    char port[6];     /* "80" if the URL says nothing */
    char name[280];   /* "localhost port 8080", for messages */
    int fd;           /* -1: not connected */
    int64_t deadline; /* to go on by then, if we wait for it at all */
    struct buf in;    /* received, not yet understood */
    struct buf out;   /* to be sent */
    int error;        /* errno, of a connection that was reset */
    bool closed;      /* not a byte more will come */
    int status;       /* of the answer; 0: its head is not here yet */
    struct http_body body;
    uint64_t got; /* bytes of that body so far */
};

static struct peer server = {
    .fd = -1, .in = {.max = IN_MAX}, .out = {.max = OUT_MAX}};

/* -s URL: another server, whose answer is what we post. */
static struct peer source = {
    .fd = -1, .in = {.max = IN_MAX}, .out = {.max = OUT_MAX}};

static int input = -1;         /* the file that is being sent, or stdin */
static const char *input_name; /* for messages */
static bool sending;           /* more of the request's body is to come */
static bool cut_short;         /* it never came: the answer was there first */
static struct buf payload = {.max = DATA_MAX}; /* -d; dropped as it is sent */
static struct buf held = {.max = HELD_MAX};    /* -g; the body of the answer */

static struct buf shown = {.max = IN_MAX + 4};  /* body, for a terminal */
static struct buf screen = {.max = SCREEN_MAX}; /* on its way to stdout */
static bool on_terminal;                        /* which stdout is */

static const char *why;           /* connect_to() found no way */
static int wake_fd[2] = {-1, -1}; /* on_signal() writes, poll() notices */
static int64_t now;               /* milliseconds; read twice a turn */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The answer is here to its last byte. */
static bool answered(const struct peer *p)
{
    return p->status != 0 && p->body.done;
}

static bool unsent(void)
{
    return sending || buf_len(&server.out) > 0;
}

/* -g, and the answer is what was asked for, not an error's page. */
static bool holding(void)
{
    return recipe == GET_WHOLE && server.status / 100 == 2;
}

/* ---- stdout, and the end ------------------------------------------------ */

/* Waits until FD is ready; a signal ends the program. Descriptors 0, 1 and 2
 * belong to the shell as well, so they are never set to O_NONBLOCK. */
static void await(int fd, short events)
{
    struct pollfd pfds[] = {{fd, events, 0}, {wake_fd[0], POLLIN, 0}};

    while (poll(pfds, 2, -1) == -1 && errno == EINTR) continue;
    if (pfds[1].revents) exit(130);
}

static void write_screen(void)
{
    size_t n = buf_len(&screen) < READ_SIZE ? buf_len(&screen) : READ_SIZE;
    ssize_t written = write(STDOUT_FILENO, buf_at(&screen), n);

    if (written >= 0) {
        buf_drop(&screen, (size_t)written);
    } else if (errno != EAGAIN && errno != EINTR) {
        fprintf(stderr, "Error: stdout: %s\n", strerror(errno));
        exit(1);
    }
}

static void flush_screen(void)
{
    if (screen.failed) {
        fprintf(stderr, "Error: stdout: %s\n", strerror(ENOMEM));
        exit(1);
    }
    while (buf_len(&screen) > 0) {
        await(STDOUT_FILENO, POLLOUT);
        write_screen();
    }
}

/* What came of the answer is shown, then why there is no more. */
static _Noreturn void fail(const char *what, const char *format, ...)
{
    struct buf line = {.max = 4096};
    char reason[256];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    await(wake_fd[1], POLLOUT); /* never waits, but was it a signal? */
    if (on_terminal && server.status != 0 && !holding())
        buf_puts(&screen, "\n");
    flush_screen();
    show_text(&line, span_of(what));
    buf_puts(&line, ": ");
    show_text(&line, span_of(reason));
    if (sending && server.fd != -1 && what != server.name)
        buf_puts(&line, "; the POST was broken off");
    if (line.failed)
        fprintf(stderr, "Error: %s\n", strerror(ENOMEM));
    else
        fprintf(stderr, "Error: %.*s\n", (int)buf_len(&line), buf_at(&line));
    exit(1);
}

/* ---- the recipe: what is asked ------------------------------------------ */

static const char book_object[] = "{\n"
                                  "  \"name\": \"Cian Ó Maidín\",\n"
                                  "  \"company\": \"nearForm\"\n"
                                  "}";

static void add_head(struct peer *p, const char *method, const char *headers)
{
    struct span target = p->url.target;
    bool rooted = target.n > 0 && target.p[0] == '/';

    buf_addf(&p->out,
             "%s %s%.*s HTTP/1.1\r\n"
             "Host: %.*s\r\n"
             "%s"
             "Connection: close\r\n"
             "\r\n",
             method, rooted ? "" : "/", (int)target.n, target.p,
             (int)p->url.authority.n, p->url.authority.p, headers);
    if (p->out.failed || buf_len(&p->out) > HTTP_HEAD_MAX)
        fail(p->name, "the URL is too long");
}

/* A body whose length is not known beforehand goes in chunks: RFC 9112, 7.1.
 * A chunk of length 0 is the end of all, so nothing is never sent as one. */
static void add_chunk(struct span bytes)
{
    if (bytes.n == 0) return;
    buf_addf(&server.out, "%zx\r\n", bytes.n);
    buf_add(&server.out, bytes.p, bytes.n);
    buf_puts(&server.out, "\r\n");
}

static void add_last_chunk(void)
{
    buf_puts(&server.out, "0\r\n\r\n");
    sending = false;
}

/* -d: the payload is held, since its length goes before it. */
static void load_data(void)
{
    bool from_stdin = strcmp(data, "-") == 0;
    const char *name = from_stdin ? "stdin" : data + 1;
    int fd = from_stdin ? STDIN_FILENO : open(name, O_RDONLY);
    ssize_t n = 1;

    if (fd == -1) fail(name, "%s", strerror(errno));
    while (n != 0) {
        char *room = buf_room(&payload, READ_SIZE);
        if (!room) fail(name, "over %d bytes, or no memory; try -s", DATA_MAX);
        await(fd, POLLIN);
        n = read(fd, room, READ_SIZE);
        if (n > 0)
            payload.end += (size_t)n;
        else if (n == -1 && errno != EINTR && errno != EAGAIN)
            fail(name, "%s", strerror(errno));
    }
    if (!from_stdin) close(fd);
}

static void post_data(void)
{
    char headers[100];

    if (!data)
        buf_puts(&payload, book_object);
    else if (data[0] == '@' || strcmp(data, "-") == 0)
        load_data();
    else
        buf_puts(&payload, data);
    snprintf(headers, sizeof headers,
             "Content-Type: application/json\r\n"
             "Content-Length: %zu\r\n",
             buf_len(&payload));
    add_head(&server, "POST", headers);
    sending = buf_len(&payload) > 0;
}

/* The next piece of the payload, when the one before is on its way. */
static void add_payload(void)
{
    size_t n = buf_len(&payload) < READ_SIZE ? buf_len(&payload) : READ_SIZE;

    buf_add(&server.out, buf_at(&payload), n);
    buf_drop(&payload, n);
    sending = buf_len(&payload) > 0;
}

/* Streaming payloads: whatever comes from stdin, or from the source. */
static void post_stream(void)
{
    add_head(&server, "POST",
             "Content-Type: application/json\r\n"
             "Transfer-Encoding: chunked\r\n");
    sending = true;
    if (source.host[0]) {
        add_head(&source, "GET", "");
    } else {
        input = STDIN_FILENO;
        input_name = "stdin";
    }
}

/* ---- the recipe: Multipart POST uploads (RFC 7578) ---------------------- */

static char boundary[2 * 16 + 1]; /* 128 random bits: no file has them inside */
static int next_file;             /* files[next_file] comes after this one */

static void choose_boundary(void)
{
    unsigned char bytes[16];
    int fd = open("/dev/urandom", O_RDONLY);

    if (fd != -1) errno = EIO; /* why, if fewer bytes come */
    if (fd == -1 || read(fd, bytes, sizeof bytes) != sizeof bytes)
        fail("/dev/urandom", "%s", strerror(errno));
    close(fd);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(boundary + 2 * i, 3, "%02x", bytes[i]);
}

static const char *type_of(const char *name)
{
    static const struct {
        const char *extension, *type;
    } types[] = {
        {"txt", "text/plain"},      {"c", "text/plain"},
        {"md", "text/markdown"},    {"csv", "text/csv"},
        {"html", "text/html"},      {"css", "text/css"},
        {"js", "text/javascript"},  {"json", "application/json"},
        {"xml", "application/xml"}, {"pdf", "application/pdf"},
        {"zip", "application/zip"}, {"gz", "application/gzip"},
        {"png", "image/png"},       {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},     {"gif", "image/gif"},
        {"svg", "image/svg+xml"},   {"webp", "image/webp"},
        {"mp3", "audio/mpeg"},      {"mp4", "video/mp4"},
    };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (span_is_nocase(span_of(dot + 1), types[i].extension))
            return types[i].type;
    return "application/octet-stream";
}

/* A quote or a line end in a file's name would end the header it stands in;
 * browsers write them so: HTML, "multipart/form-data encoding algorithm". */
static void add_name(struct buf *out, const char *name)
{
    for (; *name; name++) {
        if (*name == '"' || *name == '\r' || *name == '\n')
            buf_addf(out, "%%%02X", (unsigned char)*name);
        else
            buf_add(out, name, 1);
    }
}

/* Only the name, not the path, is the receiver's business: RFC 7578, 4.2. */
static void add_part_head(const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash ? slash + 1 : file;
    struct buf head = {.max = READ_SIZE};

    buf_addf(&head,
             "%s--%s\r\n"
             "Content-Disposition: form-data; name=\"userfile%d\"; filename=\"",
             next_file > 0 ? "\r\n" : "", boundary, next_file);
    add_name(&head, name);
    buf_addf(&head,
             "\"\r\n"
             "Content-Type: %s\r\n"
             "\r\n",
             type_of(name));
    if (head.failed) fail(file, "the name is too long");
    add_chunk(buf_span(&head));
    buf_free(&head);
}

static void end_parts(void)
{
    char last[sizeof boundary + 8];
    int n = snprintf(last, sizeof last, "\r\n--%s--\r\n", boundary);

    add_chunk((struct span){last, (size_t)n});
    add_last_chunk();
}

/* The one before, if any, has been read to its end. */
static void open_next_file(void)
{
    if (input != -1) close(input);
    if (next_file == nfiles) {
        end_parts();
        return;
    }
    input_name = files[next_file];
    input = open(input_name, O_RDONLY);
    if (input == -1) fail(input_name, "%s", strerror(errno));
    add_part_head(input_name);
    next_file++;
}

/* Before a byte is sent: half of an upload is of no use to anyone. */
static void check_files(void)
{
    struct stat s;

    for (int i = 0; i < nfiles; i++) {
        if (stat(files[i], &s) == -1 || access(files[i], R_OK) == -1)
            fail(files[i], "%s", strerror(errno));
        if (S_ISDIR(s.st_mode)) fail(files[i], "%s", strerror(EISDIR));
    }
}

static void post_files(void)
{
    char headers[150];

    check_files();
    choose_boundary();
    snprintf(headers, sizeof headers,
             "Content-Type: multipart/form-data; boundary=%s\r\n"
             "Transfer-Encoding: chunked\r\n",
             boundary);
    add_head(&server, "POST", headers);
    sending = true;
    open_next_file();
}

/* ---- the recipe: what is answered --------------------------------------- */

/* The first bytes of a character whose others are still to come: in so many
 * bytes at the end. And a CR waits for its LF. */
static size_t unfinished(struct span s)
{
    for (size_t n = 1; n <= 3 && n <= s.n; n++) {
        unsigned char c = (unsigned char)s.p[s.n - n];
        size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        if (n == 1 && c == '\r') return 1;
        if (c < 0x80 || c >= 0xc0) return length > n ? n : 0;
    }
    return 0;
}

/* For a terminal: line ends and tabs as they are, all else made harmless. */
static void show_lines(struct span s)
{
    while (s.n > 0) {
        size_t n = 0;
        while (n < s.n && s.p[n] != '\n' && s.p[n] != '\t') n++;
        bool crlf = n < s.n && n > 0 && s.p[n] == '\n' && s.p[n - 1] == '\r';
        show_text(&screen, (struct span){s.p, crlf ? n - 1 : n});
        if (n < s.n) buf_add(&screen, s.p + n++, 1);
        s.p += n;
        s.n -= n;
    }
}

/* In a pipe the body is passed on byte for byte. */
static void show_body(struct span bytes, bool last)
{
    if (!on_terminal) {
        buf_add(&screen, bytes.p, bytes.n);
        return;
    }
    buf_add(&shown, bytes.p, bytes.n);
    size_t n = buf_len(&shown);
    if (!last) n -= unfinished(buf_span(&shown));
    show_lines((struct span){buf_at(&shown), n});
    buf_drop(&shown, n);
}

static void show_head(const struct http_head *h)
{
    struct span location = http_header(h, "Location");

    buf_addf(&screen, "\n Status: %d\n", h->status);
    if (h->status / 100 == 3 && location.p) {
        buf_puts(&screen, " Location: ");
        show_text(&screen, location);
        buf_puts(&screen, "\n");
    }
    buf_puts(&screen, " Body: ");
}

/* The server wants no more of the request: fall silent, close our side, and
 * hear the answer out (RFC 9112, 9.5). */
static void stop_sending(void)
{
    cut_short = true;
    sending = false;
    buf_free(&payload);
    buf_free(&server.out);
    shutdown(server.fd, SHUT_WR);
}

static void take_head(struct peer *p, const struct http_head *h)
{
    if (p == &source && h->status / 100 != 2)
        fail(p->name, "answered %d; nothing was posted", h->status);
    if (p == &source) return;
    if (h->status >= 300 && unsent()) stop_sending();
    if (!holding()) show_head(h);
}

static void take_body(struct peer *p, struct span bytes)
{
    if (p == &source)
        add_chunk(bytes);
    else if (!holding())
        show_body(bytes, false);
    else
        buf_add(&held, bytes.p, bytes.n);
    if (held.failed)
        fail(p->name, "the answer is over %d bytes, or no memory", HELD_MAX);
}

static void print_guid(void)
{
    struct buf guid = {.max = HELD_MAX};
    struct span value;

    if (!json_ok(buf_span(&held))) fail(server.name, "the body is not JSON");
    if (!json_member(buf_span(&held), "guid", &value))
        fail(server.name, "the JSON has no guid");
    json_text(&guid, value);
    if (guid.failed) fail(server.name, "%s", strerror(ENOMEM));
    buf_puts(&screen, "GUID: ");
    if (on_terminal)
        show_text(&screen, buf_span(&guid));
    else
        buf_add(&screen, buf_at(&guid), buf_len(&guid));
    buf_puts(&screen, "\n");
    buf_free(&guid);
}

/* All is here: show the rest. Returns the exit status. */
static int finish(void)
{
    if (holding()) {
        print_guid();
    } else {
        show_body((struct span){"", 0}, true);
        buf_puts(&screen, "\n\n");
    }
    flush_screen();
    if (server.status / 100 == 2 && (cut_short || unsent()))
        fputs("Note: answered before all of the request was sent\n", stderr);
    if (server.status / 100 == 2) return 0;
    return server.status < 500 ? server.status / 100 : 5;
}

/* ---- an answer, as it comes ---------------------------------------------- */

/* Interim answers, 100 and 103, say nothing that matters here; but nobody
 * asked to switch protocols (101). */
static ssize_t read_head(struct peer *p)
{
    struct http_head head;
    ssize_t used = http_parse_response(&head, buf_span(&p->in));

    if (used < 0 || (used > 0 && head.status == 101))
        fail(p->name, "malformed answer: this is no head of HTTP/1.1");
    if (used == 0 || head.status < 200) return used;
    p->status = head.status;
    http_body_start(&p->body, &head);
    take_head(p, &head);
    return used;
}

static ssize_t read_body(struct peer *p)
{
    struct span bytes;
    ssize_t used = http_body_next(&p->body, buf_span(&p->in), &bytes);

    if (used < 0)
        fail(p->name, "malformed answer: a bad chunk after %" PRIu64 " bytes",
             p->got);
    p->got += bytes.n;
    take_body(p, bytes);
    return used;
}

/* The peer has closed, or was lost. Is that the end of its answer? One who
 * does not read the request to its end may reset the connection as he closes,
 * and cannot do better. */
static void end_answer(struct peer *p)
{
    bool refused = p == &server && cut_short && p->status >= 300;
    bool was_lost = p->error != 0 && !refused;
    const char *how = p->error ? strerror(p->error) : "the connection closed";

    if (p->status == 0 && buf_len(&p->in) == 0)
        fail(p->name, "%s before an answer came", how);
    if (p->status == 0)
        fail(p->name, "%s within the head of the answer: truncated", how);
    if (p->body.framing != HTTP_TO_CLOSE || was_lost)
        fail(p->name, "%s after %" PRIu64 " bytes of the body: truncated", how,
             p->got);
    p->body.done = true;
}

static void peer_advance(struct peer *p)
{
    ssize_t used = 1;

    while (used > 0 && buf_len(&p->in) > 0 && !answered(p)) {
        used = p->status == 0 ? read_head(p) : read_body(p);
        buf_drop(&p->in, (size_t)used);
    }
    if (p->closed && !answered(p)) end_answer(p);
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

/* ---- connections and files ---------------------------------------------- */

static void peer_open(struct peer *p)
{
    int on = 1;

    p->fd = connect_to(p->host, p->port);
    if (p->fd == -1) fail(p->name, "%s", why);
    /* What is read is passed on at once, not held back to fill a packet. */
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    p->deadline = INT64_MAX;
    now = now_ms(); /* that may have taken its time */
}

static void trace_peer(const struct peer *p, char who, const char *bytes,
                       size_t n)
{
    static const struct peer *last;

    if (tracing && p != last) fprintf(stderr, "# %s\n", p->name);
    last = p;
    trace(who, bytes, n);
}

static void peer_read(struct peer *p)
{
    char *room = buf_room(&p->in, READ_SIZE);
    ssize_t n = room ? recv(p->fd, room, READ_SIZE, 0) : -1;

    if (n > 0) {
        trace_peer(p, 'S', room, (size_t)n);
        p->in.end += (size_t)n;
        p->deadline = now + reply_ms;
    } else if (n == 0) {
        p->closed = true;
    } else if (!room || (errno != EAGAIN && errno != EINTR)) {
        p->closed = true;
        p->error = room ? errno : ENOMEM;
    }
}

/* If the peer takes no more, that is no reason not to hear him out: he may have
 * said why, "413 Content Too Large", before he closed. */
static void peer_write(struct peer *p)
{
    ssize_t n = send(p->fd, buf_at(&p->out), buf_len(&p->out), 0);

    if (n >= 0) {
        trace_peer(p, 'C', buf_at(&p->out), (size_t)n);
        buf_drop(&p->out, (size_t)n);
        p->deadline = now + reply_ms;
    } else if (errno != EAGAIN && errno != EINTR) {
        p->error = errno == EPIPE ? ECONNRESET : errno;
        if (p == &server) stop_sending();
        buf_free(&p->out);
    }
}

static void peer_turn(struct peer *p, const struct pollfd *ready)
{
    /* POLLHUP and POLLERR come unasked: recv() or send() tells what it is. */
    if ((ready->events & POLLIN) && (ready->revents & ~POLLOUT)) peer_read(p);
    if (ready->revents) peer_advance(p);
}

/* The next chunk of the file, or of stdin. */
static void read_input(void)
{
    static char bytes[READ_SIZE];
    ssize_t n = read(input, bytes, sizeof bytes);

    if (n > 0)
        add_chunk((struct span){bytes, (size_t)n});
    else if (n == 0 && recipe == POST_FILES)
        open_next_file();
    else if (n == 0)
        add_last_chunk();
    else if (errno != EAGAIN && errno != EINTR)
        fail(input_name, "%s", strerror(errno));
}

/* May more be read, to be sent on? Who reads slowly is sent to slowly. */
static bool hungry(void)
{
    return sending && buf_len(&server.out) < OUT_HIGH;
}

/* What we wait for: the server's answer is read at the speed of stdout, the
 * source's at the speed of the server. */
static short events_of(const struct peer *p)
{
    short events = 0;

    if (buf_len(&p->out) > 0 || (p == &server && buf_len(&payload) > 0))
        events |= POLLOUT;
    if (p == &server ? buf_len(&screen) == 0 : hungry()) events |= POLLIN;
    return p->fd == -1 || answered(p) ? 0 : events;
}

/* Is it the peer who keeps us waiting? While the server waits for the rest of
 * the request, and that for its source, the server owes us nothing. */
static bool owes(const struct peer *p)
{
    short events = events_of(p);

    if (p == &server && sending) return (events & POLLOUT) != 0;
    return events != 0;
}

static void watch(struct peer *p, struct pollfd *slot, int64_t *next)
{
    short events = events_of(p);

    *slot = (struct pollfd){events ? p->fd : -1, events, 0};
    if (!owes(p))
        p->deadline = INT64_MAX;
    else if (p->deadline == INT64_MAX)
        p->deadline = now + reply_ms;
    if (p->deadline < *next) *next = p->deadline;
}

static void expire(const struct peer *p)
{
    bool taking = buf_len(&p->out) > 0 || (p == &server && sending);

    if (now < p->deadline) return;
    fail(p->name, "time-out: for %d ms %s", reply_ms,
         taking           ? "it took no more of the request"
         : p->status == 0 ? "no answer came"
                          : "no more of the answer came");
}

/* What can be sent now. A source is asked first, and the server is troubled
 * only when the source's answer is good. */
static void go_on(void)
{
    if (recipe == POST_STREAM && source.status != 0 && server.fd == -1)
        peer_open(&server);
    if (sending && answered(&source)) add_last_chunk();
    if (hungry() && buf_len(&payload) > 0) add_payload();
    if (server.out.failed) fail(server.name, "%s", strerror(ENOMEM));
    if (source.fd != -1 && buf_len(&source.out) > 0) peer_write(&source);
    if (server.fd != -1 && buf_len(&server.out) > 0) peer_write(&server);
}

static void run(void)
{
    enum { SERVER, SOURCE, INPUT, SCREEN, WAKE, SLOTS };
    struct pollfd pfds[SLOTS];

    while (!answered(&server)) {
        /* 1. Say what we wait for: the table is built anew each turn. */
        int64_t next = INT64_MAX;
        now = now_ms();
        watch(&server, &pfds[SERVER], &next);
        watch(&source, &pfds[SOURCE], &next);
        pfds[INPUT] = (struct pollfd){hungry() ? input : -1, POLLIN, 0};
        pfds[SCREEN] = (struct pollfd){
            buf_len(&screen) > 0 ? STDOUT_FILENO : -1, POLLOUT, 0};
        pfds[WAKE] = (struct pollfd){wake_fd[0], POLLIN, 0};

        /* 2. Wait, until a descriptor is ready or the nearest deadline. */
        int64_t wait = next == INT64_MAX ? -1 : next <= now ? 0 : next - now;
        if (poll(pfds, SLOTS, (int)wait) == -1) {
            if (errno == EINTR) continue;
            fail("poll", "%s", strerror(errno));
        }

        /* 3. Read, and understand; see who is late. */
        now = now_ms();
        if (pfds[WAKE].revents) exit(130);
        if (pfds[SCREEN].revents) write_screen();
        peer_turn(&server, &pfds[SERVER]);
        peer_turn(&source, &pfds[SOURCE]);
        if (pfds[INPUT].revents) read_input();
        expire(&server);
        expire(&source);

        /* 4. Send. The last bytes of a request go out even if they have been
         *    answered already. */
        go_on();
    }
}

/* ---- the arguments ------------------------------------------------------ */

static const char help[] =
    "Usage: post-request [-d DATA] [URL]\n"
    "       post-request -g [URL]\n"
    "       post-request -s [SOURCE [URL]]\n"
    "       post-request -m FILE... [-u URL]\n"
    "Makes an HTTP request and prints the answer.\n"
    "\n"
    "  -d DATA        POST this instead of the book's object; @FILE is the\n"
    "                 text of a file, - is that of stdin\n"
    "  -g             GET a JSON object, hold it whole, print its guid\n"
    "  -s             POST what comes from SOURCE, a URL or - for stdin, as\n"
    "                 it comes\n"
    "  -m             POST files as a form with multipart/form-data does\n"
    "  -u URL         where -m sends them\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "Every URL may be left out. URL is http://localhost:8080/api/users, for\n"
    "-g http://localhost:8080/ncb3/some.json, for -m http://localhost:8080/;\n"
    "SOURCE is http://localhost:8080/api/users.\n"
    "Exit status: 0 for an answer 2xx; 3, 4, 5 for 3xx, 4xx, 5xx; 1 for none.\n"
    "\n"
    "Environment, with defaults:\n"
    "  CONNECT_MS=10000  time to connect to each address of a host\n"
    "  REPLY_MS=30000    time for the next byte that a peer takes or sends\n"
    "  TRACE=1           show the conversation on stderr\n"
    "\n"
    "Try: ../post-form/post-form & ./post-request\n";

static void refuse_usage(const char *what, const char *problem)
{
    fprintf(stderr, "post-request: %s%s; try --help\n", what, problem);
    exit(2);
}

/* http://HOST[:PORT][/PATH] */
static void set_url(struct peer *p, const char *text)
{
    bool ok = url_split(span_of(text), &p->url);
    struct span host = p->url.host, port = p->url.port;

    if (span_is_nocase(p->url.scheme, "https"))
        refuse_usage(text, ": TLS is outside this collection; stunnel adds it");
    if (!ok || !span_is_nocase(p->url.scheme, "http") ||
        host.n >= sizeof p->host || port.n >= sizeof p->port)
        refuse_usage(text, ": not a URL http://HOST[:PORT]/PATH");
    if (!port.p) port = span_of("80");
    snprintf(p->host, sizeof p->host, "%.*s", (int)host.n, host.p);
    snprintf(p->port, sizeof p->port, "%.*s", (int)port.n, port.p);
    snprintf(p->name, sizeof p->name, "%s port %s", p->host, p->port);
}

static void set_recipe(enum recipe chosen, const char *option)
{
    if (recipe != POST_DATA || data) refuse_usage(option, ": one at a time");
    recipe = chosen;
}

/* Returns the number of operands, which are moved to the front of argv. */
static int read_options(int argc, char **argv, const char **url)
{
    int n = 0;

    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool last = i + 1 == argc;
        if (word[0] != '-' || strcmp(word, "-") == 0) {
            argv[n++] = argv[i];
        } else if (strcmp(word, "-g") == 0) {
            set_recipe(GET_WHOLE, word);
        } else if (strcmp(word, "-s") == 0) {
            set_recipe(POST_STREAM, word);
        } else if (strcmp(word, "-m") == 0) {
            set_recipe(POST_FILES, word);
        } else if (strcmp(word, "-d") == 0 && !last) {
            set_recipe(POST_DATA, word);
            data = argv[++i];
        } else if (strcmp(word, "-u") == 0 && !last) {
            *url = argv[++i];
        } else if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(word, "--version") == 0) {
            puts("post-request 1.0");
            exit(0);
        } else {
            refuse_usage(word, last ? ": unknown, or something must follow"
                                    : ": unknown argument");
        }
    }
    return n;
}

static void read_arguments(int argc, char **argv)
{
    static const char users[] = "http://localhost:8080/api/users";
    static const char *const defaults[] = {
        [POST_DATA] = users,
        [GET_WHOLE] = "http://localhost:8080/ncb3/some.json",
        [POST_STREAM] = users,
        [POST_FILES] = "http://localhost:8080/"};
    const char *from = users, *url = NULL;
    int n = read_options(argc, argv, &url);

    if (recipe == POST_FILES) {
        if (n == 0) refuse_usage("-m", ": which files?");
        files = argv;
        nfiles = n;
        n = 0;
    } else if (recipe == POST_STREAM && n > 0) {
        from = *argv++;
        n--;
    }
    if (n > (url ? 0 : 1)) refuse_usage(argv[n - 1], ": one URL too many");
    set_url(&server, n > 0 ? argv[0] : url ? url : defaults[recipe]);
    if (recipe == POST_STREAM && strcmp(from, "-") != 0) set_url(&source, from);
}

/* Takes the descriptors 0, 1 and 2 if the shell has closed them, or else a
 * connection could become our stdout. Writing to them fails, as it should. */
static void take_standard_fds(void)
{
    int fd;

    do fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= 2);
    close(fd);
}

int main(int argc, char **argv)
{
    take_standard_fds();
    read_arguments(argc, argv);
    connect_ms = setting("CONNECT_MS", connect_ms, 1, INT_MAX);
    reply_ms = setting("REPLY_MS", reply_ms, 1, INT_MAX);
    tracing = setting("TRACE", 0, 0, 1);
    on_terminal = isatty(STDOUT_FILENO);
    wake_on_signals();

    switch (recipe) {
    case POST_DATA: post_data(); break;
    case GET_WHOLE: add_head(&server, "GET", ""); break;
    case POST_STREAM: post_stream(); break;
    case POST_FILES: post_files(); break;
    }
    peer_open(source.host[0] ? &source : &server);
    run();
    return finish();
}
