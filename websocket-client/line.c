#define _POSIX_C_SOURCE 200809L

#include "line.h"

#include <stdint.h>

#include "../common/show.h"
#include "../common/utf8.h"

/* ---- how wide a character is --------------------------------------------- */

struct range {
    uint32_t from, to;
};

/* Unicode's combining marks and invisible characters: those of the scripts
 * most in use. Another one leaves the cursor a column off, no more. */
static const struct range zero[] = {
    {0x0300, 0x036F},   {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x05BF, 0x05BF},
    {0x05C1, 0x05C2},   {0x05C4, 0x05C5}, {0x05C7, 0x05C7}, {0x0610, 0x061A},
    {0x061C, 0x061C},   {0x064B, 0x065F}, {0x0670, 0x0670}, {0x06D6, 0x06DC},
    {0x06DF, 0x06E4},   {0x06E7, 0x06E8}, {0x06EA, 0x06ED}, {0x0900, 0x0902},
    {0x093A, 0x093A},   {0x093C, 0x093C}, {0x0941, 0x0948}, {0x094D, 0x094D},
    {0x0951, 0x0957},   {0x0962, 0x0963}, {0x0981, 0x0981}, {0x09BC, 0x09BC},
    {0x09C1, 0x09C4},   {0x09CD, 0x09CD}, {0x09E2, 0x09E3}, {0x09FE, 0x09FE},
    {0x0A01, 0x0A02},   {0x0A3C, 0x0A3C}, {0x0A41, 0x0A51}, {0x0A70, 0x0A71},
    {0x0A75, 0x0A75},   {0x0A81, 0x0A82}, {0x0ABC, 0x0ABC}, {0x0AC1, 0x0AC8},
    {0x0ACD, 0x0ACD},   {0x0AE2, 0x0AE3}, {0x0AFA, 0x0AFF}, {0x0B82, 0x0B82},
    {0x0BC0, 0x0BC0},   {0x0BCD, 0x0BCD}, {0x0C00, 0x0C00}, {0x0C04, 0x0C04},
    {0x0C3C, 0x0C3C},   {0x0C3E, 0x0C40}, {0x0C46, 0x0C56}, {0x0C62, 0x0C63},
    {0x0C81, 0x0C81},   {0x0CBC, 0x0CBC}, {0x0CBF, 0x0CBF}, {0x0CC6, 0x0CC6},
    {0x0CCC, 0x0CCD},   {0x0CE2, 0x0CE3}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},
    {0x0E47, 0x0E4E},   {0x0EB1, 0x0EB1}, {0x0EB4, 0x0EBC}, {0x0EC8, 0x0ECD},
    {0x1160, 0x11FF},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
    {0x202A, 0x202E},   {0x2060, 0x2064}, {0x20D0, 0x20F0}, {0x302A, 0x302D},
    {0x3099, 0x309A},   {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF},
    {0xE0001, 0xE01EF},
};

/* East Asian Wide and Fullwidth (Unicode's annex 11), emoji among them. */
static const struct range wide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},
    {0x23E9, 0x23EC},   {0x23F0, 0x23F0},   {0x23F3, 0x23F3},
    {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},
    {0x267F, 0x267F},   {0x2693, 0x2693},   {0x26A1, 0x26A1},
    {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
    {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},
    {0x26F2, 0x26F3},   {0x26F5, 0x26F5},   {0x26FA, 0x26FA},
    {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},
    {0x2728, 0x2728},   {0x274C, 0x274C},   {0x274E, 0x274E},
    {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},
    {0x2B50, 0x2B50},   {0x2B55, 0x2B55},   {0x2E80, 0x3029},
    {0x302E, 0x303E},   {0x3041, 0x3096},   {0x309B, 0x3247},
    {0x3250, 0x4DBF},   {0x4E00, 0xA4C6},   {0xA960, 0xA97C},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAD9},   {0xFE10, 0xFE19},
    {0xFE30, 0xFE6B},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x16FE0, 0x1B2FB}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF},
    {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F200, 0x1F320},
    {0x1F32D, 0x1F335}, {0x1F337, 0x1F37C}, {0x1F37E, 0x1F393},
    {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3}, {0x1F3E0, 0x1F3F0},
    {0x1F3F4, 0x1F3F4}, {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440},
    {0x1F442, 0x1F4FC}, {0x1F4FF, 0x1F53D}, {0x1F54B, 0x1F54E},
    {0x1F550, 0x1F567}, {0x1F57A, 0x1F57A}, {0x1F595, 0x1F596},
    {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F}, {0x1F680, 0x1F6C5},
    {0x1F6CC, 0x1F6CC}, {0x1F6D0, 0x1F6D2}, {0x1F6D5, 0x1F6DF},
    {0x1F6EB, 0x1F6EC}, {0x1F6F4, 0x1F6FC}, {0x1F7E0, 0x1F7F0},
    {0x1F90C, 0x1F93A}, {0x1F93C, 0x1F945}, {0x1F947, 0x1F9FF},
    {0x1FA70, 0x1FAF6}, {0x20000, 0x3FFFD},
};

