/* In a child, inherited handles say so, all of them, wherever the fork was: in the main thread
 * while others send, or in a signal handler. Closing and freeing them is allowed and does nothing
 * to the parent; and the child may open its own. */
#define _GNU_SOURCE
#include "safe_calls.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static anz_conn_t *named;
/* Over a socket: a thread of the parent carries it, and another one tells of it. */
static anz_engine_t *listening;
static anz_conn_t *streamed;
static anz_group_t *streamed_group;
static volatile int told;
static char stream_directory[40], stream_url[80];
static anz_config_t *cfg;
static anz_event_t held;
static anz_msg_t *retained;
static anz_group_t *leaving, *late;
static anz_claim_t claimed;
static volatile int enough;
static volatile pid_t child_of_handler;

static void sending_does_not_work(void)
{
    anz_group_t *groups[2];
    anz_iov_t part;
    anz_claim_t claim;
    part.base = "x";
    part.len = 1;
    groups[0] = group;
    groups[1] = second;
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_EFORKED);
    IS(anz_mcastv(group, ANZ_AGREED, &part, 1, 0), ANZ_EFORKED);
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "x", 1, 0), ANZ_EFORKED);
    groups[1] = late;
    IS(anz_mcast_groups(groups, 2, ANZ_AGREED, "x", 1, 0), ANZ_EFORKED);
    IS(anz_claim(group, 1, &claim), ANZ_EFORKED);
    claim = claimed;
    IS(anz_commit(group, &claim, ANZ_AGREED, 0), ANZ_EFORKED);
    anz_abort(group, &claim);
    IS(anz_conn_wake(conn), ANZ_EFORKED);
    IS(anz_engine_stop(engine), ANZ_EFORKED);
}

/* Everything that a child can do with a session, its groups and its engine that are not its own. */
static void nothing_works(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *own = NULL;
    anz_group_t *other = NULL;
    anz_event_t ev;
    anz_member_t self;
    anz_conn_stats_t stats;
    anz_msg_t *msg;
    char text[300];
    memset(&self, 0, sizeof self);
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    sending_does_not_work();
    IS(anz_join(conn, "child", 0, NULL, &other), ANZ_EFORKED);
    IS(anz_peer(conn, "default", self, &other), ANZ_EFORKED);
    IS(anz_leave(group), ANZ_EFORKED);
    IS(anz_group_name(group, text, sizeof text), ANZ_EFORKED);
    IS(anz_group_wait_writable(group, -1), ANZ_EFORKED);
    CHECK(anz_conn_fd(conn) == ANZ_EFORKED);
    IS(anz_conn_self(conn, &self), ANZ_EFORKED);
    IS(anz_member_name(conn, &self, text, sizeof text), ANZ_EFORKED);
    IS(anz_conn_wait(conn, -1), ANZ_EFORKED);
    IS(anz_conn_stats(conn, &stats), ANZ_EFORKED);
    CHECK(anz_recv(conn, &ev, 1) == ANZ_EFORKED);
    IS(anz_release(conn, &held, 1), ANZ_EFORKED);
    IS(anz_msg_retain(&held, &msg), ANZ_EFORKED);
    IS(anz_query(conn, "{}", 2, 1), ANZ_EFORKED);
    CHECK(anz_engine_fd(engine) == ANZ_EFORKED);
    CHECK(anz_engine_process(engine, 0) == ANZ_EFORKED);
    CHECK(anz_engine_process_fd(engine, -1, 0) == ANZ_EFORKED);
    IS(anz_conn_set_notify(conn, NULL, NULL), ANZ_EFORKED);
    IS(anz_engine_run(engine), ANZ_EFORKED);
    IS(anz_engine_start_thread(engine), ANZ_EFORKED);
    IS(anz_engine_connect(engine, NULL, &own, &err), ANZ_EFORKED);
    IS(anz_connect("inproc:named", NULL, &own, &err), ANZ_EFORKED);
    CHECK(strstr(err.message, "parent") != NULL);
}

static void tell(void *user_data)
{
    *(volatile int *)user_data = 1;
}

