//! The daemon as its operator sees it: messages, exit codes, signals, systemd.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

mod access;
mod bridges;
mod cluster;
mod contracts;
mod floods;
mod guest;
mod place;
mod privileges;
mod removals;
mod seals;

use place::{Ended, Place, Running, WAIT_MAX, wait_until};

/// systemd's end of the notification socket.
struct Systemd {
    socket: UnixDatagram,
}

impl Systemd {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(WAIT_MAX)).expect("a timeout");
        Self { socket }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 256];
        let length = loop {
            match self.socket.recv(&mut bytes) {
                // A child was stopped or ended.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received.expect("a notice in time"),
            }
        };
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    }
}

#[test]
fn check_accepts_a_valid_file() {
    let place = Place::new("node.id = 3\n");
    let ended = place.run(&["--check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with(&format!("{}: valid\nwarning: ", place.file())), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

#[test]
fn check_reports_every_problem_with_its_place() {
    let place = Place::new("[ring]\ntoken_los_ms = 5\nwindow = \"many\"\n");
    let ended = place.run(&["--check"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    let file = place.file();
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            format!("{file}:4:1: ring.token_los_ms: unknown key; did you mean ring.token_loss_ms?"),
            format!(
                "{file}:5:10: ring.window: \"many\" is not allowed; allowed: 1 to 2048 (packets)"
            ),
        ]
    );
}

#[test]
fn check_speaks_json() {
    let place = Place::new("[ring]\nwindow = 0\n");
    let ended = place.run(&["--check", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), ""));
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["valid"], false);
    let problem = &report["problems"][0];
    assert_eq!(problem["key"], "ring.window");
    assert_eq!(problem["file"], place.file());
    assert_eq!((&problem["line"], &problem["column"]), (&4.into(), &10.into()));
    assert_eq!(problem["text"], "0 is out of range; allowed: 1 to 2048 (packets)");
}

#[test]
fn later_sources_override_earlier_ones() {
    let place = Place::new("log.level = \"warn\"\nnode.id = 1\ncluster = \"file\"\n");
    let origins = |options: &[&str], log: Option<&str>, directory: Option<&str>| {
        let mut command = place.command(&[&["--check", "--json"], options].concat());
        command.envs(log.map(|log| ("ANASAZI_LOG", log)));
        command.envs(directory.map(|directory| ("STATE_DIRECTORY", directory)));
        let ended = Ended::from(command.output().expect("a run"));
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        move |key: &str| {
            let entries = report["config"].as_array().expect("entries").iter();
            let entry = entries.clone().find(|entry| entry["key"] == key).expect("the key");
            let text = |field: &str| entry[field].as_str().expect("text").to_owned();
            (text("value"), text("origin"))
        }
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let of = origins(&["--set", "node.id=2"], Some("debug"), Some("/var/lib/anasazi:/x"));
    assert_eq!(of("node.id"), pair("2", "--set"));
    assert_eq!(of("log.level"), pair("debug", "$ANASAZI_LOG"));
    assert_eq!(of("state.dir"), pair("/var/lib/anasazi", "$STATE_DIRECTORY"));
    assert_eq!(of("cluster"), pair("file", &format!("{}:5:11", place.file())));
    assert_eq!(of("ring.window"), pair("512", "default"));
    let of = origins(&["--set=log.level=error", "--set", "state.dir="], Some("debug"), Some("/x"));
    assert_eq!(of("log.level"), pair("error", "--set"));
    assert_eq!(of("state.dir"), pair("", "--set"));
}

#[test]
fn a_bad_configuration_starts_nothing() {
    let place = Place::new("");
    for (options, message) in [
        (&["--set", "ring.window=0"][..], "--set: ring.window: 0 is out of range; allowed: 1 to"),
        (&["--set", "ring.window"], "--set: ring.window: has no value; write KEY=VALUE"),
        (&["--set", "=1"], "--set: : unknown key"),
        (&["--config"], "a value is required"),
        (&["--json"], "--check"),
        (&["--reset-state"], "state.dir is not set"),
    ] {
        let ended = place.run(options);
        assert_eq!(ended.code, Some(2), "{options:?} {ended:?}");
        assert!(ended.stderr.contains(message), "{options:?} {ended:?}");
        assert!(!place.path("anasazi.sock").exists());
    }
    let mut command = place.command(&[]);
    let ended = Ended::from(command.env("ANASAZI_LOG", "loud").output().expect("a run"));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("$ANASAZI_LOG: log.level: \"loud\" is not"), "{ended:?}");
    fs::remove_file(place.path("a.toml")).expect("removed");
    let ended = place.run(&[]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stderr, format!("{}: no such file\n", place.file()));
}

#[test]
fn what_is_missing_outside_has_its_own_exit_code() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let port = format!("UDP port {} of 127.0.0.1", address.port());
    let place = Place::new("");
    for (assignment, code, named) in [
        (format!("transport.bind={address}"), 4, port.as_str()),
        ("transport.bind=192.0.2.1:7000".to_owned(), 4, "192.0.2.1 (transport.bind)"),
        ("state.dir=/dev/null/state".to_owned(), 3, "/dev/null/state"),
        ("client.listen=/dev/null/a.sock".to_owned(), 5, "/dev/null/a.sock"),
        // No start of the unit would make it better.
        ("trace.file=/dev/null/trace".to_owned(), 2, "trace.file /dev/null/trace"),
        ("thread.cpus=1023".to_owned(), 2, "thread.cpus = [1023] cannot be had"),
    ] {
        let ended = place.run(&["--set", "seal.mode=checksum", "--set", &assignment]);
        assert_eq!(ended.code, Some(code), "{assignment} {ended:?}");
        assert!(ended.stderr.contains(named), "{assignment} {ended:?}");
    }
}

