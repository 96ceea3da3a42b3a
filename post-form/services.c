/* services.c -- see services.h. */
#define _POSIX_C_SOURCE 200809L

#include "services.h"

#include <stdio.h>
#include <time.h>

#include "../common/json.h"
#include "node/http.h"

static const char json[] = "Content-Type: application/json\r\n";

/* Adds VALUE, a JSON text, without the blanks between its values. */
static void add_compact(struct buf *out, struct span value)
{
    bool quoted = false;

    for (size_t i = 0; i < value.n; i++) {
        const char *at = value.p + i;
        if (!quoted && strchr(" \t\r\n", *at)) continue;
        if (*at == '"') quoted = !quoted;
        size_t n = *at == '\\' ? 2 : 1; /* with what it escapes */
        buf_add(out, at, n);
        i += n - 1;
    }
}

/* "2016-12-20T15:39:04.330Z", as JavaScript's toISOString() writes it. */
static void iso_time(char out[32])
{
    struct timespec t;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
}

void post_user(struct conn *c)
{
    static int id = 631; /* the book's first id; after 999 comes 100 */
    struct buf body = {.max = ANSWER_MAX};
    char created[32];

    if (json_ok(buf_span(&c->posted))) add_compact(&body, buf_span(&c->posted));
    if (body.failed) {
        recipe.on_error(c, 503);
    } else if (buf_len(&body) == 0 || *buf_at(&body) != '{') {
        recipe.on_error(c, 400);
    } else {
        iso_time(created);
        body.end--; /* take the closing brace off */
        buf_addf(&body, "%s\"id\":\"%d\",\"createdAt\":\"%s\"}",
                 buf_len(&body) > 1 ? "," : "", id, created);
        id = id < 999 ? id + 1 : 100;
        reply(c, 201, json, buf_span(&body));
    }
    buf_free(&body);
}

/* Answers in chunks, one for each user, so that a client can show that it reads
 * them. HTTP/1.0 has none: there, closing ends the body (RFC 9112, 6.3). */
void get_users(struct conn *c, bool chunked)
{
    static const char *const chunks[] = {
        "{\"page\":1,\"per_page\":3,\"total\":12,\"total_pages\":4,\"data\":[",
        "{\"id\":1,\"first_name\":\"george\",\"last_name\":\"bluth\","
        "\"avatar\":\"https://example.com/faces/1.jpg\"},",
        "{\"id\":2,\"first_name\":\"lucille\",\"last_name\":\"bluth\","
        "\"avatar\":\"https://example.com/faces/2.jpg\"},",
        "{\"id\":3,\"first_name\":\"tobias\",\"last_name\":\"funke\","
        "\"avatar\":\"https://example.com/faces/3.jpg\"}",
        "]}",
    };

    if (!chunked) c->keep_alive = false;
    reply_head(c, 200,
               chunked ? "Content-Type: application/json\r\n"
                         "Transfer-Encoding: chunked\r\n"
                       : json);
    for (size_t i = 0; !c->head_only && i < sizeof chunks / sizeof *chunks; i++)
        if (chunked)
            buf_addf(&c->out, "%zx\r\n%s\r\n", strlen(chunks[i]), chunks[i]);
        else
            buf_puts(&c->out, chunks[i]);
    if (chunked && !c->head_only) buf_puts(&c->out, "0\r\n\r\n");
    end_reply(c);
}

void get_guid(struct conn *c)
{
    reply(c, 200, json,
          span_of("{\"guid\":\"9c4e0f5d-2b1a-4c7e-8d36-5a0b7f1e6c42\","
                  "\"name\":\"some.json\"}"));
}
