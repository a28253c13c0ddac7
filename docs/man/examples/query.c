/* What the engine says of itself, and a domain that comes and goes. */
#include <anasazi.h>
#include <stdio.h>
#include <string.h>

/* Prints the answer; its status, or why there is none. */
static anz_status_t ask(anz_conn_t *conn, const char *request)
{
    static uint64_t tag;
    anz_event_t ev;
    anz_status_t status = anz_query(conn, request, strlen(request), ++tag);
    uint32_t more = 1;
    ev.struct_size = sizeof ev;
    while (status == ANZ_OK && more && (status = anz_conn_wait(conn, -1)) == ANZ_OK)
        while (more && anz_recv(conn, &ev, 1) == 1) {
            if (ev.type == ANZ_EV_REPLY && ev.tag == tag) {
                printf("%.*s", (int)ev.len, (const char *)ev.data);
                status = ev.status;
                more = ev.flags & ANZ_EVF_MORE;
            }
            anz_release(conn, &ev, 1);
        }
    puts("");
    return status;
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || ask(conn, "{\"query\":\"status\"}") != ANZ_OK
        || ask(conn, "{\"do\":\"add-domain\",\"name\":\"abroad\","
                     "\"settings\":{\"preset\":\"wan\",\"transport.multicast\":\"off\"}}") != ANZ_OK
        || ask(conn, "{\"query\":\"domains\"}") != ANZ_OK
        || ask(conn, "{\"do\":\"remove-domain\",\"name\":\"abroad\"}") != ANZ_OK
        || ask(conn, "{\"do\":\"remove-domain\",\"name\":\"abroad\"}") != ANZ_EINVAL)
        return 1;
    return anz_conn_close(conn) != ANZ_OK;
}
