//! A child after fork(): every function of the header, on what its parent made. ANZ_EFORKED where
//! it is given an engine, a session or a group; the others give what is documented, or at least
//! come back; and the parent goes on. The calls are made of the header, so a new function is in at
//! once.

use std::fmt::Write;

use anasazi_abi::man::documented;
use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::sweep;

#[test]
fn a_child_is_told_of_the_fork_by_every_function() {
    let (mut body, mut told) = (BEFORE.to_owned(), 0);
    for function in functions() {
        let call = sweep::call(&function, |_| None);
        let (call, good) = match &function.returns[..] {
            "void" => (format!("{call}; r = ANZ_OK"), "r == ANZ_OK".to_owned()),
            "size_t" => (format!("r = (long){call}"), "r >= 0".to_owned()),
            returns if returns.contains('*') => {
                (format!("r = {call} != NULL"), "r >= 0".to_owned())
            }
            // All can be freed.
            _ if function.name == "anz_conn_close" => {
                (format!("r = {call}"), "r == ANZ_OK".to_owned())
            }
            _ if needs_the_parent(&function) => {
                told += 1;
                (format!("r = {call}"), "r == ANZ_EFORKED".to_owned())
            }
            _ => (format!("r = {call}"), documented(&function.name)),
        };
        let name = &function.name;
        _ = writeln!(body, "    CHILD({{ {call}; if (!({good})) FAILS({name:?}); }});");
    }
    assert!(told > 25, "{told} functions");
    body += AFTER;
    sweep::passes(&body);
}

/// It is given something that the parent's engines or sessions are behind.
fn needs_the_parent(function: &Function) -> bool {
    let kinds = ["anz_engine_t *", "anz_conn_t *", "anz_group_t *"];
    let takes = |kind: &str| kinds.contains(&kind.trim_start_matches("const ").trim());
    function.arguments.iter().any(|argument| takes(&argument.kind))
}

const BEFORE: &str = r#"
    prepare();
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&ev, &msg), ANZ_OK);
#define FAILS(name)                                                                \
    do {                                                                           \
        fprintf(stderr, "%s in a child: %s\n", name, anz_status_name((anz_status_t)r)); \
        _exit(1);                                                                  \
    } while (0)
#define CHILD(what)                                                                \
    do {                                                                           \
        int ended;                                                                 \
        pid_t child = fork();                                                      \
        CHECK(child >= 0);                                                         \
        if (child == 0) {                                                          \
            long r;                                                                \
            alarm(20);                                                             \
            what                                                                   \
            _exit(0);                                                              \
        }                                                                          \
        CHECK(waitpid(child, &ended, 0) == child);                                 \
        bad += ended != 0;                                                         \
    } while (0)
    int bad = 0;
"#;

const AFTER: &str = r#"
    CHECK(bad == 0);
    /* It was no business of the parent's. */
    anz_msg_release(msg);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    IS(anz_mcast(group, ANZ_AGREED, "y", 1, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    CHECK(ev.len == 1 && ((const char *)ev.data)[0] == 'y');
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    tidy_up();
"#;
