/* conn.h -- one connection of smtp-server: its limits, states and fields. */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/buf.h"
#include "smtp.h"

enum {
    READ_SIZE = 64 * 1024,  /* bytes of one recv() */
    OUT_HIGH = 64 * 1024,   /* if c->out holds this, read no more */
    OUT_MAX = 2 * OUT_HIGH, /* c->out never holds more */
    IN_MAX = 2 * READ_SIZE, /* nor c->in */
    FILES_EACH = 2,         /* open files for each connection: socket, letter */
    HELPERS_MAX = 64, /* our own helper processes, that wait for the disk */
};

/* States are compared, so their order matters. A client speaks up to
 * READ_DATA. From LAST_ANSWER on, we do not listen. */
enum conn_state {
    IDLE,         /* no byte of the next command is here */
    READ_COMMAND, /* part of a command line is in c->in */
    READ_DATA,    /* the text of a message, up to its dot */
    LAST_ANSWER,  /* c->out is being sent; then we close our side */
    SAVING,       /* a helper has the message; the client waits for its 250 */
    LINGER,       /* our side is closed; waiting for the client to close */
    CLOSED,       /* finished; sweep() in net.c will free it */
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

    /* smtp-server.c: the session */
    bool greeted;  /* HELO or EHLO has come */
    bool extended; /* and it was EHLO */
    bool bare_lf;  /* this line ended in LF without CR: somebody is typing */
    bool too_long; /* this line is, and we skip the rest of it */
    int errors;    /* commands that made no sense */

    /* smtp-server.c: the message */
    struct job *job;       /* node/disk.c has it */
    struct buf envelope;   /* "JOB FROM\n", then "USER RCPT\n" for each */
    int nrcpts;            /* recipients in it */
    bool utf8;             /* MAIL said SMTPUTF8 */
    int file;              /* its first letter, being written; -1: none */
    int64_t size;          /* bytes of text so far */
    int failure;           /* the code to answer the dot with; 0: all is well */
    struct smtp_text text; /* where in the text we are */
};

#endif