#[test]
fn systemd_hears_of_readiness_life_and_end() {
    let place = Place::new("");
    let systemd = Systemd::listen(&place.path("notify"));
    let mut command = place.command(&[]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "400000");
    let mut daemon = place.start(&mut command);
    let mut first = systemd.next();
    while first == "WATCHDOG=1" {
        first = systemd.next();
    }
    assert_eq!(first, "READY=1");
    let started = Instant::now();
    for _ in 0..5 {
        assert_eq!(systemd.next(), "WATCHDOG=1");
    }
    assert!(started.elapsed() < Duration::from_millis(5 * 400), "{:?}", started.elapsed());
    daemon.signal("-TERM");
    let mut last = systemd.next();
    while last == "WATCHDOG=1" {
        last = systemd.next();
    }
    assert_eq!(last, "STOPPING=1");
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!daemon.log().contains('\x1b'), "no colours in a file");
}

#[test]
fn sigint_leaves_and_sighup_does_not() {
    let place = Place::new("");
    let systemd = Systemd::listen(&place.path("notify"));
    let mut command = place.command(&[]);
    let mut daemon = place.start(command.env("NOTIFY_SOCKET", place.path("notify")));
    assert_eq!(systemd.next(), "READY=1");
    daemon.signal("-HUP");
    daemon.wait_for_log("SIGHUP: the configuration cannot be reloaded yet");
    assert!(daemon.child.try_wait().expect("a child").is_none());
    daemon.signal("-INT");
    daemon.wait_for_log("SIGINT: leaving the cluster");
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(daemon.log().trim_end().lines().last().is_some_and(|l| l.contains("left cleanly")));
}

