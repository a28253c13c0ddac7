//! What a member measures of the others, period by period.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::terms::{Bound, Breach, Contract, Measured, nanoseconds};
use crate::id::{NodeId, Process};
use crate::time::Instant;

/// Of the last 16 periods so many above the bound are a breach; so few are none any more.
const BROKEN: u32 = 12;
const KEPT: u32 = 4;
/// A packet is lost in one period and comes in another: loss is a share of what was ordered in so
/// many, the present one among them.
const SHARED: usize = 4;
/// A probe that is not answered within so many periods is lost, if no round trip is bounded.
const PROBED_WITHIN: u32 = 2;
/// Questions about one token of which answers are awaited.
const QUESTIONS_MAX: usize = 32;

/// The last periods of one bound.
#[derive(Clone, Copy, Default, Hash)]
struct Record {
    /// A bit for each, 1 if it was above the bound.
    above: u16,
    /// How many periods that is, up to 16.
    known: u8,
    /// Of the last period in which it was measured.
    value: Option<u64>,
    /// What was measured above the bound, the newer the more.
    mean_above: u64,
    is_broken: bool,
}

impl Record {
    fn note(&mut self, value: u64, allowed: Option<u64>) {
        self.value = Some(value);
        let Some(allowed) = allowed else { return };
        let is_above = value > allowed;
        if is_above {
            let before = if self.above == 0 { value } else { self.mean_above };
            self.mean_above = before - before / 4 + value / 4;
        }
        self.above = self.above << 1 | u16::from(is_above);
        self.known = (self.known + 1).min(u16::BITS as u8);
        match self.above.count_ones() {
            BROKEN.. => self.is_broken = true,
            ..=KEPT => self.is_broken = false,
            _ => {}
        }
    }

    /// Whether the bound is known to be kept: no period of 16 was above it, and since then four at
    /// most. `was`: it was known before.
    fn is_kept(&self, was: bool) -> bool {
        let begins = u32::from(self.known) == u16::BITS && self.above == 0;
        begins || was && !self.is_broken && self.above.count_ones() <= KEPT
    }
}

/// One other member.
#[derive(Clone, Default, Hash)]
struct Gauge {
    records: [Record; 4],
    /// The probe that was sent last, if it is not answered yet, and when.
    probe: Option<(u32, Instant)>,
    /// How long the last one took to it and back, if that was not lost.
    way: Option<Duration>,
    /// In the present period.
    hold: Option<Duration>,
    lag: Duration,
    /// In this period, and in those before.
    lost: [u32; SHARED],
}

/// A token on its way through a member, as far as it is not known to have left it.
#[derive(Clone, Hash)]
struct Hop {
    holder: NodeId,
    /// Where it goes from there, with this number.
    next: Process,
    number: u64,
    /// When it was passed on.
    at: Instant,
    /// The question that was asked at that time: `next` says when it comes.
    first: Option<u32>,
    /// That, and others since then, and when they were asked.
    asked: VecDeque<(u32, Instant)>,
    /// When the last question was asked to which `next` has said that it has not come.
    awaited_at: Instant,
    /// So much has been noted.
    noted: Duration,
}

impl Hop {
    /// For how long it was certainly on its way: what `next` does later says nothing of the holder.
    /// That it was not there at once says nothing at all.
    fn certain(&self) -> Option<Duration> {
        Some(self.awaited_at.since(self.at)).filter(|held| !held.is_zero())
    }

    fn newly_certain(&mut self) -> Option<Duration> {
        let certain = self.certain().filter(|certain| *certain > self.noted)?;
        self.noted = certain;
        Some(certain)
    }

    /// How long it took, if `next` is to be believed that it comes now: who reads late says that
    /// late, and has not said for long that it is awaited.
    fn came(&self, way: Duration, contract: &Contract, now: Instant) -> Option<Duration> {
        let seemed = now.since(self.at).saturating_sub(way);
        let Some(allowed) = contract.hold else { return Some(seemed) };
        let known = self.awaited_at.since(self.at).max(allowed);
        (seemed <= known.saturating_add(contract.period())).then_some(seemed)
    }
}

