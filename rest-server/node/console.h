/* console.h -- lines on our terminal, of what the server does and what
 * strangers sent. The same text in all five servers.
 *
 * No control character reaches the terminal. A line that stdout or stderr
 * cannot take at once is dropped, and the next one says how many were: whoever
 * stops our terminal must not stop our clients. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include "node.h"

#ifdef __GNUC__
#define LIKE_PRINTF __attribute__((format(printf, 1, 2)))
#else
#define LIKE_PRINTF
#endif

/* Prints as printf() would, and a line end. At most 2,000 bytes. */
void console_log(const char *format, ...) LIKE_PRINTF;   /* on stdout */
void console_error(const char *format, ...) LIKE_PRINTF; /* on stderr */

/* Prints LABEL, then the first 10,000 bytes of TEXT: while we print, all
 * clients wait. */
void console_show(const char *label, struct span text);

/* If TRACE=1: what passes between WHO, 'C' or 'S', and the other side, in the
 * form of tests/sessions/. trace_end() is for a connection that is closed. */
void trace(struct conn *c, char who, struct span bytes);
void trace_end(const struct conn *c);

#endif
