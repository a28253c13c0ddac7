/* A session in the loop of this program: its descriptor is readable while there is something to
 * receive. One message goes to two groups, and comes once. */
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>

static void print(const anz_event_t *ev)
{
    anz_group_t *groups[2];
    size_t n = anz_event_groups(ev, groups, 2), at;
    char name[256];
    printf("%.*s, to", (int)ev->len, (const char *)ev->data);
    for (at = 0; at < n; at++)
        if (anz_group_name(groups[at], name, sizeof name) == ANZ_OK)
            printf(" %s", name);
    puts("");
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_group_t *both[2];
    anz_event_t ev;
    int got = 0, n;
    ev.struct_size = sizeof ev;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || anz_join(conn, "kitchen", 0, NULL, &both[0]) != ANZ_OK
        || anz_join(conn, "garden", 0, NULL, &both[1]) != ANZ_OK
        || anz_mcast_groups(both, 2, ANZ_AGREED, "dinner", 6, 1) != ANZ_OK)
        return 1;
    while (!got) {
        struct pollfd watched = {0, POLLIN, 0};
        watched.fd = anz_conn_fd(conn);
        poll(&watched, 1, -1);
        while ((n = anz_recv(conn, &ev, 1)) == 1) {
            if (ev.type == ANZ_EV_MESSAGE) {
                print(&ev);
                got = 1;
            }
            anz_release(conn, &ev, 1);
        }
        if (n < 0)
            return 1;
    }
    return anz_conn_close(conn) != ANZ_OK;
}
