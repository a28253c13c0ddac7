/* kv.c - a replicated key-value store: all apply the same commands in the same order.
 *
 *     cc -std=c99 kv.c -lanasazi -o kv
 *     printf 'set color blue\nawait 1 1\ndump\n' | ./kv store     one replica
 *     ./kv store                                                 in two terminals; type then
 *         await 2 0          in the first: until both are there
 *         set color blue     in the first
 *         get color          in the second: blue
 *
 * Commands: set KEY VALUE | get KEY | dump | await REPLICAS VERSION (until there are so many
 * replicas, and the state has had so many commands; version 2 never comes where each of two has set
 * something alone, since only one of two states stays).
 *
 * Who joins must get the state, and after a partition two states meet. So at every view that
 * brings somebody, each member tells what it has at this place in the order, and commands that
 * come meanwhile wait. When all have spoken, everybody takes the state that has had most commands
 * (the first one delivered, of equals), and then applies what waited. */
#define _POSIX_C_SOURCE 200809L
#include <anasazi.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES = 256, TEXT_LEN = ENTRIES * 160 };
static struct { char key[32], value[96]; } entries[ENTRIES];
static size_t entries_len, replicas, spoken;
static uint64_t version, best_version; /* commands applied */
static uint64_t meeting;               /* the view in which states are told, or 0 */
static char told[TEXT_LEN], best[TEXT_LEN], waiting[TEXT_LEN];
static size_t told_len; /* of our state, until it is sent */
static anz_group_t *group;
static int over;

static const char *find(const char *key, size_t *at)
{
    for (*at = 0; *at < entries_len && strcmp(entries[*at].key, key) != 0; ++*at) {}
    return *at < entries_len ? entries[*at].value : NULL;
}

static void apply(const char *command)
{
    char key[32], value[96];
    size_t at;
    if (sscanf(command, "set %31s %95[^\n]", key, value) != 2)
        return;
    version++;
    if (find(key, &at) == NULL && entries_len < ENTRIES)
        strcpy(entries[entries_len++].key, key);
    if (at < entries_len)
        strcpy(entries[at].value, value);
}

static void apply_lines(char *lines)
{
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n"))
        apply(line);
    *lines = '\0';
}

static size_t print_state(char *to)
{
    size_t at, len = 0;
    for (at = 0, *to = '\0'; at < entries_len; at++)
        len += (size_t)sprintf(to + len, "set %s %s\n", entries[at].key, entries[at].value);
    return len;
}

static void see(const anz_view_t *view)
{
    replicas = view->members_len;
    printf("* %zu here: %s\n", replicas, view->reason);
    if (view->joined_len == 0 && meeting == 0)
        return;
    apply_lines(waiting); /* of a meeting that this view interrupts */
    meeting = view->id.ring_seq << 32 ^ view->id.ordinal << 8 ^ view->id.sub;
    spoken = 0;
    told_len = (size_t)sprintf(told, "state %" PRIu64 " %" PRIu64 "\n", meeting, version);
    told_len += print_state(told + told_len);
}

static void hear(const char *message)
{
    uint64_t of_meeting = 0, of_version = 0;
    int is_state = strchr(message, '\n') != NULL &&
                   sscanf(message, "state %" SCNu64 " %" SCNu64, &of_meeting, &of_version) == 2;
    if (!is_state && meeting == 0)
        apply(message);
    else if (!is_state && strlen(waiting) + strlen(message) + 2 < sizeof waiting)
        strcat(strcat(waiting, message), "\n");
    if (!is_state || of_meeting != meeting)
        return; /* the latter: of a meeting that a later view has interrupted */
    if (++spoken == 1 || of_version > best_version) {
        best_version = of_version;
        strcpy(best, strchr(message, '\n') + 1);
    }
    if (spoken == replicas) {
        entries_len = 0;
        apply_lines(best);
        version = best_version;
        meeting = 0;
        printf("* %zu agree, after %" PRIu64 " commands\n", replicas, version);
        apply_lines(waiting);
    }
}

static void receive(anz_conn_t *conn)
{
    static char message[TEXT_LEN];
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    while (anz_recv(conn, &ev, 1) > 0) {
        if (ev.type == ANZ_EV_VIEW) {
            see(ev.view);
        } else if (ev.type == ANZ_EV_MESSAGE && ev.len < sizeof message) {
            memcpy(message, ev.data, ev.len);
            message[ev.len] = '\0';
            hear(message);
        }
        over |= ev.type == ANZ_EV_CLOSED;
        anz_release(conn, &ev, 1);
    }
    fflush(stdout);
}

/* Carries one command of the user out; 0: not yet. */
static int obey(const char *line)
{
    static char text[TEXT_LEN], key[32];
    uint64_t at_version;
    size_t at, wanted;
    if (strncmp(line, "set ", 4) == 0)
        return anz_mcast(group, ANZ_AGREED, line, strlen(line), 0) != ANZ_EAGAIN;
    if (sscanf(line, "await %zu %" SCNu64, &wanted, &at_version) == 2)
        return meeting == 0 && replicas == wanted && version >= at_version;
    if (sscanf(line, "get %31s", key) == 1)
        printf("%s\n", find(key, &at) != NULL ? entries[at].value : "(none)");
    else if (strcmp(line, "dump") == 0 && (print_state(text), 1))
        printf("%sversion %" PRIu64 "\n", text, version);
    return fflush(stdout), 1;
}

int main(int argc, char **argv)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *conn;
    char line[160] = "";
    int have_line = 0;
    if (argc < 2)
        return fprintf(stderr, "usage: %s GROUP [URL]\n", argv[0]), 2;
    if (anz_connect(argv[2], NULL, &conn, &err) != ANZ_OK ||
        anz_join(conn, argv[1], 0, NULL, &group) != ANZ_OK)
        return fprintf(stderr, "no store: %s\n", err.message), 1;
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() knows of every line */
    while (!over) {
        struct pollfd fds[2] = {{anz_conn_fd(conn), POLLIN, 0}, {have_line ? -1 : 0, POLLIN, 0}};
        poll(fds, 2, -1);
        receive(conn);
        if (told_len > 0 && anz_mcast(group, ANZ_AGREED, told, told_len, 0) != ANZ_EAGAIN)
            told_len = 0;
        if (!have_line && fds[1].revents != 0 && !(have_line = fgets(line, 160, stdin) != NULL))
            break;
        line[strcspn(line, "\n")] = '\0';
        if (have_line && obey(line))
            have_line = 0;
    }
    return anz_conn_close(conn) != ANZ_OK;
}
