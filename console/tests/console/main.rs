//! The console as people and scripts meet it: the real program, against a real engine.

mod keys;
mod place;
mod rules;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anasazi_client::{Session, SessionOptions, SlowPolicy, SocketFile};
use serde_json::Value;

use place::{Place, Running, WAIT_MAX, console, run};

/// Arguments for an engine of the console's own, in a cluster of this test's own.
fn embedded(test: &str) -> Vec<String> {
    let mut arguments = vec!["--set".to_owned(), format!("cluster={test}-{}", std::process::id())];
    let daemon = ["/run/anasazi/anasazi.sock", "/etc/anasazi/anasazi.toml"];
    if daemon.iter().any(|path| Path::new(path).exists()) {
        // On a host with a daemon an engine of one's own has to be asked for.
        arguments.extend(["--url".to_owned(), "inproc:default".to_owned()]);
    }
    arguments
}

#[test]
fn two_terminals_find_each_other_without_a_daemon_and_talk() {
    let own = embedded("terminals");
    let arguments = |more: &[&'static str]| {
        own.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>().join("\n")
    };
    let first = arguments(&["chat", "room", "--name", "ada", "--wait-for", "2"]);
    let second = arguments(&["chat", "room"]);
    let mut ada = Running::start(&first.split('\n').collect::<Vec<_>>());
    let mut ben = Running::start(&second.split('\n').collect::<Vec<_>>());
    ada.say("is anybody here?");
    ben.await_line(&["ada: is anybody here?"]);
    ben.say("yes");
    ada.await_line(&["] yes"]);
    ada.end_of_input();
    assert_eq!(ada.await_end(), Some(0));
    ben.await_line(&["left", "leave"]);
    ben.end_of_input();
    assert_eq!(ben.await_end(), Some(0));
}

#[test]
fn nobody_is_told_of_a_message_that_nobody_could_get() {
    let own = embedded("alone");
    let mut arguments: Vec<&str> = own.iter().map(String::as_str).collect();
    arguments.extend(["--timeout", "0.5", "send", "room", "hello"]);
    run(&arguments).expect(124, &["nobody else was found in group room"]);
}

#[test]
fn a_piped_chat_ends_after_its_last_line_is_delivered() {
    let place = Place::new();
    let mut chat = place.start(&["chat", "room"]);
    for number in 1..=500 {
        chat.say(&format!("line {number}"));
    }
    chat.end_of_input();
    chat.await_line(&["] line 500"]);
    assert_eq!(chat.await_end(), Some(0));
    assert_eq!(chat.seen.iter().filter(|line| line.contains("] line ")).count(), 500);
}

#[test]
fn an_interrupted_chat_leaves_cleanly() {
    let place = Place::new();
    let mut watcher = place.start(&["--json", "monitor", "room"]);
    watcher.await_json(&["view"]);
    let mut chat = place.start(&["chat", "room"]);
    chat.await_line(&["* you are"]);
    chat.signal("-INT");
    assert_eq!(chat.await_end(), Some(0));
    let view = watcher.await_json(&["\"leave\""]);
    assert_eq!(view["left"].as_array().map(Vec::len), Some(1), "{view}");
}

#[test]
fn what_is_sent_is_seen_by_a_monitor_in_order() {
    let place = Place::new();
    let mut monitor = place.start(&["--json", "monitor", "room", "--count", "3"]);
    monitor.await_json(&["\"view\""]);
    place.run(&["send", "room", "first"]).expect(0, &[]);
    place.run(&["--json", "send", "room", "--safe", "second"]).expect(0, &["{\"sent\":1}"]);
    let mut lines = place.start(&["send", "room", "-"]);
    lines.say("third");
    lines.end_of_input();
    assert_eq!(lines.await_end(), Some(0));
    for (number, text, service) in
        [(1, "first", "agreed"), (2, "second", "safe"), (3, "third", "agreed")]
    {
        let message = monitor.await_json(&["\"message\""]);
        assert_eq!(message["text"], text);
        assert_eq!(message["service"], service);
        assert_eq!(message["sequence"], number);
    }
    assert_eq!(monitor.await_end(), Some(0));
}

#[test]
fn messages_cannot_steer_the_terminal() {
    let place = Place::new();
    let mut chat = place.start(&["chat", "room"]);
    chat.await_line(&["* you are"]);
    place.run(&["send", "room", "\u{1b}[2Jboo"]).expect(0, &[]);
    let line = chat.await_line(&["boo"]);
    assert!(!line.contains('\u{1b}'), "{line}");
}

