/* A storm of signals: a timer's, which any thread may get, and another one's that a thread sends to
 * all senders in turn, neither of them blocked while it is handled. Every handler sends, and so do
 * three threads, and the main one receives. What was accepted arrives once, what a thread sends
 * outside of handlers in its order, and nothing is refused but for want of room.
 *
 *     storm [SECONDS [HERTZ]]      2 s of 5,000 a second, unless told otherwise */
#define _GNU_SOURCE
#include "safe_calls.h"
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

enum { SENDERS = 3, IN_HANDLERS = SENDERS, NUMBERS_MAX = 8000000 };

struct body {
    uint64_t sender, number;
};

static pthread_t threads[SENDERS];
static volatile int enough;
static volatile uint32_t wrong;
static uint64_t handlers, refused;
static uint64_t accepted[SENDERS];
/* Of each message from a handler: it was accepted, and how often it arrived. */
static unsigned char handler_accepted[NUMBERS_MAX], handler_arrived[NUMBERS_MAX];

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct body body;
    int before = errno;
    anz_status_t status;
    (void)number, (void)info, (void)context;
    if (enough)
        return;
    body.sender = IN_HANDLERS;
    body.number = __atomic_fetch_add(&handlers, 1, __ATOMIC_SEQ_CST);
    if (body.number >= NUMBERS_MAX)
        return;
    errno = 4242;
    status = anz_mcast(group, ANZ_AGREED, &body, sizeof body, 0);
    if (status == ANZ_OK)
        handler_accepted[body.number] = 1;
    else if (status == ANZ_EAGAIN)
        __atomic_fetch_add(&refused, 1, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_or(&wrong, 1, __ATOMIC_SEQ_CST);
    if (errno != 4242)
        __atomic_fetch_or(&wrong, 2, __ATOMIC_SEQ_CST);
    errno = before;
}

static void *sender(void *argument)
{
    struct body body;
    body.sender = (uint64_t)(uintptr_t)argument;
    for (body.number = 0; !enough; body.number++) {
        anz_status_t status;
        while ((status = anz_mcast(group, ANZ_AGREED, &body, sizeof body, 0)) == ANZ_EAGAIN) {
            status = anz_group_wait_writable(group, deadline_after_s(20));
            CHECK(status == ANZ_OK || status == ANZ_EINTR);
        }
        IS(status, ANZ_OK);
        if (body.number % 64 == 0)
            free(malloc(body.number % 1000));
    }
    accepted[body.sender] = body.number;
    return NULL;
}

/* Interrupts the senders in turn, again and again. */
static void *pest(void *argument)
{
    struct timespec pause = {0, 0};
    uint64_t turn = 0;
    pause.tv_nsec = *(long *)argument;
    while (!enough) {
        pthread_kill(threads[turn++ % SENDERS], SIGUSR2);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static timer_t tick(long period_ns)
{
    timer_t timer;
    struct sigevent event;
    struct itimerspec every;
    memset(&event, 0, sizeof event);
    memset(&every, 0, sizeof every);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    every.it_value.tv_nsec = every.it_interval.tv_nsec = period_ns;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &every, NULL) == 0);
    return timer;
}

/* Takes in what there is, or waits a little for it; how many messages. */
static uint64_t receive(uint64_t *next)
{
    anz_event_t events[64];
    uint64_t messages = 0;
    int n, at;
    events[0].struct_size = sizeof events[0];
    n = anz_recv(conn, events, 64);
    CHECK(n >= 0);
    for (at = 0; at < n; at++) {
        struct body body;
        if (events[at].type != ANZ_EV_MESSAGE)
            continue;
        messages++;
        memcpy(&body, events[at].data, sizeof body);
        CHECK(body.sender <= IN_HANDLERS);
        if (body.sender == IN_HANDLERS) {
            CHECK(body.number < NUMBERS_MAX);
            CHECK(handler_arrived[body.number]++ == 0);
        } else {
            CHECK(body.number == next[body.sender]++);
        }
    }
    IS(anz_release(conn, events, (size_t)n), ANZ_OK);
    if (n == 0) {
        anz_status_t status = anz_conn_wait(conn, deadline_after_s(0) + 10000000);
        CHECK(status == ANZ_OK || status == ANZ_EINTR || status == ANZ_ETIMEDOUT);
    }
    return messages;
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 2;
    long hertz = argc > 2 ? atol(argv[2]) : 5000, period_ns = 1000000000L / hertz;
    uint64_t next[SENDERS] = {0, 0, 0}, received = 0, wanted = 0, number;
    int64_t end_at;
    timer_t timer;
    pthread_t tormentor;
    uintptr_t i;
    begin();
    handle(SIGUSR1, on_signal, SA_NODEFER);
    handle(SIGUSR2, on_signal, SA_NODEFER);
    for (i = 0; i < SENDERS; i++)
        CHECK(pthread_create(&threads[i], NULL, sender, (void *)i) == 0);
    CHECK(pthread_create(&tormentor, NULL, pest, &period_ns) == 0);
    timer = tick(period_ns);

    for (end_at = deadline_after_s(seconds); deadline_after_s(0) < end_at;)
        received += receive(next);
    enough = 1;
    CHECK(timer_delete(timer) == 0);
    for (i = 0; i < SENDERS; i++) {
        /* They may wait for room, which only this thread makes. */
        while (pthread_tryjoin_np(threads[i], NULL) == EBUSY)
            received += receive(next);
        wanted += accepted[i];
    }
    pthread_join(tormentor, NULL);
    CHECK(handlers < NUMBERS_MAX);
    for (number = 0; number < handlers; number++)
        wanted += handler_accepted[number];
    end_at = deadline_after_s(20);
    while (received < wanted && deadline_after_s(0) < end_at)
        received += receive(next);
    CHECK(received == wanted);
    for (i = 0; i < SENDERS; i++)
        CHECK(next[i] == accepted[i]);
    for (number = 0; number < handlers; number++)
        CHECK(handler_arrived[number] == handler_accepted[number]);
    CHECK(wrong == 0);
    CHECK(handlers > 100 && refused < handlers);
    end();
    /* For the ledger: what is counted here after the checks is as it was to be. */
    printf("seconds=%d hertz=%ld handlers=%llu without_room=%llu messages=%llu\n",
           seconds, hertz, (unsigned long long)handlers, (unsigned long long)refused,
           (unsigned long long)received);
    puts("ok");
    return 0;
}
