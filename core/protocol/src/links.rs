//! Links that are known to be bad. A gather finds them, and they outlive it, so that a merge that
//! cannot work is not tried again and again. Each process speaks for its own links only, and tells
//! the others; its word is forgotten if it does not repeat it. It probes its bad links, and takes
//! one for good again when it has been good for a while, which is longer the more often it turned
//! bad.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NodeId, Process};
use crate::limits;
use crate::time::Instant;
use crate::wire::{Probe, Report};

/// A report that was not renewed for so many beacon intervals says nothing any more.
const REPORT_LIFE: u32 = 10;
/// Nor does one that is older than its age can say.
const REPORT_LIFE_MAX: Duration = Duration::from_secs(60);
/// Each time a link turns bad again it has to be good for twice as long, so many times.
const DOUBLINGS_MAX: u32 = 2;
/// The time for which a link has to be good, as a part of the time between beacons.
const PROOF: u32 = 4;
/// A link that has been bad for half as many beacon intervals without a sign of life is not about
/// to be good again,
const SETTLED_AFTER_HALVES: u32 = 5;
/// and one that has answered now and then for so many whole ones will hardly be.
const UNSTEADY_AFTER: u32 = 10;
/// Ages of reports go little further than this.
const SETTLED_AFTER_MAX: Duration = Duration::from_secs(30);
/// A link that turned bad is probed more often for so many beacon intervals.
const EAGER_FOR: u32 = 60;
/// An answer proves something if no more probes than these were sent since: half a beacon interval,
/// whether they go often or not.
const LATE_MAX: (u32, u32) = (5, 1);
/// Probes sent at one time.
const PROBES_MAX: usize = 16;

/// Own links, and what others say of theirs.
#[derive(Clone, Hash)]
pub(crate) struct Links {
    /// Time between beacons: the pace of things.
    beacon: Duration,
    mine: BTreeMap<Process, Link>,
    reports: BTreeMap<NodeId, Known>,
    stamp: u32,
    /// When one of the own links last turned bad or good.
    changed_at: Option<Instant>,
}

#[derive(Clone, Hash)]
struct Link {
    bad: bool,
    /// When it turned bad or good.
    since: Instant,
    /// Since when it has been bad without a sign of life.
    dead_since: Instant,
    /// Since when it has answered now and then, without becoming good.
    alive_since: Option<Instant>,
    /// How often it turned bad again soon after it had turned good.
    flaps: u32,
    probe_at: Instant,
    /// Of the last probe, and of the last one that was answered.
    number: u32,
    answered: u32,
    /// When the last probe was answered, and since when they all were.
    good: Option<(Instant, Instant)>,
}

#[derive(Clone, Hash)]
struct Known {
    process: Process,
    stamp: u32,
    made_at: Instant,
    /// Bad links, each with the time since when it has been so without a sign of life.
    bad: BTreeMap<Process, Instant>,
}

impl Links {
    /// `beacon`: time between beacons, which carry the reports.
    pub(crate) fn new(beacon: Duration) -> Self {
        let (mine, reports) = (BTreeMap::new(), BTreeMap::new());
        Self { beacon, mine, reports, stamp: 0, changed_at: None }
    }

    fn report_life(&self) -> Duration {
        (self.beacon * REPORT_LIFE).min(REPORT_LIFE_MAX)
    }
}

/// The own links.
impl Links {
    /// This process cannot talk to that one.
    pub(crate) fn bad(&mut self, process: Process, now: Instant) {
        if self.mine.len() >= limits::MEMBERS_MAX && !self.mine.contains_key(&process) {
            let oldest = self.mine.iter().min_by_key(|(_, l)| (l.bad, l.since)).map(|(p, _)| *p);
            oldest.map(|p| self.mine.remove(&p));
        }
        let fresh = Link::new(now);
        let (known, life) = (self.mine.contains_key(&process), self.report_life());
        let link = self.mine.entry(process).or_insert(fresh);
        if link.bad {
            return;
        }
        let soon = known && now.since(link.since) < life;
        link.flaps = if soon { (link.flaps + 1).min(DOUBLINGS_MAX) } else { 0 };
        (link.bad, link.since, link.probe_at, link.good) = (true, now, now, None);
        (link.dead_since, link.alive_since) = (now, None);
        self.changed_at = Some(now);
    }

