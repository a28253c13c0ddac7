/* A signal handler runs after every single instruction of every call that it may interrupt, and
 * makes every call that it may make: at the k-th, for all k. Both messages arrive once.
 * The handler's comes first until the interrupted call has its place in the ring, and from then on
 * second: the order changes once. */
#define _GNU_SOURCE
#include "safe_calls.h"
#include "stepping.h"

static const struct safe_call *inner;
static volatile uint64_t inner_number;
static volatile anz_status_t inner_status;

static void call_inner(void)
{
    inner_status = inner->call(inner_number);
}

/* Interrupts `outer` after so many instructions; whether it had that many. */
static int interrupted(const struct safe_call *outer, uint64_t number, long steps,
                       anz_status_t *status)
{
    return INTERRUPTED(steps, *status = outer->call(number));
}

/* ---- the end of the ring ---- */

enum { FILLER_MAX = 512 << 10 };
/* Where the data of the first record of the ring are, and how far they are from those of a second
 * one of the same length. */
static char *first_place;
static size_t ring_len, record_len;

/* Takes room of this length, and leaves it empty. Where it was. */
static char *passed(size_t len)
{
    anz_claim_t claim;
    anz_status_t status;
    while ((status = anz_claim(group, len, &claim)) == ANZ_EAGAIN)
        CHECK(anz_group_wait_writable(group, deadline_after_s(20)) == ANZ_OK);
    IS(status, ANZ_OK);
    anz_abort(group, &claim);
    return claim.data;
}

/* Goes round once, and sees where the ring begins. */
static void measure(void)
{
    anz_conn_stats_t stats;
    char *one = passed(8), *other = passed(8);
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    IS(anz_conn_stats(conn, &stats), ANZ_OK);
    ring_len = (size_t)stats.send_ring_size;
    record_len = (size_t)(other - one);
    CHECK(record_len >= 16 && record_len <= 256);
    for (first_place = other; (one = passed(FILLER_MAX)) >= first_place;)
        first_place = one;
    first_place = one;
}

/* So little is left up to the end of the ring that no record fits: the next one begins anew, behind
 * a record that fills the rest. */
static void to_the_end(void)
{
    for (;;) {
        char *here = passed(8);
        size_t left = (size_t)(first_place + ring_len - here) - record_len;
        if (left < record_len)
            break;
        /* Up to there, but for the next one that looks where it is, and for 8 bytes. */
        if (left > 2 * record_len)
            passed(left - 2 * record_len > FILLER_MAX ? FILLER_MAX : left - 2 * record_len);
    }
    IS(anz_group_wait_writable(group, deadline_after_s(20)), ANZ_OK);
}

/* ---- sends of other kinds ---- */

static anz_status_t by_same_view(uint64_t number)
{
    return anz_mcast(group, ANZ_SAFE | ANZ_SAME_VIEW, &number, sizeof number, 0);
}

static anz_status_t by_unreliable(uint64_t number)
{
    return anz_mcast(group, ANZ_UNRELIABLE, &number, sizeof number, 0);
}

static anz_status_t by_priority(uint64_t number)
{
    return anz_mcast(group, ANZ_AGREED | ANZ_PRIO_HIGH, &number, sizeof number, 0);
}

static const struct safe_call same_view = {"anz_mcast (same view)", by_same_view, 1};
/* These may overtake others. */
static const struct safe_call unreliable = {"anz_mcast (unreliable)", by_unreliable, 1};
static const struct safe_call priority = {"anz_mcast (priority)", by_priority, 1};

static int keeps_order(const struct safe_call *call)
{
    return call != &unreliable && call != &priority;
}

/* All instructions of one call, with another one in the handler; how many there were. Each time
 * where the ring is, or at its end. */
