#define _POSIX_C_SOURCE 200809L

#include "multipart.h"

/* ---- text --------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

size_t percent_decode(char *out, struct span in)
{
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%' && in.n - i > 2 && hex_value(in.p[i + 1]) >= 0 &&
            hex_value(in.p[i + 2]) >= 0) {
            c = (char)(hex_value(in.p[i + 1]) * 16 + hex_value(in.p[i + 2]));
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}

/* A folded header brings its line ends along. */
static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span s)
{
    while (s.n > 0 && is_space(s.p[0])) s.p++, s.n--;
    while (s.n > 0 && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

static bool starts_with_nocase(struct span s, const char *text)
{
    size_t n = strlen(text);
    return s.n >= n && span_is_nocase((struct span){s.p, n}, text);
}

/* ---- parameters: `; name="a"; filename=b` ------------------------------- */

/* A backslash stands before a quote or another backslash: RFC 9110, 5.6.4.
 * Before anything else it is one of C:\dir\f.txt. */
static bool is_escape(struct span s, size_t at)
{
    return s.p[at] == '\\' && at + 1 < s.n &&
           (s.p[at + 1] == '"' || s.p[at + 1] == '\\');
}

/* The bytes before the quote that ends a quoted string; s.n if none does. */
static size_t quoted_length(struct span s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != '"') n += is_escape(s, n) ? 2 : 1;
    return n;
}

/* Takes the next parameter off *list, its value still escaped. A name without
 * '=' has an absent value. False at the end; a quote that is never closed is
 * an end, too, with list->n > 0. */
static bool param_next(struct span *list, struct span *name, struct span *value)
{
    const char *semicolon = list->n > 0 ? memchr(list->p, ';', list->n) : NULL;
    *value = (struct span){NULL, 0};
    if (!semicolon) {
        list->n = 0;
        return false;
    }
    struct span s = {semicolon + 1,
                     list->n - (size_t)(semicolon + 1 - list->p)};

    size_t n = 0;
    while (n < s.n && s.p[n] != '=' && s.p[n] != ';') n++;
    *name = trim((struct span){s.p, n});
    bool valued = n < s.n && s.p[n] == '=';
    if (valued) n++;
    while (valued && n < s.n && is_space(s.p[n])) n++;
    s = (struct span){s.p + n, s.n - n};

    if (valued && s.n > 0 && s.p[0] == '"') {
        s = (struct span){s.p + 1, s.n - 1};
        n = quoted_length(s);
        if (n == s.n) return false;
        *value = (struct span){s.p, n++};
    } else if (valued) {
        for (n = 0; n < s.n && s.p[n] != ';';) n++;
        *value = trim((struct span){s.p, n});
    } else {
        n = 0;
    }
    *list = (struct span){s.p + n, s.n - n};
    return true;
}

/* Takes the escapes out of a value; OUT may be in.p itself. */
static size_t unescape(char *out, struct span in)
{
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        if (is_escape(in, i)) i++;
        out[n++] = in.p[i];
    }
    return n;
}

/* Browsers, and curl, write only these three so, and a percent sign as it is
 * (WHATWG HTML, "multipart form data"): what else looks encoded is not. */
static size_t unescape_quotes(char *out, struct span in)
{
    size_t n = 0;

    while (in.n > 0) {
        bool encoded = starts_with_nocase(in, "%22") ||
                       starts_with_nocase(in, "%0D") ||
                       starts_with_nocase(in, "%0A");
        size_t used = encoded ? 3 : 1;
        n += percent_decode(out + n, (struct span){in.p, used});
        in = (struct span){in.p + used, in.n - used};
    }
    return n;
}

/* ---- a part's head ------------------------------------------------------ */

/* The same bytes, which are ours to change: they lie in m->head. */
static char *in_head(struct multipart *m, struct span s)
{
    return buf_at(&m->head) + (s.p - buf_at(&m->head));
}

static struct span plain(struct multipart *m, struct span value)
{
    char *p = in_head(m, value);
    value = (struct span){p, unescape(p, value)};
    return (struct span){p, unescape_quotes(p, value)};
}

/* UTF-8''caf%C3%A9.txt, of RFC 8187. RFC 7578, 4.2 asks senders not to use it,
 * but some do; no other character set is known here. */
static void extended_filename(struct multipart *m, struct span value)
{
    if (!starts_with_nocase(value, "utf-8'")) return;
    const char *quote = memchr(value.p + 6, '\'', value.n - 6);
    if (!quote) return;

    size_t n = (size_t)(quote + 1 - value.p);
    value = (struct span){value.p + n, value.n - n};
    char *p = in_head(m, value);
    m->filename = (struct span){p, percent_decode(p, value)};
}

