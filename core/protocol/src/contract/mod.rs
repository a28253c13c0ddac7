//! Contracts of domains: who would come in is measured before, who is in is measured all the time,
//! and whoever breaks the contract for long enough is put out by an ordered change
//! (docs/PROTOCOL.md, contracts). A domain without a bound has nothing of this but measurements,
//! which are for people, if it is told to make them.
//!
//! | file | what |
//! |---|---|
//! | `terms` | what a contract says |
//! | `measure` | what a member measures of the others |
//! | `news` | what an operator hears of those who are in |
//! | `statements` | what members say of each other in the order, and what follows |
//! | `stays` | why somebody is not put out, for people |
//! | `trials` | who would come in |
//! | `bans` | who was put out, and for how long |

mod bans;
mod measure;
mod news;
mod statements;
mod stays;
mod terms;
mod trials;

use core::time::Duration;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::CoreConfig;
use crate::event::Event;
use crate::id::{NodeId, Process, RingId};
use crate::planted::planted;
use crate::time::Instant;

use bans::Bans;
use measure::Gauges;
use news::Told;
use statements::Statements;
use trials::Trials;

pub(crate) use measure::Question;
pub(crate) use news::News;
pub(crate) use statements::{Says, Statement};
pub use stays::Stays;
pub use terms::{Bound, Breach, Contract, ContractStatus, Measured};
pub(crate) use trials::Admission;

/// Before a demotion others have so many parts of the patience to say what they have found.
const HEARING: u32 = 4;
/// Probes of contracts have numbers from here on; those of bad links are below.
const PROBES_FROM: u32 = 1 << 31;

/// Where there is no contract, members are measured once in so many beacon intervals.
const WATCHED_EVERY: u32 = 2;
/// And less often by as many times as the ring has so many.
const WATCHED_AT_ONCE: usize = 8;

/// The number after this one, of a probe of a contract.
fn after(number: u32) -> u32 {
    number.wrapping_add(1) | PROBES_FROM
}

/// What one node knows of how its domain's contract is kept.
#[derive(Clone, Hash)]
pub(crate) struct Keeper {
    me: NodeId,
    contract: Contract,
    beacon: Duration,
    /// Of measuring.
    period: Duration,
    ring: RingId,
    gauges: Gauges,
    trials: Trials,
    bans: Bans,
    statements: Statements,
    /// What this member has said in the present ring, and since when.
    said: BTreeMap<(NodeId, Bound), Instant>,
    /// How much of that has no place in the order yet. Until all has, nothing more is said: what
    /// waits for a token would only become more and more.
    unheard: usize,
    /// Since when somebody is to go, as this member sees it; or since it last said so.
    going_since: Option<Instant>,
    /// Before that this member has nobody put out.
    demands_from: Instant,
    /// Who is demoted, by the order of the present ring.
    demoted: Option<(NodeId, Breach)>,
    /// When this member heard that somebody is demoted.
    heard_at: Instant,
    /// The others have gone on without this member, which has not got there in the order: why.
    told_why: Option<Breach>,
    /// Of whom, and of what, its operator was told in this ring.
    told: BTreeMap<NodeId, Told>,
    void_told: bool,
    /// The members of the next ring, while what remains of the present one is delivered.
    next: Vec<NodeId>,
    refused_by: Option<(NodeId, Breach)>,
    number: u32,
}

/// The ring as it is now, as far as contracts need it.
#[derive(Clone, Copy)]
pub(crate) struct Present {
    /// Highest ordinal given out.
    pub(crate) high: u64,
    pub(crate) now: Instant,
}

impl Keeper {
    /// `None`: nothing is to be measured.
    pub(crate) fn new(me: NodeId, config: &CoreConfig) -> Option<Box<Self>> {
        let (contract, beacon) = (config.contract, config.timers.beacon);
        (contract.is_binding() || config.measures).then(|| {
            Box::new(Self {
                me,
                contract,
                beacon,
                period: contract.period(),
                ring: RingId::default(),
                gauges: Gauges::new(),
                trials: Trials::new(beacon, config.timers.token_loss),
                bans: Bans::default(),
                statements: Statements::default(),
                said: BTreeMap::new(),
                unheard: 0,
                going_since: None,
                demands_from: Instant::default(),
                demoted: None,
                heard_at: Instant::default(),
                told_why: None,
                told: BTreeMap::new(),
                void_told: false,
                next: Vec::new(),
                refused_by: None,
                number: 0,
            })
        })
    }

