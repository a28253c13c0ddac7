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

/* Takes all that is there; how many of a type were among it. */
static int drain(anz_conn_t *conn, int type)
{
    anz_event_t events[16];
    int n, i, found = 0;
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(conn, events, 16)) > 0) {
        for (i = 0; i < n; i++)
            found += (int)events[i].type == type;
        OK(anz_release(conn, events, (size_t)n));
    }
    CHECK(n == 0);
    return found;
}

/* The same, after a call has come. */
static int receive(anz_conn_t *conn, int type)
{
    sem_wait(&called);
    return drain(conn, type);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn, *other;
    anz_group_t *group, *others;
    int in_view = 0, got = 0, sent = 0, before;
    CHECK(sem_init(&called, 0, 0) == 0);
    OK(anz_connect("inproc:notify", NULL, &conn, &err));
    OK(anz_connect("inproc:notify", NULL, &other, &err));
    OK(anz_conn_set_notify(conn, notify, &called));
    OK(anz_join(conn, "room", 0, NULL, &group));
    OK(anz_join(other, "room", ANZ_JOIN_SEND_ONLY, NULL, &others));
    /* What is sent before it is in the group is not for it. */
    while (!in_view)
        in_view = receive(conn, ANZ_EV_VIEW) > 0;
    while (got < MESSAGES) {
        while (sent < MESSAGES && anz_mcast(others, ANZ_AGREED, "x", 1, 0) == ANZ_OK)
            sent++;
        /* With all received that was sent, no call would come. */
        if (got == sent)
            OK(anz_group_wait_writable(others, -1));
        else
            got += receive(conn, ANZ_EV_MESSAGE);
        drain(other, 0);
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
    while (calls == before)
        sem_wait(&called);
    OK(anz_conn_close(conn));
    CHECK(anz_conn_set_notify(conn, notify, &called) == ANZ_ECLOSED);
    OK(anz_conn_close(other));
    puts("ok");
    return 0;
}
