/* leader.c - who leads: the first member of the view, whom all members see alike.
 *
 *     cc -std=c99 leader.c -lanasazi -o leader
 *     ./leader office                        in two terminals: the same leader; end the first with
 *                                            Ctrl-D, and the second leads
 *     printf 'await 2\nleader\n' | ./leader office shm:/run/anasazi/anasazi.sock
 *
 * Commands: await MEMBERS (until there are so many) | leader. End of input: leave.
 *
 * In a partition each part has a leader of its own: who may act on it is for a majority to say. */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static anz_conn_t *conn;
static char leader[40];
static size_t members;
static int over;

static void show(void)
{
    printf("leader %s of %zu\n", leader, members);
    fflush(stdout);
}

static void receive(void)
{
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    while (anz_recv(conn, &ev, 1) > 0) {
        if (ev.type == ANZ_EV_VIEW) {
            members = ev.view->members_len;
            anz_member_name(conn, &ev.view->members[0], leader, sizeof leader);
            show();
        }
        over |= ev.type == ANZ_EV_CLOSED;
        anz_release(conn, &ev, 1);
    }
}

/* Carries one command out; 0: not yet. */
static int obey(const char *line)
{
    size_t wanted;
    if (sscanf(line, "await %zu", &wanted) == 1)
        return members == wanted;
    if (strcmp(line, "leader") == 0 && members > 0)
        show();
    return strcmp(line, "leader") != 0 || members > 0;
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_group_t *group;
    char line[160] = "";
    int have_line = 0;
    if (argc < 2)
        return fprintf(stderr, "usage: %s GROUP [URL]\n", argv[0]), 2;
    if (anz_connect(argv[2], NULL, &conn, &err) != ANZ_OK ||
        anz_join(conn, argv[1], 0, NULL, &group) != ANZ_OK)
        return fprintf(stderr, "no group: %s\n", err.message), 1;
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() knows of every line */
    while (!over) {
        struct pollfd fds[2] = {{anz_conn_fd(conn), POLLIN, 0}, {have_line ? -1 : 0, POLLIN, 0}};
        poll(fds, 2, -1);
        receive();
        if (!have_line && fds[1].revents != 0 && !(have_line = fgets(line, 160, stdin) != NULL))
            break;
        line[strcspn(line, "\n")] = '\0';
        if (have_line && obey(line))
            have_line = 0;
    }
    return anz_conn_close(conn) != ANZ_OK;
}
