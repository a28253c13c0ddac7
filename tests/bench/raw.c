/* The network without any protocol: what it carries at most from senders to receivers of one
 * multicast group, in runs of equal datagrams (UDP_SEGMENT, UDP_GRO).
 *
 *     raw ADDRESS GROUP PORT LEN SECONDS send|receive
 *
 * Prints how many bytes a second it received, a line of JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { BATCH = 16, RUN_LEN_MAX = 65000, ROOM = 32 << 20 };

static int to, from;
static volatile int is_over;
static uint64_t received;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static void *receive(void *unused)
{
    static char buffers[BATCH][1 << 16];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    int i, count;
    (void)unused;
    memset(messages, 0, sizeof messages);
    for (i = 0; i < BATCH; i++) {
        vectors[i].iov_base = buffers[i];
        vectors[i].iov_len = sizeof buffers[i];
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!is_over) {
        count = recvmmsg(from, messages, BATCH, MSG_WAITFORONE, NULL);
        for (i = 0; i < count; i++)
            received += messages[i].msg_len;
    }
    return NULL;
}

static void open_both(const char *address, const char *group, int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct ip_mreq member;
    struct timeval soon = {0, 100000};
    int on = 1, off = 0, room = ROOM;
    member.imr_multiaddr.s_addr = inet_addr(group);
    member.imr_interface.s_addr = inet_addr(address);
    from = socket(AF_INET, SOCK_DGRAM, 0);
    to = socket(AF_INET, SOCK_DGRAM, 0);
    must(from >= 0 && to >= 0, "socket");
    must(!setsockopt(from, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
    (void)setsockopt(from, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    (void)setsockopt(from, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    must(!setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), "SO_RCVTIMEO");
    name.sin_addr = member.imr_multiaddr;
    must(!bind(from, (struct sockaddr *)&name, sizeof name), "bind");
    must(!setsockopt(from, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member), "join");
    must(!setsockopt(to, IPPROTO_IP, IP_MULTICAST_IF, &member.imr_interface,
                     sizeof member.imr_interface), "IP_MULTICAST_IF");
    must(!setsockopt(to, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof off), "IP_MULTICAST_LOOP");
    must(!connect(to, (struct sockaddr *)&name, sizeof name), "connect");
}

/* As fast as it goes, in runs where the system takes them. */
static void send_until(double end_s, int len)
{
    static char run[RUN_LEN_MAX];
    int run_len = RUN_LEN_MAX / len * len;
    if (setsockopt(to, IPPROTO_UDP, UDP_SEGMENT, &len, sizeof len) != 0)
        run_len = len;
    while (now_s() < end_s)
        if (send(to, run, (size_t)run_len, 0) < 0)
            usleep(50);
}

int main(int count, char **arguments)
{
    pthread_t receiver;
    double begin_s, seconds;
    int len;
    if (count != 7) {
        fprintf(stderr, "usage: raw ADDRESS GROUP PORT LEN SECONDS send|receive\n");
        return 2;
    }
    len = atoi(arguments[4]);
    seconds = atof(arguments[5]);
    open_both(arguments[1], arguments[2], atoi(arguments[3]));
    must(pthread_create(&receiver, NULL, receive, NULL) == 0, "a thread");
    /* Until all are there. */
    usleep(300000);
    received = 0;
    begin_s = now_s();
    if (!strcmp(arguments[6], "send"))
        send_until(begin_s + seconds, len);
    else
        usleep((useconds_t)(seconds * 1e6));
    seconds = now_s() - begin_s;
    is_over = 1;
    printf("{\"mb_s\":%.1f}\n", (double)received / seconds / 1e6);
    must(pthread_join(receiver, NULL) == 0, "join");
    return 0;
}
