//! The border between an engine and its network.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use bytes::Bytes;

use crate::counters::TransportCounters;

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The multicast group: everybody who joined it, but not the sender.
    Multicast,
    /// One address.
    Unicast(SocketAddr),
    /// One address, and it must not be fragmented on its way: lost where it does not fit.
    Probe(SocketAddr),
}

/// The name of an engine from its start to its end, as its user chose it: no two have the same.
pub type Life = [u8; 16];

/// A datagram that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The unicast address of its sender, also when it came by multicast.
    pub from: SocketAddr,
    /// It came through the multicast group.
    pub multicast: bool,
    /// All of it.
    pub bytes: Bytes,
}

/// A way to send datagrams to other engines and to receive theirs. Datagrams may be lost,
/// duplicated and reordered; they are not changed, except by whoever wants to attack. No method
/// blocks. One thread owns a transport.
pub trait Transport: Send {
    /// The address from which everything is sent, by unicast and by multicast, and at which unicast
    /// arrives.
    fn local_address(&self) -> SocketAddr;

    /// [`Target::Multicast`] works; otherwise datagrams for it are lost and counted as such.
    fn has_multicast(&self) -> bool;

    /// Descriptors that are readable (level-triggered) while [`receive`](Self::receive) has
    /// something to do. They stay the same for the life of the transport.
    fn fds(&self) -> Vec<RawFd>;

    /// Appends at most `max` datagrams to `out`, and sends what waited for room in the network.
    /// Returns true when everything that had arrived is in `out`; after false, call again without
    /// waiting for a descriptor.
    ///
    /// What was multicast before a unicast datagram was sent comes before it in `out`, if the
    /// network kept that order: data are seen before the token that announces them.
    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool;

    /// Sends in this order. A failure is a loss: it is counted, and not reported.
    fn send(&mut self, batch: &[(Target, Bytes)]);

    /// Appends the addresses, each once, whose hosts have answered since the last call that nobody
    /// listens there.
    fn unreachable(&mut self, out: &mut Vec<SocketAddr>);

    /// From now on the lives of these others matter, at these addresses, and no longer those that
    /// were named before; `own` is what they may know this one by.
    fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]);

    /// Appends those that are watched and have ended since the last call, as far as this transport
    /// can prove it: never one that goes on, unless a firewall that cuts connections says in its
    /// place that nobody listens.
    fn ended(&mut self, out: &mut Vec<Life>);

    /// What has happened so far.
    fn counters(&self) -> TransportCounters;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn local_address(&self) -> SocketAddr {
        (**self).local_address()
    }

    fn has_multicast(&self) -> bool {
        (**self).has_multicast()
    }

    fn fds(&self) -> Vec<RawFd> {
        (**self).fds()
    }

    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        (**self).receive(max, out)
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        (**self).send(batch);
    }

    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        (**self).unreachable(out);
    }

    fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]) {
        (**self).watch(own, others);
    }

    fn ended(&mut self, out: &mut Vec<Life>) {
        (**self).ended(out);
    }

    fn counters(&self) -> TransportCounters {
        (**self).counters()
    }
}
