/* A whole engine, and sessions, in a libuv loop. The watches are the caller's, and stay where they
 * are until uv_close() has called back. */
#ifndef ANASAZI_ADAPTERS_LIBUV_H
#define ANASAZI_ADAPTERS_LIBUV_H
#include <anasazi.h>
#include <uv.h>

typedef struct anz_uv {
    uv_poll_t poll; /* uv_poll_stop(), uv_close() */
    anz_engine_t *engine;
    anz_conn_t *conn;
    int (*ready)(anz_conn_t *conn, void *user_data);
    void *user_data;
} anz_uv_t;

static inline void anz_uv_on_poll(uv_poll_t *poll, int status, int events)
{
    anz_uv_t *watch = (anz_uv_t *)poll->data;
    (void)status, (void)events;
    /* What is not done yet leaves the descriptor readable. */
    if (watch->engine != NULL ? anz_engine_process(watch->engine, 0) < 0
                              : watch->ready(watch->conn, watch->user_data) != 0)
        uv_poll_stop(poll);
}

static inline int anz_uv_watch(uv_loop_t *loop, anz_uv_t *watch, int fd)
{
    int result = uv_poll_init(loop, &watch->poll, fd);
    watch->poll.data = watch;
    return result != 0 ? result : uv_poll_start(&watch->poll, UV_READABLE, anz_uv_on_poll);
}

/* The loop drives the engine until that was stopped. 0, or an error of libuv's. */
static inline int anz_uv_attach_engine(uv_loop_t *loop, anz_uv_t *watch, anz_engine_t *engine)
{
    watch->engine = engine;
    return anz_uv_watch(loop, watch, anz_engine_fd(engine));
}

/* `ready` is called when there is something to receive, and calls anz_recv() until that gives 0;
 * no more once it has returned anything but 0. */
static inline int anz_uv_attach_conn(uv_loop_t *loop, anz_uv_t *watch, anz_conn_t *conn,
                              int (*ready)(anz_conn_t *conn, void *user_data), void *user_data)
{
    watch->engine = NULL;
    watch->conn = conn;
    watch->ready = ready;
    watch->user_data = user_data;
    return anz_uv_watch(loop, watch, anz_conn_fd(conn));
}
#endif
