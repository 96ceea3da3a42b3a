/* smtp-client.c -- "Making an SMTP client".
 *
 *     make && ./smtp-client        with ../smtp-server/smtp-server running
 *
 * Read main() at the bottom first, then run(); what the client says and how it
 * takes the answers is the section called "the recipe", from say_hello() down
 * to on_reply(). What needs no socket is in mail.h. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64 /* files over 2 GiB, where a long has 32 bits */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/show.h"
#include "mail.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 16 * 1024,        /* one read() or recv() */
    OUT_HIGH = 64 * 1024,         /* add no more while this much waits */
    OUT_MAX = 2 * OUT_HIGH,       /* beyond OUT_HIGH, room for one piece more */
    REPLY_MAX = 64 * 1024,        /* one reply, all its lines */
    RCPTS_MAX = 1024 * 1024,      /* the line of recipients, or all of -t */
    HOLD = 64 * 1024,             /* a piped text is sent from here on, or at
                                   * its end; before, ^C leaves no trace */
    TYPED_MAX = 64 * 1024 * 1024, /* a text that is typed is held as a whole */
    CLOSE_MS = 2000,              /* for the answer to QUIT */
};

/* From the environment, under these names in capitals. */
static int connect_ms = 30000; /* for each address of the host */
static int reply_ms = 300000;  /* RFC 5321, 4.5.3.2; twice that for the dot */
static int noop_ms = 60000;    /* say NOOP when we were silent for so long */
static bool tracing;           /* TRACE=1: show the conversation on stderr */

static const char *server = "localhost", *service = "2525"; /* HOST, PORT */
static struct span from = {"me@me.com", 9};                 /* -f: an address */
static char message_id[33]; /* -H: random, in hex */

/* ---- one session --------------------------------------------------------- */

static enum step {
    HELLO,    /* the greeting, EHLO, perhaps HELO */
    TO,       /* waiting for the user: the recipients */
    CHECKING, /* MAIL and RCPT; the server says who has a mailbox here */
    MESSAGE,  /* waiting for the user: the message */
    ASKED,    /* DATA is out */
    SENDING,  /* 354 has come: the text goes out as it is there */
    SENT,     /* the dot is out; the next answer says whether it arrived */
    LEAVING,  /* QUIT is out */
    OVER,
} step;

/* What has been said and not yet answered, in order: a byte for each, since
 * the server answers in order. */
enum command { GREETING, EHLO, HELO, MAIL, RCPT, DATA, DOT, NOOP, QUIT };
static struct buf awaited = {.max = 2 * RCPTS_MAX};

static int sock = -1;
static struct buf in = {.max = REPLY_MAX}; /* received, not yet understood */
static struct buf out = {.max = OUT_MAX};  /* to be sent */
static int64_t now;                        /* milliseconds; read once a turn */
static int64_t since;  /* when we last spoke, or were answered */
static int status = 1; /* the program's; 0 once the message has arrived */

/* What the server offers: RFC 2920, 6152, 6531, 1870. */
static bool pipelining, eight_bit, utf8, sizes;
static uint64_t size_max = UINT64_MAX; /* bytes of a message, if it says so */

static struct buf recipients = {.max = RCPTS_MAX}; /* addresses, by ',' */
static struct span to_ask, to_answer;              /* the rest of them */
static bool refused;                               /* one of them was */

static struct buf message = {.max =
                                 TYPED_MAX}; /* the user's, not yet in `out` */
static bool message_done;                    /* its end has come */
static struct mail_text stuffing;

static int wake_fd[2];  /* the signal handler writes, run() reads */
static const char *why; /* connect_to() failed */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the terminal --------------------------------------------------------
 *
 * A terminal that edits lines itself takes 4,095 bytes a line and drops the
 * rest. So it hands us each key at once, and we do what it would have done:
 * echo, erase, kill, and ^D, which here also ends a line that has begun. */

static bool terminal;         /* a person types and sees what we print */
static struct termios cooked; /* as we found it, and leave it */
static struct termios by_key; /* as we use it */
static bool open_line;        /* the cursor stands within a line */
static size_t line_start;     /* of the line that is typed, in `message` */
static struct buf keys = {.max = READ_SIZE}; /* typed, not yet looked at */

