/* Two engines, divided and brought together again: a C program sees every cause that a view can
 * have today, and the transitional signal before what a division leaves, with the sets in them.
 *
 *     views KEY=VALUE...           settings of both engines, by which they find each other */
#define _GNU_SOURCE
#include "check.h"

enum { ENGINES = 2 };
static anz_engine_t *engines[ENGINES];
static anz_conn_t *conns[ENGINES];
static anz_group_t *groups[ENGINES];
static anz_member_t members[ENGINES];

static anz_engine_t *engine_with(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    anz_engine_t *engine = NULL;
    int at;
    IS(anz_config_new(&cfg), ANZ_OK);
    for (at = 1; at < argc; at++) {
        char key[64], *value = strchr(argv[at], '=');
        CHECK(value != NULL && value - argv[at] < (int)sizeof key);
        memcpy(key, argv[at], (size_t)(value - argv[at]));
        key[value - argv[at]] = '\0';
        IS(anz_config_set(cfg, key, value + 1, &err), ANZ_OK);
    }
    IS(anz_config_set(cfg, "transport.allow_faults", "true", &err), ANZ_OK);
    if (anz_engine_new(cfg, &engine, &err) != ANZ_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    anz_config_free(cfg);
    IS(anz_engine_start_thread(engine), ANZ_OK);
    return engine;
}

static int is_in(const anz_member_t *list, size_t len, const anz_member_t *member)
{
    size_t at;
    for (at = 0; at < len; at++)
        if (list[at].node == member->node && list[at].session == member->session)
            return 1;
    return 0;
}

/* What holds of every view. */
static void is_sound(const anz_event_t *ev)
{
    const anz_view_t *view = ev->view;
    size_t at;
    CHECK(view != NULL && view->struct_size == sizeof *view);
    CHECK(view->reason != NULL && view->reason[0] != '\0');
    for (at = 0; at < view->joined_len; at++)
        CHECK(is_in(view->members, view->members_len, &view->joined[at]));
    for (at = 0; at < view->left_len; at++)
        CHECK(!is_in(view->members, view->members_len, &view->left[at]));
    for (at = 0; at < view->together_len; at++)
        CHECK(is_in(view->members, view->members_len, &view->together[at]));
    for (at = 0; at < view->members_len; at++) {
        int ours = is_in(view->together, view->together_len, &view->members[at]);
        CHECK(ours == (view->vs_set[at] == 0));
    }
}

/* The next view of so many members for that reason; whether there was a transitional signal since
 * the view before it. A machine that stands still for a while makes others between. */
static int view_of(anz_conn_t *conn, size_t len, uint32_t cause)
{
    int64_t until = deadline_after_s(20);
    int transitional = 0;
    for (;;) {
        anz_event_t ev = next_event(conn);
        if (ev.type == ANZ_EV_TRANSITIONAL) {
            is_sound(&ev);
            /* It narrows to those that move on together. */
            CHECK(ev.view->together_len < ev.view->members_len || ev.view->members_len == 1);
            transitional = 1;
        }
        if (ev.type == ANZ_EV_VIEW) {
            is_sound(&ev);
            if (ev.view->members_len == len && ev.view->cause == cause) {
                IS(anz_release(conn, &ev, 1), ANZ_OK);
                return transitional;
            }
            printf("%lu here: %s\n", (unsigned long)ev.view->members_len, ev.view->reason);
            transitional = 0;
        }
        IS(anz_release(conn, &ev, 1), ANZ_OK);
        CHECK(deadline_after_s(0) < until);
    }
}

/* How many the next view has. */
static size_t members_of(anz_conn_t *conn)
{
    anz_event_t ev = next_of(conn, ANZ_EV_VIEW);
    size_t len = ev.view->members_len;
    is_sound(&ev);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    return len;
}

static void ask(anz_conn_t *conn, const char *what)
{
    anz_event_t ev;
    IS(anz_query(conn, what, strlen(what), 1), ANZ_OK);
    ev = next_of(conn, ANZ_EV_REPLY);
    if (ev.len >= 5 && memcmp(ev.data, "{\"err", 5) == 0)
        fprintf(stderr, "%s: %.*s\n", what, (int)ev.len, (const char *)ev.data);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
}

int main(int argc, char **argv)
{
    anz_conn_t *guests[2];
    anz_group_t *theirs[2];
    int at;
    for (at = 0; at < ENGINES; at++) {
        engines[at] = engine_with(argc, argv);
        conns[at] = connected(engines[at]);
        IS(anz_conn_self(conns[at], &members[at]), ANZ_OK);
        IS(anz_join(conns[at], "room", 0, NULL, &groups[at]), ANZ_OK);
        if (at == 0)
            CHECK(view_of(conns[0], 1, ANZ_CAUSE_JOIN) == 0);
    }
    /* They find each other before the second one has joined, or after it. */
    while (members_of(conns[0]) != 2)
        continue;
    /* Two guests come, and go in two ways. */
    for (at = 0; at < 2; at++) {
        guests[at] = connected(engines[1]);
        IS(anz_join(guests[at], "room", 0, NULL, &theirs[at]), ANZ_OK);
        CHECK(view_of(conns[0], 3 + (size_t)at, ANZ_CAUSE_JOIN) == 0);
    }
    IS(anz_leave(theirs[0]), ANZ_OK);
    CHECK(view_of(conns[0], 3, ANZ_CAUSE_LEAVE) == 0);
    IS(anz_conn_close(guests[1]), ANZ_OK);
    CHECK(view_of(conns[0], 2, ANZ_CAUSE_DISCONNECT) == 0);
    IS(anz_conn_close(guests[0]), ANZ_OK);
    /* Neither hears the other, and then they do again. */
    for (at = 0; at < ENGINES; at++)
        ask(conns[at], "{\"do\":\"isolate\",\"nodes\":[]}");
    CHECK(view_of(conns[0], 1, ANZ_CAUSE_NETWORK) == 1);
    for (at = 0; at < ENGINES; at++)
        ask(conns[at], "{\"do\":\"heal\"}");
    /* Nobody of the view before is lost: nothing narrows. */
    CHECK(view_of(conns[0], 2, ANZ_CAUSE_MERGE) == 0);
    for (at = 0; at < ENGINES; at++)
        IS(anz_conn_close(conns[at]), ANZ_OK);
    for (at = 0; at < ENGINES; at++)
        anz_engine_free(engines[at]);
    puts("ok");
    return 0;
}
