/* An engine whose sockets and timer the loop of this program watches by itself. */
#define _POSIX_C_SOURCE 199309L
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#define FDS_MAX 16

static struct pollfd watched[FDS_MAX];
static nfds_t watched_len;
static int64_t deadline_ns = -1;

static int watch(void *user_data, int fd, uint32_t old_events, uint32_t new_events)
{
    nfds_t at;
    (void)user_data, (void)old_events;
    for (at = 0; at < watched_len && watched[at].fd != fd; at++)
        ;
    if (new_events == 0) {
        watched[at] = watched[--watched_len];
        return 0;
    }
    if (at == FDS_MAX)
        return -1;
    watched_len += at == watched_len;
    watched[at].fd = fd;
    watched[at].events = (short)new_events;
    return 0;
}

static void timer(void *user_data, int64_t deadline)
{
    (void)user_data;
    deadline_ns = deadline;
}

static int milliseconds_left(void)
{
    struct timespec now;
    int64_t left_ns;
    clock_gettime(CLOCK_MONOTONIC, &now);
    left_ns = deadline_ns - now.tv_sec * INT64_C(1000000000) - now.tv_nsec;
    return deadline_ns < 0 ? -1 : left_ns < 0 ? 0 : (int)((left_ns + 999999) / 1000000);
}

int main(void)
{
    static const anz_loop_ops_t ops = {sizeof ops, 0, watch, timer};
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *config = NULL;
    anz_engine_t *engine = NULL;
    int turns = 0, more = 0;
    if (anz_config_new(&config) != ANZ_OK || anz_config_set_loop(config, &ops, NULL) != ANZ_OK)
        return 1;
    if (anz_engine_new(config, &engine, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    while (more >= 0) {
        nfds_t at = watched_len;
        int ready = poll(watched, watched_len, milliseconds_left());
        if (ready == 0)
            more = anz_engine_process_fd(engine, -1, 0);
        /* From the end: what is not watched any more gives its place to the last one. */
        while (ready > 0 && more >= 0 && at-- > 0)
            if (at < watched_len && watched[at].revents != 0)
                more = anz_engine_process_fd(engine, watched[at].fd,
                                             (uint32_t)watched[at].revents);
        if (++turns == 10)
            anz_engine_stop(engine);
    }
    printf("it has left: %s\n", anz_status_name(more));
    anz_engine_free(engine);
    anz_config_free(config);
    return more != ANZ_ECLOSED;
}
