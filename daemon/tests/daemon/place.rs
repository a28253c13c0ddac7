//! A daemon that a test starts, and what it leaves behind.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);

/// A directory with a configuration file for a daemon that meets nobody.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
}

impl Place {
    pub(crate) fn new(extra: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let text = format!(
            "transport.multicast = \"off\"\nclient.listen = \"{}\"\n{extra}",
            directory.path().join("anasazi.sock").display()
        );
        fs::write(directory.path().join("a.toml"), text).expect("a file");
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self) -> String {
        self.path("a.toml").display().to_string()
    }

    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anasazid"));
        for name in ["ANASAZI_LOG", "JOURNAL_STREAM", "NOTIFY_SOCKET", "STATE_DIRECTORY"] {
            command.env_remove(name);
        }
        command.arg("--config").arg(self.path("a.toml")).args(options).stdin(Stdio::null());
        command
    }

    /// Runs a daemon that is expected to end by itself.
    pub(crate) fn run(&self, options: &[&str]) -> Ended {
        Ended::from(self.command(options).output().expect("a run"))
    }

    pub(crate) fn start(&self, command: &mut Command) -> Running {
        let log = self.path("log");
        let stderr = File::create(&log).expect("a file");
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("a daemon");
        Running { child, log }
    }
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// A daemon that goes with the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
}

impl Running {
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)).expect("a log");
        text
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} in the log"), || self.log().contains(text));
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        wait_until("the end of the daemon", || {
            let status = self.child.try_wait().expect("a child");
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        code
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}", self.log());
        }
    }
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !done() {
        assert!(Instant::now() < end, "waited {WAIT_MAX:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