/// "Say when the token with this number comes to you."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) to: Process,
    pub(crate) token_sequence: u64,
    /// Of the question: its answers bear it.
    pub(crate) number: u32,
}

/// All of them.
#[derive(Clone, Hash)]
pub(super) struct Gauges {
    gauges: BTreeMap<Process, Gauge>,
    /// To whom this member passes the token, and where it goes from there.
    pair: [Option<Process>; 2],
    /// The token that was passed on last, or in this period the first one.
    hop: Option<Hop>,
    /// Where the next one goes is to be asked.
    hop_due: bool,
    /// The number of the last question.
    questions: u32,
    /// Who lowers the aru below what was given out two rounds before, and since when.
    behind: Option<(NodeId, Instant)>,
    given_out: [u64; 2],
    /// Highest ordinal when the period began.
    high: u64,
    /// How many were given out in it, and in those before.
    ordered: [u64; SHARED],
    pub(super) ends_at: Instant,
}

impl Gauges {
    pub(super) fn new() -> Self {
        Self {
            gauges: BTreeMap::new(),
            pair: [None; 2],
            hop: None,
            hop_due: true,
            questions: 0,
            behind: None,
            given_out: [0; 2],
            high: 0,
            ordered: [0; SHARED],
            ends_at: Instant::default(),
        }
    }

    /// A ring begins: what is known of those who stay remains, unless one was demoted.
    /// `others`: in token order from this member on. The hold is measured of the next one only, by
    /// what the one after that says: with another pair, all that is known of it is old.
    pub(super) fn installed(
        &mut self,
        others: &[Process],
        afresh: bool,
        (now, end): (Instant, Instant),
    ) {
        self.gauges.retain(|process, _| others.contains(process) && !afresh);
        for process in others {
            self.gauges.entry(*process).or_default();
        }
        let pair = [others.first().copied(), others.get(1).copied()];
        let before = core::mem::replace(&mut self.pair, pair);
        let measured = pair[0].filter(|_| before == pair);
        for (_, gauge) in self.gauges.iter_mut().filter(|(p, _)| measured != Some(**p)) {
            gauge.records[Bound::Hold as usize] = Record::default();
        }
        (self.given_out, self.high, self.ordered) = ([0; 2], 0, [0; SHARED]);
        self.ends_at = end;
        self.blame_nobody(now);
    }

    /// What was not heard up to now says nothing.
    pub(super) fn blame_nobody(&mut self, _now: Instant) {
        (self.hop, self.hop_due, self.behind) = (None, true, None);
        for gauge in self.gauges.values_mut() {
            gauge.probe = None;
            (gauge.hold, gauge.lag, gauge.lost) = (None, Duration::ZERO, [0; SHARED]);
        }
    }

    fn of_node(&mut self, node: NodeId) -> Option<&mut Gauge> {
        self.gauges.iter_mut().find(|(process, _)| process.node == node).map(|(_, gauge)| gauge)
    }
}

/// What happens in a period.
impl Gauges {
    pub(super) fn answered(
        &mut self,
        process: Process,
        number: u32,
        contract: &Contract,
        now: Instant,
    ) {
        let Some(gauge) = self.gauges.get_mut(&process) else { return };
        if let Some((asked, at)) = gauge.probe
            && asked == number
        {
            (gauge.probe, gauge.way) = (None, Some(now.since(at)));
            let value = nanoseconds(now.since(at));
            gauge.records[Bound::RoundTrip as usize]
                .note(value, contract.allowed(Bound::RoundTrip));
        }
    }

