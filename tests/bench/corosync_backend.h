/* The Corosync CPG backend of the benchmark (Debian: corosync, libcpg-dev; link with -lcpg). Same
 * contract as anasazi_backend.h; CPG knows agreed delivery only. */
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { B_TRIES_MAX = 2000 };

static cpg_handle_t b_handle;
static int b_fd;

static void b_deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node,
                      uint32_t pid, void *data, size_t len) {
    (void)handle, (void)group, (void)node, (void)pid;
    on_message(data, len);
}

static void b_change(cpg_handle_t handle, const struct cpg_name *group,
                     const struct cpg_address *members, size_t members_len,
                     const struct cpg_address *left, size_t left_len,
                     const struct cpg_address *joined, size_t joined_len) {
    (void)handle, (void)group, (void)members, (void)left, (void)left_len;
    (void)joined, (void)joined_len;
    on_members((int)members_len);
}

/* Connects and joins the group that $BENCH_GROUP names, or "bench"; 0 = ok. */
static int b_init(void) {
    const char *named = getenv("BENCH_GROUP");
    static cpg_callbacks_t callbacks = {.cpg_deliver_fn = b_deliver, .cpg_confchg_fn = b_change};
    struct cpg_name group = {0};
    if (named == NULL) named = "bench";
    group.length = (uint32_t)snprintf(group.value, sizeof group.value, "%s", named);
    const struct timespec pause = {0, 10000000};
    cs_error_t result = CS_ERR_LIBRARY;
    /* A daemon that has just been started does not answer yet. */
    for (int tries = 0; tries < B_TRIES_MAX && result != CS_OK; tries++) {
        if (tries > 0) nanosleep(&pause, NULL);
        result = cpg_initialize(&b_handle, &callbacks);
    }
    if (result != CS_OK) {
        fprintf(stderr, "corosync: cpg_initialize: error %d\n", (int)result);
        return 1;
    }
    cpg_fd_get(b_handle, &b_fd);
    for (int tries = 0; tries < B_TRIES_MAX; tries++) {
        result = cpg_join(b_handle, &group);
        if (result != CS_ERR_TRY_AGAIN) return result != CS_OK;
        nanosleep(&pause, NULL);
    }
    return 1;
}

/* 0 = queued, 1 = no room now: try again, -1 = error. */
static int b_send(const void *data, size_t len) {
    const struct iovec part = {(void *)data, len};
    cs_error_t result = cpg_mcast_joined(b_handle, CPG_TYPE_AGREED, &part, 1);
    if (result == CS_OK) return 0;
    if (result == CS_ERR_TRY_AGAIN) return 1;
    fprintf(stderr, "corosync: cpg_mcast_joined: error %d\n", (int)result);
    return -1;
}

/* Hands on what is there, or waits for it, about until then (CLOCK_MONOTONIC). */
static void b_dispatch(uint64_t until_ns) {
    struct pollfd wait = {.fd = b_fd, .events = POLLIN};
    uint64_t now = now_ns();
    if (poll(&wait, 1, until_ns > now ? (int)((until_ns - now) / 1000000) : 0) <= 0) return;
    if (cpg_dispatch(b_handle, CS_DISPATCH_ALL) == CS_OK) return;
    fprintf(stderr, "corosync: the daemon is gone\n");
    exit(5);
}
