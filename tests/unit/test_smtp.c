/* test_smtp.c */
#define _POSIX_C_SOURCE 200809L

#include "../../smtp-server/smtp.h"
#include "test.h"

/* ---- command lines ------------------------------------------------------- */

static void line_is(const char *text, size_t n, ssize_t want, bool typed)
{
    char *copy = exact(text, n);
    struct span line = {NULL, 0};
    bool lf = false;

    ssize_t used = smtp_line((struct span){copy, n}, &line, &lf);
    CHECK(used == want, "%zd, not %zd: %.40s", used, want, text);
    if (want > 0) {
        CHECK(lf == typed, "%.40s", text);
        CHECK(line.n == (size_t)want - (typed ? 1 : 2), "%.40s", text);
        for (size_t cut = 0; cut < (size_t)want; cut++)
            CHECK(smtp_line((struct span){copy, cut}, &line, &lf) == 0,
                  "%.40s cut at %zu", text, cut);
    }
    free(copy);
}

static void lines(void)
{
    char text[SMTP_LINE_MAX + 1];

    line_is("", 0, 0, false);
    line_is("quit\r\n", 6, 6, false);
    line_is("quit\n", 5, 5, true);
    line_is("\n", 1, 1, true);
    line_is("\r\n", 2, 2, false);
    line_is("quit\r\nnoop\r\n", 12, 6, false);
    memset(text, 'x', sizeof text);
    line_is(text, SMTP_LINE_MAX - 1, 0, false);
    line_is(text, SMTP_LINE_MAX, -500, false);
    text[SMTP_LINE_MAX] = '\n';
    line_is(text, SMTP_LINE_MAX + 1, -500, false);
    text[SMTP_LINE_MAX - 1] = '\n';
    line_is(text, SMTP_LINE_MAX, SMTP_LINE_MAX, true);
}

static void command_is(const char *line, size_t n, const char *verb,
                       const char *args)
{
    char *copy = exact(line, n);
    struct span v, a;

    bool ok = smtp_command((struct span){copy, n}, &v, &a);
    CHECK(ok == (verb != NULL), "%s", line);
    if (ok && verb) CHECK(span_is(v, verb) && span_is(a, args), "%s", line);
    free(copy);
}

static void commands(void)
{
    command_is("quit", 4, "quit", "");
    command_is("quit \t ", 7, "quit", "");
    command_is("MAIL  FROM:<> X=1", 17, "MAIL", "FROM:<> X=1");
    command_is("", 0, NULL, NULL);
    command_is("  ", 2, NULL, NULL);
    command_is(" quit", 5, NULL, NULL);
    command_is("quit\0", 5, NULL, NULL);
    command_is("quit\r", 5, NULL, NULL);
    command_is("noop \x1b[2J", 9, NULL, NULL);
    command_is("noop \x7f", 6, NULL, NULL);
}

/* ---- paths --------------------------------------------------------------- */

