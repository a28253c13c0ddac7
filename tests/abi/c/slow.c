/* A session that does not read what another one sends: closed, or missing messages, or waited for,
 * as it chose. Each time by an engine of its own, in this process. */
#define _GNU_SOURCE
#include "check.h"

#define OK(call) IS(call, ANZ_OK)

enum { LEN = 4096, BACKLOG = 16 << 20, MUCH = 12000 }; /* 48 MiB in all */

struct pair {
    anz_conn_t *reader, *sender;
    anz_group_t *read, *write;
};

static struct pair pair_with(const char *policy)
{
    struct pair it;
    char url[64], text[32];
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *cfg;
    OK(anz_config_new(&cfg));
    snprintf(text, sizeof text, "%d", BACKLOG);
    OK(anz_config_set(cfg, "client.backlog_len", text, &err));
    OK(anz_config_set(cfg, "message.len_max", "65536", &err));
    OK(anz_config_set(cfg, "session.receive_ring_len", "262144", &err));
    OK(anz_config_set(cfg, "session.send_ring_len", "262144", &err));
    OK(anz_config_set(cfg, "session.slow_policy", policy, &err));
    snprintf(url, sizeof url, "inproc:%s", policy);
    OK(anz_connect(url, cfg, &it.reader, &err));
    OK(anz_connect(url, cfg, &it.sender, &err));
    /* What is sent before its view is not for it. */
    it.read = joined(it.reader, "room");
    OK(anz_join(it.sender, "room", ANZ_JOIN_SEND_ONLY, NULL, &it.write));
    anz_config_free(cfg);
    return it;
}

/* 1 if it was sent, 0 if there was no room for it in so many seconds. */
static int send_one(struct pair *it, uint64_t number, int seconds)
{
    static unsigned char message[LEN];
    anz_status_t status;
    int tries;
    memcpy(message, &number, sizeof number);
    for (tries = 0; tries < 2; tries++) {
        status = anz_mcast(it->write, ANZ_AGREED, message, LEN, 0);
        if (status != ANZ_EAGAIN)
            break;
        if (seconds == 0)
            return 0;
        status = anz_group_wait_writable(it->write, deadline_after_s(seconds));
        if (status == ANZ_ETIMEDOUT)
            return 0;
    }
    OK(status);
    return 1;
}

static int contains(const anz_event_t *event, const char *words)
{
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)event->len, (const char *)event->data);
    return strstr(text, words) != NULL;
}

/* Reads what is there: counts messages and what is missing, and checks that they are in order. */
static void read_all(struct pair *it, uint64_t *next, uint64_t *missed, anz_status_t *closed)
{
    anz_event_t events[64];
    int n, i;
    events[0].struct_size = sizeof events[0];
    while ((n = anz_recv(it->reader, events, 64)) > 0) {
        for (i = 0; i < n; i++) {
            uint64_t number = 0;
            if (events[i].type == ANZ_EV_MESSAGE || events[i].type == ANZ_EV_GAP)
                memcpy(&number, events[i].data, sizeof number);
            if (events[i].type == ANZ_EV_MESSAGE) {
                CHECK(number == *next && events[i].len == LEN);
                ++*next;
            } else if (events[i].type == ANZ_EV_GAP) {
                CHECK(events[i].group == it->read && events[i].len == sizeof number);
                CHECK((uintptr_t)events[i].data % sizeof number == 0 && number > 0);
                *next += number;
                *missed += number;
            } else if (events[i].type == ANZ_EV_CLOSED) {
                *closed = events[i].status;
                CHECK(contains(&events[i], "client.backlog_len"));
            }
        }
        OK(anz_release(it->reader, events, (size_t)n));
    }
    CHECK(n == 0 || (n == ANZ_ECLOSED && *closed));
}

static void close_both(struct pair *it)
{
    OK(anz_conn_close(it->reader));
    OK(anz_conn_close(it->sender));
}

static void closed(void)
{
    struct pair it = pair_with("disconnect");
    uint64_t number, next = 0, missed = 0;
    anz_status_t why = 0;
    for (number = 0; number < MUCH; number++)
        CHECK(send_one(&it, number, 10));
    while (!why) {
        read_all(&it, &next, &missed, &why);
        if (!why)
            OK(anz_conn_wait(it.reader, -1));
    }
    IS(why, ANZ_ESLOW);
    CHECK(missed == 0 && next > 0 && next < MUCH);
    close_both(&it);
}

static void gap(void)
{
    struct pair it = pair_with("gap");
    uint64_t number, next = 0, missed = 0;
    anz_status_t why = 0;
    for (number = 0; number < MUCH; number++)
        CHECK(send_one(&it, number, 10));
    while (next < MUCH) {
        OK(anz_conn_wait(it.reader, -1));
        read_all(&it, &next, &missed, &why);
    }
    CHECK(next == MUCH && missed > 0 && missed < MUCH);
    close_both(&it);
}

static void waited_for(void)
{
    struct pair it = pair_with("throttle");
    uint64_t number = 0, next = 0, missed = 0;
    anz_status_t why = 0;
    while (send_one(&it, number, 1))
        CHECK(++number < MUCH);
    while (next < MUCH) {
        if (number == MUCH)
            OK(anz_conn_wait(it.reader, -1));
        read_all(&it, &next, &missed, &why);
        if (number < MUCH)
            number += (uint64_t)send_one(&it, number, 0);
    }
    CHECK(next == MUCH && missed == 0 && why == 0);
    close_both(&it);
}

int main(void)
{
    closed();
    gap();
    waited_for();
    puts("ok");
    return 0;
}
