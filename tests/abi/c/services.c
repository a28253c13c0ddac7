/* Every way of sending, between two sessions of one engine, and what is refused of it. */
#define _GNU_SOURCE
#include "check.h"

static anz_engine_t *engine;
static anz_conn_t *anna, *bert;

static anz_event_t receipt(anz_conn_t *conn, anz_status_t status, uint64_t tag)
{
    anz_event_t ev = next_event(conn);
    const anz_receipt_t *receipt = ev.data;
    IS(ev.type, ANZ_EV_RECEIPT);
    CHECK(receipt != NULL && ev.len == sizeof *receipt && receipt->struct_size == ev.len);
    IS(receipt->status, status);
    IS(ev.status, status);
    CHECK(receipt->tag == tag && ev.tag == tag);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    return ev;
}

/* The next event is this message. */
static anz_event_t message(anz_conn_t *conn, const char *text, uint64_t tag)
{
    anz_event_t ev = next_event(conn);
    CHECK(ev.type == ANZ_EV_MESSAGE && ev.len == strlen(text));
    CHECK(memcmp(ev.data, text, ev.len) == 0 && ev.tag == tag);
    return ev;
}

static void quiet(anz_conn_t *conn)
{
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    CHECK(anz_recv(conn, &ev, 1) == 0);
}

static void levels(anz_group_t *group)
{
    char longest[ANZ_UNRELIABLE_LEN_MAX + 1];
    uint32_t level;
    anz_claim_t claim;
    anz_event_t ev;
    memset(longest, 'x', sizeof longest);
    for (level = ANZ_UNRELIABLE; level <= ANZ_SAFE; level++) {
        IS(anz_mcast(group, level, "each", 4, 10 + level), ANZ_OK);
        ev = message(anna, "each", 10 + level);
        CHECK(ev.service == level && (ev.seq != 0) == (level != ANZ_UNRELIABLE));
        CHECK(ev.group == group && ev.flags == 0 && anz_event_groups(&ev, NULL, 0) == 1);
        IS(anz_release(anna, &ev, 1), ANZ_OK);
        ev = message(bert, "each", 0);
        CHECK(ev.service == level);
        IS(anz_release(bert, &ev, 1), ANZ_OK);
        IS(anz_mcast(group, level | ANZ_NO_SELF, "others", 6, 1), ANZ_OK);
        ev = message(bert, "others", 0);
        IS(anz_release(bert, &ev, 1), ANZ_OK);
        quiet(anna);
    }
    IS(anz_mcast(group, ANZ_UNRELIABLE, longest, sizeof longest, 0), ANZ_EMSGSIZE);
    IS(anz_claim(group, sizeof longest, &claim), ANZ_OK);
    IS(anz_commit(group, &claim, ANZ_UNRELIABLE, 0), ANZ_EMSGSIZE);
    IS(anz_commit(group, &claim, ANZ_AGREED, 0), ANZ_EINVAL);
    IS(anz_mcast(group, ANZ_UNRELIABLE, longest, ANZ_UNRELIABLE_LEN_MAX, 0), ANZ_OK);
    ev = next_of(bert, ANZ_EV_MESSAGE);
    CHECK(ev.len == ANZ_UNRELIABLE_LEN_MAX);
    IS(anz_release(bert, &ev, 1), ANZ_OK);
    ev = next_of(anna, ANZ_EV_MESSAGE);
    IS(anz_release(anna, &ev, 1), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED | ANZ_RECEIPT, "x", 1, 0), ANZ_ENOTSUP);
}

static void outside(void)
{
    anz_group_t *group = NULL;
    anz_event_t ev;
    uint32_t level;
    IS(anz_join(bert, "outside", ANZ_JOIN_SEND_ONLY, NULL, &group), ANZ_OK);
    joined(anna, "outside");
    for (level = ANZ_UNRELIABLE; level <= ANZ_SAFE; level++) {
        IS(anz_mcast(group, level, "from outside", 12, 20 + level), ANZ_OK);
        ev = message(anna, "from outside", 0);
        CHECK(ev.service == level);
        IS(anz_release(anna, &ev, 1), ANZ_OK);
        CHECK(receipt(bert, ANZ_OK, 20 + level).group == group);
    }
    IS(anz_mcast(group, ANZ_AGREED | ANZ_SAME_VIEW, "x", 1, 0), ANZ_EINVAL);
}

