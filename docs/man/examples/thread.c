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
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    if (anz_engine_new(NULL, &engine, &err) != ANZ_OK
        || anz_engine_start_thread(engine) != ANZ_OK
        || anz_engine_connect(engine, NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (anz_conn_stats(conn, &stats) == ANZ_OK)
        printf("%lu bytes of room to send\n", (unsigned long)stats.send_ring_size);
    anz_conn_close(conn);
    anz_engine_free(engine);
    return stats.send_ring_size == 0;
}
