#define _POSIX_C_SOURCE 200809L

#include "json.h"

#include "utf8.h"

#include <stdint.h>

enum { MAX_DEPTH = 512 };

/* What stands behind the backslash, and what it means (section 7). */
static const char letters[] = "\"\\/bfnrt";
static const char meanings[] = "\"\\/\b\f\n\r\t";

/* The pass_ functions move IN behind what they are called after. False: there
 * is no such thing, or it is malformed. */

static char first(const struct span *in)
{
    return in->n > 0 ? *in->p : '\0'; /* NUL has no meaning in the grammar */
}

static void skip(struct span *in, size_t n)
{
    in->p += n;
    in->n -= n;
}

static bool pass(struct span *in, char c)
{
    if (in->n == 0 || *in->p != c) return false;
    skip(in, 1);
    return true;
}

static void pass_space(struct span *in)
{
    while (pass(in, ' ') || pass(in, '\t') || pass(in, '\n') || pass(in, '\r'))
        ;
}

static bool pass_word(struct span *in, const char *word)
{
    size_t n = strlen(word);
    if (in->n < n || memcmp(in->p, word, n) != 0) return false;
    skip(in, n);
    return true;
}

static bool pass_digits(struct span *in)
{
    size_t n = in->n;
    while (first(in) >= '0' && first(in) <= '9') skip(in, 1);
    return in->n < n;
}

