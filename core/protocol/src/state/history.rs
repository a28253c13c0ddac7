//! What a node takes along from its last regular configuration until it installs the next one,
//! through however many attempts: the old ring with its packets, and the promises that it made
//! about them. What it does until then, it does in the configuration that it installed (axiom B3).

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Cause;
use crate::id::{NodeId, Process};
use crate::node::Node;
use crate::ring::Ring;
use crate::time::Instant;
use crate::wire::{Gone, MemberState};

#[derive(Clone, Hash)]
pub(crate) struct History {
    pub(crate) ring: Ring,
    /// Nodes whose packets behind a hole this node will deliver, because it has told others that it
    /// holds everything (docs/PROTOCOL.md, obligation). It grows with each attempt that came
    /// that far, until an install.
    pub(crate) obligation: BTreeSet<NodeId>,
    /// Why the ring was left in the first place.
    pub(crate) cause: Cause,
    /// When it was left.
    pub(crate) left_at: Instant,
    /// Processes known to be gone.
    pub(crate) dead: BTreeMap<Process, Gone>,
}

impl History {
    pub(crate) fn new(node: &Node, ring: Ring, cause: Cause) -> Self {
        Self {
            ring,
            obligation: BTreeSet::from([node.me.node]),
            cause,
            left_at: node.now,
            dead: BTreeMap::new(),
        }
    }

    /// What this node holds, for the representative of a ring being formed. The ring id and the
    /// datagram size are filled in there.
    pub(crate) fn member_state(&self, node: &Node) -> MemberState {
        MemberState {
            ring: crate::RingId::default(),
            process: node.me,
            dialect: node.dialect(),
            old_ring: self.ring.id,
            aru: self.ring.aru,
            safe_line: self.ring.safe_line,
            held: self.ring.held_bitmap(),
            obligation: self.obligation.iter().copied().collect(),
            multicast_heard: node.book.multicast_heard(node.now),
            mtu: node.config.mtu as u16,
            window: node.config.window,
        }
    }

    /// For people: who is missing and how that is known.
    pub(crate) fn reason(&self, node: &Node, together: &[NodeId], new: &[Process]) -> String {
        let demoted = node.contract.as_ref().and_then(|keeper| keeper.demoted());
        if let Some((node, breach)) = demoted.filter(|(node, _)| together == [*node]) {
            return Cause::Demoted { node, breach }.to_string();
        }
        let mut parts = Vec::new();
        for lost in self.ring.members.iter().filter(|p| !together.contains(&p.node)) {
            parts.push(match (demoted, self.dead.get(lost)) {
                (Some((node, breach)), _) if node == lost.node => {
                    Cause::Demoted { node, breach }.to_string()
                }
                (_, Some(gone)) => super::gone_cause(*lost, *gone).to_string(),
                _ if node.is_blamed(lost.node) => {
                    Cause::FailedToReceive { node: lost.node }.to_string()
                }
                _ => format!("node {} did not answer", lost.node),
            });
        }
        let is_new = |p: &&Process| !together.contains(&p.node);
        let found: Vec<_> = new.iter().filter(is_new).map(|p| p.node.to_string()).collect();
        if !found.is_empty() {
            parts.push(format!("found node {}", found.join(", ")));
        }
        if parts.is_empty() { self.cause.to_string() } else { parts.join("; ") }
    }
}
