/* A whole engine, and sessions, in a GLib main context (NULL: the default one). The sources are the
 * caller's: g_source_destroy(), g_source_unref(). */
#ifndef ANASAZI_ADAPTERS_GLIB_H
#define ANASAZI_ADAPTERS_GLIB_H
#include <anasazi.h>
#include <glib-unix.h>

typedef struct anz_glib {
    anz_engine_t *engine;
    anz_conn_t *conn;
    int (*ready)(anz_conn_t *conn, void *user_data);
    void *user_data;
} anz_glib_t;

static inline gboolean anz_glib_on_readable(gint fd, GIOCondition condition, gpointer argument)
{
    anz_glib_t *watch = (anz_glib_t *)argument;
    (void)fd, (void)condition;
    /* What is not done yet leaves the descriptor readable. */
    if (watch->engine != NULL ? anz_engine_process(watch->engine, 0) < 0
                              : watch->ready(watch->conn, watch->user_data) != 0)
        return G_SOURCE_REMOVE;
    return G_SOURCE_CONTINUE;
}

static inline GSource *anz_glib_watch(GMainContext *context, anz_glib_t of, int fd)
{
    GSource *source = g_unix_fd_source_new(fd, G_IO_IN);
    anz_glib_t *watch = g_new(anz_glib_t, 1);
    *watch = of;
    g_source_set_callback(source, G_SOURCE_FUNC(anz_glib_on_readable), watch, g_free);
    g_source_attach(source, context);
    return source;
}

/* The loop drives the engine until that was stopped. */
static inline GSource *anz_glib_attach_engine(GMainContext *context, anz_engine_t *engine)
{
    anz_glib_t watch = {NULL, NULL, NULL, NULL};
    watch.engine = engine;
    return anz_glib_watch(context, watch, anz_engine_fd(engine));
}

/* `ready` is called when there is something to receive, and calls anz_recv() until that gives 0;
 * no more once it has returned anything but 0. */
static inline GSource *anz_glib_attach_conn(GMainContext *context, anz_conn_t *conn,
                                     int (*ready)(anz_conn_t *conn, void *user_data),
                                     void *user_data)
{
    anz_glib_t watch = {NULL, NULL, NULL, NULL};
    watch.conn = conn;
    watch.ready = ready;
    watch.user_data = user_data;
    return anz_glib_watch(context, watch, anz_conn_fd(conn));
}
#endif
