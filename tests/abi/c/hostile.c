/* Clients that mean harm: they write at random over the memory that they share with the daemon, or
 * greet it with nonsense and as many descriptors as a message can carry. The daemon ends their
 * sessions; others are hardly slower than while another daemon is harmed so, and in the end it has
 * no descriptor more than at first, and hardly more memory than after a third of it.
 *
 *     hostile URL DAEMON_PID SOCKET ROUNDS OTHER_URL OTHER_SOCKET */
#define _GNU_SOURCE
#include "daemon.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { OWN_EACH = 100, GROWN_KIB_MAX = 4096, DESCRIPTORS_MAX = 253, GREETINGS = 200 };
/* Of rounds beside such clients, and how much longer they may take at the median. */
enum { TIMES_MAX = 100000, SLOWER_MAX = 3 };
/* How such a client ends: nothing came of it, or the daemon has noticed. */
enum { UNNOTICED = 0, NOTICED = 2 };

static uint64_t state;

static uint64_t random_word(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* The memory that this process shares with the daemon. */
static char *shared(size_t *len)
{
    char line[400];
    unsigned long begin = 0, end = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, "anasazi-session") != NULL && sscanf(line, "%lx-%lx", &begin, &end) == 2)
            break;
    fclose(maps);
    CHECK(begin != 0 && end > begin);
    *len = end - begin;
    return (char *)begin;
}

/* What a word of a ring could be: nothing, little, a place in it, anything. */
static uint64_t nonsense(size_t len)
{
    uint64_t word = random_word();
    switch (word % 5) {
    case 0:
        return 0;
    case 1:
        return word >> 56;
    case 2:
        return word % len & ~(uint64_t)7;
    case 3:
        return ~(uint64_t)0 - (word >> 56);
    default:
        return word;
    }
}

/* Writes over it, in the middle of sends, until the daemon has had enough or a while has passed. */
static void scribble(const char *url)
{
    anz_conn_t *conn = connected_to(url);
    anz_group_t *group = joined(conn, "hostile");
    size_t len;
    char *memory = shared(&len);
    int round;
    for (round = 0; round < 1000; round++) {
        /* The first page has the indices; headers stand before the messages. */
        size_t near = random_word() % 8 * 8, at = random_word() % 4096 / 8 * 8;
        uint64_t word = nonsense(len);
        anz_claim_t claim;
        anz_event_t ev;
        memset(&ev, 0, sizeof ev);
        ev.struct_size = sizeof ev;
        if (anz_claim(group, 8, &claim) == ANZ_OK) {
            at = (size_t)((char *)claim.data - memory) - 32 + near;
            (void)!anz_commit(group, &claim, ANZ_AGREED, 0);
        }
        *(volatile uint64_t *)(memory + at) = word;
        (void)!anz_conn_wake(conn);
        if (anz_recv(conn, &ev, 1) > 0) {
            if (ev.type == ANZ_EV_SUSPENDED || ev.type == ANZ_EV_CLOSED)
                _exit(NOTICED);
            anz_release(conn, &ev, 1);
        }
        if (round % 50 == 0)
            usleep(1000);
    }
    _exit(UNNOTICED);
}

/* Greets with words that mean nothing, and with copies of this descriptor. */
static void greet(const char *path)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
    } control;
    int number, answered = 0;
    for (number = 0; number < GREETINGS; number++) {
        struct sockaddr_un address;
        struct msghdr message;
        struct iovec part;
        uint64_t words[32];
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), at;
        int *carried = (int *)CMSG_DATA(&control.header);
        CHECK(fd >= 0);
        memset(&address, 0, sizeof address);
        address.sun_family = AF_UNIX;
        strncpy(address.sun_path, path, sizeof address.sun_path - 1);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
            CHECK(errno == EAGAIN || errno == ECONNREFUSED);
            close(fd);
            usleep(1000);
            continue;
        }
        for (at = 0; at < 32; at++)
            words[at] = random_word();
        memset(&message, 0, sizeof message);
        memset(&control, 0, sizeof control);
        part.iov_base = words;
        part.iov_len = random_word() % sizeof words + 1;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * DESCRIPTORS_MAX);
        for (at = 0; at < DESCRIPTORS_MAX; at++)
            carried[at] = fd;
        /* The refusal is in words. */
        if (sendmsg(fd, &message, MSG_NOSIGNAL) > 0 && recv(fd, words, sizeof words, 0) > 0)
            answered++;
        close(fd);
    }
    _exit(answered > 0 ? NOTICED : UNNOTICED);
}

