//! The send path: a program's call of the client library, its ring, the turn of its engine, and the
//! datagrams that the network is given. Of a ring of two, the second node only receives.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anasazi_client::{
    Connector, EventKind, Failure, GroupHandle, Hold, Session, SessionOptions, SlowPolicy, Status,
};
use anasazi_engine::Storage;
use anasazi_engine::config::Settings;
use anasazi_engine::session::{Readiness, SessionLimits};
use anasazi_engine::state_file::Stored;
use anasazi_engine::sys::socket;
use anasazi_engine::turn::{DomainParts, Parts, SESSION_KEYS, Turn};
use anasazi_protocol::{Boot, CoreConfig, Incarnation, Instant, NodeId, Process};
use anasazi_transport::{Memory, MemoryNetwork, Transport};

/// Messages that a program sends before its engine has a turn.
const BURST: u64 = 16;
/// Agreed, and not to the sender: what it receives is another path.
const SERVICE: u32 = 0x104;
/// More than it ever takes.
const ROUNDS_MAX: usize = 1_000_000;
const GROUP: &str = "room";
const RING_LEN: u32 = 4 << 20;
/// Keys of the only session of an engine.
const SOCKET_KEY: u64 = SESSION_KEYS;
const WAKE_KEY: u64 = SESSION_KEYS + 1;

/// A program that sends, and one at another node that receives.
pub struct Pair {
    now_ns: u64,
    sender: Host,
    receiver: Host,
}

/// A node with one program.
struct Host {
    turn: Turn<Memory, NoDisk>,
    session: Session,
    group: Option<GroupHandle>,
    /// Members in the last view, and messages since.
    members: usize,
    delivered: u64,
    /// Datagrams that have come so far.
    arrived: u64,
    /// The engine said that it can go on at once.
    more: bool,
}

impl Pair {
    /// One ring, and a group of both programs.
    ///
    /// # Panics
    /// If they do not come together.
    pub fn new() -> Self {
        let network = MemoryNetwork::new();
        let (sender, receiver) = (Host::new(&network, 1), Host::new(&network, 2));
        let mut pair = Self { now_ns: 1, sender, receiver };
        pair.run_until(|host| host.turn.core().status().members.len() == 2);
        for host in [&mut pair.sender, &mut pair.receiver] {
            host.group = Some(host.session.join(GROUP, 0, 0).expect("a group"));
        }
        pair.run_until(|host| host.members == 2);
        pair
    }

    /// So many messages of `len` bytes go to the other program.
    ///
    /// # Panics
    /// If one is missing.
    pub fn send(&mut self, count: u64, len: usize) {
        let payload = vec![0x5A; len];
        self.receiver.delivered = 0;
        let mut left = count;
        for _ in 0..ROUNDS_MAX {
            if self.receiver.delivered == count {
                return;
            }
            self.round(|sender, now| left -= sender.send(now, &payload, left.min(BURST)));
        }
        panic!("it does not go on");
    }

    fn hosts(&self) -> [&Host; 2] {
        [&self.sender, &self.receiver]
    }

    fn run_until(&mut self, is_so: impl Fn(&Host) -> bool) {
        for _ in 0..ROUNDS_MAX {
            if self.hosts().into_iter().all(&is_so) {
                return;
            }
            self.round(Host::run);
        }
        panic!("they do not come together");
    }

