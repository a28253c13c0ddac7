/* Handles that are stale, of another kind, or nonsense: a status, never a crash. */
#define _GNU_SOURCE
#include "check.h"

static anz_event_t ev;
static anz_claim_t claim;

/* Everything that takes a session, with one that is none. */
static void sessions(anz_conn_t *c)
{
    anz_conn_stats_t stats;
    anz_group_t *group = NULL;
    anz_member_t self = {0, 0};
    char name[64];
    stats.struct_size = sizeof stats;
    CHECK(anz_conn_fd(c) == ANZ_ECLOSED);
    IS(anz_conn_self(c, &self), ANZ_ECLOSED);
    IS(anz_member_name(c, &self, name, sizeof name), ANZ_ECLOSED);
    IS(anz_conn_set_notify(c, NULL, NULL), ANZ_ECLOSED);
    IS(anz_conn_wait(c, -1), ANZ_ECLOSED);
    IS(anz_conn_wake(c), ANZ_ECLOSED);
    IS(anz_conn_stats(c, &stats), ANZ_ECLOSED);
    IS(anz_join(c, "x", 0, NULL, &group), ANZ_ECLOSED);
    IS(anz_peer(c, "default", self, &group), ANZ_ECLOSED);
    CHECK(anz_recv(c, &ev, 1) == ANZ_ECLOSED);
    IS(anz_release(c, &ev, 1), ANZ_ECLOSED);
    IS(anz_query(c, "{}", 2, 0), ANZ_ECLOSED);
    IS(anz_conn_close(c), ANZ_ECLOSED);
}

static void groups(anz_group_t *g)
{
    anz_iov_t iov = {"x", 1};
    char name[256];
    IS(anz_leave(g), ANZ_ECLOSED);
    IS(anz_group_name(g, name, sizeof name), ANZ_ECLOSED);
    IS(anz_group_wait_writable(g, -1), ANZ_ECLOSED);
    IS(anz_mcast(g, ANZ_AGREED, "x", 1, 0), ANZ_ECLOSED);
    IS(anz_mcastv(g, ANZ_AGREED, &iov, 1, 0), ANZ_ECLOSED);
    IS(anz_mcast_groups(&g, 1, ANZ_AGREED, "x", 1, 0), ANZ_ECLOSED);
    IS(anz_claim(g, 1, &claim), ANZ_ECLOSED);
    IS(anz_commit(g, &claim, ANZ_AGREED, 0), ANZ_ECLOSED);
    anz_abort(g, &claim);
}

static void engines(anz_engine_t *e)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    CHECK(anz_engine_fd(e) == ANZ_ECLOSED);
    CHECK(anz_engine_process(e, 0) == ANZ_ECLOSED);
    CHECK(anz_engine_process_fd(e, 0, 0) == ANZ_ECLOSED);
    IS(anz_engine_run(e), ANZ_ECLOSED);
    IS(anz_engine_start_thread(e), ANZ_ECLOSED);
    IS(anz_engine_stop(e), ANZ_ECLOSED);
    IS(anz_engine_connect(e, NULL, &conn, &err), ANZ_ECLOSED);
    CHECK(err.message[0] != '\0');
    anz_engine_free(e);
}

static void configs(anz_config_t *cfg)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_loop_ops_t ops = {sizeof ops, 0, NULL, NULL};
    anz_engine_t *engine = NULL;
    anz_conn_t *conn = NULL;
    IS(anz_config_set(cfg, "cluster", "x", &err), ANZ_ECLOSED);
    IS(anz_config_load(cfg, "/x", &err), ANZ_ECLOSED);
    IS(anz_config_set_log(cfg, NULL, ANZ_LOG_INFO, NULL), ANZ_ECLOSED);
    IS(anz_config_set_loop(cfg, &ops, NULL), ANZ_ECLOSED);
    IS(anz_engine_new(cfg, &engine, &err), ANZ_ECLOSED);
    IS(anz_connect("inproc:stale", cfg, &conn, &err), ANZ_ECLOSED);
    anz_config_free(cfg);
}

static void messages(anz_msg_t *m)
{
    size_t len = 1;
    CHECK(anz_msg_data(m, &len) == NULL && len == 0);
    CHECK(anz_msg_data(m, NULL) == NULL);
    anz_msg_release(m);
}

static void everything(void *handle)
{
    sessions(handle);
    groups(handle);
    engines(handle);
    configs(handle);
    messages(handle);
}

int main(void)
{
    anz_engine_t *engine = lonely_engine();
    anz_conn_t *conn = connected(engine), *closed = connected(engine);
    anz_group_t *group = joined(conn, "room"), *other = joined(closed, "room");
    anz_config_t *cfg;
    anz_msg_t *msg;
    int local;
    ev.struct_size = sizeof ev;

    sessions((anz_conn_t *)group);
    groups((anz_group_t *)conn);
    engines((anz_engine_t *)conn);
    configs((anz_config_t *)engine);
    messages((anz_msg_t *)group);

    IS(anz_config_new(&cfg), ANZ_OK);
    anz_config_free(cfg);
    configs(cfg);
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&ev, &msg), ANZ_OK);
    anz_msg_release(msg);
    messages(msg);
    IS(anz_conn_close(closed), ANZ_OK);
    sessions(closed);
    groups(other);
    anz_engine_free(engine);
    engines(engine);
    ev.struct_size = sizeof ev;

    everything(&local);
    everything(malloc(1));
    everything((void *)1);
    everything((void *)(uintptr_t)0xA2FFFFFFFFFFFFFF);
    everything((void *)(uintptr_t)0xA300FFFF00000001);
    everything((void *)(uintptr_t)0xA500FFFF00000001);
    everything((void *)(uintptr_t)-1);
    puts("ok");
    return 0;
}
