/* An engine with settings of its own, or those of a file, whose log goes to standard error. */
#include <anasazi.h>
#include <stdio.h>

static void print(void *user_data, int level, const char *component, const char *text,
                  size_t text_len)
{
    (void)level;
    fprintf(user_data, "%s: %.*s\n", component, (int)text_len, text);
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *config = NULL;
    anz_engine_t *engine = NULL;
    anz_status_t status = anz_config_new(&config);
    if (status == ANZ_OK && argc > 1)
        status = anz_config_load(config, argv[1], &err);
    if (status == ANZ_OK)
        status = anz_config_set(config, "transport.multicast", "off", &err);
    if (status == ANZ_OK)
        status = anz_config_set_log(config, print, ANZ_LOG_WARNING, stderr);
    if (status == ANZ_OK)
        status = anz_engine_new(config, &engine, &err);
    if (status != ANZ_OK)
        fprintf(stderr, "%s: %s\n", anz_status_name(status), err.message);
    anz_config_free(config);
    anz_engine_free(engine);
    return status != ANZ_OK;
}
