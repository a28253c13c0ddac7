//! Nodes that are lost and found again and again. Each loss and each merge is a change of
//! configuration for everybody, so a merge with such a node waits: longer with every loss, until
//! it has not been lost for a while (axiom L5). What is lost once or twice comes back at once.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::limits;
use crate::time::Instant;

/// Beacon intervals without a loss after which a node's losses are forgotten.
const FORGET_AFTER: u32 = 60;
/// With each loss after the first one a merge waits a beacon interval divided by this longer.
const STEP: u32 = 10;
/// Steps at most.
const STEPS_MAX: u32 = 50;

/// By node: losses since it was last forgotten, and when the last one was.
#[derive(Clone, Hash)]
pub(crate) struct Flaps {
    /// Time between beacons: the pace of things.
    beacon: Duration,
    lost: BTreeMap<NodeId, (u32, Instant)>,
}

/// Why a node is not merged with yet.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    node: NodeId,
    losses: u32,
    left: Duration,
}

impl Wait {
    /// It is long enough that somebody may ask why.
    pub(crate) fn is_long(self, beacon: Duration) -> bool {
        self.left >= beacon
    }
}

impl core::fmt::Display for Wait {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { node, losses, left } = self;
        let ms = left.as_millis();
        write!(f, "node {node} was lost {losses} times lately; it is taken back after {ms} ms")
    }
}

impl Flaps {
    /// `beacon`: time between beacons.
    pub(crate) fn new(beacon: Duration) -> Self {
        Self { beacon, lost: BTreeMap::new() }
    }

    /// A member was lost: it did not leave, and it did not start again.
    pub(crate) fn lost(&mut self, node: NodeId, now: Instant) {
        let forget_after = self.beacon * FORGET_AFTER;
        self.lost.retain(|_, (_, at)| now.since(*at) < forget_after);
        if self.lost.len() >= limits::BOOK_MAX && !self.lost.contains_key(&node) {
            let oldest = self.lost.iter().min_by_key(|(_, (_, at))| *at).map(|(n, _)| *n);
            oldest.map(|n| self.lost.remove(&n));
        }
        let (count, at) = self.lost.entry(node).or_default();
        (*count, *at) = (count.saturating_add(1), now);
    }

    /// How long it is still too early for a merge with this node, if it is.
    pub(crate) fn wait(&self, node: NodeId, now: Instant) -> Option<Wait> {
        let (losses, at) = *self.lost.get(&node)?;
        let time = self.beacon / STEP * losses.saturating_sub(1).min(STEPS_MAX);
        let left = time.checked_sub(now.since(at)).filter(|left| !left.is_zero())?;
        Some(Wait { node, losses, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEACON: Duration = Duration::from_secs(1);
    const NODE: NodeId = NodeId(2);

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    /// How long after a loss a merge has to wait, in milliseconds.
    fn hold(flaps: &Flaps, lost_at: u64) -> u64 {
        let holds = |ms: &u64| flaps.wait(NODE, at(lost_at + ms)).is_some();
        (0..10_000).find(|ms| !holds(ms)).expect("an end")
    }

    #[test]
    fn each_loss_holds_the_next_merge_up_for_longer() {
        let mut flaps = Flaps::new(BEACON);
        assert_eq!(hold(&flaps, 0), 0);
        for (loss, wanted) in [0, 100, 200, 300].into_iter().enumerate() {
            let now = 500 * loss as u64;
            flaps.lost(NODE, at(now));
            assert_eq!(hold(&flaps, now), wanted);
            assert!(flaps.wait(NodeId(3), at(now)).is_none());
        }
        (0..100).for_each(|_| flaps.lost(NODE, at(3_000)));
        assert_eq!(hold(&flaps, 3_000), 5_000);
        let wait = flaps.wait(NODE, at(3_400)).expect("a wait");
        assert!(wait.is_long(BEACON));
        let words = "node 2 was lost 104 times lately; it is taken back after 4600 ms";
        assert_eq!(wait.to_string(), words);
    }

    #[test]
    fn losses_are_forgotten_after_a_while_without_one() {
        let mut flaps = Flaps::new(BEACON);
        (0..9).for_each(|_| flaps.lost(NODE, at(0)));
        flaps.lost(NODE, at(59_000));
        assert_eq!(hold(&flaps, 59_000), 900);
        flaps.lost(NODE, at(119_000));
        assert_eq!(hold(&flaps, 119_000), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut flaps = Flaps::new(BEACON);
        let ids = 0..2 * limits::BOOK_MAX as u32;
        ids.for_each(|id| flaps.lost(NodeId(id), at(u64::from(id))));
        assert_eq!(flaps.lost.len(), limits::BOOK_MAX);
    }
}
