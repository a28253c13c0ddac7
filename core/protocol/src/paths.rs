//! How large datagrams may be that go to each of the others. What is larger than the base size
//! (`CoreConfig::mtu`) has to be proven: a probe of that size, which the network may not fragment,
//! was answered. The largest allowed size is tried first, then the interval is halved. What was
//! found is tried again rarely, and ever more rarely: networks change.
//!
//! A proof can be wrong: some networks swallow large datagrams without a word, or only some of
//! them. A member that notices (`ring::mtu`) keeps its ring at the base size for a while, longer
//! each time.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::config::CoreConfig;
use crate::id::Process;
use crate::time::Instant;
use crate::wire::SizeProbe;

/// A probe that was sent so many times without an answer was too large.
const TRIES: u8 = 4;
/// An answer takes at most so much of a beacon interval.
const ANSWER: u32 = 10;
/// The search ends when the largest size is known to so many bytes.
const STEP: u16 = 16;
/// Between the first probes to two members: they must not all go out at once.
const STAGGER: Duration = Duration::from_millis(1);
/// After a search the next one waits for so many beacon intervals, at first and at most.
const REST: (u32, u32) = (10, 640);

/// What is known of the paths to the other members of the ring.
#[derive(Clone, Default, Hash)]
pub(crate) struct Paths {
    paths: BTreeMap<Process, Path>,
    number: u32,
    /// Until when large datagrams are not to be trusted, and for how many beacon intervals that
    /// was decided.
    distrust: Option<(Instant, u32)>,
}

#[derive(Clone, Hash)]
struct Path {
    /// A datagram of this size arrived; the base size needs no proof.
    proven: u16,
    /// No datagram of this size or more arrives, as far as the present search knows.
    above: u16,
    step: Step,
    /// When to go on.
    at: Instant,
    /// The next rest, in beacon intervals.
    rest: u32,
}

#[derive(Clone, Copy, Hash)]
enum Step {
    /// The next size is to be chosen.
    Search,
    /// Probes of this size are under way.
    Ask { size: u16, number: u32, tries: u8 },
    /// Nothing more to find for a while.
    Rest,
}

/// The sizes between which to search, and the pace.
#[derive(Clone, Copy)]
struct Bounds {
    base: u16,
    max: u16,
    beacon: Duration,
}

impl Bounds {
    fn new(config: &CoreConfig) -> Self {
        let (base, max) = (config.mtu as u16, config.mtu_max.max(config.mtu) as u16);
        Self { base, max, beacon: config.timers.beacon }
    }
}

impl Path {
    fn new(bounds: Bounds, at: Instant) -> Self {
        let (proven, above) = (bounds.base, bounds.max + 1);
        Self { proven, above, step: Step::Search, at, rest: REST.0 }
    }

    /// It is time to go on: the size and the number of the probe to send, if any.
    fn due(&mut self, bounds: Bounds, now: Instant, number: &mut u32) -> Option<(u16, u32)> {
        let next = match self.step {
            Step::Ask { size, number, tries } if tries < TRIES => {
                self.at = now + bounds.beacon / ANSWER;
                self.step = Step::Ask { size, number, tries: tries + 1 };
                return Some((size, number));
            }
            Step::Ask { size, .. } => {
                if size <= self.proven {
                    (self.proven, self.rest) = (bounds.base, REST.0);
                }
                self.above = size;
                self.next_size(bounds)
            }
            Step::Search => self.next_size(bounds),
            Step::Rest => {
                self.above = bounds.max + 1;
                let verify = self.proven > bounds.base;
                if verify { Some(self.proven) } else { self.next_size(bounds) }
            }
        };
        let Some(size) = next else {
            (self.step, self.at) = (Step::Rest, now + bounds.beacon * self.rest);
            self.rest = (self.rest * 2).min(REST.1);
            return None;
        };
        *number = number.wrapping_add(1);
        self.at = now + bounds.beacon / ANSWER;
        self.step = Step::Ask { size, number: *number, tries: 1 };
        Some((size, *number))
    }

    /// The largest first, then the middle of what is left.
    fn next_size(&self, bounds: Bounds) -> Option<u16> {
        if self.above > bounds.max {
            return (self.proven < bounds.max).then_some(bounds.max);
        }
        let left = self.above - self.proven;
        (left > STEP).then_some(self.proven + left / 2)
    }

    fn answered(&mut self, number: u32, now: Instant) {
        let Step::Ask { size, number: asked, .. } = self.step else { return };
        if asked != number {
            return;
        }
        if size > self.proven {
            (self.proven, self.rest) = (size, REST.0);
        }
        (self.step, self.at) = (Step::Search, now);
    }
}

impl Paths {
    /// A ring was installed. What is known of those who were there before remains.
    pub(crate) fn installed(&mut self, others: &[Process], config: &CoreConfig, now: Instant) {
        let bounds = Bounds::new(config);
        if bounds.max <= bounds.base {
            return;
        }
        self.paths.retain(|process, _| others.contains(process));
        for (index, process) in others.iter().enumerate() {
            let at = now + STAGGER * index as u32;
            self.paths.entry(*process).or_insert_with(|| Path::new(bounds, at));
        }
    }

