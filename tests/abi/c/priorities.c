/* Messages that go before or behind others of their session. The engine does something only when it
 * is told to, so all of them wait until then. */
#define _GNU_SOURCE
#include "check.h"

static anz_engine_t *engine;
static anz_conn_t *conn;

static anz_event_t next(void)
{
    int64_t end = deadline_after_s(20);
    anz_event_t ev;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    while (anz_recv(conn, &ev, 1) == 0) {
        CHECK(anz_engine_process(engine, 0) >= 0);
        CHECK(deadline_after_s(0) < end);
    }
    return ev;
}

static void comes(unsigned type, const char *text)
{
    anz_event_t ev = next();
    CHECK(ev.type == type);
    if (text != NULL && (ev.len != strlen(text) || memcmp(ev.data, text, ev.len) != 0)) {
        fprintf(stderr, "%.*s instead of %s\n", (int)ev.len, (const char *)ev.data, text);
        exit(1);
    }
    IS(anz_release(conn, &ev, 1), ANZ_OK);
}

static void put(anz_group_t *group, uint32_t priority, const char *text)
{
    IS(anz_mcast(group, ANZ_AGREED | priority, text, (uint32_t)strlen(text), 0), ANZ_OK);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_group_t *room = NULL, *other = NULL;
    anz_config_t *cfg;
    anz_claim_t claim;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_engine_new(cfg, &engine, &err), ANZ_OK);
    anz_config_free(cfg);
    IS(anz_engine_connect(engine, NULL, &conn, &err), ANZ_OK);
    IS(anz_join(conn, "room", 0, NULL, &room), ANZ_OK);
    comes(ANZ_EV_VIEW, NULL);

    put(room, ANZ_PRIO_BULK, "bulk 1");
    put(room, 0, "normal 1");
    put(room, ANZ_PRIO_HIGH, "high 1");
    put(room, ANZ_PRIO_BULK, "bulk 2");
    IS(anz_claim(room, 6, &claim), ANZ_OK);
    memcpy(claim.data, "high 2", 6);
    IS(anz_commit(room, &claim, ANZ_SAFE | ANZ_PRIO_HIGH, 0), ANZ_OK);
    put(room, 0, "normal 2");
    /* Joining is not overtaken. */
    IS(anz_join(conn, "other", 0, NULL, &other), ANZ_OK);
    put(room, 0, "normal 3");
    put(room, ANZ_PRIO_HIGH, "high 3");
    comes(ANZ_EV_MESSAGE, "high 1");
    comes(ANZ_EV_MESSAGE, "high 2");
    comes(ANZ_EV_MESSAGE, "normal 1");
    comes(ANZ_EV_MESSAGE, "normal 2");
    comes(ANZ_EV_MESSAGE, "bulk 1");
    comes(ANZ_EV_MESSAGE, "bulk 2");
    comes(ANZ_EV_VIEW, NULL);
    comes(ANZ_EV_MESSAGE, "high 3");
    comes(ANZ_EV_MESSAGE, "normal 3");

    IS(anz_mcast(room, ANZ_AGREED | ANZ_PRIO_HIGH | ANZ_PRIO_BULK, "x", 1, 0), ANZ_EINVAL);
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
