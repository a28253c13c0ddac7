/* Datagrams with a given beginning and noise behind it, to a multicast group, at a steady rate.
 *
 *     strangers GROUP PORT FROM HEADER-IN-HEX AT RATE SECONDS
 *
 * Each has another number at byte AT, 8 bytes long. Prints how many were sent. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LEN = 256, PER_TICK_MAX = 512 };
static const double TICK_S = 0.001;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int count, char **words)
{
    if (count != 8) {
        fprintf(stderr, "strangers GROUP PORT FROM HEADER-IN-HEX AT RATE SECONDS\n");
        return 2;
    }
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[2])) };
    struct in_addr from;
    if (fd < 0 || inet_pton(AF_INET, words[1], &to.sin_addr) != 1 ||
        inet_pton(AF_INET, words[3], &from) != 1 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof from) != 0) {
        perror("strangers");
        return 1;
    }
    static unsigned char bytes[PER_TICK_MAX][LEN];
    static struct iovec parts[PER_TICK_MAX];
    static struct mmsghdr messages[PER_TICK_MAX];
    size_t header_len = strlen(words[4]) / 2, number_at = (size_t)atoi(words[5]);
    if (header_len > LEN || number_at + sizeof(uint64_t) > LEN) {
        fprintf(stderr, "strangers: a datagram has %d bytes\n", LEN);
        return 2;
    }
    uint64_t counter = 1;
    for (int i = 0; i < PER_TICK_MAX; i++) {
        for (size_t at = 0; at < header_len; at++)
            sscanf(words[4] + 2 * at, "%2hhx", &bytes[i][at]);
        for (size_t at = header_len; at < LEN; at++)
            bytes[i][at] = (unsigned char)rand();
        parts[i] = (struct iovec){ bytes[i], LEN };
        messages[i].msg_hdr = (struct msghdr){ .msg_name = &to, .msg_namelen = sizeof to,
                                               .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    double rate = atof(words[6]), begin = now_s(), end = begin + atof(words[7]);
    long sent = 0;
    for (double now; (now = now_s()) < end;) {
        long due = (long)((now - begin) * rate) - sent;
        int some = due > PER_TICK_MAX ? PER_TICK_MAX : (int)due;
        for (int i = 0; i < some; i++, counter++)
            memcpy(bytes[i] + number_at, &counter, sizeof counter);
        int done = some > 0 ? sendmmsg(fd, messages, (unsigned)some, 0) : 0;
        sent += done > 0 ? done : 0;
        if (due <= PER_TICK_MAX)
            usleep((useconds_t)(TICK_S * 1e6));
    }
    printf("%ld\n", sent);
    close(fd);
    return 0;
}