    /// The largest datagrams that reach all of these, as far as is proven and trusted.
    pub(crate) fn size<'a>(
        &self,
        others: impl Iterator<Item = &'a Process>,
        config: &CoreConfig,
        now: Instant,
    ) -> usize {
        let size = |p| self.paths.get(p).map_or(config.mtu, |path| usize::from(path.proven));
        match self.distrust {
            Some((until, _)) if now < until => config.mtu,
            _ => others.map(size).min().unwrap_or(config.mtu),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.paths.values().map(|path| path.at).min()
    }

    /// The probes that are due, with whom they go to.
    pub(crate) fn probes(
        &mut self,
        me: Process,
        config: &CoreConfig,
        now: Instant,
    ) -> Vec<(Process, SizeProbe)> {
        let (bounds, last) = (Bounds::new(config), &mut self.number);
        let mut probes = Vec::new();
        for (process, path) in self.paths.iter_mut().filter(|(_, path)| path.at <= now) {
            if let Some((size, number)) = path.due(bounds, now, last) {
                probes.push((*process, SizeProbe { process: me, number, size }));
            }
        }
        probes
    }

    /// A probe arrived there.
    pub(crate) fn answered(&mut self, process: Process, number: u32, now: Instant) {
        if let Some(path) = self.paths.get_mut(&process) {
            path.answered(number, now);
        }
    }

    /// Large datagrams seem to get lost: what is proven has to be proven again, now.
    pub(crate) fn verify(&mut self, now: Instant) {
        for path in self.paths.values_mut() {
            if let Step::Rest = path.step {
                path.at = path.at.min(now);
            }
        }
    }

    /// Large datagrams do not arrive here: the ring has to do without them for a while.
    pub(crate) fn distrust(&mut self, config: &CoreConfig, now: Instant) {
        let beacon = config.timers.beacon;
        let rest = match self.distrust {
            Some((until, rest)) if now < until + beacon * rest => (rest * 2).min(REST.1),
            _ => REST.0,
        };
        self.distrust = Some((now + beacon * rest, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeId};

    fn process(node: u32) -> Process {
        Process { node: NodeId(node), incarnation: Incarnation(7) }
    }

    fn at(ms: u64) -> Instant {
        Instant(1_000_000_000_000 + ms * 1_000_000)
    }

    /// One path; how many probes it took from `start` to `end`, and what is proven then.
    fn search(paths: &mut Paths, (start, end): (u64, u64), carries: u16) -> (usize, usize) {
        let (config, mut sent) = (CoreConfig::default(), 0);
        for ms in start..end {
            for (to, probe) in paths.probes(process(1), &config, at(ms)) {
                sent += 1;
                if probe.size <= carries {
                    paths.answered(to, probe.number, at(ms));
                }
            }
        }
        (sent, paths.size([process(2)].iter(), &config, at(end)))
    }

    fn fresh() -> Paths {
        let mut paths = Paths::default();
        paths.installed(&[process(2)], &CoreConfig::default(), at(0));
        paths
    }

    #[test]
    fn the_largest_is_tried_first_and_then_the_interval_halved() {
        assert_eq!(search(&mut fresh(), (0, 9_000), 8_900), (1, 8_900));
        for carries in [1_400, 1_432, 1_472, 2_000, 4_000, 8_899] {
            let (sent, size) = search(&mut fresh(), (0, 9_000), carries);
            let carries = usize::from(carries);
            assert!(carries.saturating_sub(16) < size && size <= carries, "{size} for {carries}");
            assert!(sent <= 40, "{sent}");
        }
    }

    #[test]
    fn what_was_found_is_tried_again_ever_more_rarely() {
        let mut paths = fresh();
        assert_eq!(search(&mut paths, (0, 1_000), 8_900), (1, 8_900));
        assert_eq!(search(&mut paths, (1_000, 9_000), 8_900), (0, 8_900));
        assert_eq!(search(&mut paths, (9_000, 600_000), 8_900), (5, 8_900));
        let smaller = search(&mut paths, (600_000, 660_000), 4_000).1;
        assert!((3_985..=4_000).contains(&smaller), "{smaller}");
        assert_eq!(search(&mut paths, (660_000, 700_000), 8_900).1, 8_900, "and larger");
    }

    #[test]
    fn large_datagrams_that_do_not_arrive_are_avoided_for_longer_each_time() {
        let (mut paths, config) = (fresh(), CoreConfig::default());
        search(&mut paths, (0, 100), 8_900);
        let others = [process(2)];
        let size = |paths: &Paths, ms| paths.size(others.iter(), &config, at(ms));
        paths.distrust(&config, at(100));
        assert_eq!((size(&paths, 10_099), size(&paths, 10_100)), (1_400, 8_900));
        paths.distrust(&config, at(11_000));
        assert_eq!((size(&paths, 30_999), size(&paths, 31_000)), (1_400, 8_900));
        paths.distrust(&config, at(100_000));
        assert_eq!(size(&paths, 110_000), 8_900, "it has been good for long");
    }

    #[test]
    fn nothing_is_asked_where_the_base_size_is_all_that_is_allowed() {
        let config = CoreConfig { mtu_max: 1_400, ..CoreConfig::default() };
        let mut paths = Paths::default();
        paths.installed(&[process(2)], &config, at(0));
        assert!(paths.deadline().is_none());
    }
}
