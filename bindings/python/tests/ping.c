/* ping.c - sends a message to itself COUNT times, each when the last one has come, and prints the
 * median of what that took, in microseconds: what `await group.mcast()` is measured against.
 *
 *     ping COUNT MULTICAST     an engine of its own, in a cluster of its own at this address */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

/* Until an event of this type. */
static void await(anz_conn_t *conn, int type)
{
    struct pollfd fd = {anz_conn_fd(conn), POLLIN, 0};
    anz_event_t event;
    int came = 0;
    event.struct_size = sizeof event;
    while (!came) {
        poll(&fd, 1, -1);
        while (anz_recv(conn, &event, 1) > 0) {
            came |= event.type == type;
            anz_release(conn, &event, 1);
        }
    }
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)atol(argv[1]) : 1000, i;
    double *times = malloc(count * sizeof *times);
    char data[64] = "";
    anz_config_t *config = NULL;
    anz_conn_t *conn;
    anz_group_t *group;
    if (argc > 2 && (anz_config_new(&config) != ANZ_OK ||
                     anz_config_set(config, "cluster", "ping", NULL) != ANZ_OK ||
                     anz_config_set(config, "transport.multicast", argv[2], NULL) != ANZ_OK))
        return 1;
    if (times == NULL || anz_connect("inproc:ping", config, &conn, NULL) != ANZ_OK ||
        anz_join(conn, "ping", 0, NULL, &group) != ANZ_OK)
        return 1;
    await(conn, ANZ_EV_VIEW);
    for (i = 0; i < count; i++) {
        double start = now_us();
        if (anz_mcast(group, ANZ_AGREED, data, sizeof data, 1) != ANZ_OK)
            return 1;
        await(conn, ANZ_EV_MESSAGE);
        times[i] = now_us() - start;
    }
    qsort(times, count, sizeof *times, compare);
    printf("%.1f\n", times[count / 2]);
    return anz_conn_close(conn) != ANZ_OK;
}
