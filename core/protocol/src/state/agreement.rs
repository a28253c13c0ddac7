//! Agreeing on who forms a ring. Everybody concerned says what it knows; knowledge only grows
//! within an attempt, so it ends; when all members that a node would take vote for the same
//! members, their representative calls them. Nodes whose ring is broken agree in `Gather`; those
//! whose rings shall merge do so while their rings still turn (`Operational`), so that a merge that
//! cannot be costs nobody anything. Who keeps an attempt from its end is found in `judging`.

mod judging;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::clique::{Edges, blamed_edges, clique_of, edge, largest_across};
use crate::id::{Incarnation, NodeId, Process, RingId};
use crate::limits;
use crate::node::Node;
use crate::planted::planted;
use crate::ring::Ring;
use crate::time::Instant;
use crate::wire::{Decline, Gone, Join, Packet, Propose};

/// Joins that change something are answered at once, but not more often than this, for every so
/// many nodes concerned: all answer all.
const ANSWER_AFTER: Duration = Duration::from_micros(500);
const ANSWER_NODES: u32 = 8;

#[derive(Clone, Hash)]
pub(crate) struct Agreement {
    pub(super) attempt: u64,
    /// This node's ring still turns: it would leave it for the one that is agreed on. Who invited,
    /// in which attempt of his.
    pub(super) merging: Option<(Process, u64)>,
    /// Everybody considered: the members of the old ring and those that they want to merge with. It
    /// is closed on entry but for what members bring along, so that a node that comes and goes
    /// cannot keep the others from agreeing.
    proposed: BTreeMap<NodeId, Candidate>,
    /// Processes known to be gone.
    pub(super) dead: BTreeMap<Process, Gone>,
    edges: Edges,
    heard: BTreeMap<NodeId, Heard>,
    /// Nodes that nobody heard in time, or that will not come along. They are left out altogether,
    /// not as bad links: a link to nobody must not decide who goes with whom.
    silent: BTreeSet<NodeId>,
    /// Nodes that said that they are agreeing with others: they may yet come along.
    busy: BTreeSet<NodeId>,
    join_at: Instant,
    joined_at: Option<Instant>,
    /// There is something to say that was not said before.
    news: bool,
    began_at: Instant,
    /// Nothing before this speaks against anybody.
    blameless_until: Instant,
    /// When it is looked again who has not been heard in time, or does not agree.
    judge_at: Instant,
    /// What this node last said whom it would form a ring with, and since when.
    vote: (Vec<NodeId>, Instant),
}

#[derive(Clone, Copy, Hash)]
struct Candidate {
    incarnation: Incarnation,
    since: Instant,
}

/// The newest Join of another node.
#[derive(Clone, Hash)]
struct Heard {
    at: Instant,
    /// Since when it votes like that, and has heard those of its members.
    since: Instant,
    attempt: u64,
    /// The highest ring number that it has seen.
    sequence_max: u64,
    members: Vec<NodeId>,
    heard: Vec<NodeId>,
    multicast_heard: Vec<NodeId>,
}

impl Heard {
    /// Members that it votes for and does not hear.
    fn missed(&self, by: NodeId) -> impl Iterator<Item = NodeId> {
        self.members.iter().copied().filter(move |m| *m != by && !self.heard.contains(m))
    }

    fn says_the_same(&self, by: NodeId, before: &Self) -> bool {
        self.members == before.members && self.missed(by).eq(before.missed(by))
    }
}

/// What a Join means to somebody who is agreeing.
pub(super) enum Word {
    /// It was taken in, or says nothing new.
    Taken,
    /// A member of the old ring knows a newer process of this node: this one was away, and another
    /// has taken its place.
    Superseded,
}

impl Agreement {
    /// Begins an attempt of the members of `ring`, and of those `invited`.
    pub(super) fn new(
        node: &mut Node,
        ring: &Ring,
        dead: BTreeMap<Process, Gone>,
        invited: &[Process],
        merging: Option<(Process, u64)>,
    ) -> Self {
        node.attempts += 1;
        let mut agreement = Self {
            attempt: node.attempts,
            merging,
            proposed: BTreeMap::new(),
            dead,
            edges: Edges::new(),
            heard: BTreeMap::new(),
            silent: BTreeSet::new(),
            busy: BTreeSet::new(),
            join_at: node.now,
            joined_at: None,
            news: true,
            began_at: node.now,
            blameless_until: node.now,
            judge_at: node.now + node.config.timers.consensus,
            vote: (Vec::new(), node.now),
        };
        ring.members.iter().chain(invited).for_each(|p| agreement.propose(*p, node.now));
        let nodes = agreement.proposed.keys().copied().collect();
        agreement.edges.extend(blamed_edges(node, &nodes));
        let bad: Vec<_> = agreement.proposed().filter(|p| node.links.is_bad(*p)).collect();
        agreement.edges.extend(bad.iter().map(|p| edge(node.me.node, p.node)));
        agreement
    }

