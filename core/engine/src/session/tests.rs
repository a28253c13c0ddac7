//! Sessions between raw clients and a core that only pretends.

mod access;
mod claims;
mod delivery;
mod domains;
mod hostile;
mod lanes;
mod listener;
mod opening;
mod priorities;
mod removal;
mod requests;
mod services;
mod slow;

use std::os::fd::OwnedFd;
use std::time::Duration;

use anasazi_protocol::{Command, Incarnation, Instant, MemberId, NodeId, Process};
use anasazi_queue::hello::Hello;
use anasazi_queue::plain::Plain;
use anasazi_queue::record::{
    JoinRecord, LeaveRecord, LeftRecord, MessageRecord, QueryRecord, ReceiptRecord, SendRecord,
    ViewRecord, event, request,
};

use super::fake_core::FakeCore;
use super::limits::{HELLO_TIMEOUT, WAITING_MAX};
use super::*;
use crate::domains::{DomainId, DomainSet};
use crate::sys::raw_client::{Epoll, RawClient};
use crate::sys::socket::Peer;

/// Of the engine under test.
const IDENTITY: Process = Process { node: NodeId(7), incarnation: Incarnation(1_000) };
const KEY_BASE: u64 = 100;
const MESSAGE_LEN_MAX: usize = 16 << 10;

/// An engine without a protocol.
struct Engine {
    sessions: Sessions,
    epoll: Epoll,
    core: FakeCore,
    now: Instant,
}

impl Engine {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut SessionLimits)) -> Self {
        let mut limits = SessionLimits {
            sessions_max: 10,
            backlog_len_max: 100_000,
            backlog_total_max: 1 << 30,
            hold_max: Duration::from_secs(5),
            message_len_max: MESSAGE_LEN_MAX,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
        };
        change(&mut limits);
        Self {
            sessions: Sessions::new(limits, IDENTITY, KEY_BASE),
            epoll: Epoll::new(),
            core: FakeCore::new(IDENTITY),
            now: Instant(1),
        }
    }

    /// A client whose connection is accepted and who has said nothing.
    fn connect(&mut self) -> RawClient {
        let (near, far) = socket::pair().expect("socketpair");
        self.sessions.accept(near, &self.epoll, self.now);
        RawClient::new(far)
    }

    /// A client with a session.
    fn open(&mut self) -> RawClient {
        self.open_as(|_| ())
    }

    /// A client with a session that it asked for with another hello.
    fn open_as(&mut self, change: impl FnOnce(&mut Hello)) -> RawClient {
        let client = self.connect();
        let mut hello = client.hello();
        change(&mut hello);
        client.say(hello.as_bytes(), &client.fds());
        self.run();
        let welcome = client.welcome().expect("an answer");
        assert_eq!(welcome.status, 0, "{}", text(&welcome.reason));
        assert!(client.consumer.prepare_sleep());
        client
    }

    /// A lane of the session that was the `number`th to be opened.
    fn open_lane(&mut self, number: u64, domain: &str) -> RawClient {
        let hello = self.lane_hello(number, domain);
        self.open_as(|said| *said = Hello { slow: said.slow, ..hello(said) })
    }

    /// What makes a hello ask for that.
    fn lane_hello(&self, number: u64, domain: &str) -> impl FnOnce(&Hello) -> Hello + use<> {
        let (session, domain) = (session(number), domain.to_owned());
        let key = self.sessions.lane_key(session);
        move |hello| hello.into_lane(&domain, session.0, key).expect("a name of a domain")
    }

    /// Turns until nothing is left to do.
    fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }

    /// One turn of the engine's loop; true if there is more to do.
    fn turn(&mut self) -> bool {
        let keys = self.epoll.wait(0);
        keys.iter().for_each(|key| self.sessions.ready(*key, &self.epoll));
        self.sessions.expire_holds(self.now);
        let mut requests = Vec::new();
        let more = self.sessions.poll(1_000, DomainSet::NONE, &mut |request| {
            requests.push(request);
            true
        });
        let moved = !requests.is_empty();
        requests.into_iter().for_each(|request| self.core.handle(request, &mut self.sessions));
        self.sessions.flush(&self.epoll);
        self.say_holds();
        more || moved || !keys.is_empty() || self.sessions.has_turns(DomainSet::NONE)
    }
}

impl Engine {
    /// The ring is this node alone, which hears itself.
    fn say_holds(&mut self) {
        for (domain, command) in self.sessions.say_holds(self.now) {
            let Command::Hold { groups, for_ms } = command else { panic!("{command:?}") };
            self.core.log.push(format!("hold {} for {for_ms}", groups.len()));
            self.sessions.hold((domain, IDENTITY.node), &groups, for_ms, self.now);
        }
    }
}

impl RawClient {
    fn join(&self, handle: u32, name: &str) {
        let record = JoinRecord { handle, flags: 0 };
        self.push(request::JOIN, record.as_bytes(), name.as_bytes()).expect("room");
    }

    fn leave(&self, handle: u32) {
        let record = LeaveRecord { handle, reserved: 0 };
        self.push(request::LEAVE, record.as_bytes(), &[]).expect("room");
    }

    fn send(&self, handle: u32, service: u32, tag: u64, message: &[u8]) {
        let record = SendRecord { handle, service, tag, ..SendRecord::default() };
        self.push(request::SEND, record.as_bytes(), message).expect("room");
    }

    fn query(&self, tag: u64, json: &[u8]) {
        self.push(request::QUERY, QueryRecord { tag }.as_bytes(), json).expect("room");
    }

    /// The next record, which is of that kind, in two parts.
    fn expect<T: Plain>(&self, kind: u16) -> (T, Vec<u8>) {
        let (got, bytes) = self.next().expect("a record");
        assert_eq!(got, kind);
        let (head, rest) = T::split_from(&bytes).expect("long enough");
        (head, rest.to_vec())
    }

    fn expect_message(&self) -> (MessageRecord, Vec<u8>) {
        self.expect(event::MESSAGE)
    }

    fn expect_view(&self) -> ViewRecord {
        self.expect(event::VIEW).0
    }

    fn expect_left(&self) -> (u32, Status, String) {
        let (left, reason): (LeftRecord, _) = self.expect(event::LEFT);
        (left.handle, Status(left.status), String::from_utf8(reason).expect("UTF-8"))
    }

    fn expect_receipt(&self) -> (u32, Status, u64) {
        let (receipt, _): (ReceiptRecord, _) = self.expect(event::RECEIPT);
        (receipt.handle, Status(receipt.status), receipt.tag)
    }

    fn expect_nothing(&self) {
        assert_eq!(self.next(), None);
    }

    fn hang_up(&mut self) {
        self.socket = None;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

/// The one that was opened as the `number`th.
fn session(number: u64) -> SessionId {
    SessionId((1_000 << 24) + number)
}

fn member(session: SessionId) -> MemberId {
    MemberId { node: IDENTITY.node, session }
}
