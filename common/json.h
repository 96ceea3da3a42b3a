/* json.h -- check a JSON text (RFC 8259), find a member, write a string.
 *
 * No tree is built: a value is the span of bytes it is written in. All of this
 * takes time in proportion to the text, and no memory but OUT's. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>

#include "buf.h"
#include "span.h"

/* Is this one JSON value, by the letter: in strict UTF-8 (section 8.1), without
 * a byte order mark, at most 512 arrays and objects deep (section 9 allows a
 * limit)? Escapes of lone surrogates, "\ud800", are within the grammar. */
bool json_ok(struct span text);

/* Sets *value to what the member NAME (UTF-8) of an object is, as it is
 * written, and the last of those with that name (section 4). OBJECT is a text
 * or value that json_ok() accepts. False: it has no such member, or is no
 * object. */
bool json_member(struct span object, const char *name, struct span *value);

/* Adds a value, from json_member(): a string as the text it means, in UTF-8,
 * with U+FFFD for a lone surrogate; any other value as it is written. The text
 * may hold any character, NUL too. */
void json_text(struct buf *out, struct span value);

/* Adds TEXT, which is UTF-8, as a JSON string with its quotes, byte for byte as
 * JavaScript's JSON.stringify() does. OUT may grow by six times TEXT, and
 * the quotes. */
void json_quote(struct buf *out, struct span text);

#endif
