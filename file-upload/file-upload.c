/* file-upload.c -- "Handling file uploads": a form with files, all field types,
 * and PUT.
 *
 *     make && ./file-upload        then: curl -F userfile1=@README.md \
 *                                             http://localhost:8080/
 *
 * Read main() at the bottom first, then run(), then conn_turn(); the recipe
 * itself is the section called "the recipe", with "saving" before it. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64 /* files over 2 GiB, where a long has 32 bits */

#include <dirent.h>
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/http.h"
#include "../common/proxy.h"
#include "../common/qs.h"
#include "../common/show.h"
#include "../common/utf8.h"
#include "multipart.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 128 * 1024, /* one recv() per connection and turn */
    OUT_HIGH = 64 * 1024,   /* read no more while this much waits to go out */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,
    LINES_MAX = 256 * 1024,                /* of an answer to a form */
    OUT_MAX = OUT_HIGH + LINES_MAX + 4096, /* room for one more answer */
    SMALL_PIECE = 4096,     /* bytes of a form's file, not written alone */
    PARTS_MAX = 1000,       /* of a form; more is 413 */
    PARTS_SOME = 32,        /* so many are always allowed */
    TEXT_MAX = 1024 * 1024, /* bytes of a text field; more is 413 */
    NAME_SIZE = 200 + 1,    /* a file's name, or a field's, and NUL */
    NAMES_MAX = 255 - 15,   /* both: FIELD-1480000000000-NAME is to fit */
    PATH_SIZE = 300,        /* "uploads/" and the above */
    PAGE_MAX = 64 * 1024,   /* bytes of a page */
    SYNCERS = 2,            /* processes that wait for the disk */
    FILES_EACH = 2,         /* descriptors that a connection may need */
    OWN_CONNS = SYNCERS,    /* places for connections to our own helpers */
    SHOWS_IP = 0,           /* who a client is shows only in the trace */
};

enum {
    SEND_MS = 30000,       /* for the next bytes of an answer to get out */
    LINGER_MS = 2000,      /* for the peer to close, or send, after we have */
    LINGER_MAX_MS = 30000, /* in all, for a peer that goes on sending */
    STOP_LOOK_MS = 10,     /* between two looks round while we stop */
    ACCEPT_PAUSE_MS = 100, /* before accept() is tried again, out of files */
    BUSY_MS = 250,         /* heard from so lately, a connection is busy */
    ANY_MS = INT_MAX,      /* a disk takes its time */
};

/* From the environment, under these names in capitals. */
static int port;              /* to listen on; 0: any free one */
static int idle_ms = 75000;   /* for the next request, or more of a body */
static int head_ms = 10000;   /* for one whole head, however it trickles */
static int max_conns = 10000; /* more wait until one has closed */
static int drain_ms = 0;      /* after SIGTERM: go on, but say "close" */
static int grace_ms = 5000;   /* and then, to finish what has begun */
static bool proxied;          /* PROXY=1: a proxy says who the client is */
static bool tracing;          /* TRACE=1: show the conversation on stderr */
static int max_file = 51200;  /* bytes of a PUT; the book's limit */
static int max_held = 512;    /* MiB of text fields, of all together */

/* ---- one connection ----------------------------------------------------- */

enum conn_state {
    PROXY_HEADER, /* PROXY=1: it has still to come */
    IDLE,         /* between requests: not a byte of the next one is here */
    READ_HEAD,    /* part of a request head is in c->in */
    READ_FORM,    /* a multipart body is on its way */
    READ_FILE,    /* the body of a PUT is */
    SKIP_BODY, /* answered; the request's body, which nobody wants, follows */
    SYNCER,    /* no client at all, but one of our own processes */
    WAIT,      /* a whole file is here, and no syncer is free */
    SAVE,      /* a syncer saves it */
    REPLY,     /* the last answer is in c->out; then we close */
    LINGER,    /* all sent and shut down; waiting for the peer's close */
    CLOSED,    /* run() frees it at the end of the turn */
};

/* A part of a form; a PUT has one. */
struct part {
    struct part *next;
    bool is_file;          /* or else a text field */
    int fd;                /* the temporary file, or -1 */
    int error;             /* an errno: it could not be written */
    char temp[64];         /* its path; "" once it is no longer ours */
    char field[NAME_SIZE]; /* of the form */
    char name[NAME_SIZE];  /* of the file; both are safe in a file name */
    uint64_t bytes;        /* received so far */
    int64_t begun;         /* when the first came */
};

/* What a connection needs while a file or a form arrives. */
struct upload {
    struct multipart form;
    int parts;                  /* how many have begun */
    struct part *part;          /* the present one; NULL: it is skipped */
    struct buf text;            /* its value, if it is a text field */
    struct part *whole, **tail; /* those that are all here: told, and saved,
                                 * when all of the form is */
    struct buf lines;           /* the answer, so far */
    int status;                 /* of the answer */
    const char *last;           /* its last line */
};

struct conn {
    int fd;
    enum conn_state state;
    int64_t entered;  /* the present state, when */
    int64_t deadline; /* when that has lasted too long */
    int64_t ready_at; /* when poll() last had news of it */
    bool peer_done;   /* the peer has sent its last byte */
    bool own;         /* to a helper of ours; no client, and not traced */
    char ip[64];      /* the client's address */
    struct buf in;    /* received, not yet understood */
    struct buf out;   /* to be sent */
    bool keep_alive;  /* another request may follow this one */
    bool head_only;   /* the method is HEAD: answer without the body */
    bool expects;     /* the client waits for "100 Continue" */
    struct http_body body;
    struct upload *up;
};

/* The busy ones stand first: conns[0 .. nbusy - 1]. See run(). */
static struct conn **conns;
static int nconns, nbusy;
static struct pollfd *pfds; /* what poll() is given, see run() */

static int64_t now;    /* milliseconds; read once a turn */
static bool draining;  /* SIGTERM has come */
static int wake_fd[2]; /* the signal handler writes, run() reads */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void conn_enter(struct conn *c, enum conn_state state, int ms)
{
    c->state = state;
    c->entered = now;
    c->deadline = now + ms;
}

/* ---- saving ------------------------------------------------------------- */

/* A file is written to a temporary one as it comes. When all of its form is
 * here, it is forced to the disk and gets its name, and then the folder is
 * forced to the disk: only then is it saved. fsync() can take seconds, and
 * poll() cannot wait for it. So a few processes of our own do that work, the
 * syncers. Each has a socket to us, and its end of it is a connection like any
 * other. */

