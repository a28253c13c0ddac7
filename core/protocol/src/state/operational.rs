//! The ring turns: messages are ordered and delivered, other rings are looked for.

mod links;
mod merge;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use self::links::probe_paths;
use super::deliver::deliver_ready;
use super::transitions::{At, Why};
use super::unordered::{self, Seen};
use super::{Gather, History, Sender, State};
use crate::event::Cause;
use crate::id::Process;
use crate::node::Node;
use crate::output::Output;
use crate::ring::{Outgoing, Ring, Source};
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{Join, Packet, Token};

/// A clean leave does not wait longer than this for its last messages.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone, Hash)]
pub(crate) struct Operational {
    pub(crate) ring: Ring,
    since: Instant,
    beacon_at: Instant,
    merge_at: Option<Instant>,
    /// When the representative was last told of links.
    told_at: Option<Instant>,
    /// Packets without order that have come.
    seen: Seen,
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
        let me = node.me;
        let others: Vec<Process> = ring.members.iter().copied().filter(|p| *p != me).collect();
        node.paths.installed(&others, &node.config, node.now);
        let mut operational = Box::new(Self {
            ring,
            since: node.now,
            beacon_at: node.now,
            merge_at: None,
            told_at: None,
            seen: Seen::default(),
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
        self.ring.held_back_by(node).into_iter().for_each(|by| node.blame(by));
        node.moved(At::Gather, Why::of(&cause), &cause);
        History::new(node, self.ring, cause)
    }

    pub(crate) fn deadline(&self, node: &Node) -> Option<Instant> {
        let beacon = self.has_beacons_to_send(node).then_some(self.beacon_at);
        let leave = node.leaving.map(|since| since + LEAVE_WITHIN);
        let probes = [node.links.deadline(), node.paths.deadline()].into_iter().flatten().min();
        [self.ring.deadline(node), beacon, self.merge_at, leave, probes].into_iter().flatten().min()
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
            Packet::Unordered { ring, number, content } if ring == self.ring.id => {
                unordered::receive(node, &self.ring, &mut self.seen, from, (number, content));
                State::Operational(self)
            }
            Packet::Join(join) => self.on_join(node, join),
            Packet::Beacon(beacon) => self.on_beacon(node, from.address, &beacon),
            Packet::ProbeAnswer(answer) => self.on_probe_answer(node, &answer),
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
        self.probe_links(node);
        probe_paths(node);
        if node.leaving.is_some() {
            self.merge_at = None;
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
        // Who invites may know of links that are good again.
        node.learn_links(&join.reports);
        let proposed: Vec<Process> = join.proposed.iter().map(|(p, _)| *p).collect();
        let same_ring = self.ring.has_member(join.process);
        let late = join.ring_sequence_max < self.ring.id.sequence;
        let excludes_me = join.dead.iter().any(|(p, _)| *p == node.me);
        let invites_us = self.ring.members.iter().all(|m| proposed.contains(m));
        let invited = || invites_us && self.would_grow(node, &join);
        let understood = join.dialect.common(self.ring.dialect).is_some();
        let accept = !late && !excludes_me && (same_ring || understood && invited());
        if !accept || node.leaving.is_some() {
            node.out.stats.dropped_stale += 1;
            if !late && !same_ring {
                node.decline(&join, false);
            }
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
        node.moved(At::Stopped, Why::Leaving, &Cause::Shutdown);
        node.out.trace(|| Trace::Stopped);
        node.out.push(Output::Stopped { fault: None });
        State::Stopped
    }

    fn others(&self) -> impl Iterator<Item = &Process> {
        self.ring.members.iter().enumerate().filter(|(i, _)| *i != self.ring.me).map(|(_, p)| p)
    }
}
