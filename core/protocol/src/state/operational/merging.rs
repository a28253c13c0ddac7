//! A merge that is being agreed on while the ring still turns. The ring is left only when everybody
//! concerned has voted for the same, larger ring: until then a member that cannot be reached, or a
//! bad link that somebody did not know of, costs no change of configuration.

use std::collections::BTreeMap;

use super::Operational;
use crate::event::{Cause, Event};
use crate::id::{NodeId, Process};
use crate::node::Node;
use crate::state::agreement::{Agreement, Word};
use crate::state::transitions::{At, Why};
use crate::state::{Commit, History, Sender, State};
use crate::time::Instant;
use crate::wire::{Decline, Gone, Join, Packet, Propose};

/// After so many times of the time allowed for agreeing, it is given up.
const LASTS_MAX: u32 = 3;
/// Merges remembered that were given up.
const GIVEN_UP_MAX: usize = 64;

#[derive(Clone, Hash)]
pub(crate) struct Merging {
    pub(super) agreement: Agreement,
    /// This node has invited the others.
    inviting: bool,
}

/// What would come of a merge for this node's ring.
#[derive(PartialEq)]
enum Worth {
    /// A larger ring, with this node.
    AChange,
    /// One without this node, whose bad links are likely to stay. It is not for this node to keep
    /// the others from it.
    OthersGo,
    Nothing,
}

impl Merging {
    pub(super) fn deadline(&self) -> Instant {
        self.agreement.deadline()
    }

    /// A member of another ring.
    fn stranger(&self, ring: &[Process]) -> NodeId {
        let mut strangers = self.agreement.proposed().filter(|p| !ring.contains(p));
        strangers.next().unwrap_or_default().node
    }
}

impl Operational {
    /// Invites members of other rings to form one with this one's.
    pub(super) fn invite(mut self: Box<Self>, node: &mut Node, others: &[Process]) -> State {
        let merge = Some((node.me, node.attempts + 1));
        let agreement = Agreement::new(node, &self.ring, BTreeMap::new(), others, merge);
        let merging = self.merging.insert(Merging { agreement, inviting: true });
        merging.agreement.send_join(node, &self.ring);
        self.go_on_merging(node)
    }

    /// Somebody would form a ring with this one's members, or agrees about it.
    pub(super) fn on_invitation(mut self: Box<Self>, node: &mut Node, join: Join) -> State {
        let for_me = join.proposed.iter().any(|(p, _)| *p == node.me);
        let Some(merging) = &mut self.merging else {
            return if for_me { self.on_new_invitation(node, join) } else { ignore(self, node) };
        };
        if !merging.agreement.considers(join.process) {
            if for_me {
                node.decline(&join, true);
            }
            return ignore(self, node);
        }
        if !for_me {
            // It agrees with others now.
            self.give_up(node);
            return State::Operational(self);
        }
        match merging.agreement.on_join(node, &self.ring, join) {
            Word::Taken => self.go_on_merging(node),
            Word::Superseded => ignore(self, node),
        }
    }

    fn on_new_invitation(mut self: Box<Self>, node: &mut Node, join: Join) -> State {
        let proposed: Vec<Process> = join.proposed.iter().map(|(p, _)| *p).collect();
        let for_all = self.ring.members.iter().all(|m| proposed.contains(m));
        let understood = join.dialect.common(self.ring.dialect).is_some();
        let merge @ (inviter, attempt) = join.merging.unwrap_or((join.process, join.attempt));
        let again = self.given_up.iter().any(|(by, tried)| *by == inviter && attempt <= *tried);
        if !for_all || !understood || again {
            node.decline(&join, false);
            return ignore(self, node);
        }
        if let Some(later) = self.refuses(node, &proposed) {
            node.decline(&join, later);
            return ignore(self, node);
        }
        // Nobody is to leave his ring for one whose number this node cannot promise yet.
        node.storage.saw(join.ring_sequence_max);
        if !node.may_promise_next() {
            node.decline(&join, true);
            return ignore(self, node);
        }
        node.candidates.tried_with(join.process, node.now);
        let gone = BTreeMap::new();
        let mut agreement = Agreement::new(node, &self.ring, gone, &proposed, Some(merge));
        let refusal = join.clone();
        agreement.on_join(node, &self.ring, join);
        if self.worth(node, &agreement) == Worth::Nothing {
            self.refuse(merge);
            node.decline(&refusal, false);
            return ignore(self, node);
        }
        agreement.send_join(node, &self.ring);
        self.merging = Some(Merging { agreement, inviting: false });
        self.go_on_merging(node)
    }

    pub(super) fn on_decline(mut self: Box<Self>, node: &mut Node, decline: &Decline) -> State {
        match &mut self.merging {
            Some(merging) => merging.agreement.on_decline(node, decline),
            None => drop(node.learn_links(&decline.reports)),
        }
        self.go_on_merging(node)
    }

