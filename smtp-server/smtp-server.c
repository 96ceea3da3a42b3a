/* smtp-server.c -- "Creating an SMTP server".
 *
 *     make && ./smtp-server        then: nc localhost 2525
 *
 * Read main() at the bottom first, then run(), then conn_turn(); the recipe
 * itself is the section called "the recipe", and begins with its table of
 * verbs. What a client may send is taken apart in smtp.c, and what is needed to
 * mean a 250 is in letters.c. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/proxy.h"
#include "../common/show.h"
#include "letters.h"
#include "smtp.h"

/* ---- settings ----------------------------------------------------------- */

enum {
    READ_SIZE = 64 * 1024, /* one recv() per connection and turn */
    OUT_HIGH = 64 * 1024,  /* read no more while this much waits to go out */
    IN_MAX = 2 * READ_SIZE,
    OUT_MAX = 2 * OUT_HIGH, /* beyond OUT_HIGH, room for one more answer */
    QUEUE_MAX = 1 << 24,    /* bytes that may wait for one syncer */
    RCPTS_MAX = 1000,       /* of one message; RFC 5321 asks for 100 */
    ENVELOPE_MAX = 1 << 19, /* bytes of its sender and recipients */
    RCPTS_SOME = 64,        /* so many are always allowed */
    GREETED_MAX = 128,      /* bytes of the client's name that it hears again */
    ERRORS_MAX = 20,        /* commands without sense, before we hang up */
    NAME_BYTES = 255,       /* of a user's or a host's name */
    SYNCERS_MAX = 64,
    BATCH_MAX = 32, /* messages that one syncer syncs together */
    ANSWERS_SIZE = BATCH_MAX * 4 + 1, /* "250" and a line end for each */
    FILES_EACH = 2,          /* descriptors that a connection may need */
    OWN_CONNS = SYNCERS_MAX, /* places for connections to our own helpers */
    SHOWS_IP = 1, /* who a client is shows elsewhere than in the trace */
};

enum {
    SYNC_MS = 600000,      /* for the disk; clients do not wait longer */
    SEND_MS = 30000,       /* for the next bytes of an answer to get out */
    LINGER_MS = 2000,      /* for the peer to close, or send, after we have */
    LINGER_MAX_MS = 30000, /* in all, for a peer that goes on sending */
    STOP_LOOK_MS = 10,     /* between two looks round while we stop */
    ACCEPT_PAUSE_MS = 100, /* before accept() is tried again, out of files */
    BUSY_MS = 250,         /* heard from so lately, a connection is busy */
};

/* From the environment, under these names in capitals. */
static int port;              /* to listen on; 0: any free one */
static int idle_ms = 300000;  /* for the next command, or the next text */
static int head_ms = 10000;   /* for one whole command, however it trickles */
static int max_conns = 10000; /* more wait until one has closed */
static int drain_ms = 0;      /* after SIGTERM: go on for so long */
static int grace_ms = 5000;   /* and then, to finish what has begun */
static bool proxied;          /* PROXY=1: a proxy says who the client is */
static bool tracing;          /* TRACE=1: show the conversation on stderr */

static int max_size = 10 * 1024 * 1024; /* bytes of a message */
static int max_held = 512;              /* MiB of envelopes, of all together */
static int max_syncers = 8;             /* SYNCERS */
static struct names users, hosts;

/* ---- one connection ----------------------------------------------------- */

enum conn_state {
    PROXY_HEADER, /* PROXY=1: it has still to come */
    IDLE,         /* between commands: not a byte of the next one is here */
    READ_COMMAND, /* part of a command line is in c->in */
    READ_DATA,    /* the text of a message, up to its dot */
    SYNCER,       /* no client: one of our own helpers, see "syncers" */
    SYNCING,      /* a syncer has the message; the client waits for its 250 */
    REPLY,        /* the last answer is in c->out; then we close */
    LINGER,       /* all sent and shut down; waiting for the peer's close */
    CLOSED,       /* run() frees it at the end of the turn */
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

