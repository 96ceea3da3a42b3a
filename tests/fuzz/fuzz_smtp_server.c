/* fuzz_smtp_server.c -- the whole of smtp-server, with its letters: see
 * server.h. Every command has one reply, in order, and nothing follows a 221 or
 * 421. No letter is ever half done; there is one for each recipient of what was
 * answered 250, and without faults there are no others. */
#define SERVER "../../smtp-server/smtp-server.c"
#define SERVER_MODULE "../../smtp-server/letters.c"
#include "server.h"

#include "../../smtp-client/mail.h"

static const char *const folders[] = {"mail", "mail/you", "mail/another", NULL};

/* How many letters there have to be; the same recipient may be named twice. */
static int least, most;
static bool all_whole; /* the clients have heard all of it */

/* The texts of all these messages. */
static uint64_t texts[SENT_MAX / 16];
static int ntexts;

static void prepare(void)
{
    start_folder(program_name, folders);
    read_names(&users, "USERS", "you,another");
    read_names(&hosts, "HOSTS", "localhost,example.com");
    mailboxes = &users;
    max_size = 2000;
}

static void begin(bool option, int helpers)
{
    (void)option;
    max_syncers = helpers;
    least = most = ntexts = 0;
    all_whole = true;
}

static bool waiting(const struct conn *c)
{
    return c->state == SYNCING;
}

/* A syncer's turn. */
static bool helper_works(struct sock *helper)
{
    char answers[ANSWERS_SIZE];
    size_t n = deliver_some(&helper->got, answers);

    buf_add(&helper->wire, answers, n);
    return n > 0;
}

/* What the client has got, in lines. */
struct reader {
    struct span sent;
    bool in_text; /* a message's, and no command */
    bool typed;
    int rcpts;
    uint64_t text; /* the last one */
};

/* Uses the next line, however long; false if its end has not been sent. */
static bool pass_line(struct reader *r, struct span *verb)
{
    struct span line, args;
    ssize_t used = smtp_line(r->sent, &line, &r->typed);

    *verb = (struct span){NULL, 0};
    if (used < 0) {
        const char *end = memchr(r->sent.p, '\n', r->sent.n);
        used = end ? end + 1 - r->sent.p : 0;
    } else if (used > 0 && !smtp_command(line, verb, &args)) {
        *verb = (struct span){NULL, 0};
    }
    r->sent.p += used;
    r->sent.n -= (size_t)used;
    return used > 0;
}

static bool pass_text(struct reader *r)
{
    struct buf whole = {.max = r->sent.n};
    struct smtp_text t;
    struct span text;
    size_t used = 1;

    smtp_text_start(&t, r->typed);
    while (!t.done && used > 0) {
        used = smtp_text_next(&t, r->sent, &text);
        buf_add(&whole, text.p, text.n);
        r->sent.p += used;
        r->sent.n -= used;
    }
    r->text = hash(buf_at(&whole), buf_len(&whole));
    buf_free(&whole);
    return t.done;
}

/* What the next reply is about is there. */
static bool pass_cause(struct reader *r, struct span *verb)
{
    *verb = (struct span){NULL, 0};
    return r->in_text ? pass_text(r) : pass_line(r, verb);
}

static void note(struct reader *r, struct span verb, int code)
{
    if (r->in_text && code == 250) {
        least++;
        most += r->rcpts;
        texts[ntexts++] = r->text;
    }
    r->in_text = code == 354;
    if (code == 250 && span_is_nocase(verb, "mail")) r->rcpts = 0;
    if (code == 250 && span_is_nocase(verb, "rcpt")) r->rcpts++;
}

static void check(struct span sent, struct span got, bool whole)
{
    struct reader r = {.sent = sent};
    struct span verb;
    int code = 0;

    for (bool first = true; got.n > 0; first = false) {
        bool over = code == 221 || code == 421;
        ssize_t used = mail_parse_reply(&code, got);
        assert(used > 0 || (used == 0 && !whole));
        if (used == 0) break;
        got.p += used;
        got.n -= (size_t)used;
        assert(!over);
        if (first)
            assert(code == 220);
        else if (pass_cause(&r, &verb))
            note(&r, verb, code);
        else
            assert(code == 421);
    }
    all_whole = all_whole && whole;
    if (whole && code != 221 && code != 421) assert(!pass_cause(&r, &verb));
}

/* A letter: what stands behind its head was sent, and answered 250. */
static void look(const char *bytes, size_t n)
{
    size_t head = 0;
    int i = 0;

    while (head + 2 <= n && memcmp(bytes + head, "\n\n", 2) != 0) head++;
    assert(head + 2 <= n);
    uint64_t text = hash(bytes + head + 2, n - head - 2);
    while (i < ntexts && texts[i] != text) i++;
    assert(i < ntexts || !all_whole);
}

static void finish_play(void)
{
    int letters = 0;

    if (folder_touched)
        letters =
            empty_folder("mail/you", look) + empty_folder("mail/another", look);
    folder_touched = false;
    assert(letters >= least);
    assert(letters <= most || !all_whole);
}

static const struct target target = {.prepare = prepare,
                                     .begin = begin,
                                     .end = finish_play,
                                     .waiting = waiting,
                                     .helper_works = helper_works,
                                     .check = check,
                                     .repeats = 10};
