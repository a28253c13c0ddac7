//! What a member measures of the others, period by period.

use core::time::Duration;
use std::collections::BTreeMap;

use super::terms::{Bound, Breach, Contract, Measured, nanoseconds};
use crate::id::{NodeId, Process};
use crate::time::Instant;

/// Of the last 16 periods so many above the bound are a breach; so few are none any more.
const BROKEN: u32 = 12;
const KEPT: u32 = 4;
/// It takes so many periods to say of a member that it keeps a bound: at most a quarter above it.
const KNOWN: u32 = 4;

/// A packet is lost in one period and comes in another: loss is a share of what was ordered in so
/// many, the present one among them.
const SHARED: usize = 4;

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

    /// It was measured often enough to say that the bound is kept.
    fn is_kept(&self) -> bool {
        let known = u32::from(self.known);
        !self.is_broken && known >= KNOWN && KNOWN * self.above.count_ones() <= known
    }
}

/// One other member.
#[derive(Clone, Default, Hash)]
struct Gauge {
    records: [Record; 4],
    /// The probe that was sent last, if it is not answered yet, and when.
    probe: Option<(u32, Instant)>,
    /// In the present period.
    hold: Option<Duration>,
    lag: Duration,
    /// In this period, and in those before.
    lost: [u32; SHARED],
}

/// A token on its way through a member, as far as it is not known to have left it.
#[derive(Clone, Copy, Hash)]
struct Hop {
    holder: NodeId,
    /// Where it goes from there, with this number.
    next: Process,
    number: u64,
    /// When it was passed on.
    at: Instant,
    /// When `next` was asked last whether it has come.
    asked_at: Option<Instant>,
    /// Of the last question to which `next` has said that it has not.
    awaited_at: Option<Instant>,
}

impl Hop {
    /// For how long it was certainly held: what `next` does later says nothing of the holder.
    fn certain(&self) -> Option<Duration> {
        self.awaited_at.map(|at| at.since(self.at))
    }
}

