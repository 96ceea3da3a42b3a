/* line.h -- a line being typed on a terminal: keys in, screen bytes out.
 *
 * The terminal itself stays with the caller, who reads keys from it in raw mode
 * and gives them, one byte at a time, to line_key(); when there are no more for
 * the moment, line_draw() says what to write so that the screen shows the line.
 * It always takes one row: a line wider than that is shown in part, around the
 * cursor. So a caller who has something else to show erases one row, and draws
 * the line again below.
 *
 * The terminal is one that knows a few sequences of ECMA-48 (the VT100's) and
 * speaks UTF-8. A struct line that is all zeros but prompt, columns and
 * text.max is an empty line, ready for use. */
#ifndef LINE_H
#define LINE_H

#include <stddef.h>

#include "../common/buf.h"
#include "../common/span.h"

enum {
    LINE_HISTORY = 100,           /* lines that the up key finds again */
    LINE_HISTORY_MAX = 64 * 1024, /* bytes; a longer line is not kept */
};

enum line_event {
    LINE_GOES_ON,
    LINE_ENTERED, /* the line is whole: take line_text(), call line_next() */
    LINE_ENDED,   /* ^D on an empty line */
    LINE_CLEARED, /* ^L: the screen is to be empty; then line_draw() */
};

struct line {
    const char *prompt; /* ASCII */
    size_t columns;     /* of the terminal; changes when it is resized */
    struct buf text;    /* what has been typed; keys past text.max are lost */
    size_t at;          /* the cursor is before this byte of it */
    size_t left;        /* what is shown begins with this byte */

    /* keys of which only the first bytes have come */
    enum { LINE_TEXT, LINE_ESCAPE, LINE_CSI, LINE_CSI_LINUX, LINE_SS3 } keys;
    int number;      /* of a CSI sequence, the first one: ESC [ 3 ~ */
    bool more;       /* of a CSI sequence: further numbers, not looked at */
    char pending[4]; /* a UTF-8 character */
    size_t npending;

    struct buf history[LINE_HISTORY]; /* the oldest first */
    size_t nhistory, recalled; /* recalled == nhistory: not one from there */
    struct buf draft;          /* what was typed before the up key */
};

enum line_event line_key(struct line *l, char key);

/* Good until the next key. It may be anything but control characters of ASCII;
 * what was not UTF-8 when it was typed is not UTF-8 here. */
struct span line_text(const struct line *l);

/* The line goes into the history, and an empty one begins. */
void line_next(struct line *l);

/* Adds what makes the row of the cursor show this line, from its column 1. */
void line_draw(struct line *l, struct buf *screen);

void line_free(struct line *l);

#endif
