/* poll_loop.c - a whole engine inside a poll(2) loop: no thread, no daemon, one more descriptor.
 *
 *     cc -std=c99 poll_loop.c -lanasazi -o poll_loop
 *     ./poll_loop -n 20 room                       in two terminals
 *     ./poll_loop -s transport.bind=192.0.2.7:7746 -s node.id=7 room
 *
 * Any other loop embeds it the same way: watch anz_engine_fd() for readability, and call
 * anz_engine_process() when it is readable.
 */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static anz_engine_t *engine;
static anz_conn_t *conn;
static long messages_left = -1; /* leave after so many; -1: stay */

static int fail(const char *what, const anz_error_t *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, anz_status_name(err->code), err->message);
    return 1;
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

static void receive(anz_group_t *group)
{
    anz_event_t events[16];
    char who[40];
    int n, i;
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(conn, events, 16)) > 0) {
        for (i = 0; i < n; i++) {
            const anz_event_t *ev = &events[i];
            if (ev->type == ANZ_EV_VIEW) {
                printf("view of %zu: %s\n", ev->view->members_len, ev->view->reason);
            } else if (ev->type == ANZ_EV_MESSAGE) {
                anz_member_name(conn, &ev->sender, who, sizeof who);
                printf("%s %.*s\n", who, (int)ev->len, (const char *)ev->data);
                if (messages_left > 0 && --messages_left == 0)
                    anz_leave(group);
            } else if (ev->type == ANZ_EV_LEFT) {
                /* A clean leave: the others need not find out by themselves. */
                anz_engine_stop(engine);
            }
        }
        anz_release(conn, events, (size_t)n);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *config;
    anz_group_t *group;
    long next_ms, ticks = 0;
    int option, more = 0;

    if (anz_config_new(&config) != ANZ_OK)
        return 1;
    while ((option = getopt(argc, argv, "n:s:")) != -1) {
        char *value = option == 's' ? strchr(optarg, '=') : NULL;
        if (option == 'n') {
            messages_left = atol(optarg);
        } else if (value != NULL) {
            *value++ = '\0';
            if (anz_config_set(config, optarg, value, &err) != ANZ_OK)
                return fail("setting", &err);
        } else {
            return 2;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: %s [-s KEY=VALUE]... [-n MESSAGES] GROUP\n", argv[0]);
        return 2;
    }
    if (anz_engine_new(config, &engine, &err) != ANZ_OK)
        return fail("starting the engine", &err);
    if (anz_engine_connect(engine, config, &conn, &err) != ANZ_OK)
        return fail("connecting to it", &err);
    anz_config_free(config);
    if (anz_join(conn, argv[optind], 0, NULL, &group) != ANZ_OK)
        return 1;

    next_ms = now_ms();
    for (;;) {
        struct pollfd fds[2];
        long wait_ms = next_ms - now_ms();
        fds[0].fd = anz_engine_fd(engine);
        fds[1].fd = anz_conn_fd(conn);
        fds[0].events = fds[1].events = POLLIN;
        /* The engine's timers are behind its descriptor too; the timeout is for our own ticks. */
        poll(fds, 2, more || wait_ms < 0 ? 0 : (int)wait_ms);

        more = anz_engine_process(engine, 0);
        if (more == ANZ_ECLOSED)
            break; /* stopped, and has left */
        if (more < 0) {
            fprintf(stderr, "the engine: %s\n", anz_status_string(more));
            return 1;
        }
        receive(group);

        if (now_ms() >= next_ms) {
            char text[32];
            int len = snprintf(text, sizeof text, "tick %ld", ++ticks);
            /* ANZ_EAGAIN: too many ticks are under way already, this one is skipped. */
            if (anz_mcast(group, ANZ_AGREED, text, (size_t)len, 0) == ANZ_EAGAIN)
                ticks--;
            next_ms += 50;
        }
    }
    anz_conn_close(conn);
    anz_engine_free(engine);
    return 0;
}
