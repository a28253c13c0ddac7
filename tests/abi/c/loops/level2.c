/* A member in a loop that watches each socket and the timer of its engine itself, with poll(2). */
#define _GNU_SOURCE
#include <anasazi.h>
static void set_loop(anz_config_t *config);
#define MEMBER_SETS set_loop
#include "member.h"
#include <errno.h>
#include <poll.h>
#include <time.h>

enum { FDS_MAX = 16 };
static struct pollfd watched[FDS_MAX];
static nfds_t watched_len;
static int64_t timer_at = -1;
static int mark;

static nfds_t place_of(int fd)
{
    nfds_t at = 0;
    while (at < watched_len && watched[at].fd != fd)
        at++;
    return at;
}

static int watch(void *user_data, int fd, uint32_t old_events, uint32_t new_events)
{
    nfds_t at = place_of(fd);
    must(user_data == &mark, "the host's own pointer");
    must(old_events == (at < watched_len ? (uint32_t)watched[at].events : 0), "what was watched");
    must(new_events == 0 || new_events == POLLIN, "what is to be watched");
    if (new_events == 0) {
        watched[at] = watched[--watched_len];
        return 0;
    }
    if (watched_len == FDS_MAX)
        return 1;
    watched[watched_len].fd = fd;
    watched[watched_len++].events = (short)new_events;
    return 0;
}

static void timer(void *user_data, int64_t deadline_ns)
{
    must(user_data == &mark, "the host's own pointer");
    timer_at = deadline_ns;
}

static int refuse(void *user_data, int fd, uint32_t old_events, uint32_t new_events)
{
    (void)user_data, (void)fd, (void)old_events, (void)new_events;
    return 77;
}

static void set_loop(anz_config_t *config)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_engine_t *none = NULL;
    anz_loop_ops_t ops = {sizeof ops, 0, watch, NULL};
    struct {
        anz_loop_ops_t ops;
        uint32_t newer;
    } larger = {{sizeof larger, 0, watch, timer}, 1};
    must(anz_config_set_loop(config, &ops, &mark) == ANZ_EINVAL, "a function is missing");
    ops.timer = timer;
    ops.reserved = 1;
    must(anz_config_set_loop(config, &ops, &mark) == ANZ_EINVAL, "what is reserved is set");
    must(anz_config_set_loop(config, &larger.ops, &mark) == ANZ_E2BIG, "something newer is set");
    ops.reserved = 0;
    ops.watch = refuse;
    must(anz_config_set_loop(config, &ops, &mark) == ANZ_OK, "a loop");
    must(anz_engine_new(config, &none, &err) == ANZ_ENOMEM && none == NULL, "a loop that refuses");
    must(strstr(err.message, "77") != NULL, err.message);
    larger.newer = 0;
    must(anz_config_set_loop(config, &larger.ops, &mark) == ANZ_OK, "a loop of a newer header");
}

static int timeout_ms(void)
{
    struct timespec now;
    int64_t left;
    if (timer_at < 0)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    left = timer_at - (now.tv_sec * INT64_C(1000000000) + now.tv_nsec);
    return left <= 0 ? 0 : (int)(left / 1000000) + 1;
}

/* Until nothing is left to do; not 0 when the engine has left. */
static int process(int fd)
{
    int more;
    do
        more = anz_engine_process_fd(engine, fd, POLLIN);
    while (more > 0);
    return more < 0;
}

int main(int argc, char **argv)
{
    int left = 0, over = 0, timers = 0;
    begin(argc, argv);
    must(anz_engine_fd(engine) == ANZ_ESTATE, "one descriptor is not enough");
    must(anz_engine_run(engine) == ANZ_ESTATE, "it runs in the loop");
    must(anz_engine_start_thread(engine) == ANZ_ESTATE, "it has no thread");
    must(watched_len >= 3, "sessions, and at least two sockets");
    while (!left || !over) {
        struct pollfd ready[FDS_MAX + 1];
        nfds_t at, len = watched_len;
        int n;
        memcpy(ready, watched, sizeof watched);
        ready[len].fd = over ? -1 : anz_conn_fd(conn);
        ready[len].events = POLLIN;
        n = poll(ready, len + 1, left ? -1 : timeout_ms());
        must(n >= 0 || errno == EINTR, "poll");
        if (n == 0 && timer_at >= 0 && timeout_ms() == 0) {
            timers++;
            timer_at = -1;
            left = process(-1);
        }
        /* A descriptor that is watched no longer does no harm. */
        for (at = 0; n > 0 && at < len && !left; at++)
            if (ready[at].revents != 0)
                left = process(ready[at].fd);
        if (n > 0 && !over && ready[len].revents != 0)
            over = receive(conn, NULL);
    }
    must(timers > 0, "the timer ran out now and then");
    must(watched_len == 0 && timer_at == -1, "an engine that has left watches nothing");
    return end();
}
