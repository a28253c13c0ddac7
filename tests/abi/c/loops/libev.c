/* A member in a libev loop. */
#include "member.h"
#include <anasazi/adapters/libev.h>

int main(int argc, char **argv)
{
    static anz_ev_t of_engine, of_conn;
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    begin(argc, argv);
    anz_ev_attach_engine(loop, &of_engine, engine);
    anz_ev_attach_conn(loop, &of_conn, conn, receive, NULL);
    ev_run(loop, 0);
    ev_loop_destroy(loop);
    return end();
}
