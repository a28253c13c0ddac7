//! The ring is broken: its members agree on who is left of it (`agreement`), and with whom else
//! they are about to form a ring.

use super::agreement::{Agreement, Word};
use super::transitions::{At, Why};
use super::{Commit, History, Sender, State, gone_cause};
use crate::event::Cause;
use crate::id::Process;
use crate::node::Node;
use crate::output::Output;
use crate::time::Instant;
use crate::wire::{Gone, Join, Packet, Propose};

#[derive(Clone, Hash)]
pub(crate) struct Gather {
    pub(crate) history: History,
    agreement: Agreement,
}

impl Gather {
    /// Begins an attempt. Evidence about processes that are gone is in the history.
    pub(crate) fn enter(node: &mut Node, mut history: History, invited: &[Process]) -> State {
        node.out.stats.gathers += 1;
        let dead = core::mem::take(&mut history.dead);
        let mut agreement = Agreement::new(node, &history.ring, dead, invited, None);
        agreement.send_join(node, &history.ring);
        Box::new(Self { history, agreement }).check(node)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.agreement.deadline()
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, node: &Node) {
        self.agreement.blame_nobody(node);
    }

    pub(super) fn proposed(&self) -> impl Iterator<Item = Process> {
        self.agreement.proposed()
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
            Packet::Decline(decline) => {
                self.agreement.on_decline(node, &decline);
                self.check(node)
            }
            _ => {
                node.out.stats.dropped_stale += 1;
                State::Gather(self)
            }
        }
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, node: &mut Node) -> State {
        self.agreement.judge(node, &self.history.ring);
        self.agreement.speak(node, &self.history.ring);
        self.check(node)
    }

    pub(crate) fn on_gone(
        mut self: Box<Self>,
        node: &mut Node,
        process: Process,
        gone: Gone,
    ) -> State {
        self.agreement.on_gone(node, process, gone);
        self.check(node)
    }

    pub(crate) fn on_join(mut self: Box<Self>, node: &mut Node, join: Join) -> State {
        // A member that does not know yet that the ring is broken will hear of it from this node.
        if join.merging.is_some() && self.history.ring.has_member(join.process) {
            node.out.stats.dropped_stale += 1;
            return State::Gather(self);
        }
        if !self.agreement.considers(join.process) {
            node.decline(&join, true);
            return State::Gather(self);
        }
        match self.agreement.on_join(node, &self.history.ring, join) {
            Word::Superseded => superseded(node),
            Word::Taken => self.check(node),
        }
    }

    fn on_propose(mut self: Box<Self>, node: &mut Node, from: Sender, propose: &Propose) -> State {
        let call = (from.header.node, propose);
        if !self.agreement.fits(node, &self.history.ring, call) {
            return State::Gather(self);
        }
        node.moved(At::Commit, Why::Called, &self.history.cause);
        Commit::follow(node, self.into_history(), propose)
    }

    /// Do all agree? Then the representative leads.
    pub(super) fn check(self: Box<Self>, node: &mut Node) -> State {
        let Some(propose) = self.agreement.call(node, &self.history.ring) else {
            return State::Gather(self);
        };
        node.moved(At::Commit, Why::Agreed, &self.history.cause);
        Commit::lead(node, self.into_history(), propose)
    }

    fn into_history(self) -> History {
        History { dead: self.agreement.dead, ..self.history }
    }
}

fn superseded(node: &mut Node) -> State {
    let fault = format!(
        "a newer process with node id {} has taken this one's place in its ring: give each node \
         its own node.id, or stop the other one",
        node.me.node
    );
    node.moved(At::Stopped, Why::Superseded, &Cause::Superseded);
    node.trace_end(false);
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
