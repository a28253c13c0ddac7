/* Everything that the header says a signal handler may call, as calls that can be made again and
 * again. tests/programs.rs compares this list with the header's tags: SAFE names what each call
 * covers. Messages carry a number, by which they are told apart where they arrive. */
#ifndef SAFE_CALLS_H
#define SAFE_CALLS_H
#include "check.h"
#include <signal.h>

static anz_engine_t *engine;
static anz_conn_t *conn;
static anz_group_t *group, *second;

static anz_status_t by_mcast(uint64_t number)
{
    return anz_mcast(group, ANZ_AGREED, &number, sizeof number, 0);
}

static anz_status_t by_mcastv(uint64_t number)
{
    anz_iov_t parts[2];
    parts[0].base = &number;
    parts[0].len = 3;
    parts[1].base = (const char *)&number + 3;
    parts[1].len = sizeof number - 3;
    return anz_mcastv(group, ANZ_AGREED, parts, 2, 0);
}

static anz_status_t by_mcast_groups(uint64_t number)
{
    anz_group_t *groups[2];
    groups[0] = group;
    groups[1] = second;
    return anz_mcast_groups(groups, 2, ANZ_AGREED, &number, sizeof number, 0);
}

static anz_status_t by_claim(uint64_t number)
{
    anz_claim_t claim;
    anz_status_t status = anz_claim(group, sizeof number, &claim);
    if (status != ANZ_OK)
        return status;
    memcpy(claim.data, &number, sizeof number);
    return anz_commit(group, &claim, ANZ_AGREED, 0);
}

static anz_status_t by_aborted_claim(uint64_t number)
{
    anz_claim_t claim;
    anz_status_t status = anz_claim(group, sizeof number, &claim);
    if (status == ANZ_OK)
        anz_abort(group, &claim);
    return status;
}

static anz_status_t by_wake(uint64_t number)
{
    (void)number;
    return anz_conn_wake(conn);
}

static anz_status_t by_asking(uint64_t number)
{
    anz_status_t status = -(anz_status_t)(number % 200);
    int good = anz_version_num() == ANZ_VERSION_NUM && anz_version_string()[0] != '\0';
    good = good && anz_status_name(status)[0] != '\0' && anz_status_string(status)[0] != '\0';
    return good ? ANZ_OK : ANZ_EINTERNAL;
}

/* Once per engine; then sends give ANZ_ECLOSED. */
static anz_status_t by_stop(uint64_t number)
{
    (void)number;
    return anz_engine_stop(engine);
}

struct safe_call {
    const char *name;
    anz_status_t (*call)(uint64_t number);
    int sends;
};

#define SAFE(names, call, sends) {names, call, sends}
static const struct safe_call safe_calls[] = {
    SAFE("anz_mcast", by_mcast, 1),
    SAFE("anz_mcastv", by_mcastv, 1),
    SAFE("anz_mcast_groups", by_mcast_groups, 1),
    SAFE("anz_claim anz_commit", by_claim, 1),
    SAFE("anz_claim anz_abort", by_aborted_claim, 0),
    SAFE("anz_conn_wake", by_wake, 0),
    SAFE("anz_version_num anz_version_string anz_status_name anz_status_string", by_asking, 0),
    /* The last one, for it ends the engine. */
    SAFE("anz_engine_stop", by_stop, 0)
};
enum { SAFE_CALLS = sizeof safe_calls / sizeof safe_calls[0], SAFE_STOP = SAFE_CALLS - 1 };

/* What a call ends with where sends end with this. */
static inline anz_status_t ends_with(const struct safe_call *call, anz_status_t of_sends)
{
    if (call->call == by_asking || (call->call == by_wake && of_sends != ANZ_ECLOSED))
        return ANZ_OK;
    return of_sends;
}

/* Leaves no room in the ring: the claim stays open, and all behind it waits. What is before it is
 * waited for, or there would be room again. */
static inline void fill(anz_claim_t *kept)
{
    static char large[100000];
    anz_conn_stats_t stats;
    anz_status_t status;
    int64_t until = deadline_after_s(20);
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    IS(anz_claim(group, 8, kept), ANZ_OK);
    do {
        CHECK(deadline_after_s(0) < until);
        IS(anz_conn_wake(conn), ANZ_OK);
        IS(anz_conn_stats(conn, &stats), ANZ_OK);
    } while (stats.send_ring_used > 256);
    while ((status = anz_mcast(group, ANZ_AGREED, large, sizeof large, 0)) == ANZ_OK)
        ;
    IS(status, ANZ_EAGAIN);
    while ((status = by_mcast(0)) == ANZ_OK)
        ;
    IS(status, ANZ_EAGAIN);
}

static inline void begin(void)
{
    engine = lonely_engine();
    conn = connected(engine);
    group = joined(conn, "first");
    second = joined(conn, "second");
}

static inline void end(void)
{
    IS(anz_conn_close(conn), ANZ_OK);
    anz_engine_free(engine);
}

/* The number of the next message. */
static inline uint64_t next_number(void)
{
    anz_event_t ev = next_of(conn, ANZ_EV_MESSAGE);
    uint64_t number;
    CHECK(ev.len == sizeof number);
    memcpy(&number, ev.data, sizeof number);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    return number;
}

/* The handler of a signal that may come at any moment. */
static inline void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART | flags;
    CHECK(sigaction(number, &action, NULL) == 0);
}
#endif
