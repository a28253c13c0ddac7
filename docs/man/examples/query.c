/* What the engine says of itself. */
#include <anasazi.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    static const char question[] = "{\"query\":\"status\"}";
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_event_t ev;
    uint32_t more = 1;
    ev.struct_size = sizeof ev;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || anz_query(conn, question, strlen(question), 1) != ANZ_OK)
        return 1;
    while (more && anz_conn_wait(conn, -1) == ANZ_OK)
        while (more && anz_recv(conn, &ev, 1) == 1) {
            if (ev.type == ANZ_EV_REPLY && ev.tag == 1) {
                printf("%.*s", (int)ev.len, (const char *)ev.data);
                more = ev.flags & ANZ_EVF_MORE;
            }
            anz_release(conn, &ev, 1);
        }
    puts("");
    return anz_conn_close(conn) != ANZ_OK;
}
