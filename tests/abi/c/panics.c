/* A bug in the library is a status, from every thread and as often as it is met: the process lives,
 * and so does everything else of the library in it. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>

anz_status_t anz_test_panic(anz_error_t *err);
anz_status_t anz_test_panic_status(void);
int anz_test_panic_number(void);

enum { THREADS = 4, TIMES = 100 };

static void *meets_bugs(void *unused)
{
    int n;
    for (n = 0; n < TIMES; n++) {
        anz_error_t err = {sizeof err, 0, 0, 0, ""};
        IS(anz_test_panic(&err), ANZ_EINTERNAL);
        IS(err.code, ANZ_EINTERNAL);
        CHECK(err.flags == ANZ_ERR_F_FATAL);
        /* Where, for the report. */
        CHECK(strstr(err.message, "trial.rs:") != NULL);
        IS(anz_test_panic(NULL), ANZ_EINTERNAL);
        IS(anz_test_panic_status(), ANZ_EINTERNAL);
        CHECK(anz_test_panic_number() == ANZ_EINTERNAL);
    }
    return unused;
}

int main(void)
{
    anz_engine_t *engine = lonely_engine();
    anz_conn_t *conn = connected(engine);
    anz_group_t *group = joined(conn, "room");
    pthread_t threads[THREADS];
    anz_event_t ev;
    int i;
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, meets_bugs, NULL) == 0);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    IS(anz_mcast(group, ANZ_AGREED, "alive", 5, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 5);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
