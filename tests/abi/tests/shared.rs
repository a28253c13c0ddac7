//! Objects that all threads may use: every function of the header that is MT-Safe, from several
//! threads at once with the same arguments. All get a documented status, whoever closes what the
//! others use; and who calls a function that never waits does not give up the processor in it. The
//! calls are made of the header, so a new function is in at once.

use std::fmt::Write;

use anasazi_abi::man::documented;
use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::sweep;

#[test]
fn any_thread_may_call_what_is_safe_and_what_never_waits_does_not() {
    let all = functions();
    let safe: Vec<&Function> = all.iter().filter(|f| !f.has_tag("MT-Owner")).collect();
    assert!(safe.len() > 35, "{} functions", safe.len());
    let mut program = BEFORE.to_owned();
    for function in &safe {
        let call = sweep::call(function, |_| None);
        let name = &function.name;
        _ = writeln!(program, "static int call_{name}(void)\n{{");
        match &function.returns[..] {
            "anz_status_t" | "int" => {
                let good = documented(name);
                _ = writeln!(program, "    long r = {call};\n    status = r;");
                _ = writeln!(program, "    {}\n    return {good};\n}}", given_back(function));
            }
            "void" => _ = writeln!(program, "    {call};\n    return 1;\n}}"),
            _ => _ = writeln!(program, "    (void){call};\n    return 1;\n}}"),
        }
    }
    program += "static const struct { const char *name; int (*call)(void), waits; } calls[] = {\n";
    for function in &safe {
        let (name, waits) = (&function.name, i32::from(function.has_tag("BLK")));
        _ = writeln!(program, "    {{\"{name}\", call_{name}, {waits}}},");
    }
    program += "};\n";
    program += AFTER;
    sweep::runs(&program);
}

/// What a call has made goes at once.
fn given_back(function: &Function) -> &'static str {
    let kinds = function.arguments.iter().map(|argument| &argument.kind[..]);
    let backs = kinds.filter_map(|kind| match kind {
        "anz_config_t **" => Some("anz_config_free(made);"),
        "anz_engine_t **" => Some("anz_engine_free(made);"),
        "anz_conn_t **" => Some("anz_conn_close(made);"),
        "anz_msg_t **" => Some("anz_msg_release(made);"),
        "anz_claim_t *" if function.name == "anz_claim" => {
            Some("if (r == ANZ_OK) anz_abort(group, &claim);")
        }
        _ => None,
    });
    backs.into_iter().next().unwrap_or_default()
}

const BEFORE: &str = r#"
#include <pthread.h>
#include <sys/resource.h>

/* What all share, */
static anz_engine_t *engine;
static anz_config_t *cfg;
static anz_conn_t *conn;
static anz_group_t *group;
static anz_msg_t *msg;
static anz_event_t ev;
static anz_member_t member;
/* and what each has. */
static anz_iov_t iov = {(void *)(uintptr_t)1, 0};
static __thread anz_claim_t claim;
static __thread anz_error_t err;
static __thread anz_conn_stats_t stats;
static __thread char buf[300], room[300];
static __thread long status;
static __thread size_t len;
static __thread void *made;
"#;

const AFTER: &str = r#"
enum { THREADS = 4, TIMES = 2000, TIMES_OF_WHAT_WAITS = 50, ROUNDS = 5 };
static volatile int which, is_over;
static pthread_barrier_t begin, end;
static long given_up;

static long times(int of)
{
    return calls[of].waits ? TIMES_OF_WHAT_WAITS : TIMES;
}

/* How often this thread has gone to sleep. */
static long sleeps(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_nvcsw;
}

static void *use(void *unused)
{
    (void)unused, (void)buf, (void)room, (void)len, (void)made, (void)claim;
    err.struct_size = sizeof err;
    stats.struct_size = sizeof stats;
    for (;;) {
        long n, before;
        (void)pthread_barrier_wait(&begin);
        if (is_over)
            return NULL;
        before = sleeps();
        for (n = 0; n < times(which); n++) {
            made = NULL;
            if (!calls[which].call()) {
                fprintf(stderr, "%s from many threads: %s\n", calls[which].name,
                        anz_status_name((anz_status_t)status));
                exit(1);
            }
        }
        __atomic_fetch_add(&given_up, sleeps() - before, __ATOMIC_SEQ_CST);
        (void)pthread_barrier_wait(&end);
    }
}

/* Everything anew: some calls end what they are for. */
static void prepare(void)
{
    engine = lonely_engine();
    conn = connected(engine);
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", NULL), ANZ_OK);
    group = joined(conn, "room");
    IS(anz_conn_self(conn, &member), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED, "kept", 4, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&ev, &msg), ANZ_OK);
}

static void tidy_up(void)
{
    anz_msg_release(msg);
    anz_conn_close(conn);
    anz_config_free(cfg);
    anz_engine_free(engine);
}

/* How often the threads have gone to sleep in so many calls, where that was least: others use the
 * machine, and the kernel has locks of its own. */
static long fewest_sleeps(int of)
{
    long fewest = -1;
    int round;
    for (round = 0; round < ROUNDS && fewest != 0; round++) {
        which = of;
        given_up = 0;
        prepare();
        (void)pthread_barrier_wait(&begin);
        (void)pthread_barrier_wait(&end);
        tidy_up();
        if (fewest < 0 || given_up < fewest)
            fewest = given_up;
        if (calls[of].waits)
            break;
    }
    return fewest;
}

int main(void)
{
    pthread_t users[THREADS];
    int i, slow = 0;
    (void)iov;
    CHECK(pthread_barrier_init(&begin, NULL, THREADS + 1) == 0);
    CHECK(pthread_barrier_init(&end, NULL, THREADS + 1) == 0);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&users[i], NULL, use, NULL) == 0);
    for (i = 0; i < (int)(sizeof calls / sizeof *calls); i++) {
        long fewest = fewest_sleeps(i);
        printf("%s: slept %ld times in %ld calls\n", calls[i].name, fewest, THREADS * times(i));
        slow += !calls[i].waits && fewest > 0;
    }
    CHECK(slow == 0);
    is_over = 1;
    (void)pthread_barrier_wait(&begin);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(users[i], NULL) == 0);
    puts("ok");
    return 0;
}
"#;
