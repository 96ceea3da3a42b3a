#define _POSIX_C_SOURCE 200809L

#include "smtp.h"

#include "../common/utf8.h"

/* ---- command lines ------------------------------------------------------- */

ssize_t smtp_line(struct span in, struct span *line, bool *typed)
{
    size_t look = in.n < SMTP_LINE_MAX ? in.n : SMTP_LINE_MAX;
    const char *end = look > 0 ? memchr(in.p, '\n', look) : NULL;

    if (!end) return look < SMTP_LINE_MAX ? 0 : -500;
    size_t n = (size_t)(end - in.p);
    *typed = n == 0 || in.p[n - 1] != '\r';
    *line = (struct span){in.p, *typed ? n : n - 1};
    return (ssize_t)n + 1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span after(struct span s, size_t n)
{
    return (struct span){s.p + n, s.n - n};
}

static struct span skip_blanks(struct span s)
{
    while (s.n > 0 && is_blank(s.p[0])) s = after(s, 1);
    return s;
}

bool smtp_command(struct span line, struct span *verb, struct span *args)
{
    size_t n = 0;

    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) return false;
    }
    while (line.n > 0 && is_blank(line.p[line.n - 1])) line.n--;
    while (n < line.n && !is_blank(line.p[n])) n++;
    *verb = (struct span){line.p, n};
    *args = skip_blanks(after(line, n));
    return n > 0;
}

/* ---- paths --------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_beyond_ascii(char c)
{
    return (unsigned char)c >= 0x80;
}

/* The functions below return how many bytes at the front of S are what their
 * name says, 0 if there is none. */

static size_t quoted_string(struct span s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '"') return i + 1;
        if (s.p[i] == '\\') i++; /* whatever follows stands for itself */
    }
    return 0;
}

/* Dots may stand anywhere: there are mailboxes with two in a row. */
static size_t local_part(struct span s)
{
    size_t n = 0;

    if (s.n > 0 && s.p[0] == '"') return quoted_string(s);
    while (n < s.n &&
           (is_letter(s.p[n]) || is_digit(s.p[n]) || is_beyond_ascii(s.p[n]) ||
            (s.p[n] != '\0' && strchr(".!#$%&'*+-/=?^_`{|}~", s.p[n]))))
        n++;
    return n;
}

static size_t address_literal(struct span s)
{
    for (size_t n = 1; n < s.n; n++) {
        if (s.p[n] == ']') return n > 1 ? n + 1 : 0;
        if (!is_letter(s.p[n]) && !is_digit(s.p[n]) && s.p[n] != ':' &&
            s.p[n] != '.' && s.p[n] != '-')
            return 0;
    }
    return 0;
}

static size_t domain(struct span s)
{
    size_t n = 0;

    if (s.n > 0 && s.p[0] == '[') return address_literal(s);
    for (; n < s.n; n++) {
        char c = s.p[n];
        bool label = is_letter(c) || is_digit(c) || is_beyond_ascii(c) ||
                     c == '-' || c == '_';
        bool dot = c == '.' && n > 0 && s.p[n - 1] != '.';
        if (!label && !dot) break;
    }
    return n > 0 && s.p[n - 1] != '.' ? n : 0;
}

/* "@a.com,@b.com:" */
static size_t source_route(struct span s)
{
    size_t at = 0;

    while (at < s.n && s.p[at] == '@') {
        size_t n = domain(after(s, at + 1));
        at += 1 + n;
        if (n == 0 || at == s.n) return 0;
        if (s.p[at] == ':') return at + 1;
        if (s.p[at++] != ',') return 0;
    }
    return 0;
}

static size_t address(struct span s, struct smtp_path *path)
{
    size_t n = local_part(s), host = 0;

    path->local = (struct span){s.p, n};
    if (n > 0 && n < s.n && s.p[n] == '@') {
        host = domain(after(s, n + 1));
        if (host == 0) return 0;
    } else if (!span_is_nocase(path->local, "postmaster")) {
        return 0; /* only that one goes without a domain: section 4.1.1.3 */
    }
    path->domain = (struct span){s.p + n + (host > 0), host};
    path->address = (struct span){s.p, n + (host > 0) + host};
    return path->address.n;
}

/* All of it is UTF-8, and no control character (C1) hides there. */
static bool check_text(struct smtp_path *path)
{
    struct span s = path->address;
    struct utf8 check = {0};

    path->utf8 = false;
    for (size_t i = 0; i < s.n; i++) {
        if (is_beyond_ascii(s.p[i])) path->utf8 = true;
        if ((unsigned char)s.p[i] == 0xc2 && i + 1 < s.n &&
            (unsigned char)s.p[i + 1] < 0xa0)
            return false;
    }
    return utf8_next(&check, s) && utf8_whole(&check);
}

