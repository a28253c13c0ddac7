//! Objects that all threads may use: every function of the header that is MT-Safe, from several
//! threads at once with the same arguments, and beside one that ends the session, the membership,
//! the message or the engine. All get a documented status; who calls a function that never waits
//! does not go to sleep in it, but for the kernel's own reasons.

use anasazi_abi::prototypes::functions;
use anasazi_abi::{shared, sweep};

#[test]
fn any_thread_may_call_what_is_safe_and_what_never_waits_does_not() {
    let all = functions();
    let safe = all.iter().filter(|function| !function.has_tag("MT-Owner"));
    assert!(safe.clone().count() > 35, "{} functions", safe.count());
    sweep::runs(&(shared::calls(safe) + PROGRAM));
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
        /* That sleeps are counted: one that waits for the engine's thread has many, even in the
         * round with the fewest, in which that often answered first. */
        if (strcmp(calls[i].name, "anz_engine_connect") == 0)
            CHECK(fewest > THREADS * times(i) / 4);
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
