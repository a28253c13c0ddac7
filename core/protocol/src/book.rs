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
/// A process that was heard this recently is believed to be the present one of its node, even
/// against one with an older incarnation.
const PROCESS_FRESH: Duration = Duration::from_secs(1);

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
    /// A membership packet of `process` came from `address`. What is known of an older process of
    /// the node, or of another node at this address, is out of date. (A node whose clock went back
    /// has a smaller incarnation than before: after a while it is believed all the same.)
    pub(crate) fn heard(&mut self, process: Process, address: SocketAddr, now: Instant) {
        match self.entries.get_mut(&process.node) {
            Some(e) if e.process == process && e.address == address => {
                e.heard_at = now;
                return;
            }
            Some(e)
                if e.process.incarnation > process.incarnation
                    && now.since(e.heard_at) < PROCESS_FRESH =>
            {
                return;
            }
            _ => {}
        }
        self.entries.retain(|_, e| e.address != address);
        self.insert(process, address, now);
    }

    /// Another node says where `process` is: believed while nothing is known of it.
    pub(crate) fn told(&mut self, process: Process, address: SocketAddr, now: Instant) {
        let known = self.entries.get(&process.node);
        let taken = self.entries.values().any(|e| e.address == address);
        if !taken && known.is_none_or(|e| e.process.incarnation < process.incarnation) {
            self.insert(process, address, now);
        }
    }

    fn insert(&mut self, process: Process, address: SocketAddr, now: Instant) {
        if self.entries.len() >= limits::BOOK_MAX {
            self.forget_oldest();
        }
        let entry = Entry { process, address, heard_at: now, multicast_at: None };
        self.entries.insert(process.node, entry);
    }

    /// A datagram of this node came, of whatever kind.
    pub(crate) fn alive(&mut self, node: NodeId, boot: u32, multicast: bool, now: Instant) {
        if let Some(e) = self.entries.get_mut(&node)
            && e.process.incarnation.0 as u32 == boot
        {
            e.heard_at = now;
            if multicast {
                e.multicast_at = Some(now);
            }
        }
    }

    /// A process is gone: its address may soon be another's.
    pub(crate) fn gone(&mut self, process: Process) {
        self.entries.retain(|_, e| e.process != process);
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

    /// Addresses, the most recently heard first.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_by_key(|e| core::cmp::Reverse(e.heard_at));
        entries.iter().map(|e| e.address).collect()
    }

    /// Members of a ring are heard all the time, so they are never the oldest.
    fn forget_oldest(&mut self) {
        if let Some(node) = self.entries.values().min_by_key(|e| e.heard_at).map(|e| e.process.node)
        {
            self.entries.remove(&node);
        }
    }
}
