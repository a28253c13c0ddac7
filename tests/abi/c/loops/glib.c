/* A member in a GLib main context of its own. */
#include "member.h"
#include <anasazi/adapters/glib.h>

static GMainLoop *loop;

static int receive_or_quit(anz_conn_t *c, void *user_data)
{
    int over = receive(c, user_data);
    if (over)
        g_main_loop_quit(loop);
    return over;
}

int main(int argc, char **argv)
{
    GMainContext *context = g_main_context_new();
    GSource *of_engine, *of_conn;
    begin(argc, argv);
    loop = g_main_loop_new(context, FALSE);
    of_engine = anz_glib_attach_engine(context, engine);
    of_conn = anz_glib_attach_conn(context, conn, receive_or_quit, NULL);
    g_main_loop_run(loop);
    g_source_destroy(of_engine);
    g_source_destroy(of_conn);
    g_source_unref(of_engine);
    g_source_unref(of_conn);
    g_main_loop_unref(loop);
    g_main_context_unref(context);
    return end();
}