/// All of them.
#[derive(Clone, Hash)]
pub(super) struct Gauges {
    gauges: BTreeMap<Process, Gauge>,
    /// The token that was passed on last, or in this period the first one.
    hop: Option<Hop>,
    /// Where the next one goes is to be asked.
    hop_due: bool,
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
            hop: None,
            hop_due: true,
            behind: None,
            given_out: [0; 2],
            high: 0,
            ordered: [0; SHARED],
            ends_at: Instant::default(),
        }
    }

    /// A ring begins: what is known of those who stay remains, unless one was demoted.
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
            gauge.probe = None;
            let value = nanoseconds(now.since(at));
            gauge.records[Bound::RoundTrip as usize]
                .note(value, contract.allowed(Bound::RoundTrip));
        }
    }

    /// The token was passed on to `holder`, from which it goes to `next` with this number. True if
    /// that one is to be asked when it comes.
    pub(super) fn passed(
        &mut self,
        (holder, next): (Process, Process),
        number: u64,
        now: Instant,
    ) -> bool {
        let is_asked = core::mem::replace(&mut self.hop_due, false);
        let is_awaited = self.hop.is_some_and(|hop| hop.asked_at == Some(hop.at));
        if is_asked || !is_awaited {
            self.end_hop(self.hop.and_then(|hop| hop.certain()));
            let asked_at = is_asked.then_some(now);
            let (holder, at, awaited_at) = (holder.node, now, None);
            self.hop = Some(Hop { holder, next, number, at, asked_at, awaited_at });
        }
        is_asked
    }

    /// `from` has had tokens up to this number.
    pub(super) fn arrived(&mut self, from: NodeId, number: u64, now: Instant) {
        let Some(hop) = self.hop.as_mut().filter(|hop| hop.next.node == from) else { return };
        if number < hop.number {
            hop.awaited_at = hop.asked_at;
            return;
        }
        let hold = if hop.asked_at == Some(hop.at) {
            let at = hop.at;
            let way = self.of_node(from).and_then(|g| g.records[Bound::RoundTrip as usize].value);
            Some(now.since(at).saturating_sub(Duration::from_nanos(way.unwrap_or(0))))
        } else {
            hop.certain()
        };
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
    /// still with its holder is asked where it goes next, again in each period.
    fn watch_hop(&mut self, contract: &Contract, now: Instant) -> Option<(Process, u64)> {
        let allowed = contract.hold?;
        let hop = self.hop.as_mut().filter(|hop| now.since(hop.at) > allowed)?;
        let certain = hop.certain();
        (hop.asked_at, hop.awaited_at) = (Some(now), None);
        let (holder, question) = (hop.holder, (hop.next, hop.number));
        if let Some(gauge) = self.of_node(holder) {
            gauge.hold = gauge.hold.max(certain);
        }
        Some(question)
    }

    /// The token as it leaves.
    pub(super) fn visited(&mut self, aru: u64, by: Option<NodeId>, seq: u64, now: Instant) {
        let before = self.given_out[1];
        self.given_out = [seq, self.given_out[0]];
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

    /// The period ends, with this as the highest ordinal given out. Who is to be asked whether it
    /// has had the token with this number.
    pub(super) fn end(
        &mut self,
        contract: &Contract,
        high: u64,
        (now, next): (Instant, Instant),
    ) -> Option<(Process, u64)> {
        let question = self.watch_hop(contract, now);
        let ordered = high.saturating_sub(core::mem::replace(&mut self.high, high));
        self.ordered.rotate_right(1);
        self.ordered[0] = ordered;
        let all: u64 = self.ordered.iter().sum();
        let patient = contract.round_trip.unwrap_or_default();
        for gauge in self.gauges.values_mut() {
            let mut note = |bound: Bound, value| {
                gauge.records[bound as usize].note(value, contract.allowed(bound));
            };
            if let Some((_, at)) = gauge.probe
                && now.since(at) > patient
            {
                gauge.probe = None;
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

    /// This member keeps the bound, as far as this one can tell.
    pub(super) fn keeps(&self, node: NodeId, bound: Bound) -> bool {
        let mut of_node = self.gauges.iter().filter(|(process, _)| process.node == node);
        of_node.any(|(_, gauge)| gauge.records[bound as usize].is_kept())
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
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    fn process(node: u32) -> Process {
        Process { node: NodeId(node), incarnation: Incarnation(7) }
    }

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn contract() -> Contract {
        Contract {
            round_trip: Some(Duration::from_millis(5)),
            hold: Some(Duration::from_millis(1)),
            loss_ppm: Some(10_000),
            lag: Some(Duration::from_millis(50)),
            patience: Duration::from_millis(1_600),
            ..Contract::default()
        }
    }

    /// Periods of 100 ms, in each of which node 2 answers after so many.
    fn answers(took: impl IntoIterator<Item = Option<u64>>) -> Vec<bool> {
        let (mut gauges, contract, mut number) = (Gauges::new(), contract(), 0);
        gauges.installed(&[process(2)], false, (ms(0), ms(100)));
        let mut at = 0;
        let period = |took: Option<u64>| {
            for (to, number) in gauges.probes(&mut number, ms(at)) {
                if let Some(took) = took {
                    gauges.answered(to, number, &contract, ms(at + took));
                }
            }
            at += 100;
            gauges.end(&contract, 0, (ms(at), ms(at + 100)));
            !gauges.broken(Bound::RoundTrip, &contract).is_empty()
        };
        took.into_iter().map(period).collect()
    }

    #[test]
    fn twelve_periods_of_sixteen_are_a_breach_and_four_are_none_any_more() {
        let slow = answers([Some(12); 12]);
        assert!(slow[11] && !slow[10]);
        let silent = answers([None; 12]);
        assert!(silent[11] && !silent[10]);
        let now_and_then = answers((0..200).map(|n| if n % 3 == 0 { Some(1) } else { None }));
        assert!(!now_and_then.contains(&true), "11 of 16 at most");
        let well_again = answers((0..40).map(|n| if n < 16 { Some(50) } else { Some(1) }));
        assert_eq!(well_again.iter().rposition(|broken| *broken), Some(26));
    }

    #[test]
    fn a_bound_is_kept_by_who_was_measured_often_and_is_rarely_above_it() {
        let keeps = |values: &[u64]| {
            let mut record = Record::default();
            values.iter().for_each(|value| record.note(*value, Some(100)));
            record.is_kept()
        };
        assert!(!keeps(&[1; 3]) && keeps(&[1; 4]) && keeps(&[1, 1, 900, 1]));
        assert!(!keeps(&[1, 900, 900, 1]) && !keeps(&[900; 16]));
        let again = [[900; 12], [1; 12]].concat();
        assert!(keeps(&again) && !keeps(&again[..23]), "five of sixteen");
    }

    #[test]
    fn a_hold_is_what_is_left_of_the_way_through_a_member() {
        let (mut gauges, contract, mut number) = (Gauges::new(), contract(), 0);
        gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
        for (to, number) in gauges.probes(&mut number, ms(0)) {
            gauges.answered(to, number, &contract, ms(2));
        }
        assert!(gauges.passed((process(2), process(3)), 8, ms(10)));
        assert!(!gauges.passed((process(2), process(3)), 11, ms(20)), "once in a period");
        gauges.arrived(NodeId(3), 7, ms(12));
        gauges.arrived(NodeId(3), 8, ms(17));
        gauges.end(&contract, 0, (ms(100), ms(200)));
        let shown: Vec<_> = gauges.shown().map(|m| m.hold).collect();
        assert_eq!(shown, [Some(Duration::from_millis(5)), None]);
    }

    #[test]
    fn a_token_that_came_later_was_held_as_well() {
        let (mut gauges, contract) = (Gauges::new(), contract());
        gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
        assert!(gauges.passed((process(2), process(3)), 8, ms(10)));
        gauges.arrived(NodeId(3), 9, ms(14));
        gauges.end(&contract, 0, (ms(100), ms(200)));
        let shown: Vec<_> = gauges.shown().map(|m| m.hold).collect();
        assert_eq!(shown, [Some(Duration::from_millis(4)), None]);
    }

    /// What is known of the holds of nodes 2 and 3 after a period in which a token was away for
    /// longer than the 30 ms that are allowed. `answers`: of node 3, when, and up to which number.
    fn held(is_asked: bool, answers: &[(u64, u64)]) -> Vec<Option<Duration>> {
        let hold = Some(Duration::from_millis(30));
        let (mut gauges, contract) = (Gauges::new(), Contract { hold, ..contract() });
        gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
        if !is_asked {
            gauges.passed((process(2), process(3)), 4, ms(1));
            gauges.arrived(NodeId(3), 4, ms(1));
        }
        assert_eq!(gauges.passed((process(2), process(3)), 8, ms(10)), is_asked);
        for end in 1..=4 {
            let question = gauges.end(&contract, 0, (ms(end * 100), ms(end * 100 + 100)));
            let is_over = answers.iter().any(|(at, number)| *number >= 8 && *at < end * 100);
            assert_eq!(question, (!is_over).then_some((process(3), 8)));
            for (at, number) in answers.iter().filter(|(at, _)| at / 100 == end) {
                gauges.arrived(NodeId(3), *number, ms(*at));
            }
        }
        gauges.end(&contract, 0, (ms(500), ms(600)));
        gauges.shown().map(|m| m.hold).collect()
    }

    #[test]
    fn who_has_a_token_that_is_awaited_elsewhere_is_seen_in_each_period() {
        for is_asked in [false, true] {
            let seen = held(is_asked, &[(101, 4), (201, 4), (301, 4), (401, 4)]);
            assert_eq!(seen, [Some(Duration::from_millis(390)), None]);
            let seen = held(is_asked, &[(101, 4), (201, 4), (301, 4), (401, 8)]);
            assert_eq!(seen, [Some(Duration::from_millis(290)), None], "it came then");
        }
    }

    #[test]
    fn whoever_does_not_answer_says_nothing_of_another_one() {
        let nothing = if_asked_before();
        assert_eq!(held(false, &[]), nothing, "it is silent");
        assert_eq!(held(false, &[(450, 8)]), nothing, "it sleeps, and has had it");
        assert_eq!(held(true, &[(450, 8)]), [None, None]);
    }

    /// Of the hop before, which took no time.
    fn if_asked_before() -> [Option<Duration>; 2] {
        [Some(Duration::ZERO), None]
    }

    #[test]
    fn an_answer_is_awaited_for_as_long_as_it_may_take() {
        let (mut gauges, mut number) = (Gauges::new(), 0);
        let contract = Contract { round_trip: Some(Duration::from_millis(250)), ..contract() };
        gauges.installed(&[process(2)], false, (ms(0), ms(100)));
        let probes = gauges.probes(&mut number, ms(0));
        for at in [100, 200] {
            gauges.end(&contract, 0, (ms(at), ms(at + 100)));
            assert!(gauges.probes(&mut number, ms(at)).is_empty(), "one is on its way");
        }
        gauges.answered(probes[0].0, probes[0].1, &contract, ms(220));
        let shown = gauges.shown().next().expect("node 2").round_trip;
        assert_eq!(shown, Some(Duration::from_millis(220)));
    }

    #[test]
    fn a_lag_lasts_as_long_as_one_member_lacks_what_is_two_rounds_old() {
        let (mut gauges, contract) = (Gauges::new(), contract());
        gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
        let (two, three) = (Some(NodeId(2)), Some(NodeId(3)));
        let visits = [(10, 5, two), (20, 15, two), (30, 19, two), (40, 19, three)];
        for (at, (seq, aru, by)) in visits.into_iter().enumerate() {
            gauges.visited(aru, by, seq, ms(10 * at as u64));
        }
        let mut lags = || {
            gauges.end(&contract, 50, (ms(100), ms(200)));
            gauges.shown().map(|m| m.lag.expect("measured").as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(lags(), [0, 0], "the packets of two rounds ago are there but for one moment");
        for at in 0..6 {
            gauges.visited(19, two, 60, ms(100 + 10 * at));
        }
        gauges.end(&contract, 60, (ms(200), ms(300)));
        let lags: Vec<_> = gauges.shown().map(|m| m.lag.expect("measured").as_millis()).collect();
        assert_eq!(lags, [50, 0]);
    }

    #[test]
    fn loss_is_a_share_of_what_was_ordered() {
        let (mut gauges, contract) = (Gauges::new(), contract());
        gauges.installed(&[process(2), process(3)], false, (ms(0), ms(100)));
        (0..3).for_each(|_| gauges.lost(NodeId(3)));
        gauges.end(&contract, 200, (ms(100), ms(200)));
        let shown: Vec<_> = gauges.shown().map(|m| m.loss_ppm).collect();
        assert_eq!(shown, [Some(0), Some(15_000)]);
        gauges.end(&contract, 200, (ms(200), ms(300)));
        assert_eq!(gauges.shown().last().expect("node 3").loss_ppm, Some(15_000), "nothing new");
        for (at, expected) in [(0, 7_500), (1, 5_000), (2, 0), (3, 0)] {
            gauges.end(&contract, 400 + at * 200, (ms(300 + at * 100), ms(400 + at * 100)));
            assert_eq!(gauges.shown().last().expect("node 3").loss_ppm, Some(expected));
        }
    }
}