static void restore_terminal(void)
{
    tcsetattr(0, TCSANOW, &cooked);
}

/* ^Z lends the terminal to the shell, until `fg`. */
static void on_stop(int sig)
{
    int saved = errno;
    (void)sig;
    tcsetattr(0, TCSANOW, &cooked);
    raise(SIGSTOP);
    tcsetattr(0, TCSANOW, &by_key);
    errno = saved;
}

static void take_terminal(void)
{
    struct sigaction stop = {.sa_handler = on_stop};

    if (tcgetattr(0, &cooked) == -1) return;
    terminal = true;
    by_key = cooked;
    by_key.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    by_key.c_cc[VMIN] = 1;
    by_key.c_cc[VTIME] = 0;
    atexit(restore_terminal);
    sigaction(SIGTSTP, &stop, NULL);
    tcsetattr(0, TCSANOW, &by_key);
}

static void print(const char *p, size_t n)
{
    fwrite(p, 1, n, stdout);
    if (n > 0) open_line = p[n - 1] != '\n';
}

/* What comes next begins a line of its own, also if it goes to stderr. */
static void fresh_line(void)
{
    if (open_line) print("\n", 1);
    fflush(stdout);
}

/* A line for a person to see; nothing in a pipe. */
static void say(const char *line)
{
    if (!terminal) return;
    fresh_line();
    print(line, strlen(line));
    print("\n", 1);
    fflush(stdout);
}

static void prompt(const char *words)
{
    if (!terminal) return;
    print(words, strlen(words));
    fflush(stdout);
}

