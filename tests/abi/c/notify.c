/* A session that is told by a call, on a thread of the library, that there is something to receive:
 * for hosts that have no loop to watch a descriptor in. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#define OK(call) IS(call, ANZ_OK)

enum { MESSAGES = 500 };
static sem_t called;
static pthread_t from;
static int calls, had_no_signals;

static void notify(void *user_data)
{
    sigset_t mask;
    CHECK(user_data == &called);
    from = pthread_self();
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    had_no_signals = sigismember(&mask, SIGUSR1) == 1 && sigismember(&mask, SIGTERM) == 1;
    calls++;
    sem_post(&called);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn, *other;
    anz_group_t *group, *others;
    anz_event_t events[16];
    int got = 0, sent = 0, n, i, before;
    events[0].struct_size = sizeof events[0];
    CHECK(sem_init(&called, 0, 0) == 0);
    OK(anz_connect("inproc:notify", NULL, &conn, &err));
    OK(anz_connect("inproc:notify", NULL, &other, &err));
    OK(anz_conn_set_notify(conn, notify, &called));
    OK(anz_join(conn, "room", 0, NULL, &group));
    OK(anz_join(other, "room", ANZ_JOIN_SEND_ONLY, NULL, &others));
    while (got < MESSAGES) {
        while (sent < MESSAGES && anz_mcast(others, ANZ_AGREED, "x", 1, 0) == ANZ_OK)
            sent++;
        sem_wait(&called);
        while ((n = anz_recv(conn, events, 16)) > 0) {
            for (i = 0; i < n; i++)
                got += events[i].type == ANZ_EV_MESSAGE;
            OK(anz_release(conn, events, (size_t)n));
        }
        CHECK(n == 0);
        while ((n = anz_recv(other, events, 16)) > 0)
            OK(anz_release(other, events, (size_t)n));
    }
    CHECK(calls > 0 && had_no_signals && !pthread_equal(from, pthread_self()));
    OK(anz_conn_set_notify(conn, NULL, NULL));
    before = calls;
    while (anz_mcast(others, ANZ_AGREED, "y", 1, 0) == ANZ_EAGAIN)
        CHECK(anz_group_wait_writable(others, -1) == ANZ_OK);
    OK(anz_conn_wait(conn, -1));
    CHECK(calls == before);
    /* What is there when it is asked for is told too. */
    OK(anz_conn_set_notify(conn, notify, &called));
    sem_wait(&called);
    OK(anz_conn_close(conn));
    CHECK(anz_conn_set_notify(conn, notify, &called) == ANZ_ECLOSED);
    OK(anz_conn_close(other));
    puts("ok");
    return 0;
}