    pub(crate) fn is_bad(&self, process: Process) -> bool {
        self.mine.get(&process).is_some_and(|link| link.bad)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.mine.values().filter(|link| link.bad).map(|link| link.probe_at).min()
    }

    /// The probes that are due, with whom they go to.
    pub(crate) fn probes(&mut self, me: Process, now: Instant) -> Vec<(Process, Probe)> {
        let beacon = self.beacon;
        let due = self.mine.iter_mut().filter(|(_, link)| link.bad && link.probe_at <= now);
        due.take(PROBES_MAX)
            .map(|(process, link)| {
                let pace = if link.is_eager(now, beacon) { beacon / 10 } else { beacon / 2 };
                link.probe_at = now + pace;
                link.number = link.number.saturating_add(1);
                (*process, Probe { process: me, number: link.number })
            })
            .collect()
    }

    /// Elsewhere a link has become good: so may have others.
    fn probe_now(&mut self, now: Instant) {
        let bad = self.mine.values_mut().filter(|link| link.bad);
        bad.for_each(|link| link.probe_at = link.probe_at.min(now));
    }

    /// A probe was answered. True if that is news for others.
    pub(crate) fn answered(&mut self, process: Process, number: u32, now: Instant) -> bool {
        let beacon = self.beacon;
        let Some(link) = self.mine.get_mut(&process) else { return false };
        if !link.bad || !link.expects(number, link.is_eager(now, beacon)) {
            return false;
        }
        let goes_on = link.is_good(now, beacon);
        let since = if goes_on { link.good.map_or(now, |g| g.1) } else { now };
        if link.alive_since.is_none() || now.since(link.dead_since) >= beacon * UNSTEADY_AFTER {
            link.alive_since = Some(now);
        }
        (link.answered, link.good, link.dead_since) = (number, Some((now, since)), now);
        link.probe_at = link.probe_at.min(now + beacon / 10);
        if now.since(since) < (beacon / PROOF) * (1 << link.flaps) {
            return !goes_on;
        }
        (link.bad, link.since, link.good) = (false, now, None);
        self.changed_at = Some(now);
        true
    }
}

impl Link {
    fn new(now: Instant) -> Self {
        Self {
            bad: false,
            since: now,
            dead_since: now,
            alive_since: None,
            flaps: 0,
            probe_at: now,
            number: 0,
            answered: 0,
            good: None,
        }
    }

    /// An answer to this probe is news. Where it takes longer than from one probe to the next it is
    /// never one to the last of them.
    fn expects(&self, number: u32, eager: bool) -> bool {
        let late_max = if eager { LATE_MAX.0 } else { LATE_MAX.1 };
        number > self.answered
            && (self.number.saturating_sub(late_max)..=self.number).contains(&number)
    }

    /// It is probed often.
    fn is_eager(&self, now: Instant, beacon: Duration) -> bool {
        self.is_good(now, beacon) || now.since(self.since) < beacon * EAGER_FOR
    }

    /// How long it has been bad without a sign of life; or at all, if it has given some for long: a
    /// link that answers now and then must not keep rings apart for ever.
    fn dead_for(&self, now: Instant, beacon: Duration) -> Duration {
        let is_unsteady =
            self.alive_since.is_some_and(|since| now.since(since) >= beacon * UNSTEADY_AFTER);
        now.since(if is_unsteady { self.since } else { self.dead_since })
    }

    /// Its probes have been answered lately.
    fn is_good(&self, now: Instant, beacon: Duration) -> bool {
        self.good.is_some_and(|(last, _)| now.since(last) <= beacon * 6 / 10)
    }
}