    /// One who was to merge with this ring is gone.
    pub(crate) fn on_stranger_gone(
        mut self: Box<Self>,
        node: &mut Node,
        process: Process,
        gone: Gone,
    ) -> State {
        if let Some(merging) = &mut self.merging {
            merging.agreement.on_gone(node, process, gone);
        }
        self.go_on_merging(node)
    }

    pub(super) fn on_propose(
        mut self: Box<Self>,
        node: &mut Node,
        from: Sender,
        propose: &Propose,
    ) -> State {
        let call = (from.header.node, propose);
        let Some(merging) = &mut self.merging else { return ignore(self, node) };
        let fits = merging.agreement.fits(node, &self.ring, call);
        let wanted = self.merging.as_ref().map(|m| self.worth(node, &m.agreement));
        if !fits || wanted != Some(Worth::AChange) {
            return State::Operational(self);
        }
        let history = self.depart(node, Why::Called);
        Commit::follow(node, history, propose)
    }

    pub(super) fn on_merging_timeout(mut self: Box<Self>, node: &mut Node) -> State {
        let Some(merging) = &mut self.merging else { return State::Operational(self) };
        merging.agreement.judge(node, &self.ring);
        if merging.agreement.has_lasted(node, LASTS_MAX) {
            self.give_up(node);
            return State::Operational(self);
        }
        // Nobody hears a vote that this node would not keep.
        let mut state = self.go_on_merging(node);
        if let State::Operational(operational) = &mut state {
            let Self { merging, ring, .. } = &mut **operational;
            if let Some(merging) = merging {
                merging.agreement.speak(node, ring);
            }
        }
        state
    }

    /// Is it still worth it, and do all agree? Then the representative leads.
    pub(crate) fn go_on_merging(mut self: Box<Self>, node: &mut Node) -> State {
        let Some(merging) = &self.merging else { return State::Operational(self) };
        match self.worth(node, &merging.agreement) {
            Worth::Nothing => {
                self.give_up(node);
                return State::Operational(self);
            }
            Worth::OthersGo => return State::Operational(self),
            Worth::AChange => {}
        }
        match merging.agreement.call(node, &self.ring) {
            Some(propose) => {
                let history = self.depart(node, Why::Agreed);
                Commit::lead(node, history, propose)
            }
            None => State::Operational(self),
        }
    }

    /// A merge is worth a change of configuration only if a ring comes of it that is larger than
    /// this one: then changes end. Members of this ring are left behind only where links stay bad.
    fn worth(&self, node: &Node, agreement: &Agreement) -> Worth {
        let ours = &self.ring.members;
        let comes = agreement.members(node);
        let left: Vec<&Process> = ours.iter().filter(|p| !comes.contains(&p.node)).collect();
        let by_bad_links =
            || !left.iter().any(|p| agreement.leaves_out(**p)) && agreement.is_settled(node);
        match comes.len() > ours.len() {
            true if left.is_empty() || by_bad_links() => Worth::AChange,
            false if agreement.largest().len() > ours.len() && by_bad_links() => Worth::OthersGo,
            _ => Worth::Nothing,
        }
    }

    /// Leaves the ring for the one that is agreed on.
    fn depart(mut self: Box<Self>, node: &mut Node, why: Why) -> History {
        let merging = self.merging.take();
        let stranger = merging.as_ref().map(|m| m.stranger(&self.ring.members));
        let cause = Cause::Merge { node: stranger.unwrap_or_default() };
        node.moved(At::Commit, why, &cause);
        let mut history = History::new(node, self.ring, cause);
        history.dead = merging.map(|m| m.agreement.dead).unwrap_or_default();
        history
    }

    /// Tells all who have been heard that this node does not come along.
    pub(super) fn give_up(&mut self, node: &mut Node) {
        let Some(merging) = self.merging.take() else { return };
        merging.agreement.merging.into_iter().for_each(|merge| self.refuse(merge));
        let reports = node.links.own_reports(node.me, node.now);
        for (process, attempt) in merging.agreement.heard() {
            let reports = reports.clone();
            let decline = Decline { process: node.me, attempt, busy: false, reports };
            node.send_to(process, &Packet::Decline(decline));
        }
        let stranger = merging.stranger(&self.ring.members);
        if merging.inviting && !core::mem::replace(&mut self.disagreement_told, true) {
            let reason =
                "those concerned do not agree on a ring that is larger than each of theirs";
            node.out.event(Event::MergeRefused { node: stranger, reason: reason.into() });
        }
    }
}

impl Operational {
    fn refuse(&mut self, (inviter, attempt): (Process, u64)) {
        self.given_up.retain(|(by, tried)| *by != inviter || *tried > attempt);
        if self.given_up.len() >= GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
        self.given_up.push_back((inviter, attempt));
    }
}

fn ignore(operational: Box<Operational>, node: &mut Node) -> State {
    node.out.stats.dropped_stale += 1;
    State::Operational(operational)
}
