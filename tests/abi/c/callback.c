/* The log callback calls back into the library, everything that it may call: on the engine's own
 * thread, in the middle of a turn. */
#define _GNU_SOURCE
#include "safe_calls.h"

static volatile int is_open;
static volatile long lines, wrong;

static void on_line(void *user_data, int level, const char *component, const char *text,
                    size_t text_len)
{
    int which;
    (void)user_data, (void)level, (void)component, (void)text, (void)text_len;
    __atomic_fetch_add(&lines, 1, __ATOMIC_SEQ_CST);
    for (which = 0; is_open && which < SAFE_STOP; which++) {
        anz_status_t status = safe_calls[which].call(1);
        if (status != ANZ_OK && status != ANZ_EAGAIN)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
    }
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    anz_event_t ev;
    int which;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_config_set_log(cfg, on_line, ANZ_LOG_TRACE, NULL), ANZ_OK);
    IS(anz_engine_new(cfg, &engine, &err), ANZ_OK);
    anz_config_free(cfg);
    IS(anz_engine_start_thread(engine), ANZ_OK);
    conn = connected(engine);
    group = joined(conn, "first");
    second = joined(conn, "second");
    is_open = 1;
    /* Each makes the engine say something. */
    for (which = 0; which < 50; which++) {
        char name[20];
        snprintf(name, sizeof name, "group %d", which);
        IS(anz_leave(joined(conn, name)), ANZ_OK);
        ev = next_of(conn, ANZ_EV_LEFT);
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
    CHECK(anz_query(conn, "{\"get\":\"status\"}", 16, 1) == ANZ_OK);
    is_open = 0;
    IS(anz_conn_close(conn), ANZ_OK);
    anz_engine_free(engine);
    CHECK(lines > 0 && wrong == 0);
    (void)begin, (void)end, (void)handle, (void)next_number;
    puts("ok");
    return 0;
}