static struct syncer {
    int fd;              /* our end of its socket; -1: it is not there */
    struct conn *c;      /* the connection to it; NULL: it has gone */
    bool busy;           /* it has been given a file */
    struct conn *client; /* whose; NULL if that one has gone */
} syncers[SYNCERS];

/* Forces a file, or a folder, to the disk. Returns 0 or an errno. It does not
 * matter that another descriptor has written it: fsync() is about the file. */
static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags);
    int error = fd == -1 || fsync(fd) == -1 ? errno : 0;

    if (fd != -1) close(fd);
    return error;
}

/* uploads/FIELD-MILLISECONDS-NAME, the first that is free: link() never
 * replaces a file, and does not follow a symbolic link. */
static int link_free(const char *temp, const char *field, const char *name,
                     char path[PATH_SIZE])
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    long long ms = (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;

    do {
        snprintf(path, PATH_SIZE, "uploads/%s-%lld-%s", field, ms++, name);
        if (link(temp, path) == 0) return 0;
    } while (errno == EEXIST);
    return errno;
}

/* Returns 0, and the path; or an errno, and then nothing is left. */
static int save(const char *temp, const char *field, const char *name,
                char path[PATH_SIZE])
{
    int error = sync_path(temp, O_WRONLY | O_NOFOLLOW);

    path[0] = '\0';
    if (!error) error = link_free(temp, field, name, path);
    unlink(temp);
    if (error) return error;
    error = sync_path("uploads", O_RDONLY | O_DIRECTORY);
    if (error == EINVAL) error = 0; /* some file systems do so unasked */
    if (error) unlink(path);
    return error;
}

/* A syncer's life: a line with a job comes, TEMP TAB FIELD TAB NAME, and a line
 * with the outcome goes, ERRNO PATH, until we are gone. */
static void work(int fd)
{
    char line[PATH_SIZE + 2 * NAME_SIZE], path[PATH_SIZE], answer[PATH_SIZE];
    FILE *jobs = fdopen(fd, "r");

    while (jobs && fgets(line, sizeof line, jobs)) {
        char *temp = strtok(line, "\t\n"), *field = strtok(NULL, "\t\n");
        char *name = strtok(NULL, "\t\n");
        if (!temp || !field || !name) break;
        int error = save(temp, field, name, path);
        int n = snprintf(answer, sizeof answer, "%d %s\n", error, path);
        if (write(fd, answer, (size_t)n) != n) break;
    }
    _exit(0);
}

static void start_syncer(struct syncer *s)
{
    int pair[2];

    s->fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) return;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_IGN);  /* it ends when its socket does, */
        signal(SIGTERM, SIG_IGN); /* and that is when we have ended */
        for (struct syncer *other = syncers; other < s; other++)
            close(other->fd);
        close(pair[0]);
        work(pair[1]);
    }
    close(pair[1]);
    if (pid == -1)
        close(pair[0]);
    else
        s->fd = pair[0];
}

static int count_syncers(void)
{
    int n = 0;
    for (int i = 0; i < SYNCERS; i++) n += syncers[i].c != NULL;
    return n;
}

/* ---- answers ------------------------------------------------------------ */

static const char plain[] = "text/plain; charset=utf-8";
static const char html[] = "text/html; charset=utf-8";

/* For the Date header. Written once a second, since it costs more than the
 * rest of an answer. */
static const char *date(void)
{
    static char text[HTTP_DATE_SIZE];
    static time_t written;
    time_t t = time(NULL);

    if (t != written) http_date(text, t);
    written = t;
    return text;
}

static void drop_file(struct part *part)
{
    if (part->fd != -1) close(part->fd);
    if (part->temp[0]) unlink(part->temp);
    part->fd = -1;
    part->temp[0] = '\0';
}

static void drop_part(struct part *part)
{
    if (part) drop_file(part);
    free(part);
}

static void drop_upload(struct conn *c)
{
    struct upload *up = c->up;

    if (!up) return;
    while (up->whole) {
        struct part *part = up->whole;
        up->whole = part->next;
        drop_part(part);
    }
    drop_part(up->part);
    multipart_free(&up->form);
    buf_free(&up->text);
    buf_free(&up->lines);
    free(up);
    c->up = NULL;
}

/* Answers the request. Of its body, what is still to come is skipped. */
static void reply(struct conn *c, int status, const char *type,
                  struct span body)
{
    struct buf *out = &c->out;

    /* A client that waits for "100 Continue" and gets its final answer may
     * then send the body or not: RFC 9110, 10.1.1. So it is the last. */
    if (draining || c->expects) c->keep_alive = false;
    buf_addf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    if (status == 405) buf_puts(out, "Allow: GET, HEAD, POST, PUT\r\n");
    if (type == html)
        buf_puts(out, "Content-Security-Policy: default-src 'none'; "
                      "script-src 'self'; style-src 'self'; "
                      "connect-src 'self'; img-src data:; "
                      "form-action 'self'; base-uri 'none'; "
                      "frame-ancestors 'none'\r\n");
    buf_addf(out,
             "Content-Type: %s\r\n"
             "Content-Length: %zu\r\n"
             "Date: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n"
             "Connection: %s\r\n"
             "\r\n",
             type, body.n, date(), c->keep_alive ? "keep-alive" : "close");
    if (!c->head_only) buf_add(out, body.p, body.n);

    drop_upload(c);
    if (!c->keep_alive)
        conn_enter(c, REPLY, SEND_MS);
    else if (!c->body.done)
        conn_enter(c, SKIP_BODY, idle_ms);
    else
        conn_enter(c, IDLE, idle_ms);
}

static void reply_error(struct conn *c, int status)
{
    const char *text = status == 413 ? "Too Large" : http_reason(status);
    reply(c, status, plain, span_of(text));
}

/* ---- the recipe --------------------------------------------------------- */

static struct page {
    const char *path, *file, *type;
    struct buf text;
} pages[] = {
    {"/", "public/form.html", html, {.max = PAGE_MAX}},
    {"/put", "public/put.html", html, {.max = PAGE_MAX}},
    {"/put.js",
     "public/put.js",
     "text/javascript; charset=utf-8",
     {.max = PAGE_MAX}},
    {"/style.css",
     "public/style.css",
     "text/css; charset=utf-8",
     {.max = PAGE_MAX}},
};
enum { PAGES = sizeof pages / sizeof *pages };

/* For load balancers: they stop sending requests here when it says 503. */
static void get_health(struct conn *c)
{
    const char *json =
        draining ? "{\"status\":\"draining\"}" : "{\"status\":\"ok\"}";
    reply(c, draining ? 503 : 200, "application/json", span_of(json));
}

