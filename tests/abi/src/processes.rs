//! Daemons and programs of a test: started, listened to line by line, ended.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{release, run};

/// A program whose output is read line by line. Killed when dropped.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// All that it printed so far.
    pub printed: Vec<String>,
}

impl Program {
    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { input: child.stdin.take(), child, lines, printed: Vec::new() }
    }

    /// Types lines.
    ///
    /// # Panics
    /// If it does not read any more.
    pub fn type_lines(&mut self, text: &str) {
        let input = self.input.as_mut().expect("an open input");
        input
            .write_all(text.as_bytes())
            .and_then(|()| input.flush())
            .expect("a program that reads");
    }

    /// Says that there is no more input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for a line with this text in it, and returns the line.
    ///
    /// # Panics
    /// If it does not come within 20 s.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {text:?}, but:\n{}", self.printed.join("\n"));
            };
            self.printed.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for its end, which must be a good one, and returns all that it printed.
    ///
    /// # Panics
    /// If it fails, or does not end within 20 s.
    pub fn finish(mut self) -> Vec<String> {
        self.end_input();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            // The lines end with the program.
            match self.lines.recv_timeout(Duration::from_millis(10)) {
                Ok(line) => self.printed.push(line),
                Err(RecvTimeoutError::Timeout) => assert!(
                    Instant::now() < deadline,
                    "it does not end:\n{}",
                    self.printed.join("\n")
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    break self.child.wait().expect("its status");
                }
            }
        };
        assert!(status.success(), "{status}:\n{}", self.printed.join("\n"));
        std::mem::take(&mut self.printed)
    }

    /// Kills it.
    ///
    /// # Panics
    /// If the system does not let us.
    pub fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("our own child");
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If the system does not let us.
    pub fn terminate(&mut self) {
        run(Command::new("kill").args(["-TERM", &self.id().to_string()]));
        self.child.wait().expect("our own child");
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A cluster of its own on this host, in a directory of its own.
pub struct Cluster {
    directory: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    /// Nothing runs yet.
    ///
    /// # Panics
    /// If there is no directory or no port to be had.
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("its number").port();
        Self { directory: tempfile::tempdir().expect("a directory"), port }
    }

    /// Where files of the test can be.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Settings that keep its engines among themselves, as `KEY=VALUE`.
    pub fn settings(&self) -> [String; 2] {
        let multicast = format!("transport.multicast=239.192.77.9:{}", self.port);
        [format!("cluster=test-{}", self.port), multicast]
    }

    /// The URL of a daemon.
    pub fn url(&self, daemon: &str) -> String {
        format!("shm:{}", self.socket(daemon).display())
    }

    /// The URLs of a daemon for sessions that share no memory with it.
    pub fn stream_urls(&self, daemon: &str) -> [String; 2] {
        let path = self.directory().join(format!("{daemon}.stream"));
        [format!("unix:{}", path.display()), format!("tcp://127.0.0.1:{}", self.port)]
    }

    /// Starts a daemon that serves sessions over streams as well, the only one of this cluster;
    /// else as [`start_daemon`](Self::start_daemon).
    ///
    /// # Panics
    /// As that one does.
    pub fn start_streaming_daemon(&self, name: &str) -> Program {
        self.start(name, &[format!("client.listen_streams={}", self.stream_urls(name).join(","))])
    }

    /// Starts a daemon and waits until it serves clients.
    ///
    /// # Panics
    /// If it does not within 20 s.
    pub fn start_daemon(&self, name: &str) -> Program {
        self.start(name, &[])
    }

    fn start(&self, name: &str, further: &[String]) -> Program {
        let ready = self.directory().join(format!("{name}.ready"));
        _ = fs::remove_file(&ready);
        let notified = UnixDatagram::bind(&ready).expect("a socket to be notified");
        notified.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut command = Command::new(release().join("anasazid"));
        for setting in self.settings().iter().chain(further) {
            command.args(["--set", setting]);
        }
        let listen = format!("client.listen={}", self.socket(name).display());
        command.args(["--set", &listen, "--set", "log.level=error"]).env("NOTIFY_SOCKET", &ready);
        // Tests look at what it has open, also those that are not run by root.
        command.arg("--debuggable");
        let daemon = Program::start(&mut command);
        let mut message = [0; 256];
        loop {
            let len = notified.recv(&mut message).expect("a daemon that says that it is ready");
            if message[..len].starts_with(b"READY=1") {
                return daemon;
            }
        }
    }

    fn socket(&self, daemon: &str) -> PathBuf {
        self.directory().join(format!("{daemon}.sock"))
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
