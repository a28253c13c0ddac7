//! L2: the token comes round in time.
//!
//! It rests only where every member has seen it twice since the last packet was ordered. Before
//! that, and from the moment on at which a packet is ordered, it may take a rotation; else a rest
//! and two rotations: one that rests and is handed on passes others over, once.

use std::collections::BTreeMap;

use anasazi_protocol::RingId;

use super::Liveness;
use super::bounds::Gaps;
use crate::cluster::Cluster;
use crate::node::Node;

/// Visits since the last packet, after which the token may rest.
const ROUNDS_BEFORE_REST: u32 = 2;

/// The last visit of the token at each node.
pub(super) type Visits = BTreeMap<usize, Visit>;

/// A visit of the token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    ring: RingId,
    at: u64,
    /// Visits since a packet was ordered in the ring, this one among them.
    rounds: u32,
    /// When a packet was first ordered after it.
    ordered_at: Option<u64>,
}

impl Visit {
    /// Since when the token may not have rested.
    fn busy_since(&self) -> Option<u64> {
        let turns = self.rounds < ROUNDS_BEFORE_REST;
        if turns { Some(self.at) } else { self.ordered_at }
    }
}

impl Cluster {
    /// The token visited a node.
    pub(crate) fn judge_visit(&mut self, node: usize, ring: RingId) {
        self.judge.last_visits.insert(node, (ring, self.now));
        if !self.judge.visits_on {
            return;
        }
        let before = self.judge.visits.get(&node).copied().filter(|v| v.ring == ring);
        if let Some(visit) = before {
            self.judge_gap(node, visit);
        }
        let rounds = match before {
            Some(Visit { ordered_at: None, rounds, .. }) => rounds.saturating_add(1),
            Some(_) => 1,
            // Nobody knows what was before.
            None => ROUNDS_BEFORE_REST,
        };
        let visit = Visit { ring, at: self.now, rounds, ordered_at: None };
        self.judge.visits.insert(node, visit);
    }

    /// A packet got its place in the order of a ring.
    pub(crate) fn judge_order(&mut self, ring: RingId) {
        let now = self.now;
        let visits = self.judge.visits.values_mut().filter(|v| v.ring == ring);
        visits.for_each(|visit| _ = visit.ordered_at.get_or_insert(now));
    }

    /// L2 at the end: whoever was visited at all was visited lately.
    pub(crate) fn judge_last_visits(&mut self) {
        for (node, visit) in std::mem::take(&mut self.judge.visits) {
            if self.nodes[node].ring.as_ref().is_some_and(|(_, members)| members.len() > 1) {
                self.judge_gap(node, visit);
            }
        }
        self.judge.visits_on = false;
    }

    /// The token was away from a node from this visit until now.
    fn judge_gap(&mut self, node: usize, visit: Visit) {
        let gaps = self.gaps();
        let busy = visit.busy_since().map(|since| (self.now - since, gaps.busy, "busy"));
        let all = [busy, Some((self.now - visit.at, gaps.idle, "idle"))];
        for (gap, bound, ring) in all.into_iter().flatten().filter(|(gap, bound, _)| gap > bound) {
            let how = format!(
                "the token of a ring that is {ring} stayed away from n{} for {} us, {} us are \
                 allowed",
                node + 1,
                gap / 1_000,
                bound / 1_000
            );
            self.liveness_fails(Liveness::L2, &how);
        }
    }

    /// How long the token may be away.
    pub(super) fn gaps(&self) -> Gaps {
        let turn_ns = self.nodes.iter().map(|n| n.turn_ns).max();
        let is_alone = |n: &Node| n.ring.as_ref().is_some_and(|(_, members)| members.len() == 1);
        let mut live = self.nodes.iter().filter(|n| n.runs());
        let by_unicast = live.any(|n| n.by_unicast && !is_alone(n));
        Gaps::new(&self.options, (&self.network.options, by_unicast), turn_ns.unwrap_or(0))
    }
}
