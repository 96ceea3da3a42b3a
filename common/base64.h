/* base64.h -- bytes as text, three bytes in four characters (RFC 4648,
 * section 4: A-Z a-z 0-9 + / and = at the end). */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>
#include <sys/types.h>

#include "span.h"

/* Writes n bytes as base64, without a NUL. OUT holds (n + 2) / 3 * 4, which is
 * what is returned. */
size_t base64_encode(char *out, const void *p, size_t n);

/* The bytes back, and how many they are; -1 if it is anything but what
 * base64_encode() writes: blanks, missing padding, and bits set that stand for
 * nothing are refused (RFC 4648, sections 3.1, 3.2 and 3.5). OUT holds
 * in.n / 4 * 3; what is in it after -1 means nothing. */
ssize_t base64_decode(void *out, struct span in);

#endif
