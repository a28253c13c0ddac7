//! The new ring turns, but carries only the past: packets of old rings that some member lacks, and
//! each old ring's group table. When every member holds everything, and has promised so, each
//! delivers what remains of its old ring and installs the new configuration in one step
//! (docs/PROTOCOL.md, recovery). Recovery packets are ordered like any others, and the token counts
//! down how many are still to come.

mod install;
mod work;

#[cfg(feature = "fuzzing")]
pub(crate) use work::fuzz;

use super::component::Component;
use super::gather::{Failure, retry};
use super::transitions::{At, Why};
use super::{History, Sender, State};
use crate::event::Cause;
use crate::id::Process;
use crate::node::Node;
use crate::planted::planted;
use crate::ring::Ring;
use crate::time::Instant;
use crate::wire::{Dialect, Join, MemberState, Packet, Plan, PlanAck, Propose, Token};
use work::Work;

#[derive(Clone, Hash)]
pub(crate) struct Recovery {
    pub(crate) history: History,
    /// The ring being formed.
    pub(crate) ring: Ring,
    components: Vec<Component>,
    /// Index of this node's component.
    mine: usize,
    work: Work,
    /// Attempts whose votes formed this ring.
    propose: Propose,
    give_up_at: Instant,
    /// The token with which all is there and has been passed on: what is left is to install.
    due: Option<Token>,
}

impl Recovery {
    pub(crate) fn enter(
        node: &mut Node,
        history: History,
        mut plan: Plan,
        propose: &Propose,
    ) -> State {
        if planted!("answer_not_kept") {
            let now = MemberState { ring: plan.ring, ..history.member_state(node) };
            let mine = plan.states.iter_mut().filter(|s| s.process == node.me);
            mine.for_each(|s| *s = now.clone());
        }
        let members: Vec<Process> = plan.states.iter().map(|s| s.process).collect();
        let components = Component::all(&plan);
        let mtu = plan.states.iter().map(|s| usize::from(s.mtu)).min();
        node.ring_mtu = mtu.unwrap_or(node.config.mtu);
        let window = plan.states.iter().map(|s| s.window).min();
        node.ring_window = window.unwrap_or(node.config.window).max(1);
        let me = members.iter().position(|p| *p == node.me);
        let mine = components.as_ref().and_then(|all| {
            all.iter()
                .position(|c| c.old_ring == history.ring.id && c.members.contains(&node.me.node))
        });
        let dialect = Dialect::common_of(plan.states.iter().map(|s| s.dialect));
        let dialect = dialect.filter(|common| *common == plan.dialect);
        let (Some(components), Some(me), Some(mine), Some(dialect)) =
            (components, me, mine, dialect)
        else {
            node.out.stats.dropped_malformed += 1;
            // Trying again would find the same, for ever.
            assert!(members.len() > 1, "what this node says of its own ring contradicts itself");
            return retry(node, history, Failure::of(Cause::Contradiction), &members);
        };
        node.moved(At::Recovery, Why::Planned, &history.cause);
        let mut ring = Ring::new(plan.ring, members, me, plan.multicast);
        ring.token_at = node.now;
        ring.speak(dialect);
        let mut work = Work::new(node.me.node, &components, mine);
        work.wrap(&history.ring);
        let give_up_at = node.now + node.config.timers.recovery;
        let propose = propose.clone();
        let mut recovery = Box::new(Self {
            history,
            ring,
            components,
            mine,
            work,
            propose,
            give_up_at,
            due: None,
        });
        if planted!("obligation_at_plan") {
            let obligation = recovery.components[mine].obligation.clone();
            recovery.history.obligation.extend(obligation);
        }
        recovery.promise_if_complete();
        State::Recovery(recovery)
    }

    /// The representative sets the token going.
    pub(crate) fn start(mut self: Box<Self>, node: &mut Node) -> State {
        let mut token = self.ring.first_token(node);
        token.unsent = self.components.iter().map(|c| c.to_send.len() as u64).sum();
        let tables = if self.components.len() > 1 { self.components.len() } else { 0 };
        token.tables_unsent = tables as u16;
        self.visit(node, token)
    }

    pub(crate) fn deadline(&self, node: &Node) -> Option<Instant> {
        let due = self.due.as_ref().map(|_| node.now);
        self.ring.deadline(node).into_iter().chain([self.give_up_at]).chain(due).min()
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, node: &Node) {
        self.ring.blame_nobody(node);
        self.give_up_at = node.now + node.config.timers.recovery;
    }