    /// A ring begins.
    pub(crate) fn installed(&mut self, ring: RingId, members: &[Process], now: Instant) {
        let at = members.iter().position(|p| p.node == self.me).unwrap_or(0);
        let after = members[at..].iter().skip(1).chain(&members[..at]);
        let others: Vec<Process> = after.copied().collect();
        if !self.is_binding() {
            // All probe all others.
            let times = 1 + members.len() / WATCHED_AT_ONCE;
            self.period = self.beacon * WATCHED_EVERY * times as u32;
        }
        let end = now + self.period;
        self.gauges.installed(&others, self.demoted.is_some(), (now, end));
        // Who was alone has measured nobody; and where most broke the contract, all are to be
        // measured once more, or one after the other would be put out (seed 511602).
        if self.is_alone() || self.statements.is_void() {
            self.demands_from = now + self.contract.patience;
        }
        self.trials.blame_nobody(now);
        self.ring = ring;
        self.statements = Statements::new(members.iter().map(|p| p.node).collect());
        (self.unheard, self.said) = (0, BTreeMap::new());
        self.told.clear();
        self.next.clear();
        (self.going_since, self.demoted, self.told_why) = (None, None, None);
        if !others.is_empty() {
            self.refused_by = None;
        }
    }

    /// What was not heard up to now says nothing.
    pub(crate) fn blame_nobody(&mut self, now: Instant) {
        self.gauges.blame_nobody(now);
        self.trials.blame_nobody(now);
    }

    fn is_alone(&self) -> bool {
        self.statements.members.len() <= 1
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.demoted().is_some() {
            return Some(self.heard_at);
        }
        let period = (!self.is_alone()).then_some(self.gauges.ends_at);
        [period, self.trials.deadline()].into_iter().flatten().min()
    }

    /// The probes that are due.
    pub(crate) fn probes(&mut self, now: Instant) -> Vec<(Process, u32)> {
        self.trials.probes(&self.contract, &mut self.number, now)
    }

    /// If a period has ended: what to probe, what to say, and what an operator is to hear.
    pub(crate) fn period(&mut self, present: Present) -> Option<Period> {
        if self.is_alone() || present.now < self.gauges.ends_at {
            return None;
        }
        let now = present.now;
        let next = now + self.period;
        let question = self.gauges.end(&self.contract, present.high, (now, next));
        let probes = self.gauges.probes(&mut self.number, now);
        let mut says = Vec::new();
        if self.unheard == 0 {
            says.extend(self.news_of_others(now));
            says.extend(self.demand(now));
            self.unheard = says.len();
        }
        Some(Period { probes, question, says, news: self.news(now) })
    }

    /// A probe was answered. True if it was one of these.
    pub(crate) fn answered(&mut self, process: Process, number: u32, now: Instant) -> bool {
        self.gauges.answered(process, number, &self.contract, now);
        self.trials.answered(process, number, &self.contract, now);
        number >= PROBES_FROM
    }
}

/// What a period brings.
pub(crate) struct Period {
    pub(crate) probes: Vec<(Process, u32)>,
    pub(crate) question: Option<Question>,
    pub(crate) says: Vec<Statement>,
    pub(crate) news: Vec<News>,
}

/// The token.
impl Keeper {
    /// It was passed on to `hop.0`, and goes to `hop.1` with this number: whether that one is to be
    /// asked when it comes.
    pub(crate) fn passed(
        &mut self,
        hop: (Process, Process),
        number: u64,
        now: Instant,
    ) -> Option<Question> {
        self.gauges.passed(hop, number, now)
    }

    /// A member says whether the token has come that it was asked for with this number.
    pub(crate) fn told(&mut self, by: NodeId, number: u32, has_come: bool, now: Instant) {
        self.gauges.told(by, (number, has_come), &self.contract, now);
    }

    /// The token as it leaves.
    pub(crate) fn visited(
        &mut self,
        (aru, by): (u64, Option<NodeId>),
        own_aru: u64,
        seq: u64,
        now: Instant,
    ) {
        self.gauges.visited((aru, by.filter(|by| *by != self.me)), own_aru, seq, now);
    }

    /// A packet of that member came only because it was asked for.
    pub(crate) fn lost(&mut self, origin: NodeId) {
        self.gauges.lost(origin);
    }
}