/* As in the book, a path that is not known gets the form. */
static void get_page(struct conn *c, struct span path)
{
    const struct page *page = pages;

    for (int i = 0; i < PAGES; i++)
        if (span_is(path, pages[i].path)) page = &pages[i];
    reply(c, 200, page->type, buf_span(&page->text));
}

/* A name from outside becomes part of a file's name: what follows the last
 * slash of either kind, in UTF-8, without control bytes and leading dots, cut
 * to MAX bytes between two characters. False: no memory. */
static bool clean_name(char *out, size_t max, struct span raw,
                       const char *instead)
{
    struct buf text = {.max = 3 * raw.n};
    size_t n = 0;

    for (size_t i = raw.n; i-- > 0;)
        if (raw.p[i] == '/' || raw.p[i] == '\\')
            raw = (struct span){raw.p + i + 1, raw.n - i - 1}, i = 0;
    utf8_repair(&text, raw);
    for (size_t i = 0; i < buf_len(&text) && n <= max; i++) {
        char c = buf_at(&text)[i];
        if ((unsigned char)c < ' ' || c == 0x7f || (c == '.' && n == 0))
            continue;
        out[n++] = c;
    }
    if (n > max) {
        n = max;
        while (((unsigned char)out[n] & 0xC0) == 0x80) n--;
    }
    out[n] = '\0';
    if (n == 0) snprintf(out, max + 1, "%s", instead);
    bool whole = !text.failed;
    buf_free(&text);
    return whole;
}

static bool begin_upload(struct conn *c)
{
    c->up = calloc(1, sizeof *c->up);
    if (!c->up) {
        reply_error(c, 500);
        return false;
    }
    c->up->tail = &c->up->whole;
    c->up->text.max = TEXT_MAX;
    c->up->lines.max = LINES_MAX;
    return true;
}

/* The client may go on: RFC 9110, 10.1.1. */
static void say_continue(struct conn *c)
{
    if (c->expects) buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    c->expects = false;
}

static bool new_part(struct conn *c)
{
    c->up->part = calloc(1, sizeof *c->up->part);
    if (!c->up->part) {
        reply_error(c, 500);
        return false;
    }
    c->up->part->fd = -1;
    c->up->part->begun = now;
    return true;
}

static void begin_file(struct part *part, struct span field, struct span name)
{
    static unsigned long count;

    part->is_file = true;
    bool named = clean_name(part->name, NAME_SIZE - 1, name, "upload");
    size_t room = NAMES_MAX - strlen(part->name);
    if (room > NAME_SIZE - 1) room = NAME_SIZE - 1;
    named = clean_name(part->field, room, field, "file") && named;
    part->error = ENOMEM;
    if (!named) return;
    do {
        snprintf(part->temp, sizeof part->temp, "uploads/.upload-%ld-%lu",
                 (long)getpid(), count++);
        part->fd = open(part->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                        S_IRUSR | S_IWUSR);
    } while (part->fd == -1 && errno == EEXIST);
    part->error = part->fd == -1 ? errno : 0;
    if (part->error) part->temp[0] = '\0';
}

static void write_file(struct part *part, struct span data)
{
    part->bytes += data.n;
    while (!part->error && data.n > 0) {
        ssize_t n = write(part->fd, data.p, data.n);
        if (n == -1 && errno != EINTR) {
            part->error = errno;
            drop_file(part); /* its room is given back at once */
        } else if (n > 0) {
            data = (struct span){data.p + n, data.n - (size_t)n};
        }
    }
}

/* On our terminal: what was saved, or why not. */
static void report(const struct part *part, int error, const char *path)
{
    struct buf line = {.max = 16 * 1024};

    show_text(&line, span_of(error ? part->name : path));
    if (error)
        buf_addf(&line, ": %s\n", strerror(error));
    else
        buf_addf(&line, ": %llu bytes, %lld ms\n",
                 (unsigned long long)part->bytes,
                 (long long)(now - part->begun));
    if (!line.failed)
        fwrite(buf_at(&line), 1, buf_len(&line), error ? stderr : stdout);
    buf_free(&line);
}

static void print_field(const struct upload *up)
{
    struct buf line = {.max = 4 * (TEXT_MAX + NAME_SIZE) + 4};

    show_text(&line, span_of(up->part->field));
    buf_puts(&line, ": ");
    show_text(&line, buf_span(&up->text));
    buf_puts(&line, "\n");
    if (!line.failed) fwrite(buf_at(&line), 1, buf_len(&line), stdout);
    buf_free(&line);
}

static int status_of(int error)
{
    if (error == 0) return 200;
    return error == ENOSPC || error == EDQUOT || error == EFBIG ? 507 : 500;
}

/* The first of the whole parts is done with: its line of the answer. */
static void tell_part(struct upload *up, int error, const char *path)
{
    struct part *part = up->whole;

    if (part->is_file) report(part, error, path);
    if (!part->is_file)
        buf_addf(&up->lines, "processed \"%s\" input.\n", part->field);
    else if (error)
        buf_addf(&up->lines, "Error saving %s!\n", part->name);
    else
        buf_addf(&up->lines, "%s successfully saved!\n", part->name);
    if (status_of(error) > up->status) up->status = status_of(error);
    part->temp[0] = '\0'; /* save() has unlinked it in any case */
    up->whole = part->next;
    drop_part(part);
}

/* The next file for a syncer: the one that has waited longest. */
static struct conn *longest_waiting(void)
{
    struct conn *first = NULL;

    for (int i = 0; i < nconns; i++)
        if (conns[i]->state == WAIT &&
            (!first || conns[i]->entered < first->entered))
            first = conns[i];
    return first;
}

static void give_work(void)
{
    struct conn *c;

    for (struct syncer *s = syncers; s < syncers + SYNCERS; s++) {
        while (s->c && !s->busy && (c = longest_waiting()) != NULL) {
            struct part *file = c->up->whole;
            struct buf *jobs = &s->c->out;
            buf_addf(jobs, "%s\t%s\t%s\n", file->temp, file->field, file->name);
            if (jobs->failed) {
                jobs->failed = false; /* there may be memory for the next */
                reply_error(c, 500);
                continue;
            }
            conn_enter(c, SAVE, ANY_MS);
            s->busy = true;
            s->client = c;
        }
    }
}

/* Tells of one part after another, each file when it is saved. Where that has
 * to be waited for, read_answer() goes on. Then the answer is whole. */
