#define _POSIX_C_SOURCE 200809L

#include "mail.h"

#include "../common/utf8.h"

/* ---- replies ------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The code of a line and what follows it: '-' if more lines come, ' ' or the
 * line's end if not. 0: the line is too short yet; -1: no reply. */
static int line_code(struct span line)
{
    for (size_t i = 0; i < line.n && i < 3; i++)
        if (!is_digit(line.p[i])) return -1;
    if (line.n > 0 && (line.p[0] < '2' || line.p[0] > '5')) return -1;
    if (line.n < 4) return 0;
    if (!strchr("- \r\n", line.p[3]) || line.p[3] == '\0') return -1;
    return (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0';
}

ssize_t mail_parse_reply(int *code, struct span in)
{
    int first = 0;
    size_t used = 0;

    while (used < in.n) {
        struct span rest = {in.p + used, in.n - used};
        const char *end = memchr(rest.p, '\n', rest.n);
        int present = line_code(rest);
        if (present < 0) return -1;
        if (first > 0 && present > 0 && present != first) return -1;
        if (!end) return 0;
        first = present;
        used += (size_t)(end - rest.p) + 1;
        if (rest.p[3] == '-') continue;
        *code = first;
        return (ssize_t)used;
    }
    return 0;
}

bool mail_next_line(struct span *reply, struct span *text)
{
    if (reply->n == 0) return false;
    const char *end = memchr(reply->p, '\n', reply->n);
    size_t n = end ? (size_t)(end - reply->p) : reply->n;
    struct span line = {reply->p, n};

    if (end) n++;
    *reply = (struct span){reply->p + n, reply->n - n};
    if (line.n > 0 && line.p[line.n - 1] == '\r') line.n--;
    n = line.n < 4 ? line.n : 4; /* "250-" */
    *text = (struct span){line.p + n, line.n - n};
    return true;
}

bool mail_offers(struct span reply, const char *keyword, struct span *value)
{
    struct span line;

    mail_next_line(&reply, &line); /* the first one holds the server's name */
    while (mail_next_line(&reply, &line)) {
        const char *blank = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
        size_t n = blank ? (size_t)(blank - line.p) : line.n;
        if (!span_is_nocase((struct span){line.p, n}, keyword)) continue;
        *value = (struct span){NULL, 0};
        if (blank) *value = (struct span){blank + 1, line.n - n - 1};
        return true;
    }
    return false;
}

/* ---- addresses ----------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trimmed(struct span s)
{
    while (s.n > 0 && is_blank(s.p[s.n - 1])) s.n--;
    while (s.n > 0 && is_blank(s.p[0])) s.p++, s.n--;
    return s;
}

/* Where the first of THESE stands outside of "quotes"; s.n if nowhere.
 * OPEN: a quote has begun and does not end. */
static size_t find_bare(struct span s, const char *these, bool *open)
{
    size_t i;

    *open = false;
    for (i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (*open && c == '\\')
            i++; /* \" is no end */
        else if (c == '"')
            *open = !*open;
        else if (!*open && c != '\0' && strchr(these, c))
            return i;
    }
    return s.n;
}

bool mail_next_entry(struct span *list, struct span *entry)
{
    bool open;

    while (list->n > 0) {
        size_t n = find_bare(*list, ",;", &open);
        *entry = trimmed((struct span){list->p, n});
        if (n < list->n) n++;
        *list = (struct span){list->p + n, list->n - n};
        if (entry->n > 0) return true;
    }
    return false;
}

static bool has_controls(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) return true;
    return false;
}

bool mail_address(struct span entry, struct span *address)
{
    struct utf8 check = {0};
    struct span a = entry;
    bool open;

    size_t at = find_bare(a, "<", &open);
    if (at < a.n) {
        a.p += at + 1;
        a.n -= at + 1;
        if (a.n == 0 || a.p[--a.n] != '>') return false;
    }
    if (a.n == 0 || a.n > MAIL_ADDRESS_MAX || has_controls(a)) return false;
    if (find_bare(a, " <>", &open) < a.n || open) return false;
    if (!utf8_next(&check, a) || !utf8_whole(&check)) return false;
    *address = a;
    return true;
}

/* ---- text ---------------------------------------------------------------- */

/* The bytes before the next CR or LF. */
static size_t to_line_end(struct span s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n') n++;
    return n;
}

static void end_line(struct mail_text *t, struct buf *out)
{
    buf_puts(out, "\r\n");
    t->size += 2;
    t->midline = false;
}

void mail_add_text(struct mail_text *t, struct buf *out, struct span piece)
{
    while (piece.n > 0) {
        size_t n = to_line_end(piece);
        if (n > 0) {
            if (!t->midline && piece.p[0] == '.') buf_puts(out, ".");
            buf_add(out, piece.p, n);
            t->size += n;
            t->midline = true;
            t->cr = false;
        } else {
            bool second = t->cr && piece.p[0] == '\n';
            if (!second) end_line(t, out);
            t->cr = piece.p[0] == '\r';
            n = 1;
        }
        piece.p += n;
        piece.n -= n;
    }
}

void mail_end_text(struct mail_text *t, struct buf *out)
{
    if (t->midline) end_line(t, out);
    buf_puts(out, ".\r\n");
}

/* ---- header fields ------------------------------------------------------- */

/* The length of the name that a line begins with and a ':' ends; 0 if that is
 * not how it begins. A name is printable ASCII without blanks. */
static size_t field_name(struct span line)
{
    size_t n = 0;

    while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f &&
           line.p[n] != ':')
        n++;
    if (n == line.n || line.p[n] != ':') return 0;
    return line.n - n > 2 && memcmp(line.p + n, "://", 3) == 0 ? 0 : n;
}

/* Takes the next line off the front, with its end. False at the end. */
static bool next_line(struct span *text, struct span *line)
{
    size_t n = to_line_end(*text);

    if (text->n == 0) return false;
    *line = (struct span){text->p, n};
    bool crlf = text->n - n >= 2 && memcmp(text->p + n, "\r\n", 2) == 0;
    n += crlf ? 2 : n < text->n;
    *text = (struct span){text->p + n, text->n - n};
    return true;
}

size_t mail_head(struct span text)
{
    struct span rest = text, line;
    size_t head = 0;

    while (next_line(&rest, &line)) {
        bool more = head > 0 && line.n > 0 && is_blank(line.p[0]);
        if (!more && field_name(line) == 0) break;
        head = text.n - rest.n;
    }
    return head;
}

bool mail_has_field(struct span head, const char *name)
{
    struct span line;

    while (next_line(&head, &line)) {
        line.n = field_name(line);
        if (line.n > 0 && span_is_nocase(line, name)) return true;
    }
    return false;
}
