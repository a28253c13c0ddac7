//! Finding other rings, and merging with those that make a larger one.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use super::Operational;
use crate::config::Timers;
use crate::event::Event;
use crate::id::{NodeId, Process};
use crate::limits;
use crate::node::Node;
use crate::ring::Ring;
use crate::state::State;
use crate::state::candidates::Candidate;
use crate::state::clique::largest_across;
use crate::wire::{Beacon, Dialect, Gone, Packet};

/// After a change of configuration, beacons are sent more often for so many intervals.
const EAGER_FOR: u32 = 5;
/// Rings that start at the same time find each other within this: they become one ring in one
/// change.
const COLLECT_FOR: Duration = Duration::from_millis(40);
/// Who is not the smallest ring waits this long, per smaller one, for it to start the merge.
const RANK_DELAY: Duration = Duration::from_millis(100);
/// Rings of which it was said that they cannot be merged with.
const REFUSED_MAX: usize = 256;
/// Addresses of absent nodes that get a beacon by unicast.
const ABSENT_MAX: usize = 64;

impl Operational {
    /// The representative looks for other rings; the others only for the peers that they alone may
    /// know of.
    pub(super) fn has_beacons_to_send(&self, node: &Node) -> bool {
        self.ring.is_representative() || !node.config.peers.is_empty()
    }

    fn beacon_interval(&self, node: &Node) -> Duration {
        let beacon = node.config.timers.beacon;
        let eager = node.now.since(self.since) < beacon * EAGER_FOR;
        if eager { beacon / 5 } else { beacon }
    }

    pub(super) fn fresh(&self, timers: &Timers) -> Duration {
        timers.beacon * 3
    }

    pub(super) fn beacon(&self, node: &mut Node) -> Packet {
        Packet::Beacon(Beacon {
            process: node.me,
            dialect: self.ring.dialect,
            terms: node.terms(),
            probation: false,
            ring: self.ring.id,
            members: self.ring.members.clone(),
            representative: node.book.address(self.ring.members[0]),
            heard: node.candidates.processes(node.now, self.fresh(&node.config.timers)),
            reports: node.links.reports(node.me, node.now),
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
            let tells = matches!(&beacon, Packet::Beacon(b) if !b.reports.is_empty());
            if tells && !self.ring.multicast {
                self.others().for_each(|member| node.send_to(*member, &beacon));
            }
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
        if node.learn_links(&beacon.reports) {
            self.links_changed(node);
        } else if !beacon.reports.is_empty() && beacon.ring != self.ring.id {
            self.tell_again(node);
        }
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
        self.tell_of_waiting(node, beacon);
        self.measure_others(node);
        self.consider_merging(node);
        State::Operational(self)
    }

    /// Whoever wonders why a ring that is heard is not merged with shall be told.
    fn tell_of_waiting(&mut self, node: &mut Node, beacon: &Beacon) {
        let waits = |member: &Process| node.flaps.wait(member.node, node.now);
        let wait = beacon.members.iter().find_map(waits);
        if let Some(wait) = wait.filter(|wait| wait.is_long(node.config.timers.beacon)) {
            let (node_id, reason) = (beacon.process.node, wait.to_string());
            if self.held_back.len() < REFUSED_MAX && self.held_back.insert(beacon.process) {
                node.out.event(Event::MergeRefused { node: node_id, reason });
            }
        }
    }

    pub(super) fn consider_merging(&mut self, node: &Node) {
        if self.ring.is_representative()
            && self.merge_at.is_none()
            && self.merging.is_none()
            && !self.ready(node).is_empty()
        {
            let rank = self.rank(node);
            self.merge_at = Some(node.now + COLLECT_FOR + RANK_DELAY * rank);
        }
    }

    /// Rings that can be merged with now, the smallest first.
    fn ready<'a>(&self, node: &'a Node) -> Vec<&'a Candidate> {
        let mut ready = node.candidates.ready(node.now, self.fresh(&node.config.timers));
        let waits = |member: &Process| node.flaps.wait(member.node, node.now).is_some();
        ready.retain(|candidate| !candidate.members.iter().any(waits));
        ready.retain(|candidate| self.admits(node, candidate));
        ready
    }