static void echo(char c)
{
    char control[] = {'^', (char)(c ^ 64)};

    if (((unsigned char)c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
        print(control, 2);
    else
        print(&c, 1);
}

/* The column after a line as echo() shows it. A wide character counts as one,
 * as it does when the terminal itself edits. */
static size_t column(struct span line)
{
    size_t at = step == TO ? 4 : 0; /* "To: " */

    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if (c == '\t')
            at = (at | 7) + 1;
        else if (c < ' ' || c == 0x7f)
            at += 2;
        else if ((c & 0xC0) != 0x80) /* not a character's second byte */
            at++;
    }
    return at;
}

/* Take back what was typed of this line after its first n bytes. */
static void rub_out(size_t n)
{
    struct span line = {buf_at(&message) + line_start,
                        buf_len(&message) - line_start};
    size_t before = column(line);

    if (line.n == n) return;
    message.end -= line.n - n;
    line.n = n;
    for (size_t i = column(line); i < before; i++) print("\b \b", 3);
    open_line = step == TO || n > 0;
}

/* The length of this line without its last character, or its last word. */
static size_t without_last(bool word)
{
    const char *p = buf_at(&message) + line_start;
    size_t n = buf_len(&message) - line_start;

    if (word) {
        while (n > 0 && p[n - 1] == ' ') n--;
        while (n > 0 && p[n - 1] != ' ') n--;
    } else {
        while (n > 0 && (p[n - 1] & 0xC0) == 0x80) n--;
        if (n > 0) n--;
    }
    return n;
}

static bool is_key(char c, int key)
{
    cc_t set = cooked.c_cc[key];
    return set != (cc_t)_POSIX_VDISABLE && (cc_t)c == set;
}

static void type(char c)
{
    bool nothing = buf_len(&message) == line_start;

    if (is_key(c, VEOF)) {
        message_done = true;
    } else if (is_key(c, VERASE) || c == '\b' || c == 0x7f) {
        if (!nothing) rub_out(without_last(false));
    } else if (is_key(c, VKILL)) {
        if (!nothing) rub_out(0);
    } else if (c == 'W' - 64) {
        if (!nothing) rub_out(without_last(true));
    } else {
        buf_add(&message, &c, 1);
        echo(c);
        if (c == '\n') line_start = buf_len(&message);
    }
}

/* ---- the recipe ---------------------------------------------------------- */

/* Why nothing was sent: one line on stderr. A message whose dot is out, but has
 * no answer, has perhaps arrived. */
static void complain(const char *problem)
{
    bool unknown = step == SENT && buf_len(&out) == 0;

    fresh_line();
    fprintf(stderr, "%s port %s: %s; %s\n", server, service, problem,
            unknown ? "the message may have arrived or not" : "nothing sent");
}

/* One line about an address. */
static void complain_about(const char *problem, struct span name)
{
    struct buf line = {.max = 4 * RCPTS_MAX};

    fresh_line();
    show_text(&line, name);
    buf_puts(&line, "\"\n");
    fprintf(stderr, "%s \"", problem);
    if (!line.failed) fwrite(buf_at(&line), 1, buf_len(&line), stderr);
    buf_free(&line);
}

/* No more of this session. In the midst of a text there is no other way to end
 * it: what a close cuts off is not delivered, as no dot ended it. */
static void fail(const char *problem)
{
    if (step != LEAVING) complain(problem); /* else it is decided already */
    step = OVER;
}

/* The user does not want it after all. */
static void cancel(void)
{
    if (step != LEAVING) { /* else it is decided already */
        status = 130;
        if (terminal && step != SENT)
            say("... cancelled ...");
        else
            complain("interrupted");
    }
    step = OVER;
}

/* A command has gone into `out`; this is the answer it gets. */
static void await(enum command what)
{
    char byte = (char)what;
    buf_add(&awaited, &byte, 1);
    since = now;
}

/* Say goodbye; run() waits CLOSE_MS at most for the answer. */
static void leave(void)
{
    buf_puts(&out, "QUIT\r\n");
    await(QUIT);
    step = LEAVING;
}

/* It is not the server that keeps us from sending. */
static void stop(const char *problem)
{
    fresh_line();
    fprintf(stderr, "smtp-client: %s; nothing sent\n", problem);
    if (step == SENDING)
        step = OVER;
    else
        leave();
}

static void print_refusal(int code, struct span reply)
{
    struct buf line = {.max = 8 * REPLY_MAX};
    struct span words;

    buf_addf(&line, "Protocol Error: %d", code);
    while (mail_next_line(&reply, &words)) {
        if (words.n > 0) buf_puts(&line, " ");
        show_text(&line, words);
    }
    fresh_line();
    fprintf(stderr, "%.*s\n", (int)buf_len(&line), buf_at(&line));
    if (code == 421)
        fputs("The server ends the session: try again later.\n", stderr);
    else if (code / 100 == 4)
        fputs("This may pass: try again later.\n", stderr);
    buf_free(&line);
}

/* After 421 the server closes; a text under way is cut off by closing. */
static void give_up(int code, struct span reply)
{
    print_refusal(code, reply);
    if (code == 421 || step == SENDING)
        step = OVER;
    else
        leave();
}

/* Our name: the host's, if it is one that EHLO may carry. */
static const char *my_name(void)
{
    static char name[256];
    const char *good = "abcdefghijklmnopqrstuvwxyz0123456789-."
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (gethostname(name, sizeof name - 1) == -1 || *name == '\0' ||
        name[strspn(name, good)] != '\0')
        return "localhost";
    return name;
}

static void say_hello(enum command what)
{
    buf_addf(&out, "%s %s\r\n", what == EHLO ? "EHLO" : "HELO", my_name());
    await(what);
}

static void read_offers(struct span reply)
{
    struct span value;

    pipelining = mail_offers(reply, "PIPELINING", &value);
    eight_bit = mail_offers(reply, "8BITMIME", &value);
    utf8 = mail_offers(reply, "SMTPUTF8", &value);
    sizes = mail_offers(reply, "SIZE", &value);
    if (!sizes || !value.p) return;

    uint64_t max = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9' || max > UINT64_MAX / 10 - 1)
            return;
        max = max * 10 + (uint64_t)(value.p[i] - '0');
    }
    if (max > 0) size_max = max; /* 0: no limit (RFC 1870, 3) */
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] > 0x7f) return false;
    return true;
}

/* What is still to come of standard input, if it is a file and can be known.
 * As CRLF its line ends may be longer: this is an estimate (RFC 1870, 4). */
static uint64_t file_size(void)
{
    struct stat file;
    off_t at = lseek(0, 0, SEEK_CUR);

    if (at == -1 || fstat(0, &file) == -1 || !S_ISREG(file.st_mode) ||
        file.st_size < at)
        return 0;
    return (uint64_t)(file.st_size - at) + buf_len(&message);
}

