//! Agreeing on who is there. Every node says what it knows; knowledge only grows within a gather,
//! so it ends; when all members that a node would take vote for the same members, their
//! representative calls them to form a ring.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::clique::{Edges, blamed_edges, clique_of, edge};
use super::transitions::{At, Why};
use super::{Commit, History, Sender, State, gone_cause};
use crate::event::Cause;
use crate::id::{Incarnation, NodeId, Process, RingId};
use crate::limits;
use crate::node::Node;
use crate::output::Output;
use crate::planted::planted;
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{Decline, Gone, Join, Packet, Propose};

/// Joins that change something are answered at once, but not more often than this.
const ANSWER_AFTER: Duration = Duration::from_micros(500);

#[derive(Clone, Hash)]
pub(crate) struct Gather {
    pub(crate) history: History,
    attempt: u64,
    /// Everybody considered: the members of the old ring and those that they want to merge with. It
    /// is closed on entry but for what members bring along, so that a node that comes and goes
    /// cannot keep the others from agreeing.
    proposed: BTreeMap<NodeId, Incarnation>,
    edges: Edges,
    heard: BTreeMap<NodeId, Heard>,
    /// Nodes that nobody heard in time. They are left out altogether, not as bad links: a link to
    /// nobody must not decide who goes with whom.
    silent: BTreeSet<NodeId>,
    /// Nodes that said that they are gathering with others: they may yet come along.
    busy: BTreeSet<NodeId>,
    join_at: Instant,
    joined_at: Option<Instant>,
    consensus_at: Instant,
    /// How often a node was heard and yet did not agree in time.
    strikes: BTreeMap<NodeId, u32>,
}

/// The newest Join of another node.
#[derive(Clone, Hash)]
struct Heard {
    attempt: u64,
    ring_sequence_max: u64,
    members: Vec<NodeId>,
    heard: Vec<NodeId>,
}

impl Gather {
    /// Begins an attempt. Evidence about processes that are gone is in the history.
    pub(crate) fn enter(node: &mut Node, history: History, invited: &[Process]) -> State {
        node.attempts += 1;
        node.out.stats.gathers += 1;
        let mut gather = Box::new(Self {
            attempt: node.attempts,
            proposed: BTreeMap::new(),
            edges: Edges::new(),
            heard: BTreeMap::new(),
            silent: BTreeSet::new(),
            busy: BTreeSet::new(),
            join_at: node.now,
            joined_at: None,
            consensus_at: node.now + node.config.timers.consensus,
            strikes: BTreeMap::new(),
            history,
        });
        let members = gather.history.ring.members.clone();
        members.iter().chain(invited).for_each(|p| gather.propose(*p));
        let nodes = gather.proposed.keys().copied().collect();
        gather.edges.extend(blamed_edges(node, &nodes));
        let bad: Vec<_> = gather.proposed().filter(|p| node.links.is_bad(*p)).collect();
        gather.edges.extend(bad.iter().map(|p| edge(node.me.node, p.node)));
        gather.send_join(node);
        gather.check(node)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.join_at.min(self.consensus_at)
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, node: &Node) {
        self.consensus_at = node.now + node.config.timers.consensus;
    }

    pub(crate) fn on_packet(
        mut self: Box<Self>,
        node: &mut Node,
        from: Sender,
        packet: Packet,
    ) -> State {
        match packet {
            // Late packets of the old ring still count, but nothing is delivered before all agree
            // on what there is.
            Packet::Data(data) if data.ring == self.history.ring.id => {
                self.history.ring.on_data(node, from.header.node, data);
                State::Gather(self)
            }
            Packet::Join(join) => self.on_join(node, join),
            Packet::Propose(propose) => self.on_propose(node, from, &propose),
            Packet::Decline(decline) => self.on_decline(node, &decline),
            _ => {
                node.out.stats.dropped_stale += 1;
                State::Gather(self)
            }
        }
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, node: &mut Node) -> State {
        if self.consensus_at <= node.now {
            self.exclude_the_silent(node);
            self.consensus_at = node.now + node.config.timers.consensus;
            self.join_at = node.now;
        }
        if self.join_at <= node.now {
            self.send_join(node);
        }
        self.check(node)
    }

