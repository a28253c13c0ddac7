/* A whole engine, and sessions, in an sd-event loop. The watches are the caller's, and stay where
 * they are until sd_event_source_unref(). */
#ifndef ANASAZI_ADAPTERS_SDEVENT_H
#define ANASAZI_ADAPTERS_SDEVENT_H
#include <anasazi.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

typedef struct anz_sd {
    sd_event_source *source; /* sd_event_source_unref() */
    anz_engine_t *engine;
    anz_conn_t *conn;
    int (*ready)(anz_conn_t *conn, void *user_data);
    void *user_data;
} anz_sd_t;

static inline int anz_sd_on_io(sd_event_source *source, int fd, uint32_t events, void *argument)
{
    anz_sd_t *watch = (anz_sd_t *)argument;
    (void)fd, (void)events;
    /* What is not done yet leaves the descriptor readable. */
    if (watch->engine != NULL ? anz_engine_process(watch->engine, 0) < 0
                              : watch->ready(watch->conn, watch->user_data) != 0)
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
}

static inline int anz_sd_watch(sd_event *event, anz_sd_t *watch, int fd)
{
    return sd_event_add_io(event, &watch->source, fd, EPOLLIN, anz_sd_on_io, watch);
}

/* The loop drives the engine until that was stopped. Not negative, or a negative errno. */
static inline int anz_sd_attach_engine(sd_event *event, anz_sd_t *watch, anz_engine_t *engine)
{
    watch->engine = engine;
    return anz_sd_watch(event, watch, anz_engine_fd(engine));
}

/* `ready` is called when there is something to receive, and calls anz_recv() until that gives 0;
 * no more once it has returned anything but 0. */
static inline int anz_sd_attach_conn(sd_event *event, anz_sd_t *watch, anz_conn_t *conn,
                              int (*ready)(anz_conn_t *conn, void *user_data), void *user_data)
{
    watch->engine = NULL;
    watch->conn = conn;
    watch->ready = ready;
    watch->user_data = user_data;
    return anz_sd_watch(event, watch, anz_conn_fd(conn));
}
#endif
