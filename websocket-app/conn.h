/* conn.h -- one connection of websocket-app: its limits, states and fields. */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/http.h"
#include "../common/utf8.h"
#include "../common/ws.h"

enum {
    READ_SIZE = 64 * 1024,  /* bytes of one recv() */
    OUT_HIGH = 64 * 1024,   /* if c->out holds this, read no more */
    OUT_MAX = 2 * OUT_HIGH, /* c->out holds this, and a message: on_open() */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE, /* c->in: one head, one recv() */
    FILES_EACH = 1,                     /* open files for each connection */
    HELPERS_MAX = 0,                    /* our own helper processes */
};

/* States are compared, so their order matters. HTTP ends before OPEN; before
 * READ_BODY a head comes next. From LAST_ANSWER on, we no longer listen. */
enum conn_state {
    IDLE,        /* no byte of the next request is here */
    READ_HEAD,   /* part of a request head is in c->in */
    READ_BODY,   /* the recipe gets the body, piece by piece */
    SKIP_BODY,   /* answered already; the rest of the body is ignored */
    OPEN,        /* the handshake is done: frames go both ways */
    CLOSING,     /* our Close frame went first; waiting for the client's */
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

    /* websocket-app.c */
    bool pinged;          /* nothing has come since our ping */
    struct ws_head frame; /* the data frame that is arriving */
    uint64_t left;        /* bytes of its payload still to come */
    unsigned char type;   /* of the message: WS_TEXT, WS_BINARY; 0: none */
    struct buf message;   /* its bytes so far, unmasked */
    struct utf8 utf8;     /* if it is text: where its check stands */
};

#endif
