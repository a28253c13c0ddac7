//! The handshake and the records of a client that does anything. Beside it lives an honest one, who
//! must be served whatever the other does.

use std::time::Duration;

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use anasazi_engine::session::{Request, SessionLimits, Sessions};
use anasazi_engine::sys::raw_client::{Epoll, RawClient, add};
use anasazi_engine::sys::socket;
use anasazi_protocol::{Incarnation, Instant, NodeId, Process, SessionId};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{JoinRecord, LeaveRecord, QueryRecord, SendRecord, request};
use anasazi_queue::status::Status;

use crate::input::Input;

const IDENTITY: Process = Process { node: NodeId(7), incarnation: Incarnation(1_000) };
const MESSAGE_LEN_MAX: usize = 16 << 10;
/// Acts of one run.
const ACTS_MAX: usize = 60;
/// Turns after which an engine that has nothing to do must be at rest.
const TURNS_MAX: usize = 200;

/// The sessions of an engine, and a core that answers nothing.
struct Engine {
    sessions: Sessions,
    epoll: Epoll,
    queries: Vec<(SessionId, u64)>,
}

impl Engine {
    fn new() -> Self {
        let limits = SessionLimits {
            sessions_max: 4,
            backlog_len_max: 100_000,
            hold_max: Duration::from_secs(30),
            message_len_max: MESSAGE_LEN_MAX,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
        };
        let (sessions, epoll) = (Sessions::new(limits, IDENTITY, 100), Epoll::new());
        Self { sessions, epoll, queries: Vec::new() }
    }

    fn connect(&mut self) -> RawClient {
        let pair = socket::pair();
        let Ok((near, far)) = pair else { panic!("no descriptors left: {pair:?}") };
        self.sessions.accept(near, &self.epoll, Instant(1));
        RawClient::new(far)
    }

    /// Turns until nothing is left to do; how many requests were taken.
    fn run(&mut self, accepting: bool) -> usize {
        let mut taken = 0;
        for _ in 0..TURNS_MAX {
            let keys = self.epoll.wait(0);
            keys.iter().for_each(|key| self.sessions.ready(*key, &self.epoll));
            let before = taken;
            let queries = &mut self.queries;
            let more = self.sessions.poll(100, accepting, &mut |request| {
                taken += 1;
                if let Request::Query { session, tag, .. } = request {
                    queries.push((session, tag));
                }
                true
            });
            for (session, tag) in self.queries.drain(..) {
                self.sessions.reply(session, tag, Status::OK, "{}", false);
            }
            self.sessions.flush(&self.epoll);
            if !more && taken == before && keys.is_empty() {
                return taken;
            }
        }
        panic!("the engine does not come to rest");
    }
}

/// One hostile client. Accepted: it was let in, and a request of it was taken.
pub(crate) fn session_ops(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let mut engine = Engine::new();
    let mut client = engine.connect();
    greet(&client, &mut input);
    let mut taken = engine.run(true);
    for _ in 0..ACTS_MAX {
        if input.is_empty() {
            break;
        }
        taken += act(&mut engine, &mut client, &mut input);
    }
    taken += engine.run(true);
    serve_another(&mut engine);
    taken > 0
}

/// Mostly a right hello, sometimes with a few bytes changed, with too few descriptors, or too
/// short.
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
    if flags & 6 == 6 {
        hello.truncate(input.below(hello.len() + 1));
    }
    let count = if flags & 24 == 24 { input.below(4) } else { fds.len() };
    client.say(&hello, &fds[..count]);
}

/// How many requests were taken.
fn act(engine: &mut Engine, client: &mut RawClient, input: &mut Input<'_>) -> usize {
    match input.below(14) {
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
        }
        8 => {
            client.drain();
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
    assert!(honest.push(request::JOIN, join.as_bytes(), b"g").is_ok());
    honest.wake_engine();
    assert!(engine.run(true) > 0, "an honest client's request is not taken");
}
