//! The examples do what they say, over daemons that come and go.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anasazi_abi::processes::{Cluster, Program};
use anasazi_abi::{compile, compile_file, release, root, run};

#[test]
fn chat_shows_the_same_to_everybody() {
    let cluster = Cluster::new();
    let _daemons = [cluster.start_daemon("a"), cluster.start_daemon("b")];
    let chat = compile("bindings/c-examples/chat.c", cluster.directory());
    let talk = |daemon: &str| {
        let url = cluster.url(daemon);
        Program::start(Command::new(&chat).args(["-u", &url, "-n", "4", "room"]))
    };
    let (mut first, mut second) = (talk("a"), talk("b"));
    first.expect("* 2 here");
    second.expect("* 2 here");
    first.type_lines("one\ntwo\n");
    second.type_lines("three\nfour");
    second.end_input();
    let messages = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !line.starts_with('*')).collect()
    };
    let (first, second) = (messages(first.finish()), messages(second.finish()));
    assert_eq!(first, second);
    let mut texts: Vec<&str> =
        first.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["four", "one", "three", "two"]);
}

#[test]
fn chat_survives_a_daemon_that_is_killed_and_one_that_is_stopped() {
    let cluster = Cluster::new();
    let mut daemon = cluster.start_daemon("a");
    let url = cluster.url("a");
    let program = compile("bindings/c-examples/chat.c", cluster.directory());
    let mut chat = Program::start(Command::new(program).args(["-u", &url, "room"]));
    chat.expect("* 1 here");
    for way in ["KILL", "TERM"] {
        run(Command::new("kill").args([format!("-{way}"), daemon.id().to_string()]));
        chat.expect("connecting again");
        daemon = cluster.start_daemon("a");
        chat.expect("* connected again");
        chat.expect("* 1 here");
        chat.type_lines(&format!("after {way}\n"));
        chat.expect(&format!("after {way}"));
    }
    chat.end_input();
    let printed = chat.finish();
    assert!(!printed.iter().any(|line| line.contains("ANZ_")), "{printed:?}");
}

/// Without an installed Anasazi: wherever the library was built.
#[test]
fn the_makefile_finds_the_source_tree() {
    let directory = tempfile::tempdir().expect("a directory");
    let examples = root().join("bindings/c-examples");
    let target = release().parent().expect("the target directory");
    let make = |target: &Path| {
        let mut command = Command::new("make");
        command
            .arg("-f")
            .arg(examples.join("Makefile"))
            .arg(format!("VPATH={}", examples.display()));
        // No pkg-config finds anything there.
        command.envs(["PKG_CONFIG_LIBDIR", "PKG_CONFIG_PATH"].map(|name| (name, directory.path())));
        command.env("CARGO_TARGET_DIR", target).env_remove("MAKEFLAGS");
        command.current_dir(directory.path()).output().expect("make")
    };
    let refused = make(&directory.path().join("nowhere"));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("run `make build`"), "{words}");
    let made = make(target);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for program in ["chat", "kv", "leader", "poll_loop", "work_queue"] {
        // It says how it is used, so that it has found its library.
        let ended = Command::new(directory.path().join(program)).output().expect("a program");
        assert_eq!(ended.status.code(), Some(2), "{program}: {ended:?}");
    }
}

#[test]
fn replicas_of_the_store_stay_equal() {
    let cluster = Cluster::new();
    let _daemons = [cluster.start_daemon("a"), cluster.start_daemon("b")];
    let kv = compile("bindings/c-examples/kv.c", cluster.directory());
    let replica =
        |daemon: &str| Program::start(Command::new(&kv).args(["store", &cluster.url(daemon)]));
    // One that finds its daemon by the environment.
    let mut command = Command::new(&kv);
    let third = Program::start(command.arg("store").env("ANASAZI_URL", cluster.url("b")));
    let mut replicas = [replica("a"), replica("b"), third];
    for (n, replica) in replicas.iter_mut().enumerate() {
        let sets: String = (0..50).map(|k| format!("set key{} {n}-{k}\n", k % 7)).collect();
        replica.type_lines(&format!("await 3 0\n{sets}await 3 150\ndump\n"));
    }
    for replica in &mut replicas {
        replica.expect("version 150");
        assert!(replica.printed.iter().any(|line| line.starts_with("* 3 agree")));
    }
    // Who comes later gets it all; what the others do meanwhile is lost to nobody.
    let mut late = replica("a");
    replicas[0].type_lines("set late yes\n");
    late.type_lines("await 4 151\nget late\ndump\n");
    late.expect("yes");
    late.expect("version 151");
    let state = |lines: &[String]| {
        let mut state: Vec<String> =
            lines.iter().filter(|line| line.starts_with("set ")).cloned().collect();
        state.sort_unstable();
        state
    };
    let [first, second, third] = replicas.each_ref().map(|replica| state(&replica.printed));
    assert_eq!(first.len(), 7);
    assert_eq!(first, second);
    assert_eq!(first, third);
    let late: Vec<String> =
        state(&late.printed).into_iter().filter(|line| !line.contains("late")).collect();
    assert_eq!(first, late);
}

