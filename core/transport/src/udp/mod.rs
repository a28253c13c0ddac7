//! UDP over IPv4 or IPv6: one socket for unicast, which also sends the multicasts, and one that
//! hears the group.
//!
//! Everything leaves from the unicast socket, so every datagram names its sender by the address at
//! which that sender can be answered, and own multicast copies are known by it.

mod arrivals;
mod echo;
mod error;
mod incoming;
mod liveness;
mod open;
mod outgoing;
mod room;

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use bytes::Bytes;
use socket2::Socket;

use crate::counters::TransportCounters;
use crate::sys::error_queue;
use crate::transport::{Life, Received, Target, Transport};

use echo::Echo;
use incoming::Incoming;
use liveness::Liveness;
use outgoing::Outgoing;
use room::RoomWatch;

pub use error::OpenError;

/// How to open a [`Udp`]. Errors and warnings name the fields as they are called in a configuration
/// (`transport.bind`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// The address of this machine at which others reach it, and from which everything is sent.
    /// Port 0 takes a free one. The unspecified address stands for the first address of
    /// `interface`, which must then be given.
    pub bind: SocketAddr,
    /// The group and port of the multicasts; `None` for unicast only.
    pub multicast: Option<SocketAddr>,
    /// The interface of the multicasts; `None` for the one that has the address in `bind`.
    pub interface: Option<String>,
    /// Routers that a multicast may pass, plus one; 0 keeps it on this machine. At most 255.
    pub multicast_ttl: u32,
    /// Bytes that each socket may hold until they are received, as the kernel accounts for them.
    pub receive_buffer_len: usize,
    /// Bytes that may wait in the kernel to be sent.
    pub send_buffer_len: usize,
    /// Differentiated services code point of all that is sent (RFC 2474), 0 to 63.
    pub dscp: u8,
    /// TCP connections to those that are watched, so that the end of one is known at once.
    pub liveness: bool,
}

/// UDP sockets with batched system calls and segmentation offload.
pub struct Udp {
    unicast: Socket,
    multicast: Option<Socket>,
    local: SocketAddr,
    incoming: Incoming,
    outgoing: Outgoing,
    echo: Echo,
    liveness: Option<Liveness>,
    /// Calls of `receive` since the liveness connections had their turn.
    since_liveness: u32,
    unreachable: Vec<SocketAddr>,
    counters: TransportCounters,
}

impl Udp {
    /// Opens the sockets. Also returns what the operator should know although it works: no
    /// multicast here, or smaller buffers than asked for.
    ///
    /// # Errors
    /// The port is in use, the address or the interface is not on this machine, the options
    /// contradict each other, or this process may not; the text says what to do.
    pub fn open(options: &UdpOptions) -> Result<(Self, Vec<String>), OpenError> {
        let (sockets, warnings) = open::open(options)?;
        let watch = RoomWatch::new().map_err(OpenError::system("epoll"))?;
        let group = sockets.multicast.as_ref().and(options.multicast);
        let buffer_len = sockets.counters.receive_buffer_len as usize;
        let runs = crate::sys::options::knows_send_runs(sockets.unicast.as_fd());
        let udp = Self {
            unicast: sockets.unicast,
            multicast: sockets.multicast,
            local: sockets.local,
            incoming: Incoming::new(sockets.local, buffer_len),
            outgoing: Outgoing::new(group, runs, sockets.local.is_ipv6(), watch),
            echo: Echo::new(),
            liveness: sockets.liveness,
            since_liveness: 0,
            unreachable: Vec::new(),
            counters: sockets.counters,
        };
        Ok((udp, warnings))
    }

    /// Empties the queue of what the network answered. While something is in it, the descriptor
    /// stays ready.
    fn take_network_errors(&mut self) {
        for _ in 0..NETWORK_ERRORS_PER_CALL {
            let Ok(Some(error)) = error_queue::take(self.unicast.as_fd()) else { return };
            let Some(to) = error.to.filter(|_| error.port_unreachable) else {
                self.counters.network_errors += 1;
                continue;
            };
            self.counters.port_unreachable += 1;
            if self.unreachable.len() < UNREACHABLE_MAX && !self.unreachable.contains(&to) {
                self.unreachable.push(to);
            }
        }
    }
}

impl Transport for Udp {
    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn has_multicast(&self) -> bool {
        self.multicast.is_some()
    }

    fn fds(&self) -> Vec<RawFd> {
        let multicast = self.multicast.as_ref().map(AsRawFd::as_raw_fd);
        let always = [self.unicast.as_raw_fd(), self.outgoing.room_fd()];
        let liveness = self.liveness.as_ref().map(Liveness::fd);
        always.into_iter().chain(multicast).chain(liveness).collect()
    }

    fn receive(&mut self, max: usize, out: &mut Vec<Received>) -> bool {
        self.outgoing.flush(self.unicast.as_fd(), &mut self.counters);
        let before = out.len();
        let (unicast, multicast) = (self.unicast.as_fd(), self.multicast.as_ref().map(AsFd::as_fd));
        let echo = &self.echo;
        let is_here = |from: SocketAddr| echo.is_here(from.ip());
        let sockets = (unicast, multicast);
        let drained = self.incoming.receive(sockets, max, out, &is_here, &mut self.counters);
        if self.incoming.take_neighbour() {
            self.echo.neighbour_heard(&self.unicast);
        }
        // Woken for nothing: it was the error queue, whose error a send in between has used up.
        let for_nothing = max > 0 && out.len() == before;
        if self.incoming.take_suspicion() | self.outgoing.take_suspicion() | for_nothing {
            self.take_network_errors();
        }
        self.since_liveness += 1;
        // Whoever is idle was woken by them; in a flood they have a turn of their own.
        if let Some(liveness) = &mut self.liveness
            && (for_nothing || self.since_liveness >= LIVENESS_EVERY)
        {
            self.since_liveness = 0;
            liveness.turn(&mut self.counters);
        }
        drained
    }

    fn send(&mut self, batch: &[(Target, Bytes)]) {
        self.outgoing.send(self.unicast.as_fd(), batch, &mut self.counters);
    }

    fn unreachable(&mut self, out: &mut Vec<SocketAddr>) {
        if self.outgoing.take_suspicion() {
            self.take_network_errors();
        }
        out.append(&mut self.unreachable);
    }

    fn watch(&mut self, own: Life, others: &[(SocketAddr, Life)]) {
        if self.multicast.is_some() {
            self.echo.watch(&self.unicast, others.iter().map(|(address, _)| *address));
        }
        if let Some(liveness) = &mut self.liveness {
            liveness.watch(own, others);
        }
    }

    fn ended(&mut self, out: &mut Vec<Life>) {
        if let Some(liveness) = &mut self.liveness {
            liveness.ended(out);
        }
    }

    fn counters(&self) -> TransportCounters {
        self.counters
    }
}

/// Answers of the network taken per call, so that nobody can keep us busy with them.
const NETWORK_ERRORS_PER_CALL: usize = 8;
/// Calls of `receive` after which the liveness connections have their turn, if all of them find
/// something.
const LIVENESS_EVERY: u32 = 64;
/// Addresses remembered between two calls of `unreachable`.
const UNREACHABLE_MAX: usize = 256;
