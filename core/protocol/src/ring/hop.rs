//! Passing the token on. A hop needs no acknowledgement while the ring turns: anything newer proves
//! that the token arrived. Only silence makes the sender repeat it, and only a repeated token is
//! acknowledged. A token that is received twice is never passed on twice: that would set a second
//! token going round. A lost token is missed and made anew, so it comes round (axiom L2).

use core::time::Duration;

use super::Ring;
use crate::contract::Question;
use crate::id::{NodeId, Process};
use crate::limits;
use crate::node::Node;
use crate::planted::planted;
use crate::time::Instant;
use crate::wire::{Packet, Request, Token};

/// Where the token is, as far as this member knows.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Hop {
    /// Somewhere else.
    Elsewhere,
    /// Sent on, and nothing was heard of it since.
    Unconfirmed {
        /// To whom: a member's index.
        to: usize,
        /// When to send it again.
        repeat_at: Instant,
        /// How often it was sent again.
        repeats: u32,
    },
    /// Here, because nobody has anything to send.
    Parked {
        /// The token, as it will go on.
        token: Box<Token>,
        /// When it goes on its round, at the latest.
        until: Instant,
    },
}

/// This node has something to send and has asked for the token, which is parked elsewhere.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Wake {
    /// When to ask again.
    again_at: Instant,
    /// How often it was asked for again.
    repeats: u32,
}

impl Hop {
    pub(super) fn confirmed(&mut self) {
        if let Self::Unconfirmed { .. } = self {
            *self = Self::Elsewhere;
        }
    }
}

impl Ring {
    /// Takes a token if it is a new one for this member.
    pub(crate) fn accept(&mut self, node: &mut Node, from: NodeId, token: &Token) -> bool {
        let other_ring = token.ring != self.id && !planted!("token_of_any_ring");
        let on_its_way = from == self.predecessor().node;
        let handed = token.handed && self.members.iter().any(|p| p.node == from);
        if other_ring || !(on_its_way || handed) {
            node.out.stats.dropped_stale += 1;
            return false;
        }
        if !self.is_plausible(token) {
            node.out.stats.dropped_malformed += 1;
            return false;
        }
        let twice = planted!("token_accepted_twice") && token.token_sequence == self.accepted;
        if token.token_sequence <= self.accepted && !twice {
            if token.token_sequence == self.accepted {
                let ack = Packet::TokenAck { ring: self.id, token_sequence: token.token_sequence };
                self.send_to_member(node, from, &ack);
            }
            node.out.stats.dropped_stale += 1;
            return false;
        }
        self.accepted = token.token_sequence;
        self.away = node.now.since(self.token_at);
        self.token_at = node.now;
        self.wake = None;
        self.overdue_after_a_round(node);
        self.hop.confirmed();
        node.out.stats.tokens_received += 1;
        self.tell_who_gauges(node);
        true
    }

    /// Whoever has asked when the token comes here is told.
    fn tell_who_gauges(&mut self, node: &mut Node) {
        if let Some(question) = self.asked.come(self.accepted) {
            self.answer(node, question, true);
        }
    }

    fn answer(&self, node: &mut Node, question: Question, has_come: bool) {
        let Question { to, number, .. } = question;
        node.send_to(to, &Packet::Gauged { ring: self.id, number, has_come });
    }

    /// A member (`question.to`) wants to know when a token has come here, and whether it is still
    /// awaited.
    pub(crate) fn tell_when_come(&mut self, node: &mut Node, question: Question) {
        match self.asked.ask(question, self.accepted, self.members.len()) {
            Some(has_come) => self.answer(node, question, has_come),
            None => node.out.stats.dropped_malformed += 1,
        }
    }

    /// Who has the token that was just passed on and who gets it next, and its number there, if it
    /// goes on at once.
    pub(crate) fn next_hop(&self) -> Option<((Process, Process), u64)> {
        let token = self.last_sent.as_ref().filter(|t| t.idle_hops == 0 && !t.handed)?;
        let count = self.members.len();
        let hop = |hops| self.members[(self.me + hops) % count];
        (count > 2).then(|| ((hop(1), hop(2)), token.token_sequence + 1))
    }

