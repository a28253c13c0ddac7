/* How long a message takes to come back to who sent it, in microseconds: half are below.
 * ping ROUNDS */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 2000 };

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Until an event of this type; with a tag where that is not 0. */
static int await_event(anz_conn_t *conn, int type, uint64_t tag)
{
    anz_event_t events[16];
    int n, i, found = 0;
    events[0].struct_size = sizeof events[0];
    while (!found && anz_conn_wait(conn, -1) == ANZ_OK)
        while ((n = anz_recv(conn, events, 16)) > 0) {
            for (i = 0; i < n; i++)
                found |= events[i].type == type && (tag == 0 || events[i].tag == tag);
            anz_release(conn, events, (size_t)n);
        }
    return found;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 1000, round;
    double *times = calloc((size_t)rounds, sizeof *times);
    char message[64] = "";
    anz_config_t *config;
    anz_conn_t *conn;
    anz_group_t *group;
    char cluster[32];
    snprintf(cluster, sizeof cluster, "ping-%ld", (long)getpid());
    if (times == NULL || anz_config_new(&config) != ANZ_OK ||
        anz_config_set(config, "cluster", cluster, NULL) != ANZ_OK ||
        anz_connect("inproc:ping", config, &conn, NULL) != ANZ_OK ||
        anz_join(conn, "ping", 0, NULL, &group) != ANZ_OK || !await_event(conn, ANZ_EV_VIEW, 0))
        return 1;
    for (round = 0; round < WARM_UP + rounds; round++) {
        double start = now_us();
        if (anz_mcast(group, ANZ_AGREED, message, sizeof message, (uint64_t)round + 1) != ANZ_OK ||
            !await_event(conn, ANZ_EV_MESSAGE, (uint64_t)round + 1))
            return 1;
        if (round >= WARM_UP)
            times[round - WARM_UP] = now_us() - start;
    }
    qsort(times, (size_t)rounds, sizeof *times, compare);
    printf("%.2f\n", times[rounds / 2]);
    return anz_conn_close(conn) != ANZ_OK;
}
