/* form.h -- a posted form, application/x-www-form-urlencoded, as JSON:
 *
 *     userinput1=a&userinput2=b      {"userinput1":"a","userinput2":"b"}
 *     x=1&y=2&x=3                    {"x":["1","3"],"y":"2"} */
#ifndef FORM_H
#define FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "../common/buf.h"
#include "../common/span.h"

/* What form_json() writes of N bytes is no longer: each byte may become
 * \u0001, and the quotes, colon and comma of a name need no more than that. */
#define FORM_JSON_MAX(n) (6 * (n) + 8)

/* Adds all of the form as one JSON object. Names stand where they appear
 * first; one that comes again has a list of its values. What is not UTF-8
 * becomes U+FFFD. The time does not depend on which names were chosen: n log n
 * for any. False if there is no memory, or no room in OUT. */
bool form_json(struct buf *out, struct span form);

#endif