    /* The session. */
    bool greeted;  /* HELO or EHLO has come */
    bool extended; /* and it was EHLO */
    bool typed;    /* the present line ended in a bare LF */
    bool too_long; /* the present line is, and its rest is skipped */
    int errors;    /* commands that made no sense */

    /* The message. */
    struct buf envelope; /* "JOB FROM\n", then "USER RCPT\n" for each */
    int nrcpts;
    bool utf8;             /* MAIL said SMTPUTF8 */
    int file;              /* its first letter, as it is written; -1: none */
    int64_t size;          /* bytes of text so far */
    int failure;           /* what the dot will be answered, if not 250 */
    struct smtp_text text; /* where in the text we are */

    struct buf jobs; /* of a SYNCER: the envelopes it has not answered */
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

/* ---- syncers: processes that wait for the disk -------------------------- */

/* fsync() may take as long as it likes, and poll() knows nothing of it. So it
 * is called by helper processes, each at the other end of a socket that stands
 * among the connections: to run() a syncer is one more peer that takes some
 * time to answer. It is sent envelopes, and answers "250" to each in turn.
 * Eight of them wait for the disk together, and what is waited for together a
 * disk writes at one go. */

static struct conn *syncers[SYNCERS_MAX];
static int nsyncers;
static long long last_job; /* the number of a message */
static int syncer_fd = -1; /* conn_open() is given this one, no client's */

/* Delivers the first messages of those that wait in IN. Returns the length of
 * the answers. They need no memory that could be missing. */
static size_t deliver_some(struct buf *in, char answers[ANSWERS_SIZE])
{
    struct job jobs[BATCH_MAX];
    struct span rest = buf_span(in);
    size_t length = 0;
    int n = 0;

    while (n < BATCH_MAX && next_job(&rest, &jobs[n])) n++;
    deliver(jobs, n);
    for (int i = 0; i < n; i++)
        length += (size_t)snprintf(answers + length, ANSWERS_SIZE - length,
                                   "%d\n", jobs[i].status);
    buf_drop(in, buf_len(in) - rest.n);
    return length;
}

/* All that a syncer does. It ends when the server has. */
static void syncer_main(int fd)
{
    struct buf in = {.max = QUEUE_MAX + READ_SIZE};
    char answers[ANSWERS_SIZE];
    size_t length;

    signal(SIGINT, SIG_IGN); /* ^C is for the server, which closes our socket */
    signal(SIGTERM, SIG_IGN);
    for (int i = 3; i < 2 * max_conns + 64; i++)
        if (i != fd) close(i); /* the clients' sockets are none of ours */
    if (!lock_for_syncer()) _exit(0);

    for (;;) {
        char *room = buf_room(&in, READ_SIZE);
        ssize_t n = room ? read(fd, room, READ_SIZE) : 0;
        if (n == -1 && errno == EINTR) continue;
        if (n <= 0) _exit(0);
        in.end += (size_t)n;
        while ((length = deliver_some(&in, answers)) > 0)
            if (!write_all(fd, answers, length)) _exit(0);
    }
}

/* ---- the recipe --------------------------------------------------------- */

/* "250 2.1.0 OK". The code in the middle, RFC 2034, goes to those who said
 * EHLO; NULL if there is none. */
static void reply(struct conn *c, int code, const char *detail,
                  const char *text)
{
    bool detailed = c->extended && detail;

    buf_addf(&c->out, "%d %s%s%s\r\n", code, detailed ? detail : "",
             detailed ? " " : "", text);
    if (code >= 500 && code <= 504) c->errors++;
}

static void forget_message(struct conn *c)
{
    buf_free(&c->envelope);
    c->envelope.failed = false;
    c->nrcpts = 0;
}

static void greet(struct conn *c, struct span name)
{
    int n = name.n < GREETED_MAX ? (int)name.n : GREETED_MAX;

    c->greeted = true;
    forget_message(c);
    if (name.n == 0)
        buf_puts(&c->out, "OK\r\n");
    else
        buf_addf(&c->out, "%.*s greets %.*s [%s]\r\n", (int)hosts.list[0].n,
                 hosts.list[0].p, n, name.p, c->ip);
}

static void helo(struct conn *c, struct span name)
{
    c->extended = false;
    buf_puts(&c->out, "250 ");
    greet(c, name);
}

static void ehlo(struct conn *c, struct span name)
{
    c->extended = true;
    buf_puts(&c->out, "250-");
    greet(c, name);
    buf_addf(&c->out,
             "250-PIPELINING\r\n"
             "250-SIZE %d\r\n"
             "250-8BITMIME\r\n"
             "250-SMTPUTF8\r\n"
             "250 ENHANCEDSTATUSCODES\r\n",
             max_size);
}

/* A line has been added to the envelope, if there was memory for it. */
static void reply_added(struct conn *c, const char *detail)
{
    if (c->envelope.failed) {
        reply(c, 452, "4.3.1", "no memory, try again later");
        forget_message(c);
    } else {
        reply(c, 250, detail, "OK");
    }
}

/* The parameters of MAIL: false if one was answered with a refusal. */
static bool mail_params(struct conn *c, struct span args)
{
    struct span name, value;
    uint64_t size = 0;

    c->utf8 = false;
    while (smtp_param(&args, &name, &value)) {
        bool known = true, good = true;

        if (span_is_nocase(name, "SIZE"))
            good = smtp_size(value, &size);
        else if (span_is_nocase(name, "BODY"))
            good = span_is_nocase(value, "7BIT") ||
                   span_is_nocase(value, "8BITMIME");
        else if (span_is_nocase(name, "SMTPUTF8"))
            good = c->utf8 = value.p == NULL;
        else
            known = false;

        if (!known)
            reply(c, 555, "5.5.4", "parameter not recognized");
        else if (!good)
            reply(c, 501, "5.5.4", "parse error in parameter");
        else if (size > (uint64_t)max_size)
            reply(c, 552, "5.3.4", "message too large");
        else
            continue;
        return false;
    }
    return true;
}

static void mail(struct conn *c, struct span args)
{
    struct smtp_path from;

    if (buf_len(&c->envelope) > 0) {
        reply(c, 503, "5.5.1", "Bad sequence: there is a sender already");
    } else if (!smtp_path(&args, "FROM:", &from)) {
        reply(c, 501, "5.5.4", "parse error in mail command");
    } else if (!mail_params(c, args)) {
        return;
    } else if (from.utf8 && !c->utf8) {
        reply(c, 553, "5.6.7", "SMTPUTF8 is needed");
    } else {
        buf_addf(&c->envelope, "%lld %.*s\n", ++last_job, (int)from.address.n,
                 from.address.p);
        reply_added(c, "2.1.0");
    }
}

static bool is_host(struct span name)
{
    for (int i = 0; i < hosts.n; i++)
        if (span_same_nocase(hosts.list[i], name)) return true;
    return false;
}

/* "you+451" asks us to answer 451: so do those who test their own programs. */
static int asked_code(struct span tag)
{
    if (tag.n != 3 || (tag.p[0] != '4' && tag.p[0] != '5')) return 0;
    for (size_t i = 1; i < 3; i++)
        if (tag.p[i] < '0' || tag.p[i] > '9') return 0;
    return (tag.p[0] - '0') * 100 + (tag.p[1] - '0') * 10 + tag.p[2] - '0';
}

/* Whose mailbox is it? -1: nobody's. Postmaster is the first user, with any
 * of our hosts or none: RFC 5321, 4.5.1. */
static int find_mailbox(const struct smtp_path *path, int *code)
{
    char text[SMTP_LINE_MAX];
    struct span name = {text, smtp_unquote(text, path->local)};

    *code = 0;
    if (path->domain.n > 0 && !is_host(path->domain)) return -1;
    if (span_is_nocase(name, "postmaster")) return 0;
    int user = find_name(&users, name);
    const char *plus = memchr(text, '+', name.n);
    if (user == -1 && plus) {
        size_t n = (size_t)(plus - text);
        user = find_name(&users, (struct span){text, n});
        *code = asked_code((struct span){plus + 1, name.n - n - 1});
        if (*code == 0) return -1;
    }
    return user;
}

/* Whether that is a recipient already; the case of a domain does not count. */
static bool has_rcpt(const struct conn *c, int user, struct span address)
{
    struct span rest = buf_span(&c->envelope), name, rcpt;

    next_line(&rest, &name, &rcpt); /* the sender */
    while (next_line(&rest, &name, &rcpt))
        if (find_name(&users, name) == user && span_same_nocase(rcpt, address))
            return true;
    return false;
}

/* Whether all connections together hold as much as they may. One may have
 * RCPTS_MAX recipients; ten thousand must not hold all the memory there is.
 * Looked at for one recipient of RCPTS_SOME. */
static bool holds_too_much(const struct conn *c)
{
    size_t sum = 0;

    if (c->nrcpts % RCPTS_SOME != RCPTS_SOME - 1) return false;
    for (int i = 0; i < nconns; i++) sum += conns[i]->envelope.cap;
    return sum / (1024 * 1024) >= (size_t)max_held;
}

/* The answer to a message that cannot be kept. */
static void reply_failure(struct conn *c, int code)
{
    if (code == 552)
        reply(c, 552, "5.3.4", "message too large");
    else if (code == 452)
        reply(c, 452, "4.3.1", "no room, try again later");
    else
        reply(c, 451, "4.3.0", "cannot store it, try again later");
}

static void rcpt(struct conn *c, struct span args)
{
    struct smtp_path to;
    int user, code;

    if (!smtp_path(&args, "TO:", &to) || to.address.n == 0) {
        reply(c, 501, "5.5.4", "parse error in rcpt command");
    } else if (args.n > 0) {
        reply(c, 555, "5.5.4", "parameter not recognized");
    } else if (to.utf8 && !c->utf8) {
        reply(c, 553, "5.6.7", "SMTPUTF8 is needed");
    } else if ((user = find_mailbox(&to, &code)) == -1) {
        reply(c, 550, "5.1.1", "mailbox not available");
    } else if (code != 0) {
        reply(c, code, code < 500 ? "4.0.0" : "5.0.0", "as you asked");
        if (code == 421) conn_enter(c, REPLY, SEND_MS); /* that is its sense */
    } else if (has_rcpt(c, user, to.address)) {
        reply(c, 250, "2.1.5", "OK");
    } else if (c->nrcpts == RCPTS_MAX) {
        reply(c, 452, "4.5.3", "Too many recipients");
    } else if (holds_too_much(c)) {
        reply_failure(c, 452);
    } else {
        struct span name = users.list[user];
        buf_addf(&c->envelope, "%.*s %.*s\n", (int)name.n, name.p,
                 (int)to.address.n, to.address.p);
        c->nrcpts++;
        reply_added(c, "2.1.5");
    }
}

/* Closes the letter that is being written, and removes it. */
static void drop_letter(struct conn *c)
{
    close(c->file);
    c->file = -1;
    unlink(first_letter(buf_span(&c->envelope)).path);
}

static void data(struct conn *c, struct span none)
{
    struct letter first = first_letter(buf_span(&c->envelope));

    (void)none;
    c->file = create_letter(&first);
    if (c->file == -1) {
        reply_failure(c, report(first.path));
        forget_message(c);
        return;
    }
    reply(c, 354, NULL, "OK");
    c->size = 0;
    c->failure = 0;
    smtp_text_start(&c->text, c->typed);
    conn_enter(c, READ_DATA, idle_ms);
}

static void rset(struct conn *c, struct span none)
{
    (void)none;
    forget_message(c);
    reply(c, 250, "2.0.0", "OK");
}

static void quit(struct conn *c, struct span none)
{
    (void)none;
    reply(c, 221, "2.0.0", "Bye!");
    conn_enter(c, REPLY, SEND_MS);
}

/* How far a message has got; most verbs need the one before. */
enum stage { START, GREETED, SENDER, RECIPIENT };

static enum stage stage(const struct conn *c)
{
    if (!c->greeted) return START;
    if (buf_len(&c->envelope) == 0) return GREETED;
    return c->nrcpts == 0 ? SENDER : RECIPIENT;
}

/* The protocol at a glance. Verbs without a function have one answer for all.
 * Who has a mailbox here is not told to everybody: RFC 5321, 7.3. */
static const struct verb {
    const char *name;
    enum stage needs;
    enum { NO, MAY, MUST } argument;
    void (*run)(struct conn *c, struct span argument);
    int code;
    const char *detail, *text;
} verbs[] = {
    {"helo", START, MAY, .run = helo},    /* the client's own name */
    {"ehlo", START, MAY, .run = ehlo},    /* the same, and: what can you do? */
    {"mail", GREETED, MUST, .run = mail}, /* from:<sender> */
    {"rcpt", SENDER, MUST, .run = rcpt},  /* to:<recipient>, once for each */
    {"data", RECIPIENT, NO, .run = data}, /* the text follows, up to its dot */
    {"rset", START, NO, .run = rset},     /* forget this message */
    {"quit", START, NO, .run = quit},
    {"noop", START, MAY, NULL, 250, "2.0.0", "OK"},
    {"vrfy", START, MUST, NULL, 252, "2.0.0", "Send it some mail, and see"},
    {"help", START, MAY, NULL, 214, "2.0.0",
     "Commands: HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"},
    {"expn", START, MAY, NULL, 502, "5.5.1", "Not implemented."},
    {"turn", START, MAY, NULL, 502, "5.5.1", "Not implemented."},
    {"starttls", START, MAY, NULL, 502, "5.5.1", "Not implemented."},
};

static const struct verb *find_verb(struct span name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (span_is_nocase(name, verbs[i].name)) return &verbs[i];
    return NULL;
}

static void handle_command(struct conn *c, struct span line)
{
    static const char *const expected[] = {"HELO or EHLO expected.",
                                           "MAIL expected", "RCPT expected",
                                           "DATA expected"}; /* by the stage */
    struct span name, argument;
    char text[80];

    if (!smtp_command(line, &name, &argument)) {
        reply(c, 501, "5.5.2", "syntax error");
        return;
    }
    const struct verb *verb = find_verb(name);
    enum stage at = stage(c);
    if (!verb) {
        reply(c, 500, "5.5.1", "Unrecognized command.");
    } else if (at < verb->needs) {
        snprintf(text, sizeof text, "Bad sequence: %s", expected[at]);
        reply(c, 503, "5.5.1", text);
    } else if (verb->argument == MUST && argument.n == 0) {
        snprintf(text, sizeof text, "incomplete %s command", verb->name);
        reply(c, 501, "5.5.4", text);
    } else if (verb->argument == NO && argument.n > 0) {
        reply(c, 501, "5.5.4", "syntax error: no argument expected");
    } else if (verb->run) {
        verb->run(c, argument);
    } else {
        reply(c, verb->code, verb->detail, verb->text);
    }
}

/* The message is on the disk, or it is not. */
static void finish(struct conn *c, int status)
{
    if (status == 250) {
        reply(c, 250, "2.0.0", "OK");
        c->errors = 0;
    } else {
        reply_failure(c, status);
    }
    forget_message(c);
    conn_enter(c, IDLE, idle_ms);
    c->ready_at = now;
}

static struct conn *least_busy(void)
{
    struct conn *best = NULL;

