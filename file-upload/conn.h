/* conn.h -- one connection of file-upload: its limits, states and fields. */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "../common/http.h"

enum {
    READ_SIZE = 128 * 1024, /* bytes of one recv() */
    OUT_HIGH = 64 * 1024,   /* if c->out holds this, read no more */
    LINES_MAX = 256 * 1024, /* bytes of the answer to a form */
    OUT_MAX = OUT_HIGH + LINES_MAX + 4096, /* c->out never holds more */
    IN_MAX = HTTP_HEAD_MAX + READ_SIZE,    /* nor c->in: one head, one recv() */
    FILES_EACH = 2,  /* open files for each connection: socket and file */
    HELPERS_MAX = 8, /* our own helper processes */
};

/* States are compared, so their order matters. Before READ_BODY a request
 * head comes next. From LAST_ANSWER on, the client is not listened to. */
enum conn_state {
    IDLE,        /* no byte of the next request is here */
    READ_HEAD,   /* part of a request head is in c->in */
    READ_BODY,   /* the recipe gets the body, piece by piece */
    SKIP_BODY,   /* answered already; the rest of the body is ignored */
    LAST_ANSWER, /* c->out is being sent; then we close our side */
    SAVING,      /* a helper saves a file; the client waits for its answer */
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
    char ip[64];                    /* ask client_ip() for it */
    struct buf in;                  /* received, not yet used */
    struct buf out;                 /* answers, not yet sent */
    size_t held;                    /* bytes of memory, when last counted */

    /* node/http.c: the current request */
    struct http_body body; /* body.done: its last byte has come */
    bool keep_alive;       /* another request may follow */
    bool head_only;        /* the method is HEAD: answer without a body */
    bool expect_continue;  /* the client waits for "100 Continue" */

    struct job *job;   /* node/disk.c has it */
    struct upload *up; /* file-upload.c: what is arriving; NULL: nothing */
};

#endif