    pub(crate) fn on_gone(
        mut self: Box<Self>,
        node: &mut Node,
        process: Process,
        gone: Gone,
    ) -> State {
        if self.proposed.get(&process.node) == Some(&process.incarnation)
            && self.history.dead.insert(process, gone).is_none()
        {
            self.answer_soon(node);
        }
        self.check(node)
    }

    pub(crate) fn on_join(mut self: Box<Self>, node: &mut Node, join: Join) -> State {
        let from = join.process;
        match self.proposed.get(&from.node) {
            Some(known) if *known == from.incarnation => {}
            _ => {
                node.decline(&join, true);
                return State::Gather(self);
            }
        }
        let stale = self.heard.get(&from.node).is_some_and(|h| h.attempt > join.attempt);
        if stale || self.history.dead.contains_key(&from) {
            return State::Gather(self);
        }
        if self.is_superseded(node, &join) {
            return superseded(node);
        }
        let before = self.fingerprint();
        node.learn_links(&join.reports);
        if join.dead.iter().any(|(p, _)| *p == node.me) {
            self.edges.insert(edge(node.me.node, from.node));
        }
        if join.dialect.common(node.dialect()).is_none() {
            self.edges.insert(edge(node.me.node, from.node));
        }
        for (process, address) in &join.proposed {
            if process.node == node.me.node {
                continue;
            }
            self.propose(*process);
            if let Some(address) = address {
                node.book.told(*process, *address, node.now);
            }
        }
        // Only what concerns those considered is taken over: what grows is bounded by them.
        for (process, gone) in &join.dead {
            if *process != node.me && self.proposed.contains_key(&process.node) {
                self.history.dead.entry(*process).or_insert(*gone);
            }
        }
        let concerned = |(a, b): &&(NodeId, NodeId)| {
            self.proposed.contains_key(a) && self.proposed.contains_key(b)
        };
        let edges: Vec<_> =
            join.edges.iter().filter(concerned).map(|(a, b)| edge(*a, *b)).collect();
        self.edges.extend(edges);
        node.storage.saw(join.ring_sequence_max);
        let heard = Heard {
            attempt: join.attempt,
            ring_sequence_max: join.ring_sequence_max,
            members: join.members,
            heard: join.heard,
        };
        self.silent.remove(&from.node);
        let first = self.heard.insert(from.node, heard).is_none();
        if first || before != self.fingerprint() {
            self.answer_soon(node);
        }
        self.check(node)
    }

    /// It was invited, and does not come along.
    fn on_decline(mut self: Box<Self>, node: &mut Node, decline: &Decline) -> State {
        node.learn_links(&decline.reports);
        let process = decline.process;
        if decline.attempt == self.attempt
            && self.proposed.get(&process.node) == Some(&process.incarnation)
            && !self.heard.contains_key(&process.node)
        {
            if decline.busy {
                self.busy.insert(process.node);
            } else if self.silent.insert(process.node) {
                self.answer_soon(node);
            }
        }
        self.check(node)
    }

    fn on_propose(mut self: Box<Self>, node: &mut Node, from: Sender, propose: &Propose) -> State {
        let members = self.members(node);
        let ids: Vec<_> = propose.members.iter().map(|(p, _)| p.node).collect();
        let counted = propose.members.iter().find(|(p, _)| *p == node.me);
        let fits = ids == members
            && ids.first() == Some(&from.header.node)
            && propose.ring.representative == propose.members[0].0
            && propose
                .members
                .iter()
                .all(|(p, _)| self.proposed.get(&p.node) == Some(&p.incarnation))
            && ids.iter().all(|n| *n == node.me.node || self.heard.contains_key(n))
            && counted.is_some_and(|(_, attempt)| *attempt == self.attempt)
            && propose.ring.sequence > self.history.ring.id.sequence;
        node.persist_if_wanted(propose.ring.sequence);
        if !fits || !node.storage.may_promise(propose.ring.sequence) {
            node.out.stats.dropped_stale += 1;
            self.answer_soon(node);
            return State::Gather(self);
        }
        node.storage.saw(propose.ring.sequence);
        node.moved(At::Commit, Why::Called, &self.history.cause);
        Commit::follow(node, self.history, propose)
    }