#[test]
fn the_first_member_leads_until_it_leaves() {
    let cluster = Cluster::new();
    let _daemons = [cluster.start_daemon("a"), cluster.start_daemon("b")];
    let program = compile("bindings/c-examples/leader.c", cluster.directory());
    let mut members = ["a", "a", "b"].map(|daemon| {
        Program::start(Command::new(&program).args(["office", &cluster.url(daemon)]))
    });
    for member in &mut members {
        member.type_lines("await 3\nleader\n");
        // The view, and the answer: it waits for nothing any more.
        member.expect("of 3");
        member.expect("of 3");
    }
    let last = |member: &Program| member.printed.last().cloned().expect("a leader");
    let first_leader = last(&members[0]);
    assert!(members.iter().all(|member| last(member) == first_leader));
    // One after the other leaves; those that stay agree, and who is left at last leads.
    let [one, mut two, mut three] = members;
    one.finish();
    assert_eq!(two.expect("of 2"), three.expect("of 2"));
    two.finish();
    let last_leader = three.expect("of 1");
    three.type_lines("leader\n");
    assert_eq!(three.expect("of 1"), last_leader);
    // A session that begins anew is another member, and comes last.
    let mut late = Program::start(Command::new(&program).args(["office", &cluster.url("b")]));
    assert_eq!(late.expect("of 2"), last_leader.replace("of 1", "of 2"));
}

#[test]
fn work_is_done_by_somebody_and_all_know_by_whom() {
    let cluster = Cluster::new();
    let _daemons = [cluster.start_daemon("a"), cluster.start_daemon("b")];
    let program = compile("bindings/c-examples/work_queue.c", cluster.directory());
    let member = |daemon: &str| {
        Program::start(Command::new(&program).args(["chores", &cluster.url(daemon)]))
    };
    let mut members = [member("a"), member("b"), member("b")];
    for (n, member) in members.iter_mut().enumerate() {
        let work: String = (0..20).map(|k| format!("work item {n}-{k}\n")).collect();
        member.type_lines(&format!("await 3\n{work}done 60\ndump\n"));
    }
    let items = |program: &Program| -> Vec<String> {
        program.printed.iter().filter(|line| line.contains(" by ")).cloned().collect()
    };
    let of = |program: &mut Program| {
        while items(program).len() < 60 {
            program.expect(" by ");
        }
        items(program)
    };
    let first = of(&mut members[0]);
    assert!(members[1..].iter_mut().all(|member| of(member) == first));
    let worker = |line: &str| line.rsplit_once(" by ").map(|(_, who)| who.to_owned());
    let workers: BTreeSet<_> = first.iter().map(|line| worker(line)).collect();
    assert!(workers.len() == 3 && first.iter().all(|line| !line.ends_with(" by -")), "{first:?}");
    // Who comes later is told what was done, and gets its share of what is new.
    let mut late = member("a");
    late.type_lines("await 4\ndone 60\nwork more\ndone 61\ndump\n");
    late.expect(" more by ");
}

#[test]
fn engines_in_poll_loops_find_each_other() {
    let cluster = Cluster::new();
    let program = compile("bindings/c-examples/poll_loop.c", cluster.directory());
    let start = || {
        let mut command = Command::new(&program);
        for setting in cluster.settings() {
            command.args(["-s", &setting]);
        }
        Program::start(command.args(["-n", "60", "room"]))
    };
    let (mut first, mut second) = (start(), start());
    first.expect("view of 2");
    second.expect("view of 2");
    assert!(first.finish().len() >= 60);
    assert!(second.finish().len() >= 60);
}

/// What the pages for those who come from elsewhere show of this interface.
#[test]
fn the_programs_of_the_migration_pages_compile() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut count = 0;
    for page in ["FROM-CPG", "FROM-SPREAD"] {
        let path = root().join("docs").join(page).with_extension("md");
        let text = fs::read_to_string(path).expect("a page");
        let blocks = text.split("```c\n").skip(1).filter_map(|rest| rest.split_once("```"));
        for (block, _) in blocks.filter(|(block, _)| block.contains("anz_")) {
            count += 1;
            let source = directory.path().join(format!("{page}.c"));
            fs::write(&source, format!("{BEFORE}{block}{AFTER}")).expect("a file");
            compile_file(&source, directory.path());
        }
    }
    assert_eq!(count, 2, "one each");
}

/// What the snippets leave out.
const BEFORE: &str = "#include <anasazi.h>
static void use(const void *data, size_t len) { (void)data; (void)len; }
static void later(void) { }
static void now_are(size_t members) { use(NULL, members); }
int main(void)
{
    anz_conn_t *conn;
    anz_group_t *group, *room;
    anz_error_t err = {sizeof err, 0, 0, 0, \"\"};
    const char *msg = \"message\";
    size_t len = 7;
    (void)group; (void)room; (void)msg; (void)len; now_are(0); if (len == 0) later();
";
const AFTER: &str = "    return 0;
}
";

/// The memory of sessions has no name by which anybody could find it, or that would stay.
#[test]
fn no_session_leaves_a_name_in_shared_memory() {
    let cluster = Cluster::new();
    let daemon = cluster.start_daemon("a");
    let chat = compile("bindings/c-examples/chat.c", cluster.directory());
    let url = cluster.url("a");
    let mut chat = Program::start(Command::new(chat).args(["-u", &url, "room"]));
    chat.expect("* 1 here");
    for process in [daemon.id(), chat.id()] {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("its memory");
        assert!(maps.contains("/memfd:anasazi"), "the session's memory is there");
        assert!(!maps.contains("/dev/shm"), "{maps}");
    }
    let named = fs::read_dir("/dev/shm").expect("shared memory by name").flatten();
    let ours: Vec<_> = named
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("anasazi") || name.contains("anz"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    chat.end_input();
    chat.finish();
}
