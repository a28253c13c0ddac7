/* One session with an engine in its own thread: everything that can be done, and its errors. */
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>

static anz_conn_t *conn;

static int is_readable(void)
{
    struct pollfd entry = {0, POLLIN, 0};
    entry.fd = anz_conn_fd(conn);
    return poll(&entry, 1, 0) == 1;
}

static void drain(void)
{
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    while (anz_recv(conn, &ev, 1) > 0)
        IS(anz_release(conn, &ev, 1), ANZ_OK);
}

static void names(void)
{
    char longest[257];
    anz_group_t *group = NULL;
    memset(longest, 'x', 256);
    longest[256] = '\0';
    IS(anz_join(conn, "", 0, NULL, &group), ANZ_EINVAL);
    IS(anz_join(conn, longest, 0, NULL, &group), ANZ_EINVAL);
    IS(anz_join(conn, "not \xff UTF-8", 0, NULL, &group), ANZ_EINVAL);
    IS(anz_join(conn, "flags", 0x80, NULL, &group), ANZ_EINVAL);
    CHECK(group == NULL);
    longest[255] = '\0';
    group = joined(conn, longest);
    IS(anz_join(conn, longest, 0, NULL, &group), ANZ_EEXIST);
    IS(anz_leave(group), ANZ_OK);
    drain();
}

static void messages(anz_group_t *group)
{
    char name[256], *big = malloc(1 << 20);
    anz_iov_t iov[3] = {{"three ", 6}, {NULL, 0}, {"parts", 5}};
    anz_claim_t claim, broken;
    anz_member_t self;
    anz_event_t ev;
    IS(anz_conn_self(conn, &self), ANZ_OK);
    IS(anz_group_name(group, name, sizeof name), ANZ_OK);
    CHECK(strcmp(name, "room") == 0);
    IS(anz_group_name(group, name, 4), ANZ_EINVAL);

    IS(anz_mcast(group, ANZ_SAFE, "safe", 4, 7), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.group == group && ev.group_user_data == (void *)0x1234 && ev.tag == 7);
    CHECK(ev.len == 4 && memcmp(ev.data, "safe", 4) == 0 && ev.service == ANZ_SAFE);
    CHECK(ev.sender.node == self.node && ev.sender.session == self.session && ev.seq == 1);
    CHECK(anz_event_groups(&ev, NULL, 0) == 1);
    IS(anz_release(conn, &ev, 1), ANZ_OK);

    IS(anz_mcastv(group, ANZ_AGREED, iov, 3, 8), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED | ANZ_NO_SELF, "not for me", 10, 9), ANZ_OK);
    IS(anz_claim(group, 5, &claim), ANZ_OK);
    memcpy(claim.data, "claim", 5);
    broken = claim;
    broken.token += 8;
    IS(anz_commit(group, &broken, ANZ_AGREED, 10), ANZ_EINVAL);
    IS(anz_commit(group, &claim, ANZ_AGREED, 10), ANZ_OK);
    IS(anz_commit(group, &claim, ANZ_AGREED, 10), ANZ_EINVAL);
    IS(anz_claim(group, 1000, &claim), ANZ_OK);
    anz_abort(group, &claim);
    anz_abort(group, &claim);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 11 && memcmp(ev.data, "three parts", 11) == 0 && ev.tag == 8);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 5 && memcmp(ev.data, "claim", 5) == 0 && ev.tag == 10);
    IS(anz_release(conn, &ev, 1), ANZ_OK);

    memset(big, 'b', 1 << 20);
    IS(anz_mcast(group, ANZ_AGREED, big, (1 << 20) + 1, 0), ANZ_EMSGSIZE);
    IS(anz_mcast(group, ANZ_AGREED, big, (size_t)-1, 0), ANZ_EMSGSIZE);
    IS(anz_claim(group, (size_t)-1, &claim), ANZ_EMSGSIZE);
    IS(anz_mcast(group, ANZ_AGREED, big, 1 << 20, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 1 << 20 && memcmp(ev.data, big, ev.len) == 0);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    free(big);

    IS(anz_mcast(group, 6, "x", 1, 0), ANZ_EINVAL);
    IS(anz_mcast(group, ANZ_AGREED | 0x800u, "x", 1, 0), ANZ_EINVAL);
    IS(anz_mcast(group, ANZ_AGREED | ANZ_RECEIPT, "x", 1, 0), ANZ_ENOTSUP);
    IS(anz_mcast_groups(&group, 1, ANZ_AGREED, "one", 3, 0), ANZ_OK);
    {
        anz_group_t *two[2] = {group, group};
        IS(anz_mcast_groups(two, 2, ANZ_AGREED, "two", 3, 0), ANZ_EINVAL);
    }
    IS(anz_group_wait_writable(group, deadline_after_s(20)), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
}

/* How long something has waited, at most; with nothing there, not at all. */
static void waiting_is_measured(anz_group_t *group)
{
    anz_conn_stats_t stats;
    anz_event_t ev;
    struct timespec while_ = {0, 60000000};
    int64_t began;
    stats.struct_size = sizeof stats;
    ev.struct_size = sizeof ev;
    while (anz_recv(conn, &ev, 1) > 0)
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_conn_stats(conn, &stats), ANZ_OK);
    CHECK(stats.lag_ns == 0);
    began = deadline_after_s(0);
    IS(anz_mcast(group, ANZ_AGREED, "lag", 3, 0), ANZ_OK);
    do {
        nanosleep(&while_, NULL);
        IS(anz_conn_stats(conn, &stats), ANZ_OK);
    } while (stats.lag_ns == 0 && deadline_after_s(-20) < began);
    CHECK(stats.lag_ns >= 60000000 && stats.lag_ns < 40000000000);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    CHECK(anz_recv(conn, &ev, 1) == 0);
    IS(anz_conn_stats(conn, &stats), ANZ_OK);
    CHECK(stats.lag_ns == 0);
}

