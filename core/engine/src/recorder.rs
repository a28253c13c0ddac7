//! The flight recorder: what the core was given last, kept always and written only when an
//! invariant breaks, in it or around it. Then nothing that the engine says can be trusted any more,
//! so it ends.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anasazi_protocol::{Command, Event, Evidence, Input, Instant, Process};

/// Inputs and events kept.
const NOTES_MAX: usize = 1_024;
/// Bytes kept of each datagram: the header and the beginning of what it carries.
const HEAD_LEN: usize = 64;
/// Lines for the log, and for the message, where there is no room for a file.
const LOG_LINES_MAX: usize = 64;
const MESSAGE_LINES_MAX: usize = 4;

/// One input, or one event.
enum Note {
    Datagram { from: SocketAddr, multicast: bool, len: usize, head: [u8; HEAD_LEN] },
    Command { what: &'static str, session: u64 },
    Persisted { ticket: u64, durable: bool },
    Unreachable(SocketAddr),
    Ended(Process),
    Timeout,
    Shutdown,
    Event(Event),
}

/// Keeps the last notes of one domain, and is its border against broken invariants.
pub(crate) struct Recorder {
    process: Process,
    directory: Option<PathBuf>,
    temporary: Option<PathBuf>,
    notes: VecDeque<(Instant, Note)>,
    is_broken: bool,
    /// The next input breaks an invariant, on purpose.
    break_next: bool,
}

impl Recorder {
    /// `directory`: where the file goes; `temporary`: and if it cannot. Without either, the last
    /// lines go to the log and into the message.
    pub(crate) fn new(
        process: Process,
        directory: Option<PathBuf>,
        temporary: Option<PathBuf>,
    ) -> Self {
        let notes = VecDeque::with_capacity(NOTES_MAX);
        Self { process, directory, temporary, notes, is_broken: false, break_next: false }
    }

    /// The core must not be touched any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// For tests of what happens then.
    pub(crate) fn break_next(&mut self) {
        self.break_next = true;
    }

    pub(crate) fn note(&mut self, now: Instant, input: &Input) {
        let note = match input {
            Input::Datagram { from, multicast, bytes } => {
                let mut head = [0; HEAD_LEN];
                let len = bytes.len().min(HEAD_LEN);
                head[..len].copy_from_slice(&bytes[..len]);
                Note::Datagram { from: *from, multicast: *multicast, len: bytes.len(), head }
            }
            Input::Command(command) => {
                let none = anasazi_protocol::SessionId::default();
                let (what, session) = match command {
                    Command::Join { session, .. } => ("join", session),
                    Command::Leave { session, .. } => ("leave", session),
                    Command::Disconnect { session } => ("disconnect", session),
                    Command::Hold { .. } => ("hold", &none),
                    Command::Notice { .. } => ("notice", &none),
                    Command::Send { session, .. } => ("send", session),
                };
                Note::Command { what, session: session.0 }
            }
            Input::Persisted { ticket, durable } => {
                Note::Persisted { ticket: *ticket, durable: *durable }
            }
            Input::Evidence(Evidence::Unreachable { address }) => Note::Unreachable(*address),
            Input::Evidence(Evidence::Ended { process }) => Note::Ended(*process),
            // After every batch; it says nothing that the datagrams do not.
            Input::Drained => return,
            Input::Timeout => Note::Timeout,
            Input::Shutdown => Note::Shutdown,
        };
        self.keep(now, note);
    }

    pub(crate) fn event(&mut self, now: Instant, event: &Event) {
        self.keep(now, Note::Event(event.clone()));
    }

    fn keep(&mut self, now: Instant, note: Note) {
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back((now, note));
    }

    /// Called within the guard of every input.
    pub(crate) fn break_if_asked(&mut self) {
        assert!(!core::mem::take(&mut self.break_next), "an administrator asked for it");
    }

    /// As [`break_next`](Self::break_next), but outside the core, and at once.
    pub(crate) fn break_now(&mut self) {
        self.break_next = true;
        self.break_if_asked();
    }

    /// Something panicked: writes what is kept, and says in words what broke and where the record
    /// is; that first, since there may be little room for a message. From then on
    /// [`is_broken`](Self::is_broken).
    pub(crate) fn broke(&mut self, panic: &(dyn Any + Send)) -> String {
        self.is_broken = true;
        let cause = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without words");
        let place = crate::panics::take_place().map(|place| format!(" ({place})"));
        let cause = &format!("{cause}{}", place.unwrap_or_default());
        let version = env!("CARGO_PKG_VERSION");
        let mut record = format!("anasazi {version}, process {}: {cause}\n", self.process);
        self.lines().for_each(|line| record += &(line + "\n"));
        let kept = match self.write(&record) {
            Ok(path) => format!("please report this with {}", path.display()),
            Err(error) => {
                for line in self.last_lines(LOG_LINES_MAX) {
                    tracing::error!(target: "anasazi::engine", "flight recorder: {line}");
                }
                let last: Vec<_> = self.last_lines(MESSAGE_LINES_MAX).collect();
                let last = last.join("; ");
                format!(
                    "please report this; the whole record could not be kept in any file \
                     ({error}); last: {last}"
                )
            }
        };
        format!("an invariant is broken, so the engine stops; {kept}; it was: {cause}")
    }

