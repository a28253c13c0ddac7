//! Who was demoted, and when it may come back: after twice as long each time, so that a member that
//! is well only while it is out costs ever less.

use core::time::Duration;
use std::collections::BTreeMap;

use super::terms::Contract;
use crate::id::NodeId;
use crate::limits;
use crate::planted::planted;
use crate::time::Instant;

/// Forgotten when it was in again for so many times as it was out.
const FORGET_AFTER: u32 = 8;

#[derive(Clone, Copy, Hash)]
struct Ban {
    times: u32,
    until: Instant,
    forget_at: Instant,
}

#[derive(Clone, Default, Hash)]
pub(super) struct Bans(BTreeMap<NodeId, Ban>);

impl Bans {
    /// Demotes it; for how long it is out.
    pub(super) fn add(&mut self, node: NodeId, contract: &Contract, now: Instant) -> Duration {
        self.0.retain(|_, ban| now < ban.forget_at);
        if self.0.len() >= limits::BOOK_MAX && !self.0.contains_key(&node) {
            let oldest = self.0.iter().min_by_key(|(_, ban)| ban.forget_at).map(|(n, _)| *n);
            oldest.map(|n| self.0.remove(&n));
        }
        let times = self.0.get(&node).map_or(0, |ban| ban.times);
        let doubled = contract.readmit.saturating_mul(1 << times.min(16));
        let out = doubled.min(contract.readmit_max.max(contract.readmit));
        let until = now + out;
        let forget_at = until + out.saturating_mul(FORGET_AFTER);
        self.0.insert(node, Ban { times: times.saturating_add(1), until, forget_at });
        out
    }

    pub(super) fn is_out(&self, node: NodeId, now: Instant) -> bool {
        let is_out = self.0.get(&node).is_some_and(|ban| now < ban.until);
        is_out && !planted!("readmitted_at_once")
    }

    /// Who is out, for how much longer, and how often it was.
    pub(super) fn all(&self, now: Instant) -> impl Iterator<Item = (NodeId, Duration, u32)> {
        let out = self.0.iter().filter(move |(_, ban)| now < ban.until);
        out.map(move |(node, ban)| (*node, ban.until.since(now), ban.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    #[test]
    fn each_time_it_is_out_for_twice_as_long_until_it_was_well_for_long() {
        let (mut bans, contract) = (Bans::default(), Contract::default());
        let secs = |bans: &mut Bans, ms| bans.add(NodeId(3), &contract, at(ms)).as_secs();
        assert_eq!(secs(&mut bans, 0), 30);
        assert!(bans.is_out(NodeId(3), at(29_999)) && !bans.is_out(NodeId(3), at(30_000)));
        assert!(!bans.is_out(NodeId(2), at(0)));
        let later = [40_000, 200_000, 500_000, 1_000_000, 2_000_000, 4_000_000];
        let times = later.map(|ms| secs(&mut bans, ms));
        assert_eq!(times, [60, 120, 240, 480, 600, 600]);
        assert_eq!(secs(&mut bans, 4_000_000 + 9 * 600_000 - 1), 600);
        assert_eq!(secs(&mut bans, 20_000_000), 30, "forgotten");
    }

    #[test]
    fn memory_is_bounded() {
        let (mut bans, contract) = (Bans::default(), Contract::default());
        for id in 0..2 * limits::BOOK_MAX as u32 {
            bans.add(NodeId(id), &contract, at(u64::from(id)));
        }
        assert_eq!(bans.0.len(), limits::BOOK_MAX);
        assert!(bans.is_out(NodeId(2 * limits::BOOK_MAX as u32 - 1), at(2_000)));
    }
}
