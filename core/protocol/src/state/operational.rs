//! The ring turns: messages are ordered and delivered, other rings are looked for.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use super::clique::{Edges, blamed_edges, clique_of, edge};
use super::deliver::deliver_ready;
use super::{Gather, History, Sender, State};
use crate::event::{Cause, Event};
use crate::id::{NodeId, Process};
use crate::limits;
use crate::node::Node;
use crate::output::Output;
use crate::ring::{Outgoing, Ring, Source};
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{Beacon, Gone, Join, Packet, Token};

/// After a change of configuration, beacons are sent more often for this long.
const EAGER_FOR: Duration = Duration::from_secs(5);
/// Rings that start at the same time find each other within this: they become one ring in one
/// change.
const COLLECT_FOR: Duration = Duration::from_millis(40);
/// Who is not the smallest ring waits this long, per smaller one, for it to start the merge.
const RANK_DELAY: Duration = Duration::from_millis(100);
/// Addresses of absent nodes that get a beacon by unicast.
const ABSENT_MAX: usize = 64;
/// A clean leave does not wait longer than this for its last messages.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Operational {
    pub(crate) ring: Ring,
    since: Instant,
    beacon_at: Instant,
    merge_at: Option<Instant>,
    /// Refusals that were told already.
    refused: BTreeSet<Process>,
}

/// Messages of local sessions, packed.
struct Messages;

impl Source for Messages {
    fn next(&mut self, node: &mut Node) -> Option<Outgoing> {
        let content_len_max = node.content_len_max();
        let packed = node.queue.pack(content_len_max, &mut node.arena)?;
        Some(Outgoing {
            content: packed.content,
            safe: packed.safe,
            recovery: false,
            completed: packed.completed,
        })
    }

    fn backlog(&self, node: &Node) -> u32 {
        node.queue.backlog_packets(node.content_len_max())
    }
}

impl Operational {
    /// Starts with a new ring, holding its token if this node was the one to install it first.
    pub(crate) fn enter(node: &mut Node, mut ring: Ring, token: Option<Token>) -> State {
        ring.token_at = node.now;
        if !ring.is_alone() {
            ring.overdue_after_a_round(node);
        }
        node.candidates.installed(&ring.members, node.now);
        let mut operational = Box::new(Self {
            ring,
            since: node.now,
            beacon_at: node.now,
            merge_at: None,
            refused: BTreeSet::new(),
        });
        if let Some(token) = token {
            operational.ring.pass(node, token);
        }
        deliver_ready(node, &mut operational.ring);
        operational.on_work(node)
    }

    /// Leaves the ring, for a cause.
    pub(crate) fn leave(self: Box<Self>, node: &mut Node, cause: Cause) -> History {
        node.moved("operational", "gather", &cause);
        History::new(node, self.ring, cause)
    }

    pub(crate) fn deadline(&self, node: &Node) -> Option<Instant> {
        let beacon = self.has_beacons_to_send(node).then_some(self.beacon_at);
        let leave = node.leaving.map(|since| since + LEAVE_WITHIN);
        [self.ring.deadline(node), beacon, self.merge_at, leave].into_iter().flatten().min()
    }

    pub(crate) fn on_packet(
        mut self: Box<Self>,
        node: &mut Node,
        from: Sender,
        packet: Packet,
    ) -> State {
        match packet {
            Packet::Data(data) if data.ring == self.ring.id => {
                self.ring.on_data(node, from.header.node, data);
                deliver_ready(node, &mut self.ring);
                self.use_token(node, false)
            }
            Packet::Token(token) => {
                if self.ring.accept(node, from.header.node, &token) {
                    self.ring.keep(node, token);
                    return self.use_token(node, false);
                }
                State::Operational(self)
            }
            Packet::TokenAck { ring, token_sequence } if ring == self.ring.id => {
                self.ring.on_token_ack(token_sequence);
                State::Operational(self)
            }
            Packet::Wake { ring } if ring == self.ring.id => {
                if let Some(token) = self.ring.on_wake() {
                    self.visit(node, token);
                }
                self.finish_leaving(node)
            }
            Packet::Join(join) => self.on_join(node, join),
            Packet::Beacon(beacon) => self.on_beacon(node, from.address, &beacon),
            _ => {
                node.out.stats.dropped_stale += 1;
                State::Operational(self)
            }
        }
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, node: &mut Node) -> State {
        self.ring.on_timeout(node);
        if self.ring.token_is_lost(node) {
            let after_ms = node.now.since(self.ring.token_at).as_millis() as u64;
            let cause = Cause::TokenLoss { after_ms, suspect: self.ring.suspect() };
            let history = self.leave(node, cause);
            return Gather::enter(node, history, &[]);
        }
        if self.has_beacons_to_send(node) && self.beacon_at <= node.now {
            self.send_beacons(node);
        }
        if self.merge_at.is_some_and(|at| at <= node.now) {
            return self.merge(node);
        }
        self.use_token(node, false)
    }

    /// The transport has nothing more to read at the moment.
    pub(crate) fn on_drained(self: Box<Self>, node: &mut Node) -> State {
        self.use_token(node, true)
    }

