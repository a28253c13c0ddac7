//! Loss and partitions on purpose, by rules that can be changed while an engine runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use bytes::Bytes;

use crate::counters::TransportCounters;
use crate::transport::{Life, Received, Target, Transport};

/// A transport that loses datagrams by rule; without rules it changes nothing.
pub struct Faulty<T> {
    inner: T,
    peers: Option<BTreeSet<SocketAddr>>,
    loss_permille: u16,
    random: u64,
    dropped: u64,
}

impl<T: Transport> Faulty<T> {
    /// Wraps a transport. Equal seeds lose the same datagrams of the same stream.
    pub fn new(inner: T, seed: u64) -> Self {
        Self { inner, peers: None, loss_permille: 0, random: seed, dropped: 0 }
    }

    /// Only these peers exist: what others send is dropped, and what goes to others by unicast too.
    /// A multicast reaches whoever hears it, so a partition needs the rule on both sides. `None`
    /// heals.
    pub fn isolate(&mut self, peers: Option<BTreeSet<SocketAddr>>) {
        self.peers = peers;
    }

    /// Drops this many of a thousand datagrams that arrive, at random; 0 stops it, 1000 and more
    /// drop everything.
    pub fn loss_permille(&mut self, permille: u16) {
        self.loss_permille = permille;
    }

    /// The wrapped transport.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// The wrapped transport, to be changed.
    pub fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    fn exists(&self, peer: SocketAddr) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.contains(&peer))
    }

    fn unlucky(&mut self) -> bool {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 1_000 < u64::from(self.loss_permille)
    }
}

impl<T: Transport> Transport for Faulty<T> {
    fn local_address(&self) -> SocketAddr {
        self.inner.local_address()
    }

    fn has_multicast(&self) -> bool {
        self.inner.has_multicast()
    }

    fn fds(&self) -> Vec<RawFd> {
        self.inner.fds()
    }

    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        let before = out.len();
        let drained = self.inner.receive(max, out);
        if self.peers.is_none() && self.loss_permille == 0 {
            return drained;
        }
        let arrived = out.split_off(before);
        let count = arrived.len();
        for received in arrived {
            let lost = self.loss_permille > 0 && self.unlucky();
            if !lost && self.exists(received.from) {
                out.push(received);
            }
        }
        self.dropped += (before + count - out.len()) as u64;
        drained
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        let exists = |(target, _): &&(Target, Bytes)| match target {
            Target::Multicast => true,
            Target::Unicast(peer) | Target::Probe(peer) => self.exists(*peer),
        };
        if self.peers.is_none() {
            return self.inner.send(batch);
        }
        let rest: Vec<_> = batch.iter().filter(exists).cloned().collect();
        self.dropped += (batch.len() - rest.len()) as u64;
        self.inner.send(&rest);
    }

    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        let before = out.len();
        self.inner.unreachable(out);
        let found = out.split_off(before);
        out.extend(found.into_iter().filter(|peer| self.exists(*peer)));
    }

    fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]) {
        self.inner.watch(own, others);
    }

    fn ended(&mut self, out: &mut Vec<Life>) {
        self.inner.ended(out);
    }

    fn counters(&self) -> TransportCounters {
        let inner = self.inner.counters();
        TransportCounters { faults_dropped: inner.faults_dropped + self.dropped, ..inner }
    }
}

#[cfg(test)]
mod tests;