static void save_parts(struct conn *c)
{
    struct upload *up = c->up;
    char path[PATH_SIZE] = "";

    while (up->whole) {
        struct part *part = up->whole;
        bool here = part->is_file && !part->error;
        if (here && count_syncers() > 0) {
            conn_enter(c, WAIT, ANY_MS);
            give_work();
            return;
        }
        if (here) /* everybody has to wait */
            part->error = save(part->temp, part->field, part->name, path);
        tell_part(up, part->error, path);
    }
    buf_puts(&up->lines, up->last);
    if (up->lines.failed)
        reply_error(c, 500);
    else
        reply(c, up->status, plain, buf_span(&up->lines));
}

/* No more is to come, or it is not wanted: a part that is not whole is lost. */
static void end_upload(struct conn *c, int status, const char *last)
{
    struct upload *up = c->up;

    drop_part(up->part);
    up->part = NULL;
    up->status = status;
    up->last = last;
    save_parts(c);
}

static void end_form(struct conn *c)
{
    if (!multipart_whole(&c->up->form)) {
        end_upload(c, 400, http_reason(400));
        return;
    }
    puts("finished parsing");
    end_upload(c, 200, "All files processed!");
}

/* Whether all connections together hold as much as they may, of text and of
 * parts. One may hold TEXT_MAX and PARTS_MAX; ten thousand must not hold all
 * the memory there is. */
static bool too_much_held(void)
{
    size_t sum = 0;

    for (int i = 0; i < nconns; i++)
        if (conns[i]->up)
            sum += conns[i]->up->text.cap +
                   (size_t)conns[i]->up->parts * sizeof(struct part);
    return sum / (1024 * 1024) >= (size_t)max_held;
}

static void begin_part(struct conn *c)
{
    struct upload *up = c->up;
    struct span name = up->form.name, filename = up->form.filename;
    bool chosen = !filename.p || filename.n > 0; /* RFC 7578, 4.2 */

    if (++up->parts > PARTS_MAX)
        end_upload(c, 413, "Too Large");
    else if (up->parts % PARTS_SOME == 0 && too_much_held())
        end_upload(c, 503, http_reason(503));
    else if (!chosen || !new_part(c))
        return;
    else if (filename.p)
        begin_file(up->part, name, filename);
    else if (!clean_name(up->part->field, NAME_SIZE - 1, name, ""))
        end_upload(c, 500, http_reason(500));
}

/* What is nearly a delimiter cuts a file into tiny pieces. They are written
 * together: these are here while parse_form() runs, and no longer. */
static char pieces[READ_SIZE];
static size_t npieces;

static void write_pieces(struct upload *up)
{
    size_t n = npieces;

    npieces = 0;
    if (n > 0) write_file(up->part, (struct span){pieces, n});
}

static void part_file(struct upload *up, struct span data)
{
    if (data.n > sizeof pieces - npieces) write_pieces(up);
    if (data.n < SMALL_PIECE) {
        memcpy(pieces + npieces, data.p, data.n);
        npieces += data.n;
    } else {
        write_pieces(up);
        write_file(up->part, data);
    }
}

static void part_text(struct conn *c, struct span data)
{
    struct buf *text = &c->up->text;
    bool held = buf_len(text) > SMALL_PIECE && too_much_held();

    if (!held) buf_add(text, data.p, data.n);
    if (held)
        end_upload(c, 503, http_reason(503));
    else if (text->failed)
        end_upload(c, 413, "Too Large");
}

static void part_data(struct conn *c, struct span data)
{
    struct part *part = c->up->part;

    if (part && part->is_file)
        part_file(c->up, data);
    else if (part)
        part_text(c, data);
}

static void end_part(struct upload *up)
{
    struct part *part = up->part;

    if (!part) return;
    if (part->fd != -1 && close(part->fd) == -1) part->error = errno;
    part->fd = -1;
    if (part->error) drop_file(part);
    if (!part->is_file) print_field(up);
    buf_free(&up->text);
    *up->tail = part;
    up->tail = &part->next;
    up->part = NULL;
}

static void parse_form(struct conn *c, struct span in)
{
    struct span data;

    while (c->state == READ_FORM) {
        switch (multipart_next(&c->up->form, &in, &data)) {
        case MULTIPART_MORE: write_pieces(c->up); return;
        case MULTIPART_HEAD: begin_part(c); break;
        case MULTIPART_DATA: part_data(c, data); break;
        case MULTIPART_END:
            write_pieces(c->up);
            end_part(c->up);
            break;
        case MULTIPART_BAD: end_upload(c, 400, http_reason(400)); break;
        }
    }
    npieces = 0; /* the form was refused */
}

/* All of a PUT's file is here, or no more of it is wanted. */
static void end_file(struct conn *c)
{
    end_part(c->up);
    end_upload(c, 200, "");
}

static void post_form(struct conn *c, const struct http_head *h)
{
    struct span type = http_header(h, "Content-Type");

    if (!http_type_is(type, "multipart/form-data")) {
        reply_error(c, 415);
    } else if (h->framing == HTTP_NONE) {
        reply_error(c, 400);
    } else if (begin_upload(c)) {
        if (!multipart_start(&c->up->form, type)) {
            reply_error(c, 400);
            return;
        }
        puts("parsing multipart data");
        say_continue(c);
        conn_enter(c, READ_FORM, idle_ms);
        if (c->body.done) end_form(c);
    }
}

/* The book's page tells the names in headers of its own, percent-encoded since
 * a header is ASCII. curl -T tells the file's in the path. */
static void put_file(struct conn *c, const struct http_head *h)
{
    char field_text[HTTP_HEAD_MAX], name_text[HTTP_HEAD_MAX];
    struct span field = http_header(h, "X-Field");
    struct span name = http_header(h, "X-Filename"), query;

    if (name.n == 0) qs_split(h->target, &name, &query);
    field = (struct span){field_text, percent_decode(field_text, field)};
    name = (struct span){name_text, percent_decode(name_text, name)};
    bool piece = http_header(h, "Content-Range").p; /* RFC 9110, 14.5 */
    if (h->framing == HTTP_NONE || name.p[name.n - 1] == '/' || piece) {
        reply_error(c, 400);
    } else if (h->framing == HTTP_LENGTH && h->length > (uint64_t)max_file) {
        reply_error(c, 413);
    } else if (begin_upload(c) && new_part(c)) {
        begin_file(c->up->part, field, name);
        if (c->up->part->error) {
            end_file(c);
            return;
        }
        say_continue(c);
        conn_enter(c, READ_FILE, idle_ms);
        if (c->body.done) end_file(c);
    }
}

