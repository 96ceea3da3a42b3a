/* test_multipart.c -- each body whole, byte by byte, and cut at every place. */
#define _POSIX_C_SOURCE 200809L

#include "../../file-upload/multipart.h"
#include "test.h"

/* What has been told, as text: [name|filename]data. for each part, then ! for a
 * bad body, and ; once it is whole. */
struct story {
    char text[4096];
    size_t n;
};

static void tell(struct story *s, const char *p, size_t n)
{
    if (n > sizeof s->text - s->n) abort();
    if (n > 0) memcpy(s->text + s->n, p, n);
    s->n += n;
}

static void feed(struct multipart *m, struct story *s, const char *p, size_t n)
{
    char *copy = exact(p, n);
    struct span in = {copy, n}, data;
    enum multipart_event event;

    while ((event = multipart_next(m, &in, &data)) != MULTIPART_MORE) {
        if (event == MULTIPART_BAD) {
            tell(s, "!", 1);
            break;
        }
        if (event == MULTIPART_HEAD) {
            tell(s, "[", 1);
            tell(s, m->name.p, m->name.n);
            if (m->filename.p) tell(s, "|", 1);
            tell(s, m->filename.p, m->filename.n);
            tell(s, "]", 1);
        }
        HOLDS((event == MULTIPART_DATA) == (data.n > 0), "%zu", data.n);
        tell(s, data.p, data.n);
        if (event == MULTIPART_END) tell(s, ".", 1);
    }
    HOLDS(event == MULTIPART_BAD || in.n == 0, "%zu bytes not used", in.n);
    free(copy);
}

/* Cut into pieces of these two lengths, by turns. */
static void check(const char *boundary, const char *body, size_t n,
                  size_t first, size_t second, const char *want, size_t want_n)
{
    struct multipart m;
    struct story s = {.n = 0};
    char type[200];
    size_t at = 0, turn = 0;

    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary);
    HOLDS(multipart_start(&m, span_of(type)), "%s", type);
    while (at < n && !memchr(s.text, '!', s.n)) {
        size_t piece = turn++ % 2 == 0 ? first : second;
        if (piece > n - at) piece = n - at;
        feed(&m, &s, body + at, piece);
        at += piece;
    }
    if (multipart_whole(&m)) tell(&s, ";", 1);
    multipart_free(&m);
    HOLDS(s.n == want_n && memcmp(s.text, want, want_n) == 0,
          "%s: pieces of %zu and %zu\n  want %s\n  got  %.*s", body, first,
          second, want, (int)s.n, s.text);
}

static void check_cuts(const char *boundary, const char *body, size_t n,
                       const char *want, size_t want_n)
{
    int before = failed;

    check(boundary, body, n, n, n, want, want_n);
    check(boundary, body, n, 1, 1, want, want_n);
    for (size_t cut = 1; cut < n; cut++) {
        check(boundary, body, n, cut, n, want, want_n);
        check(boundary, body, n, 1, cut, want, want_n);
    }
    CHECK(failed == before, "%s, however it is cut", body);
}

#define SEVENTY                                                                \
    "1234567890123456789012345678901234567"                                    \
    "890123456789012345678901234567890"
#define HEAD "Content-Disposition: form-data; name=a; filename=b\r\n\r\n"
#define BODY(data) "--B\r\n" HEAD data "\r\n--B--\r\n"

