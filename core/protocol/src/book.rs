//! Where the other nodes are. Learned from what they send, and until then from what others say of
//! them.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::id::{NodeId, Process};
use crate::limits;
use crate::time::Instant;

/// Multicast that was heard this recently counts as working.
const MULTICAST_FRESH: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) heard_at: Instant,
    multicast_at: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Book {
    entries: BTreeMap<NodeId, Entry>,
}

impl Book {
    /// A membership packet of `process` came from `address`. An older incarnation changes nothing.
    pub(crate) fn heard(&mut self, process: Process, address: SocketAddr, now: Instant) {
        let fresh = Entry { process, address, heard_at: now, multicast_at: None };
        match self.entries.get_mut(&process.node) {
            Some(e) if e.process == process => (e.address, e.heard_at) = (address, now),
            Some(e) if e.process.incarnation > process.incarnation => {}
            Some(e) => *e = fresh,
            None => {
                if self.entries.len() >= 2 * limits::CANDIDATES_MAX {
                    self.forget_oldest();
                }
                self.entries.insert(process.node, fresh);
            }
        }
    }

    /// Another node says where `process` is; believed only while nothing is known.
    pub(crate) fn told(&mut self, process: Process, address: SocketAddr, now: Instant) {
        if self
            .entries
            .get(&process.node)
            .is_none_or(|e| e.process.incarnation < process.incarnation)
        {
            self.heard(process, address, now);
        }
    }

    /// A datagram of this node came by multicast.
    pub(crate) fn heard_multicast(&mut self, node: NodeId, boot: u32, now: Instant) {
        if let Some(e) = self.entries.get_mut(&node)
            && e.process.incarnation.0 as u32 == boot
        {
            e.multicast_at = Some(now);
        }
    }

    pub(crate) fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.entries.get(&node).map(|e| e.address)
    }

    pub(crate) fn process_at(&self, address: SocketAddr) -> Option<Process> {
        self.entries.values().find(|e| e.address == address).map(|e| e.process)
    }

    /// The process at this address, unless it was heard within `recently`.
    pub(crate) fn silent_at(
        &self,
        address: SocketAddr,
        now: Instant,
        recently: Duration,
    ) -> Option<Process> {
        let silent = |e: &&Entry| e.address == address && now.since(e.heard_at) >= recently;
        self.entries.values().find(silent).map(|e| e.process)
    }

    pub(crate) fn multicast_heard(&self, now: Instant) -> Vec<NodeId> {
        let fresh = |e: &&Entry| e.multicast_at.is_some_and(|at| now.since(at) < MULTICAST_FRESH);
        self.entries.values().filter(fresh).map(|e| e.process.node).collect()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    fn forget_oldest(&mut self) {
        if let Some(node) = self.entries.values().min_by_key(|e| e.heard_at).map(|e| e.process.node)
        {
            self.entries.remove(&node);
        }
    }
}
