/* mail.h -- what an SMTP client (RFC 5321) does that needs no socket: it reads
 * replies and addresses, and makes a text fit to follow DATA. */
#ifndef MAIL_H
#define MAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/buf.h"
#include "../common/span.h"

/* Reads one reply, all its lines (RFC 5321, 4.2.1):
 *
 *     250-smtp.example.com
 *     250 SIZE 10485760
 *
 * > 0 the bytes it takes; 0 not whole yet; -1 this is no reply. A bare LF ends
 * a line, too. Only > 0 sets *code, from 200 to 599. */
ssize_t mail_parse_reply(int *code, struct span in);

/* Takes the next line off the front of a whole reply; its text is what follows
 * the code, perhaps nothing. False at the end. */
bool mail_next_line(struct span *reply, struct span *text);

/* Does the reply to EHLO offer KEYWORD, as "SIZE 10485760" does? Then *value is
 * "10485760"; absent if nothing stands there. */
bool mail_offers(struct span reply, const char *keyword, struct span *value);

/* Takes the next entry off the front of a list: they are parted by ',' or ';'
 * outside of "quotes", trimmed, and empty ones are skipped. False at the
 * end. */
bool mail_next_entry(struct span *list, struct span *entry);

enum { MAIL_ADDRESS_MAX = 1000 }; /* RFC 5321, 4.5.3.1 asks for 254 */

/* The address of an entry, which is the entry itself or, as in
 * `You <you@example.com>`, what stands in <>. False if that cannot be put in
 * the <> of a command and end where it should: it is empty or too long, is not
 * UTF-8, holds control characters, or outside of "quotes" blanks or < or >.
 * Whether there is such a mailbox is for the server to say. */
bool mail_address(struct span entry, struct span *address);

/* A text on its way out. All zeros: before the first byte. */
struct mail_text {
    bool midline;  /* the present line has begun */
    bool cr;       /* the last byte was a CR: an LF now belongs to it */
    uint64_t size; /* bytes so far, as RFC 1870, 5 counts: without dots added */
};

/* Adds the next piece of the text as it must stand after DATA: each CR, LF or
 * CRLF becomes CRLF, and a line that begins with a dot gets another (RFC 5321,
 * 4.5.2). OUT may grow by twice the piece. */
void mail_add_text(struct mail_text *t, struct buf *out, struct span piece);

/* Ends the last line, if it has begun, and the text: with ".\r\n". */
void mail_end_text(struct mail_text *t, struct buf *out);

/* The length of the header fields that the text begins with (RFC 5322, 2.2):
 * lines like "Subject: hello", and those that go on with a blank. A first line
 * that is a URL, like "http://...", is none. */
size_t mail_head(struct span text);

/* Is there such a field among them? */
bool mail_has_field(struct span head, const char *name);

#endif
