//! Engines to ask, and the program that asks them.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anasazi_engine::config::Settings;
use anasazi_engine::{Engine, EngineHandle};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);

/// An engine that meets nobody, and listens.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) engine: EngineHandle,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With keys that are set to other values.
    pub(crate) fn with(values: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("anasazi.sock");
        let mut settings = Settings::new();
        values.iter().for_each(|(key, value)| settings.set(key, value).unwrap());
        settings.set("transport.multicast", "off").unwrap();
        settings.set("client.listen", socket.to_str().unwrap()).unwrap();
        let engine = Engine::new(settings.validate().unwrap()).unwrap();
        let engine = engine.spawn("engine").unwrap();
        Self { directory, engine }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("anasazi.sock")
    }

    pub(crate) fn url(&self) -> String {
        format!("shm:{}", self.socket().display())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(&[&["--url", &self.url()], arguments].concat())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&[&["--url", &self.url()], arguments].concat())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

pub(crate) fn console(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anasazi"));
    command.env_remove("ANASAZI_URL").args(arguments);
    command
}

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, words: &[&str]) {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(code), "{all}");
        for word in words {
            assert!(all.contains(word), "no {word:?} in: {all}");
        }
        assert!(!all.contains("panicked"), "{all}");
    }
}

/// Runs a command that is expected to end by itself; without input.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let output = console(arguments).stdin(Stdio::null()).output().expect("a run");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A console that talks; it ends with the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) lines: Receiver<String>,
    pub(crate) seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = console(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("a console");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        Self { child, input, lines, seen: Vec::new() }
    }

    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("not closed");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("it listens");
    }

    pub(crate) fn end_of_input(&mut self) {
        self.input = None;
    }

    /// The next line with all these words.
    #[track_caller]
    pub(crate) fn await_line(&mut self, words: &[&str]) -> String {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if words.iter().all(|word| line.contains(word)) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {words:?}; there were: {:#?}", self.seen)
                }
            }
        }
    }

    #[track_caller]
    pub(crate) fn await_json(&mut self, words: &[&str]) -> Value {
        serde_json::from_str(&self.await_line(words)).expect("JSON")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().expect("kill(1)");
        assert!(status.success());
    }

    /// Its exit code.
    #[track_caller]
    pub(crate) fn await_end(&mut self) -> Option<i32> {
        let until = Instant::now() + WAIT_MAX;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
