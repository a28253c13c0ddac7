//! One daemon: its files, its process, and what it says of itself.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anasazi_client::{Session, SessionOptions, SlowPolicy, SocketFile};
use serde_json::{Value, json};

use crate::network::Network;
use crate::pace::Pace;
use crate::place::Place;
use crate::sys;
use crate::trouble::Trouble;

/// How long a daemon that was asked to leave may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);
/// How long it may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_millis(300);
/// When a daemon certainly catches signals.
const CATCHES_AFTER: Duration = Duration::from_secs(1);

/// An anasazid at a node.
pub(crate) struct Daemon {
    node: usize,
    program: PathBuf,
    inside: [String; 2],
    config: PathBuf,
    log: PathBuf,
    socket: PathBuf,
    traces: PathBuf,
    starts: u32,
    started: Instant,
    child: Option<Child>,
    /// It was told to leave, or killed: its end is no surprise.
    is_leaving: bool,
    /// Its disk has no room.
    disk_is_full: bool,
    /// It was started on such a disk, and may refuse that.
    may_refuse: bool,
    asked: Option<Session>,
}

impl Daemon {
    /// Writes the configuration; starts nothing.
    pub(crate) fn new(
        node: usize,
        program: PathBuf,
        network: &Network,
        place: &Place,
        config: &str,
    ) -> Result<Self, Trouble> {
        let name = node + 1;
        let path = place.file(&format!("node{name}.toml"));
        fs::write(&path, config).map_err(Trouble::io("cannot write a configuration"))?;
        Ok(Self {
            node,
            program,
            inside: network.inside(node),
            config: path,
            log: place.file(&format!("node{name}.log")),
            socket: place.file(&format!("node{name}.sock")),
            traces: place.path().to_path_buf(),
            starts: 0,
            started: Instant::now(),
            child: None,
            is_leaving: false,
            disk_is_full: false,
            may_refuse: false,
            asked: None,
        })
    }

