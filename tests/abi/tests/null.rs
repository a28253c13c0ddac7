//! NULL for every pointer of every function, one at a time and all at once: a status, never a
//! crash. The calls are made of the header, so a new function is in at once.

use std::fmt::Write;

use anasazi_abi::man::documented;
use anasazi_abi::prototypes::{Argument, Function, functions};
use anasazi_abi::sweep;

#[test]
fn null_is_an_error_wherever_it_is_not_allowed() {
    let (calls, count) = calls();
    assert!(count > 70, "{count} calls");
    sweep::passes(&calls);
}

/// The calls, and how many.
fn calls() -> (String, usize) {
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
    (body, calls)
}

fn argument_name(function: &Function, at: usize) -> &str {
    &function.arguments[at].name
}

fn call(body: &mut String, function: &Function, nulls: &[usize]) {
    let call = sweep::call(function, |at| nulls.contains(&at).then(|| "NULL".to_owned()));
    let allowed = |at: &usize| may_be_null(function, &function.arguments[*at]);
    let line = match &function.returns[..] {
        "void" => format!("{call};"),
        "size_t" => format!("CHECK({call} == 0);"),
        returns if returns.contains('*') => format!("CHECK({call} == NULL);"),
        _ if function.name == "anz_has" => format!("CHECK({call} == 0);"),
        // It may work, or be refused for another reason.
        _ if nulls.iter().all(allowed) => {
            let documented = documented(&function.name);
            format!("{{ int r = {call}; CHECK({documented}); }}")
        }
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

/// Where NULL means an engine with the default configuration, which would look for others here.
const STARTS_ENGINES: [(&str, &str); 2] = [("anz_engine_new", "cfg"), ("anz_connect", "url")];