static bool found(uint32_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n && r[i].from <= c; i++)
        if (c <= r[i].to) return true;
    return false;
}

static size_t width(uint32_t c)
{
    if (c < zero[0].from) return 1;
    if (found(c, zero, sizeof zero / sizeof *zero)) return 0;
    return found(c, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

/* ---- the characters of a text -------------------------------------------- */

/* The bytes of the first one; 1 if what is there is not UTF-8. */
static size_t length(struct span text)
{
    unsigned char first = (unsigned char)text.p[0];
    size_t n = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    struct utf8 check = {0};

    if (n > text.n || !utf8_next(&check, (struct span){text.p, n})) return 1;
    return utf8_whole(&check) ? n : 1;
}

static uint32_t code_point(struct span c)
{
    static const unsigned char bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (unsigned char)c.p[0] & bits[c.n];

    for (size_t i = 1; i < c.n; i++)
        code = code << 6 | ((unsigned char)c.p[i] & 0x3F);
    return code;
}

/* Adds one character as a terminal may see it. Returns its columns. */
static size_t show_character(struct buf *out, struct span c)
{
    size_t before = buf_len(out);

    show_text(out, c);
    size_t shown = buf_len(out) - before;
    return shown != c.n ? shown : width(code_point(c)); /* "\xE9": 4 columns */
}

static struct span part(const struct line *l, size_t from, size_t to)
{
    return (struct span){buf_at(&l->text) + from, to - from};
}

/* The columns of that part of the text; once they are more than LIMIT, just
 * something more than LIMIT: lines may be long. */
static size_t columns(const struct line *l, size_t from, size_t to,
                      size_t limit)
{
    struct buf scratch = {.max = 64};
    size_t sum = 0;

    while (from < to && sum <= limit) {
        size_t n = length(part(l, from, to));
        sum += show_character(&scratch, part(l, from, from + n));
        buf_drop(&scratch, buf_len(&scratch));
        from += n;
    }
    buf_free(&scratch);
    return sum;
}

/* Does the character there stand on top of the one before it? */
static bool combines(const struct line *l, size_t at)
{
    struct span rest = part(l, at, buf_len(&l->text));
    size_t n = length(rest);

    return n > 1 && columns(l, at, at + n, 2) == 0;
}

/* One step to the right, over a character and the marks on top of it. */
static size_t after(const struct line *l, size_t at)
{
    size_t end = buf_len(&l->text);

    if (at < end) at += length(part(l, at, end));
    while (at < end && combines(l, at)) at += length(part(l, at, end));
    return at;
}

static size_t one_before(const struct line *l, size_t at)
{
    for (size_t n = at < 4 ? at : 4; n > 1; n--)
        if (length(part(l, at - n, at)) == n) return at - n;
    return at - 1;
}

static size_t before(const struct line *l, size_t at)
{
    if (at > 0) at = one_before(l, at);
    while (at > 0 && combines(l, at)) at = one_before(l, at);
    return at;
}

/* The beginning of the word before: blanks, then what is not blank. */
static size_t word_before(const struct line *l)
{
    const char *p = buf_at(&l->text);
    size_t at = l->at;

    while (at > 0 && p[at - 1] == ' ') at--;
    while (at > 0 && p[at - 1] != ' ') at--;
    return at;
}

/* ---- editing ------------------------------------------------------------- */

static void insert(struct line *l, const char *p, size_t n)
{
    if (!buf_room(&l->text, n)) {
        l->text.failed = false; /* it is full, which is no reason to end */
        return;
    }
    char *here = buf_at(&l->text) + l->at;
    memmove(here + n, here, buf_len(&l->text) - l->at);
    memcpy(here, p, n);
    l->text.end += n;
    if (l->left > l->at) l->left = l->at;
    l->at += n;
}

static void erase(struct line *l, size_t from, size_t to)
{
    if (from == to) return;
    char *p = buf_at(&l->text);
    memmove(p + from, p + to, buf_len(&l->text) - to);
    l->text.end -= to - from;
    if (l->left > from) l->left = from;
    l->at = from;
}

static void copy(struct buf *to, const struct buf *from)
{
    buf_drop(to, buf_len(to));
    to->max = from->max;
    buf_add(to, buf_at(from), buf_len(from));
    to->failed = false;
}

/* Shows another line of the history, or again the one that was being typed. */
static void recall(struct line *l, size_t which)
{
    if (l->recalled == l->nhistory) copy(&l->draft, &l->text);
    copy(&l->text, which < l->nhistory ? &l->history[which] : &l->draft);
    l->recalled = which;
    l->at = l->left = buf_len(&l->text);
}

static void older(struct line *l)
{
    if (l->recalled > 0) recall(l, l->recalled - 1);
}

static void newer(struct line *l)
{
    if (l->recalled < l->nhistory) recall(l, l->recalled + 1);
}

static enum line_event control(struct line *l, char key)
{
    enum { CTRL = 0x40 };
    size_t end = buf_len(&l->text);

    switch (key | CTRL) {
    case 'A': l->at = 0; break;
    case 'E': l->at = end; break;
    case 'B': l->at = before(l, l->at); break;
    case 'F': l->at = after(l, l->at); break;
    case 'H':
    case 0x7F: erase(l, before(l, l->at), l->at); break;
    case 'D':
        if (end == 0) return LINE_ENDED;
        erase(l, l->at, after(l, l->at));
        break;
    case 'K': erase(l, l->at, end); break;
    case 'U': erase(l, 0, l->at); break;
    case 'W': erase(l, word_before(l), l->at); break;
    case 'P': older(l); break;
    case 'N': newer(l); break;
    case 'L': return LINE_CLEARED;
    case 'I': insert(l, " ", 1); break; /* a pasted tab */
    case 'J':
    case 'M': return LINE_ENTERED;
    case '[': l->keys = LINE_ESCAPE; break;
    }
    return LINE_GOES_ON;
}

/* ---- keys of more than one byte ------------------------------------------ */

/* ESC [ 3 ~ is the delete key: 3 is number, and '~' is key. */
static void function_key(struct line *l, char key, int number)
{
    size_t end = buf_len(&l->text);

    switch (key) {
    case 'A': older(l); break;
    case 'B': newer(l); break;
    case 'C': l->at = after(l, l->at); break;
    case 'D': l->at = before(l, l->at); break;
    case 'H': l->at = 0; break;
    case 'F': l->at = end; break;
    case '~':
        if (number == 1 || number == 7) l->at = 0;
        if (number == 4 || number == 8) l->at = end;
        if (number == 3) erase(l, l->at, after(l, l->at));
    }
}

/* Inside an escape sequence. Those that no key above sends are swallowed. */
static void sequence(struct line *l, char key)
{
    switch (l->keys) {
    case LINE_ESCAPE: /* followed by a letter it was Alt and the letter */
        l->keys = key == '[' ? LINE_CSI : key == 'O' ? LINE_SS3 : LINE_TEXT;
        l->number = 0;
        l->more = false;
        return;
    case LINE_CSI:
        if (key >= '0' && key <= '9') {
            if (!l->more && l->number < 1000)
                l->number = l->number * 10 + (key - '0');
            return;
        }
        l->more = true;
        if (key == '[') l->keys = LINE_CSI_LINUX; /* F1 is ESC [ [ A there */
        if (key < '@' || key == '[') return;
        break;
    case LINE_CSI_LINUX: l->keys = LINE_TEXT; return;
    default: break;
    }
    l->keys = LINE_TEXT;
    function_key(l, key, l->number);
}

/* A byte of a character that is not ASCII. It is taken in when it is whole;
 * what cannot become one is taken in as it is, byte by byte. */
static void pend(struct line *l, char key)
{
    struct utf8 check = {0};

    l->pending[l->npending++] = key;
    bool good = utf8_next(&check, (struct span){l->pending, l->npending});
    if (good && !utf8_whole(&check)) return;

    bool again = !good && l->npending > 1; /* may KEY begin another one? */
    insert(l, l->pending, l->npending - again);
    l->npending = 0;
    if (again) pend(l, key);
}

enum line_event line_key(struct line *l, char key)
{
    unsigned char c = (unsigned char)key;

    if (c >= 0x80) {
        l->keys = LINE_TEXT;
        pend(l, key);
        return LINE_GOES_ON;
    }
    if (l->npending > 0) insert(l, l->pending, l->npending);
    l->npending = 0;
    if (c < ' ' || c == 0x7F) { /* whatever sequence it stands in is over */
        l->keys = LINE_TEXT;
        return control(l, key);
    }
    if (l->keys != LINE_TEXT)
        sequence(l, key);
    else
        insert(l, &key, 1);
    return LINE_GOES_ON;
}

/* ---- the line as a whole ------------------------------------------------- */

struct span line_text(const struct line *l)
{
    return buf_span(&l->text);
}

static void remember(struct line *l)
{
    struct buf *last = &l->history[LINE_HISTORY - 1];
    struct span text = buf_span(&l->text);

    if (text.n == 0 || text.n > LINE_HISTORY_MAX) return;
    if (l->nhistory > 0) {
        struct span same = buf_span(&l->history[l->nhistory - 1]);
        if (same.n == text.n && memcmp(same.p, text.p, text.n) == 0) return;
    }
    if (l->nhistory == LINE_HISTORY) {
        buf_free(&l->history[0]);
        memmove(l->history, l->history + 1,
                sizeof l->history - sizeof *l->history);
        *last = (struct buf){0};
        l->nhistory--;
    }
    copy(&l->history[l->nhistory++], &l->text);
}

void line_next(struct line *l)
{
    remember(l);
    if (buf_len(&l->text) > LINE_HISTORY_MAX) buf_free(&l->text);
    buf_drop(&l->text, buf_len(&l->text));
    buf_free(&l->draft);
    l->recalled = l->nhistory;
    l->at = l->left = 0;
}

/* A line that fits is shown from its beginning. If the cursor has left what is
 * shown of a longer one, show what is around it. */
static void scroll(struct line *l, size_t room)
{
    if (columns(l, 0, buf_len(&l->text), room) < room) l->left = 0;
    if (l->left < l->at && columns(l, l->left, l->at, room) < room) return;
    l->left = l->at;
    for (size_t sum = 0; l->left > 0;) {
        size_t to = before(l, l->left);
        sum += columns(l, to, l->left, room);
        if (sum > room / 2) return;
        l->left = to;
    }
}

void line_draw(struct line *l, struct buf *screen)
{
    size_t prompt = strlen(l->prompt), end = buf_len(&l->text), sum = 0;

    if (prompt + 4 > l->columns) prompt = 0; /* hardly any terminal at all */
    /* The last column stays empty: a character there would make some terminals
     * go to the next row, and others not. */
    size_t room = l->columns > prompt + 1 ? l->columns - prompt - 1 : 1;
    scroll(l, room);
    size_t cursor = prompt + columns(l, l->left, l->at, room);

    buf_puts(screen, "\x1b[1G\x1b[0J"); /* to column 1; erase to the end */
    buf_add(screen, l->prompt, prompt);
    for (size_t i = l->left; i < end;) {
        size_t n = length(part(l, i, end)), kept = buf_len(screen);
        sum += show_character(screen, part(l, i, i + n));
        if (sum > room) { /* no room for it: take it back */
            screen->end = screen->start + kept;
            break;
        }
        i += n;
    }
    buf_addf(screen, "\x1b[%zuG", cursor + 1);
}

void line_free(struct line *l)
{
    for (size_t i = 0; i < l->nhistory; i++) buf_free(&l->history[i]);
    buf_free(&l->text);
    buf_free(&l->draft);
}
