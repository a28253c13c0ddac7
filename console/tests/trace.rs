//! `anasazi trace check` on what real engines wrote.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anasazi_engine::config::Settings;
use anasazi_engine::{Engine, EngineHandle};
use serde_json::Value;
use tempfile::TempDir;

const WAIT_MAX: Duration = Duration::from_secs(20);

/// Two engines that find each other, send, and leave.
struct Traces {
    directory: TempDir,
}

impl Traces {
    fn new() -> Self {
        let traces = Self { directory: tempfile::tempdir().expect("a directory") };
        let [a, b] = [free_address(), free_address()];
        let engines = [traces.engine("a", &a, &b), traces.engine("b", &b, &a)];
        wait_until("one ring", || {
            let text = console(&["--url", &traces.url("b"), "--json", "members"]).0;
            let members: Value = serde_json::from_str(&text).unwrap_or_default();
            members["members"].as_array().is_some_and(|list| list.len() == 2)
        });
        for text in ["one", "two"] {
            let sent = console(&["--url", &traces.url("a"), "send", "--safe", "talk", text]);
            assert_eq!(sent.2, Some(0), "{sent:?}");
        }
        engines.iter().for_each(EngineHandle::stop);
        wait_until("the end", || engines.iter().all(EngineHandle::has_ended));
        wait_until("the files", || {
            let is_whole = |name: &&str| {
                let text = traces.text(name);
                text.ends_with('\n')
                    && text.lines().last().is_some_and(|l| l.contains("\"stopped\""))
            };
            ["a", "b"].iter().all(is_whole)
        });
        traces
    }

    fn engine(&self, name: &str, bind: &str, peer: &str) -> EngineHandle {
        let mut settings = Settings::new();
        let (socket, trace) = (self.path(&format!("{name}.sock")), self.path(name));
        for (key, value) in [
            ("transport.multicast", "off"),
            ("transport.bind", bind),
            ("transport.peers", peer),
            ("client.listen", socket.to_str().unwrap()),
            ("trace.file", trace.to_str().unwrap()),
        ] {
            settings.set(key, value).unwrap();
        }
        Engine::new(settings.validate().unwrap()).unwrap().spawn(name).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("shm:{}", self.path(&format!("{name}.sock")).display())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a trace")
    }

    fn check(&self, names: &[&str]) -> (String, String, Option<i32>) {
        let paths: Vec<_> = names.iter().map(|n| self.path(n).display().to_string()).collect();
        let mut arguments = vec!["--json", "trace", "check"];
        arguments.extend(paths.iter().map(String::as_str));
        console(&arguments)
    }
}

fn console(arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anasazi"));
    command.env_remove("ANASAZI_URL").args(arguments).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("a run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(stdout), text(stderr), status.code())
}

fn free_address() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + WAIT_MAX;
    while !done() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn real_engines_keep_their_promises_and_a_forged_trace_is_found() {
    let traces = Traces::new();
    let good = traces.check(&["a", "b"]);
    assert_eq!(good.2, Some(0), "{good:?}");
    let verdict: Value = serde_json::from_str(&good.0).expect("JSON");
    assert_eq!((&verdict["verdict"], &verdict["processes"]), (&"holds".into(), &2.into()));
    let unchecked = verdict["unchecked"].to_string();
    assert!(unchecked.contains("G6") && unchecked.contains("at rest"), "{unchecked}");
    assert_eq!(verdict["deliveries"], 2 * verdict["messages"].as_u64().expect("a number"));

    assert_eq!(verdict["unended"], Value::Array(Vec::new()));

    let twice = traces.check(&["a", "b", "a"]);
    assert_eq!(twice.2, Some(2), "{twice:?}");
    assert!(twice.1.contains("/a: is given twice"), "{twice:?}");

    let alone = traces.check(&["a"]);
    assert_eq!(alone.2, Some(2), "{alone:?}");
    assert!(alone.1.contains(": no file has the log of"), "{alone:?}");

    forge(&traces.path("b"));
    let forged = traces.check(&["a", "b"]);
    assert_eq!(forged.2, Some(1), "{forged:?}");
    let verdict: Value = serde_json::from_str(&forged.0).expect("JSON");
    assert_eq!(verdict["axiom"], "B1", "{verdict}");
    assert_eq!(verdict["histories"].as_array().map(Vec::len), Some(2), "{verdict}");

    fs::write(traces.path("a"), "nonsense\n").unwrap();
    let unreadable = traces.check(&["a", "b"]);
    assert_eq!(unreadable.2, Some(2), "{unreadable:?}");
    assert!(unreadable.1.contains("line 1 is no record"), "{unreadable:?}");
}

/// Half a line is no end: that is said, before whatever comes of it.
#[test]
fn a_file_that_is_cut_off_is_named_first() {
    let traces = Traces::new();
    let paths = ["a", "b"].map(|name| traces.path(name).display().to_string());
    let check = |options: &[&str]| {
        let files = paths.iter().map(String::as_str);
        console(&["trace", "check"].iter().chain(options).copied().chain(files).collect::<Vec<_>>())
    };
    let whole = check(&["--complete"]);
    assert_eq!(whole.2, Some(0), "{whole:?}");
    assert!(!whole.0.contains("; taken as"), "{whole:?}");

    // Before the sender's first message has a place in the order.
    let text = traces.text("a");
    let sent = text.lines().position(|line| line.contains("\"send\"")).expect("a message");
    let slot = text.lines().skip(sent).position(|line| line.contains("\"slot\""));
    let line = sent + slot.expect("an ordinal");
    let kept: usize = text.lines().take(line).map(|line| line.len() + 1).sum();
    fs::write(traces.path("a"), &text[..kept + 9]).expect("room");
    let named = format!("{}: ends in the middle of line {}; taken as", paths[0], line + 1);
    let cut = check(&[]);
    assert_eq!(cut.2, Some(0), "{cut:?}");
    assert!(cut.0.starts_with(&named), "{cut:?}");
    let at_rest = check(&["--quiesced"]);
    assert_eq!(at_rest.2, Some(1), "{at_rest:?}");
    assert!(at_rest.0.starts_with(&named) && at_rest.0.contains("still runs"), "{at_rest:?}");
    let complete = check(&["--complete"]);
    assert_eq!(complete.2, Some(2), "{complete:?}");
    assert!(complete.1.contains(&format!("in the middle of line {}", line + 1)), "{complete:?}");
}

/// Another content in every message that is delivered.
fn forge(path: &Path) {
    let text = fs::read_to_string(path).expect("a trace");
    let forged: Vec<String> = (text.lines())
        .map(|line| {
            let mut record: Value = serde_json::from_str(line).expect("a record");
            if let Some(hash) = record.pointer_mut("/entry/trace/deliver/hash") {
                *hash = 1.into();
            }
            record.to_string()
        })
        .collect();
    fs::write(path, forged.join("\n") + "\n").expect("room");
}
