//! C programs against the library, each a test of its own. They say where they fail.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anasazi_abi::processes::Cluster;
use anasazi_abi::prototypes::{Function, functions};
use anasazi_abi::{compile, release, root, run};

fn passes(name: &str) {
    passes_with(name, &[]);
}

/// What it printed.
fn passes_with(name: &str, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let name = if name.contains('.') { name.to_owned() } else { format!("{name}.c") };
    let program = compile(&format!("tests/abi/c/{name}"), directory.path());
    // Whatever hangs is a failure too.
    let mut command = Command::new("timeout");
    let output = command.arg("100").arg(program).args(arguments).output().expect("a program");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (printed, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && printed.ends_with("ok\n"), "{printed}\n{complaints}");
    // The library says nothing by itself, whatever happens in it.
    assert_eq!(complaints, "");
    printed
}

#[test]
fn a_session_does_all_that_it_can_do() {
    passes("session");
}

/// In a network of its own, in which there is nobody.
#[test]
fn null_means_what_is_usual() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = compile("tests/abi/c/defaults.c", directory.path());
    let alone = |option: &str| {
        let mut command = Command::new("timeout");
        command.args(["100", "unshare", option, "sh", "-c"]);
        command.args([r#"ip link set lo up; exec "$0""#]).arg(&program);
        command
    };
    let may = |option: &str| {
        let status = Command::new("unshare").args([option, "true"]).output();
        status.is_ok_and(|output| output.status.success())
    };
    match ["-n", "-rn"].into_iter().find(|option| may(option)) {
        Some(option) => assert!(run(&mut alone(option)).ends_with("ok\n")),
        None => eprintln!("skipped: no right to make a network namespace"),
    }
}

#[test]
fn every_way_of_sending_does_what_it_says_or_is_refused() {
    passes("services");
}

#[test]
fn groups_of_two_domains_know_nothing_of_each_other() {
    passes("domains");
}

#[test]
fn what_comes_over_a_bridge_and_who_is_beyond_it_can_be_told() {
    passes("bridged");
}

#[test]
fn every_cause_of_a_view_and_the_transitional_signal_are_seen() {
    let settings = Cluster::new().settings();
    passes_with("views", &settings.each_ref().map(String::as_str));
}

#[test]
fn a_priority_goes_before_what_waits_of_its_session() {
    passes("priorities");
}

#[test]
fn a_broken_invariant_is_told_to_all_and_the_program_lives() {
    passes("broken");
}

#[test]
fn a_child_cannot_use_its_parents_handles_and_does_them_no_harm() {
    passes("forked");
}

#[test]
fn a_callback_may_call_back_in() {
    passes("callback");
}

#[test]
fn a_call_tells_that_there_is_something_to_receive() {
    passes("notify");
}

#[test]
fn a_session_that_does_not_read_gets_what_it_chose() {
    passes("slow");
}

#[test]
fn a_sender_that_is_stopped_holds_up_nobody_and_is_named() {
    passes("stopped");
}

#[test]
fn it_leaves_signals_and_all_else_of_the_process_as_they_were() {
    passes("guest");
}

#[test]
fn two_copies_live_in_one_process_and_stay_when_they_are_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let library = release().join("libanasazi.so.1");
    let copy = directory.path().join("libcopy.so");
    fs::copy(&library, &copy).expect("a copy");
    let paths = [&library, &copy].map(|path| path.to_str().expect("a path"));
    passes_with("copies", &paths);
}

#[test]
fn a_c89_program_opens_the_library_and_finds_everything_in_its_table() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("legacy");
    let in_place = |function: Function| {
        let short = function.name.strip_prefix("anz_").expect("the prefix of all names").to_owned();
        if short == "get_api" { String::new() } else { format!("IN_PLACE({short});") }
    };
    let all: String = functions().into_iter().map(in_place).collect();
    run(Command::new("cc")
        .args(["-std=c89", "-O1", "-g", "-Wall", "-Wextra", "-pedantic", "-Werror"])
        // C89 has no stdint.h; with the system's one, long long comes along.
        .args(["-Wno-long-long", "-I"])
        .arg(root().join("include"))
        .arg(format!("-DALL_FUNCTIONS={all}"))
        .arg("-o")
        .arg(&program)
        .arg(root().join("tests/abi/c/legacy.c"))
        .arg("-ldl"));
    let library = release().join("libanasazi.so.1");
    let printed = run(Command::new("timeout").arg("60").arg(program).arg(library));
    assert!(printed.ends_with("ok\n"), "{printed}");
}

#[test]
fn owners_in_cpp_give_back_what_they_own_and_errors_say_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("settings.toml");
    fs::write(&file, "transport.multicast = \"off\"\n").expect("written");
    passes_with("raii.cc", &[file.to_str().expect("a path")]);
}