static long all_steps(const struct safe_call *outer, int at_end)
{
    static uint64_t number;
    int changes = 0, inner_was_first = 1;
    long steps;
    for (steps = 1; steps < STEPS_MAX; steps++) {
        anz_status_t status;
        uint64_t outer_number = number++, got[2];
        int expected, at;
        inner_number = number++;
        if (at_end)
            to_the_end();
        if (!interrupted(outer, outer_number, steps, &status)) {
            IS(status, ANZ_OK);
            if (outer->sends)
                CHECK(next_number() == outer_number);
            break;
        }
        IS(status, ANZ_OK);
        IS(inner_status, ANZ_OK);
        if (at_end)
            CHECK(passed(8) < first_place + ring_len / 2);
        expected = outer->sends + inner->sends;
        for (at = 0; at < expected; at++)
            got[at] = next_number();
        if (expected == 1)
            CHECK(got[0] == (outer->sends ? outer_number : inner_number));
        if (expected == 2) {
            int inner_is_first = got[0] == inner_number;
            CHECK(got[inner_is_first] == outer_number && got[!inner_is_first] == inner_number);
            changes += inner_is_first != inner_was_first;
            inner_was_first = inner_is_first;
        }
    }
    CHECK(steps > 20 && steps < STEPS_MAX);
    if (outer->sends && inner->sends && keeps_order(outer))
        /* At the end of the ring the way is now and then some instructions longer, as far as the
         * engine has come: where the order changes, it may change to and fro. */
        CHECK((at_end ? changes >= 1 : changes == 1) && !inner_was_first);
    return steps;
}

/* The same where there is no room: a claim that is kept open holds everything up. */
static long all_steps_of_a_refusal(void)
{
    static const struct safe_call *outer = &safe_calls[0];
    anz_claim_t claim;
    anz_status_t status;
    anz_event_t ev;
    long steps = 0;
    inner = &safe_calls[0];
    fill(&claim);
    do {
        if (!interrupted(outer, 0, ++steps, &status))
            inner_status = ANZ_EAGAIN;
        IS(status, ANZ_EAGAIN);
        IS(inner_status, ANZ_EAGAIN);
    } while (steps_left <= 0);
    anz_abort(group, &claim);
    ev = next_of(conn, ANZ_EV_WRITABLE);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    return steps;
}

/* An engine is stopped only once. */
static long all_steps_and_a_stop(const struct safe_call *outer, const struct safe_call *in_handler)
{
    long steps;
    int more = 1;
    inner = in_handler;
    for (steps = 1; more; steps++) {
        anz_status_t status;
        engine = lonely_engine();
        conn = connected(engine);
        /* Its view comes later; the way to send is the same. */
        IS(anz_join(conn, "first", 0, NULL, &group), ANZ_OK);
        more = interrupted(outer, 0, steps, &status);
        CHECK(status == ANZ_OK || status == ANZ_ECLOSED);
        CHECK(!more || inner_status == ANZ_OK || inner_status == ANZ_ECLOSED);
        end();
    }
    return steps;
}

static void both_places(const struct safe_call *outer, const struct safe_call *in_handler)
{
    long steps, at_end;
    inner = in_handler;
    steps = all_steps(outer, 0);
    /* All take the same way to the end; going round the ring for each step takes long. */
    at_end = outer == &safe_calls[0] && in_handler == outer ? all_steps(outer, 1) : 0;
    printf("%s in %s: %ld steps, %ld at the end of the ring\n", inner->name, outer->name, steps,
           at_end);
}

int main(void)
{
    int outer, other;
    at_step = call_inner;
    handle_steps();
    begin();
    measure();
    /* Every call in anz_mcast(), and anz_mcast() in every call. */
    for (outer = 0; outer < SAFE_STOP; outer++)
        for (other = 0; other < (outer == 0 ? SAFE_STOP : 1); other++)
            both_places(&safe_calls[outer], &safe_calls[other]);
    both_places(&same_view, &safe_calls[0]);
    both_places(&unreliable, &safe_calls[0]);
    both_places(&priority, &safe_calls[0]);
    printf("refused: %ld steps\n", all_steps_of_a_refusal());
    end();
    printf("a stop in a send: %ld steps\n",
           all_steps_and_a_stop(&safe_calls[0], &safe_calls[SAFE_STOP]));
    printf("a send in a stop: %ld steps\n",
           all_steps_and_a_stop(&safe_calls[SAFE_STOP], &safe_calls[0]));
    puts("ok");
    return 0;
}
