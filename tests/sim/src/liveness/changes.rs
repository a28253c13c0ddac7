//! L5: few configurations after the last fault.
//!
//! A ring is whole when all its members turn it, the token having been with each of them within
//! half of the time after which it counts as lost, and can hear each other. A whole ring stays
//! together: at most it is formed once more, by all its members at once, for what it missed before.
//! The members of any other ring come out of it as fragments, in the worst case each of them alone;
//! forming a fragment is one change. From then on rings only grow, and every merge is of two rings
//! at least: so a node that can meet so many parts, its own among them, goes through at most as
//! many configurations. One more, if a ring was about to be installed when a process ended, or when
//! a connection was cut for good: it may be with whoever is at the other end, and is left again as
//! soon as that is noticed.

use std::collections::{BTreeMap, BTreeSet};

use anasazi_protocol::RingId;

use super::Liveness;
use crate::cluster::Cluster;
use crate::network::Lasting;

/// One fault may cost everybody this many: a ring is lost, and whoever was left behind comes back.
const CHANGES_MIN: u64 = 2;

/// Configurations of each node since the last fault.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// How many it may install.
    allowed: BTreeMap<usize, u64>,
    installed: BTreeMap<usize, u64>,
}

/// Those who come to the others together: the members of a ring that is whole, or one node.
type Part = (Option<RingId>, Option<usize>);

impl Changes {
    /// The last fault has just ended.
    pub(super) fn begin_here(cluster: &Cluster) -> Self {
        let runs = || (0..cluster.nodes.len()).filter(|at| cluster.nodes[*at].runs());
        let parts: BTreeMap<usize, Part> = runs().map(|at| (at, part_of(cluster, at))).collect();
        // Whoever was asked to leave before still goes, and that is a change of its own.
        let leaving = runs().filter(|at| cluster.nodes[*at].leaving).count();
        let meets = |at: usize| {
            let heard = parts.iter().filter(|(to, _)| hear_each_other(cluster, at, **to));
            heard.map(|(_, part)| *part).collect::<BTreeSet<Part>>().len() + leaving
        };
        // Where single links stay bad, every merge may leave somebody behind, who is then alone.
        let times = if cluster.lasting == Lasting::Links { 2 } else { 1 };
        // Longer ago than forming a ring may take, it is not in one that is about to be installed.
        let timers = cluster.options.timers();
        let lately = (timers.consensus + timers.commit + timers.recovery).as_nanos() as u64;
        let somebody_ended = cluster
            .nodes
            .iter()
            .any(|n| n.state == "down" && n.ended_at.is_some_and(|at| cluster.now - at <= lately));
        let doomed = |at: usize| {
            let about_to_install = ["commit", "recovery"].contains(&cluster.nodes[at].state);
            let is_parted = runs().any(|other| !hear_each_other(cluster, at, other));
            u64::from((somebody_ended || is_parted) && about_to_install)
        };
        let may = |at: usize| (meets(at) as u64 * times + doomed(at)).max(CHANGES_MIN);
        let allowed = runs().map(|at| (at, may(at))).collect();
        Self { allowed, installed: BTreeMap::new() }
    }

    /// The most that a node installed.
    pub(super) fn most(&self) -> u64 {
        self.installed.values().copied().max().unwrap_or(0)
    }
}

fn hear_each_other(cluster: &Cluster, a: usize, b: usize) -> bool {
    !cluster.network.is_cut_for_good(a, b) && !cluster.network.is_cut_for_good(b, a)
}

fn part_of(cluster: &Cluster, at: usize) -> Part {
    let alone = (None, Some(at));
    let node = &cluster.nodes[at];
    let Some((ring, members)) = &node.ring else { return alone };
    let lately = cluster.options.timers().token_loss.as_nanos() as u64 / 2;
    let turns_it = |member: &&anasazi_protocol::Process| {
        cluster.nodes.iter().position(|n| n.process == **member).is_some_and(|other| {
            let n = &cluster.nodes[other];
            let same = n.ring.as_ref().is_some_and(|(r, _)| r == ring);
            let heard = hear_each_other(cluster, at, other);
            let visited = cluster.judge.last_visit(other, *ring);
            let turns = members.len() == 1 || visited.is_some_and(|at| cluster.now - at <= lately);
            n.runs() && n.state == "operational" && same && heard && turns
        })
    };
    if members.iter().all(|m| turns_it(&m)) { (Some(*ring), None) } else { alone }
}

impl Cluster {
    /// A node installed a regular configuration.
    pub(crate) fn judge_install(&mut self, node: usize) {
        *self.judge.changes.installed.entry(node).or_default() += 1;
    }

    /// The most configurations that a node installed since the last fault.
    pub fn changes(&self) -> u64 {
        self.judge.changes.most()
    }

    /// L5: what the end of all faults brought about is little.
    pub fn few_changes(&self) -> Result<(), String> {
        let changes = &self.judge.changes;
        // What is found late costs a ring without that member, and one with it again.
        let demotions = 2 * self.demotions.count();
        for (node, allowed) in &changes.allowed {
            let allowed = allowed + demotions;
            let count = changes.installed.get(node).copied().unwrap_or(0);
            if count > allowed {
                return Err(Liveness::L5.broken(format!(
                    "n{} went through {count} configurations after the last fault, {allowed} are \
                     allowed",
                    node + 1
                )));
            }
        }
        Ok(())
    }
}