/* Events of headers that are older (none yet) and newer than the library. */
static void struct_sizes(anz_group_t *group)
{
    union { anz_event_t ev; char bytes[3 * 128]; } newer;
    anz_event_t wrong;
    struct { anz_conn_stats_t stats; uint64_t more; } stats;
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *none = NULL;
    anz_config_t *cfg = NULL;
    char small[24];
    int at, n;
    for (at = 0; at < 2; at++)
        IS(anz_mcast(group, ANZ_AGREED, "newer", 5, 50), ANZ_OK);
    memset(&newer, 0xAA, sizeof newer);
    newer.ev.struct_size = 128;
    for (at = 0; at < 2; at += n) {
        IS(anz_conn_wait(conn, deadline_after_s(20)), ANZ_OK);
        newer.ev.struct_size = 128;
        n = anz_recv(conn, &newer.ev, 2);
        CHECK(n >= 0);
        if (n == 0)
            continue;
        CHECK(newer.ev.struct_size == 128 && newer.ev.len == 5 && newer.bytes[120] == 0);
        IS(anz_release(conn, &newer.ev, (size_t)n), ANZ_OK);
    }
    CHECK((unsigned char)newer.bytes[2 * 128] == 0xAA);
    memset(&wrong, 0, sizeof wrong);
    for (at = 0; at < 96; at += 8) {
        wrong.struct_size = (uint32_t)at;
        CHECK(anz_recv(conn, &wrong, 1) == ANZ_EINVAL);
    }
    wrong.struct_size = 97;
    CHECK(anz_recv(conn, &wrong, 1) == ANZ_EINVAL);
    wrong.struct_size = 0xFFFFFFF8u;
    CHECK(anz_recv(conn, &wrong, 1) == ANZ_EINVAL);

    memset(&stats, 0xAA, sizeof stats);
    stats.stats.struct_size = sizeof stats;
    IS(anz_conn_stats(conn, &stats.stats), ANZ_OK);
    CHECK(stats.more == 0 && stats.stats.sent_messages > 5 && stats.stats.views > 0);
    CHECK(stats.stats.receive_ring_size == 4 << 20 && stats.stats.reconnects == 0);
    stats.stats.struct_size = 8;
    IS(anz_conn_stats(conn, &stats.stats), ANZ_EINVAL);
    waiting_is_measured(group);

    /* An error of less room gets what fits, and nothing is written behind it. */
    memset(small, 0x55, sizeof small);
    *(uint32_t *)(void *)small = 20;
    IS(anz_connect("nonsense", NULL, &none, (anz_error_t *)(void *)small), ANZ_EINVAL);
    CHECK(small[16] != 0x55 && small[19] == '\0' && small[20] == 0x55);
    IS(anz_connect("nonsense", NULL, &none, &err), ANZ_EINVAL);
    CHECK(err.code == ANZ_EINVAL && strstr(err.message, "inproc:NAME") != NULL && none == NULL);
    CHECK(strstr(err.message, "tcp://host:port") != NULL);
    IS(anz_connect("tcp://127.0.0.1:1", NULL, &none, &err), ANZ_ECONNREFUSED);
    IS(anz_connect("shm:/nowhere/a.sock", NULL, &none, &err), ANZ_ECONNREFUSED);
    CHECK(err.flags == ANZ_ERR_F_RETRYABLE && err.os_errno == 2);
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    CHECK(err.struct_size == sizeof err && err.code == ANZ_OK && err.message[0] == '\0');
    CHECK(err.flags == 0 && err.os_errno == 0);
    anz_config_free(cfg);
}

static void retained(anz_group_t *group, anz_msg_t **msg)
{
    anz_event_t ev;
    size_t len = 0;
    IS(anz_mcast(group, ANZ_AGREED, "keep me", 7, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&ev, msg), ANZ_OK);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_release(conn, &ev, 1), ANZ_OK); /* twice does no harm */
    CHECK(memcmp(anz_msg_data(*msg, &len), "keep me", 7) == 0 && len == 7);
}

