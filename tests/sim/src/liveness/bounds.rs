//! How long the token may be away when nothing fails, computed from what the world is like. These
//! are not the protocol's timers: a token that comes after its bound and before its loss is late.

use anasazi_protocol::limits;

use crate::options::{Multicast, NetworkOptions, Options};

/// A token may be lost so many times in a row, at one hop, where datagrams are lost for good. A
/// fifth loss of one in a hundred is one in 10^10 hops.
const LOSSES_IN_A_ROW: u32 = 4;
/// A token waits for the data that it covers, in microseconds.
const WAIT_US: u64 = 1_000;
/// What a hop takes in an engine that is not slow, in microseconds.
const TURN_US: u64 = 20;
/// What a datagram takes of a link beyond its payload, in bytes.
const HEADERS_LEN: u64 = 42;
/// What a sender's link queues, at most, in microseconds; more is lost.
const QUEUE_US: u64 = 200_000;

/// Nanoseconds between two visits of the token at a node, at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gaps {
    /// While it turns: a rotation.
    pub(crate) busy: u64,
    /// When it may have rested.
    pub(crate) idle: u64,
}

impl Gaps {
    /// `network`: as it is now, and whether some ring goes by unicast all the same, as it does
    /// until the next one if multicast was out when it was formed. `turn_ns`: mean time that a turn
    /// of the slowest engine takes.
    pub(crate) fn new(
        options: &Options,
        (network, by_unicast): (&NetworkOptions, bool),
        turn_ns: u64,
    ) -> Self {
        let (machine, timers) = (&options.machine, options.timers());
        let nodes = options.nodes as u64;
        // Both are exponential: a sum of many is near its mean, a single one up to 16 times it.
        let random_us = network.jitter_us + turn_ns / 1_000;
        let hops_us = nodes * (network.delay_us + random_us + TURN_US)
            + (6 * nodes.isqrt() + 16) * random_us
            + if network.late.0 > 0 { network.late.1 } else { 0 };
        // The token does not overtake the latest of the packets before it.
        let packets = u64::from(options.window) / nodes + 2;
        let behind_data_us = nodes * u64::from(packets.ilog2()) * random_us;
        let waits_us = nodes * (WAIT_US + machine.timer_late_us);
        let busy_us = hops_us + behind_data_us + waits_us + data_us(options, network, by_unicast);
        let lost_us = if network.loss > 0 {
            // Once, twice, and then always four times.
            let repeats: u64 = (1..=LOSSES_IN_A_ROW).map(|n| 1 << (n - 1).min(2)).sum();
            repeats * timers.token_repeat.as_micros() as u64
                + u64::from(LOSSES_IN_A_ROW) * machine.timer_late_us
        } else {
            0
        };
        let rest_us = timers.idle_rotate.as_micros() as u64 + machine.timer_late_us;
        let busy = (busy_us + lost_us) * 1_000;
        // Somebody may be passed over when it is handed on, and is visited a round later.
        Self { busy, idle: 2 * busy + rest_us * 1_000 }
    }
}

/// What all packets of a rotation take on links like these.
fn data_us(options: &Options, network: &NetworkOptions, by_unicast: bool) -> u64 {
    let nodes = options.nodes as u64;
    if network.bytes_per_ms == 0 {
        return 0;
    }
    let once = network.multicast == Multicast::On && !by_unicast;
    let copies = if once { 1 } else { nodes.max(2) - 1 };
    let packets = (u64::from(options.window) + nodes) * copies;
    let packet_len = options.mtu.max(options.mtu_max).min(limits::MTU_MAX) as u64 + HEADERS_LEN;
    (1_000 * packets * packet_len / network.bytes_per_ms).min(nodes * QUEUE_US)
}