/// What this member says.
impl Keeper {
    /// Whom it finds to break the contract now, itself among them.
    fn findings(&self, now: Instant) -> Vec<(NodeId, Breach)> {
        let others = self.statements.members.len() - 1;
        let mut found = Vec::new();
        for bound in Bound::ALL {
            let broken = self.gauges.broken(bound, &self.contract);
            let alone = |(of, _): &&(NodeId, Breach)| {
                let since = self.said.get(&(*of, bound));
                bound != Bound::Hold
                    && since.is_some_and(|since| now.since(*since) >= self.contract.patience)
                    && !self.statements.is_agreed(*of, bound)
            };
            // The fault is more likely at the end that all these have in common; and what only this
            // member has found for so long is on the way between the two.
            let own = if bound != Bound::Hold && 2 * broken.len() > others {
                broken.iter().min_by_key(|(_, breach)| breach.measured)
            } else {
                broken.iter().find(alone)
            };
            if let Some((_, breach)) = own {
                found.push((self.me, *breach));
            }
            if 2 * broken.len() <= others || bound == Bound::Hold {
                found.extend(broken);
            }
        }
        found
    }

    fn news_of_others(&mut self, now: Instant) -> Vec<Statement> {
        let found = self.findings(now);
        let mut says = Vec::new();
        for (of, breach) in &found {
            if let Entry::Vacant(entry) = self.said.entry((*of, breach.bound)) {
                entry.insert(now);
                says.push((*of, Says::Breaks, *breach));
            }
        }
        let stands =
            |of: NodeId, bound| found.iter().any(|(f, breach)| (*f, breach.bound) == (of, bound));
        self.said.retain(|(of, bound), _| {
            let stands = stands(*of, *bound);
            if !stands {
                let breach = Breach { bound: *bound, measured: 0, allowed: 0 };
                let is_sure = *bound != Bound::Hold || self.gauges.keeps_hold(*of, false);
                says.push((*of, if is_sure { Says::Keeps } else { Says::Doubts }, breach));
            }
            stands
        });
        says.extend(self.word_on_hold(&says));
        says.into_iter().map(|(of, what, breach)| self.statement(of, what, breach)).collect()
    }

    /// Whether the next member keeps the hold, if that is asked and news.
    fn word_on_hold(&self, says: &[(NodeId, Says, Breach)]) -> Option<(NodeId, Says, Breach)> {
        let breach = Breach { bound: Bound::Hold, measured: 0, allowed: 0 };
        let next = self.gauges.next()?;
        if says.iter().any(|(of, _, said)| (*of, said.bound) == (next, breach.bound)) {
            return None;
        }
        let was = self.statements.says_holds_well(self.me, next);
        match self.gauges.keeps_hold(next, was) {
            true if !was && self.statements.asks_for_holds() => Some((next, Says::Keeps, breach)),
            false if was => Some((next, Says::Doubts, breach)),
            _ => None,
        }
    }

    /// Somebody is to go, and all have had time to say what they have found. The others wait for
    /// the first one that is not found itself.
    fn demand(&mut self, now: Instant) -> Option<Statement> {
        let Some((of, breach)) = self.statements.to_go() else {
            self.going_since = None;
            return None;
        };
        let since = *self.going_since.get_or_insert(now);
        if self.most_may_break_it(now) || now < self.demands_from {
            return None;
        }
        let rank = self.statements.rank(self.me)? as u32;
        if now.since(since) < self.contract.patience / HEARING * (rank + 1) {
            return None;
        }
        self.going_since = Some(now);
        Some(self.statement(of, Says::Demote, breach))
    }

    /// Most of those that are here, or are out for it, are found or about to be: it is not for one
    /// of them to go. So one after the other goes until half of them are out, and no further.
    fn most_may_break_it(&self, now: Instant) -> bool {
        let (doubtful, all) = self.may_break_it(now);
        2 * doubtful > all && !planted!("contract_over_most")
    }

    /// How many are found, about to be, or out for it; and how many there are, those among them.
    fn may_break_it(&self, now: Instant) -> (usize, usize) {
        let members = &self.statements.members;
        let found = self.statements.found().into_iter().map(|(node, _)| node);
        let doubtful: BTreeSet<NodeId> = self.gauges.doubtful().chain(found).collect();
        let out = self.bans.all(now).filter(|(node, ..)| !members.contains(node)).count();
        (doubtful.len() + out, members.len() + out)
    }

    fn statement(&self, of: NodeId, says: Says, breach: Breach) -> Statement {
        Statement { ring_sequence: self.ring.sequence, of, says, breach }
    }
}