    /// A member of the old ring knows a newer process of this node: this one was away, and another
    /// has taken its place.
    fn is_superseded(&self, node: &Node, join: &Join) -> bool {
        let newer = |p: &Process| p.node == node.me.node && p.incarnation > node.me.incarnation;
        self.history.ring.has_member(join.process) && join.proposed.iter().any(|(p, _)| newer(p))
    }

    fn propose(&mut self, process: Process) {
        let full = self.proposed.len() >= limits::MEMBERS_MAX;
        match self.proposed.get_mut(&process.node) {
            None if full => {}
            None => {
                self.proposed.insert(process.node, process.incarnation);
            }
            Some(known) if *known < process.incarnation => {
                let old = Process { node: process.node, incarnation: *known };
                *known = process.incarnation;
                self.history.dead.entry(old).or_insert(Gone::Restarted);
            }
            Some(known) if *known > process.incarnation => {
                self.history.dead.entry(process).or_insert(Gone::Restarted);
            }
            Some(_) => {}
        }
    }

    /// Those that should still be heard: nothing speaks against them yet.
    fn expected(&self, me: NodeId) -> Vec<NodeId> {
        let unheard = self.proposed().filter(|p| {
            p.node != me
                && !self.heard.contains_key(&p.node)
                && !self.silent.contains(&p.node)
                && !self.history.dead.contains_key(p)
                && !self.edges.contains(&edge(me, p.node))
        });
        unheard.map(|p| p.node).collect()
    }

    /// Those that this node would form a ring with, lowest id first.
    fn members(&self, node: &Node) -> Vec<NodeId> {
        let alive = |(n, i): (&NodeId, &Incarnation)| {
            let process = Process { node: *n, incarnation: *i };
            let gone = self.history.dead.contains_key(&process) || self.silent.contains(n);
            (!gone).then_some(*n)
        };
        let nodes: BTreeSet<NodeId> = self.proposed.iter().filter_map(alive).collect();
        clique_of(node.me.node, &nodes, &self.edges)
    }

    pub(super) fn proposed(&self) -> impl Iterator<Item = Process> {
        self.proposed.iter().map(|(n, i)| Process { node: *n, incarnation: *i })
    }

    fn fingerprint(&self) -> (usize, usize, usize) {
        (self.proposed.len(), self.history.dead.len(), self.edges.len())
    }

    fn answer_soon(&mut self, node: &Node) {
        let not_before = self.joined_at.map_or(node.now, |at| at + ANSWER_AFTER);
        self.join_at = self.join_at.min(not_before.max(node.now));
    }

    fn send_join(&mut self, node: &mut Node) {
        self.joined_at = Some(node.now);
        let repeat = node.config.timers.join_repeat;
        self.join_at = node.now + node.random.around(repeat);
        node.out.stats.joins_sent += 1;
        let processes = |(n, i): (&NodeId, &Incarnation)| {
            let process = Process { node: *n, incarnation: *i };
            (process, node.book.address(process))
        };
        let join = Join {
            process: node.me,
            dialect: node.dialect(),
            attempt: self.attempt,
            ring_sequence_max: node.storage.sequence_max,
            proposed: self.proposed.iter().map(processes).collect(),
            dead: self.history.dead.iter().map(|(p, gone)| (*p, *gone)).collect(),
            edges: self.edges.iter().copied().collect(),
            members: self.members(node),
            heard: self.heard.keys().copied().collect(),
            reports: node.links.reports(node.me, node.now),
        };
        let others = self.proposed().filter(|p| p.node != node.me.node);
        let addresses: Vec<SocketAddr> = others.filter_map(|p| node.book.address(p)).collect();
        node.send_everywhere(&addresses, &Packet::Join(join));
    }

