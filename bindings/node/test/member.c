/* A library in C that the tests load into Node: its session is with the engine of the same name,
 * if both have the same libanasazi. It says hello to everybody who is in the group with it, and
 * leaves when it hears "bye".
 *
 * The process that loads it sets MEMBER_URL and MEMBER_CLUSTER. */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *run(void *unused)
{
    anz_error_t error = {.struct_size = sizeof error};
    anz_event_t event = {.struct_size = sizeof event};
    anz_config_t *config;
    anz_conn_t *conn;
    anz_group_t *room;
    int over = 0;
    (void)unused;
    const char *cluster = getenv("MEMBER_CLUSTER");
    if (anz_config_new(&config) || anz_config_set(config, "cluster", cluster, &error)
        || anz_connect(getenv("MEMBER_URL"), config, &conn, &error)
        || anz_join(conn, "room", 0, NULL, &room))
        return fprintf(stderr, "in C: %s\n", error.message), NULL;
    while (!over && anz_conn_wait(conn, -1) == ANZ_OK) {
        if (anz_recv(conn, &event, 1) < 1)
            continue;
        if (event.type == ANZ_EV_VIEW && event.view->members_len > 1
            && anz_mcast(room, ANZ_AGREED, "hello from C", 12, 0) != ANZ_OK)
            over = 1;
        over |= event.type == ANZ_EV_MESSAGE && event.len == 3 && !memcmp(event.data, "bye", 3);
        anz_release(conn, &event, 1);
    }
    anz_conn_close(conn);
    return NULL;
}

__attribute__((constructor)) static void loaded(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) == 0)
        pthread_detach(thread);
}