    pub(crate) fn overdue_after_a_round(&mut self, node: &Node) {
        let timers = &node.config.timers;
        self.probe_at = Some(node.now + timers.idle_rotate + 2 * timers.token_repeat);
    }

    /// Flow control bounds what a token can say; a token outside of that would only make this node
    /// work for nothing.
    fn is_plausible(&self, token: &Token) -> bool {
        let ahead = limits::GAP_MAX + u64::from(limits::WINDOW_MAX);
        let asked: u64 = token.requests.iter().map(|r| u64::from(r.count)).sum();
        let last = |r: &Request| r.first.saturating_add(u64::from(r.count)) - 1;
        token.seq <= self.aru + ahead
            && token.token_sequence < u64::MAX / 2
            && asked <= ahead
            && token.window <= limits::WINDOW_MAX
            && token.requests.iter().all(|r| r.count > 0 && last(r) <= token.seq)
    }

    pub(crate) fn on_token_ack(&mut self, token_sequence: u64) {
        if self.last_sent.as_ref().is_some_and(|t| t.token_sequence <= token_sequence) {
            self.hop.confirmed();
        }
    }

    /// Sends the token to the successor.
    pub(crate) fn pass(&mut self, node: &mut Node, token: Token) {
        self.pass_to(node, token, (self.me + 1) % self.members.len());
    }

    /// Hands a token that rested here to the member that woke it. Whoever is passed over is as far
    /// as everybody: a token rests only when all have left with it that they have all there is.
    pub(crate) fn hand_over(&mut self, node: &mut Node, mut token: Token, to: NodeId) {
        // It rests again only when it has visited all, and none of what it gathers is of all.
        (token.idle_hops, token.mtu_gathering) = (0, 0);
        match self.members.iter().position(|p| p.node == to) {
            Some(to) if to != self.me => self.pass_to(node, token, to),
            _ => self.pass(node, token),
        }
    }

    fn pass_to(&mut self, node: &mut Node, mut token: Token, to: usize) {
        token.token_sequence += 1;
        token.handed = self.members[to] != self.successor();
        if self.is_representative() {
            token.rotation = token.rotation.wrapping_add(1);
            node.out.stats.rotations += 1;
        }
        self.wake_wanted = false;
        self.last_sent = Some(token);
        self.send_token(node, to);
        let repeat_at = node.now + self.repeat_after(node, 0);
        self.hop = Hop::Unconfirmed { to, repeat_at, repeats: 0 };
    }

    fn repeat_after(&self, node: &Node, repeats: u32) -> Duration {
        self.rotations.repeat_after(node.config.timers.token_repeat, repeats)
    }

    fn send_token(&self, node: &mut Node, to: usize) {
        if let Some(token) = &self.last_sent {
            node.send_to(self.members[to], &Packet::Token(token.clone()));
        }
    }

    fn send_to_member(&self, node: &mut Node, to: NodeId, packet: &Packet) {
        if let Some(process) = self.members.iter().find(|p| p.node == to) {
            node.send_to(*process, packet);
        }
    }

    /// Keeps the token if the ring is idle and it is this member's to keep; else gives it back.
    pub(crate) fn park(&mut self, node: &Node, token: Token) -> Option<Token> {
        // All have seen it twice since the last packet, also who has sent that.
        let idle = token.idle_hops as usize > self.members.len();
        if !idle || self.wake_wanted || self.keeper(&token) != self.me {
            return Some(token);
        }
        let until = node.now + node.config.timers.idle_rotate;
        // The round that the token makes after parking is no news: it may park here again after it.
        self.hop = Hop::Parked { token: Box::new(token), until };
        None
    }

    /// The member that keeps an idle ring's token. All know it: the token has gone round since.
    fn keeper(&self, token: &Token) -> usize {
        self.members.iter().position(|p| Some(p.node) == token.keeper).unwrap_or(0)
    }

