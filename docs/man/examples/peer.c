/* A message to one member alone, this one, and one that was begun and given up. */
#include <anasazi.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    anz_group_t *group = NULL, *peer = NULL;
    anz_member_t self;
    anz_claim_t claim;
    anz_event_t ev;
    int got = 0;
    ev.struct_size = sizeof ev;
    if (anz_connect("inproc:example", NULL, &conn, &err) != ANZ_OK
        || anz_conn_self(conn, &self) != ANZ_OK
        || anz_peer(conn, "default", self, &peer) != ANZ_OK
        || anz_join(conn, "room", 0, NULL, &group) != ANZ_OK
        || anz_claim(group, 5, &claim) != ANZ_OK)
        return 1;
    memcpy(claim.data, "draft", 5);
    anz_abort(group, &claim); /* nobody gets it */
    while (!got && anz_conn_wait(conn, -1) == ANZ_OK)
        while (anz_recv(conn, &ev, 1) == 1) {
            /* Who is in a group can be reached. */
            if (ev.type == ANZ_EV_VIEW && anz_mcast(peer, ANZ_AGREED, "for you", 7, 0) != ANZ_OK)
                return 1;
            if (ev.type == ANZ_EV_MESSAGE && ev.group == NULL)
                got = printf("%.*s\n", (int)ev.len, (const char *)ev.data);
            anz_release(conn, &ev, 1);
        }
    return anz_conn_close(conn) != ANZ_OK;
}
