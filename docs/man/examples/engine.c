/* An engine in the loop of this program: one descriptor to watch, one function to call. */
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_engine_t *engine = NULL;
    int turns = 0, more = 0;
    if (anz_engine_new(NULL, &engine, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    while (more >= 0) {
        struct pollfd watched = {0, POLLIN, 0};
        watched.fd = anz_engine_fd(engine);
        poll(&watched, 1, -1);
        more = anz_engine_process(engine, 0);
        if (++turns == 10)
            anz_engine_stop(engine);
    }
    printf("it has left: %s\n", anz_status_name(more));
    anz_engine_free(engine);
    return more != ANZ_ECLOSED;
}
