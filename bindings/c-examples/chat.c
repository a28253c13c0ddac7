/* chat.c - talk in a group: what anybody types reaches all members, in the same order for all.
 *
 *     cc -std=c99 chat.c -lanasazi -o chat
 *     ./chat room                                  in two terminals: they find each other
 *     ./chat -u shm:/run/anasazi/anasazi.sock -n 10 room     leave after ten messages
 */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static anz_conn_t *conn;
static anz_group_t *room;
static long messages_left = -1; /* leave after so many; -1: stay */
static int writable = 1;        /* no send has been refused for want of room */
static int over;                /* we have left */

static void show(const anz_event_t *ev)
{
    char who[40];
    switch (ev->type) {
    case ANZ_EV_VIEW:
        printf("* %zu here: %s\n", ev->view->members_len, ev->view->reason);
        break;
    case ANZ_EV_MESSAGE:
        anz_member_name(conn, &ev->sender, who, sizeof who);
        printf("%s: %.*s\n", who, (int)ev->len, (const char *)ev->data);
        if (messages_left > 0 && --messages_left == 0)
            anz_leave(room);
        break;
    case ANZ_EV_WRITABLE:
        writable = 1;
        break;
    case ANZ_EV_SUSPENDED:
        printf("* %.*s\n", (int)ev->len, (const char *)ev->data);
        break;
    case ANZ_EV_RESUMED:
        printf("* connected again\n");
        break;
    case ANZ_EV_LEFT:
    case ANZ_EV_CLOSED:
        if (ev->status != ANZ_OK)
            printf("* %s: %.*s\n", anz_status_name(ev->status), (int)ev->len,
                   (const char *)ev->data);
        over = 1;
        break;
    }
}

static void receive(void)
{
    anz_event_t events[16];
    int n, i;
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(conn, events, 16)) > 0) {
        for (i = 0; i < n; i++)
            show(&events[i]);
        anz_release(conn, events, (size_t)n);
    }
    fflush(stdout);
}

/* Sends the whole lines in the buffer, as far as there is room; keeps the rest. */
static size_t send_lines(char *text, size_t len, int at_end)
{
    size_t start = 0, i;
    for (i = 0; i < len; i++) {
        size_t line_len = i - start + (text[i] != '\n');
        if (text[i] != '\n' && !(at_end && i + 1 == len))
            continue;
        if (anz_mcast(room, ANZ_AGREED, text + start, line_len, 0) == ANZ_EAGAIN) {
            writable = 0; /* ANZ_EV_WRITABLE will come */
            break;
        }
        start = i + 1;
    }
    memmove(text, text + start, len - start);
    return len - start;
}

int main(int argc, char **argv)
{
    const char *url = NULL;
    char text[4096];
    size_t len = 0;
    int option, at_end = 0;
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_status_t status;

    while ((option = getopt(argc, argv, "u:n:")) != -1) {
        if (option == 'u')
            url = optarg;
        else if (option == 'n')
            messages_left = atol(optarg);
        else
            return 2;
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: %s [-u URL] [-n MESSAGES] GROUP\n", argv[0]);
        return 2;
    }
    if (anz_connect(url, NULL, &conn, &err) != ANZ_OK) {
        fprintf(stderr, "%s: %s\n", anz_status_name(err.code), err.message);
        return 1;
    }
    status = anz_join(conn, argv[optind], 0, NULL, &room);
    if (status != ANZ_OK) {
        fprintf(stderr, "joining %s: %s\n", argv[optind], anz_status_string(status));
        return 1;
    }

    while (!over) {
        struct pollfd fds[2];
        fds[0].fd = anz_conn_fd(conn);
        fds[1].fd = at_end || !writable || len == sizeof text ? -1 : STDIN_FILENO;
        fds[0].events = fds[1].events = POLLIN;
        if (poll(fds, 2, -1) < 0)
            break;
        if (fds[1].fd >= 0 && fds[1].revents != 0) {
            ssize_t got = read(STDIN_FILENO, text + len, sizeof text - len);
            if (got > 0)
                len += (size_t)got;
            else
                at_end = 1;
        }
        receive();
        if (writable && len > 0 && !over)
            len = send_lines(text, len, at_end || len == sizeof text);
        if (at_end && len == 0 && messages_left < 0)
            anz_leave(room); /* what was sent before is delivered before */
    }
    anz_conn_close(conn);
    return 0;
}
