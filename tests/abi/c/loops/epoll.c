/* A member in a loop of the plainest kind that is edge-triggered: what is readable is said once, so
 * everything is done until there is no more. */
#define _GNU_SOURCE
#include "member.h"
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

static void add(int outer, int fd)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = EPOLLIN | EPOLLET;
    event.data.fd = fd;
    must(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

int main(int argc, char **argv)
{
    int outer = epoll_create1(EPOLL_CLOEXEC), more = 0, over = 0;
    begin(argc, argv);
    add(outer, anz_engine_fd(engine));
    add(outer, anz_conn_fd(conn));
    while (more >= 0 || !over) {
        struct epoll_event event;
        int n = epoll_wait(outer, &event, 1, -1);
        must(n > 0 || errno == EINTR, "epoll_wait");
        if (n > 0 && event.data.fd == anz_conn_fd(conn))
            over = receive(conn, NULL);
        else
            while ((more = anz_engine_process(engine, 1)) > 0)
                ;
    }
    close(outer);
    return end();
}