    pub(crate) fn abort(self: Box<Self>, node: &mut Node, failure: Failure) -> State {
        let members = self.ring.members.clone();
        retry(node, self.history, failure, &members)
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
                self.absorb(node);
                State::Recovery(self)
            }
            Packet::Token(token) => {
                if self.ring.accept(node, from.header.node, &token) {
                    return self.visit(node, token);
                }
                State::Recovery(self)
            }
            Packet::TokenAck { ring, token_sequence } if ring == self.ring.id => {
                self.ring.on_token_ack(token_sequence);
                State::Recovery(self)
            }
            Packet::Plan(plan) if plan.ring == self.ring.id => {
                let ack = PlanAck { ring: plan.ring, process: node.me };
                node.send(from.address, &Packet::PlanAck(ack));
                State::Recovery(self)
            }
            Packet::Join(join) if self.is_newer(&join) => {
                let mut failure = Failure::join(join);
                // Who lacks something gives up first: it makes no progress at all.
                if let Some(failing) = self.ring.is_failing(node) {
                    node.blame(failing);
                    failure.cause = Cause::FailedToReceive { node: failing };
                }
                self.abort(node, failure)
            }
            Packet::Join(join) if !self.ring.has_member(join.process) => {
                node.decline(&join, true);
                State::Recovery(self)
            }
            _ => {
                node.out.stats.dropped_stale += 1;
                State::Recovery(self)
            }
        }
    }

    /// A member of the forming ring has given up and gathers again. (One that agrees on a merge has
    /// installed it.)
    fn is_newer(&self, join: &Join) -> bool {
        let counted = self.propose.members.iter().find(|(p, _)| *p == join.process);
        join.merging.is_none() && counted.is_some_and(|(_, attempt)| join.attempt > *attempt)
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, node: &mut Node) -> State {
        self.ring.on_timeout(node);
        if self.ring.token_is_lost(node) {
            let after_ms = node.now.since(self.ring.token_at).as_millis() as u64;
            let suspect = self.ring.suspect();
            return self.abort(node, Failure::of(Cause::TokenLoss { after_ms, suspect }));
        }
        if self.give_up_at <= node.now {
            self.ring.held_back_by().into_iter().for_each(|by| node.blame(by));
            return self.abort(node, Failure::of(Cause::RecoveryTimeout));
        }
        State::Recovery(self)
    }

    fn visit(mut self: Box<Self>, node: &mut Node, mut token: Token) -> State {
        if self.work.wants_table() {
            let table = install::table_to_come(&self, node);
            let piece_len_max = node.content_len_max();
            self.work.set_table(&table, piece_len_max);
        }
        self.ring.send(node, &mut token, &mut self.work);
        self.ring.advance_aru();
        self.absorb(node);
        let (packets, tables) = self.work.take_sent();
        token.unsent = token.unsent.saturating_sub(packets);
        token.tables_unsent = token.tables_unsent.saturating_sub(tables);
        if planted!("install_before_all_sent") {
            token.unsent = 0;
        }
        if token.unsent == 0 && token.tables_unsent == 0 && token.last_recovery.is_none() {
            token.last_recovery = Some(self.ring.high);
        }
        self.ring.settle(node, &mut token);
        self.ring.store.drop_up_to(self.ring.safe_line.min(self.ring.delivered));
        let everybody_holds_all = !self.ring.is_alone()
            && self.ring.has_sent()
            && token.last_recovery.is_some_and(|last| self.ring.safe_line >= last)
            || planted!("install_in_one_visit");
        let complete = token.last_recovery.is_some_and(|last| self.ring.delivered >= last);
        if complete && (token.operational || everybody_holds_all || self.ring.is_alone()) {
            token.operational = true;
            if self.ring.is_alone() {
                return self.install(node, token);
            }
            // Thousands of groups take a while, and the others shall not wait for it, one after the
            // other: the token would be lost meanwhile. (If it turns out that this ring cannot be,
            // others have installed it, as those had whom the token visited before.)
            self.ring.pass(node, token.clone());
            self.due = Some(token);
            return State::Recovery(self);
        }
        self.ring.pass(node, token);
        self.ring.send_behind(node);
        State::Recovery(self)
    }

    pub(crate) fn is_about_to_install(&self) -> bool {
        self.due.is_some()
    }

    /// Installs what is due, before anything else is worked on.
    pub(crate) fn install_due(mut self: Box<Self>, node: &mut Node) -> State {
        match self.due.take() {
            Some(token) => self.install(node, token),
            None => State::Recovery(self),
        }
    }

    /// Takes recovery packets in, in order: old packets into the old ring's store, tables into the
    /// collection.
    fn absorb(&mut self, node: &Node) {
        let old = &mut self.history.ring;
        let mut progress = false;
        while let Some((ordinal, held)) = self.ring.next_deliverable()
            && held.recovery
        {
            self.work.take_in(old, self.mine, held);
            self.ring.delivered = ordinal;
            progress = true;
        }
        if progress {
            self.give_up_at = node.now + node.config.timers.recovery;
            old.advance_aru();
            self.ring.store.drop_up_to(self.ring.safe_line.min(self.ring.delivered));
            self.promise_if_complete();
        }
    }

    /// Once this node holds all that its component has to share, it says so by its aru, and must
    /// from then on deliver like those who may act on that: exactly here the obligation begins.
    fn promise_if_complete(&mut self) {
        let component = &self.components[self.mine];
        let old = &self.history.ring;
        if !self.work.is_complete() && component.to_send.iter().all(|(n, _)| old.store.has(*n)) {
            if !planted!("obligation_never") {
                self.history.obligation.extend(&component.obligation);
            }
            self.work.complete();
        }
    }
}