/* Of what is still there after ANZ_EV_CLOSED, and what is not. */
static void ended(const anz_member_t *self)
{
    anz_conn_stats_t stats;
    anz_member_t again;
    anz_group_t *none = NULL;
    char name[64];
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    CHECK(anz_conn_fd(conn) >= 0);
    IS(anz_conn_self(conn, &again), ANZ_OK);
    CHECK(again.session == self->session);
    IS(anz_member_name(conn, self, name, sizeof name), ANZ_OK);
    IS(anz_release(conn, NULL, 0), ANZ_OK);
    IS(anz_conn_stats(conn, &stats), ANZ_ECLOSED);
    IS(anz_conn_wait(conn, 0), ANZ_ECLOSED);
    IS(anz_conn_wake(conn), ANZ_ECLOSED);
    IS(anz_join(conn, "late", 0, NULL, &none), ANZ_ECLOSED);
    IS(anz_peer(conn, "default", *self, &none), ANZ_ECLOSED);
    IS(anz_query(conn, "{\"query\":\"status\"}", 18, 1), ANZ_ECLOSED);
    CHECK(none == NULL);
}

int main(void)
{
    anz_engine_t *engine = lonely_engine();
    anz_group_t *group = NULL, *sender = NULL;
    anz_member_t self;
    anz_event_t ev;
    anz_msg_t *msg = NULL;
    char name[40];
    size_t len = 0;
    conn = connected(engine);
    IS(anz_conn_self(conn, &self), ANZ_OK);
    CHECK(self.node != 0 && self.session != 0);
    /* Nothing is to be received yet, and nobody is woken for nothing. */
    CHECK(!is_readable());
    IS(anz_conn_wait(conn, deadline_after_s(0) + 50000000), ANZ_ETIMEDOUT);
    IS(anz_member_name(conn, &self, name, sizeof name), ANZ_OK);
    CHECK(strchr(name, '/') != NULL);
    IS(anz_member_name(conn, &self, name, 3), ANZ_EINVAL);

    IS(anz_join(conn, "room", 0, (void *)0x1234, &group), ANZ_OK);
    ev = next_of(conn, ANZ_EV_VIEW);
    CHECK(ev.view->struct_size == sizeof *ev.view && ev.view->cause == ANZ_CAUSE_JOIN);
    CHECK(ev.view->members_len == 1 && ev.view->members[0].session == self.session);
    CHECK(ev.view->joined_len == 1 && ev.view->left_len == 0 && ev.view->vs_set != NULL);
    CHECK(ev.view->reason[0] != '\0' && ev.view->id.ring_seq != 0);
    IS(anz_release(conn, &ev, 1), ANZ_OK);

    names();
    messages(group);
    struct_sizes(group);
    retained(group, &msg);
    drain();
    CHECK(!is_readable());

    IS(anz_join(conn, "elsewhere", ANZ_JOIN_SEND_ONLY, NULL, &sender), ANZ_OK);
    drain();
    IS(anz_mcast(sender, ANZ_AGREED, "to nobody", 9, 0), ANZ_OK);
    /* It is taken, and there is nothing to say of it. */
    IS(anz_conn_wait(conn, deadline_after_s(0) + 50000000), ANZ_ETIMEDOUT);
    IS(anz_query(conn, "{\"query\":\"status\"}", 18, 99), ANZ_OK);
    ev = next_of(conn, ANZ_EV_REPLY);
    CHECK(ev.tag == 99 && ev.status == ANZ_OK && ((const char *)ev.data)[0] == '{');
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_query(conn, "{\"query\":\"nonsense\"}", 20, 100), ANZ_OK);
    ev = next_of(conn, ANZ_EV_REPLY);
    CHECK(ev.tag == 100 && ev.status == ANZ_EINVAL);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_leave(sender), ANZ_OK);
    ev = next_of(conn, ANZ_EV_LEFT);
    CHECK(ev.group == sender && ev.status == ANZ_OK);

    drain();
    IS(anz_conn_wait(conn, 0), ANZ_ETIMEDOUT);
    IS(anz_conn_wake(conn), ANZ_OK);
    IS(anz_conn_wait(conn, -1), ANZ_EINTR);

    IS(anz_leave(group), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_ENOTMEMBER);
    ev = next_of(conn, ANZ_EV_LEFT);
    CHECK(ev.group == group && ev.status == ANZ_OK);
    drain();
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_ECLOSED);

    /* An engine that is freed takes its sessions with it, in words. */
    group = joined(conn, "last");
    anz_engine_free(engine);
    ev = next_of(conn, ANZ_EV_LEFT);
    CHECK(ev.group == group && ev.status == ANZ_ECLOSED && ev.len > 0);
    ev = next_event(conn);
    CHECK(ev.type == ANZ_EV_CLOSED && ev.status == ANZ_ECLOSED && ev.len > 0);
    CHECK(anz_recv(conn, &ev, 1) == ANZ_ECLOSED);
    ended(&self);
    IS(anz_engine_stop(engine), ANZ_ECLOSED);
    IS(anz_conn_close(conn), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_ECLOSED);
    CHECK(anz_event_groups(&ev, NULL, 0) == 0);
    CHECK(memcmp(anz_msg_data(msg, &len), "keep me", 7) == 0 && len == 7);
    anz_msg_release(msg);
    CHECK(anz_msg_data(msg, &len) == NULL && len == 0);
    puts("ok");
    return 0;
}