static void peers(void)
{
    anz_group_t *to_bert = NULL, *to_anna = NULL, *to_nobody = NULL, *both[2];
    anz_member_t self, other, nobody;
    anz_event_t ev;
    uint32_t level;
    IS(anz_conn_self(anna, &self), ANZ_OK);
    IS(anz_conn_self(bert, &other), ANZ_OK);
    nobody = other;
    nobody.session += 100;
    IS(anz_peer(anna, NULL, other, &to_bert), ANZ_EINVAL);
    IS(anz_peer(anna, "default", other, NULL), ANZ_EINVAL);
    IS(anz_peer(anna, "default", other, &to_bert), ANZ_OK);
    IS(anz_peer(anna, "default", other, &to_anna), ANZ_EEXIST);
    IS(anz_peer(anna, "default", self, &to_anna), ANZ_OK);
    IS(anz_peer(anna, "default", nobody, &to_nobody), ANZ_OK);
    nobody.node = 0;
    IS(anz_peer(anna, "default", nobody, &both[0]), ANZ_EINVAL);
    for (level = ANZ_UNRELIABLE; level <= ANZ_SAFE; level++) {
        IS(anz_mcast(to_bert, level, "bert alone", 10, 30 + level), ANZ_OK);
        ev = message(bert, "bert alone", 0);
        CHECK(ev.group == NULL && ev.seq == 0 && ev.service == level);
        CHECK(ev.sender.session == self.session && anz_event_groups(&ev, NULL, 0) == 0);
        IS(anz_release(bert, &ev, 1), ANZ_OK);
        CHECK(receipt(anna, ANZ_OK, 30 + level).group == to_bert);
        IS(anz_mcast(to_anna, level, "myself", 6, 40 + level), ANZ_OK);
        ev = message(anna, "myself", 40 + level);
        IS(anz_release(anna, &ev, 1), ANZ_OK);
        IS(anz_mcast(to_nobody, level, "nobody", 6, 50 + level), ANZ_OK);
        receipt(anna, ANZ_ENOTMEMBER, 50 + level);
    }
    IS(anz_mcast(to_bert, ANZ_AGREED | ANZ_SAME_VIEW, "x", 1, 0), ANZ_EINVAL);
    both[0] = to_bert;
    both[1] = to_anna;
    IS(anz_mcast_groups(both, 2, ANZ_AGREED, "x", 1, 0), ANZ_EINVAL);
    IS(anz_leave(to_bert), ANZ_OK);
    ev = next_event(anna);
    CHECK(ev.type == ANZ_EV_LEFT && ev.group == to_bert && ev.status == ANZ_OK);
    quiet(anna);
    quiet(bert);
}