static void handle_request(struct conn *c, const struct http_head *h)
{
    struct span path, query;
    qs_split(h->target, &path, &query);
    bool post = span_is(h->method, "POST");

    if (span_is(h->method, "GET") || c->head_only) {
        if (span_is(path, "/healthz"))
            get_health(c);
        else
            get_page(c, path);
    } else if (!post && !span_is(h->method, "PUT")) {
        reply_error(c, 405);
    } else if (!http_same_origin(h)) {
        reply_error(c, 403); /* a page of another site sends its visitors */
    } else if (post) {
        post_form(c, h);
    } else {
        put_file(c, h);
    }
}

/* ---- the connection's life: these differ from server to server ----------- */

static void conn_start(struct conn *c)
{
    conn_enter(c, IDLE, idle_ms);
    for (struct syncer *s = syncers; s < syncers + SYNCERS; s++) {
        if (s->fd != c->fd) continue;
        s->c = c;
        c->own = true;
        conn_enter(c, SYNCER, ANY_MS);
    }
}

/* The request cannot be understood, so neither can what follows it. One
 * that is malformed only in its body has had its answer, and gets no second. */
static void refuse(struct conn *c, int status)
{
    c->keep_alive = false;
    if (c->state == SKIP_BODY)
        conn_enter(c, REPLY, SEND_MS);
    else
        reply_error(c, status);
}

/* A client that goes leaves its file to nobody. A syncer that goes, which only
 * a kill can bring about, leaves its client without an answer. */
static void conn_stop(struct conn *c)
{
    drop_upload(c);
    for (struct syncer *s = syncers; s < syncers + SYNCERS; s++) {
        if (s->client == c) s->client = NULL;
        if (s->c != c) continue;
        s->c = NULL;
        s->fd = -1;
        if (s->client && s->client->state == SAVE) refuse(s->client, 500);
    }
    for (int i = 0; i < nconns && count_syncers() == 0; i++)
        if (conns[i]->state == WAIT) refuse(conns[i], 500);
}

static bool conn_reading(const struct conn *c)
{
    return c->state < WAIT;
}

static ssize_t read_head(struct conn *c)
{
    struct span in = buf_span(&c->in);
    struct http_head head;
    size_t empty = http_empty_lines(in);
    if (empty > 0) return (ssize_t)empty; /* no request has begun with them */

    ssize_t used = http_parse_request(&head, in);
    c->head_only = span_is(head.method, "HEAD");
    if (used == 0 && c->state == IDLE && !span_is(in, "\r"))
        conn_enter(c, READ_HEAD, head_ms);
    if (used == 0 && c->state == READ_HEAD && c->peer_done) return -400;
    if (used <= 0) return used;

    c->keep_alive = head.keep_alive;
    c->expects = head.expect_continue;
    http_body_start(&c->body, &head);
    handle_request(c, &head);
    return used;
}

static ssize_t read_form(struct conn *c)
{
    struct span data;
    ssize_t used = http_body_next(&c->body, buf_span(&c->in), &data);

    if (used <= 0) return used;
    c->deadline = now + idle_ms;
    parse_form(c, data);
    if (c->state == READ_FORM && c->body.done) end_form(c);
    return used;
}

static ssize_t read_file(struct conn *c)
{
    struct span data;
    ssize_t used = http_body_next(&c->body, buf_span(&c->in), &data);

    if (used <= 0) return used;
    c->deadline = now + idle_ms;
    write_file(c->up->part, data);
    if (c->up->part->bytes > (uint64_t)max_file)
        reply_error(c, 413);
    else if (c->up->part->error || c->body.done)
        end_file(c);
    return used;
}

static ssize_t skip_body(struct conn *c)
{
    struct span ignored;
    ssize_t used = http_body_next(&c->body, buf_span(&c->in), &ignored);

    if (c->body.done)
        conn_enter(c, IDLE, idle_ms);
    else if (used > 0)
        conn_enter(c, SKIP_BODY, idle_ms);
    return used;
}

/* A syncer has an answer: returns the client that can go on now. */
static struct conn *read_answer(struct conn *c)
{
    char line[PATH_SIZE] = "", *path;
    struct syncer *s = syncers;
    size_t n = buf_len(&c->in);

    while (s->c != c) s++;
    if (n == 0 || n >= sizeof line || buf_at(&c->in)[n - 1] != '\n')
        return NULL;
    memcpy(line, buf_at(&c->in), n - 1);
    buf_drop(&c->in, n);
    int error = (int)strtol(line, &path, 10);

    struct conn *client = s->client;
    s->busy = false;
    s->client = NULL;
    if (client && client->state != SAVE) client = NULL; /* it has gone */
    if (client) {
        tell_part(client->up, error, path + 1);
        save_parts(client);
    }
    give_work();
    return client;
}

static ssize_t conn_step(struct conn *c)
{
    switch (c->state) {
    case READ_FORM: return read_form(c);
    case READ_FILE: return read_file(c);
    case SKIP_BODY: return skip_body(c);
    default: return read_head(c);
    }
}

/* Answer the requests in c->in, as long as c->out has room. */
static void conn_advance(struct conn *c)
{
    ssize_t used = 1;

    if (c->state == SYNCER) {
        struct conn *client = read_answer(c);
        if (client) conn_advance(client);
        return;
    }
    while (used > 0 && conn_reading(c) && buf_len(&c->in) > 0 &&
           buf_len(&c->out) < OUT_HIGH) {
        used = conn_step(c);
        if (used > 0) buf_drop(&c->in, (size_t)used);
    }
    bool in_body = c->state == READ_FORM || c->state == READ_FILE;
    bool short_of = used == 0 || buf_len(&c->in) == 0;
    if (used < 0)
        refuse(c, (int)-used);
    else if (in_body && short_of && c->peer_done)
        refuse(c, 400);
}

static void conn_expire(struct conn *c)
{
    bool waits =
        c->state == READ_HEAD || c->state == READ_FORM || c->state == READ_FILE;

    if (c->state == SYNCER || c->state == WAIT || c->state == SAVE)
        conn_enter(c, c->state, ANY_MS);
    else if (waits && buf_len(&c->out) == 0)
        refuse(c, 408);
    else
        c->state = CLOSED;
}

/* The server stops: close unless a request has begun or an answer is going
 * out. The syncers go last. */
static void conn_end(struct conn *c)
{
    bool last = c->state == SYNCER && nconns == count_syncers();
    if (last || (c->state == IDLE && buf_len(&c->out) == 0)) c->state = CLOSED;
}

/* ==== the same in all five servers, from here to main() =================== */

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

/* Whoever started us may have closed 0, 1 or 2. No socket may get one of these
 * numbers: what is printed would go there. */
