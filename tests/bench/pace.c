/* One member that sends at a steady pace until its standard input ends, and says once a second what
 * it was delivered and how long that took.
 *
 *     pace NODE LEN RATE
 *
 * LEN bytes a message, RATE messages a second; of the group that $BENCH_GROUP names, or "bench".
 *
 * A line of JSON for each second: when it ended (CLOCK_MONOTONIC), views and messages in it,
 * messages that there was no room for, and [nanoseconds, messages] for all times from send to
 * delivery, within 1.6 %. Exit status: 0; 1 for a failure that it explains; 5: the session ended.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buckets.h"

enum { SECOND_NS = 1000000000, WAIT_NS = 20000000 };

struct head {
    uint32_t node, reserved;
    uint64_t sent_ns;
};

static int want_safe, in_loop;
static uint64_t messages, views, latencies[BUCKETS];
static _Atomic uint64_t refused;
static _Atomic int is_over;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void on_message(const void *data, size_t len) {
    struct head head;
    if (len < sizeof head) return;
    memcpy(&head, data, sizeof head);
    messages++;
    latencies[bucket_of(now_ns() - head.sent_ns)]++;
}

static void on_members(int count) {
    (void)count;
    views++;
}

#include BACKEND

static void report(uint64_t at_ns) {
    const char *comma = "";
    printf("{\"ns\":%llu,\"views\":%llu,\"messages\":%llu,\"refused\":%llu,\"latencies\":[",
           (unsigned long long)at_ns, (unsigned long long)views, (unsigned long long)messages,
           (unsigned long long)atomic_exchange(&refused, 0));
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        if (latencies[bucket] == 0) continue;
        printf("%s[%llu,%llu]", comma, (unsigned long long)ns_of(bucket),
               (unsigned long long)latencies[bucket]);
        comma = ",";
    }
    puts("]}");
    fflush(stdout);
    views = messages = 0;
    memset(latencies, 0, sizeof latencies);
}

static void *receive(void *unused) {
    (void)unused;
    for (uint64_t next_ns = now_ns() + SECOND_NS; !is_over;) {
        b_dispatch(now_ns() + WAIT_NS);
        if (now_ns() < next_ns) continue;
        report(now_ns());
        next_ns = now_ns() + SECOND_NS;
    }
    return NULL;
}

static void await(uint64_t at_ns) {
    struct timespec moment = {(time_t)(at_ns / SECOND_NS), (long)(at_ns % SECOND_NS)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
}

int main(int count, char **arguments) {
    pthread_t receiver;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    (void)want_safe, (void)in_loop; /* not every backend looks at them */
    if (count != 4 || atof(arguments[3]) <= 0) return fputs("see pace.c\n", stderr), 1;
    size_t len = strtoul(arguments[2], NULL, 10);
    if (len < sizeof(struct head)) len = sizeof(struct head);
    struct head *head = calloc(1, len);
    if (!head || b_init() != 0) return fputs("pace: cannot join\n", stderr), 1;
    if (pthread_create(&receiver, NULL, receive, NULL) != 0) return 1;
    head->node = (uint32_t)atoi(arguments[1]);
    uint64_t step_ns = (uint64_t)(SECOND_NS / atof(arguments[3]));
    for (uint64_t next_ns = now_ns(); poll(&input, 1, 0) == 0; next_ns += step_ns) {
        /* Who was stopped does not make up for it. */
        if (next_ns + SECOND_NS < now_ns()) next_ns = now_ns();
        await(next_ns);
        head->sent_ns = now_ns();
        int result = b_send(head, len);
        if (result < 0) return 1;
        refused += (uint64_t)result;
    }
    is_over = 1;
    pthread_join(receiver, NULL);
    free(head);
    return 0;
}
