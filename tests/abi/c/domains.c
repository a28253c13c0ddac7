/* One session in two domains of one engine: groups of one name are two, nothing goes to both, and
 * a domain that is not there is refused in words. */
#define _GNU_SOURCE
#include "check.h"

static anz_conn_t *conn;

static anz_engine_t *engine_with_domains(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    anz_engine_t *engine = NULL;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_config_set(cfg, "domain.fast.ring.window", "64", &err), ANZ_OK);
    IS(anz_config_set(cfg, "domain.Fast.ring.window", "64", &err), ANZ_ECONFIG);
    CHECK(strstr(err.message, "\"Fast\" is no name for a domain") != NULL);
    IS(anz_config_set(cfg, "domain.fast.ring.windw", "64", &err), ANZ_ECONFIG);
    CHECK(strstr(err.message, "did you mean domain.fast.ring.window?") != NULL);
    IS(anz_engine_new(cfg, &engine, &err), ANZ_OK);
    anz_config_free(cfg);
    IS(anz_engine_start_thread(engine), ANZ_OK);
    return engine;
}

static void message(anz_group_t *group, const char *domain, const char *text)
{
    anz_event_t ev = next_event(conn);
    CHECK(ev.type == ANZ_EV_MESSAGE && ev.group == group);
    CHECK(strcmp(ev.domain, domain) == 0);
    CHECK(ev.len == strlen(text) && memcmp(ev.data, text, ev.len) == 0);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
}

static void refused(anz_group_t *group, const char *words)
{
    anz_event_t ev = next_event(conn);
    CHECK(ev.type == ANZ_EV_LEFT && ev.group == group);
    IS(ev.status, ANZ_EINVAL);
    CHECK(strstr((const char *)ev.data, words) != NULL);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
}

int main(void)
{
    anz_engine_t *engine = engine_with_domains();
    anz_group_t *orders, *fast, *group, *groups[2];
    anz_member_t self;
    anz_event_t ev;
    char name[256];
    conn = connected(engine);
    orders = joined(conn, "orders");
    fast = joined(conn, "fast/orders");
    CHECK(anz_has("domains") == 1);
    IS(anz_group_name(fast, name, sizeof name), ANZ_OK);
    CHECK(strcmp(name, "fast/orders") == 0);
    IS(anz_join(conn, "default/orders", 0, NULL, &group), ANZ_EEXIST);

    IS(anz_mcast(fast, ANZ_SAFE, "fast", 4, 0), ANZ_OK);
    message(fast, "fast", "fast");
    IS(anz_mcast(orders, ANZ_AGREED, "default", 7, 0), ANZ_OK);
    message(orders, "default", "default");
    groups[0] = orders;
    groups[1] = fast;
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "x", 1, 0), ANZ_EINVAL);
    groups[0] = joined(conn, "fast/more");
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "both", 4, 0), ANZ_OK);
    ev = next_event(conn);
    CHECK(ev.type == ANZ_EV_MESSAGE && anz_event_groups(&ev, NULL, 0) == 2);
    IS(anz_release(conn, &ev, 1), ANZ_OK);

    IS(anz_join(conn, "fst/orders", 0, NULL, &group), ANZ_OK);
    refused(group, "no domain \"fst\"; it has: default, fast");
    IS(anz_conn_self(conn, &self), ANZ_OK);
    IS(anz_peer(conn, "elsewhere", self, &group), ANZ_OK);
    refused(group, "no domain \"elsewhere\"");
    IS(anz_peer(conn, "", self, &group), ANZ_EINVAL);

    /* Reached where it is in a group: in the domain of the address. */
    IS(anz_peer(conn, "fast", self, &group), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED, "to me", 5, 0), ANZ_OK);
    message(NULL, "fast", "to me");
    IS(anz_leave(fast), ANZ_OK);
    IS(anz_leave(groups[0]), ANZ_OK);
    ev = next_of(conn, ANZ_EV_LEFT);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    ev = next_of(conn, ANZ_EV_LEFT);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED, "nobody", 6, 9), ANZ_OK);
    ev = next_event(conn);
    CHECK(ev.type == ANZ_EV_RECEIPT && ev.tag == 9 && ev.group == group);
    IS(ev.status, ANZ_ENOTMEMBER);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_mcast(orders, ANZ_AGREED, "still here", 10, 0), ANZ_OK);
    message(orders, "default", "still here");
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