/// What all say.
impl Keeper {
    /// It has its place in the order. The news of a demotion, if it is one.
    pub(crate) fn heard(
        &mut self,
        by: NodeId,
        statement: &Statement,
        now: Instant,
    ) -> Option<Event> {
        // Who has no contract takes no part in those of others.
        let is_about_this = statement.ring_sequence == self.ring.sequence && self.is_binding();
        if is_about_this && by == self.me {
            self.unheard = self.unheard.saturating_sub(1);
        }
        if !is_about_this || self.demoted.is_some() {
            return None;
        }
        self.statements.heard(by, statement);
        let (of, breach) = self.statements.to_go()?;
        if statement.says != Says::Demote || statement.of != of {
            return None;
        }
        // It is in the next ring already, which nobody can change any more, and which measures all.
        if self.next.len() > 1 && self.next.contains(&of) {
            return None;
        }
        (self.demoted, self.heard_at) = (Some((of, breach)), now);
        self.part_from(of);
        Some(Event::Demoted {
            node: of,
            breach,
            stated_by: self.statements.stated_by(of, breach.bound),
            broken: self.statements.found().len(),
            members: self.statements.members.clone(),
            out_for: self.bans.add(of, &self.contract, now),
        })
    }

    /// What was measured before one was let in lets it in no second time (seed 570532).
    fn part_from(&mut self, node: NodeId) {
        let is_own = node == self.me;
        self.trials.forget(|other| is_own || other == node);
    }

    /// The next ring has these members: what is heard from now on is the rest of the present one.
    pub(crate) fn moves_to(&mut self, members: &[Process]) {
        self.next = members.iter().map(|member| member.node).collect();
    }

    /// Others have gone on without this member, for this reason.
    pub(crate) fn told_of_own_demotion(&mut self, why: Breach, now: Instant) {
        if self.is_binding() && self.demoted().is_none() {
            (self.told_why, self.heard_at) = (Some(why), now);
            self.part_from(self.me);
            self.bans.add(self.me, &self.contract, now);
        }
    }

    /// Who was demoted in the present ring, as far as this member knows, and why.
    pub(crate) fn demoted(&self) -> Option<(NodeId, Breach)> {
        self.demoted.or_else(|| self.told_why.map(|why| (self.me, why)))
    }

    /// It is what parts those who move together from the others. All of them say the same: it
    /// follows from what they have delivered of their ring; or one is alone.
    pub(crate) fn parts(&self, together: &[NodeId]) -> Option<(NodeId, Breach)> {
        let (node, breach) = self.demoted()?;
        let alone = together == [node];
        (alone || !together.contains(&node) && self.demoted.is_some()).then_some((node, breach))
    }
}

/// Who comes in.
impl Keeper {
    /// One of another ring would; this node speaks for its ring and has to know.
    pub(crate) fn consider(&mut self, process: Process, now: Instant) -> Admission {
        if self.admits_all() {
            return Admission::Granted;
        }
        self.trials.consider(process, now)
    }

    pub(crate) fn known(&self, process: Process) -> Admission {
        if self.admits_all() { Admission::Granted } else { self.trials.known(process) }
    }

    fn admits_all(&self) -> bool {
        self.statements.is_void() || !self.is_binding()
    }

    /// It was demoted and has to wait; or this node has.
    pub(crate) fn is_out(&self, node: NodeId, now: Instant) -> bool {
        self.bans.is_out(node, now) || self.bans.is_out(self.me, now)
    }

    /// Who was measured and is not admitted, each once.
    pub(crate) fn not_admitted(&mut self) -> Vec<(Process, Breach)> {
        self.trials.failed()
    }

    /// Another ring does not admit this node. True if that is news.
    pub(crate) fn refused(&mut self, by: NodeId, breach: Breach) -> bool {
        // It is told even without a contract of its own: it stays outside.
        let before = self.refused_by.replace((by, breach));
        before.is_none_or(|(node, known)| (node, known.bound) != (by, breach.bound))
    }

    /// There is a contract, and not only curiosity.
    pub(crate) fn is_binding(&self) -> bool {
        self.contract.is_binding()
    }

    /// What was measured of the others.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        self.gauges.shown().collect()
    }

    pub(crate) fn status(&self, now: Instant) -> ContractStatus {
        let found = self.statements.found();
        let breach = |node| found.iter().find(|(of, _)| *of == node).map(|(_, breach)| *breach);
        let known = |of: Measured| {
            let found = breach(of.node);
            Measured { found, stays: found.and_then(|_| self.stays(of.node, now)), ..of }
        };
        let own = Measured { node: self.me, ..Measured::default() };
        let all = core::iter::once(own).chain(self.gauges.shown());
        ContractStatus {
            contract: self.contract,
            void: self.statements.is_void(),
            members: all.map(known).collect(),
            demoted: self.bans.all(now).collect(),
            refused_by: self.refused_by,
        }
    }
}

#[cfg(test)]
mod tests;