    /// Uses a token that has arrived, if it is time.
    fn use_token(mut self: Box<Self>, node: &mut Node, drained: bool) -> State {
        if let Some(token) = self.ring.take_token(node, drained) {
            self.visit(node, token);
            if let Some(stalled) = self.ring.failed_to_receive(node) {
                node.blame(stalled);
                let history = self.leave(node, Cause::FailedToReceive { node: stalled });
                return Gather::enter(node, history, &[]);
            }
        }
        self.finish_leaving(node)
    }

    pub(crate) fn on_work(mut self: Box<Self>, node: &mut Node) -> State {
        if self.ring.is_alone() {
            while self.ring.send_alone(node, &mut Messages) {
                deliver_ready(node, &mut self.ring);
            }
        } else if !node.queue.is_empty() {
            match self.ring.unpark() {
                Some(mut token) => {
                    token.idle_hops = 0;
                    self.visit(node, token);
                }
                None => self.ring.want_token(node),
            }
        }
        self.finish_leaving(node)
    }

    fn visit(&mut self, node: &mut Node, mut token: Token) {
        let (ring, token_sequence) = (self.ring.id, token.token_sequence);
        node.out.trace(|| Trace::TokenVisit { ring, token_sequence });
        token.operational = true;
        self.ring.send(node, &mut token, &mut Messages);
        self.ring.settle(node, &mut token);
        if let Some(token) = self.ring.park(node, token) {
            self.ring.pass(node, token);
        }
        self.ring.send_behind(node);
        deliver_ready(node, &mut self.ring);
    }

    fn on_join(self: Box<Self>, node: &mut Node, join: Join) -> State {
        let proposed: Vec<Process> = join.proposed.iter().map(|(p, _)| *p).collect();
        let same_ring = self.ring.has_member(join.process);
        let late = join.ring_sequence_max < self.ring.id.sequence;
        let excludes_me = join.dead.iter().any(|(p, _)| *p == node.me);
        let invites_us = self.ring.members.iter().all(|m| proposed.contains(m));
        let invited = || invites_us && self.would_grow(node, &join);
        let accept = !late && !excludes_me && (same_ring || invited());
        if !accept || node.leaving.is_some() {
            node.out.stats.dropped_stale += 1;
            return State::Operational(self);
        }
        let from = join.process.node;
        let cause =
            if same_ring { Cause::JoinFrom { node: from } } else { Cause::Merge { node: from } };
        let history = self.leave(node, cause);
        match Gather::enter(node, history, &proposed) {
            State::Gather(gather) => gather.on_join(node, join),
            other => other,
        }
    }

    /// An invitation is worth a change only if the ring that comes of it, as far as can be told
    /// from it, is larger than this one.
    fn would_grow(&self, node: &Node, join: &Join) -> bool {
        let gone = |p: &Process| join.dead.iter().any(|(dead, _)| dead == p);
        let proposed = join.proposed.iter().map(|(p, _)| p).filter(|p| !gone(p));
        let nodes: BTreeSet<NodeId> = proposed.map(|p| p.node).collect();
        let mut edges: Edges = join.edges.iter().map(|(a, b)| edge(*a, *b)).collect();
        edges.extend(blamed_edges(node, &nodes));
        clique_of(node.me.node, &nodes, &edges).len() > self.ring.members.len()
    }

    /// Messages accepted before leaving are delivered everywhere first; then it says goodbye.
    fn finish_leaving(self: Box<Self>, node: &mut Node) -> State {
        let Some(since) = node.leaving else { return State::Operational(self) };
        let done = node.queue.is_empty() && self.ring.safe_line >= self.ring.high;
        if !done && node.now.since(since) < LEAVE_WITHIN {
            return State::Operational(self);
        }
        let addresses: Vec<SocketAddr> =
            self.others().filter_map(|p| node.book.address(*p)).collect();
        let bye = Packet::Bye { process: node.me };
        (0..3).for_each(|_| node.send_everywhere(&addresses, &bye));
        node.out.trace(|| Trace::Stopped);
        node.out.push(Output::Stopped { fault: None });
        State::Stopped
    }

    fn others(&self) -> impl Iterator<Item = &Process> {
        self.ring.members.iter().enumerate().filter(|(i, _)| *i != self.ring.me).map(|(_, p)| p)
    }
}

/// Finding other rings.
impl Operational {
    /// The representative looks for other rings; the others only for the peers that they alone may
    /// know of.
    fn has_beacons_to_send(&self, node: &Node) -> bool {
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
            probation: false,
            ring: self.ring.id,
            members: self.ring.members.clone(),
            representative: node.book.address(self.ring.members[0]),
            heard: node.candidates.processes(node.now, self.fresh(node)),
        })
    }

    fn send_beacons(&mut self, node: &mut Node) {
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

    fn on_beacon(
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
    fn merge(mut self: Box<Self>, node: &mut Node) -> State {
        self.merge_at = None;
        let mut proposed = self.ring.members.clone();
        let mut invited = Vec::new();
        let mut refused = Vec::new();
        for candidate in node.candidates.ready(node.now, self.fresh(node)) {
            let clash = |m: &Process| proposed.iter().any(|p| p.node == m.node);
            if candidate.members.iter().any(clash) {
                refused.push((candidate.process, "a node id is in both rings"));
            } else if candidate.members.iter().any(|m| node.is_blamed(m.node)) {
                refused.push((candidate.process, "it has a member that could not keep up lately"));
            } else if proposed.len() + candidate.members.len() > limits::MEMBERS_MAX {
                refused.push((candidate.process, "together they would have too many members"));
            } else {
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
}