/// What all know.
impl Links {
    /// Another process's word about its links; true if it says something new.
    pub(crate) fn learn(&mut self, report: &Report, me: Process, now: Instant) -> bool {
        let age = Duration::from_millis(u64::from(report.age_ms));
        let known = self.reports.get(&report.process.node);
        let newer = known.is_none_or(|k| {
            (k.process.incarnation, k.stamp) < (report.process.incarnation, report.stamp)
        });
        if report.process == me || !newer || age >= self.report_life() {
            return false;
        }
        if self.reports.len() >= 2 * limits::MEMBERS_MAX && known.is_none() {
            let oldest = self.reports.iter().min_by_key(|(_, k)| k.made_at).map(|(n, _)| *n);
            oldest.map(|n| self.reports.remove(&n));
        }
        let before = self.reports.get(&report.process.node).filter(|k| k.process == report.process);
        let made_at = ago(now, age);
        let since = |for_ms: u16| ago(made_at, Duration::from_millis(u64::from(for_ms)));
        let listed = report.bad.iter().take(limits::MEMBERS_MAX);
        let bad: BTreeMap<Process, Instant> = listed.map(|(p, ms)| (*p, since(*ms))).collect();
        let news = before.map_or(!bad.is_empty(), |k| !k.bad.keys().eq(bad.keys()));
        if before.is_some_and(|k| k.bad.keys().any(|process| !bad.contains_key(process))) {
            self.probe_now(now);
        }
        let known = Known { process: report.process, stamp: report.stamp, made_at, bad };
        self.reports.insert(report.process.node, known);
        news
    }

    /// There is something to tell of the own links.
    pub(crate) fn has_news(&self, now: Instant) -> bool {
        let lately = |at| now.since(at) < self.report_life();
        self.changed_at.is_some_and(lately) || self.mine.values().any(|link| link.bad)
    }

    fn own_report(&mut self, me: Process, now: Instant) -> Report {
        self.stamp = self.stamp.wrapping_add(1);
        let bad = self.mine.iter().filter(|(_, link)| link.bad);
        let bad = bad.map(|(p, link)| (*p, milliseconds(link.dead_for(now, self.beacon))));
        Report { process: me, stamp: self.stamp, age_ms: 0, bad: bad.collect() }
    }

    /// The own report, if it says anything.
    pub(crate) fn own_reports(&mut self, me: Process, now: Instant) -> Vec<Report> {
        if self.has_news(now) { vec![self.own_report(me, now)] } else { Vec::new() }
    }

    /// The own report and those of others, newest first, as many as may be told.
    pub(crate) fn reports(&mut self, me: Process, now: Instant) -> Vec<Report> {
        let life = self.report_life();
        self.reports.retain(|_, known| now.since(known.made_at) < life);
        let mut reports = self.own_reports(me, now);
        let mut known: Vec<&Known> = self.reports.values().collect();
        known.sort_by_key(|k| core::cmp::Reverse(k.made_at));
        let mut room = limits::REPORTED_LINKS_MAX;
        for k in known {
            let Some(left) = room.checked_sub(1 + k.bad.len()) else { break };
            room = left;
            reports.push(Report {
                process: k.process,
                stamp: k.stamp,
                age_ms: milliseconds(now.since(k.made_at)),
                bad: k.bad.iter().map(|(p, s)| (*p, milliseconds(k.made_at.since(*s)))).collect(),
            });
        }
        reports
    }

