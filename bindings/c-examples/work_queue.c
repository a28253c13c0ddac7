/* work_queue.c - a work queue: anybody puts items in, and each is done by one member.
 *
 *     cc -std=c99 work_queue.c -lanasazi -o work_queue
 *     printf 'work sweep\nwork mop\ndone 2\ndump\n' | ./work_queue chores     one member, all of it
 *     ./work_queue chores    in two terminals; type then
 *         await 2            in the first: until both are there
 *         work sweep         in either
 *         dump               in both: the same lines
 *
 * Commands: work TEXT | await MEMBERS (until there are so many) | done ITEMS (until so many are
 * done) | dump. End of input: leave.
 *
 * Messages: "work ID TEXT", "done ID", and "queue" with a line "ID WORKER TEXT" for each item (the
 * worker is - while it is open). Who does an item is a matter of its id and the view, so nobody has
 * to be asked. At a view that brings somebody, one member of each part that came together tells
 * what it has, and everybody keeps all of both: what is done stays done. An item is done at least
 * once: twice if its worker leaves, or a partition begins, before the others hear that it is. */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { ITEMS = 256, MEMBERS = 64, TEXT_LEN = ITEMS * 208 };
static struct item { char id[64], worker[40], text[96]; int reported; } items[ITEMS];
static size_t items_len, members_len, done, mine;
static char members[MEMBERS][40], me[40], told[TEXT_LEN];
static size_t told_len; /* of what we have, until it is sent */
static anz_conn_t *conn;
static anz_group_t *group;
static int over;

static struct item *find(const char *id)
{
    for (size_t at = 0; at < items_len; at++)
        if (strcmp(items[at].id, id) == 0)
            return &items[at];
    return NULL;
}

static void put(const char *id, const char *text)
{
    if (find(id) != NULL || items_len == ITEMS)
        return;
    /* Sorted by id, so that all print the same. */
    size_t at = items_len++;
    for (; at > 0 && strcmp(items[at - 1].id, id) > 0; at--)
        items[at] = items[at - 1];
    memset(&items[at], 0, sizeof items[at]);
    snprintf(items[at].id, sizeof items[at].id, "%s", id);
    snprintf(items[at].text, sizeof items[at].text, "%s", text);
}

/* Of several who did it the one with the lowest name counts, which all see alike. */
static void finish(const char *id, const char *worker)
{
    struct item *item = find(id);
    if (item == NULL || (*item->worker != '\0' && strcmp(item->worker, worker) <= 0))
        return;
    done += *item->worker == '\0';
    snprintf(item->worker, sizeof item->worker, "%s", worker);
}

static int is_mine(const struct item *item)
{
    size_t sum = 0;
    for (const char *c = item->id; *c != '\0'; c++)
        sum += (unsigned char)*c;
    return members_len > 0 && strcmp(members[sum % members_len], me) == 0;
}

static void see(const anz_view_t *view)
{
    char name[40] = "";
    anz_member_t self;
    members_len = view->members_len < MEMBERS ? view->members_len : MEMBERS;
    for (size_t at = 0; at < members_len; at++)
        anz_member_name(conn, &view->members[at], members[at], sizeof members[at]);
    if (anz_conn_self(conn, &self) == ANZ_OK)
        anz_member_name(conn, &self, me, sizeof me);
    anz_member_name(conn, &view->together[0], name, sizeof name);
    printf("* %zu here: %s\n", view->members_len, view->reason);
    if (view->joined_len == 0 || items_len == 0 || strcmp(name, me) != 0)
        return;
    told_len = (size_t)sprintf(told, "queue\n");
    for (struct item *item = items; item < items + items_len; item++)
        told_len += (size_t)sprintf(told + told_len, "%s %s %s\n", item->id,
                                    *item->worker != '\0' ? item->worker : "-", item->text);
}

