//! A network of queues inside one process, for tests: nothing is lost, and everything arrives in
//! the order of sending.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::counters::TransportCounters;
use crate::transport::{Life, Received, Target, Transport};

/// A network to which any number of [`Memory`] transports are attached.
#[derive(Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<BTreeMap<SocketAddr, Inbox>>>);

/// A transport on a [`MemoryNetwork`]; dropping it detaches it.
pub struct Memory {
    network: MemoryNetwork,
    local: SocketAddr,
    multicast: bool,
    /// Holds one byte exactly while the inbox has something.
    signal: PipeReader,
    unreachable: Vec<SocketAddr>,
    counters: TransportCounters,
}

struct Inbox {
    arrived: VecDeque<Received>,
    multicast: bool,
    signal: PipeWriter,
    lost: u64,
}

impl MemoryNetwork {
    /// A network with nobody on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches a transport at an address, with or without multicast.
    ///
    /// # Errors
    /// The address is taken, or the process has no descriptors left.
    pub fn attach(&self, address: SocketAddr, multicast: bool) -> io::Result<Memory> {
        let mut inboxes = self.lock();
        if inboxes.contains_key(&address) {
            let taken = format!("{address} is taken on this in-memory network");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, taken));
        }
        let (reader, signal) = io::pipe()?;
        inboxes.insert(address, Inbox { arrived: VecDeque::new(), multicast, signal, lost: 0 });
        Ok(Memory {
            network: self.clone(),
            local: address,
            multicast,
            signal: reader,
            unreachable: Vec::new(),
            counters: TransportCounters::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Inbox>> {
        // Whoever panicked while holding it left whole queues behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn put(&mut self, received: Received) {
        if self.arrived.len() == INBOX_COUNT_MAX {
            self.lost += 1;
            return;
        }
        if self.arrived.is_empty() {
            // One byte fits into an empty pipe, and its reader lives as long as this inbox.
            let _ = self.signal.write(&[1]);
        }
        self.arrived.push_back(received);
    }
}

impl Memory {
    fn put_to_others(&self, inboxes: &mut BTreeMap<SocketAddr, Inbox>, received: &Received) {
        let others = inboxes.iter_mut().filter(|(address, _)| **address != self.local);
        let hearing = others.filter(|(_, inbox)| inbox.multicast);
        hearing.for_each(|(_, inbox)| inbox.put(received.clone()));
    }

    fn note_unreachable(&mut self, address: SocketAddr) {
        self.counters.port_unreachable += 1;
        if !self.unreachable.contains(&address) {
            self.unreachable.push(address);
        }
    }
}

impl Transport for Memory {
    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn has_multicast(&self) -> bool {
        self.multicast
    }

    fn fds(&self) -> Vec<RawFd> {
        vec![self.signal.as_raw_fd()]
    }

    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        let mut inboxes = self.network.lock();
        let Some(inbox) = inboxes.get_mut(&self.local) else { return true };
        self.counters.receive_lost = inbox.lost;
        let count = max.min(inbox.arrived.len());
        self.counters.received_datagrams += count as u64;
        for received in inbox.arrived.drain(..count) {
            self.counters.received_bytes += received.bytes.len() as u64;
            out.push(received);
        }
        if count > 0 && inbox.arrived.is_empty() {
            let _ = self.signal.read(&mut [0]);
        }
        inbox.arrived.is_empty()
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        let network = self.network.clone();
        let mut inboxes = network.lock();
        for (target, bytes) in batch {
            let multicast = *target == Target::Multicast;
            if multicast && !self.multicast {
                self.counters.send_lost += 1;
                continue;
            }
            self.counters.sent_datagrams += 1;
            self.counters.sent_bytes += bytes.len() as u64;
            let received = Received { from: self.local, multicast, bytes: bytes.clone() };
            match target {
                Target::Multicast => self.put_to_others(&mut inboxes, &received),
                Target::Unicast(address) | Target::Probe(address) => match inboxes.get_mut(address)
                {
                    Some(inbox) => inbox.put(received),
                    None => self.note_unreachable(*address),
                },
            }
        }
    }

    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        out.append(&mut self.unreachable);
    }

    fn watch(&mut self, _: Life, _: &[(SocketAddr, Life)]) {}

    fn ended(&mut self, _: &mut Vec<Life>) {}

    fn counters(&self) -> TransportCounters {
        self.counters
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.network.lock().remove(&self.local);
    }
}

/// Datagrams that wait at one address; what comes beyond is lost, and counted there.
const INBOX_COUNT_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests;
