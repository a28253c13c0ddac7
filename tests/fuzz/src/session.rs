//! The handshake and the records of a client that does anything, reads what it likes and chose any
//! policy for that. Beside it live honest ones, who must be served whatever it does.

use std::time::Duration;

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use anasazi_engine::domains::{DomainId, DomainSet};
use anasazi_engine::session::fake_core::FakeCore;
use anasazi_engine::session::{SessionLimits, Sessions};
use anasazi_engine::sys::raw_client::{Epoll, RawClient, add};
use anasazi_engine::sys::socket;
use anasazi_protocol::{Command, GroupId, Incarnation, Instant, NodeId, Process};
use anasazi_queue::hello::Hello;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    GapRecord, JoinRecord, LeaveRecord, MessageRecord, QueryRecord, SendRecord, event, request,
};

use crate::input::Input;

const IDENTITY: Process = Process { node: NodeId(7), incarnation: Incarnation(1_000) };
const MESSAGE_LEN_MAX: usize = 16 << 10;
/// Acts of one run.
const ACTS_MAX: usize = 60;
/// What an engine keeps for a client, in bytes.
const BACKLOG_LEN_MAX: usize = 64_000;
/// Time passes by so much with every run of the engine.
const STEP: Duration = Duration::from_millis(60);
/// The group in which the neighbour talks, its messages, and how many it sends at once.
const ROOM: &str = "g";
const TALK_LEN: usize = 8_000;
const TALK_MAX: usize = 4;
/// Turns after which an engine that has nothing to do must be at rest.
const TURNS_MAX: usize = 200;

/// The sessions of an engine, and a core that does everything at once.
struct Engine {
    sessions: Sessions,
    epoll: Epoll,
    core: FakeCore,
    now: Instant,
}

/// What a client is told of the messages to one of its groups.
#[derive(Default)]
struct Heard {
    handle: u32,
    sequence: u64,
}

impl Engine {
    fn new() -> Self {
        let limits = SessionLimits {
            sessions_max: 5,
            backlog_len_max: BACKLOG_LEN_MAX,
            backlog_total_max: 1 << 30,
            hold_max: Duration::from_secs(30),
            message_len_max: MESSAGE_LEN_MAX,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
        };
        let (sessions, epoll) = (Sessions::new(limits, IDENTITY, 100), Epoll::new());
        Self { sessions, epoll, core: FakeCore::new(IDENTITY), now: Instant(1) }
    }

    fn connect(&mut self) -> RawClient {
        let pair = socket::pair();
        let Ok((near, far)) = pair else { panic!("no descriptors left: {pair:?}") };
        self.sessions.accept(near, &self.epoll, self.now);
        RawClient::new(far)
    }

    /// A client that is in its room, and reads.
    fn neighbour(&mut self) -> RawClient {
        let client = self.connect();
        client.greet();
        self.run(true);
        let join = JoinRecord { handle: 1, flags: 0 };
        assert!(client.push(request::JOIN, join.as_bytes(), ROOM.as_bytes()).is_ok());
        client.wake_engine();
        assert_eq!(self.run(true), 1);
        client.drain();
        client
    }

    /// Turns until nothing is left to do; how many requests were taken.
    fn run(&mut self, accepting: bool) -> usize {
        let full: DomainSet = (!accepting).then_some(DomainId::DEFAULT).into_iter().collect();
        let mut taken = 0;
        self.now = self.now + STEP;
        self.sessions.expire_holds(self.now);
        for _ in 0..TURNS_MAX {
            let keys = self.epoll.wait(0);
            keys.iter().for_each(|key| self.sessions.ready(*key, &self.epoll));
            let mut requests = Vec::new();
            let more = self.sessions.poll(100, full, &mut |request| {
                requests.push(request);
                true
            });
            let is_idle = !more && requests.is_empty() && keys.is_empty();
            taken += requests.len();
            for request in requests {
                self.core.handle(request, &mut self.sessions);
            }
            self.sessions.flush(&self.epoll);
            self.say_holds();
            let kept = self.sessions.describe().iter().map(|s| s.backlog_len).max();
            assert!(kept.is_none_or(|kept| kept <= BACKLOG_LEN_MAX), "{kept:?} bytes are kept");
            if is_idle && !self.sessions.has_turns(full) {
                return taken;
            }
        }
        panic!("the engine does not come to rest");
    }

