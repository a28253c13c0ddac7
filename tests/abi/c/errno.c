/* No call that a signal handler may make touches errno, whatever comes of the call: errno belongs
 * to the code that was interrupted. Each is made with every status that it can end with. */
#define _GNU_SOURCE
#include "keeps.h"
#include "safe_calls.h"
#include <sys/wait.h>
#include <unistd.h>

static anz_group_t *gone;
/* Open from when the ring was filled behind it, up to the end of its session and beyond. */
static anz_claim_t kept;
static char large[2000000];

/* Everything that sends, to these groups, must end so. */
static void all_sends(anz_group_t *to, anz_group_t *and_to, size_t len, anz_status_t expected)
{
    anz_iov_t part;
    anz_group_t *groups[2];
    anz_claim_t claim;
    part.base = large;
    part.len = len;
    groups[0] = to;
    groups[1] = and_to;
    KEEPS(anz_mcast(to, ANZ_AGREED, large, len, 0), expected);
    KEEPS(anz_mcastv(to, ANZ_AGREED, &part, 1, 0), expected);
    KEEPS(anz_mcast_groups(groups, 2, ANZ_AGREED, large, len, 0), expected);
    KEEPS(anz_claim(to, len, &claim), expected);
    if (expected == ANZ_OK)
        KEEPS(anz_commit(to, &claim, ANZ_AGREED, 0), ANZ_OK);
}

static void refusals_of_arguments(void)
{
    anz_claim_t claim, other;
    uint32_t bad = 0x80, later = ANZ_RECEIPT;
    anz_group_t *address, *strangers[2], *twice[2];
    anz_conn_t *other_conn = connected(engine);
    IS(anz_join(conn, "address", ANZ_JOIN_SEND_ONLY, NULL, &address), ANZ_OK);
    strangers[0] = twice[0] = twice[1] = group;
    strangers[1] = joined(other_conn, "first");
    KEEPS(anz_mcast(group, bad, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcast(group, ANZ_AGREED | later, "", 0, 0), ANZ_ENOTSUP);
    KEEPS(anz_mcast(group, ANZ_AGREED, NULL, 1, 0), ANZ_EINVAL);
    KEEPS(anz_mcast(NULL, ANZ_AGREED, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcast(group, ANZ_AGREED | ANZ_PRIO_HIGH | ANZ_PRIO_BULK, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcast(address, ANZ_AGREED | ANZ_SAME_VIEW, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcast_groups(strangers, 2, ANZ_AGREED, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcast_groups(twice, 2, ANZ_AGREED, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcastv(group, ANZ_AGREED, NULL, 1, 0), ANZ_EINVAL);
    KEEPS(anz_mcast_groups(NULL, 1, ANZ_AGREED, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_mcast_groups(&group, 0, ANZ_AGREED, "", 0, 0), ANZ_EINVAL);
    KEEPS(anz_claim(group, 1, NULL), ANZ_EINVAL);
    KEEPS(anz_claim(group, 8, &claim), ANZ_OK);
    KEEPS(anz_commit(group, &claim, bad, 0), ANZ_EINVAL);
    other = claim;
    KEEPS(anz_commit(group, &claim, ANZ_AGREED, 0), ANZ_OK);
    KEEPS(anz_commit(group, &other, ANZ_AGREED, 0), ANZ_EINVAL);
    KEEPS(anz_commit(group, NULL, ANZ_AGREED, 0), ANZ_EINVAL);
    KEEPS(anz_claim(group, 8, &claim), ANZ_OK);
    KEEPS(anz_commit(group, &claim, ANZ_AGREED | later, 0), ANZ_ENOTSUP);
    KEEPS(anz_claim(group, ANZ_UNRELIABLE_LEN_MAX + 1, &claim), ANZ_OK);
    KEEPS(anz_commit(group, &claim, ANZ_UNRELIABLE, 0), ANZ_EMSGSIZE);
    WITHOUT_STATUS((anz_abort(group, &other), 0));
    WITHOUT_STATUS((anz_abort(NULL, NULL), 0));
    IS(anz_conn_close(other_conn), ANZ_OK);
    KEEPS(anz_conn_wake(NULL), ANZ_EINVAL);
    KEEPS(anz_engine_stop(NULL), ANZ_EINVAL);
}

static void no_room(void)
{
    fill(&kept);
    all_sends(group, second, 8, ANZ_EAGAIN);
}

static void in_a_child(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        all_sends(group, second, 8, ANZ_EFORKED);
        KEEPS(anz_commit(group, &kept, ANZ_AGREED, 0), ANZ_EFORKED);
        WITHOUT_STATUS((anz_abort(group, &kept), 0));
        KEEPS(anz_conn_wake(conn), ANZ_EFORKED);
        KEEPS(anz_engine_stop(engine), ANZ_EFORKED);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* After the session was closed: late calls from handlers are told so, and do no harm. */
static void on_late_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    all_sends(group, second, 8, ANZ_ECLOSED);
    KEEPS(anz_commit(group, &kept, ANZ_AGREED, 0), ANZ_ECLOSED);
    WITHOUT_STATUS((anz_abort(group, &kept), 0));
    KEEPS(anz_conn_wake(conn), ANZ_ECLOSED);
}

int main(void)
{
    anz_event_t ev;
    begin();
    gone = joined(conn, "gone");
    all_sends(group, second, 8, ANZ_OK);
    all_sends(group, second, sizeof large, ANZ_EMSGSIZE);
    refusals_of_arguments();
    IS(anz_leave(gone), ANZ_OK);
    all_sends(gone, second, 8, ANZ_ENOTMEMBER);
    ev = next_of(conn, ANZ_EV_LEFT);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    CHECK(anz_recv(conn, &ev, 1) >= 0);
    all_sends(gone, second, 8, ANZ_ECLOSED);
    no_room();
    in_a_child();
    WITHOUT_STATUS(anz_version_num());
    WITHOUT_STATUS(anz_version_string());
    WITHOUT_STATUS(anz_status_name(ANZ_EAGAIN));
    WITHOUT_STATUS(anz_status_string(-99999));
    KEEPS(anz_conn_wake(conn), ANZ_OK);
    KEEPS(anz_engine_stop(engine), ANZ_OK);
    KEEPS(anz_engine_stop(engine), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    handle(SIGUSR1, on_late_signal, 0);
    CHECK(raise(SIGUSR1) == 0);
    anz_engine_free(engine);
    CHECK(raise(SIGUSR1) == 0);
    KEEPS(anz_engine_stop(engine), ANZ_ECLOSED);
    (void)ends_with, (void)end, (void)next_number;
    puts("ok");
    return 0;
}
