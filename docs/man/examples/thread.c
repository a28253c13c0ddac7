/* An engine in a thread of its own, and a session with it. */
#include <anasazi.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_engine_t *engine = NULL;
    anz_conn_t *conn = NULL;
    anz_conn_stats_t stats;
    anz_status_t status;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    status = anz_engine_new(NULL, &engine, &err);
    if (status == ANZ_OK)
        status = anz_engine_start_thread(engine);
    if (status == ANZ_OK)
        status = anz_engine_connect(engine, NULL, &conn, &err);
    if (status != ANZ_OK)
        fprintf(stderr, "%s %s\n", anz_status_name(status), err.message);
    if (status == ANZ_OK && anz_conn_stats(conn, &stats) == ANZ_OK)
        printf("%lu bytes of room to send\n", (unsigned long)stats.send_ring_size);
    anz_conn_close(conn);
    anz_engine_free(engine);
    return stats.send_ring_size == 0;
}
