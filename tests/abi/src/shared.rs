//! Every function that all threads may use, as a call on objects that they share: for programs in
//! which threads make these calls at once. Made of the header, so a new function is in at once.

use std::fmt::Write;

use crate::man::documented;
use crate::prototypes::Function;
use crate::sweep;

/// The beginning of such a program: what is shared, and `calls[]` with each of these functions'
/// name, a call that gives 0 if its status is none that is documented, and whether it may wait.
pub fn calls<'a>(functions: impl Iterator<Item = &'a Function> + Clone) -> String {
    let mut program = BEFORE.to_owned();
    for function in functions.clone() {
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
    program += "static int call_lock(void)\n{\n    (void)ops;\n";
    program +=
        "    return pthread_mutex_lock(&lock) == 0 && pthread_mutex_unlock(&lock) == 0;\n}\n";
    program += "static const struct { const char *name; int (*call)(void), waits; } calls[] = {\n";
    for function in functions {
        let (name, waits) = (&function.name, i32::from(function.has_tag("BLK")));
        _ = writeln!(program, "    {{\"{name}\", call_{name}, {waits}}},");
    }
    program + "    {\"a lock\", call_lock, 1},\n};\n" + AFTER
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
#include "callees.h"
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
static __thread anz_loop_ops_t ops;

/* What none of the others may take. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

"#;

/// Enough for both programs.
const AFTER: &str = r#"
enum { CALLS = sizeof calls / sizeof *calls, LOCK = CALLS - 1 };

static void prepare_engine(void)
{
    engine = lonely_engine();
    IS(anz_config_new(&cfg), ANZ_OK);
    IS(anz_config_set(cfg, "transport.multicast", "off", NULL), ANZ_OK);
}

static void prepare_session(void)
{
    conn = connected(engine);
    group = joined(conn, "room");
    IS(anz_conn_self(conn, &member), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED, "kept", 4, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&ev, &msg), ANZ_OK);
}

static void tidy_up_session(void)
{
    anz_msg_release(msg);
    anz_conn_close(conn);
}

static void tidy_up_engine(void)
{
    anz_config_free(cfg);
    anz_engine_free(engine);
}
"#;