    /// The ring is this node alone, which hears itself.
    fn say_holds(&mut self) {
        for (domain, command) in self.sessions.say_holds(self.now) {
            if let Command::Hold { groups, for_ms } = command {
                self.sessions.hold((domain, IDENTITY.node), &groups, for_ms, self.now);
            }
        }
    }
}

impl Heard {
    /// What it was not told of, it was not given: numbers only grow, and as far as it is told.
    fn take(&mut self, (kind, bytes): &(u16, Vec<u8>)) {
        match *kind {
            event::VIEW => *self = Self::default(),
            event::GAP => {
                if let Some((gap, _)) = GapRecord::split_from(bytes)
                    && gap.handle == self.handle
                {
                    self.sequence += gap.count;
                }
            }
            event::MESSAGE => {
                let Some((head, _)) = MessageRecord::split_from(bytes) else { return };
                let (known, sequence) = (self.sequence, head.sequence);
                if head.handle == self.handle && known > 0 {
                    assert!(sequence > known, "{sequence} comes after {known}");
                }
                *self = Self { handle: head.handle, sequence };
            }
            _ => {}
        }
    }
}

/// One hostile client. Accepted: it was let in, and a request of it was taken.
pub(crate) fn session_ops(data: &[u8]) -> bool {
    let (taken, mut engine) = play(data);
    serve_another(&mut engine);
    taken > 0
}

/// How many of its requests were taken, and how it leaves the engine.
fn play(data: &[u8]) -> (usize, Engine) {
    let mut input = Input::new(data);
    let mut engine = Engine::new();
    let neighbour = engine.neighbour();
    let mut client = engine.connect();
    greet(&client, &mut input);
    let (mut taken, mut heard) = (engine.run(true), Some(Heard::default()));
    for _ in 0..ACTS_MAX {
        if input.is_empty() {
            break;
        }
        taken += match input.below(16) {
            14 => talk(&mut engine, &neighbour, 1 + input.below(TALK_MAX)),
            15 => hold(&mut engine, &mut input),
            deed => act(&mut engine, (&mut client, &mut heard), deed, &mut input),
        };
    }
    taken += engine.run(true);
    (taken, engine)
}

/// Mostly a right hello, of any policy, sometimes with a few bytes changed, with too few
/// descriptors, or too short.
fn greet(client: &RawClient, input: &mut Input<'_>) {
    let mut hello = client.hello().as_bytes().to_vec();
    let fds = client.fds();
    let flags = input.u8();
    if flags & 1 != 0 {
        for _ in 0..1 + input.below(4) {
            let at = input.below(hello.len());
            hello[at] ^= input.u8();
        }
    }
    let slow = std::mem::offset_of!(Hello, slow);
    hello[slow] ^= flags >> 5 & 3;
    if flags & 6 == 6 {
        hello.truncate(input.below(hello.len() + 1));
    }
    let count = if flags & 24 == 24 { input.below(4) } else { fds.len() };
    client.say(&hello, &fds[..count]);
}

/// The neighbour talks in its room, whether anybody reads or not.
fn talk(engine: &mut Engine, neighbour: &RawClient, count: usize) -> usize {
    for _ in 0..count {
        let send = SendRecord { handle: 1, service: 4, ..SendRecord::default() };
        // It waits while others are held up for somebody.
        let _ = neighbour.push(request::SEND, send.as_bytes(), &[7; TALK_LEN]);
    }
    neighbour.wake_engine();
    engine.run(true);
    // What had no room in its ring comes then.
    while !neighbour.drain().is_empty() {
        engine.run(true);
    }
    0
}

