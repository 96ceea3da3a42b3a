/* services.h -- the other end of "Making an HTTP POST request". The services that
 * the book talks to have closed or changed since; these stand in for them. Each
 * answers the request. */
#ifndef SERVICES_H
#define SERVICES_H

#include "node/node.h"

/* POST /api/users: what was posted, a JSON object, with "id" and "createdAt". */
void post_user(struct conn *c);

/* GET /api/users: a page of three users, in chunks if the client knows them. */
void get_users(struct conn *c, bool chunked);

void get_guid(struct conn *c); /* GET /ncb3/some.json: an object with a guid */

#endif