    for (int i = 0; i < nsyncers; i++)
        if (syncers[i]->state == SYNCER &&
            (!best || buf_len(&syncers[i]->jobs) < buf_len(&best->jobs)))
            best = syncers[i];
    return best;
}

static void fail(struct conn *c, int code)
{
    drop_letter(c);
    c->failure = code;
}

static void save_text(struct conn *c, struct span text)
{
    if (c->failure) return; /* it is thrown away, up to the dot */
    c->size += (int64_t)text.n;
    if (c->size > max_size)
        fail(c, 552);
    else if (!write_all(c->file, text.p, text.n))
        fail(c, report(first_letter(buf_span(&c->envelope)).path));
}

/* A syncer's job is in both, or in none: the answers tell only their order. */
static bool add_job(struct conn *syncer, struct span envelope)
{
    struct buf *jobs = &syncer->jobs;

    if (buf_len(jobs) > QUEUE_MAX - envelope.n ||
        !buf_room(&syncer->out, envelope.n) || !buf_room(jobs, envelope.n)) {
        jobs->failed = syncer->out.failed = false;
        return false;
    }
    buf_add(jobs, envelope.p, envelope.n);
    buf_add(&syncer->out, envelope.p, envelope.n);
    return true;
}

/* All the text is here. Without a syncer the server itself waits for the disk,
 * and all clients with it. */
static void hand_over(struct conn *c)
{
    struct conn *syncer = least_busy();

    buf_puts(&c->envelope, "\n");
    struct job j = {buf_span(&c->envelope), 451};
    bool room = !c->envelope.failed && (!syncer || add_job(syncer, j.envelope));
    if (!room) {
        drop_letter(c);
        finish(c, 451);
        return;
    }
    close(c->file); /* what goes wrong here, fsync() will tell */
    c->file = -1;
    if (syncer) {
        conn_enter(c, SYNCING, SYNC_MS);
    } else {
        deliver(&j, 1);
        finish(c, j.status);
    }
}

/* The client may have left meanwhile. */
static void finish_job(struct span envelope, int status)
{
    for (int i = 0; i < nconns; i++) { /* those that wait stand in front */
        struct conn *c = conns[i];
        if (c->state != SYNCING || buf_len(&c->envelope) != envelope.n ||
            memcmp(buf_at(&c->envelope), envelope.p, envelope.n) != 0)
            continue;
        finish(c, status);
        return;
    }
}

/* ---- users and hosts ---------------------------------------------------- */

/* A list from the environment, "you,another". */
static void read_names(struct names *names, const char *variable,
                       const char *text)
{
    const char *value = getenv(variable);
    bool good = true;

    if (value && *value) text = value;
    names->n = 0;
    while (good) {
        size_t n = strcspn(text, ",");
        good = n > 0 && n <= NAME_BYTES && names->n < NAMES_MAX &&
               text[0] != '.' && text[0] != '-';
        for (size_t i = 0; i < n; i++) /* fit for a path and for SMTP */
            if ((unsigned char)text[i] <= ' ' || strchr("/\\@+<>\"", text[i]))
                good = false;
        if (good) names->list[names->n++] = (struct span){text, n};
        if (text[n] == '\0') break;
        text += n + 1;
    }
    if (good) return;
    fprintf(stderr, "%s: not a list of 1 to %d names\n", variable, NAMES_MAX);
    exit(2);
}

/* ---- the connection's life: these differ from server to server ---------- */

static void conn_open(int fd); /* below: a syncer's socket is opened here */

/* A new helper, and the other end of its socket among the connections. */
static void start_syncer(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) return;
    pid_t pid = fork();
    if (pid == 0) syncer_main(pair[1]);
    close(pair[1]);
    if (pid == -1) {
        close(pair[0]);
        return;
    }
    syncer_fd = pair[0];
    conn_open(pair[0]);
    syncer_fd = -1;
}

