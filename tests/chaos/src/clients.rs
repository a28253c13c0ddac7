//! The clients as the run sees them: processes that are told what to do, and killed.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anasazi_oracle::{ClientEntry, ClientRecord};

use crate::cluster::{STREAM_ADDRESS, Setup};
use crate::network::Network;
use crate::place::Place;
use crate::sys;
use crate::trouble::Trouble;

/// A client process, or the place of one.
pub(crate) struct Client {
    number: usize,
    node: usize,
    inside: [String; 2],
    words: Vec<String>,
    place: PathBuf,
    starts: u64,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Client {
    /// Starts nothing.
    pub(crate) fn new(
        number: usize,
        node: usize,
        setup: &Setup,
        network: &Network,
        place: &Place,
    ) -> Self {
        let file = |end: &str| place.file(&format!("node{}.{end}", node + 1));
        let url = match number % 3 {
            0 => format!("shm:{}", file("sock").display()),
            1 => format!("unix:{}", file("stream").display()),
            _ => format!("tcp://{STREAM_ADDRESS}"),
        };
        let mut words = vec!["client".to_owned()];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("url", url);
        option("name", format!("c{}", number + 1));
        option("rate", setup.rate.to_string());
        option("seed", (setup.seed ^ (number as u64 + 1) << 32).to_string());
        if setup.churn {
            words.push("--churn".to_owned());
        }
        let (inside, place) = (network.inside(node), place.path().to_path_buf());
        Self { number, node, inside, words, place, starts: 0, running: None }
    }

    /// Starts it, unless it runs; each start has a log of its own.
    pub(crate) fn start(&mut self) -> Result<(), Trouble> {
        if self.running.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let name = format!("client{}-{}", self.number + 1, self.starts);
        let errors = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.place.join(format!("{name}.err")))
            .map_err(Trouble::io("cannot write a log"))?;
        let own = std::env::current_exe().map_err(Trouble::io("which program is this"))?;
        let [enter, namespace] = &self.inside;
        let mut child = Command::new(enter)
            .arg(namespace)
            .arg(own)
            .args(&self.words)
            .args(["--start", &self.starts.to_string()])
            .arg("--log")
            .arg(self.place.join(format!("{name}.trace")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(Trouble::io("cannot start a client"))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let input = child.stdin.take();
        self.running = Some(Running { child, input, lines, said: Vec::new() });
        Ok(())
    }

    /// Gives it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        if let Some(input) = self.running.as_mut().and_then(|running| running.input.as_mut()) {
            // One that does not read any more has ended, and `has_ended` says so.
            let _ = input.write_all(format!("{line}\n").as_bytes());
        }
    }

    /// Whether it has said that.
    pub(crate) fn has_said(&mut self, line: &str) -> bool {
        self.running.as_mut().is_some_and(|running| {
            running.said.extend(running.lines.try_iter());
            running.said.iter().any(|said| said == line)
        })
    }

    /// SIGKILL; false if it did not run.
    pub(crate) fn kill(&mut self) -> bool {
        let Some(mut running) = self.running.take() else { return false };
        // Both fail only if it has ended already.
        let _ = running.child.kill();
        let _ = running.child.wait();
        let log = self.place.join(format!("client{}-{}.trace", self.number + 1, self.starts));
        if let Err(error) = end_log(&log) {
            eprintln!("{}: {error}", log.display());
        }
        true
    }

    /// Any other signal.
    pub(crate) fn signal(&self, signal: i32) {
        if let Some(running) = &self.running {
            // It fails only if the client has ended already, which others notice.
            let _ = sys::signal(running.child.id(), signal);
        }
    }

    /// Whether it has ended, which it never should by itself.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        let status = self.running.as_mut()?.child.try_wait().ok().flatten()?;
        self.running = None;
        let name = format!("client{}-{}.err", self.number + 1, self.starts);
        let errors = fs::read_to_string(self.place.join(name)).unwrap_or_default();
        Some(format!("client {} ended with {status}:\n{errors}", self.number + 1))
    }

    /// Who it is and what it said last.
    pub(crate) fn describe(&self) -> String {
        let said = self.running.as_ref().and_then(|running| running.said.last());
        let (number, node) = (self.number + 1, self.node + 1);
        format!("  client {number} at node {node}: {}", said.map_or("said nothing", |said| said))
    }
}

/// Writes down for a client that was killed that it sees nothing more, in place of the piece of a
/// line that the kill may have left.
fn end_log(path: &Path) -> io::Result<()> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let lines = text[..whole].split(|byte| *byte == b'\n');
    let Some(last) = lines.rev().find(|line| !line.is_empty()) else { return Ok(()) };
    let last: ClientRecord = serde_json::from_slice(last)?;
    let end = ClientRecord { index: last.index + 1, entry: ClientEntry::Closed, ..last };
    let file = OpenOptions::new().append(true).open(path)?;
    file.set_len(whole as u64)?;
    writeln!(&file, "{}", serde_json::to_string(&end)?)
}

impl Drop for Client {
    fn drop(&mut self) {
        self.kill();
    }
}
