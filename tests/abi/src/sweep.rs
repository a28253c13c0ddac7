//! C programs that are made of the header: calls of its functions with arguments of which all but
//! some are good ones.

use std::fs;
use std::process::Command;

use crate::prototypes::{Argument, Function};
use crate::{compile_with, root, run};

/// Compiles such calls, each a line or more, and runs them.
///
/// # Panics
/// If one of them does not do what its line says.
pub fn passes(calls: &str) {
    runs(&format!("{PREPARED}\n{calls}    puts(\"ok\");\n    return 0;\n}}\n"));
}

/// Compiles a program that uses `check.h` and says `ok` at its end, and runs it.
///
/// # Panics
/// If it does not.
pub fn runs(program: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("sweep.c");
    let text = format!("#define _GNU_SOURCE\n#include \"check.h\"\n{program}");
    fs::write(&source, text).expect("a source file");
    let beside = format!("-I{}", root().join("tests/abi/c").display());
    let program = compile_with(&source, directory.path(), &[beside]);
    let printed = run(Command::new("timeout").arg("200").arg(program));
    assert!(printed.ends_with("ok\n"), "{printed}");
}

/// A call with these arguments, and good ones in the other places.
pub fn call(function: &Function, given: impl Fn(usize) -> Option<String>) -> String {
    let arguments = function.arguments.iter().enumerate();
    let arguments: Vec<String> = arguments
        .map(|(at, argument)| given(at).unwrap_or_else(|| valid(function, argument)))
        .collect();
    format!("{}({})", function.name, arguments.join(", "))
}

fn valid(function: &Function, argument: &Argument) -> String {
    let text = match (&argument.kind[..], &argument.name[..]) {
        (_, "cfg") => "cfg",
        (_, "e") => "engine",
        ("anz_conn_t *" | "const anz_conn_t *", _) => "conn",
        ("anz_group_t *" | "const anz_group_t *", _) => "group",
        (_, "groups") => "&group",
        ("anz_claim_t *", "c") => "&claim",
        (_, "m") if function.name.starts_with("anz_msg") => "msg",
        (_, "m") => "&member",
        ("uint32_t", "events") => "0",
        (_, "ev" | "events") => "&ev",
        (_, "iov") => "&iov",
        (_, "ops") => "&ops",
        (_, "err") => "&err",
        ("anz_conn_stats_t *", "out") => "&stats",
        (kind, "out") if kind.ends_with("**") => "(void *)&made",
        (_, "out") => "(void *)&room",
        ("size_t *", "len") => "&len",
        (_, "buf") => "buf",
        (_, "url") => "\"nonsense\"",
        (_, "key") => "\"cluster\"",
        (_, "json" | "value" | "path" | "name" | "domain" | "feature" | "data") => "\"x\"",
        (_, "cap") => "sizeof buf",
        (_, "len" | "n" | "max") => "1",
        (_, "service") => "ANZ_AGREED",
        (_, "level") => "ANZ_LOG_INFO",
        (_, "to") => "member",
        (_, "fn") if function.name == "anz_conn_set_notify" => "notify",
        (_, "fn") => "log_line",
        (_, "user_data") => "&room",
        _ => "0",
    };
    text.to_owned()
}

const PREPARED: &str = r#"
#include "callees.h"
#include <sys/wait.h>
#include <unistd.h>

static anz_engine_t *engine, *running;
static anz_config_t *cfg;
static anz_conn_t *conn;
static anz_group_t *group;
static anz_msg_t *msg;
static anz_event_t ev;
static anz_claim_t claim;
static anz_member_t member;
static anz_iov_t iov = {(void *)(uintptr_t)1, 0};
static anz_loop_ops_t ops = {sizeof(anz_loop_ops_t), 0, NULL, NULL};
static anz_error_t err = {sizeof(anz_error_t), 0, 0, 0, {0}};
static anz_conn_stats_t stats;
static char buf[300];
static char room[2 * 4096] __attribute__((aligned(8)));
static void *made;
static size_t len;

static const anz_loop_ops_t good_ops = {sizeof(anz_loop_ops_t), 0, watch, timer};

static void prepare(void)
{
    if (conn != NULL && anz_conn_wait(conn, 0) != ANZ_ECLOSED)
        return;
    running = lonely_engine();
    conn = connected(running);
    group = joined(conn, "room");
    stats.struct_size = sizeof stats;
    ev.struct_size = sizeof ev;
    IS(anz_config_new(&cfg), ANZ_OK);
    engine = running;
}

static void tidy_up(void)
{
    anz_event_t got;
    got.struct_size = sizeof got;
    while (anz_recv(conn, &got, 1) > 0)
        IS(anz_release(conn, &got, 1), ANZ_OK);
}

int main(void)
{
    (void)msg, (void)len, (void)made, (void)room, (void)buf;
    (void)claim, (void)member, (void)iov, (void)ops, (void)err, (void)good_ops;
"#;
