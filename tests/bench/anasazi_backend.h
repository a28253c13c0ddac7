/* The Anasazi backend of a group communication benchmark, on the public C API alone.
 *
 * The program that includes it has declared
 *     void on_message(const void *data, size_t len);   every delivered message, in delivery order
 *     void on_members(int n);                          every change of the number of members
 *     int want_safe;                                   ask for ANZ_SAFE instead of ANZ_AGREED
 *     int in_loop;                                     set here: all is called from one thread
 * and calls b_init() once, b_send() from its own thread, b_dispatch() again and again from another.
 * The engine is the one that $ANASAZI_URL names; without that, one in the program's own loop. One
 * of this process is configured by the file that $BENCH_CONFIG names. */
#define _GNU_SOURCE
#include <anasazi.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { B_EVENTS_MAX = 256 };

static anz_engine_t *b_engine; /* that of the own loop, if there is one */
static anz_conn_t *b_conn;
static anz_group_t *b_group;

static anz_status_t b_connect(anz_config_t *config, anz_error_t *error) {
    in_loop = getenv("ANASAZI_URL") == NULL;
    if (!in_loop) return anz_connect(NULL, config, &b_conn, error);
    anz_status_t status = anz_engine_new(config, &b_engine, error);
    return status == ANZ_OK ? anz_engine_connect(b_engine, NULL, &b_conn, error) : status;
}

/* Connects and joins the group that $BENCH_GROUP names, or "bench"; 0 = ok. */
static int b_init(void) {
    const char *group = getenv("BENCH_GROUP");
    anz_error_t error = {.struct_size = sizeof error};
    const char *file = getenv("BENCH_CONFIG");
    anz_config_t *config = NULL;
    if (file != NULL && (anz_config_new(&config) != ANZ_OK
                         || anz_config_load(config, file, &error) != ANZ_OK)) {
        fprintf(stderr, "anasazi: %s: %s\n", file, error.message);
        return 1;
    }
    if (b_connect(config, &error) != ANZ_OK) {
        fprintf(stderr, "anasazi: %s\n", error.message);
        return 1;
    }
    return anz_join(b_conn, group ? group : "bench", 0, NULL, &b_group) != ANZ_OK;
}

/* 0 = queued, 1 = no room now: try again, -1 = error. */
static int b_send(const void *data, size_t len) {
    anz_status_t s = anz_mcast(b_group, want_safe ? ANZ_SAFE : ANZ_AGREED, data, len, 0);
    if (s == ANZ_OK) return 0;
    if (s == ANZ_EAGAIN) return 1;
    fprintf(stderr, "anasazi: send: %s\n", anz_status_string(s));
    return -1;
}

static void b_event(const anz_event_t *event) {
    switch (event->type) {
    case ANZ_EV_MESSAGE: on_message(event->data, event->len); break;
    case ANZ_EV_VIEW: on_members((int)event->view->members_len); break;
    case ANZ_EV_LEFT:
    case ANZ_EV_CLOSED:
        fprintf(stderr, "anasazi: the session ended: %s\n", anz_status_string(event->status));
        exit(5);
    default: break;
    }
}

/* Hands on what is there; how many. */
static int b_receive(void) {
    static anz_event_t events[B_EVENTS_MAX];
    events[0].struct_size = sizeof events[0];
    int n = anz_recv(b_conn, events, B_EVENTS_MAX);
    if (n < 0) {
        fprintf(stderr, "anasazi: receive: %s\n", anz_status_string(n));
        exit(5);
    }
    for (int i = 0; i < n; i++) b_event(&events[i]);
    if (n > 0) anz_release(b_conn, events, (size_t)n);
    return n;
}

/* A turn of the engine, as soon as it has something to do. */
static void b_turn(uint64_t until_ns) {
    struct pollfd watched = {.fd = anz_engine_fd(b_engine), .events = POLLIN};
    uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0;
    struct timespec wait = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
    if (ppoll(&watched, 1, &wait, NULL) <= 0 || anz_engine_process(b_engine, 0) >= 0) return;
    fprintf(stderr, "anasazi: the engine ended\n");
    exit(5);
}

/* Hands on what is there, or waits for it until then (CLOCK_MONOTONIC). */
static void b_dispatch(uint64_t until_ns) {
    if (b_receive() > 0) return;
    if (!in_loop) anz_conn_wait(b_conn, (int64_t)until_ns);
    else {
        b_turn(until_ns);
        b_receive();
    }
}
