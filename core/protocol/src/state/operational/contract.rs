//! The domain's contract in a ring that turns: what is measured, said, and done about it.

use super::Operational;
use crate::contract::{Admission, Breach, News, Present, Question};
use crate::event::{Cause, Event};
use crate::id::{NodeId, Process};
use crate::node::Node;
use crate::state::candidates::Candidate;
use crate::state::{Gather, Sender, State};
use crate::wire::{Gone, Join, Packet, Probe, ProbeAnswer, Token};

impl Operational {
    /// What is due. True if there is something to say.
    pub(super) fn keep_contract(&mut self, node: &mut Node) -> bool {
        let Some(keeper) = &mut node.contract else { return false };
        let mut probes = keeper.probes(node.now);
        let period = keeper.period(Present { high: self.ring.high, now: node.now });
        let refused = keeper.not_admitted();
        let mut says = false;
        if let Some(period) = period {
            probes.extend(period.probes);
            says = !period.says.is_empty();
            period.says.iter().for_each(|statement| node.accept_statement(statement));
            period.news.into_iter().for_each(|news| tell(node, news));
            self.ask_for_token(node, period.question);
        }
        for (process, number) in probes {
            node.send_to(process, &Packet::Probe(Probe { process: node.me, number }));
        }
        for (process, breach) in refused {
            self.refuse_entry(node, process, breach);
        }
        says
    }

    /// The larger ring speaks for the domain: its word goes to the one that is not let in.
    fn refuse_entry(&mut self, node: &mut Node, process: Process, breach: Breach) {
        let theirs = node.candidates.ring_len_of(process);
        if theirs.is_some_and(|len| len <= self.ring.members.len()) {
            node.out.event(Event::NotAdmitted { node: process.node, breach });
            let packet = Packet::NotAdmitted { process: node.me, breach };
            node.send_to(process, &packet);
        }
    }

    /// This node would not be let in there.
    pub(super) fn on_not_admitted(&self, node: &mut Node, by: Process, breach: Breach) {
        if self.ring.has_member(by) {
            return;
        }
        if node.contract.as_mut().is_some_and(|keeper| keeper.refused(by.node, breach)) {
            node.out.event(Event::Refused { by: by.node, breach });
        }
    }

    /// A probe of a contract was answered; false if it was no such probe.
    pub(super) fn on_contract_answer(&mut self, node: &mut Node, answer: &ProbeAnswer) -> bool {
        let (process, number) = (answer.process, answer.probe.number);
        let keeper = node.contract.as_mut().filter(|_| answer.probe.process == node.me);
        let is_ours = keeper.is_some_and(|keeper| keeper.answered(process, number, node.now));
        if is_ours {
            self.consider_merging(node);
        }
        is_ours
    }
}

/// How long members hold the token.
impl Operational {
    /// The token leaves, or rests here: what it says of the others.
    pub(super) fn read_token(&self, node: &mut Node, token: &Token) {
        if let Some(keeper) = &mut node.contract {
            keeper.visited((token.aru, token.aru_by), self.ring.aru, token.seq, node.now);
        }
    }

    /// It was passed on.
    pub(super) fn gauge_hold(&self, node: &mut Node) {
        let Some(keeper) = &mut node.contract else { return };
        if let Some((hop, number)) = self.ring.next_hop() {
            let question = keeper.passed(hop, number, node.now);
            self.ask_for_token(node, question);
        }
    }

    fn ask_for_token(&self, node: &mut Node, question: Option<Question>) {
        let Some(Question { to, token_sequence, number }) = question else { return };
        node.send_to(to, &Packet::Gauge { ring: self.ring.id, token_sequence, number });
    }

    pub(super) fn on_gauge(
        &mut self,
        node: &mut Node,
        from: Sender,
        (token_sequence, number): (u64, u32),
    ) {
        let header = from.header;
        let is_sender =
            |p: &&Process| (p.node, p.incarnation.0 as u32) == (header.node, header.boot);
        match self.ring.members.iter().find(is_sender).copied() {
            Some(asks) => {
                self.ring.tell_when_come(node, Question { to: asks, token_sequence, number });
            }
            None => node.out.stats.dropped_stale += 1,
        }
    }

    pub(super) fn on_gauged(
        &mut self,
        node: &mut Node,
        from: NodeId,
        (number, has_come): (u32, bool),
    ) {
        if let Some(keeper) = &mut node.contract {
            keeper.told(from, number, has_come, node.now);
        }
    }
}

