/* One member of the benchmark: sends to its group, receives everybody's messages, measures.
 *
 *     flood NODE NODES LEN SECONDS RATE WINDOW [safe]
 *     flood watch
 *
 * NODE 0 .. NODES-1; LEN bytes a message; RATE messages a second, 0 = as fast as WINDOW own
 * messages that are not delivered yet allow.
 *
 * The group's own order is the clock of the measure: a member says HELLO when it sees all members,
 * and every member starts when it has heard all HELLOs and ends when it has heard all ENDs. So all
 * measure the same messages, and must come to the same hash over (sender, number) of all of them.
 *
 * `watch` sends nothing; it prints how many members there are and when it heard of it, a line for
 * each change, until its standard input ends.
 *
 * One thread receives, and another one sends; where the backend's engine is in this program's own
 * loop, the main thread does everything.
 *
 * Prints a line of JSON. Exit status: 0; 1 for a failure that it explains; 5: the session ended. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "buckets.h"

enum { NODES_MAX = 64, MEET_S_MAX = 60, END_S_MAX = 30, WAIT_MS = 100 };
enum kind { HELLO = 0x68656c6f, DATA = 0x64617461, END = 0x00656e64 };

struct head {
    uint32_t kind, node;
    uint64_t number, sent_ns;
};

/* What the sending thread waits for. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news;
static _Atomic uint64_t own_delivered;
static _Atomic int members, hellos, ends, sender_waits;

/* The receiving thread's. */
static int node, nodes, want_safe, watches, in_loop;
static uint64_t delivered, delivered_len, gaps, start_ns, end_ns, expected[NODES_MAX];
static uint64_t order = 0xcbf29ce484222325, latencies[BUCKETS];

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "flood %d: %s\n", node, what);
    exit(1);
}

static void tell(void) {
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
}

static double latency_us(double share) {
    uint64_t wanted = (uint64_t)((double)delivered * share), seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += latencies[bucket];
        if (seen <= wanted) continue;
        return (double)ns_of(bucket) / 1e3;
    }
    return 0;
}

static void on_data(const struct head *head, size_t len) {
    latencies[bucket_of(now_ns() - head->sent_ns)]++;
    delivered++;
    delivered_len += len;
    order = (order ^ (head->number << 8 | head->node)) * 0x100000001b3;
    gaps += head->number != expected[head->node];
    expected[head->node] = head->number + 1;
    if ((int)head->node != node) return;
    own_delivered++;
    if (sender_waits) tell();
}

static void on_message(const void *data, size_t len) {
    struct head head;
    if (len < sizeof head) return;
    memcpy(&head, data, sizeof head);
    if (head.node >= NODES_MAX) return;
    switch (head.kind) {
    case HELLO:
        start_ns = now_ns();
        hellos++;
        tell();
        break;
    case DATA: on_data(&head, len); break;
    case END:
        end_ns = now_ns();
        ends++;
        tell();
        break;
    default: break;
    }
}

static void on_members(int count) {
    members = count;
    tell();
    if (!watches) return;
    printf("{\"members\":%d,\"ns\":%llu}\n", count, (unsigned long long)now_ns());
    fflush(stdout);
}

#include BACKEND

static uint64_t in_ms(uint64_t ms) { return now_ns() + ms * 1000000; }

static struct timespec at(uint64_t ns) {
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

static void *receive(void *unused) {
    (void)unused;
    while (ends < nodes) b_dispatch(in_ms(WAIT_MS));
    return NULL;
}

static void start(pthread_t *receiver) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&news, &monotonic);
    if (b_init() != 0) fail("cannot join");
    if (!in_loop && pthread_create(receiver, NULL, receive, NULL) != 0) fail("no thread");
}

static void await(_Atomic int *what, int count, int seconds_max, const char *failure) {
    uint64_t until_ns = in_ms((uint64_t)seconds_max * 1000);
    struct timespec limit = at(until_ns);
    while (in_loop && *what < count) {
        if (now_ns() > until_ns) fail(failure);
        b_dispatch(in_ms(WAIT_MS));
    }
    pthread_mutex_lock(&lock);
    while (*what < count)
        if (pthread_cond_timedwait(&news, &lock, &limit) != 0) fail(failure);
    pthread_mutex_unlock(&lock);
}