/* A syncer takes a place among the connections, but no client's. */
static void syncer_started(struct conn *c)
{
    syncers[nsyncers++] = c;
    max_conns++;
    c->own = true;
    c->out.max = c->jobs.max = QUEUE_MAX + ENVELOPE_MAX;
    conn_enter(c, SYNCER, INT_MAX);
}

/* A syncer that is killed may have stored a message and not said so; then the
 * client will send it twice, which is better than never: RFC 1047. */
static void syncer_stopped(struct conn *c)
{
    struct span rest = buf_span(&c->jobs);
    struct job j;
    int i = 0;

    while (next_job(&rest, &j)) {
        settle(&j);
        finish_job(j.envelope, 451);
    }
    buf_free(&c->jobs);
    while (syncers[i] != c) i++;
    syncers[i] = syncers[--nsyncers];
    max_conns--;
}

/* There are as many syncers as sessions, up to max_syncers. */
static void conn_start(struct conn *c)
{
    c->file = -1;
    if (c->fd == syncer_fd) {
        syncer_started(c);
        return;
    }
    if (nsyncers < max_syncers && nsyncers <= nconns - nsyncers) start_syncer();
    c->envelope.max = ENVELOPE_MAX;
    buf_addf(&c->out, "220 %.*s\r\n", (int)hosts.list[0].n, hosts.list[0].p);
    conn_enter(c, IDLE, idle_ms);
}