/* form-data; name="userfile1"; filename="a.txt": RFC 7578, 4.2. */
static bool disposition(struct multipart *m, struct span value)
{
    struct span list = value, name, extended = {NULL, 0};
    const char *end = value.n > 0 ? memchr(value.p, ';', value.n) : NULL;

    if (end) value.n = (size_t)(end - value.p);
    if (!span_is_nocase(trim(value), "form-data")) return false;
    while (param_next(&list, &name, &value)) {
        if (span_is_nocase(name, "name") && value.p)
            m->name = plain(m, value);
        else if (span_is_nocase(name, "filename") && value.p)
            m->filename = plain(m, value);
        else if (span_is_nocase(name, "filename*") && value.p)
            extended = value;
    }
    if (extended.p) extended_filename(m, extended);
    return list.n == 0;
}

/* The bytes of a header field, without its CRLF. A line that begins with a
 * blank belongs to the one before: RFC 5322, 2.2.3. */
static size_t field_length(struct span s)
{
    size_t n = 0;

    while (n + 2 < s.n &&
           (s.p[n] != '\r' || s.p[n + 2] == ' ' || s.p[n + 2] == '\t'))
        n++;
    return n;
}

/* m->head is CRLF, the fields, each with its CRLF, and CRLF. Files are not
 * looked for within a part, where senders may no longer put them (RFC 7578,
 * 4.3) but curl -F f=@a,b still does: so it must not pass for a text. */
static bool parse_head(struct multipart *m)
{
    struct span s = {buf_at(&m->head) + 2, buf_len(&m->head) - 2};
    bool nested = false;

    while (s.n > 2) {
        struct span line = {s.p, field_length(s)};
        const char *colon = memchr(line.p, ':', line.n);
        if (!colon) return false;

        size_t n = (size_t)(colon - line.p);
        struct span name = trim((struct span){line.p, n});
        struct span value = {colon + 1, line.n - n - 1};
        if (span_is_nocase(name, "Content-Disposition") && !m->name.p &&
            !disposition(m, value))
            return false;
        if (span_is_nocase(name, "Content-Type"))
            nested = starts_with_nocase(trim(value), "multipart/");
        s = (struct span){s.p + line.n + 2, s.n - line.n - 2};
    }
    return m->name.p && (m->filename.p || !nested);
}

/* Behind a delimiter: either the next part's head begins, with the line end
 * that has been read, or the epilogue. */
static void leave_delimiter(struct multipart *m, bool closing)
{
    m->held = 0;
    m->name = m->filename = (struct span){NULL, 0};
    m->state = closing ? MULTIPART_IN_EPILOGUE : MULTIPART_IN_HEAD;
    buf_puts(&m->head, closing ? "" : "\r\n");
    m->line_ends = 2;
}

/* The line end before a delimiter may be the one that ends the head: then the
 * part is empty. It is taken for seen when the data begins. */
static void begin_data(struct multipart *m)
{
    m->held = m->before = 2;
}

static enum multipart_event next_head(struct multipart *m, struct span *in)
{
    size_t n = 0;

    while (n < in->n && m->line_ends < 4) {
        char c = in->p[n++];
        if (c == "\r\n\r\n"[m->line_ends])
            m->line_ends++;
        else if (m->line_ends % 2 == 1 || c == '\n') /* half a line end */
            return MULTIPART_BAD;
        else
            m->line_ends = 0;
    }
    buf_add(&m->head, in->p, n);
    *in = (struct span){in->p + n, in->n - n};
    if (m->head.failed) return MULTIPART_BAD;
    if (m->line_ends < 4) return MULTIPART_MORE;
    if (!parse_head(m)) return MULTIPART_BAD;
    m->state = MULTIPART_IN_DATA;
    begin_data(m);
    return MULTIPART_HEAD;
}

/* ---- data, and the delimiter that ends it ------------------------------- */

/* How many bytes there are before the delimiter, or before what may be its
 * beginning at the end of IN. Horspool's way: the byte under the delimiter's
 * last one says how far it may be moved on. Mostly that is its whole length: a
 * branch of its own, since the processor foresees a branch, but waits for a
 * sum. If it is not far, it moves to the next CR, which it begins with. It
 * holds no other: no byte is compared for two places, and this is linear
 * whatever the data. */
static size_t search(const struct multipart *m, struct span in)
{
    size_t at = 0;

    while (in.n - at >= m->length) {
        size_t skip = m->skip[(unsigned char)in.p[at + m->length - 1]];
        if (skip == m->length) {
            at += m->length;
        } else if (skip == 0 && memcmp(in.p + at, m->text, m->length) == 0) {
            return at;
        } else {
            at += skip > 0 ? skip : 1;
            if (skip < 8)
                while (at < in.n && in.p[at] != '\r') at++;
        }
    }
    for (; at < in.n; at++)
        if (in.p[at] == '\r' && memcmp(in.p + at, m->text, in.n - at) == 0)
            break;
    return at;
}

