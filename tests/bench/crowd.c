/* Many sessions of one engine, and many groups, in one thread.
 *
 *     crowd SESSIONS GROUPS
 *
 * Opens the sessions, over shared memory or whatever else $ANASAZI_URL names. The larger of both
 * numbers is that of its memberships: number m is that of session m modulo SESSIONS in group m
 * modulo GROUPS. The one group of GROUPS 1 is "bench", as for `flood watch`. Then it takes orders,
 * a line each, until its standard input ends:
 *
 *     join NS AHEAD                all of them, from that moment of CLOCK_MONOTONIC on, and no more
 *                                  at a time than AHEAD that have no view yet
 *     send COUNT SPREAD WANTED     so many messages of 64 bytes in turn to the first SPREAD
 *                                  memberships, until WANTED in all have been received, from
 *                                  whomever and since the order before
 *
 * Prints a line of JSON with a time when it is connected, when all memberships have views of one
 * size, and when it has received what was wanted. Exit status: 0, or 1 for what it explains. */
#define _GNU_SOURCE
#include <anasazi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LEN = 64, WINDOW = 2000, BATCH = 256, READY_MAX = 64, FILES = 65536, SIZES_MAX = 65536 };
enum { WAIT_MS = 100 };

struct membership {
    anz_group_t *group;
    int size; /* of its view; 0: none */
};

static anz_conn_t **conns;
static struct membership *members;
static int sessions, groups, memberships, poller;
static int having[SIZES_MAX];     /* memberships with a view of that size */
static uint64_t views, *views_of; /* shown, in all and to each session */
static uint64_t received, own;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void must(int good, const char *what, const char *why) {
    if (good) return;
    fprintf(stderr, "crowd: %s: %s\n", what, why);
    exit(1);
}

static void say(const char *what, uint64_t value) {
    uint64_t most = 0;
    for (int at = 0; at < sessions; at++)
        if (views_of[at] > most) most = views_of[at];
    printf("{\"%s\":%llu,\"ns\":%llu,\"views\":%llu,\"views_max\":%llu}\n", what,
           (unsigned long long)value, (unsigned long long)now_ns(), (unsigned long long)views,
           (unsigned long long)most);
    fflush(stdout);
}

static void resize(struct membership *one, int size) {
    having[one->size]--;
    one->size = size < SIZES_MAX ? size : SIZES_MAX - 1;
    having[one->size]++;
    if (size && having[one->size] == memberships) say("members", (uint64_t)size);
}

static void suspend(int session) {
    for (int at = session; at < memberships; at += sessions) resize(&members[at], 0);
}

static void on_event(int session, const anz_event_t *event) {
    switch (event->type) {
    case ANZ_EV_MESSAGE:
        received++;
        own += event->tag != 0;
        break;
    case ANZ_EV_VIEW:
        views++;
        views_of[session]++;
        resize(event->group_user_data, (int)event->view->members_len);
        break;
    case ANZ_EV_SUSPENDED: suspend(session); break;
    case ANZ_EV_LEFT:
    case ANZ_EV_CLOSED:
        fprintf(stderr, "crowd: a session ended: %s: %.*s\n", anz_status_string(event->status),
                (int)event->len, event->len ? (const char *)event->data : "");
        exit(1);
    default: break;
    }
}

static void receive(int session) {
    static anz_event_t events[BATCH];
    events[0].struct_size = sizeof events[0];
    int n = anz_recv(conns[session], events, BATCH);
    must(n >= 0, "receive", anz_status_string(n));
    for (int at = 0; at < n; at++) on_event(session, &events[at]);
    if (n > 0) anz_release(conns[session], events, (size_t)n);
}

/* Receives what is there, or waits for it; true if there is an order. */
static int turn(void) {
    struct epoll_event ready[READY_MAX];
    int n = epoll_wait(poller, ready, READY_MAX, WAIT_MS), ordered = 0;
    for (int at = 0; at < n; at++) {
        if (ready[at].data.fd < 0) ordered = 1;
        else receive(ready[at].data.fd);
    }
    return ordered;
}

static void watch(int fd, int what) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = what};
    must(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl", "no memory");
}

/* As many descriptors as may be: privileged processes set the limit, others reach it. */
static rlim_t raise_files(void) {
    struct rlimit files = {FILES, FILES};
    if (setrlimit(RLIMIT_NOFILE, &files) == 0) return files.rlim_cur;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur;
}

static void open_all(void) {
    rlim_t files = raise_files();
    for (int at = 0; at < sessions; at++) {
        anz_error_t error = {.struct_size = sizeof error};
        if (anz_connect(NULL, NULL, &conns[at], &error) != ANZ_OK) {
            fprintf(stderr, "crowd: session %d of %d: %s (this process may have %llu descriptors: "
                    "ulimit -Hn)\n", at + 1, sessions, error.message, (unsigned long long)files);
            exit(1);
        }
        watch(anz_conn_fd(conns[at]), at);
    }
    say("connected", (uint64_t)sessions);
}

static void join_all(uint64_t at_ns, int ahead) {
    struct timespec moment = {(time_t)(at_ns / 1000000000), (long)(at_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL);
    for (int at = 0; at < memberships; at++) {
        struct membership *one = &members[at];
        anz_status_t status;
        char name[32] = "bench";
        if (groups > 1) snprintf(name, sizeof name, "bench-%d", at % groups);
        while (having[0] - (memberships - at) >= ahead) turn();
        while ((status = anz_join(conns[at % sessions], name, 0, one, &one->group)) == ANZ_EAGAIN)
            turn();
        must(status == ANZ_OK, "join", anz_status_string(status));
    }
}

static int sent_to(const struct membership *one) {
    static const char message[LEN];
    anz_status_t status = anz_mcast(one->group, ANZ_AGREED, message, LEN, 1);
    must(status == ANZ_OK || status == ANZ_EAGAIN, "send", anz_status_string(status));
    return status == ANZ_OK;
}

static void send_all(uint64_t count, uint64_t spread, uint64_t wanted) {
    own = 0;
    for (uint64_t sent = 0; received < wanted; turn())
        while (sent < count && sent - own < WINDOW && sent_to(&members[sent % spread])) sent++;
    say("received", received);
    received -= wanted;
}

static void obey(const char *order) {
    unsigned long long first, second, third;
    if (sscanf(order, "join %llu %llu", &first, &second) == 2) join_all(first, (int)second);
    else if (sscanf(order, "send %llu %llu %llu", &first, &second, &third) == 3
             && second > 0 && second <= (unsigned long long)memberships)
        send_all(first, second, third);
    else must(0, "no such order", order);
}

int main(int count, char **arguments) {
    char order[128];
    if (count == 3) sessions = atoi(arguments[1]), groups = atoi(arguments[2]);
    must(sessions > 0 && groups > 0, "usage", "crowd SESSIONS GROUPS");
    memberships = sessions > groups ? sessions : groups;
    conns = calloc((size_t)sessions, sizeof *conns);
    views_of = calloc((size_t)sessions, sizeof *views_of);
    members = calloc((size_t)memberships, sizeof *members);
    must(conns && views_of && members, "start", "no memory");
    having[0] = memberships;
    must((poller = epoll_create1(0)) >= 0, "epoll_create1", "no descriptor");
    setvbuf(stdin, NULL, _IONBF, 0); /* what is there is seen by epoll_wait() */
    open_all();
    watch(STDIN_FILENO, -1);
    for (;;)
        if (turn()) {
            if (!fgets(order, sizeof order, stdin)) return 0;
            obey(order);
        }
}