static void several(anz_group_t *room)
{
    anz_group_t *groups[66], *own[2] = {NULL, NULL};
    char longest[ANZ_UNRELIABLE_LEN_MAX];
    anz_event_t ev;
    size_t at;
    uint32_t level;
    groups[0] = room;
    groups[1] = joined(anna, "second");
    memset(longest, 'x', sizeof longest);
    for (level = ANZ_UNRELIABLE; level <= ANZ_SAFE; level++) {
        IS(anz_mcast_groups(groups, 2, level, "to both", 7, 60 + level), ANZ_OK);
        ev = message(anna, "to both", 60 + level);
        CHECK(ev.flags == ANZ_EVF_MULTI && ev.group == groups[0] && ev.service == level);
        CHECK(anz_event_groups(&ev, own, 1) == 2 && own[0] == groups[0] && own[1] == NULL);
        CHECK(anz_event_groups(&ev, own, 2) == 2 && own[1] == groups[1]);
        own[1] = NULL;
        IS(anz_release(anna, &ev, 1), ANZ_OK);
        ev = message(bert, "to both", 0);
        CHECK(ev.flags == 0 && anz_event_groups(&ev, NULL, 0) == 1);
        IS(anz_release(bert, &ev, 1), ANZ_OK);
    }
    IS(anz_mcast_groups(groups, 2, ANZ_SAFE | ANZ_SAME_VIEW, "same view", 9, 70), ANZ_OK);
    ev = message(anna, "same view", 70);
    IS(anz_release(anna, &ev, 1), ANZ_OK);
    ev = message(bert, "same view", 0);
    IS(anz_release(bert, &ev, 1), ANZ_OK);
    IS(anz_mcast_groups(groups, 2, 0, longest, sizeof longest - 17, 0), ANZ_EMSGSIZE);
    IS(anz_mcast_groups(NULL, 2, ANZ_AGREED, "x", 1, 0), ANZ_EINVAL);
    IS(anz_mcast_groups(groups, 0, ANZ_AGREED, "x", 1, 0), ANZ_EINVAL);
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, NULL, 1, 0), ANZ_EINVAL);
    IS(anz_mcast_groups(groups, 2, 6, "x", 1, 0), ANZ_EINVAL);
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED | ANZ_RECEIPT, "x", 1, 0), ANZ_ENOTSUP);
    for (at = 2; at < 66; at++)
        groups[at] = room;
    IS(anz_mcast_groups(groups, 3, ANZ_AGREED, "twice", 5, 0), ANZ_EINVAL);
    IS(anz_mcast_groups(groups, 65, ANZ_AGREED, "too many", 8, 0), ANZ_EINVAL);
    IS(anz_join(bert, "bert's", ANZ_JOIN_SEND_ONLY, NULL, &groups[1]), ANZ_OK);
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "two sessions", 12, 0), ANZ_EINVAL);
    groups[1] = NULL;
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "x", 1, 0), ANZ_EINVAL);
    groups[1] = (anz_group_t *)(void *)groups;
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "x", 1, 0), ANZ_ECLOSED);
    quiet(anna);
    quiet(bert);
}

static void same_view(anz_group_t *room)
{
    anz_conn_t *third;
    anz_event_t ev;
    IS(anz_mcast(room, ANZ_AGREED | ANZ_SAME_VIEW, "in this view", 12, 80), ANZ_OK);
    ev = message(anna, "in this view", 80);
    IS(anz_release(anna, &ev, 1), ANZ_OK);
    ev = message(bert, "in this view", 0);
    IS(anz_release(bert, &ev, 1), ANZ_OK);
    IS(anz_mcast(room, ANZ_UNRELIABLE | ANZ_SAME_VIEW, "x", 1, 0), ANZ_EINVAL);

    /* Another view is there, and this session has not looked at it. */
    third = connected(engine);
    joined(third, "room");
    IS(anz_mcast(room, ANZ_AGREED | ANZ_SAME_VIEW, "too late", 8, 81), ANZ_OK);
    ev = next_event(anna);
    CHECK(ev.type == ANZ_EV_VIEW && ev.view->members_len == 3);
    IS(anz_release(anna, &ev, 1), ANZ_OK);
    CHECK(receipt(anna, ANZ_EVIEW, 81).group == room);
    IS(anz_mcast(room, ANZ_AGREED | ANZ_SAME_VIEW, "again", 5, 82), ANZ_OK);
    ev = message(anna, "again", 82);
    IS(anz_release(anna, &ev, 1), ANZ_OK);
    ev = next_event(bert);
    CHECK(ev.type == ANZ_EV_VIEW);
    IS(anz_release(bert, &ev, 1), ANZ_OK);
    ev = message(bert, "again", 0);
    IS(anz_release(bert, &ev, 1), ANZ_OK);
    IS(anz_conn_close(third), ANZ_OK);
}

int main(void)
{
    static const char *const here[] = {"unreliable", "unicast", "multi-group", "same-view",
                                       "loop-ops",   "notify",  "priorities", "unix", "tcp",
                                       "async-signal-safe", "domains"};
    static const char *const not_here[] = {"receipts"};
    anz_group_t *room;
    anz_event_t ev;
    size_t at;
    engine = lonely_engine();
    for (at = 0; at < sizeof here / sizeof *here; at++)
        CHECK(anz_has(here[at]) == 1);
    for (at = 0; at < sizeof not_here / sizeof *not_here; at++)
        CHECK(anz_has(not_here[at]) == 0);
    anna = connected(engine);
    bert = connected(engine);
    room = joined(anna, "room");
    joined(bert, "room");
    ev = next_of(anna, ANZ_EV_VIEW);
    IS(anz_release(anna, &ev, 1), ANZ_OK);
    levels(room);
    outside();
    peers();
    several(room);
    same_view(room);
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
