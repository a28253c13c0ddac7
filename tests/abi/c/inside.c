/* The signal comes at the worst of moments: while the interrupted thread holds the allocator's
 * lock, while it holds the loader's because a library is being opened, and on a thread that was
 * there before this library was and has never called it. The program opens the library as a legacy
 * one does, with RTLD_LOCAL, and finds its functions by name. Compiled with -DPLUGIN it is the
 * library whose constructor raises the signal. */
#define _GNU_SOURCE
#include <signal.h>

#ifdef PLUGIN
__attribute__((constructor)) static void on_load(void)
{
    raise(SIGUSR1);
}
#else
#include "opened.h"
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

static struct api api;
static anz_group_t *group;
static anz_conn_t *conn;
static volatile sig_atomic_t handled, wrong;

/* The allocator, with a lock that can be seen to be held. */
static pthread_mutex_t heap = PTHREAD_MUTEX_INITIALIZER;
static __thread int raise_in_heap __attribute__((tls_model("initial-exec")));
void *__libc_malloc(size_t len);

void *malloc(size_t len)
{
    void *block;
    if (pthread_mutex_lock(&heap) != 0)
        abort();
    if (raise_in_heap) {
        raise_in_heap = 0;
        raise(SIGUSR1);
    }
    block = __libc_malloc(len);
    pthread_mutex_unlock(&heap);
    return block;
}

static void on_signal(int number)
{
    anz_claim_t claim;
    anz_iov_t parts[2];
    (void)number;
    parts[0].base = "hand";
    parts[0].len = 4;
    parts[1].base = "ler";
    parts[1].len = 3;
    wrong |= api.mcast(group, ANZ_AGREED, "handler", 7, 0) != ANZ_OK;
    if (api.claim(group, 7, &claim) == ANZ_OK) {
        memcpy(claim.data, "handler", 7);
        wrong |= api.commit(group, &claim, ANZ_SAFE, 0) != ANZ_OK;
    } else {
        wrong = 1;
    }
    if (api.claim(group, 9, &claim) == ANZ_OK)
        wrong |= api.abort(group, &claim) != ANZ_OK;
    else
        wrong = 1;
    wrong |= api.mcastv(group, ANZ_AGREED, parts, 2, 0) != ANZ_OK;
    wrong |= api.mcast_groups(&group, 1, ANZ_SAFE, "handler", 7, 0) != ANZ_OK;
    wrong |= api.conn_wake(conn) != ANZ_OK;
    handled++;
}

static void *old_thread(void *argument)
{
    volatile int *enough = argument;
    while (!*enough)
        usleep(1000);
    return NULL;
}

/* All messages of the handlers. */
static void receive(int messages)
{
    anz_event_t ev;
    memset(&ev, 0, sizeof ev);
    ev.struct_size = sizeof ev;
    while (messages > 0) {
        int n = api.recv(conn, &ev, 1);
        CHECK(n >= 0);
        if (n == 0)
            /* The first wait ends early: it was woken. */
            CHECK(api.conn_wait(conn, deadline_after_s(20)) != ANZ_ETIMEDOUT);
        else if (ev.type == ANZ_EV_MESSAGE) {
            CHECK(ev.len == 7 && memcmp(ev.data, "handler", 7) == 0);
            messages--;
        }
        if (n > 0)
            CHECK(api.release(conn, &ev, 1) == ANZ_OK);
    }
}

int main(int argc, char **argv)
{
    static volatile int enough;
    anz_config_t *cfg;
    anz_engine_t *engine;
    anz_error_t err = {sizeof err, 0, 0, 0, ""};
    struct sigaction action;
    pthread_t thread;
    void *volatile block;
    CHECK(argc == 3); /* the library, and the one that raises a signal */
    CHECK(pthread_create(&thread, NULL, old_thread, (void *)&enough) == 0);
    open_api(argv[1], &api);
    CHECK(api.config_new(&cfg) == ANZ_OK);
    CHECK(api.config_set(cfg, "transport.multicast", "off", &err) == ANZ_OK);
    CHECK(api.engine_new(cfg, &engine, &err) == ANZ_OK);
    CHECK(api.engine_start_thread(engine) == ANZ_OK);
    CHECK(api.engine_connect(engine, NULL, &conn, &err) == ANZ_OK);
    CHECK(api.join(conn, "inside", 0, NULL, &group) == ANZ_OK);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);

    raise_in_heap = 1;
    block = malloc(100); /* the lock is held */
    free(block);
    CHECK(handled == 1);
    CHECK(dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) != NULL);
    CHECK(handled == 2);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    enough = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(handled == 3 && !wrong);
    receive(4 * 3);
    CHECK(api.conn_close(conn) == ANZ_OK);
    api.engine_free(engine);
    puts("ok");
    return 0;
}
#endif
