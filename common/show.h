/* show.h -- bytes from outside, made fit for a terminal.
 *
 * A terminal obeys control characters: a message that holds some could move
 * the cursor, change colours, or look like a line that the program wrote. They
 * are shown as \xHH; UTF-8 text is left as it is. */
#ifndef SHOW_H
#define SHOW_H

#include "buf.h"
#include "span.h"

enum { SHOW_WIRE_MAX = 2048 }; /* bytes of one read or write in a trace */

/* Adds TEXT. Control characters (C0, DEL, C1), the marks that turn the
 * direction of writing, and what is not UTF-8 become \xHH, byte by byte. */
void show_text(struct buf *out, struct span text);

/* Adds bytes of the wire as lines that begin with WHO, 'C' or 'S':
 *
 *     C: GET / HTTP/1.1
 *
 * stands for these bytes and CRLF; without CRLF the line ends in a single
 * backslash. Other line ends and control bytes are \xHH, a backslash is \\, and
 * \(N) says that N bytes more are not shown. This is the form of
 * tests/sessions/. */
void show_wire(struct buf *out, char who, struct span bytes);

#endif
