/* Who is in a group, until this session has left it again. */
#include <anasazi.h>
#include <stdio.h>

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_group_t *group = NULL;
    anz_event_t ev;
    int left = 0;
    ev.struct_size = sizeof ev;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    if (anz_join(conn, "room", 0, NULL, &group) != ANZ_OK)
        return 1;
    while (!left && anz_conn_wait(conn, -1) == ANZ_OK)
        while (anz_recv(conn, &ev, 1) == 1) {
            left = ev.type == ANZ_EV_LEFT;
            if (ev.type == ANZ_EV_VIEW) {
                printf("%lu here: %s\n", (unsigned long)ev.view->members_len, ev.view->reason);
                anz_leave(group);
            }
            anz_release(conn, &ev, 1);
        }
    return anz_conn_close(conn) != ANZ_OK;
}
