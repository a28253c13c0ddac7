//! The ring turns: messages are ordered and delivered, other rings are looked for.

mod contract;
mod links;
mod merge;
mod merging;

use core::net::SocketAddr;
use std::collections::{BTreeSet, VecDeque};

use self::links::probe_paths;
use self::merging::Merging;
use super::deliver::deliver_ready;
use super::hold;
use super::transitions::{At, Why};
use super::unordered::{self, Seen};
use super::{Gather, History, Sender, State};
use crate::event::Cause;
use crate::id::{NodeId, Process};
use crate::limits::LEAVE_WITHIN;
use crate::node::Node;
use crate::output::Output;
use crate::planted::planted;
use crate::ring::{Outgoing, Ring, Source};
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{Data, Join, Packet, Token};

#[derive(Clone, Hash)]
pub(crate) struct Operational {
    pub(crate) ring: Ring,
    since: Instant,
    beacon_at: Instant,
    merge_at: Option<Instant>,
    /// The merge that is being agreed on.
    merging: Option<Merging>,
    /// Merges that this node has not taken part in to the end, by who had invited and in which
    /// attempt: what others still say of them does not begin them anew.
    given_up: VecDeque<(Process, u64)>,
    /// When the representative was last told of links.
    told_at: Option<Instant>,
    /// Packets without order that have come.
    seen: Seen,
    /// Rings, by representative, of which it was told already why they are not merged with.
    refused: BTreeSet<Process>,
    /// Those of which it was told that a merge with them waits.
    held_back: BTreeSet<Process>,
    /// It was told already that those invited do not agree.
    disagreement_told: bool,
}

/// Messages of local sessions, packed.
struct Messages;

impl Source for Messages {
    fn next(&mut self, node: &mut Node) -> Option<Outgoing> {
        let content_len_max = node.content_len_max();
        let packed = node.queue.pack(content_len_max, &mut node.arena)?;
        Some(Outgoing { content: packed.content, safe: packed.safe, recovery: false })
    }

    fn backlog(&self, node: &Node) -> u32 {
        node.queue.backlog_packets(node.content_len_max())
    }
}

impl Operational {
    /// Starts with a new ring, of which the token has been passed on.
    pub(crate) fn enter(node: &mut Node, mut ring: Ring) -> State {
        ring.token_at = node.now;
        if !ring.is_alone() {
            ring.overdue_after_a_round(node);
        }
        node.candidates.installed(&ring.members, node.now);
        node.book.installed(&ring.members);
        let me = node.me;
        let others: Vec<Process> = ring.members.iter().copied().filter(|p| *p != me).collect();
        node.paths.installed(&others, &node.config, node.now);
        if let Some(keeper) = &mut node.contract {
            keeper.installed(ring.id, &ring.members, node.now);
        }
        let mut operational = Box::new(Self {
            ring,
            since: node.now,
            beacon_at: node.now,
            merge_at: None,
            merging: None,
            given_up: VecDeque::new(),
            told_at: None,
            seen: Seen::default(),
            refused: BTreeSet::new(),
            held_back: BTreeSet::new(),
            disagreement_told: false,
        });
        deliver_ready(node, &mut operational.ring);
        operational.on_work(node)
    }

    /// Leaves the ring, for a cause.
    pub(crate) fn leave(mut self: Box<Self>, node: &mut Node, cause: Cause) -> History {
        self.give_up(node);
        node.moved(At::Gather, Why::of(&cause), &cause);
        History::new(node, self.ring, cause)
    }

    pub(crate) fn deadline(&self, node: &Node) -> Option<Instant> {
        let beacon = self.has_beacons_to_send(node).then_some(self.beacon_at);
        let leave = node.leaving.map(|since| since + LEAVE_WITHIN);
        let probes = [node.links.deadline(), node.paths.deadline()].into_iter().flatten().min();
        let merging = self.merging.as_ref().map(Merging::deadline);
        let contract = node.contract.as_ref().and_then(|keeper| keeper.deadline());
        let all =
            [self.ring.deadline(node), beacon, self.merge_at, merging, leave, probes, contract];
        all.into_iter().flatten().min()
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, node: &mut Node) {
        self.ring.blame_nobody(node);
        if let Some(keeper) = &mut node.contract {
            keeper.blame_nobody(node.now);
        }
        if let Some(merging) = &mut self.merging {
            merging.agreement.blame_nobody(node);
        }
    }

    pub(crate) fn on_data(mut self: Box<Self>, node: &mut Node, from: Sender, data: Data) -> State {
        if data.ring != self.ring.id {
            node.out.stats.dropped_stale += 1;
            return State::Operational(self);
        }
        self.ring.on_data(node, from.header.node, data);
        deliver_ready(node, &mut self.ring);
        self.use_token(node, false)
    }

