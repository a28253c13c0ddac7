/* A member in an sd-event loop. */
#include "member.h"
#include <anasazi/adapters/sdevent.h>

static sd_event *event;

static int receive_or_exit(anz_conn_t *c, void *user_data)
{
    int over = receive(c, user_data);
    if (over)
        sd_event_exit(event, 0);
    return over;
}

int main(int argc, char **argv)
{
    static anz_sd_t of_engine, of_conn;
    begin(argc, argv);
    must(sd_event_new(&event) >= 0, "no loop");
    must(anz_sd_attach_engine(event, &of_engine, engine) >= 0, "the engine");
    must(anz_sd_attach_conn(event, &of_conn, conn, receive_or_exit, NULL) >= 0, "the session");
    must(sd_event_loop(event) >= 0, "the loop");
    sd_event_source_unref(of_engine.source);
    sd_event_source_unref(of_conn.source);
    sd_event_unref(event);
    return end();
}
