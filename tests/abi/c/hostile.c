/* Clients that mean harm: they write at random over the memory that they share with the daemon, or
 * greet it with nonsense and as many descriptors as a message can carry. The daemon ends their
 * sessions; others do not notice, and in the end it has no descriptor more than at first, and
 * hardly more memory than after a third of it.
 *
 *     hostile URL DAEMON_PID SOCKET ROUNDS */
#define _GNU_SOURCE
#include "daemon.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { OWN_EACH = 100, GROWN_KIB_MAX = 4096, DESCRIPTORS_MAX = 253, GREETINGS = 200 };

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
    for (round = 0; round < 300; round++) {
        /* The first page has the indices; what a send has just written is behind it. */
        size_t within = random_word() % 3 == 0 ? len : 4096;
        if (anz_mcast(group, ANZ_AGREED, "harm", 4, 0) == ANZ_ECLOSED)
            break;
        *(volatile uint64_t *)(memory + random_word() % within / 8 * 8) = nonsense(len);
        (void)!anz_conn_wake(conn);
        if (round % 50 == 0)
            usleep(1000);
    }
    _exit(0);
}

/* Greets with words that mean nothing, and with copies of this descriptor. */
static void greet(const char *path)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
    } control;
    int number;
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
        (void)!sendmsg(fd, &message, MSG_NOSIGNAL);
        close(fd);
    }
    _exit(0);
}

static anz_conn_t *conn;
static anz_group_t *group;

/* This session is served, whatever others do. */
static double seconds_of_own(void)
{
    struct timespec begin, end;
    int round;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (round = 0; round < OWN_EACH; round++) {
        anz_event_t ev;
        IS(anz_mcast(group, ANZ_SAFE, &round, sizeof round, 0), ANZ_OK);
        ev = next_of(conn, ANZ_EV_MESSAGE);
        CHECK(ev.len == sizeof round && memcmp(ev.data, &round, sizeof round) == 0);
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
}

int main(int argc, char **argv)
{
    int round, rounds, before;
    long kib_before = -1, kib;
    double longest = 0;
    CHECK(argc == 5);
    rounds = atoi(argv[4]);
    /* It does not have its parent's session in its memory. */
    if (strcmp(argv[2], "harm") == 0) {
        state = 0x9E3779B97F4A7C15u * (uint64_t)(rounds + 1);
        if (rounds % 4 == 0)
            greet(argv[3]);
        scribble(argv[1]);
    }
    conn = connected_to(argv[1]);
    group = joined(conn, "witness");
    before = descriptors_of(argv[2]);
    for (round = 0; round < rounds; round++) {
        double took;
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            char number[12];
            snprintf(number, sizeof number, "%d", round);
            execl(argv[0], argv[0], argv[1], "harm", argv[3], number, (char *)NULL);
            _exit(127);
        }
        took = seconds_of_own();
        longest = took > longest ? took : longest;
        CHECK(waitpid(child, &status, 0) == child);
        /* What the child wrote over may well have been its own death. */
        CHECK(WIFSIGNALED(status) || status == 0);
        has_given_back(argv[2], before, 1);
        if (round == rounds / 3)
            kib_before = resident_kib_of(argv[2]);
    }
    kib = resident_kib_of(argv[2]);
    printf("%d messages there and back took %.1f ms at most; %ld KiB resident, and %ld after a "
           "third of the rounds\n", OWN_EACH, longest * 1e3, kib, kib_before);
    CHECK(longest < 2 && kib <= kib_before + GROWN_KIB_MAX);
    seconds_of_own();
    IS(anz_conn_close(conn), ANZ_OK);
    puts("ok");
    return 0;
}