static void conn_stop(struct conn *c)
{
    if (c->own) syncer_stopped(c);
    if (c->file != -1) drop_letter(c);
    buf_free(&c->envelope);
}

/* Of a client that sends several messages at once no more is read than can be
 * held while the first is SYNCING. */
static bool conn_reading(const struct conn *c)
{
    return c->state <= SYNCER && buf_len(&c->in) < READ_SIZE;
}

/* The last word to a client: RFC 5321, 3.8. */
static void hang_up(struct conn *c, const char *detail, const char *why)
{
    if (c->file != -1) drop_letter(c);
    reply(c, 421, detail, why);
    conn_enter(c, REPLY, SEND_MS);
}

/* The functions below use the front of c->in, and return how many bytes. */

static size_t skip_line(struct conn *c)
{
    struct span in = buf_span(&c->in);
    const char *end = memchr(in.p, '\n', in.n);

    if (!end) return in.n;
    c->too_long = false;
    reply(c, 500, "5.5.2", "Line too long.");
    conn_enter(c, IDLE, idle_ms);
    return (size_t)(end - in.p) + 1;
}

static size_t read_command(struct conn *c)
{
    struct span line;
    ssize_t used = smtp_line(buf_span(&c->in), &line, &c->typed);

    if (used <= 0) {
        if (c->state == IDLE) conn_enter(c, READ_COMMAND, head_ms);
        c->too_long = used < 0;
        return c->too_long ? skip_line(c) : 0;
    }
    conn_enter(c, IDLE, idle_ms);
    handle_command(c, line);
    if (c->errors >= ERRORS_MAX && c->state == IDLE) {
        hang_up(c, "4.7.0", "Too many errors.");
    }
    return (size_t)used;
}