    pub(crate) fn on_packet(
        mut self: Box<Self>,
        node: &mut Node,
        from: Sender,
        packet: Packet,
    ) -> State {
        match packet {
            Packet::Data(data) => self.on_data(node, from, data),
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
                if let Some(token) = self.ring.on_wake(node) {
                    self.visit(node, token, Some(from.header.node));
                }
                self.finish_leaving(node)
            }
            Packet::Unordered { ring, number, content } if ring == self.ring.id => {
                unordered::receive(node, &self.ring, &mut self.seen, from, (number, content));
                State::Operational(self)
            }
            Packet::Gauge { ring, token_sequence, number } if ring == self.ring.id => {
                self.on_gauge(node, from, (token_sequence, number));
                State::Operational(self)
            }
            Packet::Gauged { ring, number, has_come } if ring == self.ring.id => {
                self.on_gauged(node, from.header.node, (number, has_come));
                State::Operational(self)
            }
            Packet::NotAdmitted { process, breach } => {
                self.on_not_admitted(node, process, breach);
                State::Operational(self)
            }
            Packet::Hold { ring, for_ms, groups } if ring == self.ring.id => {
                hold::receive(node, &self.ring, from, (for_ms, groups));
                State::Operational(self)
            }
            Packet::Join(join) => self.on_join(node, join),
            Packet::Propose(propose) => self.on_propose(node, from, &propose),
            Packet::Decline(decline) => self.on_decline(node, &decline),
            Packet::Beacon(beacon) => self.on_beacon(node, from.address, &beacon),
            Packet::ProbeAnswer(answer) => self.on_probe_answer(node, &answer),
            _ => {
                node.out.stats.dropped_stale += 1;
                State::Operational(self)
            }
        }
    }

    pub(crate) fn on_timeout(self: Box<Self>, node: &mut Node) -> State {
        match self.finish_demotion(node) {
            Ok(operational) => operational.on_timeout_in_ring(node),
            Err(state) => state,
        }
    }

    fn on_timeout_in_ring(mut self: Box<Self>, node: &mut Node) -> State {
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
        self.probe_links(node);
        probe_paths(node);
        let says = self.keep_contract(node);
        if node.leaving.is_some() {
            self.merge_at = None;
            self.give_up(node);
        }
        let state = if self.merge_at.is_some_and(|at| at <= node.now) {
            self.merge(node)
        } else {
            self.on_merging_timeout(node)
        };
        let state = match state {
            State::Operational(s) => s.use_token(node, false),
            other => other,
        };
        match state {
            State::Operational(s) if says => s.on_work(node),
            other => other,
        }
    }

    /// The transport has nothing more to read at the moment.
    pub(crate) fn on_drained(self: Box<Self>, node: &mut Node) -> State {
        self.use_token(node, true)
    }

    /// Uses a token that has arrived, if it is time.
    fn use_token(mut self: Box<Self>, node: &mut Node, drained: bool) -> State {
        if let Some(token) = self.ring.take_token(node, drained) {
            self.visit(node, token, None);
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
            match self.ring.unpark(node) {
                Some(mut token) => {
                    token.idle_hops = 0;
                    self.visit(node, token, None);
                }
                None => self.ring.want_token(node),
            }
        }
        self.finish_leaving(node)
    }

    /// A visit of the token. `woken_by`: it rested here, and goes to that member.
    fn visit(&mut self, node: &mut Node, mut token: Token, woken_by: Option<NodeId>) {
        let (ring, token_sequence) = (self.ring.id, token.token_sequence);
        node.out.trace(|| Trace::TokenVisit { ring, token_sequence });
        token.operational = true;
        self.ring.send(node, &mut token, &mut Messages);
        self.ring.settle(node, &mut token);
        self.read_token(node, &token);
        if let Some(token) = self.ring.park(node, token) {
            match woken_by {
                // Nothing was ordered now: whom it passes over does not lack anything.
                Some(member) if token.idle_hops > 0 => self.ring.hand_over(node, token, member),
                _ => self.ring.pass(node, token),
            }
            self.gauge_hold(node);
        }
        self.ring.send_behind(node);
        deliver_ready(node, &mut self.ring);
    }

    fn on_join(self: Box<Self>, node: &mut Node, join: Join) -> State {
        // Who invites may know of links that are good again.
        node.learn_links(&join.reports);
        let same_ring = self.ring.has_member(join.process);
        if self.is_told_of_own_demotion(node, &join) {
            return State::Operational(self);
        }
        let late = join.ring_sequence_max < self.ring.id.sequence;
        let excludes_me = join.dead.iter().any(|(p, _)| *p == node.me);
        if late || excludes_me || node.leaving.is_some() {
            node.out.stats.dropped_stale += 1;
            if join.merging.is_some() || !same_ring {
                node.decline(&join, false);
            }
            return State::Operational(self);
        }
        if !same_ring || join.merging.is_some() {
            return self.on_invitation(node, join);
        }
        let cause = match self.ring.is_failing(node) {
            Some(failing) => {
                node.blame(failing);
                Cause::FailedToReceive { node: failing }
            }
            None => Cause::JoinFrom { node: join.process.node },
        };
        let history = self.leave(node, cause);
        match Gather::enter(node, history, &[]) {
            State::Gather(gather) => gather.on_join(node, join),
            other => other,
        }
    }

    /// Those with whom a ring is shared or being formed.
    pub(crate) fn processes(&self) -> impl Iterator<Item = Process> {
        let merging = self.merging.iter().flat_map(|m| m.agreement.proposed());
        self.ring.members.iter().copied().chain(merging)
    }

    /// Messages accepted before leaving are delivered everywhere first (axiom LV); then it says
    /// goodbye.
    fn finish_leaving(self: Box<Self>, node: &mut Node) -> State {
        let Some(since) = node.leaving else { return State::Operational(self) };
        let settled = node.queue.is_empty() && self.ring.safe_line >= self.ring.high;
        let done = settled || planted!("leave_at_once");
        if !done && node.now.since(since) < LEAVE_WITHIN {
            return State::Operational(self);
        }
        let addresses: Vec<SocketAddr> =
            self.others().filter_map(|p| node.book.address(*p)).collect();
        let bye = Packet::Bye { process: node.me };
        (0..3).for_each(|_| node.send_everywhere(&addresses, &bye));
        node.moved(At::Stopped, Why::Leaving, &Cause::Shutdown);
        node.trace_end(true);
        node.lose_tagged();
        node.out.push(Output::Stopped { fault: None });
        State::Stopped
    }

    fn others(&self) -> impl Iterator<Item = &Process> {
        self.ring.members.iter().enumerate().filter(|(i, _)| *i != self.ring.me).map(|(_, p)| p)
    }
}
