/* What a program at the far end of a bridge sees: that something may be missing before the first
 * message, what was sent, from a member that is no program, and, where it asks, who is in the
 * source, whom no view names. */
#define _GNU_SOURCE
#include "check.h"
#include <unistd.h>

static anz_engine_t *gateway(void)
{
    static const char *const settings[][2] = {
        {"transport.multicast", "off"},
        {"domain.fast.preset", "lan"},
        {"domain.slow.preset", "lan"},
        {"bridge.up.from", "fast/prices"},
        {"bridge.up.to", "slow/prices"},
    };
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    anz_engine_t *engine = NULL;
    size_t i;
    IS(anz_config_new(&cfg), ANZ_OK);
    for (i = 0; i < sizeof settings / sizeof settings[0]; i++)
        IS(anz_config_set(cfg, settings[i][0], settings[i][1], &err), ANZ_OK);
    IS(anz_engine_new(cfg, &engine, &err), ANZ_OK);
    anz_config_free(cfg);
    IS(anz_engine_start_thread(engine), ANZ_OK);
    return engine;
}

/* What it knows of its bridges; events that come before the answer are passed over. */
static const char *bridges(anz_conn_t *conn)
{
    static const char query[] = "{\"query\":\"bridges\"}";
    static char answer[4096];
    size_t len = 0;
    int more = 1;
    IS(anz_query(conn, query, sizeof query - 1, 1), ANZ_OK);
    while (more) {
        anz_event_t ev = next_of(conn, ANZ_EV_REPLY);
        IS(ev.status, ANZ_OK);
        CHECK(len + ev.len < sizeof answer);
        memcpy(answer + len, ev.data, ev.len);
        len += ev.len;
        more = ev.flags & ANZ_EVF_MORE;
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
    answer[len] = 0;
    return answer;
}

/* Waits until they are so. */
static void bridges_say(anz_conn_t *conn, const char *words)
{
    int64_t begin = deadline_after_s(0);
    while (strstr(bridges(conn), words) == NULL) {
        CHECK(seconds_since(begin) < 20);
        usleep(10000);
    }
}

int main(void)
{
    anz_engine_t *engine = gateway();
    anz_conn_t *here = connected(engine), *there = connected(engine);
    anz_group_t *source = joined(here, "fast/prices"), *target = joined(there, "slow/prices");
    anz_member_t self;
    anz_event_t ev;
    uint64_t missing;
    char number[64];
    bridges_say(here, "\"state\":\"active\"");
    IS(anz_conn_self(here, &self), ANZ_OK);
    snprintf(number, sizeof number, "\"session\":%llu", (unsigned long long)self.session);
    bridges_say(there, number);

    IS(anz_mcast(source, ANZ_AGREED, "17.5", 4, 0), ANZ_OK);
    ev = next_of(there, ANZ_EV_GAP);
    CHECK(ev.group == target && strcmp(ev.domain, "slow") == 0);
    CHECK(ev.len == sizeof missing);
    memcpy(&missing, ev.data, sizeof missing);
    CHECK(missing == 0);
    IS(anz_release(there, &ev, 1), ANZ_OK);
    ev = next_event(there);
    CHECK(ev.type == ANZ_EV_MESSAGE && ev.group == target && ev.seq == 1);
    CHECK(ev.len == 4 && memcmp(ev.data, "17.5", 4) == 0);
    CHECK((ev.sender.session & 0xffffff) == 0 && ev.sender.node == self.node);
    IS(anz_release(there, &ev, 1), ANZ_OK);
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