static void prepare_search(struct multipart *m)
{
    memset(m->skip, (int)m->length, sizeof m->skip);
    for (size_t i = 0; i < m->length; i++)
        m->skip[(unsigned char)m->text[i]] = (unsigned char)(m->length - 1 - i);
}

/* Behind the boundary in its line: -- or blanks and CRLF. Anything else makes
 * this a line of data, which only begins as a delimiter does. */
static bool may_follow(const struct multipart *m, char c)
{
    char last = m->held > m->length ? m->text[m->held - 1] : ' ';

    if (m->held == sizeof m->text) return false;
    if (last == '-') return c == '-';
    if (last == '\r') return c == '\n';
    if (c == '-') return m->held == m->length;
    return c == ' ' || c == '\t' || c == '\r';
}

enum verdict { NOT_YET, IS_NOT, NEXT_PART, LAST_PART };

/* Goes on comparing where what is held ends. */
static enum verdict compare(struct multipart *m, struct span *in)
{
    while (in->n > 0) {
        char c = in->p[0];
        if (m->held < m->length ? c != m->text[m->held] : !may_follow(m, c))
            return IS_NOT;
        m->text[m->held++] = c;
        in->p++, in->n--;
        if (m->held > m->length && c == '\n') return NEXT_PART;
        if (m->held == m->length + 2 && c == '-') return LAST_PART;
    }
    return NOT_YET;
}

/* What is held was data after all: no delimiter begins within it, since none
 * of its bytes but the first is a CR that an LF can follow. */
static struct span give_back(struct multipart *m)
{
    struct span data = {m->text + m->before, m->held - m->before};
    m->held = m->before = 0;
    return data;
}

static enum multipart_event next_data(struct multipart *m, struct span *in,
                                      struct span *data)
{
    if (m->held == 0) {
        size_t n = search(m, *in);
        *data = (struct span){in->p, n};
        *in = (struct span){in->p + n, in->n - n};
        if (n > 0 || in->n == 0) return n > 0 ? MULTIPART_DATA : MULTIPART_MORE;
    }
    switch (compare(m, in)) {
    case IS_NOT: *data = give_back(m); return MULTIPART_DATA;
    case NEXT_PART: leave_delimiter(m, false); return MULTIPART_END;
    case LAST_PART: leave_delimiter(m, true); return MULTIPART_END;
    default: return MULTIPART_MORE;
    }
}

/* ---- the whole ---------------------------------------------------------- */

static bool boundary_ok(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~') return false;
    return s.n > 0 && s.n <= MULTIPART_BOUNDARY_MAX && s.p[s.n - 1] != ' ';
}

bool multipart_start(struct multipart *m, struct span content_type)
{
    struct span name, value, list = content_type;
    char text[2 * MULTIPART_BOUNDARY_MAX];

    memset(m, 0, sizeof *m);
    m->head.max = MULTIPART_HEAD_MAX;
    do {
        if (!param_next(&list, &name, &value)) return false;
    } while (!span_is_nocase(name, "boundary"));
    if (value.n > sizeof text) return false;
    struct span boundary = {text, unescape(text, value)};
    if (!boundary_ok(boundary)) return false;

    memcpy(m->text, "\r\n--", 4);
    memcpy(m->text + 4, boundary.p, boundary.n);
    m->length = 4 + boundary.n;
    prepare_search(m);
    begin_data(m); /* the first delimiter needs no line end before it */
    return true;
}

enum multipart_event multipart_next(struct multipart *m, struct span *in,
                                    struct span *data)
{
    enum multipart_event event = MULTIPART_BAD;

    *data = (struct span){NULL, 0};
    if (m->state == MULTIPART_IN_DATA) buf_free(&m->head);
    do {
        bool preamble = m->state == MULTIPART_IN_PREAMBLE;
        if (preamble || m->state == MULTIPART_IN_DATA)
            event = next_data(m, in, data);
        else if (m->state == MULTIPART_IN_HEAD)
            event = next_head(m, in);
        else if (m->state == MULTIPART_IN_EPILOGUE)
            event = MULTIPART_MORE, in->n = 0;
        if (event == MULTIPART_BAD) m->state = MULTIPART_IN_RUINS;
        /* A preamble, the end of it, and no bytes at all are no events. */
        if (event == MULTIPART_DATA && (preamble || data->n == 0)) continue;
        if (event == MULTIPART_END && preamble) continue;
        return event;
    } while (true);
}

bool multipart_whole(const struct multipart *m)
{
    return m->state == MULTIPART_IN_EPILOGUE;
}

void multipart_free(struct multipart *m)
{
    buf_free(&m->head);
}
