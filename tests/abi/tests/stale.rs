//! Handles that are stale, of another kind, or nonsense, for every function that takes one: a
//! status, never a crash. The calls are made of the header, so a new function is in at once.

use std::fmt::Write;

use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::sweep;

/// The kinds of handles, and what the sweep calls a live one.
const KINDS: [(&str, &str); 5] = [
    ("anz_config_t", "cfg"),
    ("anz_engine_t", "running"),
    ("anz_conn_t", "conn"),
    ("anz_group_t", "group"),
    ("anz_msg_t", "kept"),
];

#[test]
fn a_handle_that_is_none_is_told_from_one_that_is() {
    let mut body = MADE.to_owned();
    let mut calls = 0;
    for function in functions() {
        for at in 0..function.arguments.len() {
            if let Some((kind, list)) = handle(&function.arguments[at].kind) {
                line(&mut body, &function, at, (kind, list));
                calls += 1;
            }
        }
    }
    assert!(calls > 35, "{calls} calls");
    sweep::passes(&body);
}

/// The kind of handle that an argument is, and whether it is a list of them.
fn handle(kind: &str) -> Option<(usize, bool)> {
    let words = || kind.split([' ', '*']).filter(|word| !word.is_empty() && *word != "const");
    let at = KINDS.iter().position(|(name, _)| words().eq([*name]))?;
    let stars = kind.matches('*').count();
    // With two stars and no `const` it is where a new handle goes.
    match (stars, kind.contains("const")) {
        (1, _) => Some((at, false)),
        (2, true) => Some((at, true)),
        _ => None,
    }
}

fn line(body: &mut String, function: &Function, at: usize, (kind, is_list): (usize, bool)) {
    let call = sweep::call(function, |place| match &function.arguments[place].name[..] {
        _ if place == at => Some(if is_list { "(void *)&bad" } else { "bad" }.to_owned()),
        // Looked at before the configuration.
        "url" => Some("\"inproc:stale\"".to_owned()),
        _ => None,
    });
    let check = match &function.returns[..] {
        "void" => format!("{call};"),
        "size_t" => format!("CHECK({call} == 0);"),
        returns if returns.contains('*') => format!("CHECK({call} == NULL);"),
        _ => format!("IS({call}, ANZ_ECLOSED);"),
    };
    let live = KINDS[kind].1;
    _ = writeln!(body, "    prepare();");
    _ = writeln!(body, "    for (i = 0; i < sizeof all / sizeof *all; i++) {{");
    _ = writeln!(body, "        void *bad = all[i];");
    _ = writeln!(body, "        if (bad != {live}) {{ {check} }}\n    }}\n    tidy_up();");
}

/// One live handle of each kind, one stale handle of each kind, and what never was a handle. Some
/// of the latter have the marks of one.
const MADE: &str = r#"
/* What the next one in the same place will be, and the first ones in the next places. */
#define BESIDE(one) (void *)((uintptr_t)(one) + 1), (void *)((uintptr_t)(one) + (1ull << 32)), \
    (void *)((uintptr_t)(one) + (2ull << 32)), (void *)((uintptr_t)(one) - 1)
    anz_engine_t *stale_engine;
    anz_conn_t *stale_conn;
    anz_group_t *stale_group;
    anz_config_t *stale_cfg;
    anz_msg_t *stale_msg, *kept;
    size_t i;
    int local;
    prepare();
    stale_engine = lonely_engine();
    stale_conn = connected(stale_engine);
    stale_group = joined(stale_conn, "room");
    IS(anz_conn_close(stale_conn), ANZ_OK);
    anz_engine_free(stale_engine);
    IS(anz_config_new(&stale_cfg), ANZ_OK);
    anz_config_free(stale_cfg);
    IS(anz_mcast(group, ANZ_AGREED, "x", 1, 0), ANZ_OK);
    ev = next_of(conn, ANZ_EV_MESSAGE);
    IS(anz_msg_retain(&ev, &kept), ANZ_OK);
    IS(anz_msg_retain(&ev, &stale_msg), ANZ_OK);
    anz_msg_release(stale_msg);
    IS(anz_release(conn, &ev, 1), ANZ_OK);
    ev.struct_size = sizeof ev;
    void *all[] = {
        stale_engine, stale_conn, stale_group, stale_cfg, stale_msg,
        running, conn, group, cfg, kept,
        &local, malloc(1), (void *)1,
        (void *)(uintptr_t)0xA2FFFFFFFFFFFFFF, (void *)(uintptr_t)0xA300FFFF00000001,
        (void *)(uintptr_t)0xA500FFFF00000001, (void *)(uintptr_t)-1,
        BESIDE(running), BESIDE(conn), BESIDE(group), BESIDE(cfg), BESIDE(kept),
        BESIDE(stale_engine), BESIDE(stale_conn), BESIDE(stale_group), BESIDE(stale_cfg),
        BESIDE(stale_msg),
    };
"#;
