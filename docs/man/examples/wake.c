/* A signal ends a wait: its handler may call everything that is AS-Safe. */
#define _POSIX_C_SOURCE 199309L
#include <anasazi.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static anz_conn_t *conn;
static volatile sig_atomic_t done;

static void wake(int signal)
{
    (void)signal;
    done = 1;
    anz_conn_wake(conn);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_event_t ev = {.struct_size = sizeof ev};
    anz_status_t status = ANZ_OK;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    signal(SIGALRM, wake);
    alarm(1);
    /* The signal may come before the wait begins: then it is the wake-up that ends it. What there
     * is to receive ends it too, until anz_recv() has given all of it. */
    while (!done && (status == ANZ_OK || status == ANZ_EINTR)) {
        status = anz_conn_wait(conn, -1);
        while (status == ANZ_OK && anz_recv(conn, &ev, 1) > 0)
            anz_release(conn, &ev, 1);
    }
    printf("woken: %s\n", anz_status_name(status));
    return anz_conn_close(conn) != ANZ_OK;
}
