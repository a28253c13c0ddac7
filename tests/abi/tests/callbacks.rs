//! Callbacks that call back in, although they were told not to: from every callback of the header,
//! every function of it. A documented status, soon; and afterwards everything can be freed. The
//! calls are made of the header, so a new function is in at once.

use std::fmt::Write;

use anasazi_abi::man::documented;
use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::sweep;

#[test]
fn callbacks_may_call_anything_and_get_an_answer() {
    let functions = functions();
    assert!(functions.len() > 45, "{} functions", functions.len());
    let mut program = BEFORE.to_owned();
    for function in &functions {
        _ = writeln!(program, "static int call_{}(void)\n{{", function.name);
        _ = writeln!(program, "    {}\n}}", body(function));
    }
    program += "static const struct { const char *name; int (*call)(void); } calls[] = {\n";
    for Function { name, .. } in &functions {
        _ = writeln!(program, "    {{\"{name}\", call_{name}}},");
    }
    program += "};\n";
    program += AFTER;
    sweep::runs(&program);
}

/// Whether what it returns is documented.
fn body(function: &Function) -> String {
    let call = sweep::call(function, |_| None);
    match &function.returns[..] {
        "void" => format!("{call};\n    return 1;"),
        returns if returns == "size_t" || returns.contains('*') => {
            format!("(void)!{call};\n    return 1;")
        }
        _ => format!("r = {call};\n    return {};", documented(&function.name)),
    }
}

const BEFORE: &str = r#"
#include <poll.h>

static anz_engine_t *engine;
static anz_config_t *cfg;
static anz_conn_t *conn;
static anz_group_t *group;
static anz_msg_t *msg;
static anz_event_t ev;
static anz_claim_t claim;
static anz_member_t member;
static anz_iov_t iov = {(void *)(uintptr_t)1, 0};
static anz_loop_ops_t ops;
static anz_error_t err = {sizeof(anz_error_t), 0, 0, 0, {0}};
static anz_conn_stats_t stats;
static char buf[300];
static char room[2 * 4096] __attribute__((aligned(8)));
static void *made;
static size_t len;
static long r;

static void notify(void *user_data);
static void log_line(void *user_data, int level, const char *component, const char *text,
                     size_t text_len);
"#;

const AFTER: &str = r#"
enum { LOG, NOTIFY, WATCH, TIMER, CONTEXTS };
static const char *const contexts[] = {"log", "notify", "watch", "timer"};
/* What is to be called from where; -1: it was. */
static int which, where = -1;
static int good;

