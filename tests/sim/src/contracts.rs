//! What is asked of demotions, beyond the axioms: nobody is put out but by the word of enough
//! members, nobody where most break the contract or two are left, nobody for what nobody can keep,
//! and who was put out is not taken back before its time. Where nothing else goes wrong, one node
//! that breaks the contract for certain goes, and no other; and nobody while all break it.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::{Bound, Event, NodeId, Process};

use crate::cluster::Cluster;
use crate::node::Node;
use crate::story::Failure;

/// A member breaks the hold, and within so many rotations it goes.
const ROTATIONS: u32 = 24;
/// The way to a member that is far by the bound and back, and all others.
const BOUNDS_IN_ROTATION: u32 = 3;
/// In nanoseconds: less than any packet takes.
const NOBODY_HOLDS_LESS: u64 = 1_000;

/// Demotions as the nodes heard of them.
#[derive(Debug, Default)]
pub(crate) struct Demotions {
    /// By node, by its index and life, and who was demoted: until when, by its clock, and when it
    /// heard of it.
    out: BTreeMap<(usize, u64, NodeId), (u64, u64)>,
    /// Since the last fault, if that is over: who heard of whose, and how often.
    since: Option<BTreeMap<(usize, NodeId), u64>>,
}

impl Demotions {
    /// The last fault has just ended.
    pub(crate) fn begin_here(&mut self) {
        self.since = Some(BTreeMap::new());
    }

    /// How many nodes were demoted since then.
    pub(crate) fn count(&self) -> u64 {
        let all = self.since.iter().flat_map(|since| since.keys().map(|(_, node)| *node));
        all.collect::<BTreeSet<NodeId>>().len() as u64
    }
}

impl Cluster {
    /// A node heard in the order that somebody is demoted.
    pub(crate) fn judge_demotion(&mut self, at: usize, event: &Event) {
        let Event::Demoted { node, breach, stated_by, broken, members, out_for } = event else {
            return;
        };
        let before = |node: &NodeId| {
            let place = members.iter().position(|m| m == node)?;
            Some(members[place.checked_sub(1).unwrap_or(members.len() - 1)])
        };
        let by_one = stated_by.contains(node)
            || breach.bound == Bound::Hold && before(node).is_some_and(|p| stated_by.contains(&p));
        let by_most = breach.bound != Bound::Hold && 2 * stated_by.len() > members.len() - 1;
        let wrong = match () {
            () if !by_one && !by_most => Some(format!("by the word of {stated_by:?} alone")),
            () if 2 * broken > members.len() => Some(format!("though {broken} are no better")),
            () if members.len() <= 2 => Some("though no two are left".to_owned()),
            () if self.is_well(*node) => Some("though it is well".to_owned()),
            () if members.iter().all(|node| self.is_strained(*node)) => {
                Some("though all break the contract".to_owned())
            }
            () if breach.bound == Bound::Hold && breach.allowed <= NOBODY_HOLDS_LESS => {
                Some("for a hold that nobody can keep".to_owned())
            }
            () => None,
        };
        if let Some(wrong) = wrong {
            let what = format!("node {node} of {members:?} is demoted {wrong}");
            self.fail(Failure::Contract(what));
        }
        let (life, now) = (self.nodes[at].life, self.now);
        let until = self.nodes[at].clock.read(now) + *out_for;
        self.demotions.out.insert((at, life, *node), (until.0, now));
        let Some(since) = &mut self.demotions.since else { return };
        let times = since.entry((at, *node)).or_default();
        *times += 1;
        if *times > 1 {
            let what = format!("node {node} is demoted again after all was healed");
            self.fail(Failure::Contract(what));
        }
    }

    /// It was well for so long that nobody remembers anything else.
    fn is_well(&self, node: NodeId) -> bool {
        let patience = self.options.contract.patience.as_nanos() as u64;
        let of_node = self.nodes.iter().find(|n| n.process.node == node);
        let until = of_node.map_or(0, |node| node.strained_until);
        self.options.strains_certain && self.now > until + 2 * patience
    }

    /// Who breaks the contract for certain is demoted within this time. A hold is measured once in
    /// a rotation, if that takes longer than a period: 16 of them, and some for what members say.
    pub(crate) fn is_gone_after(&self) -> u64 {
        let contract = &self.options.contract;
        let hold = contract.hold.unwrap_or_default();
        (4 * contract.patience + ROTATIONS * BOUNDS_IN_ROTATION * hold).as_nanos() as u64
    }

    /// It has broken the contract for so long that all can know.
    fn is_strained(&self, node: NodeId) -> bool {
        let patience = self.options.contract.patience.as_nanos() as u64;
        let of_node = self.nodes.iter().find(|n| n.process.node == node);
        let is_long =
            |node: &Node| (node.strained_from + patience..node.strained_until).contains(&self.now);
        self.options.strains_certain && of_node.is_some_and(is_long)
    }

    /// The end of a time in which this node, and no other, broke the contract. In between it may
    /// have come back: its hold can be seen only in a ring.
    pub(crate) fn judge_strained(&mut self, nodes: &[usize]) {
        let [strained] = nodes else { return };
        let node = &self.nodes[*strained];
        let (process, from) = (node.process, node.strained_from);
        let long = self.is_gone_after();
        let is_in = |(at, node): (usize, &Node)| {
            let for_long = self.now - from.max(node.ring_since) >= long;
            let has_it =
                |members: &[Process]| members.len() > 2 && members.contains(&process) && for_long;
            at != *strained && node.ring.as_ref().is_some_and(|(_, members)| has_it(members))
        };
        if self.options.strains_certain && self.nodes.iter().enumerate().any(is_in) {
            let what = format!("node {} breaks the contract for long and stays", process.node);
            self.fail(Failure::Contract(what));
        }
    }

    /// A node installs a ring.
    pub(crate) fn judge_readmission(&mut self, at: usize, members: &[Process]) {
        let node = &self.nodes[at];
        let (life, clock) = (node.life, node.clock.read(self.now).0);
        let early = members.iter().find(|member| {
            let out = self.demotions.out.get(&(at, life, member.node));
            // What ends a ring is heard with the next one, which may have been agreed on before.
            out.is_some_and(|(until, heard)| clock < *until && *heard != self.now)
        });
        if let Some(member) = early.filter(|member| **member != node.process) {
            let what = format!("n{} takes node {} back too early", at + 1, member.node);
            self.fail(Failure::Contract(what));
        }
    }
}
