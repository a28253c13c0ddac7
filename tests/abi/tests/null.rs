//! NULL for every pointer of every function, one at a time and all at once: a status, never a
//! crash. The calls are made of the header, so a new function is in at once.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anasazi_abi::prototypes::{Argument, Function, functions};
use anasazi_abi::{compile_file, root, run};

#[test]
fn null_is_an_error_wherever_it_is_not_allowed() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("null.c");
    let (program, calls) = program();
    assert!(calls > 70, "{calls} calls");
    fs::write(&source, program).expect("a source file");
    let program = compile_file(&source, directory.path());
    let printed = run(Command::new("timeout").arg("60").arg(program));
    assert!(printed.ends_with("ok\n"), "{printed}");
}

/// The program, and how many calls it makes.
fn program() -> (String, usize) {
    let mut body = String::new();
    let mut calls = 0;
    for function in functions() {
        let pointers: Vec<usize> = (0..function.arguments.len())
            .filter(|at| function.arguments[*at].is_pointer())
            .collect();
        let each = pointers.iter().map(|at| vec![*at]);
        let all = (pointers.len() > 1).then(|| pointers.clone());
        for nulls in each.chain(all) {
            if nulls.len() == 1
                && STARTS_ENGINES
                    .contains(&(&function.name[..], argument_name(&function, nulls[0])))
            {
                continue;
            }
            call(&mut body, &function, &nulls);
            calls += 1;
        }
    }
    let check = root().join("tests/abi/c/check.h");
    let text = format!(
        "#define _GNU_SOURCE\n#include \"{}\"\n{PREPARED}\n{body}    puts(\"ok\");\n    \
         return 0;\n}}\n",
        check.display()
    );
    (text, calls)
}

fn argument_name(function: &Function, at: usize) -> &str {
    &function.arguments[at].name
}

fn call(body: &mut String, function: &Function, nulls: &[usize]) {
    let arguments: Vec<String> = function
        .arguments
        .iter()
        .enumerate()
        .map(|(at, argument)| match nulls.contains(&at) {
            true => "NULL".to_owned(),
            false => valid(function, argument),
        })
        .collect();
    let call = format!("{}({})", function.name, arguments.join(", "));
    let allowed = |at: &usize| may_be_null(function, &function.arguments[*at]);
    let line = match &function.returns[..] {
        "void" => format!("{call};"),
        "size_t" => format!("CHECK({call} == 0);"),
        returns if returns.contains('*') => format!("CHECK({call} == NULL);"),
        _ if function.name == "anz_has" => format!("CHECK({call} == 0);"),
        // It may work, or be refused for another reason.
        _ if nulls.iter().all(allowed) => format!("(void)!{call};"),
        _ => format!("IS({call}, ANZ_EINVAL);"),
    };
    // What succeeds may have made something or ended it: each call starts afresh.
    _ = writeln!(body, "    prepare();\n    {line}\n    tidy_up();");
}

/// The header says so, or the words of its comment do.
fn may_be_null(function: &Function, argument: &Argument) -> bool {
    let also = [
        ("anz_config_set_log", "fn"),
        ("anz_config_set_log", "user_data"),
        ("anz_config_set_loop", "user_data"),
        ("anz_conn_set_notify", "fn"),
        ("anz_conn_set_notify", "user_data"),
        ("anz_join", "user_data"),
    ];
    argument.may_be_null || also.contains(&(&function.name, &argument.name))
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

/// Where NULL means an engine with the default configuration, which would look for others here.
const STARTS_ENGINES: [(&str, &str); 2] = [("anz_engine_new", "cfg"), ("anz_connect", "url")];

const PREPARED: &str = r#"
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
static char buf[300], room[4096];
static void *made;
static size_t len;

static void notify(void *user_data) { (void)user_data; }

static void log_line(void *user_data, int level, const char *component, const char *text,
                     size_t text_len)
{
    (void)user_data, (void)level, (void)component, (void)text, (void)text_len;
}

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
    (void)notify, (void)log_line, (void)msg, (void)len, (void)made, (void)room, (void)buf;
    (void)claim, (void)member, (void)iov, (void)ops, (void)err;
"#;
