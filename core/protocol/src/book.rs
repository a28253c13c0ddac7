//! Where the other processes are. Learned from what they send, and until then from what others say
//! of them. By process, not by node: when two processes run with one node id, what is meant for one
//! must not go to the other.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::id::{Incarnation, NodeId, Process};
use crate::limits;
use crate::time::Instant;
use crate::wire::Gone;

/// Multicast that was heard this recently counts as working.
const MULTICAST_FRESH: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Hash)]
struct Entry {
    address: SocketAddr,
    heard_at: Instant,
    multicast_at: Option<Instant>,
    /// Of its newest membership packet.
    counter: u64,
    /// It is gone. What is known of it stays, so that what it said before does not count again.
    gone: Option<Gone>,
    /// A member of the present ring, never to be forgotten: not all members hear each other when
    /// the ring is idle.
    member: bool,
}

impl Entry {
    /// It said so itself, or runs no more: whatever still comes of it is late. (A host may say
    /// wrongly that nothing listens.)
    fn has_ended(&self) -> bool {
        matches!(self.gone, Some(Gone::Left | Gone::Restarted))
    }
}

#[derive(Clone, Default, Hash)]
pub(crate) struct Book {
    /// By process. They change rarely, and are looked up for every datagram.
    entries: Vec<(Process, Entry)>,
    /// The newest process of each node that has been heard, and when it was last; it may be gone.
    newest: BTreeMap<NodeId, (Incarnation, Instant)>,
}

impl Book {
    /// A membership packet of `process` came from `address`. False if it is not newer than the
    /// newest one: a copy, or a late one that must not count any more. Several processes may have
    /// had one address, one after the other.
    pub(crate) fn heard(
        &mut self,
        process: Process,
        address: SocketAddr,
        counter: u64,
        now: Instant,
    ) -> bool {
        self.remember(process, now);
        match self.get_mut(process) {
            Some(entry) if counter <= entry.counter || entry.has_ended() => return false,
            Some(entry) => {
                (entry.counter, entry.heard_at, entry.address) = (counter, now, address);
                entry.gone = None;
            }
            None => self.insert(process, address, counter, now),
        }
        true
    }

    /// Addresses and newest starts that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.newest.len()
    }

    fn remember(&mut self, process: Process, now: Instant) {
        if self.newest.len() >= limits::BOOK_MAX && !self.newest.contains_key(&process.node) {
            let oldest = self.newest.iter().min_by_key(|(_, (_, at))| *at).map(|(n, _)| *n);
            oldest.map(|n| self.newest.remove(&n));
        }
        let known = self.newest.entry(process.node).or_insert((process.incarnation, now));
        *known = (known.0.max(process.incarnation), now);
    }

    /// The newest process of this node that was ever heard here.
    pub(crate) fn newest(&self, node: NodeId) -> Option<Process> {
        self.newest.get(&node).map(|(incarnation, _)| Process { node, incarnation: *incarnation })
    }

    /// Another node says where `process` is: believed while nothing is known of it.
    pub(crate) fn told(&mut self, process: Process, address: SocketAddr, now: Instant) {
        if self.get(process).is_none() {
            self.insert(process, address, 0, now);
        }
    }

    fn insert(&mut self, process: Process, address: SocketAddr, counter: u64, now: Instant) {
        if self.entries.len() >= limits::BOOK_MAX {
            self.forget_oldest();
        }
        let multicast_at = None;
        let (gone, member) = (None, false);
        let entry = Entry { address, heard_at: now, multicast_at, counter, gone, member };
        let at = self.entries.partition_point(|(p, _)| *p < process);
        self.entries.insert(at, (process, entry));
    }

    /// A datagram of this node came, of whatever kind.
    pub(crate) fn alive(&mut self, node: NodeId, boot: u32, multicast: bool, now: Instant) {
        let first = self.entries.partition_point(|(p, _)| p.node < node);
        let mut of_node = self.entries[first..].iter_mut().take_while(|(p, _)| p.node == node);
        if let Some((_, e)) = of_node.find(|(p, _)| p.incarnation.0 as u32 == boot) {
            e.heard_at = now;
            if multicast {
                e.multicast_at = Some(now);
            }
        }
    }

    /// A process is gone: its address may soon be another's.
    pub(crate) fn gone(&mut self, process: Process, gone: Gone) {
        if let Some(entry) = self.get_mut(process) {
            entry.gone = Some(gone);
        }
    }

    /// A ring with these members was installed.
    pub(crate) fn installed(&mut self, members: &[Process]) {
        self.entries.iter_mut().for_each(|(p, e)| e.member = members.contains(p));
    }

    pub(crate) fn address(&self, process: Process) -> Option<SocketAddr> {
        self.get(process).filter(|e| e.gone.is_none()).map(|e| e.address)
    }

    fn present(&self) -> impl Iterator<Item = &(Process, Entry)> {
        self.entries.iter().filter(|(_, e)| e.gone.is_none())
    }

    /// Where the node was heard last, whichever its process.
    pub(crate) fn latest_address(&self, node: NodeId) -> Option<SocketAddr> {
        let of_node = self.entries.iter().filter(|(p, _)| p.node == node);
        let latest = of_node.max_by_key(|(_, e)| e.heard_at);
        latest.map(|(_, e)| e.address)
    }

    pub(crate) fn processes_at(&self, address: SocketAddr) -> impl Iterator<Item = Process> {
        self.present().filter(move |(_, e)| e.address == address).map(|(p, _)| *p)
    }

    /// The processes at this address, but for those heard within `recently`.
    pub(crate) fn silent_at(
        &self,
        address: SocketAddr,
        now: Instant,
        recently: Duration,
    ) -> Vec<Process> {
        let silent = |e: &Entry| e.address == address && now.since(e.heard_at) >= recently;
        self.present().filter(|(_, e)| silent(e)).map(|(p, _)| *p).collect()
    }

    /// Something was not received: multicast has to show again that it works.
    pub(crate) fn doubt_multicast(&mut self) {
        self.entries.iter_mut().for_each(|(_, e)| e.multicast_at = None);
    }

    pub(crate) fn multicast_heard(&self, now: Instant) -> Vec<NodeId> {
        let fresh = |e: &Entry| e.multicast_at.is_some_and(|at| now.since(at) < MULTICAST_FRESH);
        self.entries.iter().filter(|(_, e)| fresh(e)).map(|(p, _)| p.node).collect()
    }

    /// Addresses, the most recently heard first.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let mut entries: Vec<&Entry> = self.present().map(|(_, e)| e).collect();
        entries.sort_by_key(|e| core::cmp::Reverse(e.heard_at));
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(entries.len());
        for entry in entries {
            if !addresses.contains(&entry.address) {
                addresses.push(entry.address);
            }
        }
        addresses
    }

    fn forget_oldest(&mut self) {
        let others = self.entries.iter().filter(|(_, e)| !e.member);
        if let Some(process) = others.min_by_key(|(_, e)| e.heard_at).map(|(p, _)| *p) {
            self.entries.retain(|(p, _)| *p != process);
        }
    }

    fn get(&self, process: Process) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&process, |(p, _)| *p).ok()?;
        Some(&self.entries[at].1)
    }

    fn get_mut(&mut self, process: Process) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&process, |(p, _)| *p).ok()?;
        Some(&mut self.entries[at].1)
    }
}
