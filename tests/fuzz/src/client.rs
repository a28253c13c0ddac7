//! What an engine that does anything says to a client: records of any kind, a memory that changes,
//! an end at any time. Afterwards an honest engine must find a client that works.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anasazi_client::{Connector, EventKind, Failure, Hold, Session, SessionOptions, SlowPolicy};
use anasazi_engine::sys::memory::Lane;
use anasazi_engine::sys::socket;
use anasazi_queue::hello::{Hello, MAGIC, Welcome};
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    GapRecord, JoinRecord, Member, MessageRecord, MultiRecord, ReceiptRecord, SESSION_VERSION,
    TakenEntry, TakenRecord, ViewId, ViewRecord, event, request,
};
use anasazi_queue::ring::{CAPACITY_MIN, Layout};
use anasazi_queue::wake;
use bytes::{Bytes, BytesMut};

use crate::input::Input;

/// Acts of one run.
const ACTS_MAX: usize = 60;
/// Calls after which a session that has nothing to receive must say so.
const CALLS_MAX: usize = 10_000;

/// Keeps the engine's ends of connections until it looks for them.
#[derive(Default)]
struct Listener(Mutex<Vec<OwnedFd>>);

impl Connector for Listener {
    fn open(&self) -> Result<OwnedFd, Failure> {
        let Ok((near, far)) = socket::pair() else { panic!("no descriptors left") };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(near);
        Ok(far)
    }
}

/// A connection that waits for a welcome.
struct Call {
    socket: OwnedFd,
    lane: Lane,
    memory: File,
    wake_client: OwnedFd,
}

/// The engine's end of a session.
struct Engine {
    _socket: OwnedFd,
    lane: Lane,
    memory: File,
    wake_client: OwnedFd,
}

impl Listener {
    /// A client that has called, if one has.
    fn call(&self) -> Option<Call> {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let mut hello = [0; size_of::<Hello>()];
        let received = socket::receive(socket.as_fd(), &mut hello).ok()?;
        let [memory, _, wake_client] = <[OwnedFd; 3]>::try_from(received.fds).ok()?;
        let layout = Layout::new(CAPACITY_MIN, CAPACITY_MIN)?;
        let lane = Lane::map(&memory, layout).ok()?;
        Some(Call { socket, lane, memory: memory.into(), wake_client })
    }

    /// Answers a client that has called, if one has.
    fn accept(&self, session: u64) -> Option<Engine> {
        self.call()?.answer(honest(session).as_bytes())
    }
}

impl Call {
    fn answer(self, welcome: &[u8]) -> Option<Engine> {
        socket::send(self.socket.as_fd(), welcome).ok()?;
        let Self { socket, lane, memory, wake_client } = self;
        Some(Engine { _socket: socket, lane, memory, wake_client })
    }
}

fn honest(session: u64) -> Welcome {
    Welcome {
        magic: MAGIC,
        version: SESSION_VERSION,
        reason_len: 0,
        status: 0,
        message_len_max: 10_000,
        node: 1,
        session,
        reason: [0; _],
        lane_key: 77,
    }
}

impl Engine {
    fn push(&self, kind: u16, head: &[u8], rest: &[u8]) {
        // It may be full, or broken by then.
        let _ = self.lane.push(0, kind, head, &[Bytes::copy_from_slice(rest)]);
        if self.lane.wake_needed() {
            wake::wake(self.wake_client.as_raw_fd());
        }
    }

    /// The number that the client has for a group that it joins.
    fn number_of(&mut self, name: &[u8]) -> u32 {
        let mut bytes = BytesMut::new();
        while let Ok(Some(taken)) = self.lane.take(&mut bytes, 1_000) {
            let record = bytes.split();
            if let Some((join, of)) = JoinRecord::split_from(&record)
                && (taken.kind, of) == (request::JOIN, name)
            {
                return join.handle;
            }
        }
        panic!("it has not asked to join");
    }

    fn act(&mut self, group: u32, input: &mut Input<'_>) {
        let handle = if input.u8() < 200 { group } else { input.u32() };
        let tag = u64::from(input.u8() % 4);
        let sender = Member { node: 1, session: 5 };
        match input.below(10) {
            0 => {
                let (service, sequence) = (input.u32(), input.u64());
                let head = MessageRecord { handle, service, sender, sequence, tag };
                let kind = if input.coin() { event::MESSAGE } else { event::UNICAST };
                self.push_some(kind, head.as_bytes(), input);
            }
            1 => {
                let handles = input.u8().into();
                let head = MultiRecord { service: 4, handles, sender, sequence: 1, tag };
                self.push_some(event::MULTI, head.as_bytes(), input);
            }
            2 => {
                let head = ViewRecord {
                    handle,
                    cause: 1,
                    id: ViewId::default(),
                    transitional: input.u8().into(),
                    members: input.u8().into(),
                    joined: input.u8().into(),
                    left: input.u8().into(),
                    together: input.u8().into(),
                    reason_len: input.u8().into(),
                };
                self.push_some(event::VIEW, head.as_bytes(), input);
            }
            3 => {
                let head = ReceiptRecord { handle, status: input.u32() as i32, tag };
                self.push_some(event::RECEIPT, head.as_bytes(), input);
            }
            4 => {
                let entry = TakenEntry { tag, handle, ahead: handle % 5 };
                let head = TakenRecord { up_to: input.u64() };
                let many = entry.as_bytes().repeat(input.below(6));
                self.push(event::TAKEN, head.as_bytes(), &many);
            }
            5 => {
                let head = GapRecord { handle, reserved: 0, count: input.u64() };
                self.push(event::GAP, head.as_bytes(), input.take(1));
            }
            6 => self.push_some(input.u16(), &[], input),
            7 => self.push_some(u16::from(input.u8() % 12), &[], input),
            _ => {
                // Of the control area or the records, which come after it.
                let (at, word) = (u64::from(input.u16()) * 8, input.u64().to_ne_bytes());
                let _ = self.memory.write_all_at(&word, at);
                wake::wake(self.wake_client.as_raw_fd());
            }
        }
    }