static size_t read_data(struct conn *c)
{
    struct span text;
    size_t used = smtp_text_next(&c->text, buf_span(&c->in), &text);

    save_text(c, text);
    if (!c->text.done)
        c->deadline = used > 0 ? now + idle_ms : c->deadline;
    else if (c->failure)
        finish(c, c->failure);
    else
        hand_over(c);
    return used;
}

static size_t read_answer(struct conn *c)
{
    struct span in = buf_span(&c->in), rest = buf_span(&c->jobs);
    const char *end = memchr(in.p, '\n', in.n);
    struct job j;

    if (!end || !next_job(&rest, &j)) return 0;
    finish_job(j.envelope, (int)strtol(in.p, NULL, 10));
    buf_drop(&c->jobs, buf_len(&c->jobs) - rest.n);
    return (size_t)(end - in.p) + 1;
}

/* Go on with what is in c->in, as long as c->out has room. */
static void conn_advance(struct conn *c)
{
    while (c->state <= SYNCER && buf_len(&c->in) > 0 &&
           buf_len(&c->out) < OUT_HIGH) {
        size_t used = c->state == SYNCER      ? read_answer(c)
                      : c->state == READ_DATA ? read_data(c)
                      : c->too_long           ? skip_line(c)
                                              : read_command(c);
        if (used == 0) return;
        buf_drop(&c->in, used);
    }
}