static const struct {
    const char *body, *want;
} bodies[] = {
    {BODY("hello"), "[a|b]hello.;"},
    {BODY(""), "[a|b].;"},
    {BODY("\r\n"), "[a|b]\r\n.;"},
    {"--B\r\n" HEAD "--B--", "[a|b].;"}, /* the head's line end is enough */
    {"--B\r\n" HEAD "x\r\n--B--", "[a|b]x.;"},
    {"--B--", ";"},
    {"--B--\r\n", ";"},
    {"\r\n--B--\r\n", ";"},
    {"\r\n" BODY("x"), "[a|b]x.;"}, /* an empty line first */
    {"preamble\r\n" BODY("x") "epilogue\r\n--B\r\n", "[a|b]x.;"},
    {"--B is here\r\n--Bx\r\n" BODY("x"), "[a|b]x.;"},
    {"--B \t\r\n" HEAD "x\r\n--B  \r\n" HEAD "y\r\n--B-- \r\n",
     "[a|b]x.[a|b]y.;"},

    /* Not quite a delimiter. */
    {BODY("\r"), "[a|b]\r.;"},
    {BODY("\r\r\n"), "[a|b]\r\r\n.;"},
    {BODY("\n--B"), "[a|b]\n--B.;"},
    {BODY("\r\n-"), "[a|b]\r\n-.;"},
    {BODY("\r\n--"), "[a|b]\r\n--.;"},
    {BODY("\r\n--\r\n--"), "[a|b]\r\n--\r\n--.;"},
    {BODY("\r\n--A"), "[a|b]\r\n--A.;"},
    {BODY("\r\n--BZ"), "[a|b]\r\n--BZ.;"},
    {BODY("\r\n--B-"), "[a|b]\r\n--B-.;"},
    {BODY("\r\n--B-Z"), "[a|b]\r\n--B-Z.;"},
    {BODY("\r\n--B -"), "[a|b]\r\n--B -.;"},
    {BODY("\r\n--B\n"), "[a|b]\r\n--B\n.;"},
    {BODY("\r\n--B\rx"), "[a|b]\r\n--B\rx.;"},
    {BODY("\r\n--B \r"), "[a|b]\r\n--B \r.;"},
    {BODY("\r\n--B \r\r"), "[a|b]\r\n--B \r\r.;"},
    {BODY("--B"), "[a|b]."}, /* its sender has to see to that */
    {BODY("--Bx\r\n"), "[a|b]--Bx\r\n.;"},
    {"--B\r\n" HEAD "\n--B\n", "[a|b]\n--B\n"},

    /* Never whole. */
    {"", ""},
    {"--B", ""},
    {"--B\r\n", ""},
    {"--B\r\n" HEAD "x\r\n", "[a|b]x"},
    {"--B\r\n" HEAD "x\r\n--B", "[a|b]x"},
    {"--C\r\n" HEAD "x\r\n--C--\r\n", ""},
    {"--B\n" HEAD "x\n--B--\n", ""},

    /* Heads. */
    {"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--B--",
     "[a]x.;"},
    {"--B\r\nContent-Disposition: form-data; name=\"\"; filename=\"\"\r\n"
     "Content-Type: application/octet-stream\r\n\r\n\r\n--B--",
     "[|].;"},
    {"--B\r\ncontent-DISPOSITION:FORM-DATA;FILENAME=f.txt;NAME=n\r\n\r\nx\r\n"
     "--B--",
     "[n|f.txt]x.;"},
    {"--B\r\nContent-Type: text/plain; name=t\r\n"
     "Content-Disposition: form-data;\r\n name=a;\r\n\tfilename=f\r\n\r\nx\r\n"
     "--B--",
     "[a|f]x.;"},
    {"--B\r\nX:\r\nContent-Disposition : form-data ; name = a \r\n\r\n\r\n"
     "--B--",
     "[a].;"},
    {"--B\r\n\r\nx\r\n--B--", "!"},         /* no head at all */
    {"--B\r\nX: y\r\n\r\nx\r\n--B--", "!"}, /* no disposition */
    {"--B\r\n: y\r\n\r\nx\r\n--B--", "!"},
    {"--B\r\nContent-Disposition: form-data\r\n\r\n\r\n--B--", "!"},
    {"--B\r\nContent-Disposition: form-data; name\r\n\r\n\r\n--B--", "!"},
    {"--B\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--B--", "!"},
    {"--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--B--", "!"},
    {"--B\r\nContent-Disposition form-data\r\n\r\n\r\n--B--", "!"},
    {"--B\r\nContent-Disposition: form-data; name=a\r\n"
     "Content-Type: MULTIPART/mixed; boundary=x\r\n\r\n\r\n--B--",
     "!"},
    {"--B\r\nContent-Type: multipart/mixed; boundary=x\r\n"
     "Content-Disposition: form-data; name=a; filename=b\r\n\r\n\r\n--B--",
     "[a|b].;"},
    {"--B\r\nX: y\n\r\n\r\n--B--", "!"},
    {"--B\r\nX: y\r \r\n\r\n--B--", "!"},
    {"--B\r\nX: y\r\n--B--", ""},
};