/* Section 6. Of "01" the 0 is the number, and the 1 what should not follow. */
static bool pass_number(struct span *in)
{
    pass(in, '-');
    if (!pass(in, '0') && !pass_digits(in)) return false;
    if (pass(in, '.') && !pass_digits(in)) return false;
    if (!pass(in, 'e') && !pass(in, 'E')) return true;
    if (!pass(in, '+')) pass(in, '-');
    return pass_digits(in);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The number in \uXXXX; -1 if IN does not begin with such an escape. */
static int32_t unit(struct span in)
{
    int32_t value = 0;

    if (in.n < 6 || in.p[0] != '\\' || in.p[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex(in.p[i]);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static bool pass_escape(struct span *in)
{
    if (unit(*in) >= 0)
        skip(in, 6);
    else if (in->n >= 2 && memchr(letters, in->p[1], sizeof letters - 1))
        skip(in, 2);
    else
        return false;
    return true;
}

static bool pass_string(struct span *in)
{
    if (!pass(in, '"')) return false;
    while (in->n > 0 && *in->p != '"') {
        if ((unsigned char)*in->p < 0x20) return false;
        if (*in->p != '\\')
            skip(in, 1);
        else if (!pass_escape(in))
            return false;
    }
    return pass(in, '"');
}

/* A member's name and its colon. */
static bool pass_name(struct span *in)
{
    pass_space(in);
    if (!pass_string(in)) return false;
    pass_space(in);
    return pass(in, ':');
}

static bool pass_scalar(struct span *in)
{
    return first(in) == '"' ? pass_string(in)
                            : pass_word(in, "true") || pass_word(in, "false") ||
                                  pass_word(in, "null") || pass_number(in);
}

/* Any value. Each turn begins where a value is due. What is still open is kept
 * in a list of our own and not on C's stack, whose end nobody can test for. */
static bool pass_value(struct span *in)
{
    char closers[MAX_DEPTH]; /* of all that is open: ] or } */
    size_t depth = 0;

    for (;;) {
        pass_space(in);
        if (first(in) == '[' || first(in) == '{') {
            if (depth == MAX_DEPTH) return false;
            char closer = first(in) == '[' ? ']' : '}';
            closers[depth++] = closer;
            skip(in, 1);
            pass_space(in);
            if (first(in) != closer) {
                if (closer == '}' && !pass_name(in)) return false;
                continue;
            }
        } else if (!pass_scalar(in)) {
            return false;
        }

        /* A value is over, or an empty array or object about to be: close
         * what ends here, up to a comma or the end of it all. */
        for (;; depth--) {
            if (depth == 0) return true;
            pass_space(in);
            if (pass(in, ',')) break;
            if (!pass(in, closers[depth - 1])) return false;
        }
        if (closers[depth - 1] == '}' && !pass_name(in)) return false;
    }
}

bool json_ok(struct span text)
{
    struct utf8 u = {0};

    if (!utf8_next(&u, text) || !utf8_whole(&u) || !pass_value(&text))
        return false;
    pass_space(&text);
    return text.n == 0;
}

static size_t write_utf8(char out[4], int32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const int lead[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = n; --i > 0; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* The character that \uXXXX stands for; two of them, if they are a pair of
 * surrogates (section 7). */
static int32_t pass_unit(struct span *in)
{
    int32_t high = unit(*in), low;

    skip(in, 6);
    if (high < 0xD800 || high > 0xDFFF) return high;
    low = unit(*in);
    if (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF) return 0xFFFD;
    skip(in, 6);
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* The next piece of what is between the quotes: the bytes up to a backslash as
 * they are, or one escape as the character it means, in ROOM. */
static struct span next_piece(struct span *in, char room[4])
{
    struct span piece = {in->p, in->n};
    const char *backslash = memchr(in->p, '\\', in->n);

    if (backslash != in->p) {
        if (backslash) piece.n = (size_t)(backslash - in->p);
        skip(in, piece.n);
    } else if (in->p[1] == 'u') {
        piece = (struct span){room, write_utf8(room, pass_unit(in))};
    } else {
        const char *at = memchr(letters, in->p[1], sizeof letters - 1);
        piece = (struct span){meanings + (at - letters), 1};
        skip(in, 2);
    }
    return piece;
}

static struct span inside_quotes(struct span string)
{
    return (struct span){string.p + 1, string.n - 2};
}

static bool string_means(struct span string, const char *text)
{
    struct span in = inside_quotes(string);
    size_t left = strlen(text);
    char room[4];

    while (in.n > 0) {
        struct span piece = next_piece(&in, room);
        if (piece.n > left || memcmp(text, piece.p, piece.n) != 0) return false;
        text += piece.n;
        left -= piece.n;
    }
    return left == 0;
}

/* json_ok() has seen all of it: after the first brace nothing can fail. */
bool json_member(struct span object, const char *name, struct span *value)
{
    bool found = false;

    pass_space(&object);
    if (!pass(&object, '{')) return false;
    pass_space(&object);
    while (first(&object) == '"') {
        struct span key = object;
        pass_string(&object);
        key.n -= object.n;
        pass_space(&object);
        pass(&object, ':');
        pass_space(&object);

        struct span raw = object;
        pass_value(&object);
        raw.n -= object.n;
        if (string_means(key, name)) {
            *value = raw;
            found = true;
        }
        pass_space(&object);
        pass(&object, ',');
        pass_space(&object);
    }
    return found;
}

void json_text(struct buf *out, struct span value)
{
    char room[4];

    if (first(&value) != '"') {
        buf_add(out, value.p, value.n);
        return;
    }
    value = inside_quotes(value);
    while (value.n > 0) {
        struct span piece = next_piece(&value, room);
        buf_add(out, piece.p, piece.n);
    }
}

static void quote_one(struct buf *out, unsigned char c)
{
    const char *at = memchr(meanings, c, sizeof meanings - 1);
    char text[] = "\\u00..";

    if (at) {
        text[1] = letters[at - meanings];
        buf_add(out, text, 2);
        return;
    }
    text[4] = "01"[c >> 4];
    text[5] = "0123456789abcdef"[c & 15];
    buf_add(out, text, 6);
}

static size_t plain_length(struct span text)
{
    size_t n = 0;
    while (n < text.n && (unsigned char)text.p[n] >= 0x20 && text.p[n] != '"' &&
           text.p[n] != '\\')
        n++;
    return n;
}

void json_quote(struct buf *out, struct span text)
{
    buf_add(out, "\"", 1);
    while (text.n > 0) {
        size_t n = plain_length(text);
        buf_add(out, text.p, n);
        skip(&text, n);
        if (text.n == 0) break;
        quote_one(out, (unsigned char)*text.p);
        skip(&text, 1);
    }
    buf_add(out, "\"", 1);
}
