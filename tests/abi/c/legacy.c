/* A C89 program that knows the library by name only: the table has everything, each function in
 * its place. */
#define _POSIX_C_SOURCE 200809L
#include <anasazi_dl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

/* The function of a place is the one of that name. */
static void is_in_place(void *library, const void *place, const char *name)
{
    void *in_table, *found = dlsym(library, name);
    memcpy(&in_table, place, sizeof in_table);
    check(found != NULL && found == in_table, name);
}
#define IN_PLACE(function) is_in_place(library, &anz->function, "anz_" #function)
/* ALL_FUNCTIONS: an IN_PLACE for each function of the header. */

static void all_are_in_place(const struct anz_api *anz, const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    check(library != NULL, "the library again");
    ALL_FUNCTIONS
}

static anz_event_t next(const struct anz_api *anz, anz_conn_t *conn)
{
    anz_event_t ev;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    while (anz->recv(conn, &ev, 1) == 0)
        check(anz->conn_wait(conn, -1) == ANZ_OK, "a wait");
    return ev;
}

int main(int argc, char **argv)
{
    const struct anz_api *anz;
    anz_config_t *config;
    anz_engine_t *engine;
    anz_conn_t *conn;
    anz_group_t *group;
    anz_event_t ev;
    check(argc == 2, "a path");
    check(anz_dl_open("/no/such/library.so", 0) == NULL && dlerror() != NULL, "no library");
    check(anz_dl_open(argv[1], ANZ_VERSION_NUM + 1) == NULL, "a later version");
    check(anz_dl_open(argv[1], ANZ_VERSION_NUM + 1000000) == NULL, "another major version");
    anz = anz_dl_open(argv[1], ANZ_VERSION_NUM);
    check(anz != NULL && anz == anz_dl_open(argv[1], 0), "the table");
    check(anz->struct_size == sizeof *anz && anz->version == ANZ_VERSION_NUM, "its size");
    all_are_in_place(anz, argv[1]);
    check(anz->has("api-table") == 1, "the feature");
    check(anz->config_new(&config) == ANZ_OK, "a configuration");
    check(anz->config_set(config, "transport.multicast", "off", NULL) == ANZ_OK, "a setting");
    check(anz->engine_new(config, &engine, NULL) == ANZ_OK, "an engine");
    anz->config_free(config);
    check(anz->engine_start_thread(engine) == ANZ_OK, "its thread");
    check(anz->engine_connect(engine, NULL, &conn, NULL) == ANZ_OK, "a session");
    check(anz->join(conn, "legacy", 0, NULL, &group) == ANZ_OK, "a group");
    check(anz->mcast(group, ANZ_SAFE, "hello", 5, 1) == ANZ_OK, "a message");
    do {
        ev = next(anz, conn);
        check(anz->release(conn, &ev, 1) == ANZ_OK, "a release");
    } while (ev.type != ANZ_EV_MESSAGE);
    check(ev.len == 5 && ev.tag == 1, "its own message");
    check(anz->conn_close(conn) == ANZ_OK, "the end");
    anz->engine_free(engine);
    puts("ok");
    return 0;
}
