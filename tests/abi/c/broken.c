/* An invariant breaks, in the core and around it, in an engine that is driven in each way there is:
 * every call says so, sessions are told, and nothing takes the engine's place. */
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>

typedef struct {
    const char *url; /* of an engine that the library starts; NULL: one of ours */
    int own_thread;
    anz_engine_t *engine;
} way_t;

static anz_config_t *config(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_config_set(cfg, "transport.allow_faults", "true", &err), ANZ_OK);
    return cfg;
}

static anz_status_t connect_to(way_t *way, anz_conn_t **conn, anz_error_t *err)
{
    anz_config_t *cfg = config();
    anz_status_t status = way->url != NULL ? anz_connect(way->url, cfg, conn, err)
                                           : anz_engine_connect(way->engine, cfg, conn, err);
    anz_config_free(cfg);
    return status;
}

/* The next event; if it is for us to drive the engine, until it says that it is broken. */
static anz_event_t driven_event(way_t *way, anz_conn_t *conn)
{
    int64_t end = deadline_after_s(20);
    anz_event_t ev;
    int n, turned;
    if (way->engine == NULL || way->own_thread)
        return next_event(conn);
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    while ((n = anz_recv(conn, &ev, 1)) == 0) {
        struct pollfd entry = {anz_engine_fd(way->engine), POLLIN, 0};
        CHECK(deadline_after_s(0) < end);
        poll(&entry, 1, 20);
        turned = anz_engine_process(way->engine, 0);
        CHECK(turned >= 0 || turned == ANZ_EINTERNAL);
    }
    CHECK(n == 1);
    return ev;
}

static void told(way_t *way, anz_conn_t *conn, const char *cause)
{
    anz_event_t ev;
    do {
        ev = driven_event(way, conn);
        CHECK(ev.type == ANZ_EV_REPLY || ev.type == ANZ_EV_CLOSED);
        CHECK(ev.status == (ev.type == ANZ_EV_REPLY ? ANZ_OK : ANZ_EINTERNAL));
        if (ev.type == ANZ_EV_CLOSED) {
            char reason[512] = "";
            CHECK(ev.len < sizeof reason);
            memcpy(reason, ev.data, ev.len);
            CHECK(strstr(reason, cause) != NULL);
        }
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    } while (ev.type != ANZ_EV_CLOSED);
    CHECK(anz_recv(conn, &ev, 1) == ANZ_ECLOSED);
    IS(anz_conn_close(conn), ANZ_OK);
}

/* The record of the flight is where the message says, and tells of it. */
static void has_record(const char *message)
{
    char path[240] = "", head[256] = "";
    FILE *record;
    CHECK(sscanf(message, "an invariant is broken, so the engine stops; please report this with "
                 "%239[^;]", path) == 1);
    record = fopen(path, "r");
    CHECK(record != NULL && fgets(head, sizeof head, record) != NULL);
    CHECK(strstr(head, "an administrator asked for it") != NULL);
    fclose(record);
    CHECK(remove(path) == 0);
}

static void breaks(way_t *way, const char *request)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *asks, *waits, *late = NULL;
    int round;
    IS(connect_to(way, &waits, &err), ANZ_OK);
    IS(connect_to(way, &asks, &err), ANZ_OK);
    IS(anz_query(asks, request, strlen(request), 1), ANZ_OK);
    told(way, asks, "an administrator asked for it");
    told(way, waits, "an administrator asked for it");
    for (round = 0; round < 2; round++) {
        memset(&err, 0, sizeof err);
        err.struct_size = sizeof err;
        IS(connect_to(way, &late, &err), ANZ_EINTERNAL);
        CHECK(late == NULL && err.code == ANZ_EINTERNAL && err.flags == ANZ_ERR_F_FATAL);
        CHECK(strstr(err.message, "an invariant is broken") != NULL);
    }
    has_record(err.message);
    if (way->engine != NULL) {
        CHECK(anz_engine_process(way->engine, 0) == ANZ_EINTERNAL);
        CHECK(anz_engine_fd(way->engine) == ANZ_EINTERNAL);
        IS(anz_engine_run(way->engine), ANZ_EINTERNAL);
        anz_engine_free(way->engine);
        IS(anz_engine_stop(way->engine), ANZ_ECLOSED);
    }
}

static void breaks_in(const char *request, const char *url)
{
    int own_thread;
    way_t way;
    for (own_thread = 0; own_thread < 2; own_thread++) {
        anz_error_t err = {sizeof err, 0, 0, 0, ""};
        anz_config_t *cfg = config();
        way.url = NULL;
        way.own_thread = own_thread;
        IS(anz_engine_new(cfg, &way.engine, &err), ANZ_OK);
        anz_config_free(cfg);
        if (own_thread)
            IS(anz_engine_start_thread(way.engine), ANZ_OK);
        breaks(&way, request);
    }
    way.url = url;
    way.engine = NULL;
    breaks(&way, request);
}

int main(void)
{
    breaks_in("{\"do\":\"break\"}", "inproc:broken-core");
    breaks_in("{\"do\":\"break\",\"in\":\"engine\"}", "inproc:broken-engine");
    puts("ok");
    return 0;
}