/// Another node asks the senders to the room to wait, or to go on.
fn hold(engine: &mut Engine, input: &mut Input<'_>) -> usize {
    let (groups, for_ms) = ([GroupId::of(ROOM)], u16::from(input.u8()));
    engine.sessions.hold(
        (DomainId::DEFAULT, NodeId(input.u8().into())),
        &groups,
        for_ms,
        engine.now,
    );
    engine.run(true);
    0
}

/// How many requests were taken.
fn act(
    engine: &mut Engine,
    (client, heard): (&mut RawClient, &mut Option<Heard>),
    deed: usize,
    input: &mut Input<'_>,
) -> usize {
    match deed {
        0 => {
            let (handle, flags) = (input.u8().into(), input.u8().into());
            push(client, request::JOIN, JoinRecord { handle, flags }.as_bytes(), input);
        }
        1 => {
            let (handle, reserved) = (input.u8().into(), 0);
            push(client, request::LEAVE, LeaveRecord { handle, reserved }.as_bytes(), input);
        }
        2..=4 => {
            let (handle, service) = (input.u8().into(), input.u32());
            let (groups, views) = (input.u8().into(), input.u8().into());
            let tag = input.u8().into();
            let send = SendRecord { handle, service, tag, groups, views };
            push(client, request::SEND, send.as_bytes(), input);
        }
        5 => push(client, request::QUERY, QueryRecord { tag: 3 }.as_bytes(), input),
        6 => push(client, input.u8().into(), &[], input),
        7 => {
            let index = if input.coin() { input.below(128) } else { input.u16().into() };
            let value = if input.coin() { input.u64() } else { u64::from(input.u16()) };
            client.word(index).store(value, Ordering::Relaxed);
            // What it reads from here on may be its own.
            *heard = None;
        }
        8 => {
            for record in std::iter::from_fn(|| client.next()).take(1 + input.below(256)) {
                heard.iter_mut().for_each(|heard| heard.take(&record));
            }
        }
        9 => add(&client.wake_engine, u64::from(input.u8()) + 1),
        10 => {
            if let Some(socket) = &client.socket {
                // It may be closed already.
                let _ = socket::send(socket.as_fd(), input.take(4));
            }
        }
        11 if input.u8() > 240 => client.socket = None,
        12 => return engine.run(input.coin()),
        _ => {
            client.wake_engine();
            return engine.run(true);
        }
    }
    0
}

fn push(client: &RawClient, kind: u16, record: &[u8], input: &mut Input<'_>) {
    let len = input.below(64);
    let _ = client.push(kind, record, input.take(len));
}

fn serve_another(engine: &mut Engine) {
    let honest = engine.connect();
    honest.greet();
    engine.run(true);
    assert_eq!(honest.welcome().map(|welcome| welcome.status), Some(0), "not served");
    let join = JoinRecord { handle: 1, flags: 0 };
    assert!(honest.push(request::JOIN, join.as_bytes(), b"another").is_ok());
    honest.wake_engine();
    assert!(engine.run(true) > 0, "an honest client's request is not taken");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who says hello with this policy, joins the room, and reads nothing of all that is said.
    fn deaf(policy: u8) -> Vec<u8> {
        let mut acts = vec![policy << 5];
        acts.extend([0, 1, 0, 1, b'g', 13]);
        (0..8).for_each(|_| acts.extend([14, TALK_MAX as u8 - 1]));
        acts
    }

    #[test]
    fn every_policy_is_reached() {
        let (taken, engine) = play(&deaf(0));
        assert_eq!((taken, engine.sessions.len()), (1, 1), "cut off");
        let (_, engine) = play(&deaf(1));
        assert!(engine.sessions.describe().iter().any(|s| s.holds_since.is_some()));
        let (_, engine) = play(&deaf(2));
        assert!(engine.sessions.describe().iter().any(|s| s.skipped > 0));
    }
}
