/* conn.h -- one connection of post-form: its limits, states and fields. */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/http.h"
#include "form.h"

enum {
    READ_SIZE = 16 * 1024,      /* bytes of one recv() */
    OUT_HIGH = 64 * 1024,       /* if c->out holds this, read no more */
    BODY_MAX = 2 * 1024 * 1024, /* bytes of a posted body; more is 413 */
    ANSWER_MAX = FORM_JSON_MAX(BODY_MAX) + 1024, /* what it may grow into */
    OUT_MAX = OUT_HIGH + ANSWER_MAX,             /* c->out never holds more */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE, /* nor c->in: one head, one recv() */
    FILES_EACH = 1,                     /* open files for each connection */
    HELPERS_MAX = 0,                    /* our own helper processes */
};

/* States are compared, so their order matters. Before READ_BODY a request
 * head comes next. From LAST_ANSWER on, the client is not listened to. */
enum conn_state {
    IDLE,        /* no byte of the next request is here */
    READ_HEAD,   /* part of a request head is in c->in */
    READ_BODY,   /* the recipe gets the body, piece by piece */
    SKIP_BODY,   /* answered already; the rest of the body is ignored */
    LAST_ANSWER, /* c->out is being sent; then we close our side */
    LINGER,      /* our side is closed; waiting for the client to close */
    CLOSED,      /* finished; sweep() in net.c will free it */
};

struct conn {
    /* node/net.c */
    int fd;
    enum conn_state state; /* set it with conn_enter(), or to CLOSED */
    int64_t entered;       /* when it entered this state */
    int64_t deadline;      /* from this time on, on_timeout() is called */
    int64_t heard;         /* when poll() last reported it */
    bool peer_done;        /* the client has sent its last byte */
    bool again;            /* more to do: no news needed for its next turn */
    void (*helper)(struct conn *c); /* NULL if it leads to a client */
    char ip[64];           /* ask client_ip() for it */
    struct buf in;         /* received, not yet used */
    struct buf out;        /* answers, not yet sent */
    size_t held;           /* bytes of memory, when last counted */

    /* node/http.c: the current request */
    struct http_body body; /* body.done: its last byte has come */
    bool keep_alive;       /* another request may follow */
    bool head_only;        /* the method is HEAD: answer without a body */
    bool expect_continue;  /* the client waits for "100 Continue" */

    /* post-form.c */
    struct buf posted;                 /* what has come of the body */
    void (*on_posted)(struct conn *c); /* who answers when it is whole */
};

#endif
