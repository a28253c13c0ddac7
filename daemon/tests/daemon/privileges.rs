//! What the daemon may do, and what it may not any more.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;
use std::sync::Arc;

use anasazi_client::{Session, SessionOptions, SlowPolicy, SocketFile};

use super::place::{Place, Running, WAIT_MAX, wait_until};

/// A user that every system has, and who is not root.
const USER: &str = "nobody";

fn is_root(place: &Place) -> bool {
    let is_root = fs::metadata(place.directory.path()).expect("it is there").uid() == 0;
    if !is_root {
        eprintln!("skipped: only root becomes another user");
    }
    is_root
}

/// A line of /proc/PID/status, of the thread that has that name in `task`.
fn status(daemon: &Running, what: &str) -> String {
    status_of(&format!("/proc/{}/status", daemon.child.id()), what)
}

fn status_of(path: &str, what: &str) -> String {
    let text = fs::read_to_string(path).expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    line.trim_start_matches(':').trim().to_owned()
}

fn id_of_user() -> u32 {
    let output = Command::new("id").args(["-u", USER]).output().expect("id");
    String::from_utf8(output.stdout).expect("text").trim().parse().expect("a number")
}

/// A place with a directory for state that is the user's own.
fn place() -> Place {
    let place = Place::new("");
    let text = format!(
        "client.listen = \"{}\"\nstate.dir = \"{}\"\ntransport.multicast = \"off\"\n",
        place.path("run/a.sock").display(),
        place.path("state").display()
    );
    fs::write(place.file(), text).expect("written");
    fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).expect("open");
    fs::create_dir(place.path("state")).expect("made");
    place
}

fn open(place: &Place) -> Session {
    let options = SessionOptions {
        send_ring_len: 64 << 10,
        receive_ring_len: 4 << 20,
        connect_timeout: WAIT_MAX,
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    };
    Session::open(Arc::new(SocketFile(place.path("run/a.sock"))), options).expect("a session")
}

#[test]
fn root_gives_up_what_it_does_not_need_and_all_goes_on() {
    let place = place();
    if !is_root(&place) {
        return;
    }
    let uid = id_of_user();
    chown(place.path("state"), Some(uid), None).expect("given");
    let mut daemon = place.start(&mut place.command(&["--user", USER]));
    daemon.wait_for_log("alone");
    daemon.wait_for_log("has become user nobody");
    daemon.wait_for_log("with no capabilities; no new privileges, no debuggers, no core files");
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.child.id())).expect("threads");
    for task in tasks {
        let path = task.expect("a thread").path().join("status").display().to_string();
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"] {
            assert_eq!(status_of(&path, set), "0000000000000000", "{set} of {path}");
        }
        assert_eq!(status_of(&path, "NoNewPrivs"), "1");
        let four = [uid; 4].map(|uid| uid.to_string()).join("\t");
        assert_eq!(status_of(&path, "Uid"), four);
        assert!(!status_of(&path, "Groups").split(' ').any(|group| group == "0"));
    }
    let memory = fs::metadata(format!("/proc/{}/maps", daemon.child.id())).expect("it runs");
    assert_eq!(memory.uid(), 0, "only root looks into it");
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");

    // What it has to make later it can: files of the state, a domain's sockets.
    let session = open(&place);
    let ask = |json: &str| session.query_blocking(json, WAIT_MAX);
    let add = r#"{"do":"add-domain","name":"later"}"#;
    let remove = r#"{"do":"remove-domain","name":"later"}"#;
    for _ in 0..2 {
        ask(add).expect("added");
        ask(remove).expect("removed");
    }
    // What it must not it cannot: the place is root's.
    let outside = format!(
        r#"{{"do":"add-domain","name":"out","settings":{{"trace.file":"{}"}}}}"#,
        place.path("trace").display()
    );
    let refused = ask(&outside).expect_err("it may not write there");
    assert!(refused.message.contains("ermission denied"), "{refused:?}");
    for entry in fs::read_dir(place.path("state")).expect("it is there") {
        let entry = entry.expect("a file");
        assert_eq!(entry.metadata().expect("a file").uid(), uid, "{}", entry.path().display());
    }
    drop(session);
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!place.path("run/a.sock").exists());

    // It comes back as the user alone, with what it had stored, as a session does that waited.
    let mut daemon = place.start(&mut place.command(&["--user", USER]));
    daemon.wait_for_log("alone");
    open(&place).query_blocking(r#"{"query":"status"}"#, WAIT_MAX).expect("it answers");
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_capability_is_kept_for_what_is_configured() {
    let place = place();
    if !is_root(&place) {
        return;
    }
    chown(place.path("state"), Some(id_of_user()), None).expect("given");
    let urgent = ["--user", USER, "--set", "thread.realtime_priority=1"];
    let daemon = place.start(&mut place.command(&urgent));
    daemon.wait_for_log("with CAP_SYS_NICE for thread.realtime_priority");
    // Where a container has none of these, it says so and ends.
    if !daemon.log().contains("cannot be had") {
        wait_until("the privileges", || status(&daemon, "CapEff") == "0000000000800000");
        assert_eq!(status(&daemon, "CapBnd"), "0000000000800000");
    }
    drop(daemon);
    let low = ["--user", USER, "--set", "transport.bind=127.0.0.1:799"];
    let mut daemon = place.start(&mut place.command(&low));
    daemon.wait_for_log("alone");
    assert_eq!(status(&daemon, "CapEff"), "0000000000000400", "CAP_NET_BIND_SERVICE");
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn who_is_not_root_has_nothing_to_give_up() {
    let place = place();
    if !is_root(&place) {
        return;
    }
    let uid = id_of_user();
    chown(place.path("state"), Some(uid), None).expect("given");
    fs::create_dir(place.path("run")).expect("made");
    chown(place.path("run"), Some(uid), None).expect("given");
    fs::copy(env!("CARGO_BIN_EXE_anasazid"), place.path("anasazid")).expect("copied");
    let start = |more: &[&str]| {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(place.path("anasazid"));
        command.args(["--config", &place.file()]).args(more).current_dir("/").uid(uid).gid(uid);
        place.start(&mut command)
    };
    let mut daemon = start(&[]);
    daemon.wait_for_log("alone");
    daemon.wait_for_log(&format!("runs as user {uid}; no new privileges"));
    assert_eq!(status(&daemon, "CapEff"), "0000000000000000");
    assert_eq!(status(&daemon, "NoNewPrivs"), "1");
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
    let mut refused = start(&["--user", "daemon"]);
    assert_eq!(refused.exit_code(), Some(2));
    refused.wait_for_log(&format!("only root becomes another user, and this is user {uid}"));
}

#[test]
fn users_that_cannot_be_are_refused_in_words() {
    let place = place();
    for (name, says) in [("no-such-user", "this system has no such user"), ("root", "is root")] {
        let ended = place.run(&["--user", name]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(&format!("--user {name}: {says}")), "{ended:?}");
    }
}

#[test]
fn debuggers_may_attach_where_that_is_asked_for() {
    let place = Place::new("");
    let mut daemon = place.start(&mut place.command(&["--debuggable"]));
    daemon.wait_for_log("debuggers may attach");
    daemon.wait_for_log("alone");
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}
