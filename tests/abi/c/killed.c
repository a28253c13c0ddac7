/* Clients of a daemon are stopped and killed in the middle of sends. What they sent before is
 * whole, the others go on meanwhile, and in the end the daemon has no descriptor more than at
 * first, and hardly more memory than after a third of it.
 *
 *     killed URL DAEMON_PID [ROUNDS]       the program starts its victims itself */
#define _GNU_SOURCE
#include "daemon.h"
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OWN_EACH = 100, GROWN_KIB_MAX = 4096 };

struct body {
    uint64_t sender, number;
    char rest[240];
};

static anz_conn_t *conn;
static anz_group_t *group;
/* Of this program, and of the present victim. */
static uint64_t sent, received, victim_next, victim;
static size_t members;

/* Sends as fast as it can, until it is killed. */
static void be_a_victim(const char *url, const char *number)
{
    struct body body;
    anz_status_t status;
    memset(&body, 0, sizeof body);
    body.sender = strtoull(number, NULL, 10);
    conn = connected_to(url);
    group = joined(conn, "killed");
    /* Some leave a child behind, with copies of all their descriptors. Nobody sees over TCP that
     * it is not they. */
    if (body.sender % 3 == 0 && strncmp(url, "tcp:", 4) != 0 && fork() == 0) {
        /* Whoever reads what this program prints need not wait for this child. */
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
        alarm(20);
        for (;;)
            pause();
    }
    for (;;) {
        anz_event_t ev;
        memset(&ev, 0, sizeof ev);
        ev.struct_size = sizeof ev;
        status = anz_mcast(group, ANZ_AGREED | ANZ_NO_SELF, &body, sizeof body, 0);
        body.number += status == ANZ_OK;
        CHECK(status == ANZ_OK || status == ANZ_EAGAIN);
        while (anz_recv(conn, &ev, 1) > 0)
            IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
}

/* Takes in one event. */
static void take_in(void)
{
    anz_event_t ev = next_event(conn);
    struct body body;
    if (ev.type == ANZ_EV_VIEW) {
        members = ev.view->members_len;
    } else if (ev.type == ANZ_EV_MESSAGE) {
        CHECK(ev.len == sizeof body);
        memcpy(&body, ev.data, sizeof body);
        if (body.sender == 0) {
            CHECK(body.number == received++);
        } else {
            CHECK(body.sender == victim);
            CHECK(body.number == victim_next++);
        }
    }
    IS(anz_release(conn, &ev, 1), ANZ_OK);
}

/* This session is served, whatever becomes of others. */
static void send_and_get_back(void)
{
    struct body body;
    int i;
    memset(&body, 0, sizeof body);
    for (i = 0; i < OWN_EACH; i++) {
        body.number = sent++;
        while (anz_mcast(group, ANZ_SAFE, &body, sizeof body, 0) == ANZ_EAGAIN)
            take_in();
        while (received < sent)
            take_in();
    }
}

static double seconds_of_own(void)
{
    int64_t begin = deadline_after_s(0);
    send_and_get_back();
    return seconds_since(begin);
}

/* At its best: others use the machine as well. Looked at again until it is below. */
static double best_of_own(double below)
{
    double best = seconds_of_own();
    int n;
    for (n = 0; n < 9 || (best >= below && n < 200); n++) {
        double next = seconds_of_own();
        best = next < best ? next : best;
    }
    return best;
}

static pid_t start_victim(const char *program, const char *url)
{
    char number[24];
    pid_t child;
    snprintf(number, sizeof number, "%llu", (unsigned long long)++victim);
    victim_next = 0;
    child = fork();
    if (child == 0) {
        execl(program, program, url, "victim", number, (char *)NULL);
        _exit(127);
    }
    CHECK(child > 0);
    while (victim_next < 500)
        take_in();
    return child;
}

int main(int argc, char **argv)
{
    int rounds = argc > 3 ? atoi(argv[3]) : 12, round, before, mappings;
    double alone = 0, beside;
    long kib_before, kib;
    CHECK(argc >= 3);
    if (strcmp(argv[2], "victim") == 0)
        be_a_victim(argv[1], argv[3]);
    conn = connected_to(argv[1]);
    group = joined(conn, "killed");
    before = descriptors_of(argv[2]);
    mappings = mappings_of(argv[2]);
    kib_before = -1;
    for (round = 0; round < rounds; round++) {
        pid_t child;
        uint64_t after;
        if (round == 0)
            alone = best_of_own(1e9);
        child = start_victim(argv[0], argv[1]);
        usleep((useconds_t)(round * 137 % 1000));
        CHECK(kill(child, SIGSTOP) == 0);
        send_and_get_back();
        if (round == 0) {
            /* Each of these messages is for the one that is stopped, too. */
            beside = best_of_own(2 * alone);
            printf("%d messages there and back took %.1f ms beside a stopped client, %.1f before\n",
                   OWN_EACH, beside * 1e3, alone * 1e3);
            CHECK(beside < 2 * alone);
        }
        CHECK(kill(child, SIGCONT) == 0);
        for (after = victim_next + 500; victim_next < after;)
            take_in();
        usleep((useconds_t)(round * 379 % 1000));
        CHECK(kill(child, SIGKILL) == 0);
        CHECK(waitpid(child, NULL, 0) == child);
        while (members != 1)
            take_in();
        send_and_get_back();
        has_given_back(argv[2], before, victim % 3 == 0 && strncmp(argv[1], "unix:", 5) == 0);
        /* The first ones fill what is kept for later ones. */
        if (round == rounds / 3)
            kib_before = own_kib_of(argv[2]);
    }
    kib = own_kib_of(argv[2]);
    printf("%llu own messages, %ld KiB of its own, and %ld after a third of the rounds\n",
           (unsigned long long)received, kib, kib_before);
    CHECK(kib <= kib_before + GROWN_KIB_MAX && mappings_of(argv[2]) == mappings);
    IS(anz_conn_close(conn), ANZ_OK);
    puts("ok");
    return 0;
}
