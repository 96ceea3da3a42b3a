/* smtp.h -- what an SMTP client sends (RFC 5321): command lines, the paths in
 * them, and the text of a message.
 *
 * All spans point into the bytes given. */
#ifndef SMTP_H
#define SMTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/span.h"

enum {
    /* Bytes of a command line with its end: RFC 5321, 4.5.3.1.4, and what the
     * parameters SIZE, BODY and SMTPUTF8 of MAIL may add. */
    SMTP_LINE_MAX = 512 + 26 + 17 + 10,
};

/* Takes the first line, without its end: CRLF or, typed by hand, a bare LF.
 * Returns the bytes used, 0 if the line is not whole yet, -500 if it is
 * longer than SMTP_LINE_MAX. */
ssize_t smtp_line(struct span in, struct span *line, bool *typed);

/* "mail from:<me@me.com>" is the verb "mail" and "from:<me@me.com>". False if
 * the line holds control characters or begins with no word. */
bool smtp_command(struct span line, struct span *verb, struct span *args);

struct smtp_path {
    struct span address; /* me@me.com; empty of <> */
    struct span local;   /* me; a quoted one with its quotes */
    struct span domain;  /* me.com, or [192.0.2.1]; empty of <Postmaster> */
    bool utf8;           /* it holds more than ASCII: RFC 6531 */
};

/* Takes KEYWORD ("FROM:" or "TO:") and the path after it off the front of
 * *args; what is left are parameters. The path may stand without its angle
 * brackets, as people type it, and a source route is skipped (RFC 5321,
 * appendix C). False if there is no such path. */
bool smtp_path(struct span *args, const char *keyword, struct smtp_path *path);

/* Writes what a local part means, "you" for "\"you\"", into OUT, which holds
 * local.n bytes. Returns the length. */
size_t smtp_unquote(char *out, struct span local);

/* Takes the next parameter, NAME or NAME=VALUE, off the front. The value is
 * absent without a '='. False at the end. */
bool smtp_param(struct span *args, struct span *name, struct span *value);

/* The number that SIZE= names, UINT64_MAX if it is larger. False: none. */
bool smtp_size(struct span value, uint64_t *size);

/* The text of a message as it arrives, up to its dot. Start with
 * smtp_text_start(), then feed smtp_text_next() what has arrived until
 * `done`.
 *
 * After a DATA line that ended in CRLF only CRLF.CRLF is the end, so that no
 * other server and this one can ever disagree where a message ends. After one
 * that ended in a bare LF somebody is typing, and LF.LF is the end as well. */
struct smtp_text {
    bool typed; /* the DATA line ended in a bare LF */
    bool done;  /* the dot has been used */
    enum {
        SMTP_INSIDE,   /* a line */
        SMTP_AT_CR,    /* behind a CR, which may be half a line end */
        SMTP_NEW_LF,   /* behind a bare LF that ends a line */
        SMTP_NEW_CRLF, /* behind CRLF */
    } at;
};

void smtp_text_start(struct smtp_text *t, bool typed);

/* Uses the next bytes; *text are those of the message among them, possibly
 * none: a dot that begins a line is not (RFC 5321, 4.5.2). Returns the bytes
 * used, 0 if it takes more to know what they mean. */
size_t smtp_text_next(struct smtp_text *t, struct span in, struct span *text);

#endif
