//! What a simulated machine gives its engine: a socket, a disk, descriptors to watch, and somebody
//! who looks over the core's shoulder. The engine itself is the real one.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anasazi_engine::session::Readiness;
use anasazi_engine::state_file::Stored;
use anasazi_engine::turn::Turn;
use anasazi_engine::{Storage, Witness};
use anasazi_protocol::trace::Trace;
use anasazi_protocol::{Event, Instant};
use anasazi_transport::{Life, Received, Target, Transport, TransportCounters};
use bytes::Bytes;

/// The engine of a simulated machine.
pub type SimTurn = Turn<Wire, Disk>;

/// A machine's sockets: one for multicast, one for unicast, as the real transport has them.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    multicast: bool,
    /// What arrived by multicast, and by unicast.
    arrived: [VecDeque<Received>; 2],
    unreachable: Vec<SocketAddr>,
    watched: Vec<Life>,
    ended: Vec<Life>,
    sent: Vec<(Target, Bytes)>,
    /// The next time that everything was taken in, it is not known yet: a batch was just full.
    pub(crate) hesitates: bool,
    counters: TransportCounters,
}

impl Wire {
    /// Sockets at that address.
    pub fn new(address: SocketAddr, multicast: bool) -> Self {
        Self {
            address,
            multicast,
            arrived: Default::default(),
            unreachable: Vec::new(),
            watched: Vec::new(),
            ended: Vec::new(),
            sent: Vec::new(),
            hesitates: false,
            counters: TransportCounters::default(),
        }
    }

    /// A datagram reaches the machine; the kernel drops it if `room` wait already.
    pub(crate) fn put(&mut self, received: Received, room: usize) {
        let queue = &mut self.arrived[usize::from(!received.multicast)];
        if queue.len() < room {
            queue.push_back(received);
        } else {
            self.counters.receive_lost += 1;
        }
    }

    /// A host answered that nobody listens there.
    pub(crate) fn put_unreachable(&mut self, address: SocketAddr) {
        if !self.unreachable.contains(&address) {
            self.unreachable.push(address);
        }
    }

    /// It has a liveness connection to that process.
    pub(crate) fn watches(&self, life: Life) -> bool {
        self.watched.contains(&life)
    }

    /// A liveness connection has ended with its process.
    pub(crate) fn put_ended(&mut self, life: Life) {
        if self.watches(life) && !self.ended.contains(&life) {
            self.ended.push(life);
        }
    }

    /// Something waits to be received.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.unreachable.is_empty() || !self.ended.is_empty() || self.waiting() > 0
    }

    /// Datagrams that wait to be received.
    pub(crate) fn waiting(&self) -> usize {
        self.arrived.iter().map(VecDeque::len).sum()
    }

    /// Exchanges what was sent since the last time with an empty list.
    pub(crate) fn swap_sent(&mut self, with: &mut Vec<(Target, Bytes)>) {
        std::mem::swap(&mut self.sent, with);
    }
}

impl Transport for Wire {
    fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn has_multicast(&self) -> bool {
        self.multicast
    }

    fn fds(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Multicast first, as the real transport does.
    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        for queue in &mut self.arrived {
            let count = queue.len().min(max - out.len().min(max));
            out.extend(queue.drain(..count));
        }
        self.waiting() == 0 && !std::mem::take(&mut self.hesitates)
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        self.counters.sent_datagrams += batch.len() as u64;
        self.sent.extend_from_slice(batch);
    }

    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        out.append(&mut self.unreachable);
    }

    fn watch(&mut self, _: Life, others: &[(SocketAddr, Life)]) {
        self.watched = others.iter().map(|(_, life)| *life).collect();
    }

    fn ended(&mut self, out: &mut Vec<Life>) {
        out.append(&mut self.ended);
    }

    fn counters(&self) -> TransportCounters {
        self.counters
    }
}

/// The engine's side of a machine's disk: what it asked for, what it was told.
#[derive(Debug, Default)]
pub struct Disk {
    pub(crate) asked: Vec<(u64, Stored)>,
    pub(crate) written: Vec<(u64, bool)>,
}

impl Storage for Disk {
    fn write(&mut self, ticket: u64, stored: Stored) {
        self.asked.push((ticket, stored));
    }

    fn take_written(&mut self, out: &mut Vec<(u64, bool)>) {
        out.append(&mut self.written);
    }
}

/// The descriptors that an engine wants to be watched. Nothing is watched here: whoever does
/// something that would make one ready says so itself, and has to know under which key.
#[derive(Debug, Default)]
pub struct Watch {
    /// Of the socket that was added last.
    socket_key: Cell<u64>,
    /// Of the wake-up that was added last.
    wake_key: Cell<u64>,
}

impl Watch {
    /// The keys of the connection that was taken in last: its socket's and its wake-up's.
    pub(crate) fn last_keys(&self) -> (u64, u64) {
        (self.socket_key.get(), self.wake_key.get())
    }
}

impl Readiness for Watch {
    fn add(&self, _fd: RawFd, key: u64) -> io::Result<()> {
        self.socket_key.set(key);
        Ok(())
    }

    fn add_edge(&self, _fd: RawFd, key: u64) -> io::Result<()> {
        self.wake_key.set(key);
        Ok(())
    }

    fn remove(&self, _fd: RawFd) {}
}

/// What a core did during a turn, in order.
#[derive(Debug)]
pub(crate) enum Seen {
    Trace(Trace),
    Event(Event),
}

/// Two ends of one list: the engine's witness writes, the simulator reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    /// Exchanges what was written since the last time with an empty list.
    pub(crate) fn swap(&self, with: &mut Vec<Seen>) {
        std::mem::swap(&mut *self.lock(), with);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Log {
    fn trace(&mut self, _now: Instant, trace: &Trace) {
        self.lock().push(Seen::Trace(trace.clone()));
    }

    fn event(&mut self, _now: Instant, event: &Event) {
        self.lock().push(Seen::Event(event.clone()));
    }
}