/* The sender. The text may come much later than this; so if 8-bit bytes may be
 * in it, we say that they may. */
static void say_mail(void)
{
    bool ascii = is_ascii(from) && is_ascii(buf_span(&recipients));
    uint64_t size = file_size();

    if (!ascii && !utf8) {
        stop("the server takes only addresses in ASCII");
        return;
    }
    buf_addf(&out, "MAIL FROM:<%.*s>", (int)from.n, from.p);
    if (sizes && size > 0) buf_addf(&out, " SIZE=%" PRIu64, size);
    if (eight_bit) buf_puts(&out, " BODY=8BITMIME");
    if (!ascii) buf_puts(&out, " SMTPUTF8");
    buf_puts(&out, "\r\n");
    await(MAIL);
    to_ask = to_answer = buf_span(&recipients);
    step = CHECKING;
}

/* The recipients: all at once if the server likes that (RFC 2920), else each
 * after the answer to what was said before. */
static void say_rcpt(void)
{
    struct span to;

    while (buf_len(&out) < OUT_HIGH && (pipelining || buf_len(&awaited) == 0) &&
           mail_next_entry(&to_ask, &to)) {
        buf_addf(&out, "RCPT TO:<%.*s>\r\n", (int)to.n, to.p);
        await(RCPT);
    }
}

/* DATA is not said before the last of these answers: if one recipient is
 * refused, nothing is sent to the others either. */
static void on_rcpt(int code, struct span reply)
{
    struct span to;

    mail_next_entry(&to_answer, &to);
    if (code == 550 || code == 551 || code == 553) {
        complain_about("No Mailbox for Recipient", to);
        refused = true;
    } else if (code != 250 && code != 251) {
        print_refusal(code, reply);
        complain_about("It was about Recipient", to);
        refused = true;
    }
    if (to_answer.n > 0) return;
    if (refused) {
        leave();
        return;
    }
    say("==== Message (^D to send) ====");
    step = MESSAGE;
}

static bool add_recipients(struct span list)
{
    struct span entry, address;

    while (mail_next_entry(&list, &entry)) {
        if (!mail_address(entry, &address)) {
            complain_about("Not an Address:", entry);
            return false;
        }
        if (buf_len(&recipients) > 0) buf_puts(&recipients, ",");
        buf_add(&recipients, address.p, address.n);
    }
    return true;
}

static void start(void)
{
    if (buf_len(&recipients) > 0) { /* -t */
        say_mail();
    } else {
        prompt("To: ");
        step = TO;
    }
}

/* The first line that the user types, once it is there. */
static void take_recipients(void)
{
    struct span all = buf_span(&message);
    const char *end = all.n > 0 ? memchr(all.p, '\n', all.n) : NULL;

    if (!end && !message_done) {
        if (all.n > RCPTS_MAX) stop("too many recipients");
        return;
    }
    struct span line = {all.p, end ? (size_t)(end - all.p) : all.n};
    size_t used = line.n + (end ? 1 : 0);
    if (line.n > 0 && line.p[line.n - 1] == '\r') line.n--;
    bool good = add_recipients(line);
    buf_drop(&message, used);
    line_start = 0;
    if (recipients.failed) {
        stop("no memory left");
    } else if (good && buf_len(&recipients) > 0) {
        say_mail();
    } else if (terminal) {
        buf_free(&recipients);
        prompt("To: ");
    } else if (good) {
        stop("no recipients");
    } else {
        leave();
    }
}

/* The header of a real mail (RFC 5322, 3.6): what the user has typed of it is
 * kept, what is missing is put before. */