static const struct {
    const char *text;    /* behind "FROM:" */
    const char *address; /* NULL: refused */
    const char *local;   /* unquoted */
    const char *domain, *rest;
} paths[] = {
    {"<me@me.com>", "me@me.com", "me", "me.com", ""},
    {"me@me.com", "me@me.com", "me", "me.com", ""},
    {"  me@me.com SIZE=1", "me@me.com", "me", "me.com", "SIZE=1"},
    {"<me@me.com>  A B=c", "me@me.com", "me", "me.com", "A B=c"},
    {"<>", "", "", "", ""},
    {"<> SIZE=1", "", "", "", "SIZE=1"},
    {"<Postmaster>", "Postmaster", "Postmaster", "", ""},
    {"postmaster", "postmaster", "postmaster", "", ""},
    {"<@a.com:me@me.com>", "me@me.com", "me", "me.com", ""},
    {"<@a.com,@b.com:me@me.com>", "me@me.com", "me", "me.com", ""},
    {"<\"a b\"@me.com>", "\"a b\"@me.com", "a b", "me.com", ""},
    {"<\"a@b>\"@me.com>", "\"a@b>\"@me.com", "a@b>", "me.com", ""},
    {"<\"a\\\"b\\\\\"@me.com>", "\"a\\\"b\\\\\"@me.com", "a\"b\\", "me.com",
     ""},
    {"<\"\"@me.com>", "\"\"@me.com", "", "me.com", ""},
    {"<a/b+c=d!e@me.com>", "a/b+c=d!e@me.com", "a/b+c=d!e", "me.com", ""},
    {"<../../x@y>", "../../x@y", "../../x", "y", ""},
    {"<me@[192.0.2.1]>", "me@[192.0.2.1]", "me", "[192.0.2.1]", ""},
    {"<me@[IPv6:::1]>", "me@[IPv6:::1]", "me", "[IPv6:::1]", ""},
    {"<j\xC3\xB6rg@m\xC3\xBCll.de>", "j\xC3\xB6rg@m\xC3\xBCll.de",
     "j\xC3\xB6rg", "m\xC3\xBCll.de", ""},
    {"", NULL, NULL, NULL, NULL},
    {"<", NULL, NULL, NULL, NULL},
    {">", NULL, NULL, NULL, NULL},
    {"<me>", NULL, NULL, NULL, NULL},
    {"<me@>", NULL, NULL, NULL, NULL},
    {"<@me.com>", NULL, NULL, NULL, NULL},
    {"<me@me.com", NULL, NULL, NULL, NULL},
    {"me@me.com>", NULL, NULL, NULL, NULL},
    {"<<me@me.com>>", NULL, NULL, NULL, NULL},
    {"<me@me.com>x", NULL, NULL, NULL, NULL},
    {"<me@me.com>>", NULL, NULL, NULL, NULL},
    {"< me@me.com>", NULL, NULL, NULL, NULL},
    {"<me@me.com >", NULL, NULL, NULL, NULL},
    {"<a b@me.com>", NULL, NULL, NULL, NULL},
    {"<a@b@c>", NULL, NULL, NULL, NULL},
    {"you@example.com@evil", NULL, NULL, NULL, NULL},
    {"<me@me.com.>", NULL, NULL, NULL, NULL},
    {"<me@.me.com>", NULL, NULL, NULL, NULL},
    {"<me@me..com>", NULL, NULL, NULL, NULL},
    {"<me@[]>", NULL, NULL, NULL, NULL},
    {"<me@[1.2.3.4>", NULL, NULL, NULL, NULL},
    {"<me@[1.2.3.4]x>", NULL, NULL, NULL, NULL},
    {"<\"me@me.com>", NULL, NULL, NULL, NULL},
    {"<\"me\"x@me.com>", NULL, NULL, NULL, NULL},
    {"<\"me\\\"@me.com>", NULL, NULL, NULL, NULL},
    {"<@a.com me@me.com>", NULL, NULL, NULL, NULL},
    {"<@a.com,me@me.com>", NULL, NULL, NULL, NULL},
    {"<@:me@me.com>", NULL, NULL, NULL, NULL},
    {"<\xC3@me.com>", NULL, NULL, NULL, NULL},
    {"<\xFF@me.com>", NULL, NULL, NULL, NULL},
    {"<\xC2\x85@me.com>", NULL, NULL, NULL, NULL},
    {"me@me.com,you@me.com", NULL, NULL, NULL, NULL},
};

static void path_is(size_t i)
{
    char line[200], meaning[200];
    int n = snprintf(line, sizeof line, "fRoM:%s", paths[i].text);
    char *copy = exact(line, (size_t)n);
    struct span args = {copy, (size_t)n};
    struct smtp_path path;

    bool ok = smtp_path(&args, "FROM:", &path);
    CHECK(ok == (paths[i].address != NULL), "%s", line);
    if (ok && paths[i].address) {
        struct span local = {meaning, smtp_unquote(meaning, path.local)};
        CHECK(span_is(path.address, paths[i].address), "%s", line);
        CHECK(span_is(local, paths[i].local), "%s", line);
        CHECK(span_is(path.domain, paths[i].domain), "%s", line);
        CHECK(span_is(args, paths[i].rest), "%s", line);
        CHECK(path.utf8 == (strchr(line, '\xC3') != NULL), "%s", line);
    }
    free(copy);
}

static void other_keywords(void)
{
    static const char *const wrong[] = {"",         "F",           "FROM",
                                        "TO:<a@b>", "FROM :<a@b>", "FROM<a@b>"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *copy = exact(wrong[i], strlen(wrong[i]));
        struct span args = {copy, strlen(wrong[i])};
        struct smtp_path path;
        CHECK(!smtp_path(&args, "FROM:", &path), "%s", wrong[i]);
        free(copy);
    }
}

/* ---- parameters ---------------------------------------------------------- */

static void params(void)
{
    struct span args = span_of("SIZE=100  SMTPUTF8 A=B=C =x"), name, value;

    CHECK(smtp_param(&args, &name, &value) && span_is(name, "SIZE") &&
              span_is(value, "100"),
          "first");
    CHECK(smtp_param(&args, &name, &value) && span_is(name, "SMTPUTF8") &&
              value.p == NULL,
          "second");
    CHECK(smtp_param(&args, &name, &value) && span_is(name, "A") &&
              span_is(value, "B=C"),
          "third");
    CHECK(smtp_param(&args, &name, &value) && name.n == 0 &&
              span_is(value, "x"),
          "fourth");
    CHECK(!smtp_param(&args, &name, &value), "end");
}