/* What comes after "form-data; ", and what it means. */
static const struct {
    const char *parameters, *want;
} dispositions[] = {
    {"name=\"userinput1\"", "[userinput1]"},
    {"name=u;filename=f", "[u|f]"},
    {"filename=\"f\";name=\"u\"", "[u|f]"},
    {"name=\"u\" ; filename=\"f\" ;", "[u|f]"},
    {"name=u; filename=a b.txt ; x=y", "[u|a b.txt]"},
    {"name=u; filename=\"a; name=x\"", "[u|a; name=x]"},
    {"name=u; filename=\"a\\\"b\\\"\"", "[u|a\"b\"]"},
    {"name=u; filename=\"a\\\\b\"", "[u|a\\b]"},
    {"name=u; filename=\"a\\\\\"", "[u|a\\]"},
    {"name=u; filename=\"C:\\dir\\f.txt\"", "[u|C:\\dir\\f.txt]"},
    {"name=u; filename=\"%22q%22\"", "[u|\"q\"]"},
    {"name=u; filename=\"100%25%2e%2F%zz%\"", "[u|100%25%2e%2F%zz%]"},
    {"name=\"a%0D%0ab\"", "[a\r\nb]"},
    {"name=u; filename*=UTF-8''caf%C3%A9.txt", "[u|caf\303\251.txt]"},
    {"name=u; filename*=utf-8'en'%41%; filename=b", "[u|A%]"},
    {"name=u; filename=b; filename*=UTF-8''c+d", "[u|c+d]"},
    {"name=u; filename=b; filename*=ISO-8859-1''caf%E9", "[u|b]"},
    {"name=u; filename=b; filename*=UTF-8'x", "[u|b]"},
    {"name=u; filename=b; filename*=UTF-8", "[u|b]"},
    {"name=u; filename=b; filename*", "[u|b]"},
    {"name=u; filename", "[u]"},
    {"name=\"u\"junk; filename=b", "[u|b]"},
    {"name=u;; ;filename=b;", "[u|b]"},
    {"name=u; filename=\"b", "!"},
    {"name=u; filename=\"b\\\"", "!"},
    {"name=\"caf\303\251\"", "[caf\303\251]"},
};

static const struct {
    const char *type;
    bool ok;
} types[] = {
    {"multipart/form-data; boundary=B", true},
    {"multipart/form-data;boundary=\"B\"", true},
    {"multipart/form-data; charset=utf-8; BOUNDARY=B; x=y", true},
    {"multipart/form-data; boundary=\"a b\\\"'()+_,-./:=?\"", true},
    {"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
     true},
    {"multipart/form-data; boundary=a/b:c=d", true},
    {"multipart/form-data; boundary=" SEVENTY, true},
    {"multipart/form-data; boundary=" SEVENTY "1", false},
    {"multipart/form-data", false},
    {"multipart/form-data; boundary", false},
    {"multipart/form-data; boundary=", false},
    {"multipart/form-data; boundary=\"\"", false},
    {"multipart/form-data; boundary=\"B", false},
    {"multipart/form-data; boundary=\"B \"", false},
    {"multipart/form-data; boundary=\"B\tC\"", false},
    {"multipart/form-data; boundary=\303\251", false},
    {"", false},
};

