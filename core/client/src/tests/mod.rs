//! Sessions against an engine that does what each test says.

mod closing;
mod connecting;
mod events;
mod lanes;
mod losing;
mod notifying;
mod reconnecting;
mod sending;

use std::sync::Arc;
use std::time::Duration;

use anasazi_queue::hello::Welcome;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{JoinRecord, SendRecord, request};
use anasazi_queue::status::Status;

use crate::event::{EventKind, Hold};
use crate::group::GroupHandle;
use crate::session::{Session, SessionOptions, SlowPolicy};
use crate::sys::fake_engine::{FakeEngine, Listener, is_readable, welcome};
use crate::sys::like_c;

/// What a test looks at in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: EventKind,
    status: Status,
    group: Option<GroupHandle>,
    user_data: usize,
    tag: u64,
    domain: String,
    data: Vec<u8>,
    token: u64,
}

fn options() -> SessionOptions {
    SessionOptions {
        send_ring_len: 64 << 10,
        receive_ring_len: 64 << 10,
        connect_timeout: Duration::from_secs(5),
        connect_async: false,
        slow: SlowPolicy::Disconnect,
    }
}

fn listener(answer: Welcome) -> Arc<Listener> {
    let listener = Arc::new(Listener::default());
    *listener.welcome_in_turn.lock().unwrap() = Some(answer);
    listener
}

fn open() -> (Session, FakeEngine, Arc<Listener>) {
    let listener = listener(welcome(5));
    let session = Session::open(listener.clone(), options()).expect("an engine that answers");
    let engine = listener.accepted.lock().unwrap().pop().unwrap();
    (session, engine, listener)
}

/// Joins a group and returns the engine's number for it too.
#[track_caller]
fn join(session: &Session, engine: &FakeEngine, name: &str) -> (GroupHandle, u32) {
    let group = session.join(name, 0, 0x1234).unwrap();
    (group, take_join(engine, name))
}

#[track_caller]
fn take_join(engine: &FakeEngine, name: &str) -> u32 {
    let request = engine.request();
    assert_eq!(request.kind, request::JOIN);
    let (record, rest) = JoinRecord::split_from(&request.bytes).unwrap();
    assert_eq!(rest, name.as_bytes());
    record.handle
}

/// All that is there now.
fn receive(session: &Session, hold: Hold) -> Vec<Seen> {
    let mut seen = Vec::new();
    let n = session.receive(1000, &mut |event| {
        seen.push(Seen {
            kind: event.kind,
            status: event.status,
            group: event.group,
            user_data: event.user_data,
            tag: event.tag,
            domain: event.domain_name().to_owned(),
            data: event.data.to_vec(),
            token: event.token,
        });
        hold
    });
    assert_eq!(n, Ok(seen.len()));
    seen
}

/// Receives until something comes, which must be soon.
fn receive_some(session: &Session) -> Vec<Seen> {
    loop {
        let seen = receive(session, Hold::Release);
        if !seen.is_empty() {
            return seen;
        }
        let deadline_ns = crate::sys::poll::now_ns() + 10_000_000_000;
        session.wait(deadline_ns).expect("something within 10 s");
    }
}

fn kinds(seen: &[Seen]) -> Vec<EventKind> {
    seen.iter().map(|seen| seen.kind).collect()
}

/// Nothing to do, and the descriptor says so.
fn assert_quiet(session: &Session) {
    assert_eq!(receive(session, Hold::Release), []);
    assert!(!is_readable(session.fd()), "readable, with nothing to receive");
}

fn release(session: &Session, tokens: &[u64]) {
    like_c::release(session, tokens).unwrap();
}
