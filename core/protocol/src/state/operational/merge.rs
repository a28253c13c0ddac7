//! Finding other rings, and merging with those that make a larger one.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use super::Operational;
use crate::event::{Cause, Event};
use crate::id::{NodeId, Process};
use crate::limits;
use crate::node::Node;
use crate::state::clique::{Edges, blamed_edges, clique_of, edge};
use crate::state::{Gather, State};
use crate::wire::{Beacon, Dialect, Gone, Join, Packet};

/// After a change of configuration, beacons are sent more often for this long.
const EAGER_FOR: Duration = Duration::from_secs(5);
/// Rings that start at the same time find each other within this: they become one ring in one
/// change.
const COLLECT_FOR: Duration = Duration::from_millis(40);
/// Who is not the smallest ring waits this long, per smaller one, for it to start the merge.
const RANK_DELAY: Duration = Duration::from_millis(100);
/// Addresses of absent nodes that get a beacon by unicast.
const ABSENT_MAX: usize = 64;

impl Operational {
    /// The representative looks for other rings; the others only for the peers that they alone may
    /// know of.
    pub(super) fn has_beacons_to_send(&self, node: &Node) -> bool {
        self.ring.is_representative() || !node.config.peers.is_empty()
    }

    fn beacon_interval(&self, node: &Node) -> Duration {
        let eager = node.now.since(self.since) < EAGER_FOR;
        if eager { node.config.timers.beacon / 5 } else { node.config.timers.beacon }
    }

    fn fresh(&self, node: &Node) -> Duration {
        node.config.timers.beacon * 3
    }

    fn beacon(&self, node: &Node) -> Packet {
        Packet::Beacon(Beacon {
            process: node.me,
            dialect: self.ring.dialect,
            probation: false,
            ring: self.ring.id,
            members: self.ring.members.clone(),
            representative: node.book.address(self.ring.members[0]),
            heard: node.candidates.processes(node.now, self.fresh(node)),
        })
    }

    pub(super) fn send_beacons(&mut self, node: &mut Node) {
        let interval = self.beacon_interval(node);
        self.beacon_at = node.now + node.random.around(interval);
        node.out.stats.beacons_sent += 1;
        let is_member = |address: &SocketAddr| {
            node.book.processes_at(*address).any(|p| self.ring.has_member(p))
        };
        let mut absent: Vec<SocketAddr> = Vec::new();
        let known = if self.ring.is_representative() { node.book.addresses() } else { Vec::new() };
        for address in node.config.peers.iter().chain(&known) {
            if absent.len() < ABSENT_MAX && !is_member(address) && !absent.contains(address) {
                absent.push(*address);
            }
        }
        let beacon = self.beacon(node);
        if self.ring.is_representative() {
            node.send_everywhere(&absent, &beacon);
        } else {
            absent.iter().for_each(|address| node.send(*address, &beacon));
        }
    }

    pub(super) fn on_beacon(
        mut self: Box<Self>,
        node: &mut Node,
        address: SocketAddr,
        beacon: &Beacon,
    ) -> State {
        if beacon.ring == self.ring.id || beacon.probation || node.leaving.is_some() {
            return State::Operational(self);
        }
        // Whoever invites a ring has then seen its number: an invitation that has not is an old
        // one.
        node.storage.saw(beacon.ring.sequence);
        let sender = beacon.process;
        let older = self
            .ring
            .members
            .iter()
            .find(|m| m.node == sender.node && m.incarnation < sender.incarnation);
        if let Some(old) = older.copied() {
            return State::Operational(self).on_gone(node, old, Gone::Restarted);
        }
        if self.ring.has_member(sender) {
            return State::Operational(self);
        }
        // Rings meet through their representatives; an ordinary member only says where its own is.
        let theirs = beacon.members.first().copied().unwrap_or(sender);
        if let Some(at) = beacon.representative.filter(|_| theirs != sender) {
            node.book.told(theirs, at, node.now);
        }
        let answer = node.candidates.heard(beacon, node.me, node.now);
        if answer {
            let answer = self.beacon(node);
            node.send(address, &answer);
        }
        if !self.ring.is_representative() {
            return State::Operational(self);
        }
        if self.merge_at.is_none() && !node.candidates.ready(node.now, self.fresh(node)).is_empty()
        {
            let rank = self.rank(node);
            self.merge_at = Some(node.now + COLLECT_FOR + RANK_DELAY * rank);
        }
        State::Operational(self)
    }

    /// How many candidates should start a merge before this ring does.
    fn rank(&self, node: &Node) -> u32 {
        let mine = (self.ring.members.len(), self.ring.id);
        let ready = node.candidates.ready(node.now, self.fresh(node));
        ready.iter().filter(|c| c.rank() < mine).count().min(20) as u32
    }

    /// Invites the rings that can be merged with.
    pub(super) fn merge(mut self: Box<Self>, node: &mut Node) -> State {
        self.merge_at = None;
        let mut proposed = self.ring.members.clone();
        let mut invited = Vec::new();
        let mut refused: Vec<(Process, String)> = Vec::new();
        let mut dialect = self.ring.dialect;
        for candidate in node.candidates.ready(node.now, self.fresh(node)) {
            let clash = |m: &Process| proposed.iter().any(|p| p.node == m.node);
            if candidate.members.iter().any(clash) {
                refused.push((candidate.process, "a node id is in both rings".into()));
            } else if candidate.members.iter().any(|m| node.is_blamed(m.node)) {
                let why = "it has a member that could not keep up lately";
                refused.push((candidate.process, why.into()));
            } else if proposed.len() + candidate.members.len() > limits::MEMBERS_MAX {
                let why = "together they would have too many members";
                refused.push((candidate.process, why.into()));
            } else {
                let Some(common) = dialect.common(candidate.dialect) else {
                    refused
                        .push((candidate.process, no_common_version(dialect, candidate.dialect)));
                    continue;
                };
                dialect = common;
                proposed.extend(&candidate.members);
                invited.push(candidate.process.node);
            }
        }
        for (process, reason) in refused {
            node.candidates.tried(process.node, node.now);
            if self.refused.insert(process) {
                node.out.event(Event::MergeRefused { node: process.node, reason });
            }
        }
        let Some(first) = invited.first().copied() else { return State::Operational(self) };
        invited.iter().for_each(|n| node.candidates.tried(*n, node.now));
        let history = self.leave(node, Cause::Merge { node: first });
        Gather::enter(node, history, &proposed)
    }

    /// An invitation is worth a change only if the ring that comes of it, as far as can be told
    /// from it, is larger than this one.
    pub(super) fn would_grow(&self, node: &Node, join: &Join) -> bool {
        let gone = |p: &Process| join.dead.iter().any(|(dead, _)| dead == p);
        let proposed = join.proposed.iter().map(|(p, _)| p).filter(|p| !gone(p));
        let nodes: BTreeSet<NodeId> = proposed.map(|p| p.node).collect();
        let mut edges: Edges = join.edges.iter().map(|(a, b)| edge(*a, *b)).collect();
        edges.extend(blamed_edges(node, &nodes));
        clique_of(node.me.node, &nodes, &edges).len() > self.ring.members.len()
    }
}

fn no_common_version(ours: Dialect, theirs: Dialect) -> String {
    format!(
        "it speaks wire versions {theirs}, this ring speaks {ours}: upgrade one of them until they \
         have one in common"
    )
}