    fn push_some(&self, kind: u16, head: &[u8], input: &mut Input<'_>) {
        let len = input.below(200);
        self.push(kind, head, input.take(len));
    }
}

/// Receives all that there is; what came.
fn receive(session: &Session) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    for _ in 0..CALLS_MAX {
        let shown = session.receive(64, &mut |event| {
            let _ = (event.text(), event.view.map(|view| (view.members().len(), view.reason())));
            kinds.push(event.kind);
            Hold::Release
        });
        if matches!(shown, Ok(0) | Err(_)) {
            return kinds;
        }
    }
    panic!("a session never stops to have something");
}

/// A session that has called.
fn call(listener: &Arc<Listener>) -> Option<(Session, Call)> {
    let options = SessionOptions {
        send_ring_len: CAPACITY_MIN,
        receive_ring_len: CAPACITY_MIN,
        connect_timeout: Duration::from_secs(5),
        connect_async: true,
        slow: SlowPolicy::Disconnect,
    };
    let session = Session::open(Arc::clone(listener) as Arc<dyn Connector>, options).ok()?;
    Some((session, listener.call()?))
}

/// A welcome of any content. It is as good as an honest one, or refused in words; an honest engine
/// is served afterwards, unless that is over. Accepted: as good as an honest one.
pub(crate) fn welcome(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let flags = input.u8();
    let mut welcome = input.take(300).to_vec();
    if flags & 1 != 0 {
        welcome.resize(size_of::<Welcome>(), 0);
        welcome[..6].copy_from_slice(&honest(5).as_bytes()[..6]);
    }
    if flags & 3 == 3 {
        welcome[8..12].fill(0);
    }
    let listener = Arc::new(Listener::default());
    let Some((session, call)) = call(&listener) else { panic!("no session") };
    if flags & 4 != 0 && session.join("g", 0, 0).is_err() {
        panic!("no group");
    }
    let Some(engine) = call.answer(&welcome) else { return false };
    let kinds = receive(&session);
    let accepted = kinds.contains(&EventKind::Resumed);
    assert_ne!(accepted, kinds.contains(&EventKind::Closed) || kinds.is_empty(), "{kinds:?}");
    assert_eq!(session.is_open(), !kinds.contains(&EventKind::Closed), "{kinds:?}");
    if accepted {
        let (read, said) = (session.identity(), Welcome::split_from(&welcome));
        let said = said.map(|(welcome, _)| (welcome.node, welcome.session));
        assert_eq!(Some((read.node, read.session)), said);
        drop(engine);
        receive(&session);
        serve(&session, &listener);
    }
    accepted
}

/// One hostile engine, and an honest one after it. Accepted: what it says is shown.
pub(crate) fn engine_records(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let listener = Arc::new(Listener::default());
    let Some((session, call)) = call(&listener) else { panic!("no session") };
    let Some(mut engine) = call.answer(honest(5).as_bytes()) else { panic!("no answer") };
    assert_eq!(receive(&session), [EventKind::Resumed]);
    let Ok(group) = session.join("g", 0, 7) else { panic!("no group") };
    let (number, mut shown) = (engine.number_of(b"g"), Vec::new());
    for tag in 0..ACTS_MAX as u64 {
        if input.is_empty() {
            break;
        }
        engine.act(number, &mut input);
        match input.below(4) {
            0 => _ = session.send(group, 4, &[input.take(5)], tag % 4),
            1 => _ = session.query(b"{}", tag),
            _ => shown.extend(receive(&session)),
        }
    }
    shown.extend(receive(&session));
    drop(engine);
    receive(&session);
    serve(&session, &listener);
    shown.iter().any(|kind| matches!(kind, EventKind::Message | EventKind::View))
}

/// It calls again, unless it was told that it is over, and is served.
fn serve(session: &Session, listener: &Listener) {
    let mut honest = None;
    for _ in 0..100 {
        receive(session);
        if !session.is_open() {
            return;
        }
        honest = listener.accept(6);
        if honest.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let Some(mut honest) = honest else { panic!("it does not call again") };
    assert!(receive(session).contains(&EventKind::Resumed), "it has not come back");
    assert!(session.join("afterwards", 0, 0).is_ok(), "it cannot join");
    let (sender, handle) = (Member { node: 1, session: 6 }, honest.number_of(b"afterwards"));
    let head = MessageRecord { handle, service: 4, sender, sequence: 1, tag: 0 };
    honest.push(event::MESSAGE, head.as_bytes(), b"hello");
    assert_eq!(receive(session), [EventKind::Message]);
}
