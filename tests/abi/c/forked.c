/* In a child, inherited handles say so; closing and freeing them is allowed and does nothing to
 * the parent; and the child may open its own. */
#define _GNU_SOURCE
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

static void in_child(anz_engine_t *engine, anz_conn_t *conn, anz_group_t *group, anz_conn_t *named)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *own = NULL;
    anz_engine_t *own_engine;
    anz_claim_t claim;
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_EFORKED);
    IS(anz_claim(group, 1, &claim), ANZ_EFORKED);
    IS(anz_leave(group), ANZ_EFORKED);
    IS(anz_conn_wait(conn, -1), ANZ_EFORKED);
    IS(anz_conn_wake(conn), ANZ_EFORKED);
    CHECK(anz_recv(conn, &ev, 1) == ANZ_EFORKED);
    CHECK(anz_engine_fd(engine) == ANZ_EFORKED);
    CHECK(anz_engine_process(engine, 0) == ANZ_EFORKED);
    IS(anz_engine_stop(engine), ANZ_EFORKED);
    IS(anz_engine_connect(engine, NULL, &own, &err), ANZ_EFORKED);
    IS(anz_connect("inproc:named", NULL, &own, &err), ANZ_EFORKED);
    CHECK(strstr(err.message, "parent") != NULL);
    IS(anz_conn_close(conn), ANZ_OK);
    IS(anz_conn_close(named), ANZ_OK);
    anz_engine_free(engine);

    own_engine = lonely_engine();
    own = connected(own_engine);
    group = joined(own, "child");
    IS(anz_mcast(group, ANZ_AGREED, "mine", 4, 0), ANZ_OK);
    ev = next_of(own, ANZ_EV_MESSAGE);
    CHECK(ev.len == 4);
    IS(anz_conn_close(own), ANZ_OK);
    anz_engine_free(own_engine);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_engine_t *engine = lonely_engine();
    anz_conn_t *conn = connected(engine), *named = NULL;
    anz_group_t *group = joined(conn, "parent");
    anz_config_t *cfg;
    anz_event_t ev;
    int status;
    pid_t child;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_connect("inproc:named", cfg, &named, &err), ANZ_OK);

    child = fork();
    if (child == 0) {
        in_child(engine, conn, group, named);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);

    IS(anz_mcast(group, ANZ_AGREED, "all is well", 11, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 11);
    group = joined(named, "parent");
    IS(anz_conn_close(named), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_engine_free(engine);
    puts("ok");
    return 0;
}