static void hear(char *message, const char *sender)
{
    char id[64], worker[40], text[96];
    if (sscanf(message, "work %63s %95[^\n]", id, text) == 2)
        put(id, text);
    else if (sscanf(message, "done %63s", id) == 1)
        finish(id, sender);
    else if (strncmp(message, "queue\n", 6) == 0)
        for (char *line = strtok(message + 6, "\n"); line != NULL; line = strtok(NULL, "\n"))
            if (sscanf(line, "%63s %39s %95[^\n]", id, worker, text) == 3) {
                put(id, text);
                if (strcmp(worker, "-") != 0)
                    finish(id, worker);
            }
}

static void receive(void)
{
    static char message[TEXT_LEN];
    char sender[40] = "";
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    while (anz_recv(conn, &ev, 1) > 0) {
        if (ev.type == ANZ_EV_VIEW) {
            see(ev.view);
        } else if (ev.type == ANZ_EV_MESSAGE && ev.len < sizeof message) {
            memcpy(message, ev.data, ev.len);
            message[ev.len] = '\0';
            anz_member_name(conn, &ev.sender, sender, sizeof sender);
            hear(message, sender);
        } else if (ev.type == ANZ_EV_RESUMED) {
            for (size_t at = 0; at < items_len; at++)
                items[at].reported = 0; /* what we said may be lost */
        }
        over |= ev.type == ANZ_EV_CLOSED;
        anz_release(conn, &ev, 1);
    }
}

/* What is ours to do; the doing itself would be here. What finds no room to be sent is sent when
 * there is some: then the descriptor is readable. */
static void work(void)
{
    char message[80];
    if (told_len > 0 && anz_mcast(group, ANZ_AGREED, told, told_len, 0) == ANZ_OK)
        told_len = 0;
    for (struct item *item = items; item < items + items_len; item++) {
        if (*item->worker != '\0' || item->reported || !is_mine(item))
            continue;
        int len = snprintf(message, sizeof message, "done %s", item->id);
        if (anz_mcast(group, ANZ_AGREED, message, (size_t)len, 0) != ANZ_OK)
            return;
        item->reported = 1;
    }
}

/* Carries one command out; 0: not yet. */
static int obey(const char *line)
{
    char message[200];
    size_t wanted;
    if (strncmp(line, "work ", 5) == 0) {
        if (members_len == 0)
            return 0;
        int len = snprintf(message, sizeof message, "work %s.%03zu %.95s", me, mine, line + 5);
        if (anz_mcast(group, ANZ_AGREED, message, (size_t)len, 0) != ANZ_OK)
            return 0;
        return mine++, 1;
    }
    if (sscanf(line, "await %zu", &wanted) == 1)
        return members_len == wanted;
    if (sscanf(line, "done %zu", &wanted) == 1)
        return done >= wanted;
    for (struct item *item = items; strcmp(line, "dump") == 0 && item < items + items_len; item++)
        printf("%s %s by %s\n", item->id, item->text, *item->worker != '\0' ? item->worker : "-");
    return fflush(stdout), 1;
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    char line[160] = "";
    int have_line = 0;
    if (argc < 2)
        return fprintf(stderr, "usage: %s GROUP [URL]\n", argv[0]), 2;
    if (anz_connect(argv[2], NULL, &conn, &err) != ANZ_OK ||
        anz_join(conn, argv[1], 0, NULL, &group) != ANZ_OK)
        return fprintf(stderr, "no queue: %s\n", err.message), 1;
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() knows of every line */
    while (!over) {
        struct pollfd fds[2] = {{anz_conn_fd(conn), POLLIN, 0}, {have_line ? -1 : 0, POLLIN, 0}};
        poll(fds, 2, -1);
        receive();
        work();
        if (!have_line && fds[1].revents != 0 && !(have_line = fgets(line, 160, stdin) != NULL))
            break;
        line[strcspn(line, "\n")] = '\0';
        if (have_line && obey(line))
            have_line = 0;
    }
    return anz_conn_close(conn) != ANZ_OK;
}