    pub(super) fn deadline(&self) -> Instant {
        self.join_at.min(self.judge_at)
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, node: &Node) {
        self.blameless_until = node.now;
        self.judge_at = node.now + node.config.timers.consensus;
    }

    /// It has gone on for so many times of the time allowed for one.
    pub(super) fn has_lasted(&self, node: &Node, times: u32) -> bool {
        node.now.since(self.began_at) >= node.config.timers.consensus * times
    }

    /// Says again what this node knows and wants, if it is time. In a merge a vote is also the word
    /// that the next ring's number can be promised at once, as far as it is known: nobody leaves a
    /// ring that turns to wait for another's disk.
    pub(super) fn speak(&mut self, node: &mut Node, ring: &Ring) {
        if self.join_at > node.now {
            return;
        }
        if self.merging.is_none() || node.may_promise_next() {
            self.send_join(node, ring);
        } else {
            self.join_at = node.now + node.random.around(node.config.timers.join_repeat);
        }
    }

    pub(super) fn on_gone(&mut self, node: &Node, process: Process, gone: Gone) {
        if self.considers(process) && self.dead.insert(process, gone).is_none() {
            self.answer_soon(node);
        }
    }

    /// Takes in the Join of one who is considered.
    pub(super) fn on_join(&mut self, node: &mut Node, ring: &Ring, join: Join) -> Word {
        let from = join.process;
        let stale = self.heard.get(&from.node).is_some_and(|h| h.attempt > join.attempt);
        if stale || self.dead.contains_key(&from) {
            return Word::Taken;
        }
        let newer = |p: &Process| p.node == node.me.node && p.incarnation > node.me.incarnation;
        if ring.has_member(from) && join.proposed.iter().any(|(p, _)| newer(p)) {
            return Word::Superseded;
        }
        let before = self.fingerprint();
        self.learn(node, ring, &join);
        let sequence_max = join.ring_sequence_max;
        let raised = sequence_max > node.storage.sequence_max;
        node.storage.saw(sequence_max);
        let Join { attempt, members, heard, multicast_heard, .. } = join;
        let (at, since) = (node.now, node.now);
        let mut heard = Heard { at, since, attempt, sequence_max, members, heard, multicast_heard };
        let known = self.heard.get(&from.node);
        if let Some(known) = known.filter(|known| heard.says_the_same(from.node, known)) {
            heard.since = known.since;
        }
        self.silent.remove(&from.node);
        let first = self.heard.insert(from.node, heard).is_none();
        if first || raised || before != self.fingerprint() {
            self.answer_soon(node);
        }
        Word::Taken
    }

    /// Takes over what a Join says of others.
    fn learn(&mut self, node: &mut Node, ring: &Ring, join: &Join) {
        node.learn_links(&join.reports);
        let mine = edge(node.me.node, join.process.node);
        let excluded = join.dead.iter().any(|(p, _)| *p == node.me);
        if excluded || join.dialect.common(node.dialect()).is_none() {
            self.edges.insert(mine);
        }
        for (process, address) in &join.proposed {
            if process.node == node.me.node {
                continue;
            }
            self.propose(*process, node.now);
            if let Some(address) = address {
                node.book.told(*process, *address, node.now);
            }
        }
        // Only what concerns those considered is taken over: what grows is bounded by them.
        for (process, gone) in &join.dead {
            let concerned = self.considers(*process) || ring.has_member(*process);
            if *process != node.me && concerned {
                self.dead.entry(*process).or_insert(*gone);
            }
        }
        let concerned = |(a, b): &&(NodeId, NodeId)| {
            self.proposed.contains_key(a) && self.proposed.contains_key(b)
        };
        let edges: Vec<_> =
            join.edges.iter().filter(concerned).map(|(a, b)| edge(*a, *b)).collect();
        self.edges.extend(edges);
    }

    /// It was invited, and does not come along, or not any more.
    pub(super) fn on_decline(&mut self, node: &mut Node, decline: &Decline) {
        node.learn_links(&decline.reports);
        let process = decline.process;
        if decline.attempt != self.attempt || !self.considers(process) {
            return;
        }
        if !decline.busy {
            self.heard.remove(&process.node);
            if self.silent.insert(process.node) {
                self.answer_soon(node);
            }
        } else if !self.heard.contains_key(&process.node) {
            self.busy.insert(process.node);
        }
    }