static void check_type(const char *type, bool ok)
{
    struct multipart m;
    size_t n = strlen(type);
    char *copy = exact(type, n);

    CHECK(multipart_start(&m, (struct span){copy, n}) == ok, "%s", type);
    free(copy);
    multipart_free(&m);
}

/* Boundaries with a blank, that repeat themselves, the longest; and in the data
 * what is nearly each of them. */
static void check_boundaries(void)
{
    static const char *const boundaries[] = {
        "a b", "aaaaaaaa", "abababab", "----x", SEVENTY,
    };
    for (size_t i = 0; i < sizeof boundaries / sizeof *boundaries; i++) {
        const char *b = boundaries[i];
        char quoted[80], body[600], want[300];

        snprintf(quoted, sizeof quoted, "\"%s\"", b);
        int n = snprintf(body, sizeof body,
                         "--%s\r\n" HEAD "\r\n--%.*s%s\r\n%sz\r\n--%s--\r\n", b,
                         (int)strlen(b) - 1, b, b + 1, b, b);
        int m = snprintf(want, sizeof want, "[a|b]\r\n--%.*s%s\r\n%sz.;",
                         (int)strlen(b) - 1, b, b + 1, b);
        check_cuts(quoted, body, (size_t)n, want, (size_t)m);
    }
}

/* As many blanks as are let pass, and one more. */
static void check_limits(void)
{
    static const char nul[] = "--B\r\n" HEAD "a\0b\r\n--B--";
    static char body[2 * MULTIPART_HEAD_MAX];
    int blanks = MULTIPART_BLANKS_MAX + MULTIPART_BOUNDARY_MAX - 1 - 2;

    int n =
        snprintf(body, sizeof body, "--B%*s\r\n" HEAD "\r\n--B--", blanks, "");
    check_cuts("B", body, (size_t)n, "[a|b].;", 7);
    n = snprintf(body, sizeof body, "--B%*s\r\n" HEAD "\r\n--B--", blanks + 3,
                 "");
    check_cuts("B", body, (size_t)n, ";", 1);

    for (int extra = 0; extra < 2; extra++) {
        /* The head and the CRLF before it. */
        int fill = MULTIPART_HEAD_MAX - 2 - (int)strlen(HEAD "X: \r\n") + extra;
        n = snprintf(body, sizeof body, "--B\r\nX: %*s\r\n" HEAD "\r\n--B--",
                     fill, "");
        const char *want = extra ? "!" : "[a|b].;";
        check("B", body, (size_t)n, (size_t)n, 1, want, strlen(want));
        check("B", body, (size_t)n, 1, 1, want, strlen(want));
    }
    check("B", nul, sizeof nul - 1, 3, 2, "[a|b]a\0b.;", 10);
}

int main(void)
{
    char body[400], want[100], out[16];

    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        check_cuts("B", bodies[i].body, strlen(bodies[i].body), bodies[i].want,
                   strlen(bodies[i].want));
    for (size_t i = 0; i < sizeof dispositions / sizeof *dispositions; i++) {
        const char *text = dispositions[i].want;
        bool bad = text[0] == '!';
        int n = snprintf(body, sizeof body,
                         "--B\r\nContent-Disposition: form-data; %s\r\n\r\n"
                         "\r\n--B--",
                         dispositions[i].parameters);
        int m = snprintf(want, sizeof want, "%s%s", text, bad ? "" : ".;");
        check_cuts("B", body, (size_t)n, want, (size_t)m);
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check_type(types[i].type, types[i].ok);
    check_boundaries();
    check_limits();

    CHECK(percent_decode(out, span_of("a%20b+%C3%a9%4%")) == 9, "%s", out);
    CHECK(memcmp(out, "a b+\303\251%4%", 9) == 0, "%.9s", out);
    return report();
}
