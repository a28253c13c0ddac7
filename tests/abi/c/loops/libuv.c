/* A member in a libuv loop. */
#include "member.h"
#include <anasazi/adapters/libuv.h>

int main(int argc, char **argv)
{
    static uv_loop_t loop;
    static anz_uv_t of_engine, of_conn;
    begin(argc, argv);
    must(uv_loop_init(&loop) == 0, "no loop");
    must(anz_uv_attach_engine(&loop, &of_engine, engine) == 0, "the engine");
    must(anz_uv_attach_conn(&loop, &of_conn, conn, receive, NULL) == 0, "the session");
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&of_engine.poll, NULL);
    uv_close((uv_handle_t *)&of_conn.poll, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&loop) == 0, "something is still open");
    return end();
}