/* False if the time is over before there is room. */
static int await_window(uint64_t sent, uint64_t window, uint64_t until_ns) {
    struct timespec limit = at(until_ns);
    while (in_loop && sent - own_delivered >= window && now_ns() < until_ns) b_dispatch(until_ns);
    if (sent - own_delivered < window) return 1;
    pthread_mutex_lock(&lock);
    sender_waits = 1;
    while (sent - own_delivered >= window && now_ns() < until_ns)
        pthread_cond_timedwait(&news, &lock, &limit);
    sender_waits = 0;
    pthread_mutex_unlock(&lock);
    return sent - own_delivered < window;
}

/* How often there was no room. */
static uint64_t send_now(const struct head *head, size_t len) {
    const struct timespec pause = {0, 50000};
    for (uint64_t again = 0;; again++) {
        int result = b_send(head, len);
        if (result == 0) return again;
        if (result < 0) fail("a send failed");
        if (in_loop) b_dispatch(in_ms(1));
        else nanosleep(&pause, NULL);
    }
}

static void say(struct head *head, enum kind kind) {
    head->kind = kind;
    send_now(head, sizeof *head);
}

static void pace(uint64_t at_ns) {
    struct timespec moment = at(at_ns);
    while (in_loop && now_ns() < at_ns) b_dispatch(at_ns);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
}

/* Sends until the time is over; returns how often there was no room. */
static uint64_t send_all(struct head *head, size_t len, double seconds, double rate,
                         uint64_t window) {
    uint64_t again = 0, begin_ns = now_ns(), until_ns = begin_ns + (uint64_t)(seconds * 1e9);
    head->kind = DATA;
    while (now_ns() < until_ns) {
        if (rate > 0) pace(begin_ns + (uint64_t)((double)head->number * 1e9 / rate));
        else if (!await_window(head->number, window, until_ns)) break;
        head->sent_ns = now_ns();
        again += send_now(head, len);
        head->number++;
    }
    return again;
}

static void report(uint64_t sent, uint64_t again) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
                   + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double seconds = (double)(end_ns - start_ns) / 1e9;
    printf("{\"node\":%d,\"sent\":%llu,\"again\":%llu,\"delivered\":%llu,\"gaps\":%llu,"
           "\"order\":\"%016llx\",\"seconds\":%.3f,\"messages_s\":%.0f,\"mb_s\":%.3f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"cpu_s\":%.2f}\n",
           node, (unsigned long long)sent, (unsigned long long)again,
           (unsigned long long)delivered, (unsigned long long)gaps, (unsigned long long)order,
           seconds, (double)delivered / seconds, (double)delivered_len / seconds / 1e6,
           latency_us(0.5), latency_us(0.99), latency_us(1 - 1e-9), cpu_s);
}

static int watch(void) {
    pthread_t receiver;
    nodes = NODES_MAX; /* nobody says END */
    watches = 1;
    start(&receiver);
    if (in_loop) fail("watch is for clusters with daemons");
    for (char byte; read(STDIN_FILENO, &byte, 1) > 0;) {}
    return 0;
}

int main(int count, char **arguments) {
    pthread_t receiver;
    if (count == 2 && !strcmp(arguments[1], "watch")) return watch();
    if (count < 7) fail("usage: flood NODE NODES LEN SECONDS RATE WINDOW [safe]");
    node = atoi(arguments[1]);
    nodes = atoi(arguments[2]);
    size_t len = strtoul(arguments[3], NULL, 10);
    want_safe = count > 7 && !strcmp(arguments[7], "safe");
    if (node < 0 || nodes < 1 || node >= nodes || nodes > NODES_MAX) fail("NODE, NODES: 0 .. 63");
    struct head *head = calloc(1, len > sizeof *head ? len : sizeof *head);
    if (!head) fail("no memory");
    head->node = (uint32_t)node;
    start(&receiver);
    await(&members, nodes, MEET_S_MAX, "not all members came");
    say(head, HELLO);
    await(&hellos, nodes, MEET_S_MAX, "not all members said hello");
    uint64_t again = send_all(head, len > sizeof *head ? len : sizeof *head, atof(arguments[4]),
                              atof(arguments[5]), strtoull(arguments[6], NULL, 10));
    say(head, END);
    await(&ends, nodes, END_S_MAX, "not all members came to the end");
    if (!in_loop) pthread_join(receiver, NULL);
    report(head->number, again);
    return 0;
}
