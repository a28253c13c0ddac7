//! Forming the ring that was agreed on: the representative calls, every member answers with what it
//! holds, and gets everybody's answers back. From the moment it answers, a member takes nothing in
//! of its old ring: its answer must stay true. Replaces Totem's commit token by one round out and
//! back (docs/PROTOCOL.md, commit).

use std::collections::{BTreeMap, BTreeSet};

use super::gather::{Failure, retry};
use super::{History, Recovery, Sender, State};
use crate::event::{Cause, Event};
use crate::id::{NodeId, Process, RingId};
use crate::node::Node;
use crate::planted::planted;
use crate::time::Instant;
use crate::wire::{Dialect, Join, MemberState, Packet, Plan, PlanAck, Propose};

#[derive(Clone, Hash)]
pub(crate) struct Commit {
    pub(crate) history: History,
    propose: Propose,
    state: MemberState,
    role: Role,
    repeat_at: Instant,
    give_up_at: Instant,
}

#[derive(Clone, Hash)]
enum Role {
    Member,
    /// The representative.
    Leader {
        states: BTreeMap<NodeId, MemberState>,
        plan: Option<Plan>,
        acks: BTreeSet<NodeId>,
        /// How often members that have not answered said that they would rather form another ring.
        refusals: BTreeMap<NodeId, u32>,
    },
}

/// A member that refuses so often means it; less may be what it said before it agreed.
const REFUSALS: u32 = 3;

impl Commit {
    /// As the representative.
    pub(crate) fn lead(node: &mut Node, history: History, propose: Propose) -> State {
        let role = Role::Leader {
            states: BTreeMap::new(),
            plan: None,
            acks: BTreeSet::from([node.me.node]),
            refusals: BTreeMap::new(),
        };
        let commit = Self::new(node, history, propose, role);
        commit.repeat(node);
        let state = commit.state.clone();
        commit.on_state(node, state)
    }

    /// As a member: answers.
    pub(crate) fn follow(node: &mut Node, history: History, propose: &Propose) -> State {
        let commit = Self::new(node, history, propose.clone(), Role::Member);
        node.send_to(commit.leader(), &Packet::State(commit.state.clone()));
        State::Commit(commit)
    }

    fn new(node: &mut Node, history: History, propose: Propose, role: Role) -> Box<Self> {
        let mut state = history.member_state(node);
        state.ring = propose.ring;
        let others = propose.members.iter().map(|(p, _)| p).filter(|p| **p != node.me);
        state.mtu = node.paths.size(others, &node.config, node.now) as u16;
        Box::new(Self {
            history,
            propose,
            state,
            role,
            repeat_at: node.now + node.config.timers.join_repeat,
            give_up_at: node.now + node.config.timers.commit,
        })
    }

    fn ring(&self) -> RingId {
        self.propose.ring
    }

    fn leader(&self) -> Process {
        self.ring().representative
    }

    pub(crate) fn members(&self) -> Vec<Process> {
        self.propose.members.iter().map(|(p, _)| *p).collect()
    }

    pub(crate) fn has_member(&self, process: Process) -> bool {
        self.propose.members.iter().any(|(p, _)| *p == process)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.repeat_at.min(self.give_up_at)
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, node: &Node) {
        self.give_up_at = node.now + node.config.timers.commit;
    }

    pub(crate) fn abort(self: Box<Self>, node: &mut Node, failure: Failure) -> State {
        let members = self.members();
        retry(node, self.history, failure, &members)
    }

    pub(crate) fn on_packet(
        mut self: Box<Self>,
        node: &mut Node,
        from: Sender,
        packet: Packet,
    ) -> State {
        match packet {
            Packet::Data(data)
                if planted!("answer_not_kept") && data.ring == self.history.ring.id =>
            {
                self.history.ring.on_data(node, from.header.node, data);
                State::Commit(self)
            }
            Packet::Propose(propose) if propose == self.propose => {
                node.send(from.address, &Packet::State(self.state.clone()));
                State::Commit(self)
            }
            Packet::State(state) if state.ring == self.ring() => self.on_state(node, state),
            Packet::Plan(plan) if plan.ring == self.ring() => self.on_plan(node, plan),
            Packet::PlanAck(ack) if ack.ring == self.ring() => self.on_plan_ack(node, ack),
            Packet::Join(join) => {
                let counted = self.propose.members.iter().find(|(p, _)| *p == join.process);
                match counted {
                    Some((_, attempt)) if join.attempt > *attempt => {
                        self.abort(node, Failure::join(join))
                    }
                    Some(_) => self.on_refusal(node, join),
                    None => {
                        node.decline(&join, true);
                        State::Commit(self)
                    }
                }
            }
            _ => {
                node.out.stats.dropped_stale += 1;
                State::Commit(self)
            }
        }
    }