static void add_header(void)
{
    struct buf all = {.max = TYPED_MAX + 4 * RCPTS_MAX};
    struct span rest = buf_span(&message), head = {rest.p, mail_head(rest)};
    struct span list = buf_span(&recipients), to;
    const char *before = "To: ";
    char date[64];
    time_t t = time(NULL);

    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S %z", localtime(&t));
    if (!mail_has_field(head, "From"))
        buf_addf(&all, "From: %.*s\r\n", (int)from.n, from.p);
    if (!mail_has_field(head, "To")) {
        for (; mail_next_entry(&list, &to); before = ",\r\n ")
            buf_addf(&all, "%s%.*s", before, (int)to.n, to.p);
        buf_puts(&all, "\r\n");
    }
    if (!mail_has_field(head, "Date")) buf_addf(&all, "Date: %s\r\n", date);
    if (!mail_has_field(head, "Message-ID"))
        buf_addf(&all, "Message-ID: <%s@%s>\r\n", message_id, my_name());

    buf_add(&all, head.p, head.n);
    rest.p += head.n;
    rest.n -= head.n;
    if (head.n > 0 && !strchr("\r\n", head.p[head.n - 1]))
        buf_puts(&all, "\r\n");
    if (rest.n == 0 || !strchr("\r\n", *rest.p)) buf_puts(&all, "\r\n");
    buf_add(&all, rest.p, rest.n);
    buf_free(&message);
    message = all;
}

/* Once the text is there: the whole of it if it is typed. A pipe may bring more
 * than memory holds, so it is enough if its beginning is there. */
static void say_data(void)
{
    if (!message_done && (terminal || buf_len(&message) < HOLD)) return;
    if (!terminal &&
        buf_len(&message) == 0) { /* whoever fills the pipe failed */
        stop("no message");
        return;
    }
    say("... sending ...");
    if (*message_id) add_header();
    buf_puts(&out, "DATA\r\n");
    await(DATA);
    step = ASKED;
}

static void send_text(void)
{
    while (buf_len(&message) > 0 && buf_len(&out) < OUT_HIGH) {
        struct span piece = buf_span(&message);
        if (piece.n > READ_SIZE) piece.n = READ_SIZE;
        mail_add_text(&stuffing, &out, piece);
        buf_drop(&message, piece.n);
    }
    if (stuffing.size > size_max) {
        stop("the message is longer than the server takes");
    } else if (message_done && buf_len(&message) == 0) {
        mail_end_text(&stuffing, &out);
        await(DOT);
        step = SENT;
    }
}

/* Whatever can be said now goes into `out`. */
static void advance(void)
{
    if (step == TO && !terminal) take_recipients();
    if (step == CHECKING) say_rcpt();
    if (step == MESSAGE && buf_len(&awaited) == 0) say_data();
    if (step == SENDING) send_text();
}

/* The answer to the oldest command that has none. What the server says unasked
 * is never good. */
static void on_reply(int code, struct span reply)
{
    if (buf_len(&awaited) == 0 || (code == 421 && step != LEAVING)) {
        give_up(code, reply);
        return;
    }
    enum command what = (enum command) * buf_at(&awaited);
    buf_drop(&awaited, 1);
    since = now;

    if (step == LEAVING) {
        if (what == QUIT) step = OVER;
    } else if (what == NOOP) {
        return; /* "502 not implemented" keeps the session alive as well */
    } else if (what == RCPT) {
        on_rcpt(code, reply);
    } else if (what == GREETING && code == 220) {
        say_hello(EHLO);
    } else if (what == EHLO && code / 100 == 5) {
        say_hello(HELO); /* RFC 5321, 3.2: it may know no better */
    } else if (what == EHLO && code == 250) {
        read_offers(reply);
        start();
    } else if (what == HELO && code == 250) {
        start();
    } else if (what == DATA && code == 354) {
        step = SENDING;
    } else if (what == DOT && code == 250) {
        status = 0;
        leave();
    } else if (what != MAIL || code != 250) {
        give_up(code, reply);
    }
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

static void net_read(void)
{
    char *room = buf_room(&in, READ_SIZE);
    ssize_t n = room ? recv(sock, room, READ_SIZE, 0) : 0;
    int code;

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
        trace('S', room, (size_t)n);
        in.end += (size_t)n;
        while (step != OVER) {
            ssize_t used = mail_parse_reply(&code, buf_span(&in));
            if (used == 0) return;
            if (used < 0) {
                fail("what it says is not SMTP");
                return;
            }
            on_reply(code, (struct span){buf_at(&in), (size_t)used});
            buf_drop(&in, (size_t)used);
        }
    } else if (step == LEAVING) {
        step = OVER;
    } else if (!room) {
        fail("its reply is too long");
    } else {
        fail(n == 0 ? "the server has closed the connection" : strerror(errno));
    }
}

