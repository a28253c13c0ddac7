//! Objects that all threads may use: every function of the header that is MT-Safe, from several
//! threads at once with the same arguments, and beside one that ends the session, the membership,
//! the message or the engine. All get a documented status; who calls a function that never waits
//! does not go to sleep in it, but for the kernel's own reasons, and holds up no other wherever in
//! it he stands still. The calls are made of the header, so a new function is in at once.

use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::{shared, sweep};

#[test]
fn any_thread_may_call_what_is_safe_and_what_never_waits_does_not() {
    let all = functions();
    let safe = all.iter().filter(|function| !function.has_tag("MT-Owner"));
    assert!(safe.clone().count() > 35, "{} functions", safe.count());
    sweep::runs(&(shared::calls(safe) + PROGRAM));
}

/// A lock that is held there would be seen: that of the last call is.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_thread_that_stands_still_anywhere_in_a_call_holds_up_no_other() {
    let all = functions();
    let never_waits = |function: &&Function| {
        // These two say that they take a lock for a while, and wait for others.
        !["anz_connect", "anz_engine_free"].contains(&&function.name[..])
            // Made by itself, it is for ever; and it is nobody's.
            && !["anz_engine_run", "anz_engine_new"].contains(&&function.name[..])
    };
    let calls = all.iter().filter(never_waits);
    assert!(calls.clone().count() > 42, "{} functions", calls.count());
    sweep::runs(&(shared::calls(calls) + STANDING));
}

const PROGRAM: &str = r#"
enum { THREADS = 4, TIMES = 2000, TIMES_OF_WHAT_WAITS = 50, TIMES_BESIDE_AN_END = 200, ROUNDS = 5 };
enum { NOBODY = -1 };
/* What all threads call; and what the first of them calls once, in the middle of that. */
static volatile int which, ends = NOBODY, is_over;
static pthread_barrier_t begin, end;
static long given_up;

static long times(int of)
{
    if (calls[of].waits)
        return TIMES_OF_WHAT_WAITS;
    return ends == NOBODY ? TIMES : TIMES_BESIDE_AN_END;
}

/* How often this thread has gone to sleep. */
static long sleeps(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_nvcsw;
}

static void make(int call)
{
    made = NULL;
    if (!calls[call].call()) {
        fprintf(stderr, "%s from many threads, beside %s: %s\n", calls[call].name,
                ends == NOBODY ? "itself" : calls[ends].name,
                anz_status_name((anz_status_t)status));
        exit(1);
    }
}

static void *use(void *number)
{
    (void)buf, (void)room, (void)len, (void)made, (void)claim;
    err.struct_size = sizeof err;
    stats.struct_size = sizeof stats;
    for (;;) {
        long n, before;
        (void)pthread_barrier_wait(&begin);
        if (is_over)
            return NULL;
        before = sleeps();
        for (n = 0; n < times(which); n++) {
            make(which);
            if (ends != NOBODY && number == NULL && n == times(which) / 8)
                make(ends);
        }
        __atomic_fetch_add(&given_up, sleeps() - before, __ATOMIC_SEQ_CST);
        (void)pthread_barrier_wait(&end);
    }
}

static void round_of(int call)
{
    which = call;
    given_up = 0;
    (void)pthread_barrier_wait(&begin);
    (void)pthread_barrier_wait(&end);
}

/* How often the threads have gone to sleep in so many calls, where that was least: others use the
 * machine, and the kernel has locks of its own. */
static long fewest_sleeps(int call)
{
    long fewest = -1;
    int round;
    for (round = 0; round < ROUNDS && fewest != 0; round++) {
        prepare_engine();
        prepare_session();
        round_of(call);
        tidy_up_session();
        tidy_up_engine();
        if (fewest < 0 || given_up < fewest)
            fewest = given_up;
        if (calls[call].waits)
            break;
    }
    return fewest;
}

static int call_of(const char *name)
{
    int call = 0;
    while (call < CALLS && strcmp(calls[call].name, name) != 0)
        call++;
    CHECK(call < CALLS);
    return call;
}

/* Everything beside the end of what it is for. */
static void beside(const char *ending)
{
    int call;
    ends = call_of(ending);
    for (call = 0; call < CALLS; call++) {
        /* The engine goes with some. */
        int is_over_soon = strncmp(calls[call].name, "anz_engine_", 11) == 0
                           || strncmp(ending, "anz_engine_", 11) == 0;
        if (strcmp(calls[call].name, "anz_engine_new") == 0 || call == LOCK)
            continue;
        if (engine == NULL)
            prepare_engine();
        prepare_session();
        round_of(call);
        tidy_up_session();
        if (is_over_soon || strncmp(calls[call].name, "anz_config_", 11) == 0) {
            tidy_up_engine();
            engine = NULL;
        }
    }
    if (engine != NULL)
        tidy_up_engine();
    engine = NULL;
    ends = NOBODY;
}

int main(void)
{
    pthread_t users[THREADS];
    int i, slow = 0;
    (void)iov;
    CHECK(pthread_barrier_init(&begin, NULL, THREADS + 1) == 0);
    CHECK(pthread_barrier_init(&end, NULL, THREADS + 1) == 0);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&users[i], NULL, use, (void *)(uintptr_t)i) == 0);
    for (i = 0; i < CALLS; i++) {
        long fewest = fewest_sleeps(i);
        printf("%s: slept %ld times in %ld calls\n", calls[i].name, fewest, THREADS * times(i));
        /* Who waited for an engine, or for a disk, would do it in most of them. */
        slow += !calls[i].waits && fewest > THREADS * times(i) / 100;
        if (strcmp(calls[i].name, "anz_engine_connect") == 0)
            CHECK(fewest > THREADS * times(i) / 2);
    }
    CHECK(slow == 0);
    engine = NULL;
    beside("anz_conn_close");
    beside("anz_leave");
    beside("anz_msg_release");
    beside("anz_engine_stop");
    beside("anz_engine_free");
    is_over = 1;
    (void)pthread_barrier_wait(&begin);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(users[i], NULL) == 0);
    puts("ok");
    return 0;
}
"#;

const STANDING: &str = r##"
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
        else if (held_up && !calls[call].waits)
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