    /// The pairs among these that cannot talk to each other, smaller id first.
    pub(crate) fn edges(
        &self,
        me: Process,
        among: &[Process],
        now: Instant,
    ) -> BTreeSet<(NodeId, NodeId)> {
        let mut edges = BTreeSet::new();
        let edge = |a: Process, b: &Process| (a.node.min(b.node), a.node.max(b.node));
        for process in among {
            if *process == me {
                edges.extend(among.iter().filter(|p| self.is_bad(**p)).map(|p| edge(me, p)));
            } else if let Some(known) = self.reports.get(&process.node)
                && known.process == *process
                && now.since(known.made_at) < self.report_life()
            {
                let bad = among.iter().filter(|p| known.bad.contains_key(p));
                edges.extend(bad.map(|p| edge(*process, p)));
            }
        }
        edges
    }

    /// The bad links among these have given no sign of life for longer than a good one takes to be
    /// proven: they are likely to stay.
    pub(crate) fn are_settled(&self, me: Process, among: &[Process], now: Instant) -> bool {
        let settled_after = (self.beacon * SETTLED_AFTER_HALVES / 2).min(SETTLED_AFTER_MAX);
        let old = |since: Instant| now.since(since) >= settled_after;
        among.iter().all(|process| {
            if *process == me {
                return among
                    .iter()
                    .filter_map(|p| self.mine.get(p))
                    .all(|l| !l.bad || l.dead_for(now, self.beacon) >= settled_after);
            }
            let known = self.reports.get(&process.node).filter(|k| k.process == *process);
            known.is_none_or(|k| among.iter().filter_map(|p| k.bad.get(p)).all(|since| old(*since)))
        })
    }

    /// Own links and others' reports that are remembered, with the bad links in these.
    pub(crate) fn len(&self) -> usize {
        let reported: usize = self.reports.values().map(|k| 1 + k.bad.len()).sum();
        self.mine.len() + reported
    }

    /// A process was heard: earlier ones of its node are gone.
    pub(crate) fn seen(&mut self, process: Process) {
        self.mine.retain(|p, _| p.node != process.node || p.incarnation >= process.incarnation);
    }

    /// A process is gone.
    pub(crate) fn gone(&mut self, process: Process) {
        self.mine.remove(&process);
        if self.reports.get(&process.node).is_some_and(|k| k.process == process) {
            self.reports.remove(&process.node);
        }
    }
}

fn ago(now: Instant, time: Duration) -> Instant {
    Instant(now.0.saturating_sub(time.as_nanos() as u64))
}