static void sizes(void)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t size;
    } table[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551614", true, UINT64_MAX - 1},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", true, UINT64_MAX},
        {"18446744073709551617", true, UINT64_MAX},
        {"100000000000000000000000000000000", true, UINT64_MAX},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {"1k", false, 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint64_t size;
        bool good = smtp_size(span_of(table[i].text), &size);
        CHECK(good == table[i].good, "%s", table[i].text);
        if (good) CHECK(size == table[i].size, "%s", table[i].text);
    }
}

/* ---- the text of a message ----------------------------------------------- */

/* Feeds the bytes from START to END, and collects the text. */
static size_t feed(struct smtp_text *t, const char *in, size_t start,
                   size_t end, char *out, size_t *nout)
{
    while (!t->done) {
        struct span text;
        char *copy = exact(in + start, end - start);
        size_t used =
            smtp_text_next(t, (struct span){copy, end - start}, &text);
        if (text.n > 0) memcpy(out + *nout, text.p, text.n);
        *nout += text.n;
        free(copy);
        start += used;
        if (used == 0 || start == end) break;
    }
    return start;
}

static const struct {
    bool typed;
    const char *in;
    const char *text; /* NULL: its end has not come */
    size_t used;
} texts[] = {
    {false, "hi\r\n.\r\nQUIT\r\n", "hi\r\n", 7},
    {false, ".\r\n", "", 3},
    {false, "\r\n.\r\n", "\r\n", 5},
    {false, "..\r\n.\r\n", ".\r\n", 7},
    {false, "..two\r\n...three\r\n.\r\n", ".two\r\n..three\r\n", 20},
    {false, ".one\r\n.\r\n", "one\r\n", 9},
    {false, ". \r\n.\r\n", " \r\n", 7},
    {false, ".\r\r\n.\r\n", "\r\r\n", 7},
    {false, "a.\r\n.\r\n", "a.\r\n", 7},
    {false, "a\r.\r\n.\r\n", "a\r.\r\n", 8},
    {false, "a\r\r\n.\r\n", "a\r\r\n", 7},
    /* What smugglers send: none of these is an end. */
    {false, "a\n.\n", NULL, 0},
    {false, "a\n.\r\n", NULL, 0},
    {false, "a\r\n.\n", NULL, 0},
    {false, "a\r\n.\r", NULL, 0},
    {false, "a\r\n.\rb", NULL, 0},
    {false, "a\r.\r", NULL, 0},
    {false, "a\r.\r\n", NULL, 0},
    {false, "a\n\r.\r\n", NULL, 0},
    {false, "a\n..\r\nb\r\n.\r\n", "a\n..\r\nb\r\n", 12},
    {false, "a\n.\nMAIL\n.\r\nb\r\n.\r\n", "a\n.\nMAIL\n.\r\nb\r\n", 18},
    /* Typed by hand. */
    {true, "hello there!\n.\nquit\n", "hello there!\n", 15},
    {true, ".\n", "", 2},
    {true, "a\r\n.\r\n", "a\r\n", 6},
    {true, "..\n...\n.\n", ".\n..\n", 9},
    {true, "a\n.\r\n.\n", NULL, 0},
    {true, "a\r\n.\n", NULL, 0},
    {true, "a\n.\r\n\n.\n", "a\n\r\n\n", 8},
};

/* Whole, byte by byte, and in two pieces cut at every place. */
static void text_is(size_t i)
{
    const char *in = texts[i].in;
    size_t n = strlen(in);

    for (size_t cut = 0; cut <= n + 1; cut++) {
        struct smtp_text t;
        char out[100];
        size_t nout = 0, at = 0;

        smtp_text_start(&t, texts[i].typed);
        for (size_t end = 1; cut == n + 1 && end <= n; end++)
            at = feed(&t, in, at, end, out, &nout);
        if (cut <= n) at = feed(&t, in, at, cut, out, &nout);
        if (cut <= n) at = feed(&t, in, at, n, out, &nout);

        CHECK(t.done == (texts[i].text != NULL), "%s, cut at %zu", in, cut);
        if (!texts[i].text) continue;
        CHECK(at == texts[i].used, "%s, cut at %zu: %zu", in, cut, at);
        CHECK(span_is((struct span){out, nout}, texts[i].text),
              "%s, cut at %zu: %.*s", in, cut, (int)nout, out);
    }
}

int main(void)
{
    lines();
    commands();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) path_is(i);
    other_keywords();
    params();
    sizes();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) text_is(i);
    return report();
}