static void begin_stream(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_config_t *listens;
    const char *url = stream_url;
    strcpy(stream_directory, "/tmp/anasazi-forked-XXXXXX");
    CHECK(mkdtemp(stream_directory) != NULL);
    snprintf(stream_url, sizeof stream_url, "unix:%s/sock", stream_directory);
    IS(anz_config_new(&listens), ANZ_OK);
    IS(anz_config_set(listens, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_config_set(listens, "client.listen_streams", url, &err), ANZ_OK);
    if (anz_engine_new(listens, &listening, &err) != ANZ_OK)
        fprintf(stderr, "%s\n", err.message);
    IS(anz_engine_start_thread(listening), ANZ_OK);
    if (anz_connect(url, NULL, &streamed, &err) != ANZ_OK)
        fprintf(stderr, "%s\n", err.message);
    streamed_group = joined(streamed, "streamed");
    IS(anz_conn_set_notify(streamed, tell, (void *)&told), ANZ_OK);
    anz_config_free(listens);
    CHECK(rmdir(stream_directory) != 0); /* its socket is in there, until it ends */
}

/* It works, and its call is made. */
static void stream_goes_on(void)
{
    int64_t until = deadline_after_s(20);
    anz_event_t ev;
    ev.struct_size = sizeof ev;
    /* Until 0, or there may be no next call. */
    while (anz_recv(streamed, &ev, 1) > 0)
        IS(anz_release(streamed, &ev, 1), ANZ_OK);
    told = 0;
    IS(anz_mcast(streamed_group, ANZ_AGREED, "on", 2, 0), ANZ_OK);
    while (!told) {
        CHECK(deadline_after_s(0) < until);
        usleep(1000);
    }
    ev = next_of(streamed, ANZ_EV_MESSAGE);
    CHECK(ev.len == 2);
    IS(anz_release(streamed, &ev, 1), ANZ_OK);
}

static void end_stream(void)
{
    IS(anz_conn_close(streamed), ANZ_OK);
    anz_engine_free(listening);
    CHECK(rmdir(stream_directory) == 0);
}

static void stream_does_not_work(void)
{
    anz_event_t ev;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    IS(anz_mcast(streamed_group, ANZ_AGREED, "x", 1, 0), ANZ_EFORKED);
    CHECK(anz_recv(streamed, &ev, 1) == ANZ_EFORKED);
    IS(anz_conn_set_notify(streamed, NULL, NULL), ANZ_EFORKED);
    IS(anz_conn_close(streamed), ANZ_OK);
    anz_engine_free(listening);
}

static void all_can_be_freed(void)
{
    size_t len = 0;
    /* A message of one's own is memory like any other. */
    CHECK(memcmp(anz_msg_data(retained, &len), "held", 4) == 0 && len == 4);
    anz_msg_release(retained);
    IS(anz_conn_close(conn), ANZ_OK);
    IS(anz_conn_close(named), ANZ_OK);
    anz_config_free(cfg);
    anz_engine_free(engine);
}

static void own_ones_work(void)
{
    int64_t until = deadline_after_s(20);
    anz_event_t ev, foreign;
    anz_msg_t *msg;
    begin();
    IS(anz_mcast(group, ANZ_AGREED, "mine", 4, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 4);
    /* Its own events are told from those of its parent. */
    IS(anz_msg_retain(&held, &msg), ANZ_EFORKED);
    /* One of a parent that is at the same place of its session: the first byte is the process. */
    foreign = ev;
    foreign.token ^= (held.token ^ ev.token) & UINT64_C(0xFF00000000000000);
    CHECK(foreign.token != ev.token);
    IS(anz_release(conn, &foreign, 1), ANZ_OK);
    IS(anz_msg_retain(&ev, &msg), ANZ_OK);
    CHECK(memcmp(anz_msg_data(msg, NULL), "mine", 4) == 0);
    anz_msg_release(msg);
    told = 0;
    IS(anz_conn_set_notify(conn, tell, (void *)&told), ANZ_OK);
    while (anz_recv(conn, &ev, 1) > 0)
        continue;
    told = 0;
    IS(anz_mcast(group, ANZ_AGREED, "mine", 4, 0), ANZ_OK);
    while (!told && deadline_after_s(0) < until)
        usleep(1000);
    CHECK(told);
    end();
}

static void *send_on(void *argument)
{
    uint64_t number = 0;
    while (!enough)
        if (anz_mcast(second, ANZ_AGREED, &number, sizeof number, 0) == ANZ_OK)
            number++;
    *(uint64_t *)argument = number;
    return NULL;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    pid_t child = fork();
    (void)number, (void)info, (void)context;
    if (child == 0) {
        anz_claim_t claim;
        int ok = anz_mcast(group, ANZ_AGREED, "x", 1, 0) == ANZ_EFORKED;
        ok = ok && anz_claim(group, 1, &claim) == ANZ_EFORKED;
        ok = ok && anz_conn_wake(conn) == ANZ_EFORKED && anz_engine_stop(engine) == ANZ_EFORKED;
        _exit(ok ? 0 : 1);
    }
    child_of_handler = child;
}

static void ended_well(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* While two threads send: nothing of theirs is lost, or there twice. */
static void fork_beside_senders(void)
{
    pthread_t threads[2];
    uint64_t sent[2], received = 0;
    int i;
    for (i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, send_on, &sent[i]) == 0);
    for (i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            sending_does_not_work();
            _exit(0);
        }
        ended_well(child);
        CHECK(raise(SIGUSR1) == 0);
        ended_well(child_of_handler);
        for (; received < 1000 * ((uint64_t)i + 1); received++)
            next_number();
    }
    enough = 1;
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (; received < sent[0] + sent[1]; received++)
        next_number();
}

int main(void)
{
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    anz_conn_t *again = NULL;
    anz_event_t ev;
    pid_t child;
    begin();
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_connect("inproc:named", cfg, &named, &err), ANZ_OK);
    handle(SIGUSR1, on_signal, 0);
    leaving = joined(conn, "leaving");
    IS(anz_leave(leaving), ANZ_OK);
    ev = next_of(conn, ANZ_EV_LEFT);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_join(conn, "late", 0, NULL, &late), ANZ_OK);
    begin_stream();
    fork_beside_senders();
    stream_goes_on();

    IS(anz_mcast(group, ANZ_AGREED, "held", 4, 0), ANZ_OK);
    held = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&held, &retained), ANZ_OK);
    IS(anz_claim(group, 1, &claimed), ANZ_OK);
    child = fork();
    if (child == 0) {
        nothing_works();
        stream_does_not_work();
        all_can_be_freed();
        own_ones_work();
        _exit(0);
    }
    ended_well(child);
    stream_goes_on();
    /* The child has left the socket's file alone, too. */
    CHECK(rmdir(stream_directory) != 0);
    IS(anz_connect(stream_url, NULL, &again, &err), ANZ_OK);
    IS(anz_conn_close(again), ANZ_OK);
    end_stream();
    ((char *)claimed.data)[0] = 'y';
    IS(anz_commit(group, &claimed, ANZ_AGREED, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 1 && *(const char *)ev.data == 'y');
    IS(anz_release(conn, &held, 1), ANZ_OK);
    group = joined(named, "parent");
    anz_msg_release(retained);
    anz_config_free(cfg);
    IS(anz_conn_close(named), ANZ_OK);
    end();
    puts("ok");
    return 0;
}
