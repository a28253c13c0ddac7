//! What the network does.

use crate::random::Random;

/// How datagrams travel.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Whether multicast exists and works.
    pub multicast: Multicast,
    /// Where multicast does not work: nodes are told of the first one's address only, not of
    /// everybody's.
    pub sparse_peers: bool,
    /// A sender gets its own multicasts.
    pub loopback: bool,
    /// Least time under way, in microseconds.
    pub delay_us: u64,
    /// Mean of what is added to it, in microseconds.
    pub jitter_us: u64,
    /// So many of a thousand are late by up to this many microseconds.
    pub late: (u32, u64),
    /// Of a thousand, lost.
    pub loss: u32,
    /// Of a thousand, lost even when all else is healed.
    pub residual_loss: u32,
    /// Of a thousand, arriving twice.
    pub duplicate: u32,
    /// Of a thousand, free to overtake others.
    pub reorder: u32,
    /// Of a thousand, damaged.
    pub corrupt: u32,
    /// Of a thousand, coming again seconds later.
    pub replay: u32,
    /// A sender's link carries so many bytes per millisecond; 0 is without limit.
    pub bytes_per_ms: u64,
    /// A host answers for a port on which nobody listens.
    pub unreachable: bool,
    /// A host closes the connections of a process that has ended.
    pub liveness: bool,
    /// A cut loses what is under way as well.
    pub cuts_lose: bool,
}

/// Whether multicast exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// It works.
    On,
    /// The transport knows that there is none; nodes know each other's addresses.
    Off,
    /// Sending it succeeds, but nothing arrives; nodes know each other's addresses.
    Silent,
    /// As silent, for some receivers only.
    Partial,
}

impl NetworkOptions {
    pub(super) fn new(random: &mut Random, wide: bool) -> Self {
        let delay_us = if wide { random.between(5_000, 20_000) } else { random.between(20, 500) };
        let jitter_us = random.pick(&[0, delay_us / 4, delay_us, delay_us * 3]);
        let rare = |random: &mut Random, high: u64| {
            if random.coin() { 0 } else { random.between(1, high) as u32 }
        };
        Self {
            multicast: random.pick(&[
                Multicast::On,
                Multicast::On,
                Multicast::On,
                Multicast::Off,
                Multicast::Silent,
                Multicast::Partial,
            ]),
            sparse_peers: false,
            loopback: random.coin(),
            delay_us,
            jitter_us,
            late: (rare(random, 20), 20_000 * if wide { 10 } else { 1 }),
            loss: if random.permille(150) {
                random.between(100, 300) as u32
            } else {
                rare(random, 50)
            },
            residual_loss: 0,
            duplicate: rare(random, 100),
            reorder: rare(random, 500),
            corrupt: rare(random, 50),
            replay: rare(random, 10),
            bytes_per_ms: random.pick(&[0, 0, 125_000, 12_500]),
            unreachable: random.coin(),
            liveness: random.coin(),
            cuts_lose: false,
        }
    }

    /// A small, fast, faultless network.
    pub fn good() -> Self {
        Self {
            multicast: Multicast::On,
            sparse_peers: false,
            loopback: false,
            delay_us: 100,
            jitter_us: 20,
            late: (0, 0),
            loss: 0,
            residual_loss: 0,
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            replay: 0,
            bytes_per_ms: 0,
            unreachable: false,
            liveness: false,
            cuts_lose: false,
        }
    }

    /// The same network without its faults.
    pub fn healed(&self) -> Self {
        Self {
            late: (0, 0),
            loss: self.residual_loss.min(self.loss),
            duplicate: 0,
            reorder: 0,
            corrupt: 0,
            replay: 0,
            ..self.clone()
        }
    }
}