    /// How many candidates should start a merge before this ring does.
    fn rank(&self, node: &Node) -> u32 {
        let mine = (self.ring.members.len(), self.ring.id);
        self.ready(node).iter().filter(|c| c.rank() < mine).count().min(20) as u32
    }

    /// Invites the rings that can be merged with.
    pub(super) fn merge(mut self: Box<Self>, node: &mut Node) -> State {
        self.merge_at = None;
        if self.merging.is_some() || !node.may_promise_next() {
            return State::Operational(self);
        }
        let mut union = Union::new(&self.ring);
        let mut invited = Vec::new();
        let mut refused = Vec::new();
        for candidate in self.ready(node) {
            match union.refusal(node, candidate) {
                Some(why) => refused.push((candidate.process, why)),
                None => {
                    union.add(candidate);
                    invited.push(candidate.ring);
                }
            }
        }
        for (process, why) in refused {
            if self.refused.len() < REFUSED_MAX && self.refused.insert(process) {
                node.out.event(Event::MergeRefused { node: process.node, reason: why });
            }
        }
        if invited.is_empty() {
            return State::Operational(self);
        }
        invited.iter().for_each(|ring| node.candidates.tried(*ring, node.now));
        self.invite(node, &union.members)
    }
}

/// The rings that shall become one.
struct Union {
    members: Vec<Process>,
    dialect: Dialect,
    largest_ring: usize,
}

impl Union {
    fn new(ring: &Ring) -> Self {
        let members = ring.members.clone();
        Self { largest_ring: members.len(), members, dialect: ring.dialect }
    }

    fn add(&mut self, candidate: &Candidate) {
        self.members.extend(&candidate.members);
        self.largest_ring = self.largest_ring.max(candidate.members.len());
        self.dialect = self.dialect.common(candidate.dialect).unwrap_or(self.dialect);
    }

    /// Why a ring should not be added. With bad links between members, a merge is worth a change
    /// only if a ring comes of it that is larger than each of those that it takes: then changes
    /// end.
    fn refusal(&self, node: &Node, candidate: &Candidate) -> Option<String> {
        let theirs = &candidate.members;
        if theirs.iter().any(|m| self.members.iter().any(|p| p.node == m.node)) {
            return Some("a node id is in both rings".into());
        }
        if theirs.iter().any(|m| node.is_blamed(m.node)) {
            return Some("it has a member that could not keep up lately".into());
        }
        if self.members.len() + theirs.len() > limits::MEMBERS_MAX {
            return Some("together they would have too many members".into());
        }
        if self.dialect.common(candidate.dialect).is_none() {
            return Some(no_common_version(self.dialect, candidate.dialect));
        }
        let all: Vec<Process> = self.members.iter().chain(theirs).copied().collect();
        let nodes = all.iter().map(|p| p.node).collect();
        let edges = node.links.edges(node.me, &all, node.now);
        let ids = |list: &[Process]| list.iter().map(|p| p.node).collect();
        let (ours, others): (BTreeSet<NodeId>, BTreeSet<NodeId>) =
            (ids(&self.members), ids(theirs));
        let comes = largest_across(&[&ours, &others], &nodes, &edges);
        // Members are left behind only where links stay bad.
        let leaves = ours.iter().chain(&others).any(|n| !comes.contains(n));
        let settled = || {
            node.links.are_settled(node.me, &all, node.now)
                && node.candidates.is_settled(candidate.process, node.now)
        };
        let hasty = leaves && !settled();
        if hasty || comes.len() <= self.largest_ring.max(theirs.len()) {
            let (a, b) = edges.first()?;
            return Some(format!("nodes {a} and {b} cannot talk to each other"));
        }
        None
    }
}

fn no_common_version(ours: Dialect, theirs: Dialect) -> String {
    format!(
        "it speaks wire versions {theirs}, this ring speaks {ours}: upgrade one of them until they \
         have one in common"
    )
}