/// Demotion.
impl Operational {
    /// If a member was demoted, all leave the ring when they have a turn for it: it as if all
    /// others were gone, they as if it was.
    pub(super) fn finish_demotion(self: Box<Self>, node: &mut Node) -> Result<Box<Self>, State> {
        let demoted = node.contract.as_ref().and_then(|keeper| keeper.demoted());
        let Some((who, breach)) = demoted else { return Ok(self) };
        let me = node.me;
        let goes = |p: &&Process| if who == me.node { **p != me } else { p.node == who };
        let gone: Vec<Process> = self.ring.members.iter().filter(goes).copied().collect();
        let mut history = self.leave(node, Cause::Demoted { node: who, breach });
        history.dead.extend(gone.into_iter().map(|process| (process, Gone::Demoted(breach))));
        Err(Gather::enter(node, history, &[]))
    }

    /// A member of this ring has gone on without this node, which has not got there in the order.
    pub(super) fn is_told_of_own_demotion(&self, node: &mut Node, join: &Join) -> bool {
        let why = demotion_in(join, node.me, self.ring.id.sequence);
        let Some(why) = why.filter(|_| self.ring.has_member(join.process)) else { return false };
        let keeper = node.contract.as_mut();
        keeper.map(|keeper| keeper.told_of_own_demotion(why, node.now)).is_some()
    }
}

/// Who comes in.
impl Operational {
    /// Rings that are heard are measured before they are merged with.
    pub(super) fn measure_others(&self, node: &mut Node) {
        if !self.ring.is_representative() {
            return;
        }
        let Some(keeper) = &mut node.contract else { return };
        let fresh = self.fresh(&node.config.timers);
        for candidate in node.candidates.heard_lately(node.now, fresh) {
            for member in &candidate.members {
                if !keeper.is_out(member.node, node.now) {
                    keeper.consider(*member, node.now);
                }
            }
        }
    }

    /// The contract lets this ring come.
    pub(super) fn admits(&self, node: &Node, candidate: &Candidate) -> bool {
        let Some(keeper) = &node.contract else { return true };
        candidate.members.iter().all(|member| {
            !keeper.is_out(member.node, node.now) && keeper.known(*member) == Admission::Granted
        })
    }

    /// Whether those who would come in may, as far as this node has to know: `None` if they may;
    /// else whether they may be let in later.
    pub(super) fn refuses(&self, node: &mut Node, proposed: &[Process]) -> Option<bool> {
        let now = node.now;
        let keeper = node.contract.as_mut()?;
        let strangers = || proposed.iter().filter(|p| !self.ring.has_member(**p));
        if strangers().any(|p| keeper.is_out(p.node, now)) {
            return Some(false);
        }
        if !self.ring.is_representative() {
            return None;
        }
        let mut refuses = None;
        for stranger in strangers() {
            match keeper.consider(*stranger, now) {
                Admission::Granted => {}
                Admission::Open => refuses = refuses.or(Some(true)),
                Admission::Refused(_) => refuses = Some(false),
            }
        }
        refuses
    }
}

fn tell(node: &mut Node, news: News) {
    node.out.event(match news {
        News::Broken(node, breach) => Event::ContractBroken { node, breach },
        News::Void(broken, members, breach) => Event::ContractVoid { broken, members, breach },
        News::Stays(node, breach, stays) => Event::ContractStays { node, breach, stays },
    });
}

/// Why this one was put out of the ring of that number, or a later one, if a join says so. Who has
/// come back since is not put out by what was late.
fn demotion_in(join: &Join, me: Process, ring_sequence: u64) -> Option<Breach> {
    let is_late = join.ring_sequence_max < ring_sequence;
    let mut dead = join.dead.iter().filter(|_| !is_late);
    dead.find_map(|(process, gone)| match gone {
        Gone::Demoted(breach) if *process == me => Some(*breach),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Bound;
    use crate::id::Incarnation;

    #[test]
    fn a_join_of_before_the_present_ring_puts_nobody_out() {
        let process = |node| Process { node: NodeId(node), incarnation: Incarnation(1) };
        let breach = Breach { bound: Bound::Lag, measured: 9, allowed: 8 };
        let dead = vec![(process(2), Gone::Left), (process(3), Gone::Demoted(breach))];
        let join = Join { ring_sequence_max: 7, dead, ..Join::default() };
        assert_eq!(demotion_in(&join, process(3), 7), Some(breach), "of the present ring");
        assert_eq!(demotion_in(&join, process(3), 8), None, "it has come back since");
        assert_eq!(demotion_in(&join, process(2), 7), None, "it left");
        assert_eq!(demotion_in(&join, process(1), 7), None);
    }
}
