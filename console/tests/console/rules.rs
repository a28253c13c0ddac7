//! Rules of access: shown, read again, explained, and obeyed.

use std::io::Write;
use std::process::Stdio;

use crate::place::{Place, console, run};

#[test]
fn rules_are_shown_read_again_and_explained() {
    let place = Place::new();
    place.run(&["access", "show"]).expect(0, &["no rules", "access.file"]);
    place.run(&["access", "reload"]).expect(1, &["set access.file"]);
    place.run(&["access", "check", "join", "x"]).expect(0, &["allowed: ", "join default/x"]);
    let check = ["access", "check", "--uid", "61000", "connect"];
    place.run(&check).expect(1, &["refused: user 61000 may not", "client.allow_uids"]);

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("deny any send default/quiet\nallow  uid 61000 join,send fast/*\n");
    let path = file.to_str().expect("UTF-8");
    let place = Place::with(&[("access.file", path)]);
    let line = format!("{path}:2: allow uid 61000 join,send fast/*");
    place.run(&["access", "show"]).expect(0, &[&line]);
    place.run(&["send", "quiet", "text"]).expect(1, &["\"deny any send default/quiet\""]);
    let of = |more: &[&str]| place.run(&[&["access", "check", "--uid", "61000"], more].concat());
    of(&["send", "fast/x"]).expect(0, &["allowed: user 61000 may send to fast/x", ":2, \"allow"]);
    of(&["send", "x"]).expect(1, &["refused: ", "\"allow uid 61000 send default/x\""]);
    of(&["--gid", "5", "--gid", "6", "connect"]).expect(0, &["allowed: "]);
    of(&["sned", "x"]).expect(1, &["`operation` must be one of connect, join, send, query"]);
    of(&["send"]).expect(1, &["`name` must be"]);
    let tcp = ["access", "check", "--socket", "tcp://127.0.0.1:1", "connect"];
    place.run(&tcp).expect(1, &["refused: who comes by tcp://127.0.0.1:1"]);
    let in_json = place.run(&["--json", "access", "check", "--uid", "61000", "send", "x"]);
    in_json.expect(1, &[]);
    assert!(in_json.stdout.contains("\"allowed\":false"), "{}", in_json.stdout);
    for socket in ["foo", "shm:a.sock", "tcp://localhost:1", "tcp://127.0.0.1", "http://x", ""] {
        let check = ["access", "check", "--socket", socket, "connect"];
        place.run(&check).expect(2, &["allowed: shm:/path, unix:/path, tcp://ip:port or inproc"]);
    }
    let inproc = ["access", "check", "--socket", "inproc", "--gid", "5", "send", "fast/x"];
    place.run(&inproc).expect(1, &["refused: "]);

    write("allow any send *");
    place.run(&["access", "reload"]).expect(0, &[&format!("1 rules of {path} are in force now")]);
    place.run(&["send", "quiet", "text"]).expect(0, &[]);
    write("allow any sned *");
    let wrong = format!("{path}:1:11: \"sned\" is not allowed");
    place.run(&["access", "reload"]).expect(1, &[&wrong, "stay as they were"]);
    place.run(&["send", "quiet", "text"]).expect(0, &[]);
}

/// Each domain but `default` has a way of its own to the engine: an answer that comes over another
/// one says nothing of what was sent.
#[test]
fn a_refused_message_to_another_domain_is_exit_code_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules");
    std::fs::write(&file, "deny any send fast/quiet\nallow any all").expect("written");
    let path = file.to_str().expect("UTF-8");
    let stream = format!("unix:{}", directory.path().join("stream").display());
    let place = Place::with(&[
        ("access.file", path),
        ("client.listen_streams", &stream),
        ("domain.fast.turn.thread", "true"),
    ]);
    for url in [place.url(), stream] {
        let send = |group| run(&["--url", &url, "--json", "send", group, "text"]);
        for _ in 0..10 {
            let refused = send("fast/quiet");
            refused.expect(1, &["\\\"deny any send fast/quiet\\\""]);
            assert_eq!(refused.stdout, "");
            send("fast/loud").expect(0, &["{\"sent\":1}"]);
        }
    }
}

/// Rules that come while it sends: then receipts say it, which have no words.
#[test]
fn a_batch_of_which_a_message_is_refused_is_exit_code_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("allow any all");
    let path = file.to_str().expect("UTF-8");
    let place = Place::with(&[("access.file", path), ("domain.fast.ring.window", "64")]);
    for group in ["room", "fast/room"] {
        let mut monitor = place.start(&["--json", "monitor", group]);
        monitor.await_json(&["\"view\""]);
        let mut command = console(&["--url", &place.url(), "send", group, "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut send = command.spawn().expect("a console");
        let mut input = send.stdin.take().expect("a pipe");
        writeln!(input, "first").expect("it listens");
        monitor.await_json(&["first"]);
        write("deny any send default/room\ndeny any send fast/room\nallow any all");
        place.run(&["access", "reload"]).expect(0, &[]);
        writeln!(input, "second").expect("it listens");
        drop(input);
        let output = send.wait_with_output().expect("an end");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("1 of 2 messages were refused"), "{words}");
        assert!(words.contains("\"deny any send "), "{words}");
        write("allow any all");
        place.run(&["access", "reload"]).expect(0, &[]);
    }
}