    /// The call is for just those whom this node would form a ring with.
    pub(super) fn fits(
        &mut self,
        node: &mut Node,
        ring: &Ring,
        (from, propose): (NodeId, &Propose),
    ) -> bool {
        if let Some(heard) = self.heard.get_mut(&from) {
            heard.at = node.now;
        }
        let members = self.members(node);
        let ids: Vec<_> = propose.members.iter().map(|(p, _)| p.node).collect();
        let counted = propose.members.iter().find(|(p, _)| *p == node.me);
        let fits = ids == members
            && ids.first() == Some(&from)
            && propose.ring.representative == propose.members[0].0
            && propose.members.iter().all(|(p, _)| self.considers(*p))
            && ids.iter().all(|n| *n == node.me.node || self.heard.contains_key(n))
            && counted.is_some_and(|(_, attempt)| *attempt == self.attempt)
            && propose.ring.sequence > ring.id.sequence;
        if fits {
            node.persist_if_wanted(propose.ring.sequence);
            if node.storage.may_promise(propose.ring.sequence) {
                node.storage.saw(propose.ring.sequence);
                return true;
            }
        }
        node.out.stats.dropped_stale += 1;
        self.answer_soon(node);
        false
    }

    /// Do all agree, and has everybody heard everybody? Then the representative calls them.
    pub(super) fn call(&self, node: &mut Node, ring: &Ring) -> Option<Propose> {
        let members = self.members(node);
        let others = || members.iter().filter(|n| **n != node.me.node);
        let agrees = |n: &NodeId, heard: &Heard| {
            let knows = |m: &NodeId| m == n || heard.heard.contains(m);
            let promises =
                self.merging.is_none() || heard.sequence_max >= node.storage.sequence_max;
            promises && heard.members == members && members.iter().all(knows)
        };
        let agreed = others().all(|n| self.heard.get(n).is_some_and(|h| agrees(n, h)));
        let agreed = agreed || planted!("called_without_votes");
        if !agreed || !self.is_complete(node) || members[0] != node.me.node {
            return None;
        }
        // What the voters have seen is in there as well.
        let careless = planted!("ring_number_not_raised");
        let seen = if careless { 0 } else { node.storage.sequence_max };
        let sequence = seen.max(ring.id.sequence) + 1;
        node.persist_if_wanted(sequence);
        if !node.storage.may_promise(sequence) {
            return None;
        }
        node.storage.saw(sequence);
        let with_attempt =
            |n: &NodeId| (self.process(*n), self.heard.get(n).map_or(self.attempt, |h| h.attempt));
        let members = members.iter().map(with_attempt).collect();
        Some(Propose { ring: RingId { sequence, representative: node.me }, members })
    }

    /// What this node says whom it would form a ring with.
    fn note_vote(&mut self, node: &Node, members: &[NodeId]) {
        if self.vote.0 != members {
            self.vote = (members.to_vec(), node.now);
        }
    }

    fn propose(&mut self, process: Process, now: Instant) {
        let full = self.proposed.len() >= limits::MEMBERS_MAX;
        let candidate = Candidate { incarnation: process.incarnation, since: now };
        match self.proposed.get_mut(&process.node) {
            None if full => {}
            None => {
                self.proposed.insert(process.node, candidate);
            }
            Some(known) if known.incarnation < process.incarnation => {
                let old = Process { node: process.node, incarnation: known.incarnation };
                *known = candidate;
                self.dead.entry(old).or_insert(Gone::Restarted);
            }
            Some(known) if known.incarnation > process.incarnation => {
                self.dead.entry(process).or_insert(Gone::Restarted);
            }
            Some(_) => {}
        }
    }

    fn process(&self, node: NodeId) -> Process {
        Process { node, incarnation: self.proposed[&node].incarnation }
    }

    pub(super) fn proposed(&self) -> impl Iterator<Item = Process> {
        self.proposed.iter().map(|(n, c)| Process { node: *n, incarnation: c.incarnation })
    }

    pub(super) fn considers(&self, process: Process) -> bool {
        self.proposed.get(&process.node).is_some_and(|c| c.incarnation == process.incarnation)
    }

    /// Whom this node has heard in this attempt, and in which of theirs.
    pub(super) fn heard(&self) -> impl Iterator<Item = (Process, u64)> {
        self.heard.iter().map(|(n, heard)| (self.process(*n), heard.attempt))
    }

    /// Everybody has been heard, or something speaks against him. Whoever is still to be heard may
    /// know of links that change the cliques.
    pub(super) fn is_complete(&self, node: &Node) -> bool {
        self.expected(node.me.node).is_empty()
    }

