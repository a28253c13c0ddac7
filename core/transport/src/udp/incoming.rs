//! Receiving, so that multicast data come before the unicast token that was sent after them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::counters::TransportCounters;
use crate::sys::receive::{ARRIVALS_MAX, ReceiveBatch};
use crate::transport::Received;
use crate::udp::arrivals::Arrivals;

/// Two sockets become one stream: what the unicast socket held is given out only after all that the
/// multicast socket held then: when that is found empty, or once as much was read from it as it can
/// hold. A token is thus never seen before data that arrived before it, and a flood of multicasts
/// does not hold it for ever.
pub(crate) struct Incoming {
    batch: ReceiveBatch,
    local: SocketAddr,
    arrivals: Arrivals,
    /// To be given out next.
    ready: VecDeque<Received>,
    /// Read from the unicast socket; waits for what the multicast socket held then.
    held: Vec<Received>,
    /// Reads from the multicast socket since the last one from the unicast socket.
    reads: usize,
    /// So many reads take everything that the multicast socket can hold.
    reads_max: usize,
    /// The kernel's drop counters when last heard: unicast, multicast.
    dropped: [u32; 2],
    /// A socket reported an error that the network caused.
    suspicion: bool,
    /// Another engine of this host was heard.
    neighbour: bool,
}

/// That for unicast, and that which hears the group.
type Sockets<'a> = (BorrowedFd<'a>, Option<BorrowedFd<'a>>);

/// Which socket.
#[derive(Clone, Copy)]
enum Lane {
    Unicast = 0,
    Multicast = 1,
}

impl Incoming {
    /// `buffer_len`: bytes that a socket holds, as the kernel accounts for them.
    pub(crate) fn new(local: SocketAddr, buffer_len: usize) -> Self {
        Self {
            batch: ReceiveBatch::new(),
            local,
            arrivals: Arrivals::new(),
            ready: VecDeque::new(),
            held: Vec::new(),
            reads: 0,
            reads_max: buffer_len.div_ceil(ARRIVALS_MAX * ARRIVAL_COST_MIN).max(1),
            dropped: [0; 2],
            suspicion: false,
            neighbour: false,
        }
    }

    /// See [`Transport::receive`](crate::Transport::receive).
    pub(crate) fn receive(
        &mut self,
        sockets: Sockets<'_>,
        max: usize,
        out: &mut Vec<Received>,
        is_here: &dyn Fn(SocketAddr) -> bool,
        counters: &mut TransportCounters,
    ) -> bool {
        let mut room = max;
        let mut drained = false;
        for _ in 0..READS_PER_CALL {
            let count = room.min(self.ready.len());
            out.extend(self.ready.drain(..count));
            room -= count;
            if drained && self.ready.is_empty() {
                return true;
            }
            if room == 0 {
                return false;
            }
            drained = self.refill(sockets, is_here, counters);
        }
        false
    }

    /// Reads once from each socket; true when both were emptied.
    fn refill(
        &mut self,
        (unicast, multicast): Sockets<'_>,
        is_here: &dyn Fn(SocketAddr) -> bool,
        counters: &mut TransportCounters,
    ) -> bool {
        let unicast_drained = self.held.is_empty() && {
            self.reads = 0;
            self.read(unicast, Lane::Unicast, is_here, counters)
        };
        let multicast_drained =
            multicast.is_none_or(|socket| self.read(socket, Lane::Multicast, is_here, counters));
        self.reads += 1;
        if multicast_drained || self.reads >= self.reads_max {
            self.ready.extend(self.held.drain(..));
        }
        unicast_drained && multicast_drained
    }

    /// Reads a batch from one socket; true when it was emptied.
    fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        lane: Lane,
        is_here: &dyn Fn(SocketAddr) -> bool,
        counters: &mut TransportCounters,
    ) -> bool {
        let Self { batch, local, ready, held, arrivals, neighbour, .. } = self;
        counters.received_calls += 1;
        let result = batch.receive(socket, |arrival| {
            let from = arrival.from;
            let multicast = matches!(lane, Lane::Multicast);
            if multicast && from == *local {
                counters.own_copies += arrival.len.div_ceil(arrival.part_len).max(1) as u64;
                return;
            }
            *neighbour |= is_here(from);
            counters.received_bytes += arrival.len as u64;
            let received = arrivals.take(arrival).map(|bytes| {
                counters.received_datagrams += 1;
                Received { from, multicast, bytes }
            });
            match lane {
                Lane::Unicast => held.extend(received),
                Lane::Multicast => ready.extend(received),
            }
        });
        let Ok(outcome) = result else {
            // The network's answer to an earlier send, told once. What has arrived keeps the
            // descriptor ready.
            self.suspicion = true;
            return true;
        };
        if let Some(dropped) = outcome.dropped {
            let last = std::mem::replace(&mut self.dropped[lane as usize], dropped);
            counters.receive_lost += u64::from(dropped.wrapping_sub(last));
        }
        outcome.drained
    }

    /// Whether another engine of this host was heard since the last call.
    pub(crate) fn take_neighbour(&mut self) -> bool {
        std::mem::take(&mut self.neighbour)
    }

    /// Whether an error since the last call suggests a look at the error queue.
    pub(crate) fn take_suspicion(&mut self) -> bool {
        std::mem::take(&mut self.suspicion)
    }
}

/// Reads from each socket in one call: own copies use up reads without filling the room, and must
/// not keep it busy.
const READS_PER_CALL: usize = 32;
/// Bytes that the kernel accounts for the shortest arrival, at least.
const ARRIVAL_COST_MIN: usize = 512;