bool smtp_path(struct span *args, const char *keyword, struct smtp_path *path)
{
    size_t n = strlen(keyword);

    if (args->n < n || !span_is_nocase((struct span){args->p, n}, keyword))
        return false;
    struct span s = skip_blanks(after(*args, n));
    bool angle = s.n > 0 && s.p[0] == '<';
    if (angle) s = after(s, 1 + source_route(after(s, 1)));

    if (angle && s.n > 0 && s.p[0] == '>') {
        *path = (struct smtp_path){{s.p, 0}, {s.p, 0}, {s.p, 0}, false};
    } else {
        n = address(s, path);
        if (n == 0 || !check_text(path)) return false;
        s = after(s, n);
    }
    if (angle && (s.n == 0 || s.p[0] != '>')) return false;
    if (angle) s = after(s, 1);
    if (s.n > 0 && !is_blank(s.p[0])) return false;
    *args = skip_blanks(s);
    return true;
}

size_t smtp_unquote(char *out, struct span local)
{
    size_t n = 0, i = 0, end = local.n;

    if (end > 1 && local.p[0] == '"') {
        i = 1;
        end--;
    }
    for (; i < end; i++) {
        if (local.p[i] == '\\' && i + 1 < end) i++;
        out[n++] = local.p[i];
    }
    return n;
}

/* ---- parameters ---------------------------------------------------------- */

bool smtp_param(struct span *args, struct span *name, struct span *value)
{
    size_t n = 0;

    if (args->n == 0) return false;
    while (n < args->n && !is_blank(args->p[n])) n++;
    const char *equal = memchr(args->p, '=', n);
    size_t name_n = equal ? (size_t)(equal - args->p) : n;
    *name = (struct span){args->p, name_n};
    *value = equal ? (struct span){equal + 1, n - name_n - 1}
                   : (struct span){NULL, 0};
    *args = skip_blanks(after(*args, n));
    return true;
}

bool smtp_size(struct span value, uint64_t *size)
{
    *size = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (!is_digit(value.p[i])) return false;
        uint64_t digit = (uint64_t)(value.p[i] - '0');
        if (*size > (UINT64_MAX - digit) / 10)
            *size = UINT64_MAX; /* and it stays there */
        else
            *size = *size * 10 + digit;
    }
    return value.n > 0;
}

/* ---- the text of a message ----------------------------------------------- */

void smtp_text_start(struct smtp_text *t, bool typed)
{
    t->typed = typed;
    t->done = false;
    t->at = typed ? SMTP_NEW_LF : SMTP_NEW_CRLF; /* the end of the DATA line */
}

/* A line begins with a dot. The line end before it and the one after it must
 * be alike to make it the end of the message; else the dot was put there for
 * us to take away. */
static size_t take_dot(struct smtp_text *t, struct span in)
{
    struct span end = span_of(t->at == SMTP_NEW_CRLF ? "\r\n" : "\n");
    size_t have = in.n - 1 < end.n ? in.n - 1 : end.n;

    if (memcmp(in.p + 1, end.p, have) != 0) {
        t->at = SMTP_INSIDE;
        return 1;
    }
    if (have < end.n) return 0;
    t->done = true;
    return 1 + end.n;
}

/* Uses the rest of a line with its end, or what there is of it. */
static size_t take_line(struct smtp_text *t, struct span in)
{
    const char *lf = memchr(in.p, '\n', in.n);
    size_t n = lf ? (size_t)(lf - in.p) : in.n; /* before the LF */
    bool cr = n > 0 ? in.p[n - 1] == '\r' : t->at == SMTP_AT_CR;

    if (!lf)
        t->at = cr ? SMTP_AT_CR : SMTP_INSIDE;
    else if (cr)
        t->at = SMTP_NEW_CRLF;
    else
        t->at = t->typed ? SMTP_NEW_LF : SMTP_INSIDE;
    return lf ? n + 1 : n;
}

static bool dot_comes(const struct smtp_text *t, struct span in)
{
    return t->at >= SMTP_NEW_LF && in.n > 0 && in.p[0] == '.';
}

size_t smtp_text_next(struct smtp_text *t, struct span in, struct span *text)
{
    size_t dot = dot_comes(t, in) ? take_dot(t, in) : 0, n = dot;

    *text = (struct span){in.p + dot, 0};
    if (t->done || dot_comes(t, in)) return dot;
    while (n < in.n && !dot_comes(t, after(in, n)))
        n += take_line(t, after(in, n));
    text->n = n - dot;
    return n;
}
