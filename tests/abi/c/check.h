/* What the C tests share: checks that say where they failed, and waits that end. */
#ifndef CHECK_H
#define CHECK_H
#include <anasazi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) {                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);        \
            exit(1);                                                               \
        }                                                                          \
    } while (0)

/* A status, with both names when it is another. */
#define IS(status, expected)                                                       \
    do {                                                                           \
        anz_status_t is_ = (status);                                               \
        if (is_ != (expected)) {                                                   \
            fprintf(stderr, "%s:%d: %s: %s, not %s\n", __FILE__, __LINE__,         \
                    #status, anz_status_name(is_), anz_status_name(expected));     \
            exit(1);                                                               \
        }                                                                          \
    } while (0)

static inline int64_t deadline_after_s(int seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec + (int64_t)seconds) * 1000000000 + now.tv_nsec;
}

/* How long ago deadline_after_s(0) gave this. */
static inline double seconds_since(int64_t begin_ns)
{
    return (double)(deadline_after_s(0) - begin_ns) / 1e9;
}

/* An engine of this process that talks to nobody, in its own thread. */
static inline anz_engine_t *lonely_engine(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    anz_engine_t *engine = NULL;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    if (anz_engine_new(cfg, &engine, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        exit(1);
    }
    anz_config_free(cfg);
    IS(anz_engine_start_thread(engine), ANZ_OK);
    return engine;
}

static inline anz_conn_t *connected(anz_engine_t *engine)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    if (anz_engine_connect(engine, NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        exit(1);
    }
    return conn;
}

/* The next event, which must come within 20 s. */
static inline anz_event_t next_event(anz_conn_t *conn)
{
    anz_event_t ev;
    int n;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    while ((n = anz_recv(conn, &ev, 1)) == 0) {
        anz_status_t status = anz_conn_wait(conn, deadline_after_s(20));
        if (status != ANZ_EINTR) /* a signal, or anz_conn_wake() */
            IS(status, ANZ_OK);
    }
    if (n < 0) {
        fprintf(stderr, "no event but %s\n", anz_status_name(n));
        exit(1);
    }
    return ev;
}

/* The next event of this type; others before it are passed over. */
static inline anz_event_t next_of(anz_conn_t *conn, unsigned type)
{
    for (;;) {
        anz_event_t ev = next_event(conn);
        if (ev.type == type)
            return ev;
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
}

static inline anz_group_t *joined(anz_conn_t *conn, const char *name)
{
    anz_group_t *group = NULL;
    anz_event_t ev;
    IS(anz_join(conn, name, 0, NULL, &group), ANZ_OK);
    ev = next_of(conn, ANZ_EV_VIEW);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    return group;
}
#endif
