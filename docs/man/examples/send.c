/* Three ways to send, and what to do when there is no room. */
#include <anasazi.h>
#include <stdio.h>
#include <string.h>

static anz_status_t send_when_there_is_room(anz_group_t *group, const char *text)
{
    anz_status_t status;
    while ((status = anz_mcast(group, ANZ_SAFE, text, strlen(text), 7)) == ANZ_EAGAIN)
        if (anz_group_wait_writable(group, -1) == ANZ_ECLOSED)
            return ANZ_ECLOSED;
    return status;
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_group_t *group = NULL;
    anz_event_t ev;
    anz_iov_t parts[2] = {{"in ", 3}, {"pieces", 6}};
    anz_claim_t claim;
    int left = 3;
    ev.struct_size = sizeof ev;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || anz_join(conn, "room", 0, NULL, &group) != ANZ_OK)
        return 1;
    if (send_when_there_is_room(group, "copied") != ANZ_OK
        || anz_mcastv(group, ANZ_AGREED, parts, 2, 0) != ANZ_OK
        || anz_claim(group, 8, &claim) != ANZ_OK)
        return 1;
    memcpy(claim.data, "in place", 8);
    if (anz_commit(group, &claim, ANZ_AGREED, 0) != ANZ_OK)
        return 1;
    while (left > 0 && anz_conn_wait(conn, -1) == ANZ_OK)
        while (anz_recv(conn, &ev, 1) == 1) {
            if (ev.type == ANZ_EV_MESSAGE && left-- > 0)
                printf("%.*s\n", (int)ev.len, (const char *)ev.data);
            anz_release(conn, &ev, 1);
        }
    return anz_conn_close(conn) != ANZ_OK;
}
