/* A process that is an engine and nothing else, until a signal ends it. */
#define _POSIX_C_SOURCE 199309L
#include <anasazi.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static anz_engine_t *engine;

static void stop(int signal)
{
    (void)signal;
    anz_engine_stop(engine);
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_status_t status;
    if (anz_engine_new(NULL, &engine, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    signal(SIGALRM, stop);
    alarm(1);
    status = anz_engine_run(engine);
    printf("it has left: %s\n", anz_status_name(status));
    anz_engine_free(engine);
    return status != ANZ_OK;
}