    /// The token was passed on to `holder`, from which it goes to `next` with this number: whether
    /// that one is to be asked when it comes.
    pub(super) fn passed(
        &mut self,
        (holder, next): (Process, Process),
        number: u64,
        now: Instant,
    ) -> Option<Question> {
        let is_asked = core::mem::replace(&mut self.hop_due, false);
        if is_asked || self.hop.as_ref().is_none_or(|hop| hop.first.is_none()) {
            let certain = self.hop.as_mut().and_then(Hop::newly_certain);
            self.end_hop(certain);
            let (holder, first, asked) = (holder.node, None, VecDeque::new());
            let (at, awaited_at, noted) = (now, now, Duration::ZERO);
            self.hop = Some(Hop { holder, next, number, at, first, asked, awaited_at, noted });
        }
        let question = is_asked.then(|| self.ask(now)).flatten();
        if let (Some(hop), Some(question)) = (&mut self.hop, question) {
            hop.first = Some(question.number);
        }
        question
    }

    fn ask(&mut self, now: Instant) -> Option<Question> {
        let hop = self.hop.as_mut()?;
        self.questions = super::after(self.questions);
        if hop.asked.len() == QUESTIONS_MAX {
            // Not the first one: its answer says when the token comes.
            hop.asked.remove(1);
        }
        hop.asked.push_back((self.questions, now));
        Some(Question { to: hop.next, token_sequence: hop.number, number: self.questions })
    }

    /// The answer to the question with this number: whether the token has come there. Answers to
    /// others may be older than the hop (seed 571).
    pub(super) fn told(
        &mut self,
        from: NodeId,
        (number, has_come): (u32, bool),
        contract: &Contract,
        now: Instant,
    ) {
        let Some(hop) = self.hop.as_mut().filter(|hop| hop.next.node == from) else { return };
        let mut asked = hop.asked.iter().filter(|(asked, _)| *asked == number);
        let Some((_, asked_at)) = asked.next().copied() else { return };
        if !has_come {
            hop.awaited_at = hop.awaited_at.max(asked_at);
            return;
        }
        // To a later question it may be said when it has been there for long.
        let way = self.gauges.get(&hop.next).and_then(|gauge| gauge.way);
        let way = way.filter(|_| hop.first == Some(number));
        let exact = way.and_then(|way| hop.came(way, contract, now));
        let hold = exact.or_else(|| hop.newly_certain());
        self.end_hop(hold);
    }

    /// It is over, and took so long, if that is known.
    fn end_hop(&mut self, hold: Option<Duration>) {
        let Some(hop) = self.hop.take() else { return };
        if let Some(gauge) = self.of_node(hop.holder) {
            gauge.hold = gauge.hold.max(hold);
        }
    }

    /// The period ends while a token has been away for longer than it may be held: whether it is
    /// still on its way is asked where it goes next, again in each period.
    fn watch_hop(&mut self, contract: &Contract, now: Instant) -> Option<Question> {
        let allowed = contract.hold?;
        let hop = self.hop.as_mut().filter(|hop| now.since(hop.at) > allowed)?;
        let (holder, certain) = (hop.holder, hop.newly_certain());
        if let Some(gauge) = self.of_node(holder) {
            gauge.hold = gauge.hold.max(certain);
        }
        self.ask(now)
    }

    /// The token as it leaves; `own_aru`: up to which this member has everything. Who lacks
    /// something itself cannot tell whether another one lags, or both miss what nobody got.
    pub(super) fn visited(
        &mut self,
        (aru, by): (u64, Option<NodeId>),
        own_aru: u64,
        seq: u64,
        now: Instant,
    ) {
        let before = self.given_out[1];
        self.given_out = [seq, self.given_out[0]];
        if aru < before && own_aru < before {
            return;
        }
        let by = by.filter(|_| aru < before);
        self.behind = match (by, self.behind) {
            (Some(by), Some((same, since))) if by == same => Some((by, since)),
            (by, _) => by.map(|by| (by, now)),
        };
        if let Some((by, since)) = self.behind
            && let Some(gauge) = self.of_node(by)
        {
            gauge.lag = gauge.lag.max(now.since(since));
        }
    }

    /// A packet of that member came only because it was asked for.
    pub(super) fn lost(&mut self, origin: NodeId) {
        if let Some(gauge) = self.of_node(origin) {
            gauge.lost[0] += 1;
        }
    }

