/* What can be called while the daemon is away says so, and keeps errno.
 *
 *     suspended URL */
#define _GNU_SOURCE
#include "keeps.h"
#include "stepping.h"

enum { CLAIMS = 3000 };
static anz_conn_t *conn;
static anz_group_t *group;
/* Open ones, of which so many are left. */
static anz_claim_t claims[CLAIMS];
static int left = CLAIMS;
static volatile anz_status_t committed;

static void commit_one(void)
{
    committed = anz_commit(group, &claims[--left], ANZ_AGREED, 0);
}

/* At each instruction of anz_recv(), which puts away what it can of the lost connection. Now and
 * then it also tries to find the daemon again, which is a longer way than there are claims for. */
static void ends_within_anz_recv(void)
{
    long steps;
    int got = 0;
    anz_event_t ev;
    at_step = commit_one;
    handle_steps();
    for (steps = 1; left > 1; steps++) {
        memset(&ev, 0, sizeof ev);
        ev.struct_size = sizeof ev;
        if (!INTERRUPTED(steps, got = anz_recv(conn, &ev, 1)))
            break;
        IS(committed, ANZ_ELOST);
        CHECK(got >= 0);
        if (got > 0)
            IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
    CHECK(steps > 50);
    printf("%ld steps of anz_recv\n", steps);
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_group_t *groups[2];
    anz_claim_t kept, dropped, claim;
    anz_iov_t part;
    anz_event_t ev;
    int i;
    CHECK(argc == 2);
    if (anz_connect(argv[1], NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    groups[0] = group = joined(conn, "room");
    groups[1] = joined(conn, "hall");
    KEEPS(anz_claim(group, 8, &kept), ANZ_OK);
    KEEPS(anz_claim(group, 8, &dropped), ANZ_OK);
    for (i = 0; i < CLAIMS; i++)
        IS(anz_claim(group, 8, &claims[i]), ANZ_OK);
    puts("ready");
    fflush(stdout);
    ev = next_of(conn, ANZ_EV_SUSPENDED);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    /* The rooms are still the program's: it may be writing to them. */
    memset(kept.data, 1, kept.len);
    memset(dropped.data, 1, dropped.len);
    KEEPS(anz_commit(group, &kept, ANZ_AGREED, 0), ANZ_ELOST);
    KEEPS(anz_commit(group, &kept, ANZ_AGREED, 0), ANZ_EINVAL);
    WITHOUT_STATUS((anz_abort(group, &dropped), 0));
    KEEPS(anz_commit(group, &dropped, ANZ_AGREED, 0), ANZ_EINVAL);
    part.base = "x";
    part.len = 1;
    KEEPS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_EAGAIN);
    KEEPS(anz_mcast(group, ANZ_UNRELIABLE, "x", 1, 0), ANZ_EAGAIN);
    KEEPS(anz_mcastv(group, ANZ_AGREED, &part, 1, 0), ANZ_EAGAIN);
    KEEPS(anz_mcast_groups(groups, 2, ANZ_AGREED, "x", 1, 0), ANZ_EAGAIN);
    KEEPS(anz_claim(group, 1, &claim), ANZ_EAGAIN);
    KEEPS(anz_conn_wake(conn), ANZ_OK);
    /* To look for a daemon over a stream takes a thread: to make one, signals are blocked, and who
     * is stepped through that is killed. */
    if (strncmp(argv[1], "shm:", 4) == 0)
        ends_within_anz_recv();
    while (left > 0)
        IS(anz_commit(group, &claims[--left], ANZ_AGREED, 0), ANZ_ELOST);
    puts("refused");
    fflush(stdout);
    ev = next_of(conn, ANZ_EV_WRITABLE);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    KEEPS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 1 && ev.group == group);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    puts("ok");
    return 0;
}
