//! What everybody computes from the plan: for each old ring the members that come along together,
//! what they hold between them, what has to be sent again, and where the order of the old ring
//! ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NodeId, RingId};
use crate::limits;
use crate::planted::planted;
use crate::ring::Ring;
use crate::wire::{MemberState, Plan};

/// Those members of a new ring that come from the same old ring.
#[derive(Clone, Hash)]
pub(crate) struct Component {
    pub(crate) old_ring: RingId,
    /// In token order of the new ring; the first one speaks for the component.
    pub(crate) members: Vec<NodeId>,
    /// Somebody may have delivered safe messages up to here.
    pub(crate) safe_line: u64,
    /// Highest ordinal that any member holds.
    pub(crate) high: u64,
    /// First ordinal that none of them holds.
    pub(crate) hole: u64,
    /// Whose packets behind the hole are delivered all the same.
    pub(crate) obligation: BTreeSet<NodeId>,
    /// Ordinals that somebody lacks and somebody holds, with who sends each.
    pub(crate) to_send: Vec<(u64, NodeId)>,
    held: BTreeMap<NodeId, (u64, Vec<u8>)>,
}

impl Component {
    /// All components, in the order of their old rings; `None` if the states contradict each other.
    pub(crate) fn all(plan: &Plan) -> Option<Vec<Self>> {
        let mut by_ring: BTreeMap<RingId, Vec<&MemberState>> = BTreeMap::new();
        for state in &plan.states {
            by_ring.entry(state.old_ring).or_default().push(state);
        }
        by_ring.into_iter().map(|(old, states)| Self::new(old, &states)).collect()
    }

    fn new(old_ring: RingId, states: &[&MemberState]) -> Option<Self> {
        let members: Vec<NodeId> = states.iter().map(|s| s.process.node).collect();
        let held: BTreeMap<_, _> =
            states.iter().map(|s| (s.process.node, (s.aru, s.held.clone()))).collect();
        let high_of = |s: &&MemberState| s.aru + highest_bit(&s.held);
        let high = states.iter().map(high_of).max()?;
        let low = states.iter().map(|s| s.aru).min()?;
        let safe_line = states.iter().map(|s| s.safe_line).max()?;
        if safe_line > low || high - low > limits::GAP_MAX + u64::from(limits::WINDOW_MAX) {
            return None;
        }
        let obligation = states.iter().flat_map(|s| s.obligation.iter().copied());
        let mut component = Self {
            old_ring,
            obligation: members.iter().copied().chain(obligation).collect(),
            members,
            safe_line,
            high,
            hole: high + 1,
            to_send: Vec::new(),
            held,
        };
        component.hole = (low + 1..=high).find(|n| !component.is_held(*n)).unwrap_or(high + 1);
        component.to_send = (low + 1..=high).filter_map(|n| component.sender_of(n)).collect();
        Some(component)
    }

    /// Some member holds it.
    pub(crate) fn is_held(&self, ordinal: u64) -> bool {
        self.held.keys().any(|n| self.holds(*n, ordinal))
    }

    fn holds(&self, node: NodeId, ordinal: u64) -> bool {
        self.held.get(&node).is_some_and(|(aru, bits)| {
            ordinal <= *aru || {
                let bit = (ordinal - aru - 1) as usize;
                bits.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
            }
        })
    }

    /// The holders take turns.
    fn sender_of(&self, ordinal: u64) -> Option<(u64, NodeId)> {
        let holders: Vec<NodeId> =
            self.members.iter().copied().filter(|n| self.holds(*n, ordinal)).collect();
        let wanted = !holders.is_empty() && holders.len() < self.members.len();
        wanted.then(|| (ordinal, holders[(ordinal % holders.len() as u64) as usize]))
    }

    /// What this node still has to deliver of the old ring, once it holds all that the component
    /// shares. It is the same at every member, but for what the member has delivered already (axiom
    /// VS); what can be delivered in the regular configuration is (REGMAX).
    pub(crate) fn remaining(&self, ring: &Ring) -> Remaining {
        let again = u64::from(planted!("last_delivered_again") && ring.delivered > 0);
        let mut next = ring.delivered + 1 - again;
        let mut regular = Vec::new();
        // Everything before the first hole, and before the first safe message that is not known to
        // be held by all.
        while next < self.hole
            && let Some(held) = ring.store.get(next)
            && (!held.safe || self.is_safe(next))
            && !planted!("all_transitional")
        {
            regular.push(next);
            next += 1;
        }
        let deliverable = |n: &u64| {
            let held = ring.store.get(*n);
            self.is_held(*n) && held.is_some_and(|h| self.is_deliverable(*n, h.origin))
        };
        Remaining { regular, transitional: (next..=self.high).filter(deliverable).collect() }
    }

    /// Every member of the old ring is known to hold it.
    fn is_safe(&self, ordinal: u64) -> bool {
        let is_known = ordinal <= self.safe_line && !planted!("safe_put_off");
        is_known || planted!("safe_regular_at_install")
    }

    /// Behind the hole only packets of members with an obligation are delivered: another's may
    /// depend on what is lost (axioms TO3, SD).
    pub(crate) fn is_deliverable(&self, ordinal: u64, origin: NodeId) -> bool {
        ordinal < self.hole || self.obligation.contains(&origin) || planted!("hole_rule")
    }
}

/// Ordinals to deliver, by configuration.
pub(crate) struct Remaining {
    pub(crate) regular: Vec<u64>,
    pub(crate) transitional: Vec<u64>,
}

/// 1 + index of the highest bit set; 0 if none is.
fn highest_bit(bits: &[u8]) -> u64 {
    let byte = bits.iter().rposition(|b| *b != 0);
    byte.map_or(0, |i| i as u64 * 8 + u64::from(8 - bits[i].leading_zeros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, Process};

    fn state(node: u32, aru: u64, safe_line: u64, held: &[u8]) -> MemberState {
        MemberState {
            process: Process { node: NodeId(node), incarnation: Incarnation(1) },
            aru,
            safe_line,
            held: held.to_vec(),
            obligation: vec![NodeId(node)],
            ..MemberState::default()
        }
    }

    #[test]
    fn finds_the_hole_and_shares_the_sending() {
        // 1 holds ..=5 and 8; 2 holds ..=4; nobody holds 6 and 7.
        let plan =
            Plan { states: vec![state(1, 5, 4, &[0b100]), state(2, 4, 3, &[])], ..Plan::default() };
        let components = Component::all(&plan).expect("consistent");
        let c = &components[0];
        assert_eq!((c.high, c.hole, c.safe_line), (8, 6, 4));
        assert_eq!(c.to_send, vec![(5, NodeId(1)), (8, NodeId(1))]);
        assert!(c.is_deliverable(5, NodeId(9)) && !c.is_deliverable(8, NodeId(9)));
        assert!(c.is_deliverable(8, NodeId(2)));
    }

    #[test]
    fn refuses_states_that_cannot_be_true() {
        let plan =
            Plan { states: vec![state(1, 5, 5, &[]), state(2, 4, 0, &[])], ..Plan::default() };
        assert!(Component::all(&plan).is_none(), "safe at one, not held by the other");
    }
}
