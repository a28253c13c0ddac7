/* A claim that two end at once, one of them a signal handler within the other's call, after every
 * single instruction of it: one of them has ended it, the other one is told that it is no open
 * claim, and the group goes on. So it is for two threads. */
#define _GNU_SOURCE
#include "safe_calls.h"
#include "stepping.h"
#include <pthread.h>

static anz_claim_t claim;
static volatile int handler_aborts;
static volatile anz_status_t inner_status;

static void end_it(void)
{
    inner_status = ANZ_OK;
    if (handler_aborts)
        anz_abort(group, &claim);
    else
        inner_status = anz_commit(group, &claim, ANZ_AGREED, 0);
}

static void claim_one(uint64_t number)
{
    anz_status_t status;
    while ((status = anz_claim(group, sizeof number, &claim)) == ANZ_EAGAIN)
        IS(anz_group_wait_writable(group, deadline_after_s(20)), ANZ_OK);
    IS(status, ANZ_OK);
    memcpy(claim.data, &number, sizeof number);
}

/* Nothing but this number is under way. */
static void only(uint64_t number)
{
    IS(by_mcast(number + 1), ANZ_OK);
    CHECK(next_number() == number);
    CHECK(next_number() == number + 1);
}

static void nothing(uint64_t number)
{
    IS(by_mcast(number), ANZ_OK);
    CHECK(next_number() == number);
}

static long two_commits(void)
{
    long steps, by_handler = 0;
    uint64_t number = 0;
    for (steps = 1; steps < STEPS_MAX; steps++) {
        anz_status_t status = ANZ_OK;
        claim_one(number += 2);
        if (!INTERRUPTED(steps, status = anz_commit(group, &claim, ANZ_AGREED, 0)))
            inner_status = ANZ_EINVAL;
        by_handler += inner_status == ANZ_OK;
        IS(status, inner_status == ANZ_OK ? ANZ_EINVAL : ANZ_OK);
        IS(inner_status, inner_status == ANZ_OK ? ANZ_OK : ANZ_EINVAL);
        only(number);
        if (steps_left > 0)
            break;
    }
    CHECK(by_handler > 20 && by_handler < steps && steps < STEPS_MAX);
    return steps;
}

/* An abort does not tell whether it was the one. */
static long a_commit_and_an_abort(int commits_first)
{
    long steps, sent = 0;
    uint64_t number = 0;
    handler_aborts = commits_first;
    for (steps = 1; steps < STEPS_MAX; steps++) {
        anz_status_t status = ANZ_OK;
        int is_over;
        claim_one(number += 2);
        is_over = commits_first
                      ? !INTERRUPTED(steps, status = anz_commit(group, &claim, ANZ_AGREED, 0))
                      : !INTERRUPTED(steps, anz_abort(group, &claim));
        if (!commits_first)
            status = is_over ? ANZ_EINVAL : inner_status;
        CHECK(status == ANZ_OK || status == ANZ_EINVAL);
        if (status == ANZ_OK)
            only(number);
        else
            nothing(number);
        sent += status == ANZ_OK;
        if (is_over)
            break;
    }
    CHECK(sent > 10 && sent < steps && steps < STEPS_MAX);
    handler_aborts = 0;
    return steps;
}

/* ---- threads ---- */

enum { ENDERS = 4, ROUNDS = 20000 };
static pthread_barrier_t claimed, ended;
static long winners;

static void *commit_them(void *unused)
{
    int round;
    (void)unused;
    for (round = 0; round < ROUNDS; round++) {
        anz_status_t status;
        (void)pthread_barrier_wait(&claimed);
        status = anz_commit(group, &claim, ANZ_AGREED, 0);
        CHECK(status == ANZ_OK || status == ANZ_EINVAL);
        __atomic_fetch_add(&winners, status == ANZ_OK, __ATOMIC_SEQ_CST);
        (void)pthread_barrier_wait(&ended);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t enders[ENDERS];
    int i, round;
    CHECK(pthread_barrier_init(&claimed, NULL, ENDERS + 1) == 0);
    CHECK(pthread_barrier_init(&ended, NULL, ENDERS + 1) == 0);
    for (i = 0; i < ENDERS; i++)
        CHECK(pthread_create(&enders[i], NULL, commit_them, NULL) == 0);
    for (round = 0; round < ROUNDS; round++) {
        winners = 0;
        claim_one((uint64_t)round);
        (void)pthread_barrier_wait(&claimed);
        (void)pthread_barrier_wait(&ended);
        CHECK(winners == 1);
        CHECK(next_number() == (uint64_t)round);
    }
    for (i = 0; i < ENDERS; i++)
        CHECK(pthread_join(enders[i], NULL) == 0);
}

int main(void)
{
    at_step = end_it;
    handle_steps();
    begin();
    printf("a commit in a commit: %ld steps\n", two_commits());
    printf("an abort in a commit: %ld steps\n", a_commit_and_an_abort(1));
    printf("a commit in an abort: %ld steps\n", a_commit_and_an_abort(0));
    threads();
    /* And it can be left. */
    IS(anz_leave(group), ANZ_OK);
    CHECK(next_of(conn, ANZ_EV_LEFT).group == group);
    end();
    puts("ok");
    return 0;
}
