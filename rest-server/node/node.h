/* node.h -- the map: what the recipe asks of node/, and what node/ asks of the
 * recipe. The same text in all five servers.
 *
 *     NAME.c           the recipe: what the book's own code does
 *     conn.h           one connection: its limits, states and fields
 *     node/http.c      what Node's http module does unseen
 *     node/net.c       what its net module does: one loop around poll()
 *     node/console.c   what console.log() does; see console.h
 *     node/process.c   settings, --help, listening, signals */
#ifndef NODE_H
#define NODE_H

#include "../conn.h"

struct http_head;

/* A setting is read from the environment and explained by --help. */
struct setting {
    const char *name;
    const char **text;    /* it is a text, */
    int *value, min, max; /* or if TEXT is NULL a number */
    const char *help;
};

/* What makes this server different from the other four. */
struct recipe {
    const char *name, *usage, *try, *host;
    int port;
    const char *flag; /* "-d", or NULL */
    int *flag_value;
    const char *flag_help;
    const struct setting *settings; /* its own; ends with a NULL name */

    /* Events of net.c. on_close and bytes may be NULL.
     *
     * on_input() uses the bytes of c->in and adds its answers to c->out. It
     * goes on until it needs more bytes, or c->out holds OUT_HIGH, or it has
     * handled TURN_MAX requests or commands: then it sets c->again, and is
     * called again when the others have had their turn. on_timeout() must enter
     * another state or move the deadline, or else it is called without end. */
    void (*on_open)(struct conn *c);    /* a client has connected: enter IDLE */
    void (*on_input)(struct conn *c);   /* in any state; maybe no new bytes */
    void (*on_timeout)(struct conn *c); /* c->deadline has passed */
    void (*on_stop)(struct conn *c);    /* we stop: close it if it is idle */
    void (*on_no_room)(struct conn *c); /* over MAX_HELD: refuse it, free all */
    void (*on_close)(struct conn *c);   /* free what the recipe allocated */
    size_t (*bytes)(const struct conn *c); /* memory in the recipe's fields */

    /* Events of http.c. H and DATA point into c->in and die with the call: copy
     * what you keep. on_data() and on_end() come only after want_body(). */
    void (*on_request)(struct conn *c, const struct http_head *h);
    size_t (*on_data)(struct conn *c, struct span data); /* bytes used of it */
    void (*on_end)(struct conn *c);
    void (*on_error)(struct conn *c, int status); /* answer with this status */
};

extern const struct recipe recipe; /* at the end of NAME.c */

/* ---- node/process.c ------------------------------------------------------ */

extern int idle_ms, head_ms, max_conns, max_held, drain_ms, grace_ms, tracing;

void set_up(int argc, char **argv); /* options, settings, working folder */
int serve(void); /* listens and runs the loop; returns main()'s result */

/* ---- node/net.c ---------------------------------------------------------- */

enum {
    SEND_MS = 30000,       /* for the next bytes of an answer to get out */
    LINGER_MS = 2000,      /* for the client to close, after we have */
    LINGER_MAX_MS = 30000, /* the same, even if it goes on sending */
    BUSY_MS = 250,         /* heard from within this time: busy */
    PAUSE_MS = 100,        /* until we try again what the system refused */
    TURN_MAX = 32,         /* requests, commands or parts in one turn */
};

extern struct conn **conns; /* all connections; only net.c adds and removes */
extern int nconns;
extern int64_t now;    /* milliseconds; stands still while events are handled */
extern bool draining;  /* SIGTERM or SIGINT has come */
extern int wake_fd[2]; /* a pipe: on_signal() writes, run() polls */

int64_t now_ms(void);

/* Sets the state, and a deadline in MS from now. */
void conn_enter(struct conn *c, enum conn_state state, int ms);

/* Takes FD over, and returns NULL if there is no memory for it. HELPER is NULL
 * for a client. For a helper process it is called instead of all the events
 * above; only c->in and c->out are looked after. */
struct conn *conn_open(int fd, void (*helper)(struct conn *c));

const char *client_ip(struct conn *c);
bool make_tables(void); /* conns, for max_conns; once, before run() */
void run(int listener); /* until a signal has come and all are served */

#endif
