//! One domain's network: its chance is its own, so that nothing in another domain shifts it.

use bytes::Bytes;

use crate::random::Random;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// Links between all nodes of a domain.
pub(super) struct Network {
    pub(super) random: Random,
    delay_us: u64,
    jitter_us: u64,
    /// Of a thousand datagrams, while things go wrong.
    loss: u32,
    /// On which side of a partition each node is.
    sides: Vec<u8>,
    /// Until then all that a node is sent arrives late, in nanoseconds.
    clogged_until: Vec<u64>,
    pub(super) faults: u64,
}

impl Network {
    pub(super) fn new(mut random: Random, nodes: usize, is_slow: bool) -> Self {
        let delay_us = if is_slow { random.pick(&[500, 5_000, 20_000]) } else { 60 };
        Self {
            delay_us,
            jitter_us: delay_us / 4,
            loss: 0,
            sides: vec![0; nodes],
            clogged_until: vec![0; nodes],
            faults: 0,
            random,
        }
    }

    /// When a datagram arrives, if it does.
    pub(super) fn carry(&mut self, now: u64, (from, to): (usize, usize), _: &Bytes) -> Option<u64> {
        // As many numbers are drawn whatever becomes of it.
        let (jitter, lost) = (self.random.around(self.jitter_us * US), self.random.below(1_000));
        if self.sides[from] != self.sides[to] || from != to && lost < u64::from(self.loss) {
            return None;
        }
        let delay = if from == to { 5 * US } else { self.delay_us * US + jitter };
        Some((now + delay).max(self.clogged_until[to]))
    }

    /// Something goes wrong, or is well again.
    pub(super) fn fail(&mut self, now: u64) {
        self.faults += 1;
        match self.random.below(4) {
            0 => {
                for side in &mut self.sides {
                    *side = u8::from(self.random.coin());
                }
            }
            1 => self.sides.fill(0),
            2 => self.loss = self.random.pick(&[0, 20, 100, 300]),
            _ => {
                let node = self.random.index(self.clogged_until.len());
                self.clogged_until[node] = now + self.random.between(MS, 800 * MS);
            }
        }
    }

    /// All is well from now on.
    pub(super) fn heal(&mut self) {
        self.loss = 0;
        self.sides.fill(0);
        self.clogged_until.fill(0);
    }
}
