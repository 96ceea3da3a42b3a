/* test_line.c -- keys go in; what comes out is given to a small model of a
 * terminal, and compared with what a user should see there. */
#define _POSIX_C_SOURCE 200809L

#include "../../websocket-client/line.h"
#include "test.h"

enum { WIDE_SCREEN = 200 };

/* One row. Each cell holds the bytes of one character and the marks on it; the
 * second cell of a wide one is empty. */
static char row[WIDE_SCREEN][32];
static size_t cursor, row_columns;
static bool overflowed;

/* Written down here on its own, and only for what the tests below show. */
static size_t width_of(const char *c, size_t n)
{
    if (n == 2 && (unsigned char)c[0] == 0xCC) return 0;       /* U+0301 */
    if (n == 3 && memcmp(c, "\342\200\215", 3) == 0) return 0; /* ZWJ */
    if (n == 3 && (unsigned char)c[0] >= 0xE3 && c[0] != '\xEF') return 2;
    return n == 4 ? 2 : 1;
}

static void clear_from(size_t column)
{
    for (size_t i = column; i < WIDE_SCREEN; i++) row[i][0] = '\0';
}

static void model_character(const char *p, size_t n)
{
    size_t width = width_of(p, n), at = cursor;

    if (width == 0 && at > 0) at--;
    if (width == 0 && at > 0 && row[at][0] == '\0') at--;
    if (cursor + width > row_columns) {
        overflowed = true;
        return;
    }
    if (width > 0) row[at][0] = '\0';
    strncat(row[at], p, n);
    if (width == 2) row[at + 1][0] = '\0';
    cursor += width;
}

/* Only the sequences that line.h promises are known; others are a failure. */
static void model(struct span s)
{
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == 0x1b && i + 1 < s.n && s.p[i + 1] == '[') {
            size_t number = 0;
            for (i += 2; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
                number = number * 10 + (size_t)(s.p[i] - '0');
            HOLDS(i < s.n && (s.p[i] == 'G' || (s.p[i] == 'J' && number == 0)),
                  "a sequence that ends in %c", i < s.n ? s.p[i] : '?');
            if (i < s.n && s.p[i] == 'G') cursor = number - 1;
            if (i < s.n && s.p[i] == 'J') clear_from(cursor);
            i++;
            continue;
        }
        size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        HOLDS(c >= ' ' && c != 0x7F && i + n <= s.n, "byte %02x", c);
        if (i + n > s.n) return;
        model_character(s.p + i, n);
        i += n;
    }
}

static struct line new_line(size_t columns)
{
    struct line l = {.prompt = "-> ", .columns = columns};
    l.text.max = 1 << 20;
    return l;
}

static enum line_event keys(struct line *l, const char *p, size_t n)
{
    enum line_event event = LINE_GOES_ON;
    for (size_t i = 0; i < n; i++) event = line_key(l, p[i]);
    return event;
}

/* The row as text, '|' for where the cursor is, blanks at the end left out. */
static const char *seen(struct line *l)
{
    static char text[WIDE_SCREEN * 32];
    struct buf screen = {.max = 1 << 16};
    size_t end = 0;

    overflowed = false;
    row_columns = l->columns;
    line_draw(l, &screen);
    model(buf_span(&screen));
    buf_free(&screen);
    HOLDS(!overflowed, "wider than %zu", l->columns);
    HOLDS(cursor < l->columns, "cursor in column %zu of %zu", cursor,
          l->columns);

    text[0] = '\0';
    for (size_t i = 0; i < WIDE_SCREEN; i++)
        if (row[i][0] || i == cursor) end = i + 1;
    for (size_t i = 0; i < end; i++) {
        if (i == cursor) strcat(text, "|");
        strcat(text, row[i]);
    }
    return text;
}

static bool text_is(const struct line *l, const char *want)
{
    return span_is(line_text(l), want) ||
           (*want == '\0' && line_text(l).n == 0);
}

#define LEFT "\x1b[D"
#define RIGHT "\x1b[C"
#define UP "\x1b[A"
#define DOWN "\x1b[B"

