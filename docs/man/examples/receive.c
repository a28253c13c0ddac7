/* Everything that comes, in its order; a message is kept beyond the end of its session. */
#include <anasazi.h>
#include <stdio.h>

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_group_t *group = NULL;
    anz_event_t events[16];
    anz_msg_t *kept = NULL;
    size_t len;
    int n = 0, at;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || anz_join(conn, "room", 0, NULL, &group) != ANZ_OK
        || anz_mcast(group, ANZ_AGREED, "hello", 5, 0) != ANZ_OK)
        return 1;
    events[0].struct_size = sizeof events[0];
    while (kept == NULL && anz_conn_wait(conn, -1) == ANZ_OK)
        while ((n = anz_recv(conn, events, 16)) > 0) {
            for (at = 0; at < n; at++)
                if (events[at].type == ANZ_EV_MESSAGE)
                    anz_msg_retain(&events[at], &kept);
            anz_release(conn, events, (size_t)n);
        }
    anz_conn_close(conn);
    printf("%.5s\n", (const char *)anz_msg_data(kept, &len));
    anz_msg_release(kept);
    return len != 5;
}