    /// A member would rather form another ring: it is asked again, and if it means it, there is no
    /// use in waiting for it, while it wonders why nobody speaks to it any more.
    fn on_refusal(mut self: Box<Self>, node: &mut Node, join: Join) -> State {
        let agrees = join.members.iter().eq(self.propose.members.iter().map(|(p, _)| &p.node));
        let Role::Leader { states, refusals, .. } = &mut self.role else {
            return State::Commit(self);
        };
        if agrees || states.contains_key(&join.process.node) {
            return State::Commit(self);
        }
        let refused = refusals.entry(join.process.node).or_default();
        *refused += 1;
        if *refused >= REFUSALS {
            return self.abort(node, Failure::join(join));
        }
        node.send_to(join.process, &Packet::Propose(self.propose.clone()));
        State::Commit(self)
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, node: &mut Node) -> State {
        if self.give_up_at <= node.now {
            return self.abort(node, Failure::of(Cause::CommitTimeout));
        }
        if self.repeat_at <= node.now {
            self.repeat_at = node.now + node.config.timers.join_repeat;
            self.repeat(node);
        }
        State::Commit(self)
    }

    /// Sends what those need who have not answered; the representative only.
    fn repeat(&self, node: &mut Node) {
        let Role::Leader { states, plan, acks, .. } = &self.role else { return };
        let (packet, done): (Packet, BTreeSet<NodeId>) = match plan {
            Some(plan) => (Packet::Plan(plan.clone()), acks.clone()),
            None => (Packet::Propose(self.propose.clone()), states.keys().copied().collect()),
        };
        let missing = self.propose.members.iter().map(|(p, _)| *p);
        let missing = missing.filter(|p| *p != node.me && !done.contains(&p.node));
        for member in missing.collect::<Vec<_>>() {
            node.send_to(member, &packet);
        }
    }

    fn on_state(mut self: Box<Self>, node: &mut Node, state: MemberState) -> State {
        let is_member = self.has_member(state.process);
        let count = self.propose.members.len();
        let Role::Leader { states, plan, .. } = &mut self.role else { return State::Commit(self) };
        if !is_member || plan.is_some() {
            node.out.stats.dropped_stale += u64::from(!is_member);
            return State::Commit(self);
        }
        states.insert(state.process.node, state);
        if states.len() < count {
            return State::Commit(self);
        }
        let states: Vec<_> = states.values().cloned().collect();
        let Some(dialect) = Dialect::common_of(states.iter().map(|s| s.dialect)) else {
            node.out.stats.dropped_malformed += 1;
            return self.abort(node, Failure::of(Cause::Contradiction));
        };
        let unheard = unheard_multicast(&states);
        if let (Some(unheard), true) = (unheard, node.config.multicast && count > 1) {
            node.out.event(Event::MulticastUnusable { node: unheard });
        }
        let multicast = node.config.multicast && unheard.is_none() && count > 1;
        *plan = Some(Plan { ring: self.propose.ring, dialect, multicast, states });
        self.repeat(node);
        self.start_if_all_have_the_plan(node)
    }

    fn on_plan(self: Box<Self>, node: &mut Node, plan: Plan) -> State {
        let ours = plan.states.iter().map(|s| s.process).eq(self.members());
        let Role::Member = self.role else {
            node.out.stats.dropped_stale += 1;
            return State::Commit(self);
        };
        if !ours || !plan.states.contains(&self.state) {
            node.out.stats.dropped_stale += 1;
            return State::Commit(self);
        }
        let ack = PlanAck { ring: plan.ring, process: node.me };
        let leader = self.leader();
        let state = Recovery::enter(node, self.history, plan, &self.propose);
        if let State::Recovery(_) = state {
            node.send_to(leader, &Packet::PlanAck(ack));
        }
        state
    }

    fn on_plan_ack(mut self: Box<Self>, node: &mut Node, ack: PlanAck) -> State {
        if !self.has_member(ack.process) {
            node.out.stats.dropped_stale += 1;
            return State::Commit(self);
        }
        if let Role::Leader { acks, plan: Some(_), .. } = &mut self.role {
            acks.insert(ack.process.node);
        }
        self.start_if_all_have_the_plan(node)
    }

    fn start_if_all_have_the_plan(mut self: Box<Self>, node: &mut Node) -> State {
        match &mut self.role {
            Role::Leader { plan: plan @ Some(_), acks, .. }
                if acks.len() == self.propose.members.len() || planted!("plan_not_awaited") =>
            {
                let plan = plan.take().unwrap_or_default();
                match Recovery::enter(node, self.history, plan, &self.propose) {
                    State::Recovery(recovery) => recovery.start(node),
                    other => other,
                }
            }
            _ => State::Commit(self),
        }
    }
}

/// A member whose multicast some other member does not hear.
fn unheard_multicast(states: &[MemberState]) -> Option<NodeId> {
    let nodes = states.iter().map(|s| s.process.node);
    nodes
        .into_iter()
        .find(|n| states.iter().any(|s| s.process.node != *n && !s.multicast_heard.contains(n)))
}