/// What `raii.cc` does not use may be wrong.
#[test]
fn every_member_for_cpp_is_used() {
    let read = |path| fs::read_to_string(root().join(path)).expect("a file");
    let (header, program) = (read("include/anasazi.hpp"), read("tests/abi/c/raii.cc"));
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut members = BTreeSet::new();
    let mut is_private = false;
    for line in header.lines() {
        is_private = (is_private && !line.contains("public:")) || line.contains("private:");
        // As the header is laid out: members are declared at four columns, in a line of their own.
        let declared = line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', ':', '}']));
        let Some((before, _)) = declared.and_then(|line| line.split_once('(')) else { continue };
        let name = before.rsplit(|c: char| !is_name(c)).next().unwrap_or_default();
        // The language itself calls these.
        let is_silent = ["begin", "end", "bool", "owned"].contains(&name);
        let is_call = ["return", "throw", "if", "check", "static_assert", ""].contains(&name)
            || name.starts_with("anz_")
            || before.contains(" = ")
            || before.contains('~');
        if !is_private && !is_call && !is_silent {
            members.insert(name.to_owned());
        }
    }
    assert!(members.len() > 30, "{members:?}");
    let unused = |name: &&String| {
        let calls =
            [format!(".{name}("), format!(" {name}("), format!("::{name}"), format!("){name}(")];
        !calls.iter().any(|call| program.contains(call))
    };
    let unused: Vec<_> = members.iter().filter(unused).collect();
    assert!(unused.is_empty(), "raii.cc does without {unused:?}");
}

// ---- what signal handlers may call: docs/TESTING.md has the list of proofs

/// The programs below make all calls of `safe_calls.h`: so these have to be all that the header
/// allows to a handler.
#[test]
fn the_calls_that_are_tried_in_handlers_are_those_that_the_header_allows() {
    let calls = fs::read_to_string(root().join("tests/abi/c/safe_calls.h")).expect("the calls");
    let named: BTreeSet<String> = calls
        .split("SAFE(\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .flat_map(|(names, _)| names.split(' ').map(str::to_owned))
        .collect();
    let tagged: BTreeSet<String> =
        functions().into_iter().filter(|f| f.has_tag("AS-Safe")).map(|f| f.name).collect();
    assert_eq!(named, tagged);
    // And are made, not only named.
    let made = |name: &&String| calls.contains(&format!("{name}("));
    assert!(named.iter().all(|name| made(&name)), "{named:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_handler_may_come_after_every_single_instruction() {
    passes("step");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_claim_that_two_end_at_once_ends_once() {
    passes("ends");
}

#[test]
fn a_storm_of_signals_loses_and_doubles_nothing() {
    passes("storm");
}

/// At least as many handlers as the timer alone has ticks.
#[test]
#[ignore = "a minute: soak.py signals"]
#[expect(clippy::print_stdout, reason = "the row of the ledger")]
fn a_storm_of_a_minute_loses_and_doubles_nothing() {
    let printed = passes_with("storm", &["60", "5000"]);
    let line = printed.lines().find(|line| line.contains("handlers=")).expect("a line of figures");
    let words = line.split(' ').find_map(|word| word.strip_prefix("handlers="));
    let handlers: u64 = words.and_then(|number| number.parse().ok()).expect("a number");
    println!("{line}");
    assert!(handlers >= 60 * 5_000, "{line}");
}

#[test]
fn a_handler_may_come_while_the_allocators_or_the_loaders_lock_is_held() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = root().join("tests/abi/c/inside.c");
    let (program, plugin) = (directory.path().join("inside"), directory.path().join("plugin.so"));
    let build = |output, flags: &[&str]| {
        let mut compiler = Command::new("cc");
        compiler.args(["-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I"]);
        run(compiler.arg(root().join("include")).arg(&source).arg("-o").arg(output).args(flags));
    };
    build(&plugin, &["-DPLUGIN", "-shared", "-fPIC"]);
    build(&program, &["-fno-builtin-malloc", "-lpthread", "-ldl"]);
    let library = release().join("libanasazi.so.1");
    let printed = run(Command::new("timeout").arg("100").arg(program).arg(library).arg(plugin));
    assert!(printed.ends_with("ok\n"), "{printed}");
}

#[test]
fn handlers_take_no_lock_no_memory_and_nothing_thread_local() {
    passes("traps");
    let directory = tempfile::tempdir().expect("a directory");
    let program = compile("tests/abi/c/traps.c", directory.path());
    let output = Command::new(program).arg("control").output().expect("a program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("malloc was called within a handler"), "the traps work: {said}");
}

#[test]
fn handlers_make_no_system_call_but_write() {
    passes("seccomp");
}

#[test]
fn handlers_are_content_with_the_smallest_of_stacks() {
    passes("stack");
}

#[test]
fn handlers_leave_errno_alone_whatever_comes_of_their_calls() {
    passes("errno");
}

#[test]
fn clients_may_be_stopped_and_killed_in_the_middle_of_sends() {
    let cluster = Cluster::new();
    let daemon = cluster.start_daemon("a");
    passes_with("killed", &[&cluster.url("a"), &daemon.id().to_string(), "60"]);
}

#[test]
fn clients_that_mean_harm_harm_themselves_only() {
    let clusters = [Cluster::new(), Cluster::new()];
    let [daemon, _other] = clusters.each_ref().map(|cluster| cluster.start_daemon("a"));
    let [url, other_url] = clusters.each_ref().map(|cluster| cluster.url("a"));
    let socket = |url: &str| url.split_once(':').expect("scheme and path").1.to_owned();
    let (process, rounds) = (daemon.id().to_string(), "60");
    let (socket, other_socket) = (socket(&url), socket(&other_url));
    passes_with("hostile", &[&url, &process, &socket, rounds, &other_url, &other_socket]);
}

#[test]
fn so_may_those_that_share_no_memory_with_the_daemon() {
    let cluster = Cluster::new();
    let daemon = cluster.start_streaming_daemon("a");
    for url in cluster.stream_urls("a") {
        passes_with("killed", &[&url, &daemon.id().to_string(), "12"]);
    }
}
