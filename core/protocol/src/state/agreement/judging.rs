//! Who keeps an attempt from its end, and what becomes of him: who was not heard in time is left
//! out, who does not agree in time is not one to form a ring with. Everybody has the same time,
//! counted from when he was last heard, or from when he and this node last changed what they say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Agreement, Heard};
use crate::id::NodeId;
use crate::node::Node;
use crate::ring::Ring;
use crate::state::clique::edge;
use crate::time::Instant;

/// Votes that keep changing may keep an attempt from its end for so many times of the time allowed
/// for one; then whoever does not agree is left out.
const PATIENCE: u32 = 6;

/// What is to be thought of another node when it is looked who keeps an attempt from its end.
enum Verdict {
    Fine,
    /// Nothing before this.
    Wait(Instant),
    Silent,
    /// It agrees, and does not hear these.
    Deaf(Vec<NodeId>),
    Disagrees,
}

impl Agreement {
    /// Leaves out whoever was not heard in time, or does not agree, if it is time to look.
    pub(in crate::state) fn judge(&mut self, node: &mut Node, ring: &Ring) {
        if self.judge_at > node.now {
            return;
        }
        let members = self.members(node);
        self.note_vote(node, &members);
        let mut all: BTreeSet<NodeId> = self.expected(node.me.node).into_iter().collect();
        all.extend(members.iter().copied().filter(|n| *n != node.me.node));
        let mut verdicts: BTreeMap<NodeId, Verdict> =
            all.into_iter().map(|n| (n, self.verdict(node, &members, n))).collect();
        // If nobody else keeps it from that, a representative should have called.
        let caller = members[0];
        if caller != node.me.node && verdicts.values().all(|v| matches!(v, Verdict::Fine)) {
            let latest = members.iter().filter_map(|m| self.heard.get(m)).map(|h| h.since).max();
            let since = latest.unwrap_or(self.began_at);
            verdicts.insert(caller, self.unless_patient(node, since, Verdict::Disagrees));
        }
        self.judge_at = node.now + node.config.timers.consensus;
        verdicts.into_iter().for_each(|(n, verdict)| self.execute(node, ring, n, verdict));
    }

    fn execute(&mut self, node: &mut Node, ring: &Ring, other: NodeId, verdict: Verdict) {
        match verdict {
            Verdict::Fine => return,
            Verdict::Wait(until) => return self.judge_at = self.judge_at.min(until),
            Verdict::Silent => self.leave_out(node, ring, other),
            Verdict::Deaf(missed) => {
                self.edges.extend(missed.into_iter().map(|m| edge(other, m)));
            }
            Verdict::Disagrees => {
                self.edges.insert(edge(node.me.node, other));
                if !self.heard[&other].heard.contains(&node.me.node) {
                    node.bad_link(self.process(other));
                }
            }
        }
        self.join_at = node.now;
    }

    fn verdict(&self, node: &Node, members: &[NodeId], other: NodeId) -> Verdict {
        let Some(heard) = self.heard.get(&other) else {
            return self.unless_early(node, self.proposed[&other].since, Verdict::Silent);
        };
        // A while after it was heard last, it is not known any more what it would say.
        if self.heard_lately(node, other).is_none() {
            return self.unless_early(node, heard.at, Verdict::Silent);
        }
        let missed: Vec<NodeId> = heard.missed(other).collect();
        let verdict = match () {
            () if heard.members != members => Verdict::Disagrees,
            () if missed.is_empty() => return Verdict::Fine,
            () => Verdict::Deaf(missed),
        };
        self.unless_patient(node, heard.since, verdict)
    }

    /// The verdict, once the time allowed has passed.
    fn unless_early(&self, node: &Node, since: Instant, verdict: Verdict) -> Verdict {
        let until = since.max(self.blameless_until) + node.config.timers.consensus;
        if until <= node.now { verdict } else { Verdict::Wait(until) }
    }

    /// The verdict, once nothing has changed for the time allowed.
    fn unless_patient(&self, node: &Node, since: Instant, verdict: Verdict) -> Verdict {
        let patient_until = self.began_at + (PATIENCE - 1) * node.config.timers.consensus;
        self.unless_early(node, since.max(self.vote.1).min(patient_until), verdict)
    }

    /// It has not been heard in time. If others heard it since, the link to it is bad; else it is
    /// silent, which says nothing of links.
    fn leave_out(&mut self, node: &mut Node, ring: &Ring, other: NodeId) {
        let by_others = self.is_heard_by_others(node, other);
        if by_others {
            self.edges.insert(edge(node.me.node, other));
        } else {
            self.silent.insert(other);
        }
        // Whoever is invited was heard by somebody just before.
        let never = !self.heard.contains_key(&other) && !ring.has_member(self.process(other));
        if (by_others || never) && !self.busy.contains(&other) {
            node.bad_link(self.process(other));
        }
    }

    /// Everybody repeats what he knows many times within this. Whoever stopped may be gone,
    /// whatever he last agreed to. It is half of the time after which he is left out: so when this
    /// node does that, and somebody who was heard lately says that he has, that was after this node
    /// last did.
    pub(super) fn heard_lately(&self, node: &Node, other: NodeId) -> Option<&Heard> {
        let lately = node.config.timers.consensus / 2;
        self.heard.get(&other).filter(|h| node.now.since(h.at) < lately)
    }

    fn is_heard_by_others(&self, node: &Node, other: NodeId) -> bool {
        let mut lately = self.heard.keys().filter_map(|n| self.heard_lately(node, *n));
        lately.any(|h| h.heard.contains(&other))
    }
}
