/* What single calls cost, and what a session does: anz_mcast() of 64 bytes while the engine is
 * awake, anz_recv() and anz_release() per small message in batches, memory per session. Beside
 * them, in the same run, what a lock and a copy cost, to compare machines by. Prints one JSON
 * object.
 *
 *     calls [SESSIONS]        1000 */
#define _GNU_SOURCE
#include <anasazi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 2000, BURSTS = 400, LEN = 64, BATCH = 64 };
static anz_engine_t *engine;
static char message[LEN];

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static anz_conn_t *connected(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn = NULL;
    must(anz_engine_connect(engine, NULL, &conn, &err) == ANZ_OK, err.message);
    return conn;
}

static int receive(anz_conn_t *conn, double *cost)
{
    static anz_event_t events[BATCH];
    int total = 0, n;
    double begin = now_ns();
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(conn, events, BATCH)) > 0) {
        must(anz_release(conn, events, (size_t)n) == ANZ_OK, "release");
        total += n;
    }
    *cost = now_ns() - begin;
    return total;
}

/* The next event, or several. */
static void await(anz_conn_t *conn)
{
    double cost;
    while (receive(conn, &cost) == 0)
        must(anz_conn_wait(conn, -1) == ANZ_OK, "an event");
}

/* Bursts of sends, each to an engine that has just been woken; then all of them received. */
static void sends_and_receives(double *send_ns, double *receive_ns)
{
    static double sends[BURSTS], receives[BURSTS];
    anz_conn_t *conn = connected();
    anz_group_t *group;
    double cost;
    int burst, at, measured = 0;
    must(anz_join(conn, "figures", 0, NULL, &group) == ANZ_OK, "join");
    await(conn);
    for (burst = 0; burst < BURSTS; burst++) {
        double begin, end;
        int got = 0, refused = 0;
        must(anz_mcast(group, ANZ_AGREED, message, LEN, 0) == ANZ_OK, "the first of a burst");
        begin = now_ns();
        for (at = 1; at < BURST; at++)
            refused += anz_mcast(group, ANZ_AGREED, message, LEN, 0) != ANZ_OK;
        end = now_ns();
        must(!refused, "a burst fits into the ring");
        sends[burst] = (end - begin) / (BURST - 1);
        /* All of it is to lie in the ring before it is received. */
        usleep(3000);
        got = receive(conn, &cost);
        if (got == BURST)
            receives[measured++] = cost / got;
        while (got < BURST) {
            must(anz_conn_wait(conn, -1) == ANZ_OK, "the rest");
            got += receive(conn, &cost);
        }
    }
    must(measured > BURSTS / 4, "most bursts arrive within 3 ms");
    *send_ns = median(sends, BURSTS);
    *receive_ns = median(receives, measured);
    anz_conn_close(conn);
}

/* A lock that nobody else wants, and a copy of as many bytes. */
static double lock_and_copy(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char ring[1 << 20];
    double begin = now_ns();
    size_t at;
    int round;
    for (round = 0; round < 100; round++)
        for (at = 0; at + LEN <= sizeof ring; at += LEN) {
            pthread_mutex_lock(&lock);
            memcpy(ring + at, message, LEN);
            __asm__ volatile("" ::: "memory");
            pthread_mutex_unlock(&lock);
        }
    return (now_ns() - begin) / (100.0 * (double)(sizeof ring / LEN));
}

static double resident_mib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long total = 0, resident = 0;
    must(file != NULL && fscanf(file, "%ld %ld", &total, &resident) == 2, "/proc/self/statm");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

/* Both ends, the engine being in this process; each has sent and received something. */
static double mib_per_session(int sessions)
{
    anz_conn_t **conns = calloc((size_t)sessions, sizeof *conns);
    double before = resident_mib();
    int at;
    for (at = 0; at < sessions; at++) {
        anz_group_t *group;
        char name[32];
        snprintf(name, sizeof name, "figures-%d", at);
        conns[at] = connected();
        must(anz_join(conns[at], name, 0, NULL, &group) == ANZ_OK, "join");
        await(conns[at]);
        must(anz_mcast(group, ANZ_AGREED, message, LEN, 0) == ANZ_OK, "send");
        await(conns[at]);
    }
    before = (resident_mib() - before) / sessions;
    for (at = 0; at < sessions; at++)
        anz_conn_close(conns[at]);
    free(conns);
    return before;
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *config;
    struct rlimit files = {65536, 65536};
    double send_ns, receive_ns, copy_ns, mib;
    int sessions = argc > 1 ? atoi(argv[1]) : 1000;
    setrlimit(RLIMIT_NOFILE, &files);
    must(anz_config_new(&config) == ANZ_OK, "a configuration");
    must(anz_config_set(config, "transport.multicast", "off", &err) == ANZ_OK, err.message);
    must(anz_engine_new(config, &engine, &err) == ANZ_OK, err.message);
    must(anz_engine_start_thread(engine) == ANZ_OK, "a thread");
    copy_ns = lock_and_copy();
    sends_and_receives(&send_ns, &receive_ns);
    mib = mib_per_session(sessions);
    printf("{\"mcast_ns\":%.1f,\"recv_release_ns\":%.1f,\"lock_and_copy_ns\":%.1f,"
           "\"mcast_ratio\":%.2f,\"recv_release_ratio\":%.2f,\"sessions\":%d,"
           "\"mib_per_session\":%.3f}\n",
           send_ns, receive_ns, copy_ns, send_ns / copy_ns, receive_ns / copy_ns, sessions, mib);
    anz_engine_free(engine);
    return 0;
}
