/* A signal handler sends, while the thread that it interrupts sends too, and two more threads.
 * Each sender's messages arrive once, in its order. */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { EACH = 20000, SENDERS = 4, HANDLER = 3 };
static anz_group_t *group;
static volatile sig_atomic_t in_handler_sent, handler_wrong, handler_enough;
static pthread_t threads[3];

struct body { uint64_t sender, number; };

static void on_signal(int number)
{
    struct body body;
    int before = errno;
    (void)number;
    if (handler_enough)
        return;
    body.sender = HANDLER;
    body.number = (uint64_t)in_handler_sent;
    errno = 4242;
    switch (anz_mcast(group, ANZ_AGREED, &body, sizeof body, 0)) {
    case ANZ_OK:
        in_handler_sent++;
        break;
    case ANZ_EAGAIN:
        break;
    default:
        handler_wrong = 1;
    }
    if (errno != 4242)
        handler_wrong = 2;
    errno = before;
}

static void *sender(void *argument)
{
    struct body body;
    body.sender = (uint64_t)(uintptr_t)argument;
    for (body.number = 0; body.number < EACH; body.number++) {
        anz_status_t status;
        while ((status = anz_mcast(group, ANZ_AGREED, &body, sizeof body, 0)) == ANZ_EAGAIN) {
            status = anz_group_wait_writable(group, deadline_after_s(20));
            CHECK(status == ANZ_OK || status == ANZ_EINTR);
        }
        IS(status, ANZ_OK);
        if (body.number % 64 == 0)
            free(malloc(body.number % 1000));
    }
    while (body.sender == 0 && !handler_enough)
        usleep(1000);
    return NULL;
}

/* Interrupts one of the senders, again and again. */
static void *pest(void *argument)
{
    struct timespec pause = {0, 20000};
    while (!handler_enough) {
        pthread_kill(threads[0], SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return argument;
}

int main(void)
{
    anz_engine_t *engine = lonely_engine();
    anz_conn_t *conn = connected(engine);
    uint64_t next[SENDERS] = {0, 0, 0, 0};
    struct sigaction action;
    pthread_t tormentor;
    uintptr_t i;
    group = joined(conn, "storm");
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    for (i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, sender, (void *)i) == 0);
    CHECK(pthread_create(&tormentor, NULL, pest, NULL) == 0);

    while (next[0] + next[1] + next[2] < 3 * EACH || next[HANDLER] < (uint64_t)in_handler_sent) {
        anz_event_t events[64];
        int n, at;
        events[0].struct_size = sizeof events[0];
        n = anz_recv(conn, events, 64);
        CHECK(n >= 0);
        for (at = 0; at < n; at++) {
            struct body body;
            if (events[at].type != ANZ_EV_MESSAGE)
                continue;
            memcpy(&body, events[at].data, sizeof body);
            CHECK(body.sender < SENDERS && body.number == next[body.sender]);
            next[body.sender]++;
        }
        IS(anz_release(conn, events, (size_t)n), ANZ_OK);
        if (next[0] + next[1] + next[2] == 3 * EACH)
            handler_enough = 1;
        if (n == 0) {
            anz_status_t status = anz_conn_wait(conn, deadline_after_s(20));
            CHECK(status == ANZ_OK || status == ANZ_EINTR);
        }
    }
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    pthread_join(tormentor, NULL);
    CHECK(handler_wrong == 0);
    CHECK(in_handler_sent > 100);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