    /// Both have a turn; if nothing comes of it, time passes until something is due.
    fn round(&mut self, work: impl FnOnce(&mut Host, Instant)) {
        self.now_ns += 1_000;
        let now = Instant(self.now_ns);
        work(&mut self.sender, now);
        self.receiver.run(now);
        let busy = [&mut self.sender, &mut self.receiver].map(Host::receive);
        if busy == [false, false] {
            let deadlines = self.hosts().into_iter().filter_map(|host| host.turn.deadline());
            let next = deadlines.min().map_or(0, |deadline| deadline.0);
            self.now_ns = self.now_ns.max(next);
        }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    fn new(network: &MemoryNetwork, node: u32) -> Self {
        let process = Process { node: NodeId(node), incarnation: Incarnation(1) };
        let address = ([10, 0, 0, node as u8], 7000).into();
        let mtu = CoreConfig::default().mtu;
        let default = DomainParts {
            name: String::new(),
            // The path takes no more than it must.
            core: CoreConfig { mtu_max: mtu, seed: node.into(), ..CoreConfig::default() },
            boot: Boot { process, ring_sequence_floor: 0, ring_sequence_reserved: u64::MAX },
            transport: network.attach(address, true).expect("a descriptor"),
            seal: None,
            weight: 1,
            backlog_len_max: None,
            storage: NoDisk,
            witness: None,
        };
        let parts = Parts {
            config: Settings::for_daemon().validate().expect("the defaults fit"),
            warnings: Vec::new(),
            limits: limits(),
            temporary: None,
            default,
        };
        let mut turn = Turn::new(parts, Instant(0));
        let (near, far) = socket::pair().expect("descriptors");
        let session = Session::open(Arc::new(Near(Mutex::new(Some(near)))), options());
        turn.accept(far, &AllReady, Instant(0));
        turn.session_ready(SOCKET_KEY, &AllReady);
        let session = session.expect("a session");
        Self { turn, session, group: None, members: 0, delivered: 0, arrived: 0, more: false }
    }

    /// What is counted: calls of the client library, and the turn that takes the messages out of
    /// the ring and makes datagrams of them. How many were accepted.
    #[inline(never)]
    fn send(&mut self, now: Instant, payload: &[u8], count: u64) -> u64 {
        let group = self.group.expect("it has joined");
        let mut sent = 0;
        while sent < count {
            match group.send(SERVICE, 0, std::iter::once(payload)) {
                Ok(()) => sent += 1,
                Err(Status::EAGAIN) => break,
                Err(status) => panic!("{status:?}"),
            }
        }
        self.run(now);
        sent
    }

    fn run(&mut self, now: Instant) {
        self.turn.session_ready(WAKE_KEY, &AllReady);
        self.more = self.turn.run(now, true, 0, &AllReady).expect("it goes on");
    }

    /// What the program receives; false if neither it nor the engine has anything to do.
    fn receive(&mut self) -> bool {
        let (members, delivered) = (&mut self.members, &mut self.delivered);
        let shown = self.session.receive(256, &mut |event| {
            match event.kind {
                EventKind::View => *members = event.view.map_or(0, |view| view.members().len()),
                EventKind::Message => *delivered += 1,
                _ => {}
            }
            Hold::Release
        });
        let arrived = self.turn.transport_mut().counters().received_datagrams;
        let has_arrived = std::mem::replace(&mut self.arrived, arrived) != arrived;
        self.more || has_arrived || shown.expect("an open session") > 0
    }
}

/// One end of a socket whose other end an engine has.
struct Near(Mutex<Option<OwnedFd>>);

impl Connector for Near {
    fn open(&self) -> Result<OwnedFd, Failure> {
        let near = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        near.ok_or_else(|| Failure::new(Status::ECONNREFUSED, "there was one engine"))
    }
}

/// Nothing is watched: who could have been woken has a turn.
struct AllReady;

impl Readiness for AllReady {
    fn add(&self, _: RawFd, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn add_edge(&self, _: RawFd, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: RawFd) {}
}

/// Ring numbers are a node's own from the start, so nothing is written.
struct NoDisk;

impl Storage for NoDisk {
    fn write(&mut self, _: u64, _: Stored) {}

    fn take_written(&mut self, _: &mut Vec<(u64, bool)>) {}
}

fn limits() -> SessionLimits {
    SessionLimits {
        sessions_max: 1,
        backlog_len_max: 64 << 20,
        backlog_total_max: 64 << 20,
        hold_max: Duration::from_secs(1),
        message_len_max: 1 << 20,
        allow_uids: Vec::new(),
        allow_gids: Vec::new(),
    }
}

fn options() -> SessionOptions {
    SessionOptions {
        send_ring_len: RING_LEN,
        receive_ring_len: RING_LEN,
        connect_timeout: Duration::from_secs(60),
        connect_async: true,
        slow: SlowPolicy::Disconnect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let mut pair = Pair::new();
        pair.send(100, 64);
        pair.send(50, 100_000);
        assert_eq!((pair.sender.delivered, pair.receiver.delivered), (0, 50));
    }
}