static void conn_expire(struct conn *c)
{
    if (c->state == SYNCER)
        conn_enter(c, SYNCER, INT_MAX);
    else if (c->state <= READ_DATA && buf_len(&c->out) == 0)
        hang_up(c, "4.4.2", "Too slow.");
    else
        c->state = CLOSED;
}

/* The server stops: a message that is being sent is finished, and the syncers
 * stay until the last client has gone. */
static void conn_end(struct conn *c)
{
    if (c->state == IDLE || c->state == READ_COMMAND)
        hang_up(c, "4.3.2", "The server stops.");
    else if (c->state == SYNCER && nconns == nsyncers)
        c->state = CLOSED;
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

static const char help[] =
    "Usage: smtp-server\n"
    "Takes mail for you and another at localhost and example.com, and puts it\n"
    "into the folders mail/you and mail/another.\n"
    "\n"
    "  -h, --help       this text\n"
    "  --version        the version\n"
    "\n"
    "Environment, with defaults:\n"
    "  HOST=127.0.0.1   the address to listen on; :: is IPv6 and IPv4\n"
    "  PORT=2525        the port; 0 takes a free one and prints it\n"
    "  USERS=you,another  those who have a mailbox\n"
    "  HOSTS=localhost,example.com  our names; the first is in the greeting\n"
    "  MAX_SIZE=10485760  bytes of one message; more is answered 552\n"
    "  MAX_HELD=512     MiB of recipients of all clients; more is answered "
    "452\n"
    "  SYNCERS=8        helper processes that wait for the disk; 0 to 64\n"
    "  ROOT=            the folder with mail/ in it; else the program's own\n"
    "  IDLE_MS=300000   hang up on a client that is quiet for so long\n"
    "  HEAD_MS=10000    time for one whole command line\n"
    "  MAX_CONNS=10000  connections at once; more wait\n"
    "  DRAIN_MS=0       after SIGTERM, go on serving for so long\n"
    "  GRACE_MS=5000    and then finish what has begun\n"
    "  PROXY=1          require the PROXY protocol: a proxy says who calls\n"
    "  TRACE=1          show the conversation on stderr\n"
    "\n"
    "Try: nc localhost 2525, and type help\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("smtp-server 1.0");
            exit(0);
        } else {
            fprintf(stderr, "smtp-server: unknown argument %s; try --help\n",
                    argv[i]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    max_size = setting("MAX_SIZE", max_size, 1, INT_MAX);
    max_held = setting("MAX_HELD", max_held, 1, 1000000);
    max_syncers = setting("SYNCERS", max_syncers, 0, SYNCERS_MAX);
    read_settings(2525);
    enter_folder(argv[0]);
    max_conns -= OWN_CONNS; /* they come with the syncers */
    read_names(&users, "USERS", "you,another");
    read_names(&hosts, "HOSTS", "localhost,example.com");
    last_job = open_mail(&users);
    signal(SIGXFSZ, SIG_IGN); /* a file too large is an error of write() */
    signal(SIGCHLD, SIG_IGN); /* a syncer that has ended is forgotten */
    serve("127.0.0.1");
    return 0;
}