    /// Time is up: nodes that were not heard, or that do not agree, cannot be in this node's ring
    /// now.
    fn exclude_the_silent(&mut self, node: &mut Node) {
        let members = self.members(node);
        let process = |n: &NodeId| Process { node: *n, incarnation: self.proposed[n] };
        let me = node.me.node;
        let unheard = self.expected(me);
        let asked = members.iter().filter(|n| **n != me && !unheard.contains(n));
        for other in asked.chain(&unheard) {
            let bad_link = !self.busy.contains(other);
            match self.heard.get(other) {
                None if self.heard.values().any(|h| h.heard.contains(other)) => {
                    self.edges.insert(edge(node.me.node, *other));
                    if bad_link {
                        node.bad_link(process(other));
                    }
                }
                None => {
                    self.silent.insert(*other);
                    // Whoever is invited was heard by somebody just before.
                    if bad_link && !self.history.ring.has_member(process(other)) {
                        node.bad_link(process(other));
                    }
                }
                // A member that agrees has nothing to be blamed for; a representative that agrees
                // should have called.
                Some(heard) if heard.members == members && *other != members[0] => {}
                Some(heard) => {
                    let strikes = self.strikes.entry(*other).or_default();
                    *strikes += 1;
                    if *strikes > 1 {
                        self.edges.insert(edge(node.me.node, *other));
                    }
                    if !heard.heard.contains(&node.me.node) {
                        node.bad_link(process(other));
                    }
                }
            }
        }
    }

    /// Do all agree? Then the representative leads.
    pub(super) fn check(self: Box<Self>, node: &mut Node) -> State {
        let members = self.members(node);
        let others = || members.iter().filter(|n| **n != node.me.node);
        let agreed = others().all(|n| self.heard.get(n).is_some_and(|h| h.members == members));
        // Whoever is still to be heard may know of links that change the cliques.
        let complete = self.expected(node.me.node).is_empty();
        if !agreed || !complete || members[0] != node.me.node {
            return State::Gather(self);
        }
        let votes = others().filter_map(|n| self.heard.get(n));
        let highest = votes.map(|h| h.ring_sequence_max).max().unwrap_or(0);
        let seen = if planted!("ring_number_not_raised") { 0 } else { highest };
        let own = if planted!("ring_number_not_raised") {
            self.history.ring.id.sequence
        } else {
            node.storage.sequence_max
        };
        let sequence = seen.max(own) + 1;
        node.persist_if_wanted(sequence);
        if !node.storage.may_promise(sequence) {
            return State::Gather(self);
        }
        let ring = RingId { sequence, representative: node.me };
        node.storage.saw(sequence);
        let with_attempt = |n: &NodeId| {
            let process = Process { node: *n, incarnation: self.proposed[n] };
            (process, self.heard.get(n).map_or(self.attempt, |h| h.attempt))
        };
        let members = members.iter().map(with_attempt).collect();
        node.moved(At::Commit, Why::Agreed, &self.history.cause);
        Commit::lead(node, self.history, Propose { ring, members })
    }
}

fn superseded(node: &mut Node) -> State {
    let fault = format!(
        "a newer process with node id {} has taken this one's place in its ring: give each node \
         its own node.id, or stop the other one",
        node.me.node
    );
    node.moved(At::Stopped, Why::Superseded, &Cause::Superseded);
    node.out.trace(|| Trace::Stopped);
    node.out.push(Output::Stopped { fault: Some(fault) });
    State::Stopped
}

/// Re-enters the gather state after a failed attempt, with those who were to be in it and what was
/// learned since.
pub(super) fn retry(
    node: &mut Node,
    mut history: History,
    failure: Failure,
    members: &[Process],
) -> State {
    node.moved(At::Gather, Why::of(&failure.cause), &failure.cause);
    if let Some((process, gone)) = failure.gone {
        history.dead.insert(process, gone);
    }
    match Gather::enter(node, history, members) {
        State::Gather(gather) => match failure.join {
            Some(join) => gather.on_join(node, join),
            None => State::Gather(gather),
        },
        other => other,
    }
}

/// Why an attempt to form a ring ended.
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) gone: Option<(Process, Gone)>,
    pub(crate) join: Option<Join>,
}

impl Failure {
    pub(crate) fn of(cause: Cause) -> Self {
        Self { cause, gone: None, join: None }
    }

    pub(crate) fn gone(process: Process, gone: Gone) -> Self {
        Self { cause: gone_cause(process, gone), gone: Some((process, gone)), join: None }
    }

    pub(crate) fn join(join: Join) -> Self {
        let cause = Cause::JoinFrom { node: join.process.node };
        Self { cause, gone: None, join: Some(join) }
    }
}
