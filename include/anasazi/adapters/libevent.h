/* A whole engine, and sessions, in a libevent base. The watches are the caller's, and stay where
 * they are until event_del(). */
#ifndef ANASAZI_ADAPTERS_LIBEVENT_H
#define ANASAZI_ADAPTERS_LIBEVENT_H
#include <anasazi.h>
#include <event2/event.h>
#include <event2/event_struct.h>

typedef struct anz_libevent {
    struct event event; /* event_del() */
    anz_engine_t *engine;
    anz_conn_t *conn;
    int (*ready)(anz_conn_t *conn, void *user_data);
    void *user_data;
} anz_libevent_t;

static inline void anz_libevent_on_event(evutil_socket_t fd, short what, void *argument)
{
    anz_libevent_t *watch = (anz_libevent_t *)argument;
    (void)fd, (void)what;
    /* What is not done yet leaves the descriptor readable. */
    if (watch->engine != NULL ? anz_engine_process(watch->engine, 0) < 0
                              : watch->ready(watch->conn, watch->user_data) != 0)
        event_del(&watch->event);
}

static inline int anz_libevent_watch(struct event_base *base, anz_libevent_t *watch, int fd)
{
    short what = EV_READ | EV_PERSIST;
    int result = event_assign(&watch->event, base, fd, what, anz_libevent_on_event, watch);
    return result != 0 ? result : event_add(&watch->event, NULL);
}

/* The loop drives the engine until that was stopped. 0, or -1. */
static inline int anz_libevent_attach_engine(struct event_base *base, anz_libevent_t *watch,
                                      anz_engine_t *engine)
{
    watch->engine = engine;
    return anz_libevent_watch(base, watch, anz_engine_fd(engine));
}

/* `ready` is called when there is something to receive, and calls anz_recv() until that gives 0;
 * no more once it has returned anything but 0. */
static inline int anz_libevent_attach_conn(struct event_base *base, anz_libevent_t *watch,
                                    anz_conn_t *conn,
                                    int (*ready)(anz_conn_t *conn, void *user_data),
                                    void *user_data)
{
    watch->engine = NULL;
    watch->conn = conn;
    watch->ready = ready;
    watch->user_data = user_data;
    return anz_libevent_watch(base, watch, anz_conn_fd(conn));
}
#endif