static void editing(void)
{
    static const struct {
        const char *keys, *screen;
    } table[] = {
        {"", "-> |"},
        {"Hello", "-> Hello|"},
        {"Hello" LEFT LEFT "X", "-> HelX|lo"},
        {"Hello" LEFT LEFT LEFT LEFT LEFT LEFT LEFT "X", "-> X|Hello"},
        {"Hello" LEFT RIGHT RIGHT RIGHT "X", "-> HelloX|"},
        {"Hello\x7f", "-> Hell|"},
        {"Hello\x08\x08", "-> Hel|"},
        {"\x7f\x7f", "-> |"},
        {"Hello" LEFT LEFT "\x7f", "-> He|lo"},
        {"Hello\x01X", "-> X|Hello"},
        {"Hello\x01\x05X", "-> HelloX|"},
        {"Hello\x1b[HX", "-> X|Hello"},
        {"Hello\x1bOHX", "-> X|Hello"},
        {"Hello\x1b[1~X", "-> X|Hello"},
        {"Hello\x1b[7~X\x1b[8~Y", "-> XHelloY|"},
        {"Hello\x1b[1~\x1b[4~X", "-> HelloX|"},
        {"Hello\x1b[H\x1b[FX", "-> HelloX|"},
        {"Hello\x1bOH\x1bOFX", "-> HelloX|"},
        {"Hello\x1bOD\x1bODX\x1bOCY", "-> HelXlY|o"},
        {"Hello\x02\x02X\x06Y", "-> HelXlY|o"},
        {"Hello\x01\x1b[3~", "-> |ello"},
        {"Hello\x1b[3~", "-> Hello|"},
        {"Hello\x01\x04", "-> |ello"},
        {"Hello\x04", "-> Hello|"},
        {"Hello" LEFT LEFT "\x0b", "-> Hel|"},
        {"Hello" LEFT LEFT "\x15", "-> |lo"},
        {"two words\x17", "-> two |"},
        {"two words   \x17", "-> two |"},
        {"two words\x17\x17\x17", "-> |"},
        {"two words" LEFT LEFT "\x17", "-> two |ds"},
        {"a\tb", "-> a b|"},
        /* control characters are not text */
        {"a\x03\x07\x0e\x10\x0f\x11\x12\x13\x14\x16\x18\x19\x1a\x1c\x1d\x1e"
         "\x1f"
         "b",
         "-> ab|"},
        /* keys that mean nothing here, whole and cut short */
        {"a\x1b[15~b\x1b[2~c\x1b[5;3~d\x1b[[Ae\x1b[?1;2cf\x1b[200~g\x1b[201~",
         "-> abcdefg|"},
        {"a\x1bOPb\x1bxc\x1b[Zd", "-> abcd|"},
        {"ab\x1b[1;5DX", "-> aX|b"}, /* Ctrl makes no difference */
        {"ab\x1b\x1b[DX", "-> aX|b"},
        {"a\x1b\x7f"
         "b",
         "-> b|"},
        {"a\x1b[\x7f"
         "b",
         "-> b|"},
        {"a\x1b[12345678901234567890~b", "-> ab|"},
        {"a\x1b\xC3\xA9", "-> aé|"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct line l = new_line(60);
        CHECK(keys(&l, table[i].keys, strlen(table[i].keys)) == LINE_GOES_ON,
              "line %zu", i);
        const char *got = seen(&l);
        CHECK(strcmp(got, table[i].screen) == 0, "line %zu: %s, not %s", i, got,
              table[i].screen);
        line_free(&l);
    }
}

/* Every event, and that the terminal may send CR or LF for Enter. */
static void events(void)
{
    struct line l = new_line(60);

    CHECK(keys(&l, "\x04", 1) == LINE_ENDED, "^D");
    CHECK(keys(&l, "\x0c", 1) == LINE_CLEARED, "^L");
    CHECK(keys(&l, "\r", 1) == LINE_ENTERED && text_is(&l, ""), "empty");
    line_next(&l);
    CHECK(keys(&l, "a\n", 2) == LINE_ENTERED && text_is(&l, "a"), "LF");
    CHECK(strcmp(seen(&l), "-> a|") == 0, "still there");
    line_next(&l);
    CHECK(strcmp(seen(&l), "-> |") == 0, "gone");
    CHECK(keys(&l, "b\x1b\r", 3) == LINE_ENTERED && text_is(&l, "b"),
          "Enter after the Esc key");
    line_free(&l);
}

/* What is shown of characters that are not ASCII; the keys come in one read,
 * or, which must make no difference, a byte at a time with looks between. */
static void characters(void)
{
    static const struct {
        const char *keys, *screen;
        const char *text;
    } table[] = {
        {"é", "-> é|", "é"},
        {"aéb" LEFT "\x7f", "-> a|b", "ab"},
        {"日本語", "-> 日本語|", NULL},
        {"日本" LEFT "x", "-> 日x|本", NULL},
        {"日本" LEFT LEFT "\x1b[3~", "-> |本", NULL},
        {"e\314\201x" LEFT LEFT "y", "-> y|e\314\201x", NULL},
        {"e\314\201x" LEFT "\x7f", "-> |x", "x"},
        {"e\314\201\314\201\x7f", "-> |", ""},
        {"\314\201" LEFT, "-> \314\201|", NULL}, /* on the prompt's blank */
        {"😀" LEFT "x", "-> x|😀", NULL},
        /* not UTF-8: shown, kept as it is, and one character a byte */
        {"a\xE9", NULL, "a"},
        {"a\xE9z", "-> a\\xE9z|", "a\xE9z"},
        {"a\xE9\xE9z", "-> a\\xE9\\xE9z|", "a\xE9\xE9z"},
        {"\x80z", "-> \\x80z|", "\x80z"},
        {"\xFFé", "-> \\xFFé|", "\xFFé"},
        {"\xE3\x81é", "-> \\xE3\\x81é|", "\xE3\x81é"},
        {"\xED\xA0\x80z", "-> \\xED\\xA0\\x80z|", "\xED\xA0\x80z"},
        {"\xE9z" LEFT "\x7f", "-> |z", "z"},
        /* what could drive the terminal is never sent to it */
        {"\xC2\x9B"
         "2J",
         "-> \\xC2\\x9B2J|",
         "\xC2\x9B"
         "2J"},
        {"\342\200\256x" LEFT "\x7f", "-> |x", "x"},
        {"\342\200\256x", "-> \\xE2\\x80\\xAEx|", NULL},
    };

    for (size_t i = 0; i < 2 * sizeof table / sizeof *table; i++) {
        struct line l = new_line(60);
        const char *k = table[i / 2].keys;
        for (size_t j = 0; j < strlen(k); j++) {
            line_key(&l, k[j]);
            if (i % 2) seen(&l);
        }
        const char *got = seen(&l);
        CHECK(!table[i / 2].screen || strcmp(got, table[i / 2].screen) == 0,
              "line %zu: %s, not %s", i / 2, got, table[i / 2].screen);
        CHECK(!table[i / 2].text || text_is(&l, table[i / 2].text), "line %zu",
              i / 2);
        line_free(&l);
    }
}

/* A line wider than the terminal: some of it is shown, with the cursor, and
 * the bytes before and after the cursor are the right ones. */
static void scrolling(void)
{
    for (size_t columns = 1; columns <= 40; columns++) {
        struct line l = new_line(columns);
        for (int i = 0; i < 300; i++) {
            const char *c = i % 7 == 3 ? "日" : i % 7 == 5 ? "e\314\201" : "x";
            keys(&l, c, strlen(c));
            if (i % 3) seen(&l);
        }
        for (int i = 0; i < 400; i++) { /* and 100 more at the beginning */
            keys(&l, LEFT, 3);
            if (columns >= 12) {
                const char *text = seen(&l), *bar = strchr(text, '|');
                HOLDS(bar && (l.at == 0 || bar > text + 3),
                      "nothing before the cursor");
                size_t n = strlen(bar + 1);
                HOLDS(n <= line_text(&l).n - l.at &&
                          memcmp(bar + 1, line_text(&l).p + l.at, n) == 0,
                      "%zu columns, after the cursor: %s", columns, text);
                n = (size_t)(bar - text) - 3;
                HOLDS(n <= l.at &&
                          memcmp(text + 3, line_text(&l).p + l.at - n, n) == 0,
                      "%zu columns, before the cursor: %s", columns, text);
            } else {
                seen(&l);
            }
        }
        CHECK(l.at == 0, "at %zu", l.at);
        for (size_t other = 1; other < 60; other += 7) { /* it is resized */
            l.columns = other;
            keys(&l, RIGHT RIGHT RIGHT, 9);
            seen(&l);
        }
        line_free(&l);
    }

    struct line l = new_line(10); /* six columns of text */
    keys(&l, "abcdef", 6);
    CHECK(strchr(seen(&l), 'f'), "%s", seen(&l));
    keys(&l,
         "\x15"
         "ab",
         3);
    CHECK(strcmp(seen(&l), "-> ab|") == 0, "%s", seen(&l));
    /* what fits is shown from its beginning: cut short, or with more room */
    keys(&l, "cdefghij", 8);
    seen(&l);
    keys(&l, "\x7f\x7f\x7f\x7f\x7f", 5);
    CHECK(strcmp(seen(&l), "-> abcde|") == 0, "%s", seen(&l));
    keys(&l, "fghij", 5);
    seen(&l);
    l.columns = 20;
    CHECK(strcmp(seen(&l), "-> abcdefghij|") == 0, "%s", seen(&l));
    l.columns = 10;
    /* moved, cut and pasted far off, all without a look */
    keys(&l,
         "\x15"
         "0123456789日本語",
         20);
    seen(&l);
    keys(&l, "\x01é\x0béé", 8);
    CHECK(strcmp(seen(&l), "-> ééé|") == 0, "%s", seen(&l));
    line_free(&l);
}

static void history(void)
{
    struct line l = new_line(60);

    for (int i = 0; i < 150; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", i);
        keys(&l, text, strlen(text));
        line_next(&l);
    }
    keys(&l, "draft", 5);
    keys(&l, UP, 3);
    CHECK(strcmp(seen(&l), "-> 149|") == 0, "%s", seen(&l));
    keys(&l, UP, 3);
    CHECK(strcmp(seen(&l), "-> 148|") == 0, "%s", seen(&l));
    keys(&l, "x", 1);
    CHECK(strcmp(seen(&l), "-> 148x|") == 0, "%s", seen(&l));
    keys(&l, DOWN, 3);
    CHECK(strcmp(seen(&l), "-> 149|") == 0, "%s", seen(&l));
    keys(&l, DOWN DOWN DOWN, 9);
    CHECK(strcmp(seen(&l), "-> draft|") == 0, "%s", seen(&l));
    for (int i = 0; i < 200; i++) keys(&l, UP, 3);
    CHECK(text_is(&l, "50"), "the oldest of %d", LINE_HISTORY);
    for (int i = 0; i < 99; i++) keys(&l, "\x0e", 1); /* ^N */
    CHECK(text_is(&l, "149"), "the newest");
    keys(&l, "\x10", 1); /* ^P */
    CHECK(text_is(&l, "148"), "one before");
    keys(&l, "\n", 1);
    line_next(&l);
    keys(&l, UP, 3);
    CHECK(text_is(&l, "148"), "it was entered again");
    keys(&l, UP, 3);
    CHECK(text_is(&l, "149"), "and stands after the others");
    line_free(&l);

    l = new_line(60); /* neither empty lines, nor the same again, nor huge */
    keys(&l, UP "a", 4);
    CHECK(text_is(&l, "a"), "no history yet");
    line_next(&l);
    line_next(&l);
    keys(&l, "a", 1);
    line_next(&l);
    for (int i = 0; i <= LINE_HISTORY_MAX; i++) line_key(&l, 'x');
    line_next(&l);
    CHECK(l.nhistory == 1, "%zu lines", l.nhistory);
    keys(&l, UP UP UP, 9);
    CHECK(text_is(&l, "a"), "the only one");
    line_free(&l);
}

/* A line that is full takes no more, and says nothing of what it cannot hold;
 * lines longer than a terminal's own 4,096 bytes are whole. */
static void limits(void)
{
    struct line l = new_line(80);

    for (int i = 0; i < 100000; i++) line_key(&l, (char)('a' + i % 26));
    CHECK(line_text(&l).n == 100000 && line_text(&l).p[99999] == 'd', "long");
    seen(&l);
    line_free(&l);

    l = new_line(80);
    l.text.max = 4;
    keys(&l,
         "abcé"
         "de",
         7);
    CHECK(text_is(&l, "abcd"), "full");
    keys(&l, "\x7f\x7fé", 4);
    CHECK(text_is(&l, "abé"), "room again");
    line_free(&l);
}

int main(void)
{
    editing();
    events();
    characters();
    scrolling();
    history();
    limits();
    return report();
}