    /// Starts it, unless it runs; each start has a trace file of its own.
    pub(crate) fn start(&mut self) -> Result<(), Trouble> {
        if self.child.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(Trouble::io("cannot write a log"))?;
        let trace = self.traces.join(format!("node{}-{}.trace", self.node + 1, self.starts));
        let [enter, namespace] = &self.inside;
        let child = Command::new(enter)
            .arg(namespace)
            .arg(&self.program)
            .arg("--config")
            .arg(&self.config)
            .args(["--set", &format!("trace.file={}", trace.display())])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("ANASAZI_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(Trouble::io("cannot start a daemon"))?;
        (self.child, self.is_leaving, self.started) = (Some(child), false, Instant::now());
        self.may_refuse = self.disk_is_full;
        Ok(())
    }

    /// SIGKILL; false if it did not run.
    pub(crate) fn kill(&mut self) -> bool {
        self.asked = None;
        let Some(mut child) = self.child.take() else { return false };
        // Both fail only if it has ended already.
        let _ = child.kill();
        let _ = child.wait();
        true
    }

    /// Any other signal.
    pub(crate) fn signal(&self, signal: i32) {
        if let Some(child) = &self.child {
            // It fails only if the daemon has ended already, which others notice.
            let _ = sys::signal(child.id(), signal);
        }
    }

    /// SIGHUP; which nobody survives who has just begun and has not got to catching it.
    pub(crate) fn hang_up(&self) {
        if self.started.elapsed() > CATCHES_AFTER {
            self.signal(libc::SIGHUP);
        }
    }

    /// Its disk was filled, or has room again.
    pub(crate) fn disk_is_full(&mut self, is_full: bool) {
        self.disk_is_full = is_full;
        // It may not have got to its disk yet.
        self.may_refuse |= is_full && self.started.elapsed() < CATCHES_AFTER;
    }

    /// Asks it to leave.
    pub(crate) fn ask_to_leave(&mut self) {
        (self.is_leaving, self.asked) = (true, None);
        self.signal(libc::SIGTERM);
    }

    /// Waits until it has left, if it was asked to.
    pub(crate) fn await_end(&mut self, pace: &Pace) -> Result<(), Trouble> {
        let limit = Instant::now() + LEAVE_MAX;
        while self.is_leaving && self.child.is_some() {
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                self.child = None;
                if status.success() || self.is_refusal(status) {
                    return Ok(());
                }
                let text = format!("node {} left with {status}", self.node + 1);
                return Err(Trouble::Stuck(format!("{text}:\n{}", self.last_words())));
            }
            if Instant::now() > limit {
                let text = format!("node {} does not leave within {LEAVE_MAX:?}", self.node + 1);
                return Err(Trouble::Stuck(format!("{text}:\n{}", self.last_words())));
            }
            pace.wait(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// It could not store who it is: the one end that a full disk excuses.
    fn is_refusal(&self, status: ExitStatus) -> bool {
        self.may_refuse && status.code() == Some(EXIT_STATE)
    }

    /// Whether it has ended without having been told to, and without the excuse of a full disk; in
    /// any case it is not running any more then.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        let child = self.child.as_mut().filter(|_| !self.is_leaving)?;
        let status = child.try_wait().ok().flatten()?;
        (self.child, self.asked) = (None, None);
        if self.is_refusal(status) {
            return None;
        }
        Some(format!("node {} ended with {status}:\n{}", self.node + 1, self.last_words()))
    }

    /// What it answers to a query, if it does so soon.
    pub(crate) fn ask(&mut self, what: &str) -> Option<Value> {
        self.request(&json!({ "query": what })).ok()
    }

    /// What it answers to a request, or why it does not.
    pub(crate) fn request(&mut self, request: &Value) -> Result<Value, String> {
        if self.child.is_none() {
            return Err("it does not run".to_owned());
        }
        let session = match self.asked.take() {
            Some(session) => session,
            None => {
                let connector = Arc::new(SocketFile(self.socket.clone()));
                let options = SessionOptions {
                    send_ring_len: 1 << 18,
                    receive_ring_len: 1 << 18,
                    connect_timeout: ANSWER_MAX,
                    connect_async: false,
                    slow: SlowPolicy::Disconnect,
                };
                Session::open(connector, options).map_err(|failure| format!("{failure:?}"))?
            }
        };
        let answer = session.query_blocking(&request.to_string(), ANSWER_MAX);
        let answer = answer.map_err(|failure| format!("{failure:?}"))?;
        self.asked = Some(session);
        serde_json::from_str(&answer).map_err(|error| error.to_string())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].iter();
        shown.map(|line| format!("    {line}\n")).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

const LINES_SHOWN: usize = 12;
/// How a daemon ends that cannot use its state directory.
const EXIT_STATE: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// A daemon whose process ends at once, in this way.
    fn ending(script: &str, may_refuse: bool) -> Daemon {
        let none = || PathBuf::from("/nonexistent");
        let child = Command::new("sh").args(["-c", script]).spawn().expect("a shell");
        Daemon {
            node: 0,
            program: none(),
            inside: [String::new(), String::new()],
            config: none(),
            log: none(),
            socket: none(),
            traces: none(),
            starts: 1,
            started: Instant::now(),
            child: Some(child),
            is_leaving: false,
            disk_is_full: may_refuse,
            may_refuse,
            asked: None,
        }
    }

    #[test]
    fn a_full_disk_excuses_one_way_to_end_and_no_other() {
        for (script, may_refuse, is_excused) in [
            ("exit 3", true, true),
            ("exit 3", false, false),
            ("exit 6", true, false),
            ("exit 0", true, false),
            ("kill -9 $$", true, false),
        ] {
            let mut daemon = ending(script, may_refuse);
            let mut ended = None;
            while daemon.child.is_some() && ended.is_none() {
                ended = daemon.has_ended();
            }
            assert_eq!(ended.is_none(), is_excused, "{script}: {ended:?}");
        }
    }

    #[test]
    fn only_who_starts_on_a_full_disk_may_refuse() {
        let mut daemon = ending("exit 0", false);
        daemon.started = Instant::now() - 2 * CATCHES_AFTER;
        daemon.disk_is_full(true);
        assert!(!daemon.may_refuse, "it runs already");
        daemon.started = Instant::now();
        daemon.disk_is_full(true);
        assert!(daemon.may_refuse);
    }
}
