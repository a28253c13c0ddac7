/* A whole engine, and sessions, in a libev loop. The watches are the caller's, and stay where they
 * are until ev_io_stop(). */
#ifndef ANASAZI_ADAPTERS_LIBEV_H
#define ANASAZI_ADAPTERS_LIBEV_H
#include <anasazi.h>
#include <ev.h>

typedef struct anz_ev {
    ev_io io; /* ev_io_stop() */
    anz_engine_t *engine;
    anz_conn_t *conn;
    int (*ready)(anz_conn_t *conn, void *user_data);
    void *user_data;
} anz_ev_t;

static inline void anz_ev_on_io(struct ev_loop *loop, ev_io *io, int events)
{
    anz_ev_t *watch = (anz_ev_t *)io->data;
    (void)events;
    /* What is not done yet leaves the descriptor readable. */
    if (watch->engine != NULL ? anz_engine_process(watch->engine, 0) < 0
                              : watch->ready(watch->conn, watch->user_data) != 0)
        ev_io_stop(loop, io);
}

static inline void anz_ev_watch(struct ev_loop *loop, anz_ev_t *watch, int fd)
{
    ev_init(&watch->io, anz_ev_on_io);
    ev_io_set(&watch->io, fd, EV_READ);
    watch->io.data = watch;
    ev_io_start(loop, &watch->io);
}

/* The loop drives the engine until that was stopped. */
static inline void anz_ev_attach_engine(struct ev_loop *loop, anz_ev_t *watch, anz_engine_t *engine)
{
    watch->engine = engine;
    anz_ev_watch(loop, watch, anz_engine_fd(engine));
}

/* `ready` is called when there is something to receive, and calls anz_recv() until that gives 0;
 * no more once it has returned anything but 0. */
static inline void anz_ev_attach_conn(struct ev_loop *loop, anz_ev_t *watch, anz_conn_t *conn,
                               int (*ready)(anz_conn_t *conn, void *user_data), void *user_data)
{
    watch->engine = NULL;
    watch->conn = conn;
    watch->ready = ready;
    watch->user_data = user_data;
    anz_ev_watch(loop, watch, anz_conn_fd(conn));
}
#endif
