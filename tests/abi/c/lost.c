/* Sends messages with tags to a daemon that is killed again and again. Each that was accepted has
 * exactly one end: its own delivery, or a receipt that says that it was lost with the daemon.
 *
 *     lost URL [fork]      until standard input ends; with a child that has copies of everything */
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

enum { TAGS_MAX = 4000000, UNDER_WAY_MAX = 3000 };
enum { UNSENT, UNDER_WAY, DELIVERED, LOST };
static unsigned char state[TAGS_MAX];
static uint64_t tag = 1, delivered, lost;
static anz_conn_t *conn;
static anz_group_t *group;

static uint64_t under_way(void)
{
    return tag - 1 - delivered - lost;
}

static void ends(uint64_t which, int how)
{
    CHECK(which < tag && state[which] == UNDER_WAY);
    state[which] = (unsigned char)how;
    delivered += how == DELIVERED;
    lost += how == LOST;
}

static void take(const anz_event_t *ev)
{
    switch (ev->type) {
    case ANZ_EV_MESSAGE:
        CHECK(ev->tag != 0 && ev->len == sizeof ev->tag);
        ends(ev->tag, DELIVERED);
        break;
    case ANZ_EV_RECEIPT: {
        const anz_receipt_t *receipt = ev->data;
        CHECK(ev->len == sizeof *receipt && receipt->struct_size == sizeof *receipt);
        CHECK(ev->group == group && receipt->tag == ev->tag && receipt->status == ev->status);
        IS(ev->status, ANZ_ELOST);
        ends(ev->tag, LOST);
        break;
    }
    case ANZ_EV_SUSPENDED:
        puts("suspended");
        break;
    case ANZ_EV_RESUMED:
        puts("resumed");
        break;
    case ANZ_EV_CLOSED:
        fprintf(stderr, "closed: %s\n", anz_status_name(ev->status));
        exit(1);
    }
}

static void receive(void)
{
    anz_event_t events[64];
    int n, at;
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(conn, events, 64)) > 0) {
        for (at = 0; at < n; at++)
            take(&events[at]);
        IS(anz_release(conn, events, (size_t)n), ANZ_OK);
    }
    CHECK(n == 0);
    fflush(stdout);
}

/* Does nothing, as long as its parent lives. */
static void have_a_child(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    int64_t until;
    int enough = 0;
    CHECK(argc == 2 || argc == 3);
    if (anz_connect(argv[1], NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    IS(anz_join(conn, "room", 0, NULL, &group), ANZ_OK);
    if (argc == 3)
        have_a_child();
    puts("ready");
    while (!enough) {
        struct pollfd fds[2] = {{0, POLLIN, 0}, {0, POLLIN, 0}};
        int sent = 0;
        while (under_way() < UNDER_WAY_MAX && sent < 100 && tag < TAGS_MAX) {
            anz_status_t status = anz_mcast(group, tag % 3 == 0 ? ANZ_SAFE : ANZ_AGREED, &tag,
                                            sizeof tag, tag);
            if (status == ANZ_EAGAIN)
                break;
            IS(status, ANZ_OK);
            state[tag++] = UNDER_WAY;
            sent++;
        }
        fds[1].fd = anz_conn_fd(conn);
        poll(fds, 2, sent > 0 ? 0 : 10);
        receive();
        enough = fds[0].revents != 0;
    }
    for (until = deadline_after_s(20); under_way() > 0;) {
        CHECK(deadline_after_s(0) < until);
        anz_conn_wait(conn, deadline_after_s(1));
        receive();
    }
    printf("delivered %lu\nlost %lu\n", (unsigned long)delivered, (unsigned long)lost);
    IS(anz_conn_close(conn), ANZ_OK);
    puts("ok");
    return 0;
}