#[test]
fn the_thread_runs_where_and_as_urgently_as_it_is_told() {
    let place = Place::new("node.id = 3\n");
    let status = |daemon: &Running, what: &str| {
        let path = format!("/proc/{}/status", daemon.child.id());
        let text = fs::read_to_string(path).expect("status");
        let line = text.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
        line.trim().to_owned()
    };
    let mut plain = place.start(&mut place.command(&[]));
    plain.wait_for_log("alone");
    let all = status(&plain, "Cpus_allowed_list:");
    plain.signal("-TERM");
    assert_eq!(plain.exit_code(), Some(0));
    let first = all.split([',', '-']).next().expect("one");
    let cpus = format!("thread.cpus={first}");
    let set = ["--set", &cpus, "--set", "thread.busy_poll_us=200"];
    let mut pinned = place.start(&mut place.command(&set));
    pinned.wait_for_log("alone");
    assert_eq!(status(&pinned, "Cpus_allowed_list:"), first);
    pinned.signal("-TERM");
    assert_eq!(pinned.exit_code(), Some(0));
    // It may be had, or is refused with the way out.
    let mut urgent = place.start(&mut place.command(&["--set", "thread.realtime_priority=1"]));
    let end = Instant::now() + Duration::from_secs(10);
    while !urgent.log().contains("alone") && urgent.child.try_wait().expect("a child").is_none() {
        assert!(Instant::now() < end, "{}", urgent.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    if urgent.log().contains("CAP_SYS_NICE") {
        assert_eq!(urgent.exit_code(), Some(2));
        return;
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", urgent.child.id())).expect("stat");
    let after_name = stat.rsplit(") ").next().expect("fields");
    let fields: Vec<&str> = after_name.split(' ').collect();
    // Of proc(5), counted from 1: rt_priority is 40, policy 41; two stand before.
    assert_eq!((fields[37], fields[38]), ("1", "2"), "SCHED_RR is 2");
    urgent.signal("-TERM");
    assert_eq!(urgent.exit_code(), Some(0));
}

#[test]
fn the_log_says_what_runs_where() {
    let place = Place::new("node.id = 3\n");
    let run = place.path("run");
    let listen = format!("client.listen={}/a.sock", run.display());
    let trace = format!("trace.file={}", place.path("trace").display());
    let mut daemon = place.start(&mut place.command(&["--set", &listen, "--set", &trace]));
    daemon.wait_for_log("alone");
    let log = daemon.log();
    for words in [
        concat!("anasazid ", env!("CARGO_PKG_VERSION")),
        &format!("configuration file: {}", place.file()),
        &format!("made {}", run.display()),
        "node 3 at 127.0.0.1:",
        &format!("client.listen {}/a.sock, state.dir none", run.display()),
        &format!("trace.file {}", place.path("trace").display()),
    ] {
        assert!(log.contains(words), "{words:?} is not in:\n{log}");
    }
    daemon.signal("-TERM");
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new("");
    let systemd = Systemd::listen(&place.path("notify"));
    let mut command = place.command(&[]);
    let mut daemon = place.start(command.env("NOTIFY_SOCKET", place.path("notify")));
    assert_eq!(systemd.next(), "READY=1");
    // Stopped, it gets both signals at once when it goes on: no engine turns between them.
    daemon.signal("-STOP");
    daemon.signal("-TERM");
    daemon.signal("-INT");
    daemon.signal("-CONT");
    let code = daemon.exit_code();
    assert!(matches!(code, Some(130 | 143)), "{code:?}");
}

#[test]
fn the_journal_gets_no_second_time() {
    let has_time = |as_journal: bool| {
        let place = Place::new("");
        let log = place.path("journal");
        let stderr = File::create(&log).expect("a file");
        let metadata = stderr.metadata().expect("metadata");
        let mut command = place.command(&["--set", "state.dir=/dev/null/state"]);
        if as_journal {
            let stream = format!("{}:{}", metadata.dev(), metadata.ino());
            command.env("JOURNAL_STREAM", stream);
        }
        let status = command.stderr(stderr).status().expect("a run");
        assert_eq!(status.code(), Some(3));
        let text = fs::read_to_string(log).expect("a log");
        let line = text.lines().find(|line| line.contains("ERROR")).expect("an error").to_owned();
        line.starts_with("20")
    };
    assert!(has_time(false));
    assert!(!has_time(true));
}

#[test]
fn log_filter_is_obeyed() {
    let place = Place::new("transport.allow_faults = true\n");
    let log = |filter: &str| {
        let ended = place.run(&["--set", "state.dir=/dev/null/x", "--set", filter]);
        (ended.stderr.contains("WARN"), ended.stderr.contains("ERROR"))
    };
    assert_eq!(log("log.level=info"), (true, true));
    assert_eq!(log("log.level=error"), (false, true));
    assert_eq!(log("log.level=off,anasazid=warn"), (true, true));
    assert_eq!(log("log.level=off"), (false, false));
}

/// A wrong answer is worse than none: the daemon writes what it was given last, and stops.
#[test]
fn a_broken_invariant_ends_the_daemon_with_a_record_of_its_last_flight() {
    for place in ["core", "engine"] {
        end_by_a_bug_in(place);
    }
}

fn end_by_a_bug_in(broken: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let recorder = format!("recorder.dir = \"{}\"\n", directory.path().display());
    let place = Place::new(&format!("transport.allow_faults = true\nnode.id = 3\n{recorder}"));
    let mut daemon = place.start(&mut place.command(&[]));
    daemon.wait_for_log("alone");
    let socket = anasazi_client::SocketFile(place.path("anasazi.sock"));
    let options = anasazi_client::SessionOptions {
        send_ring_len: 4 << 20,
        receive_ring_len: 4 << 20,
        connect_timeout: WAIT_MAX,
        connect_async: false,
        slow: anasazi_client::SlowPolicy::Disconnect,
    };
    let session =
        anasazi_client::Session::open(std::sync::Arc::new(socket), options).expect("a session");
    let request = format!("{{\"do\":\"break\",\"in\":\"{broken}\"}}");
    session.query(request.as_bytes(), 1).expect("a request");
    // Daemons are started again, and then their clients find them again.
    wait_until("a session that was told", || {
        let event = session.next_event(Some(WAIT_MAX)).expect("an event");
        matches!(event, Some(anasazi_client::OwnedEvent::Suspended { .. }))
    });
    assert_eq!(daemon.exit_code(), Some(6));
    assert!(daemon.log().contains("an invariant is broken"));
    let record = fs::read_to_string(directory.path().join("flight-3.txt")).expect("a record");
    assert!(record.contains("an administrator asked for it"), "{record}");
    assert!(daemon.log().contains("flight-3.txt; it was: an administrator"), "{}", daemon.log());
    assert!(record.contains("timeout") && record.contains("event: "), "{record}");
}