static void here(int context)
{
    int mine = context;
    if (!__atomic_compare_exchange_n(&where, &mine, -1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return;
    r = 0;
    __atomic_store_n(&good, calls[which].call() ? 1 : -1, __ATOMIC_SEQ_CST);
}

static void notify(void *user_data) { (void)user_data; here(NOTIFY); }

static void log_line(void *user_data, int level, const char *component, const char *text,
                     size_t text_len)
{
    (void)user_data, (void)level, (void)component, (void)text, (void)text_len;
    here(LOG);
}

/* A loop of our own. */
static int watched[64], count;

static int watch(void *user_data, int fd, uint32_t old_events, uint32_t new_events)
{
    int i;
    (void)user_data, (void)old_events;
    for (i = 0; i < count && watched[i] != fd; i++)
        ;
    if (i == count && new_events != 0 && count < 64)
        watched[count++] = fd;
    else if (i < count && new_events == 0)
        watched[i] = watched[--count];
    here(WATCH);
    return 0;
}

static void timer(void *user_data, int64_t deadline_ns)
{
    (void)user_data, (void)deadline_ns;
    here(TIMER);
}

static void turn(void)
{
    struct pollfd fds[64];
    int i, n = count;
    for (i = 0; i < n; i++) {
        fds[i].fd = watched[i];
        fds[i].events = POLLIN;
    }
    if (poll(fds, (nfds_t)n, 1) < 0)
        return;
    for (i = 0; i < n; i++)
        if (fds[i].revents != 0)
            (void)anz_engine_process_fd(engine, fds[i].fd, POLLIN);
    (void)anz_engine_process_fd(engine, -1, 0);
}

/* Drives the engine if it is ours to drive, else lets it run. */
static void a_while(int context)
{
    struct timespec ms = {0, 1000000};
    if (context == WATCH || context == TIMER)
        turn();
    else
        nanosleep(&ms, NULL);
}

static void new_engine(int context)
{
    count = 0;
    IS(anz_engine_new(cfg, &engine, &err), ANZ_OK);
    if (context == LOG || context == NOTIFY)
        IS(anz_engine_start_thread(engine), ANZ_OK);
}

/* A session in a group; in an engine that may have to be made. */
static void set_up(int context)
{
    int n = 0;
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", &err), ANZ_OK);
    IS(anz_config_set(cfg, "connect.timeout_ms", "100", &err), ANZ_OK);
    IS(anz_config_set(cfg, "connect.async", "true", &err), ANZ_OK);
    if (context == LOG)
        IS(anz_config_set_log(cfg, log_line, ANZ_LOG_TRACE, NULL), ANZ_OK);
    ops.struct_size = sizeof ops;
    ops.watch = watch;
    ops.timer = timer;
    if (context == WATCH || context == TIMER)
        IS(anz_config_set_loop(cfg, &ops, NULL), ANZ_OK);
    if (engine == NULL)
        new_engine(context);
    IS(anz_engine_connect(engine, cfg, &conn, &err), ANZ_OK);
    IS(anz_join(conn, "room", 0, NULL, &group), ANZ_OK);
    ev.struct_size = sizeof ev;
    stats.struct_size = sizeof stats;
    for (;; a_while(context)) {
        CHECK(++n < 20000);
        if (anz_recv(conn, &ev, 1) != 1)
            continue;
        if (ev.type == ANZ_EV_VIEW)
            break;
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    }
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_conn_self(conn, &member), ANZ_OK);
}

/* It was freed from within: its sessions are told, and nothing of it is called any more. */
static void is_gone(int context)
{
    int n = 0, status;
    while ((status = anz_recv(conn, &ev, 1)) >= 0) {
        CHECK(++n < 20000);
        if (status == 1 && (ev.type == ANZ_EV_CLOSED || ev.type == ANZ_EV_SUSPENDED))
            break;
        if (status == 1)
            IS(anz_release(conn, &ev, 1), ANZ_OK);
        a_while(context == WATCH ? WATCH : NOTIFY);
    }
}

/* All of it can be freed; the engine goes with what stops it. */
static void clean_up(const char *name)
{
    if (strcmp(name, "anz_engine_new") == 0)
        anz_engine_free((anz_engine_t *)made);
    (void)anz_conn_set_notify(conn, NULL, NULL);
    (void)anz_conn_close(conn);
    anz_config_free(cfg);
    if (strcmp(name, "anz_engine_free") != 0 && strcmp(name, "anz_engine_stop") != 0)
        return;
    anz_engine_free(engine);
    engine = NULL;
}

/* What the callback of this kind is called for. */
static void give_cause(int context)
{
    anz_engine_t *another;
    if (context == WATCH) {
        IS(anz_engine_new(cfg, &another, &err), ANZ_OK);
        anz_engine_free(another);
        return;
    }
    while (context == NOTIFY && anz_recv(conn, &ev, 1) == 1)
        IS(anz_release(conn, &ev, 1), ANZ_OK);
    if (context == LOG) { /* a session comes, or goes again */
        static anz_conn_t *other;
        anz_conn_t *last = other;
        other = NULL;
        if (last == NULL)
            (void)anz_engine_connect(engine, cfg, &other, &err);
        else
            (void)anz_conn_close(last);
    }
    (void)!anz_mcast(group, ANZ_AGREED, "x", 1, 0);
}

/* Until the callback has been called and has called. */
static void provoke(int context)
{
    int n;
    if (context == NOTIFY)
        IS(anz_conn_set_notify(conn, notify, NULL), ANZ_OK);
    good = 0;
    __atomic_store_n(&where, context, __ATOMIC_SEQ_CST);
    for (n = 0; __atomic_load_n(&good, __ATOMIC_SEQ_CST) == 0; n++) {
        if (n == 20000) {
            fprintf(stderr, "%s from within %s never returned or was never called\n",
                    calls[which].name, contexts[context]);
            exit(1);
        }
        if (n % 10 == 0 && __atomic_load_n(&where, __ATOMIC_SEQ_CST) == context)
            give_cause(context);
        a_while(context);
    }
}

int main(void)
{
    int context;
    (void)msg, (void)claim, (void)iov, (void)buf, (void)room, (void)made, (void)len;
    for (context = 0; context < CONTEXTS; context++) {
        for (which = 0; which < (int)(sizeof calls / sizeof *calls); which++) {
            set_up(context);
            provoke(context);
            if (good < 0) {
                fprintf(stderr, "%s from within %s: %s\n", calls[which].name,
                        contexts[context], anz_status_name((anz_status_t)r));
                return 1;
            }
            if (strcmp(calls[which].name, "anz_engine_free") == 0)
                is_gone(context);
            clean_up(calls[which].name);
        }
        anz_engine_free(engine);
        engine = NULL;
    }
    puts("ok");
    return 0;
}
"#;