static void net_write(void)
{
    ssize_t n = send(sock, buf_at(&out), buf_len(&out), 0);

    if (n >= 0) {
        trace('C', buf_at(&out), (size_t)n);
        buf_drop(&out, (size_t)n);
        since = now;
    } else if (errno != EAGAIN && errno != EINTR) {
        const char *problem = strerror(errno);
        net_read(); /* it may have told why it left */
        if (step != OVER) fail(problem);
    }
}

static void use_keys(void)
{
    while (buf_len(&keys) > 0 && !message_done &&
           (step == TO || step == MESSAGE)) {
        char c = *buf_at(&keys);
        type(c);
        buf_drop(&keys, 1);
        if (step == TO && message_done)
            cancel();
        else if (step == TO && c == '\n')
            take_recipients();
    }
    fflush(stdout);
}

static bool wants_user(void)
{
    if (message_done || buf_len(&keys) > 0) return false;
    if (step == TO || (step == MESSAGE && terminal)) return true;
    return (step == MESSAGE || step == SENDING) && buf_len(&message) < HOLD;
}

static void read_user(void)
{
    struct buf *to = terminal ? &keys : &message;
    char *room = buf_room(to, READ_SIZE);
    ssize_t n = room ? read(0, room, READ_SIZE) : 0;

    if (!room)
        stop("no memory left");
    else if (n > 0)
        to->end += (size_t)n;
    else if (n == -1 && errno != EAGAIN && errno != EINTR)
        stop(strerror(errno)); /* what has come is not the whole message */
    else if (n == 0 && terminal)
        cancel(); /* hung up; ^D comes as a byte */
    else if (n == 0)
        message_done = true;
}

/* When the present wait has lasted too long. */
static int64_t deadline(void)
{
    if (step == LEAVING) return since + CLOSE_MS;
    if (buf_len(&awaited) > 0 || buf_len(&out) > 0)
        return since + (int64_t)reply_ms * (step == SENT ? 2 : 1);
    if (step == TO || step == MESSAGE) return since + noop_ms;
    return INT64_MAX; /* in the text, which we can only wait for */
}

static void on_deadline(void)
{
    if (step == LEAVING) {
        step = OVER;
    } else if (buf_len(&awaited) > 0 || buf_len(&out) > 0) {
        fail("no answer within REPLY_MS");
    } else {
        buf_puts(&out, "NOOP\r\n");
        await(NOOP);
    }
}

static void run(void)
{
    enum { USER, NET, WAKE, SLOTS };
    struct pollfd pfds[SLOTS];

    while (step != OVER) {
        /* 1. Use what is there, and say what we wait for. */
        if (terminal) use_keys();
        advance();
        if (message.failed || out.failed || awaited.failed || recipients.failed)
            fail("too long, or no memory left");
        if (step == OVER) return;
        short net = buf_len(&out) > 0 ? POLLIN | POLLOUT : POLLIN;
        pfds[USER] = (struct pollfd){wants_user() ? 0 : -1, POLLIN, 0};
        pfds[NET] = (struct pollfd){sock, net, 0};
        pfds[WAKE] = (struct pollfd){wake_fd[0], POLLIN, 0};

        /* 2. Wait for one of them, or the deadline. */
        int64_t wait = deadline() - now_ms();
        if (wait < 0) wait = 0;
        if (wait > INT_MAX) wait = INT_MAX;
        if (poll(pfds, SLOTS, deadline() == INT64_MAX ? -1 : (int)wait) == -1) {
            if (errno == EINTR) continue;
            fail(strerror(errno));
            return;
        }

        /* 3. The signal first: ^C also ends the program that fills our pipe,
         *    and its end must not be taken for the message's. So the user is
         *    read last, and what that brings goes out next time. */
        now = now_ms();
        if (pfds[WAKE].revents) cancel();
        if (step != OVER && pfds[NET].revents & ~POLLOUT) net_read();
        if (step != OVER && pfds[NET].revents & POLLOUT) net_write();
        if (step != OVER && pfds[USER].revents) read_user();
        if (step != OVER && now >= deadline()) on_deadline();
    }
}

