//! A program of another user with a session at the daemon: this test program once more.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anasazi_client::{
    Connector, GroupHandle, JOIN_SEND_ONLY, OwnedEvent, Session, SessionOptions, SlowPolicy,
    SocketFile, Status, Stream, StreamAddress,
};

use super::place::{Place, WAIT_MAX};

/// Before each answer, for the test harness says things as well.
const MARK: &str = "guest: ";
/// What it does: where its daemon is.
const SOCKET: &str = "GUEST_SOCKET";

/// It ends with the test.
pub(crate) struct Guest {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Guest {
    /// One of that user and group, and what it is told when it connects.
    pub(crate) fn new(place: &Place, socket: &str, uid: u32, gid: u32) -> (Self, String) {
        // Where anybody may go.
        fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).expect("open");
        let program = place.path("guest");
        if !program.exists() {
            // By another process: what this one has open to write, a child of another test may have
            // as well for a moment, and the program cannot be run then.
            let own = std::env::current_exe().expect("this program");
            let copied = Command::new("cp").arg(own).arg(&program).status().expect("cp");
            assert!(copied.success());
        }
        let mut command = Command::new(program);
        command.args(["--exact", "guest::a_guest", "--ignored", "--nocapture"]);
        command.current_dir("/").env(SOCKET, socket).uid(uid).gid(gid);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("a guest");
        let orders = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut guest = Self { child, orders, answers };
        let welcome = guest.answer();
        (guest, welcome)
    }

    /// What comes of an order.
    pub(crate) fn asks(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("it listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        loop {
            let line = self.answers.next().expect("it answers").expect("in UTF-8");
            if let Some((_, answer)) = line.split_once(MARK) {
                return answer.to_owned();
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "started by other tests"]
fn a_guest() {
    let socket = std::env::var(SOCKET).expect("who starts it says where");
    let way: Arc<dyn Connector> = match socket.split_once(':') {
        Some(("shm", path)) => Arc::new(SocketFile(path.into())),
        Some(("unix", path)) => Arc::new(Stream::new(StreamAddress::Unix(path.into()), WAIT_MAX)),
        _ => {
            let address = socket.strip_prefix("tcp://").expect("a URL").to_owned();
            Arc::new(Stream::new(StreamAddress::Tcp(address), WAIT_MAX))
        }
    };
    let options = SessionOptions {
        send_ring_len: 64 << 10,
        receive_ring_len: 4 << 20,
        connect_timeout: WAIT_MAX,
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    };
    let session = match Session::open(way, options) {
        Ok(session) => session,
        Err(failure) => return say(&format!("{} {}", failure.status.name(), failure.message)),
    };
    say("OK");
    let mut program = Program { session, groups: HashMap::new(), tag: 0 };
    for line in std::io::stdin().lines() {
        let answer = program.carry_out(&line.expect("UTF-8"));
        say(&answer.replace('\n', " | "));
    }
}

fn say(answer: &str) {
    writeln!(std::io::stdout(), "{MARK}{answer}").expect("somebody listens");
}

struct Program {
    session: Session,
    groups: HashMap<String, GroupHandle>,
    tag: u64,
}

impl Program {
    fn carry_out(&mut self, order: &str) -> String {
        match order.split_once(' ').expect("an order") {
            ("join", name) => self.join(name),
            ("sender", name) => {
                let group = self.session.join(name, JOIN_SEND_ONLY, 0).expect("a handle");
                self.groups.insert(name.to_owned(), group);
                self.refusal_of_sender(group)
            }
            ("send", name) => self.send(self.groups[name]).unwrap_or_else(|refusal| refusal),
            ("peer", domain) => {
                let own = self.session.identity();
                let group = self.session.peer(domain, own, 0).expect("an address");
                self.refusal_of_sender(group)
            }
            ("ask", json) => match self.session.query_blocking(json, WAIT_MAX) {
                Ok(answer) => format!("OK {answer}"),
                Err(failure) => format!("{} {}", failure.status.name(), failure.message),
            },
            _ => panic!("{order:?}"),
        }
    }

    /// Its first view, or the words that there will be none.
    fn join(&mut self, name: &str) -> String {
        let group = self.session.join(name, 0, 0).expect("a handle");
        let told = self.until(|event| match event {
            OwnedEvent::View { group: of, .. } if of == group => Some(Ok(())),
            event => left(event, group).map(Err),
        });
        match told {
            Ok(()) => {
                self.groups.insert(name.to_owned(), group);
                "OK".to_owned()
            }
            Err(refusal) => refusal,
        }
    }

    /// Why the handle has ended, if it has before something that was sent over it went its way: who
    /// is no member has no view.
    fn refusal_of_sender(&mut self, group: GroupHandle) -> String {
        match self.send(group) {
            Err(refusal) if refusal.contains(' ') => refusal,
            _ => "OK".to_owned(),
        }
    }

    /// What becomes of a message: "OK", or a status; an error if the handle has ended.
    fn send(&mut self, group: GroupHandle) -> Result<String, String> {
        self.tag += 1;
        let own = self.tag;
        loop {
            match self.session.send(group, 4, &[b"hello"], own) {
                Ok(()) => break,
                Err(Status::EAGAIN) => self.until(|event| match event {
                    OwnedEvent::Writable { group: of } if of == group => Some(Ok(())),
                    event => left(event, group).map(Err),
                })?,
                Err(status) => panic!("{}", status.name()),
            }
        }
        self.until(|event| match event {
            // One that nobody was there to get is done as well.
            OwnedEvent::Receipt { status, tag, .. } if tag == own && status == Status::OK => {
                Some(Ok("OK".to_owned()))
            }
            OwnedEvent::Receipt { status, tag, .. } if tag == own => {
                Some(Ok(status.name().to_owned()))
            }
            OwnedEvent::Message { tag, .. } if tag == own => Some(Ok("OK".to_owned())),
            event => left(event, group).map(Err),
        })
    }

    /// Takes events until one tells what is waited for.
    fn until<R>(&mut self, mut tells: impl FnMut(OwnedEvent) -> Option<R>) -> R {
        let end = Instant::now() + WAIT_MAX;
        loop {
            assert!(Instant::now() < end, "nothing is told");
            let event = self.session.next_event(Some(WAIT_MAX)).expect("it goes on");
            if let Some(told) = event.and_then(&mut tells) {
                return told;
            }
        }
    }
}

/// The words with which the handle has ended.
fn left(event: OwnedEvent, group: GroupHandle) -> Option<String> {
    match event {
        OwnedEvent::Left { group: of, status, reason } if of == group => {
            Some(format!("{} {reason}", status.name()))
        }
        _ => None,
    }
}