    fn write(&self, record: &str) -> io::Result<PathBuf> {
        if let Some(directory) = &self.directory {
            let path = directory.join(format!("flight-{}.txt", self.process.node));
            match replace(&path, record) {
                Ok(()) => return Ok(path),
                Err(error) => {
                    let path = path.display();
                    tracing::error!(target: "anasazi::engine", "cannot write {path}: {error}");
                }
            }
        }
        // Anybody may write there: a new file, and for its owner's eyes only.
        let temporary = self.temporary.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let path = temporary.join(format!("anasazi-flight-{}.txt", self.process));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(record.as_bytes()).map(|()| path)
    }

    fn last_lines(&self, max: usize) -> impl Iterator<Item = String> + '_ {
        self.lines().skip(self.notes.len().saturating_sub(max))
    }

    fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.notes.iter().map(|(at, note)| {
            let (seconds, rest) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000);
            format!("{seconds}.{rest:09} {}", describe(note))
        })
    }
}

/// An earlier record is kept under another name: the first one often tells the most.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        fs::rename(path, path.with_extension("old.txt"))?;
    }
    fs::write(path, text)
}

fn describe(note: &Note) -> String {
    match note {
        Note::Datagram { from, multicast, len, head } => {
            let way = if *multicast { "multicast" } else { "unicast" };
            let mut text = format!("{way} of {len} bytes from {from}: ");
            for byte in &head[..HEAD_LEN.min(*len)] {
                let _ = write!(text, "{byte:02x}");
            }
            text
        }
        Note::Command { what, session } => format!("{what} of session {session:x}"),
        Note::Persisted { ticket, durable } => format!("write {ticket}, durable: {durable}"),
        Note::Unreachable(address) => format!("unreachable: {address}"),
        Note::Ended(process) => format!("ended: {process}"),
        Note::Timeout => "timeout".to_owned(),
        Note::Shutdown => "shutdown".to_owned(),
        Note::Event(event) => format!("event: {event:?}"),
    }
}

#[cfg(test)]
mod tests {
    use anasazi_protocol::{Incarnation, NodeId};
    use bytes::Bytes;

    use super::*;

    fn recorder(directory: Option<&Path>, temporary: Option<&Path>) -> Recorder {
        let process = Process { node: NodeId(3), incarnation: Incarnation(9) };
        Recorder::new(process, directory.map(Path::to_owned), temporary.map(Path::to_owned))
    }

    #[test]
    fn a_broken_invariant_leaves_the_last_inputs_in_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut recorder = recorder(Some(directory.path()), None);
        let from = "127.0.0.1:1".parse().expect("an address");
        for number in 0..2 * NOTES_MAX as u64 {
            let bytes = Bytes::from(vec![0xab; 3]);
            recorder.note(Instant(number), &Input::Datagram { from, multicast: true, bytes });
        }
        for round in 0..2 {
            let text = recorder.broke(&"two tokens");
            assert!(text.contains("two tokens") && text.contains("flight-3.txt"), "{text}");
            assert_eq!(directory.path().join("flight-3.old.txt").exists(), round > 0);
        }
        assert!(recorder.is_broken());
        let text = fs::read_to_string(directory.path().join("flight-3.txt")).expect("a record");
        assert_eq!(text.lines().count(), 1 + NOTES_MAX);
        assert!(text.starts_with("anasazi 0.1.0, process 3.9: two tokens\n"), "{text}");
        assert!(text.ends_with("0.000002047 multicast of 3 bytes from 127.0.0.1:1: ababab\n"));
    }

    #[test]
    fn without_room_of_its_own_it_is_a_temporary_file_or_the_message() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("anasazi-flight-3.9.txt");
        for own in [None, Some(directory.path().join("missing"))] {
            let mut recorder = recorder(own.as_deref(), Some(directory.path()));
            recorder.note(Instant(1), &Input::Timeout);
            let text = recorder.broke(&"no token".to_owned());
            assert!(text.ends_with(&format!("{}; it was: no token", path.display())), "{text}");
            // Never into a file that somebody else may have put there.
            fs::write(&path, "taken").expect("a file");
            let text = recorder.broke(&"no token".to_owned());
            assert!(text.ends_with("last: 0.000000001 timeout; it was: no token"), "{text}");
            assert_eq!(fs::read_to_string(&path).expect("a file"), "taken");
            fs::remove_file(&path).expect("a file");
        }
    }
}