static void keep_standard_files(void)
{
    int fd;

    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

/* What the environment says, and a table for so many connections. */
static void read_settings(int default_port)
{
    keep_standard_files();
    port = setting("PORT", default_port, 0, 65535);
    idle_ms = setting("IDLE_MS", idle_ms, 1, INT_MAX);
    head_ms = setting("HEAD_MS", head_ms, 1, INT_MAX);
    max_conns = setting("MAX_CONNS", max_conns, 1, 1000000) + OWN_CONNS;
    drain_ms = setting("DRAIN_MS", drain_ms, 0, INT_MAX);
    grace_ms = setting("GRACE_MS", grace_ms, 0, INT_MAX);
    proxied = setting("PROXY", 0, 0, 1);
    tracing = setting("TRACE", 0, 0, 1);
    conns = calloc((size_t)max_conns, sizeof(struct conn *));
    pfds = calloc((size_t)max_conns + 2, sizeof *pfds);
    if (!conns || !pfds) {
        perror("MAX_CONNS");
        exit(1);
    }
}

/* One of IPv4 that "::" has let in is shown as such. */
static void set_ip(struct conn *c, const char *ip)
{
    bool mapped = strncmp(ip, "::ffff:", 7) == 0 && strchr(ip, '.');
    snprintf(c->ip, sizeof c->ip, "%s", mapped ? ip + 7 : ip);
}

static void find_ip(struct conn *c)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char ip[sizeof c->ip] = "unknown";

    if (getpeername(c->fd, (struct sockaddr *)&a, &len) == 0)
        getnameinfo((struct sockaddr *)&a, len, ip, sizeof ip, NULL, 0,
                    NI_NUMERICHOST);
    set_ip(c, ip);
}

static void conn_open(int fd)
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c || fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
        free(c);
        close(fd);
        return;
    }
    c->fd = fd;
    c->ready_at = now;
    c->in.max = IN_MAX;
    c->out.max = OUT_MAX;
    if (tracing || SHOWS_IP) find_ip(c);
    conn_start(c);
    if (proxied && !c->own) conn_enter(c, PROXY_HEADER, head_ms);
    conns[nconns++] = conns[nbusy];
    conns[nbusy++] = c;
}

static int traced_fd = -1; /* whose bytes the trace has shown last */

static void conn_free(struct conn *c)
{
    conn_stop(c);
    close(c->fd);
    if (tracing && !c->own) fputs("---\n", stderr); /* as in tests/sessions */
    traced_fd = -1;
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

static void trace(const struct conn *c, char who, const char *p, size_t n)
{
    struct buf lines = {.max = 16 * SHOW_WIRE_MAX};

    if (!tracing || c->own) return;
    if (c->fd != traced_fd)
        fprintf(stderr, "# connection %d from %s\n", c->fd, c->ip);
    traced_fd = c->fd;
    show_wire(&lines, who, (struct span){p, n});
    if (!lines.failed) fwrite(buf_at(&lines), 1, buf_len(&lines), stderr);
    buf_free(&lines);
}

static void conn_read(struct conn *c)
{
    char *room = buf_room(&c->in, READ_SIZE);
    ssize_t n = room ? recv(c->fd, room, READ_SIZE, 0) : -1;

    if (n > 0) {
        trace(c, 'C', room, (size_t)n);
        if (c->state != LINGER)
            c->in.end += (size_t)n;
        else if (now - c->entered < LINGER_MAX_MS)
            c->deadline = now + LINGER_MS;
    } else if (n == 0) {
        c->peer_done = true;
    } else if (!room || (errno != EAGAIN && errno != EINTR)) {
        c->state = CLOSED;
    }
}

static void conn_write(struct conn *c)
{
    ssize_t n = send(c->fd, buf_at(&c->out), buf_len(&c->out), 0);

    if (n >= 0) {
        trace(c, 'S', buf_at(&c->out), (size_t)n);
        buf_drop(&c->out, (size_t)n);
        if (buf_len(&c->out) > 0) c->deadline = now + SEND_MS;
    } else if (errno != EAGAIN && errno != EINTR) {
        c->state = CLOSED;
    }
}

/* What this connection waits for: the whole of backpressure is here. */
static short conn_events(const struct conn *c)
{
    short events = 0;

    if (buf_len(&c->out) > 0 && c->state != PROXY_HEADER) events |= POLLOUT;
    if (c->state == LINGER ||
        (conn_reading(c) && !c->peer_done && buf_len(&c->out) < OUT_HIGH))
        events |= POLLIN;
    return events;
}

/* What a proxy says of the client comes before anything else, and before we
 * say anything. Who says nothing of the kind is no proxy. */
static void read_proxy_header(struct conn *c)
{
    char ip[PROXY_IP_SIZE];
    ssize_t used = proxy_parse(ip, buf_span(&c->in));

    if (used == 0 && !c->peer_done) return;
    if (used <= 0) {
        c->state = CLOSED;
        return;
    }
    if (ip[0]) set_ip(c, ip);
    traced_fd = -1; /* it is shown anew, from there */
    buf_drop(&c->in, (size_t)used);
    conn_enter(c, IDLE, idle_ms);
}

/* One turn of the loop for one connection: read, act, write, move on. */
static void conn_turn(struct conn *c, short revents)
{
    bool full;

    if (revents & POLLIN) conn_read(c);
    if (revents & (POLLERR | POLLNVAL)) c->state = CLOSED;
    if ((revents & POLLHUP) && !(revents & POLLIN)) c->state = CLOSED;
    if (c->state == PROXY_HEADER) read_proxy_header(c);
    if (c->state == PROXY_HEADER) return;

    /* conn_advance() stops when it wants more input, or when c->out is full;
     * then it goes on as soon as some has been sent. So when all is done either
     * c->out is full, or what is left of c->in is less than it can use. */
    do {
        conn_advance(c);
        full = buf_len(&c->out) >= OUT_HIGH;
        if (c->out.failed) c->state = CLOSED;
        if (c->state != CLOSED && buf_len(&c->out) > 0) conn_write(c);
    } while (full && buf_len(&c->out) < OUT_HIGH);

    /* Between requests a connection holds no memory but its struct. */
    if (buf_len(&c->in) == 0) buf_free(&c->in);
    if (buf_len(&c->out) == 0) buf_free(&c->out);

    if (c->state == CLOSED || buf_len(&c->out) > 0) return;
    if (c->state == REPLY || (conn_reading(c) && c->peer_done)) {
        shutdown(c->fd, SHUT_WR);
        buf_free(&c->in); /* nothing that comes now is looked at */
        conn_enter(c, LINGER, LINGER_MS);
    }
    if (c->state == LINGER && c->peer_done) c->state = CLOSED;
}

static int listen_on(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *list;
    char text[8];
    int fd = -1, on = 1, off = 0;

    snprintf(text, sizeof text, "%d", port);
    int rc = getaddrinfo(host, text, &hints, &list);
    if (rc != 0) {
        fprintf(stderr, "%s port %d: %s\n", host, port, gai_strerror(rc));
        exit(1);
    }
    for (struct addrinfo *a = list; a && fd == -1; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd == -1) continue;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (a->ai_family == AF_INET6) /* "::" takes IPv4 as well */
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
            listen(fd, SOMAXCONN) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
            break;
        int saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd == -1) {
        fprintf(stderr, "%s port %d: %s\n", host, port, strerror(errno));
        exit(1);
    }
    return fd;
}

