//! A thread that stands still, wherever in a call that is, holds up no other: one goes through each
//! function of the header by single instructions, and at each of many of them another one makes
//! the same call, which has to come back. A lock that is held there would be seen: that of the last
//! call is.
#![cfg(target_arch = "x86_64")]

use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::{shared, sweep};

#[test]
fn a_thread_that_stands_still_anywhere_in_a_call_holds_up_no_other() {
    let all = functions();
    let is_tried = |function: &&Function| {
        // These two say that they take a lock for a while, and wait for others.
        !["anz_connect", "anz_engine_free"].contains(&&function.name[..])
            // Made by itself, it is for ever; and it is nobody's.
            && !["anz_engine_run", "anz_engine_new"].contains(&&function.name[..])
    };
    let calls = all.iter().filter(is_tried);
    assert!(calls.clone().count() > 42, "{} functions", calls.count());
    sweep::runs(&(shared::calls(calls) + PROGRAM));
}

const PROGRAM: &str = r##"
#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <ucontext.h>

enum { STEPS_MAX = 50000, STOPS_MAX = 1500, WAIT_S = 5 };
/* The library's instructions: what stands in the allocator holds its lock, which is not ours. */
static uintptr_t text_begin, text_end;
static volatile int which, is_stepping, is_over;
static volatile long all_steps, steps, stops_at, held_up;
static sem_t go, done;

static void find_text(void)
{
    Dl_info info;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL && dladdr((void *)(uintptr_t)anz_mcast, &info) != 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char how[8];
        CHECK(sscanf(line, "%lx-%lx %7s", &from, &to, how) == 3);
        if (from <= (uintptr_t)anz_mcast && (uintptr_t)anz_mcast < to) {
            text_begin = from;
            text_end = to;
        }
    }
    fclose(maps);
    CHECK(text_begin != 0);
}

/* The other thread makes its call while this one stands here. */
static void on_step(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    struct timespec until;
    int is_own = which == LOCK || (text_begin <= at && at < text_end);
    (void)number, (void)info;
    /* Long ones go on at full speed from here. */
    if (++all_steps >= STEPS_MAX)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)0x100;
    if (!is_stepping || !is_own || ++steps % stops_at != 0 || held_up)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    sem_post(&go);
    while (sem_timedwait(&done, &until) != 0)
        if (errno == ETIMEDOUT) {
            held_up++;
            return;
        }
}

#define SET_FLAGS(change)                                                                 \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\t" change                        \
                     "\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::: "memory", "cc")

static void make(void)
{
    made = NULL;
    err.struct_size = sizeof err;
    stats.struct_size = sizeof stats;
    (void)calls[which].call();
}

static void *other(void *unused)
{
    for (;;) {
        while (sem_wait(&go) != 0)
            CHECK(errno == EINTR);
        if (is_over)
            return unused;
        make();
        sem_post(&done);
    }
}

/* A call, instruction by instruction; stops at each of so many of them. */
static void step(long stop_at)
{
    steps = all_steps = 0;
    stops_at = stop_at;
    prepare_engine();
    prepare_session();
    is_stepping = 1;
    SET_FLAGS("orq $0x100, (%%rsp)");
    make();
    SET_FLAGS("andq $~0x100, (%%rsp)");
    is_stepping = 0;
    if (held_up)
        while (sem_wait(&done) != 0)
            CHECK(errno == EINTR);
    tidy_up_session();
    tidy_up_engine();
}

int main(void)
{
    pthread_t thread;
    struct sigaction action;
    anz_engine_t *told_engine;
    anz_conn_t *told;
    int call, bad = 0;
    (void)buf, (void)room, (void)len, (void)claim, (void)iov, (void)status;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_step;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    CHECK(sem_init(&go, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
    find_text();
    /* The library's own thread for this is there already: to make it, signals are blocked, and who
     * is stepped through that is killed. */
    told_engine = lonely_engine();
    told = connected(told_engine);
    IS(anz_conn_set_notify(told, notify, NULL), ANZ_OK);
    for (call = 0; call < CALLS; call++) {
        long all, stride;
        which = call;
        held_up = 0;
        /* How many there are, and then at so many of them. */
        step(1L << 40);
        all = steps;
        stride = all / STOPS_MAX + 1;
        step(stride);
        printf("%s: %ld instructions, a stop at each %ldth: %s\n", calls[call].name, all, stride,
               held_up ? "held up" : "free");
        CHECK(all > 0);
        if (call == LOCK)
            CHECK(held_up);
        else if (held_up)
            bad++;
    }
    is_over = 1;
    sem_post(&go);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(bad == 0);
    IS(anz_conn_close(told), ANZ_OK);
    anz_engine_free(told_engine);
    puts("ok");
    return 0;
}
"##;