static const char help[] =
    "Usage: smtp-client [-f FROM] [-t RCPT]... [-H] [HOST [PORT]]\n"
    "Sends a mail: asks for the recipients and the message. In a pipe the\n"
    "first line is the recipients and the rest is the message.\n"
    "\n"
    "  -f FROM        the sender; me@me.com\n"
    "  -t RCPT        recipients, by , or ; and all of the input is the "
    "message\n"
    "  -H             put From, To, Date and Message-ID before the message\n"
    "  -h, --help     this text\n"
    "  --version      the version\n"
    "\n"
    "Environment, with defaults:\n"
    "  HOST=localhost    the server, if not named as an argument\n"
    "  PORT=2525         its port\n"
    "  CONNECT_MS=30000  time to connect\n"
    "  REPLY_MS=300000   time for each answer\n"
    "  NOOP_MS=60000     while you type, tell the server that we are here\n"
    "  TRACE=1           show the conversation on stderr\n"
    "\n"
    "Exit status: 0 sent, 1 failed, 2 wrong usage, 130 cancelled.\n"
    "\n"
    "Try: echo 'hooray :)' | smtp-client -t you@example.com\n";

static void usage(const char *problem, const char *what)
{
    fprintf(stderr, "smtp-client: %s %s; try --help\n", problem, what);
    exit(2);
}

static void take_option(char option, char *value)
{
    struct span address = span_of(value);

    size_t before = buf_len(&recipients);

    if (option == 't' && !add_recipients(address)) exit(2);
    if (option == 't' && buf_len(&recipients) > before) return;
    if (option == 'f' && mail_address(address, &from)) return;
    complain_about("Not an Address:", address);
    exit(2);
}

static void read_options(int argc, char **argv)
{
    int names = 0;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "-f") == 0 || strcmp(arg, "-t") == 0) {
            if (++i == argc) usage("no address after", arg);
            take_option(arg[1], argv[i]);
        } else if (strcmp(arg, "-H") == 0) {
            *message_id = '?'; /* see make_message_id() */
        } else if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(arg, "--version") == 0) {
            puts("smtp-client 1.0");
            exit(0);
        } else if (arg[0] == '-' || names == 2) {
            usage("unknown argument", arg);
        } else { /* as if the environment said so */
            setenv(names++ == 0 ? "HOST" : "PORT", arg, 1);
        }
    }
}

static void read_settings(void)
{
    static char number[8];
    const char *name = getenv("HOST");

    if (name && *name) server = name;
    snprintf(number, sizeof number, "%d", setting("PORT", 2525, 1, 65535));
    service = number;
    connect_ms = setting("CONNECT_MS", connect_ms, 1, INT_MAX);
    reply_ms = setting("REPLY_MS", reply_ms, 1, INT_MAX);
    noop_ms = setting("NOOP_MS", noop_ms, 1, INT_MAX);
    tracing = setting("TRACE", 0, 0, 1);
}

/* No two messages in the world may have the same (RFC 5322, 3.6.4). */
static void make_message_id(void)
{
    unsigned char random[16];
    int fd = open("/dev/urandom", O_RDONLY);

    if (fd != -1) errno = EIO; /* why, if fewer bytes come */
    if (fd == -1 || read(fd, random, sizeof random) != sizeof random) {
        perror("/dev/urandom");
        exit(1);
    }
    close(fd);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(message_id + 2 * i, 3, "%02x", random[i]);
}

/* If 0, 1 or 2 was closed, the next descriptor would take its place: we would
 * read what the server says as if the user typed it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd == -1) {
        perror("/dev/null");
        exit(1);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    read_options(argc, argv);
    read_settings();
    if (*message_id) make_message_id();
    wake_on_signals();
    sock = connect_to(server, service);
    if (isatty(0) && isatty(1)) {
        take_terminal();
        signal(SIGQUIT, on_signal); /* to give it back */
    }
    now = now_ms();
    struct pollfd wake = {wake_fd[0], POLLIN, 0};
    if (poll(&wake, 1, 0) == 1) {
        cancel();
    } else if (sock == -1) {
        fprintf(stderr, "%s port %s: %s\n", server, service, why);
    } else {
        await(GREETING);
        run();
    }
    return status;
}