/* A socket that listens already, given to us as descriptor 3 by systemd, say:
 * it outlives us, so that no client is refused while we are started again. See
 * sd_listen_fds(3). -1: there is none. */
static int inherited_listener(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int fd = 3, listens = 0;
    socklen_t size = sizeof listens;
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;

    if (!pid || !count || strtol(pid, NULL, 10) != getpid()) return -1;
    if (strcmp(count, "1") != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == -1 ||
        !listens || getsockname(fd, (struct sockaddr *)&a, &len) == -1 ||
        (a.sin6_family != AF_INET && a.sin6_family != AF_INET6) ||
        fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
        fprintf(stderr, "LISTEN_FDS=%s: not one TCP socket that listens\n",
                count);
        exit(1);
    }
    return fd;
}

static void print_address(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    char host[64], service[8];

    if (getsockname(fd, (struct sockaddr *)&a, &len) == -1) {
        perror("getsockname");
        exit(1);
    }
    int rc = getnameinfo((struct sockaddr *)&a, len, host, sizeof host, service,
                         sizeof service, NI_NUMERICHOST | NI_NUMERICSERV);
    if (rc != 0) {
        fprintf(stderr, "getnameinfo: %s\n", gai_strerror(rc));
        exit(1);
    }
    printf("{\"address\":\"%s\",\"family\":\"%s\",\"port\":%s}\n", host,
           a.ss_family == AF_INET6 ? "IPv6" : "IPv4", service);
    fflush(stdout);
}

/* Take what is waiting. Returns when to look again: later if out of files. */
static int64_t accept_all(int listener)
{
    static bool reported;

    while (nconns < max_conns) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            conn_open(fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            reported = false; /* all are in: the next time is news again */
            return now;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            if (!reported) perror("accept");
            reported = true;
            break;
        }
    }
    return now + ACCEPT_PAUSE_MS;
}

static void swap_conns(int i, int j)
{
    struct conn *c = conns[i];
    conns[i] = conns[j];
    conns[j] = c;
}

/* Free the finished, the only place that does, and sort the busy from the
 * quiet. If poll() was given only the busy ones, only they can have changed. */
static void sweep(bool all)
{
    for (int i = 0; i < (all ? nconns : nbusy);) {
        struct conn *c = conns[i];
        bool busy = now - c->ready_at < BUSY_MS;

        if (c->state == CLOSED) {
            int hole = i;
            if (i < nbusy) conns[i] = conns[hole = --nbusy];
            conns[hole] = conns[--nconns];
            conn_free(c);
        } else if (i < nbusy && !busy) {
            swap_conns(i, --nbusy);
        } else {
            if (i >= nbusy && busy) swap_conns(i, nbusy++);
            i++;
        }
    }
}

/* False: nothing is known yet. The system may lack memory for a moment. */
static bool wait_ready(int n, int ms)
{
    const struct timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000L};

    if (poll(pfds, (nfds_t)n, ms) >= 0) return true;
    if (errno == EINTR) return false;
    bool passes = errno == ENOMEM || errno == EAGAIN;
    perror("poll");
    if (!passes) exit(1);
    nanosleep(&pause, NULL);
    return false;
}

static void run(int listener)
{
    int64_t accept_at = 0, all_at = 0, stop_at = INT64_MAX;

    while (listener >= 0 || nconns > 0) {
        /* 1. Say what we wait for: the table is built anew each turn, so that
         *    pfds[2 + i] always belongs to conns[i]. poll() looks at every
         *    descriptor it is given, so the quiet connections, which may be
         *    thousands, are given to it only now and then. */
        now = now_ms();
        bool stopping = listener < 0;
        bool accepting = now >= accept_at;
        bool all = nbusy == 0 || nbusy == nconns || stopping || now >= all_at;
        int n = all ? nconns : nbusy;
        int64_t next = stop_at;
        if (!accepting && accept_at < next) next = accept_at;
        if (!all && all_at < next) next = all_at;
        if (stopping && now + STOP_LOOK_MS < next) next = now + STOP_LOOK_MS;
        pfds[0] = (struct pollfd){accepting ? listener : -1, POLLIN, 0};
        pfds[1] = (struct pollfd){draining ? -1 : wake_fd[0], POLLIN, 0};
        for (int i = 0; i < n; i++) {
            struct conn *c = conns[i];
            if (c->out.failed) c->state = CLOSED; /* not in its own turn */
            pfds[2 + i] = (struct pollfd){c->fd, conn_events(c), 0};
            int64_t end = c->state == CLOSED ? now : c->deadline;
            if (end < next) next = end;
        }

        /* 2. Wait, until a descriptor is ready or the nearest deadline. */
        int64_t wait = next <= now ? 0 : next - now;
        if (wait > INT_MAX) wait = INT_MAX;
        if (!wait_ready(2 + n, (int)wait)) continue;

        /* 3. Serve the ready ones; tell the late ones. */
        now = now_ms();
        for (int i = 0; i < n; i++) {
            struct conn *c = conns[i];
            if (pfds[2 + i].revents) {
                c->ready_at = now;
                conn_turn(c, pfds[2 + i].revents);
            }
            if (c->state != CLOSED && now >= c->deadline) conn_expire(c);
            if (stopping && c->state == PROXY_HEADER && buf_len(&c->in) == 0)
                c->state = CLOSED; /* nothing has begun */
            if (c->state != CLOSED && stopping) conn_end(c);
        }
        if (all) all_at = now + 1 + nconns / 200;

        /* 4. New connections; and the signal to stop, which first lets the
         *    clients know (drain_ms), then ends (grace_ms). */
        if (pfds[0].revents) accept_at = accept_all(listener);
        if (pfds[1].revents) {
            draining = true;
            stop_at = now + drain_ms;
        }
        if (now >= stop_at && listener >= 0) {
            accept_all(listener); /* what has knocked already is let in */
            close(listener);
            listener = -1;
            stop_at = now + grace_ms;
        } else if (now >= stop_at) {
            for (int i = 0; i < nconns; i++) conns[i]->state = CLOSED;
            all = true;
        }

        /* 5. Forget the finished. */
        sweep(all);
    }
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

static void stop_on_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};

    if (pipe(wake_fd) == -1) {
        perror("pipe");
        exit(1);
    }
    fcntl(wake_fd[1], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN); /* a lost peer is an error of send(), no more */
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
}