    /// The period ends, with this as the highest ordinal given out. Who is to be asked whether the
    /// token has come.
    pub(super) fn end(
        &mut self,
        contract: &Contract,
        high: u64,
        (now, next): (Instant, Instant),
    ) -> Option<Question> {
        let question = self.watch_hop(contract, now);
        let ordered = high.saturating_sub(core::mem::replace(&mut self.high, high));
        self.ordered.rotate_right(1);
        self.ordered[0] = ordered;
        let all: u64 = self.ordered.iter().sum();
        let patient = contract.round_trip.unwrap_or_else(|| PROBED_WITHIN * next.since(now));
        for gauge in self.gauges.values_mut() {
            let mut note = |bound: Bound, value| {
                gauge.records[bound as usize].note(value, contract.allowed(bound));
            };
            if let Some((_, at)) = gauge.probe
                && now.since(at) > patient
            {
                (gauge.probe, gauge.way) = (None, None);
                note(Bound::RoundTrip, nanoseconds(now.since(at)));
            }
            if let Some(hold) = gauge.hold.take() {
                note(Bound::Hold, nanoseconds(hold));
            }
            let lag = core::mem::take(&mut gauge.lag);
            if ordered > 0 || !lag.is_zero() {
                note(Bound::Lag, nanoseconds(lag));
            }
            if ordered > 0 || gauge.lost[0] > 0 {
                let lost: u64 = gauge.lost.iter().map(|lost| u64::from(*lost)).sum();
                note(Bound::Loss, (lost * 1_000_000 / all.max(1)).min(1_000_000));
            }
            gauge.lost.rotate_right(1);
            gauge.lost[0] = 0;
        }
        (self.hop_due, self.ends_at) = (true, next);
        question
    }

    /// Whom to probe now, with numbers after this one.
    pub(super) fn probes(&mut self, number: &mut u32, now: Instant) -> Vec<(Process, u32)> {
        let free = self.gauges.iter_mut().filter(|(_, gauge)| gauge.probe.is_none());
        free.map(|(process, gauge)| {
            *number = super::after(*number);
            gauge.probe = Some((*number, now));
            (*process, *number)
        })
        .collect()
    }
}

/// What comes of it.
impl Gauges {
    /// Who breaks this bound, as far as this member can tell.
    pub(super) fn broken(&self, bound: Bound, contract: &Contract) -> Vec<(NodeId, Breach)> {
        let Some(allowed) = contract.allowed(bound) else { return Vec::new() };
        let broken = self.gauges.iter().filter(|(_, g)| g.records[bound as usize].is_broken);
        broken
            .map(|(process, gauge)| {
                let measured = gauge.records[bound as usize].mean_above;
                (process.node, Breach { bound, measured, allowed })
            })
            .collect()
    }

    /// A member is known to keep the hold; `was`: it was before.
    pub(super) fn keeps_hold(&self, node: NodeId, was: bool) -> bool {
        let mut of_node = self.gauges.iter().filter(|(process, _)| process.node == node);
        of_node.any(|(_, gauge)| gauge.records[Bound::Hold as usize].is_kept(was))
    }

    /// Of whom the hold is measured.
    pub(super) fn next(&self) -> Option<NodeId> {
        self.pair[0].map(|process| process.node)
    }

    /// Who is above some bound in more periods than one that keeps the contract.
    pub(super) fn doubtful(&self) -> impl Iterator<Item = NodeId> {
        let is_doubtful = |g: &Gauge| g.records.iter().any(|r| r.above.count_ones() > KEPT);
        self.gauges.iter().filter(move |(_, g)| is_doubtful(g)).map(|(process, _)| process.node)
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = Measured> {
        self.gauges.iter().map(|(process, gauge)| {
            let value = |bound: Bound| gauge.records[bound as usize].value;
            Measured {
                node: process.node,
                round_trip: value(Bound::RoundTrip).map(Duration::from_nanos),
                hold: value(Bound::Hold).map(Duration::from_nanos),
                loss_ppm: value(Bound::Loss).map(|ppm| ppm as u32),
                lag: value(Bound::Lag).map(Duration::from_nanos),
                found: None,
                stays: None,
            }
        })
    }
}

#[cfg(test)]
mod tests;