/// As it travels; what is longer counts as the longest.
fn milliseconds(time: Duration) -> u16 {
    u16::try_from(time.as_millis()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    const BEACON: Duration = Duration::from_secs(1);

    fn process(node: u32) -> Process {
        Process { node: NodeId(node), incarnation: Incarnation(7) }
    }

    fn at(ms: u64) -> Instant {
        Instant(1_000_000_000_000 + ms * 1_000_000)
    }

    /// Probes and answers every one of them from `start` on: when the link counted as good.
    fn good_after(links: &mut Links, start: u64) -> u64 {
        for ms in start..start + 60_000 {
            for (to, probe) in links.probes(process(1), at(ms)) {
                let was_news = links.answered(to, probe.number, at(ms));
                if was_news && !links.is_bad(to) {
                    return ms - start;
                }
            }
        }
        panic!("never good")
    }

    #[test]
    fn a_link_is_good_after_a_while_and_after_longer_each_time_it_flaps() {
        let mut links = Links::new(BEACON);
        links.bad(process(2), at(0));
        assert!(links.is_bad(process(2)));
        assert_eq!(good_after(&mut links, 0), 300);
        assert!(!links.is_bad(process(2)) && links.deadline().is_none());
        links.bad(process(2), at(1_000));
        assert_eq!(good_after(&mut links, 1_000), 500);
        links.bad(process(2), at(3_000));
        assert_eq!(good_after(&mut links, 3_000), 1_000);
        links.bad(process(2), at(30_000));
        assert_eq!(good_after(&mut links, 30_000), 300, "it has been good for long");
    }

    #[test]
    fn an_answer_proves_something_once() {
        let mut links = Links::new(BEACON);
        links.bad(process(2), at(0));
        let first = links.probes(process(1), at(0))[0].1.number;
        assert!(links.answered(process(2), first, at(100)), "it is alive");
        for ms in (250..5_000).step_by(250) {
            assert_eq!(links.probes(process(1), at(ms)).len(), 1);
            assert!(!links.answered(process(2), first, at(ms)));
        }
        assert!(links.is_bad(process(2)));
    }

    /// Somebody is left behind only for a link that is not about to be good.
    #[test]
    fn a_link_that_answers_is_not_settled() {
        let (me, both) = (process(1), [process(1), process(2)]);
        let mut links = Links::new(BEACON);
        links.bad(process(2), at(0));
        assert!(!links.are_settled(me, &both, at(2_400)));
        assert!(links.are_settled(me, &both, at(2_600)));
        let told = |links: &mut Links, ms| {
            let mut others = Links::new(BEACON);
            let reports = links.own_reports(me, at(ms));
            reports.iter().for_each(|report| assert!(others.learn(report, process(3), at(ms))));
            others.are_settled(process(3), &both, at(ms))
        };
        assert!(told(&mut links, 2_600));
        let number = links.probes(me, at(2_700))[0].1.number;
        assert!(links.answered(process(2), number, at(2_800)) && links.is_bad(process(2)));
        assert!(!links.are_settled(me, &both, at(2_800)) && !told(&mut links, 2_800));
        assert!(links.are_settled(me, &both, at(5_400)), "it was the only sign");
    }

    #[test]
    fn a_link_that_answers_now_and_then_is_settled_in_the_end() {
        let (me, both) = (process(1), [process(1), process(2)]);
        let mut links = Links::new(BEACON);
        links.bad(process(2), at(0));
        let settled = (0..200).find(|step| {
            let now = at(step * 100);
            for (to, probe) in links.probes(me, now) {
                if step % 10 == 0 {
                    assert!(links.answered(to, probe.number, now) && links.is_bad(to));
                }
            }
            links.are_settled(me, &both, now)
        });
        assert_eq!(settled, Some(100));
    }

    #[test]
    fn answers_may_take_longer_than_from_probe_to_probe() {
        let good_after = |takes: usize| {
            let (mut links, mut sent) = (Links::new(BEACON), Vec::new());
            links.bad(process(2), at(0));
            (0..50).find(|step| {
                let now = at(step * 100);
                sent.extend(links.probes(process(1), now).into_iter().map(|(_, p)| p.number));
                let back = sent.len().checked_sub(takes + 1).map(|index| sent[index]);
                back.is_some_and(|number| links.answered(process(2), number, now))
                    && !links.is_bad(process(2))
            })
        };
        assert_eq!((good_after(0), good_after(3), good_after(5)), (Some(3), Some(6), Some(8)));
        assert_eq!(good_after(6), None, "by then it may be bad again");
    }

    #[test]
    fn only_the_newest_word_of_a_process_counts_and_not_for_ever() {
        let (me, all) = (process(1), [process(1), process(2), process(3)]);
        let mut links = Links::new(BEACON);
        let report = |stamp, age_ms, bad: Vec<(Process, u16)>| Report {
            process: process(2),
            stamp,
            age_ms,
            bad,
        };
        assert!(links.learn(&report(5, 0, vec![(process(3), 0)]), me, at(0)));
        assert!(!links.learn(&report(4, 0, vec![]), me, at(0)));
        assert_eq!(links.edges(me, &all, at(0)).len(), 1);
        assert!(links.learn(&report(6, 0, vec![]), me, at(0)));
        assert_eq!(links.edges(me, &all, at(0)).len(), 0);
        assert!(links.learn(&report(7, 9_000, vec![(process(3), 0)]), me, at(0)));
        assert_eq!(links.edges(me, &all, at(500)).len(), 1);
        assert_eq!(links.edges(me, &all, at(1_000)).len(), 0);
        assert!(links.reports(me, at(1_000)).is_empty());
    }
}
