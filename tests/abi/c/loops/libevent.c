/* A member in a libevent base. */
#include "member.h"
#include <anasazi/adapters/libevent.h>

int main(int argc, char **argv)
{
    static anz_libevent_t of_engine, of_conn;
    struct event_base *base = event_base_new();
    begin(argc, argv);
    must(anz_libevent_attach_engine(base, &of_engine, engine) == 0, "the engine");
    must(anz_libevent_attach_conn(base, &of_conn, conn, receive, NULL) == 0, "the session");
    event_base_dispatch(base);
    event_base_free(base);
    return end();
}
