/* A program is linked with one copy of the library, and a plug-in of it opens another: both work,
 * and neither knows of the other. Closing one does not take it away from under threads and
 * handlers. */
#define _GNU_SOURCE
#define IS_LINKED
#include "opened.h"

static struct api apis[2];
static anz_engine_t *engines[2];
static anz_conn_t *conns[2];
static anz_group_t *groups[2];

static void start(struct api *api, int which)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    CHECK(api->config_new(&cfg) == ANZ_OK);
    CHECK(api->config_set(cfg, "transport.multicast", "off", &err) == ANZ_OK);
    CHECK(api->engine_new(cfg, &engines[which], &err) == ANZ_OK);
    CHECK(api->engine_start_thread(engines[which]) == ANZ_OK);
    CHECK(api->engine_connect(engines[which], NULL, &conns[which], &err) == ANZ_OK);
    CHECK(api->join(conns[which], "copies", 0, NULL, &groups[which]) == ANZ_OK);
}

static void send_and_get(struct api *api, int which, int messages)
{
    anz_event_t ev;
    int sent = 0, got = 0;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    while (got < messages) {
        int n;
        anz_group_t *group = groups[which];
        if (sent < messages && api->mcast(group, ANZ_AGREED, &which, sizeof which, 0) == ANZ_OK)
            sent++;
        n = api->recv(conns[which], &ev, 1);
        CHECK(n >= 0);
        if (n == 0 && sent == messages)
            CHECK(api->conn_wait(conns[which], deadline_after_s(20)) == ANZ_OK);
        if (n == 0)
            continue;
        if (ev.type == ANZ_EV_MESSAGE) {
            CHECK(memcmp(ev.data, &which, sizeof which) == 0);
            got++;
        }
        CHECK(api->release(conns[which], &ev, 1) == ANZ_OK);
    }
}

int main(int argc, char **argv)
{
    int which;
    CHECK(argc == 3);
    for (which = 0; which < 2; which++) {
        open_api(argv[1 + which], &apis[which]);
        start(&apis[which], which);
    }
    CHECK(apis[0].mcast != apis[1].mcast);
    /* The first is the one that this program is linked with, so its names are for all to see. */
    CHECK(apis[0].mcast == anz_mcast && anz_version_num() == ANZ_VERSION_NUM);
    for (which = 0; which < 2; which++)
        send_and_get(&apis[which], which, 1000);
    for (which = 0; which < 2; which++)
        CHECK(dlclose(apis[which].handle) == 0);
    for (which = 0; which < 2; which++) {
        send_and_get(&apis[which], which, 1000);
        CHECK(apis[which].conn_close(conns[which]) == ANZ_OK);
        apis[which].engine_free(engines[which]);
    }
    puts("ok");
    return 0;
}
