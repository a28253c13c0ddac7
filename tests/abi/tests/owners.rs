//! Objects of one owner, called from several threads at once although they are not to be: every
//! function of the header that is for one thread at a time gives a documented status to all of
//! them, ANZ_EBUSY to those who come too early. Before that one owner calls them alone, as it
//! should: it does not go to sleep in those that never wait. The calls are made of the header, so a
//! new function is in at once.

use std::fmt::Write;

use anasazi_abi::man::documented;
use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::sweep;

#[test]
fn one_owner_does_not_wait_and_a_second_is_told_that_it_is_one() {
    let all = functions();
    let mut owned: Vec<&Function> = all.iter().filter(|f| f.has_tag("MT-Owner")).collect();
    // It comes back only from an engine that was stopped.
    owned.sort_by_key(|function| function.name == "anz_engine_run");
    assert!(owned.len() > 8, "{} functions", owned.len());
    let mut program = BEFORE.to_owned();
    for function in &owned {
        let engine = match &function.name[..] {
            "anz_engine_process_fd" => Some("hosted"),
            // What has a thread is not run.
            "anz_engine_run" => Some("kept"),
            _ => None,
        };
        let call = sweep::call(function, |at| engine.filter(|_| at == 0).map(str::to_owned));
        let (name, good) = (&function.name, documented(&function.name));
        _ = writeln!(program, "static int call_{name}(void)\n{{\n    long r = {call};");
        _ = writeln!(program, "    if (r == ANZ_EBUSY)");
        _ = writeln!(program, "        __atomic_fetch_add(&turned_away, 1, __ATOMIC_SEQ_CST);");
        _ = writeln!(program, "    status = r;\n    return {good};\n}}");
    }
    program += "static const struct { const char *name; int (*call)(void), waits; } calls[] = {\n";
    for function in &owned {
        let (name, waits) = (&function.name, i32::from(!function.has_tag("NB")));
        _ = writeln!(program, "    {{\"{name}\", call_{name}, {waits}}},");
    }
    program += "};\n";
    program += AFTER;
    sweep::runs(&program);
}

const BEFORE: &str = r#"
#include "callees.h"
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

/* What all share, */
static anz_engine_t *engine, *hosted, *kept;
static anz_config_t *cfg;
static anz_conn_t *conn;
static anz_group_t *group;
/* in the present rounds, */
static volatile long turned_away;
/* and what each has. */
static __thread anz_event_t ev;
static __thread anz_error_t err;
static __thread anz_loop_ops_t ops;
static __thread char buf[300], room[300];
static __thread long status;
static __thread size_t len;
static __thread void *made;

"#;

const AFTER: &str = r#"
enum { OWNERS = 4, TIMES = 3000, ROUNDS = 5 };
static volatile int which, is_alone, is_over;
/* How often the one owner went to sleep in its calls. */
static long slept;
static pthread_barrier_t begin, end;

/* One runs the engine, and so keeps it, until it is stopped. */
static int is_kept(void)
{
    return strcmp(calls[which].name, "anz_engine_run") == 0;
}

/* How often this thread has gone to sleep. */
static long sleeps(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_nvcsw;
}

static void make(void)
{
    long before = sleeps();
    if (!calls[which].call()) {
        fprintf(stderr, "%s from many threads: %s\n", calls[which].name,
                anz_status_name((anz_status_t)status));
        exit(1);
    }
    if (is_alone)
        slept += sleeps() - before;
}

static void *own(void *number)
{
    int n, i;
    (void)buf, (void)room, (void)len, (void)made;
    ev.struct_size = sizeof ev;
    err.struct_size = sizeof err;
    ops.struct_size = sizeof ops;
    ops.watch = watch;
    ops.timer = timer;
    for (;;) {
        (void)pthread_barrier_wait(&begin);
        if (is_over)
            return NULL;
        for (n = 0; n < (is_kept() ? 1 : TIMES) && !(is_alone && number); n++) {
            /* Something to receive. */
            if (strcmp(calls[which].name, "anz_recv") == 0) {
                (void)!anz_mcast(group, ANZ_AGREED, "x", 1, 0);
                (void)anz_engine_process(engine, 0);
            }
            make();
            /* What one receives is for all: it is given back once, whoever does it. */
            for (i = 0; strcmp(calls[which].name, "anz_recv") == 0 && i < status; i++)
                IS(anz_release(conn, &ev, 1), ANZ_OK);
        }
        (void)pthread_barrier_wait(&end);
    }
}

static void round_of_all(void)
{
    (void)pthread_barrier_wait(&begin);
    (void)pthread_barrier_wait(&end);
}

/* One owner sleeps in none of many calls, or in few: the kernel has locks of its own. Others use
 * the machine, so the round with the fewest counts. */
static void alone(void)
{
    long fewest = TIMES;
    int round;
    if (calls[which].waits)
        return;
    is_alone = 1;
    for (round = 0; round < ROUNDS && fewest != 0; round++) {
        slept = 0;
        round_of_all();
        if (slept < fewest)
            fewest = slept;
    }
    is_alone = 0;
    printf("%s: slept %ld times in %d calls\n", calls[which].name, fewest, TIMES);
    CHECK(fewest <= TIMES / 100);
}

int main(void)
{
    pthread_t owners[OWNERS];
    int i;
    anz_config_t *plain;
    IS(anz_config_new(&plain), ANZ_OK);
    IS(anz_config_set(plain, "transport.multicast", "off", NULL), ANZ_OK);
    IS(anz_engine_new(plain, &engine, NULL), ANZ_OK);
    IS(anz_engine_new(plain, &kept, NULL), ANZ_OK);
    ops.struct_size = sizeof ops;
    ops.watch = watch;
    ops.timer = timer;
    IS(anz_config_set_loop(plain, &ops, NULL), ANZ_OK);
    IS(anz_engine_new(plain, &hosted, NULL), ANZ_OK);
    anz_config_free(plain);
    IS(anz_config_new(&cfg), ANZ_OK);
    conn = connected(engine);
    IS(anz_join(conn, "room", 0, NULL, &group), ANZ_OK);
    CHECK(pthread_barrier_init(&begin, NULL, OWNERS + 1) == 0);
    CHECK(pthread_barrier_init(&end, NULL, OWNERS + 1) == 0);
    for (i = 0; i < OWNERS; i++)
        CHECK(pthread_create(&owners[i], NULL, own, (void *)(uintptr_t)i) == 0);
    for (i = 0; i < (int)(sizeof calls / sizeof *calls); i++) {
        int64_t until = deadline_after_s(10);
        which = i;
        alone();
        turned_away = 0;
        /* Short calls rarely meet: until some have. */
        do {
            (void)pthread_barrier_wait(&begin);
            while (is_kept() && turned_away < OWNERS - 1 && deadline_after_s(0) < until)
                usleep(1000);
            if (is_kept())
                IS(anz_engine_stop(kept), ANZ_OK);
            (void)pthread_barrier_wait(&end);
        } while (turned_away == 0 && deadline_after_s(0) < until);
        printf("%s: %ld turned away\n", calls[i].name, turned_away);
        CHECK(turned_away >= (is_kept() ? OWNERS - 1 : 1));
    }
    is_over = 1;
    (void)pthread_barrier_wait(&begin);
    for (i = 0; i < OWNERS; i++)
        CHECK(pthread_join(owners[i], NULL) == 0);
    IS(anz_conn_close(conn), ANZ_OK);
    anz_engine_free(engine);
    anz_engine_free(hosted);
    anz_engine_free(kept);
    anz_config_free(cfg);
    puts("ok");
    return 0;
}
"#;