/* As many files as max_conns needs, if the system lets us. */
static void allow_files(void)
{
    struct rlimit files;
    rlim_t need = (rlim_t)max_conns * FILES_EACH + 16;

    if (getrlimit(RLIMIT_NOFILE, &files) == -1 || files.rlim_cur >= need)
        return;
    files.rlim_cur = need < files.rlim_max ? need : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* The program's file, as the shell found it: by its path, or in $PATH. */
static void find_program(char file[PATH_MAX], const char *name)
{
    const char *path = getenv("PATH");

    snprintf(file, PATH_MAX, "%s", name);
    if (strchr(name, '/')) return;
    while (path && *path) {
        int n = (int)strcspn(path, ":");
        snprintf(file, PATH_MAX, "%.*s/%s", n > 0 ? n : 1, n > 0 ? path : ".",
                 name);
        if (access(file, X_OK) == 0) return;
        path += n;
        if (*path == ':') path++;
    }
}

/* Go where the file is; if it is a symbolic link, where it leads. What is not
 * found there is reported when it is opened. */
static void enter_folder_of(char file[PATH_MAX])
{
    for (int links = 0; links < 8; links++) {
        char *slash = strrchr(file, '/');
        if (slash) {
            *slash = '\0';
            if (chdir(slash > file ? file : "/") == -1) return;
            memmove(file, slash + 1, strlen(slash + 1) + 1);
        }
        char target[PATH_MAX];
        ssize_t n = readlink(file, target, sizeof target - 1);
        if (n == -1) return;
        target[n] = '\0';
        memcpy(file, target, (size_t)n + 1);
    }
}

/* Work in ROOT, or else beside the program, wherever it was started from. */
static void enter_folder(const char *name)
{
    const char *root = getenv("ROOT");

    if (root && *root) {
        if (chdir(root) == 0) return;
        fprintf(stderr, "ROOT=%s: %s\n", root, strerror(errno));
        exit(1);
    }
    char file[PATH_MAX];
    find_program(file, name);
    enter_folder_of(file);
}

/* Listen, say where, and serve. What the recipe needs is ready by then. */
static void serve(const char *default_host)
{
    const char *host = getenv("HOST");
    int on = 1;

    allow_files();
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line is seen when it is printed */
    stop_on_signals();
    int listener = inherited_listener();
    if (listener == -1)
        listener = listen_on(host && *host ? host : default_host);
    /* An answer is sent as it is ready, not held back to fill a packet: a
     * connection has this from the socket that it is accepted from. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    print_address(listener);
    run(listener);
    free(conns);
    free(pfds);
}

/* ==== main ================================================================ */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void read_pages(void)
{
    for (int i = 0; i < PAGES; i++) {
        FILE *file = fopen(pages[i].file, "r");
        char *room = buf_room(&pages[i].text, PAGE_MAX);
        if (!file || !room) fail(pages[i].file);
        pages[i].text.end += fread(room, 1, PAGE_MAX, file);
        if (ferror(file)) fail(pages[i].file);
        fclose(file);
    }
}

/* What a crash has left unfinished. */
static void clear_left_overs(void)
{
    DIR *folder = opendir("uploads");
    struct dirent *entry;
    char path[PATH_SIZE];

    if (!folder) fail("uploads");
    while ((entry = readdir(folder))) {
        snprintf(path, sizeof path, "uploads/%s", entry->d_name);
        if (strncmp(entry->d_name, ".upload-", 8) == 0) unlink(path);
    }
    closedir(folder);
}

/* Whoever runs here holds a shared lock. Only who is alone can know that no
 * temporary file is still being written. */
static void open_uploads(void)
{
    struct flock alone = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct flock shared = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    if (mkdir("uploads", S_IRWXU) == -1 && errno != EEXIST) fail("uploads");
    int fd =
        open("uploads/.lock", O_RDWR | O_CREAT | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd == -1) fail("uploads/.lock");
    sync_path(".", O_RDONLY | O_DIRECTORY); /* where uploads/ may be new */
    if (fcntl(fd, F_SETLK, &alone) == 0) clear_left_overs();
    if (fcntl(fd, F_SETLKW, &shared) == -1) fail("uploads/.lock");
}

static const char help[] =
    "Usage: file-upload\n"
    "Saves the files that a form or PUT uploads in uploads/.\n"
    "\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "Environment, with defaults:\n"
    "  HOST=127.0.0.1 the address to listen on; 0.0.0.0 is every IPv4 one,\n"
    "                 :: is IPv6 and IPv4\n"
    "  PORT=8080      the port; 0 takes a free one and prints it\n"
    "  ROOT=          the folder of public/ and uploads/; if not set, the\n"
    "                 program's own\n"
    "  MAX_FILE=51200 bytes of a file sent by PUT; a form has no limit\n"
    "  MAX_HELD=512   MiB of forms' parts at once; more is 503\n"
    "  IDLE_MS=75000  close a connection that is quiet for so long\n"
    "  HEAD_MS=10000  time for one whole request head\n"
    "  MAX_CONNS=10000  connections at once; more wait\n"
    "  DRAIN_MS=0     after SIGTERM, go on serving for so long\n"
    "  GRACE_MS=5000  and then finish what has begun\n"
    "  PROXY=1        require the PROXY protocol: a proxy says who calls\n"
    "  TRACE=1        show the conversation on stderr\n"
    "\n"
    "Try: curl -F userfile1=@README.md http://localhost:8080/\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("file-upload 1.0");
            exit(0);
        } else {
            fprintf(stderr, "file-upload: unknown argument %s; try --help\n",
                    argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    max_file = setting("MAX_FILE", max_file, 0, INT_MAX);
    max_held = setting("MAX_HELD", max_held, 1, 1000000);
    read_settings(8080);
    enter_folder(argv[0]);
    signal(SIGXFSZ, SIG_IGN); /* a file too large is an error of write() */
    read_pages();
    open_uploads();
    for (int i = 0; i < SYNCERS; i++) {
        start_syncer(&syncers[i]);
        if (syncers[i].fd != -1) conn_open(syncers[i].fd);
        if (!syncers[i].c) syncers[i].fd = -1;
    }
    serve("127.0.0.1");
    return 0;
}