    /// Those that should still be heard: nothing speaks against them yet.
    fn expected(&self, me: NodeId) -> Vec<NodeId> {
        let unheard = self.proposed().filter(|p| {
            p.node != me
                && !self.heard.contains_key(&p.node)
                && !self.silent.contains(&p.node)
                && !self.dead.contains_key(p)
                && !self.edges.contains(&edge(me, p.node))
        });
        unheard.map(|p| p.node).collect()
    }

    /// Those that this node would form a ring with, lowest id first.
    pub(super) fn members(&self, node: &Node) -> Vec<NodeId> {
        clique_of(node.me.node, &self.present(), &self.edges)
    }

    /// The largest ring that would come of it, whether this node is in it or not.
    pub(super) fn largest(&self) -> Vec<NodeId> {
        largest_across(&[], &self.present(), &self.edges)
    }

    fn present(&self) -> BTreeSet<NodeId> {
        let gone = |p: &Process| self.leaves_out(*p);
        self.proposed().filter(|p| !gone(p)).map(|p| p.node).collect()
    }

    /// It is left out for another reason than bad links.
    pub(super) fn leaves_out(&self, process: Process) -> bool {
        self.silent.contains(&process.node) || self.dead.contains_key(&process)
    }

    /// All bad links among those considered were known before, and for so long that they are likely
    /// to stay.
    pub(super) fn is_settled(&self, node: &Node) -> bool {
        let proposed: Vec<Process> = self.proposed().collect();
        self.edges.is_subset(&node.links.edges(node.me, &proposed, node.now))
            && node.links.are_settled(node.me, &proposed, node.now)
    }

    fn fingerprint(&self) -> (usize, usize, usize) {
        (self.proposed.len(), self.dead.len(), self.edges.len())
    }

    fn answer_soon(&mut self, node: &Node) {
        self.news = true;
        let pace = ANSWER_AFTER * (1 + self.proposed.len() as u32 / ANSWER_NODES);
        let not_before = self.joined_at.map_or(node.now, |at| at + pace);
        self.join_at = self.join_at.min(not_before.max(node.now));
    }

    pub(super) fn send_join(&mut self, node: &mut Node, ring: &Ring) {
        let members = self.members(node);
        self.note_vote(node, &members);
        let addresses = self.not_reached_by_multicast(node, ring, &members);
        (self.joined_at, self.news) = (Some(node.now), false);
        let repeat = node.config.timers.join_repeat;
        self.join_at = node.now + node.random.around(repeat);
        node.out.stats.joins_sent += 1;
        let with_address = |p: Process| (p, node.book.address(p));
        // Who was demoted goes alone: for it the others are as good as gone, for nobody else.
        let is_out = node.contract.as_ref().and_then(|k| k.demoted()).map(|(node, _)| node);
        let says = |(_, gone): &(Process, Gone)| {
            !matches!(gone, Gone::Demoted(_)) || is_out != Some(node.me.node)
        };
        let heard_lately = self.heard.keys().filter(|n| self.heard_lately(node, **n).is_some());
        let join = Join {
            process: node.me,
            dialect: node.dialect(),
            terms: node.terms(),
            attempt: self.attempt,
            merging: self.merging,
            ring_sequence_max: node.storage.sequence_max,
            proposed: self.proposed().map(with_address).collect(),
            dead: self.dead.iter().map(|(p, gone)| (*p, *gone)).filter(says).collect(),
            edges: self.edges.iter().copied().collect(),
            members,
            heard: heard_lately.copied().collect(),
            multicast_heard: node.book.multicast_heard(node.now),
            reports: node.links.own_reports(node.me, node.now),
        };
        node.send_everywhere(&addresses, &Packet::Join(join));
    }

    /// Addresses of those who are not known to hear this node's multicast, or show nothing of what
    /// it said to them, or fell silent, so that their hosts can say that they are gone: a copy for
    /// each of all the others would keep a slow network from its work.
    fn not_reached_by_multicast(
        &self,
        node: &Node,
        ring: &Ring,
        members: &[NodeId],
    ) -> Vec<SocketAddr> {
        let me = node.me.node;
        let reached = |p: &Process| match self.heard.get(&p.node) {
            Some(heard) => {
                let knows = heard.heard.contains(&me) && heard.members == members;
                let speaks = node.now.since(heard.at) < node.config.timers.join_repeat * 3;
                heard.multicast_heard.contains(&me) && (self.news || knows) && speaks
            }
            None => self.joined_at.is_none() && ring.multicast && ring.has_member(*p),
        };
        let others = self.proposed().filter(|p| p.node != me);
        let missed = others.filter(|p| !node.config.multicast || !reached(p));
        missed.filter_map(|p| node.book.address(p)).collect()
    }
}