    /// The parked token, to go on: the next rotation begins.
    pub(crate) fn unpark(&mut self, node: &Node) -> Option<Token> {
        match core::mem::replace(&mut self.hop, Hop::Elsewhere) {
            Hop::Parked { token, .. } => {
                self.token_at = node.now;
                Some(*token)
            }
            other => {
                self.hop = other;
                None
            }
        }
    }

    /// A member has something to send.
    pub(crate) fn on_wake(&mut self, node: &Node) -> Option<Token> {
        self.wake_wanted = true;
        let mut token = self.unpark(node)?;
        token.idle_hops = 0;
        Some(token)
    }

    /// This node has something to send: asks for the token if it may be parked elsewhere.
    pub(crate) fn want_token(&mut self, node: &mut Node) {
        let resting = self.last_sent.as_ref().is_some_and(|t| t.idle_hops > 0);
        let here = self.arrived.is_some() || matches!(self.hop, Hop::Parked { .. });
        if resting && self.wake.is_none() && !here {
            self.send_wake(node, 0);
        }
    }

    fn send_wake(&mut self, node: &mut Node, repeats: u32) {
        self.wake = Some(Wake { again_at: node.now + self.repeat_after(node, repeats), repeats });
        let keeper = self.last_sent.as_ref().map_or(self.me, |token| self.keeper(token));
        if keeper != self.me {
            node.send_to(self.members[keeper], &Packet::Wake { ring: self.id });
        }
    }

    /// What is due by now: a token to be sent again, a wake-up to be repeated, a parked token's
    /// round.
    pub(crate) fn on_timeout(&mut self, node: &mut Node) {
        if let Some(wake) = self.wake.take_if(|wake| wake.again_at <= node.now)
            && !node.queue.is_empty()
        {
            self.send_wake(node, wake.repeats + 1);
        }
        if self.probe_at.is_some_and(|at| at <= node.now) {
            self.probe_at = None;
            if !matches!(self.hop, Hop::Parked { .. }) {
                node.send_to(self.predecessor(), &Packet::Wake { ring: self.id });
            }
        }
        match self.hop {
            Hop::Unconfirmed { to, repeat_at, repeats } if repeat_at <= node.now => {
                let repeats = repeats + 1;
                let repeat_at = node.now + self.repeat_after(node, repeats);
                self.hop = Hop::Unconfirmed { to, repeat_at, repeats };
                node.out.stats.tokens_repeated += 1;
                self.send_token(node, to);
            }
            Hop::Parked { until, .. } if until <= node.now => {
                if let Some(token) = self.unpark(node) {
                    self.pass(node, token);
                }
            }
            _ => {}
        }
    }

    /// When `on_timeout` or the loss of the token is due.
    pub(crate) fn deadline(&self, node: &Node) -> Option<Instant> {
        if self.is_alone() {
            return None;
        }
        let loss = self.loss_at(node);
        let hop = match &self.hop {
            Hop::Elsewhere => loss,
            Hop::Unconfirmed { repeat_at, .. } => (*repeat_at).min(loss),
            Hop::Parked { until, .. } => *until,
        };
        let wake = self.wake.map(|wake| wake.again_at);
        [Some(hop), wake, self.probe_at, self.token_due_at()].into_iter().flatten().min()
    }

    fn loss_at(&self, node: &Node) -> Instant {
        self.token_at + node.config.timers.token_loss
    }

    /// The token has been away for too long.
    pub(crate) fn token_is_lost(&self, node: &Node) -> bool {
        !self.is_alone()
            && !matches!(self.hop, Hop::Parked { .. })
            && self.loss_at(node) <= node.now
    }

    /// What was not heard up to now says nothing. A token that was lost has been sent again several
    /// times within half of the time that it takes to give it up.
    pub(crate) fn blame_nobody(&mut self, node: &Node) {
        self.token_at = self.token_at.max(node.now - node.config.timers.token_loss / 2);
        self.stall = None;
        self.overdue_after_a_round(node);
    }

    /// Whom the token was passed to, if nothing was heard of it since.
    pub(crate) fn suspect(&self) -> Option<NodeId> {
        match self.hop {
            Hop::Unconfirmed { to, .. } => Some(self.members[to].node),
            _ => None,
        }
    }
}