static anz_conn_t *conn;
static anz_group_t *group;

/* This session is served, whatever others do. */
static double seconds_of_own(void)
{
    int64_t begin = deadline_after_s(0);
    int round;
    for (round = 0; round < OWN_EACH; round++) {
        anz_event_t ev;
        IS(anz_mcast(group, ANZ_SAFE, &round, sizeof round, 0), ANZ_OK);
        ev = next_of(conn, ANZ_EV_MESSAGE);
        CHECK(ev.len == sizeof round && memcmp(ev.data, &round, sizeof round) == 0);
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
    return seconds_since(begin);
}

static int in_order(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median(double *all, int count)
{
    CHECK(count > 0);
    qsort(all, (size_t)count, sizeof *all, in_order);
    return all[count / 2];
}

/* A client that means harm, as a process that does not have its parent's session in its memory. */
static pid_t start(char **argv, const char *url, const char *socket, int round)
{
    char number[12];
    pid_t child = fork();
    CHECK(child >= 0);
    snprintf(number, sizeof number, "%d", round);
    if (child == 0) {
        execl(argv[0], argv[0], url, "harm", socket, number, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void mean_harm(char **argv)
{
    int round = atoi(argv[4]);
    state = 0x9E3779B97F4A7C15u * (uint64_t)(round + 1);
    /* It may have written over what it waits for. */
    alarm(10);
    if (round % 4 == 0)
        greet(argv[3]);
    scribble(argv[1]);
}

/* How long messages take there and back. */
struct times {
    double each[TIMES_MAX];
    int count;
};

/* Until it ends; whether it was noticed. */
static int beside_it(pid_t child, struct times *times)
{
    int status;
    pid_t ended;
    while ((ended = waitpid(child, &status, WNOHANG)) == 0 && times->count < TIMES_MAX)
        times->each[times->count++] = seconds_of_own();
    CHECK(ended == child);
    /* The memory that it writes to is gone with its session, and what it wrote over may have been
     * its own. */
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == UNNOTICED
          || WEXITSTATUS(status) == NOTICED);
    return WIFEXITED(status) && WEXITSTATUS(status) == NOTICED;
}

int main(int argc, char **argv)
{
    static struct times here, elsewhere;
    int round, rounds, before, mappings, noticed[2] = {0, 0};
    long kib_before = -1, kib;
    double alone, beside;
    if (argc == 5 && strcmp(argv[2], "harm") == 0)
        mean_harm(argv);
    CHECK(argc == 7);
    rounds = atoi(argv[4]);
    conn = connected_to(argv[1]);
    group = joined(conn, "witness");
    before = descriptors_of(argv[2]);
    mappings = mappings_of(argv[2]);
    for (round = 0; round < rounds; round++) {
        (void)beside_it(start(argv, argv[5], argv[6], round), &elsewhere);
        noticed[round % 4 == 0] += beside_it(start(argv, argv[1], argv[3], round), &here);
        has_given_back(argv[2], before, 1);
        if (round == rounds / 3)
            kib_before = own_kib_of(argv[2]);
    }
    alone = median(elsewhere.each, elsewhere.count);
    beside = median(here.each, here.count);
    kib = own_kib_of(argv[2]);
    printf("%d messages there and back took %.1f ms while another daemon was harmed, and %.1f ms "
           "beside %d clients that harmed this one; of these %d scribblers and %d greeters were "
           "noticed; %ld KiB of its own, %ld after a third\n", OWN_EACH, alone * 1e3, beside * 1e3,
           rounds, noticed[0], noticed[1], kib, kib_before);
    CHECK(beside < SLOWER_MAX * alone);
    CHECK(noticed[0] > 0 && noticed[1] == (rounds + 3) / 4);
    CHECK(kib <= kib_before + GROWN_KIB_MAX && mappings_of(argv[2]) == mappings);
    seconds_of_own();
    IS(anz_conn_close(conn), ANZ_OK);
    puts("ok");
    return 0;
}