#[test]
fn a_reader_that_goes_away_ends_the_chat() {
    let place = Place::new();
    let mut command = console(&["--url", &place.url(), "chat", "room"]);
    let mut chat = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(chat.stdout.take());
    let mut input = chat.stdin.take().unwrap();
    writeln!(input, "hello").unwrap();
    let mut chat =
        Running { child: chat, input: Some(input), lines: channel().1, seen: Vec::new() };
    assert_eq!(chat.await_end(), Some(0));
}

#[test]
fn a_chat_outlives_its_engine() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("anasazi.sock");
    let listen = format!("client.listen={}", socket.display());
    // An engine in a process that can be killed.
    let host = || {
        let alone = ["--set", "transport.multicast=off", "--url", "inproc:host"];
        let mut host =
            Running::start(&[&["--set", &listen], &alone[..], &["chat", "host"]].concat());
        host.await_line(&["* you are"]);
        host
    };
    let first = host();
    let mut chat = Running::start(&["--url", &format!("shm:{}", socket.display()), "chat", "room"]);
    chat.await_line(&["* you are"]);
    drop(first);
    chat.await_line(&["* the engine is gone"]);
    let _second = host();
    chat.await_line(&["* the engine is back"]);
    chat.await_line(&["* you are"]);
    chat.say("still here");
    chat.await_line(&["] still here"]);
    chat.end_of_input();
    assert_eq!(chat.await_end(), Some(0));
}

