/* NULL where it means what is usual: the configuration that comes with the library, and the URL of
 * the environment. Run where there is no network: such an engine looks for others. */
#define _GNU_SOURCE
#include "check.h"

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_engine_t *engine = NULL;
    anz_conn_t *conn = NULL;
    anz_config_t *cfg;
    IS(anz_engine_new(NULL, &engine, &err), ANZ_OK);
    anz_engine_free(engine);

    CHECK(setenv("ANASAZI_URL", "nonsense", 1) == 0);
    IS(anz_connect(NULL, NULL, &conn, &err), ANZ_EINVAL);
    CHECK(conn == NULL && strstr(err.message, "nonsense") != NULL);
    CHECK(setenv("ANASAZI_URL", "shm:/nonexistent/anasazi.sock", 1) == 0);
    IS(anz_connect(NULL, NULL, &conn, &err), ANZ_ECONNREFUSED);
    CHECK(conn == NULL && strstr(err.message, "/nonexistent/anasazi.sock") != NULL);
    CHECK(setenv("ANASAZI_URL", "inproc:defaults", 1) == 0);
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_connect(NULL, cfg, &conn, NULL), ANZ_OK);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_config_free(cfg);
    puts("ok");
    return 0;
}