#[test]
fn every_question_is_answered_for_people_and_for_programs() {
    let place = Place::new();
    for (question, word, key) in [
        ("status", "state", "state"),
        ("members", "NODE", "members"),
        ("groups", "GROUP", "groups"),
        ("sessions", "PID", "sessions"),
        ("stats", "COUNTER", "protocol"),
        ("events", "WHAT", "events"),
        ("config", "ring.token_loss_ms", "config"),
    ] {
        place.run(&[question]).expect(0, &[word]);
        let answer = place.run(&["--json", question]);
        answer.expect(0, &[]);
        let value: Value = serde_json::from_str(&answer.stdout).expect("JSON");
        assert!(!value[key].is_null(), "{question}: {value}");
    }
    place.run(&["query", r#"{"query":"status"}"#]).expect(0, &["\"cluster\""]);
}

/// Whoever keeps a claim open for longer than a second is named: in the table, in JSON and among
/// the events.
#[test]
fn an_open_claim_is_shown() {
    let place = Place::new();
    let options = SessionOptions {
        send_ring_len: 4 << 20,
        receive_ring_len: 4 << 20,
        connect_timeout: WAIT_MAX,
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    };
    let connector = Arc::new(SocketFile(place.socket()));
    let session = Session::open(connector, options).expect("a session");
    let group = session.join("room", 0, 0).expect("a group");
    let pid = std::process::id();
    let row = || {
        let shown = place.run(&["sessions"]);
        shown.expect(0, &["OPEN CLAIM"]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut rows = shown.stdout.lines().map(words);
        rows.find(|row| row.contains(&pid.to_string())).expect("its row")
    };
    assert_eq!(row().last().map(String::as_str), Some("-"));
    let claim = group.claim(16).expect("room");
    let until = Instant::now() + WAIT_MAX;
    // How long is said in seconds.
    let is_long = |row: &[String]| row[row.len() - 2].parse().is_ok_and(|s: f64| s >= 1.0);
    while row().last().map(String::as_str) == Some("-") || !is_long(&row()) {
        assert!(Instant::now() < until, "nobody sees that it is open: {:?}", row());
        thread::sleep(Duration::from_millis(50));
    }
    // It is told when it is looked at again.
    let what = format!("of process {pid} keeps a claim open");
    while !place.run(&["events"]).stdout.contains(&what) {
        assert!(Instant::now() < until, "nobody is told");
        thread::sleep(Duration::from_millis(50));
    }
    place.run(&["--json", "sessions"]).expect(0, &["claim_open_ms"]);
    group.abort(&claim).expect("given back");
    while row().last().map(String::as_str) != Some("-") {
        assert!(Instant::now() < until, "it stays open");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn shutdown_ends_the_engine() {
    let place = Place::new();
    place.run(&["shutdown"]).expect(0, &["leaves the cluster"]);
    let until = Instant::now() + WAIT_MAX;
    while !place.engine.has_ended() {
        assert!(Instant::now() < until, "it goes on");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn domains_are_shown_and_can_be_named() {
    let place = Place::with(&[("domain.fast.ring.window", "64")]);
    place.run(&["domains"]).expect(0, &["DOMAIN", "default", "fast", "127.0.0.1:"]);
    let address = |domain: &str| {
        let ended = place.run(&["--json", "status", "--domain", domain]);
        let status: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!(status["domain"], *domain);
        status["address"].clone()
    };
    assert_ne!(address("default"), address("fast"));
    place.run(&["status", "--domain", "fast"]).expect(0, &["domain", "fast"]);
    for command in ["members", "groups", "stats"] {
        place.run(&[command, "--domain", "fast"]).expect(0, &[]);
        let known = ["no domain \"fst\"", "default, fast"];
        place.run(&[command, "--domain", "fst"]).expect(1, &known);
    }
    place.run(&["config"]).expect(0, &["domain.fast.ring.window", "64"]);
    place.run(&["send", "fast/room", "text"]).expect(0, &[]);
}

#[test]
fn domains_are_added_and_removed() {
    let place = Place::new();
    let add = ["domains", "add", "slow", "preset=wan", "ring.window=64"];
    let section = ["[domain.slow]", "preset = \"wan\"", "ring.window = 64", "configuration file"];
    place.run(&add).expect(0, &section);
    place.run(&["domains"]).expect(0, &["slow", ", added"]);
    place.run(&add).expect(1, &["\"slow\" is there already"]);
    place.run(&["send", "slow/room", "text"]).expect(0, &[]);
    place.run(&["--json", "domains", "remove", "slow"]).expect(0, &["\"removed\":\"slow\""]);
    place.run(&["domains", "remove", "slow"]).expect(1, &["no domain \"slow\"", "default"]);
    place.run(&add).expect(0, &section);
    let removed = ["slow is removed, no session here was in a group of it"];
    place.run(&["domains", "remove", "slow"]).expect(0, &removed);
    place.run(&["domains", "remove", "default"]).expect(1, &["cannot be removed"]);
    place.run(&["domains", "add", "slow", "window"]).expect(2, &["KEY=VALUE"]);
    let unknown = ["did you mean domain.slow.ring.window?"];
    place.run(&["domains", "add", "slow", "ring.windo=64"]).expect(1, &unknown);
    place.run(&["--json", "domains"]).expect(0, &["\"added\":false"]);
}

#[test]
fn refusals_have_words_and_exit_code_1() {
    let place = Place::new();
    place.run(&["isolate", "1"]).expect(1, &["transport.allow_faults"]);
    place.run(&["heal"]).expect(1, &["transport.allow_faults"]);
    place.run(&["loss", "5"]).expect(1, &["transport.allow_faults"]);
    place.run(&["query", r#"{"query":"nonsense"}"#]).expect(1, &["nonsense", "status"]);
    place.run(&["send", "other/room", "text"]).expect(1, &["no domain \"other\"", "default"]);
    let mut large = place.start(&["send", "room", "-"]);
    large.say(&"x".repeat(1_100_000));
    large.end_of_input();
    assert_eq!(large.await_end(), Some(1));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    run(&[]).expect(2, &["Usage"]);
    run(&["nonsense"]).expect(2, &["nonsense"]);
    run(&["status", "--timeout", "soon"]).expect(2, &["not a number"]);
    run(&["status", "--timeout", "-1"]).expect(2, &[]);
    run(&["loss", "1001"]).expect(2, &["1001"]);
    run(&["isolate"]).expect(2, &["NODE"]);
    run(&["query", "garbage"]).expect(2, &["garbage", r#"{"query":"status"}"#]);
    run(&["query", "5"]).expect(2, &["a JSON object"]);
    run(&["--url", "inproc:x", "status"]).expect(2, &["inproc:x", "shm:/path.sock"]);
    run(&["--url", "http://x", "status"]).expect(2, &["http://x", "shm:/path.sock"]);
    run(&["--set", "ring.windwo=1", "status"]).expect(2, &["ring.window"]);
    run(&["--set", "ring.window", "status"]).expect(2, &["KEY=VALUE"]);
    let place = Place::new();
    place.run(&["chat", ""]).expect(2, &["1 to 255 bytes"]);
    place.run(&["monitor", &"g".repeat(256)]).expect(2, &["1 to 255 bytes"]);
}

#[test]
fn no_engine_is_exit_code_3() {
    let nowhere = run(&["--url", "shm:/nonexistent/a.sock", "status"]);
    nowhere.expect(3, &["/nonexistent/a.sock", "anasazid"]);
    let as_json = run(&["--json", "--url", "shm:/nonexistent/a.sock", "status"]);
    let value: Value = serde_json::from_str(&as_json.stderr).expect("JSON");
    assert_eq!(value["exit"], 3);
}

#[test]
fn the_end_of_the_time_is_exit_code_124() {
    let place = Place::new();
    place.run(&["--timeout", "0.2", "monitor", "room"]).expect(124, &["time is over"]);
}
