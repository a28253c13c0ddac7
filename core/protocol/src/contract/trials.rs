//! Others that would come in, probed before they do.

use core::time::Duration;
use std::collections::BTreeMap;

use super::terms::{Bound, Breach, Contract, nanoseconds};
use crate::id::{NodeId, Process};
use crate::limits;
use crate::time::Instant;

/// Probes of a trial.
const PROBES: usize = 8;
/// So few lost ones of these are no breach, whatever the bound.
const LOST_MIN: usize = 3;
/// Between two probes, as a part of a beacon interval.
const SPACING: u32 = 50;
/// After the last one it is waited for so long for answers, as a part of a beacon interval, at
/// least; and for as long as members wait for a token, up to so many beacon intervals.
const WAIT: u32 = 5;
const WAIT_MAX: u32 = 3;
/// Who may come in may do so for so many beacon intervals; who may not is tried again after one,
/// and after twice as many each time.
const LASTS: u32 = 4;

#[derive(Clone, Hash)]
struct Trial {
    /// Of each probe: its number, when it was sent, and how long its answer took.
    probes: Vec<(u32, Instant, Option<Duration>)>,
    at: Instant,
    result: Option<Option<Breach>>,
    failures: u32,
    /// What came of it is to be told.
    news: bool,
}

#[derive(Clone, Hash)]
pub(super) struct Trials {
    beacon: Duration,
    /// What has not come by then is lost.
    wait: Duration,
    trials: BTreeMap<Process, Trial>,
}

/// What is known of one who would come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Granted,
    /// It is being measured.
    Open,
    Refused(Breach),
}

impl Trials {
    /// `beacon`: time between beacons. `token_loss`: for how long members wait for each other.
    pub(super) fn new(beacon: Duration, token_loss: Duration) -> Self {
        let wait = (beacon / WAIT).max(token_loss.min(beacon * WAIT_MAX));
        Self { beacon, wait, trials: BTreeMap::new() }
    }

    /// What is known of it; if nothing is, a trial begins.
    pub(super) fn consider(&mut self, process: Process, now: Instant) -> Admission {
        let full = self.trials.len() >= limits::BOOK_MAX;
        if full && !self.trials.contains_key(&process) {
            let oldest = self.trials.iter().min_by_key(|(_, t)| t.at).map(|(p, _)| *p);
            oldest.map(|p| self.trials.remove(&p));
        }
        let trial = self.trials.entry(process).or_insert_with(|| Trial::new(0, now));
        match trial.result {
            Some(_) if trial.at <= now => {
                *trial = Trial::new(trial.failures, now);
                Admission::Open
            }
            Some(result) => result.map_or(Admission::Granted, Admission::Refused),
            None => Admission::Open,
        }
    }

    /// The same, without a trial if there is none.
    pub(super) fn known(&self, process: Process) -> Admission {
        let result = self.trials.get(&process).and_then(|trial| trial.result);
        match result {
            Some(result) => result.map_or(Admission::Granted, Admission::Refused),
            None => Admission::Open,
        }
    }

    /// Of these nodes nothing is known from now on.
    pub(super) fn forget(&mut self, which: impl Fn(NodeId) -> bool) {
        self.trials.retain(|process, _| !which(process.node));
    }

    /// Trials go on where they were broken off, as if nothing had been asked before.
    pub(super) fn blame_nobody(&mut self, now: Instant) {
        for trial in self.trials.values_mut().filter(|trial| trial.result.is_none()) {
            *trial = Trial::new(trial.failures, now);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.trials.values().filter(|trial| trial.result.is_none());
        open.map(|trial| trial.at).min()
    }

    /// The probes that are due; trials whose answers have had their time end.
    pub(super) fn probes(
        &mut self,
        contract: &Contract,
        number: &mut u32,
        now: Instant,
    ) -> Vec<(Process, u32)> {
        let Self { beacon, wait, .. } = *self;
        let mut probes = Vec::new();
        for (process, trial) in &mut self.trials {
            if trial.result.is_some() || trial.at > now {
                continue;
            }
            if trial.probes.len() == PROBES {
                trial.end(contract, beacon, now);
                continue;
            }
            *number = super::after(*number);
            trial.probes.push((*number, now, None));
            let wait = wait.max(2 * contract.round_trip.unwrap_or_default());
            let pause = if trial.probes.len() == PROBES { wait } else { beacon / SPACING };
            trial.at = now + pause;
            probes.push((*process, *number));
        }
        probes
    }

    pub(super) fn answered(
        &mut self,
        process: Process,
        number: u32,
        contract: &Contract,
        now: Instant,
    ) {
        let Some(trial) = self.trials.get_mut(&process) else { return };
        let mut open = trial.probes.iter_mut().filter(|(_, _, took)| took.is_none());
        if let Some((_, at, took)) = open.find(|(asked, ..)| *asked == number) {
            *took = Some(now.since(*at));
        }
        let all = trial.probes.len() == PROBES && trial.probes.iter().all(|(.., t)| t.is_some());
        if all && trial.result.is_none() {
            trial.end(contract, self.beacon, now);
        }
    }

    /// Those that failed, each once.
    pub(super) fn failed(&mut self) -> Vec<(Process, Breach)> {
        let mut failed = Vec::new();
        for (process, trial) in &mut self.trials {
            if core::mem::take(&mut trial.news) {
                failed.extend(trial.result.flatten().map(|breach| (*process, breach)));
            }
        }
        failed
    }
}

impl Trial {
    fn new(failures: u32, now: Instant) -> Self {
        Self { probes: Vec::new(), at: now, result: None, failures, news: false }
    }

    fn end(&mut self, contract: &Contract, beacon: Duration, now: Instant) {
        let breach = self.breach(contract, now);
        self.result = Some(breach);
        self.failures = if breach.is_some() { (self.failures + 1).min(8) } else { 0 };
        self.news = breach.is_some();
        self.at = now
            + match self.failures {
                0 => beacon * LASTS,
                failures => (beacon * (1 << (failures - 1))).min(contract.readmit_max.max(beacon)),
            };
    }

    fn breach(&self, contract: &Contract, now: Instant) -> Option<Breach> {
        let lost = self.probes.iter().filter(|(.., took)| took.is_none()).count();
        let lost_ppm = (lost * 1_000_000 / PROBES) as u64;
        let mut took: Vec<Duration> =
            self.probes.iter().map(|(_, at, took)| took.unwrap_or(now.since(*at))).collect();
        took.sort_unstable();
        let measures = [
            (Bound::Loss, if lost >= LOST_MIN { lost_ppm } else { 0 }),
            (Bound::RoundTrip, nanoseconds(took[PROBES / 2])),
        ];
        let breaches = measures.into_iter().filter_map(|(bound, measured)| {
            let allowed = contract.allowed(bound)?;
            (measured > allowed).then_some(Breach { bound, measured, allowed })
        });
        breaches.max_by_key(Breach::severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    const WHO: Process = Process { node: NodeId(2), incarnation: Incarnation(7) };

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn trials(token_loss_ms: u64) -> Trials {
        Trials::new(Duration::from_secs(1), Duration::from_millis(token_loss_ms))
    }

    /// What is on its way for longer than a part of a beacon interval is not lost, where members
    /// wait for longer for each other (seed 9300471).
    #[test]
    fn an_answer_is_lost_only_after_the_time_that_a_token_may_take() {
        let contract = Contract { loss_ppm: Some(100), ..Contract::default() };
        for (token_loss_ms, admission_is) in [(250, false), (900, true)] {
            let mut trials = trials(token_loss_ms);
            trials.consider(WHO, at(0));
            let (mut number, mut coming) = (7, Vec::new());
            for ms in 0..1_500 {
                let sent = trials.probes(&contract, &mut number, at(ms));
                coming.extend(sent.into_iter().map(|(to, number)| (ms + 600, to, number)));
                for (_, to, number) in coming.iter().filter(|(when, ..)| *when == ms) {
                    trials.answered(*to, *number, &contract, at(ms));
                }
            }
            assert_eq!(trials.known(WHO) == Admission::Granted, admission_is);
        }
    }

    /// Runs a trial from `start`; answers take that many milliseconds each, or are lost.
    fn run(trials: &mut Trials, start: u64, takes: [Option<u64>; PROBES]) -> Admission {
        let contract = Contract {
            round_trip: Some(Duration::from_millis(5)),
            loss_ppm: Some(100),
            ..Contract::default()
        };
        assert_eq!(trials.consider(WHO, at(start)), Admission::Open);
        let (mut number, mut sent, mut coming) = (7, 0, Vec::new());
        for ms in start..start + 1_000 {
            for (to, number) in trials.probes(&contract, &mut number, at(ms)) {
                coming.extend(takes[sent].map(|takes| (ms + takes, to, number)));
                sent += 1;
            }
            for (_, to, number) in coming.iter().filter(|(when, ..)| *when == ms) {
                trials.answered(*to, *number, &contract, at(ms));
            }
        }
        trials.known(WHO)
    }

    #[test]
    fn who_answers_in_time_comes_in() {
        let mut trials = trials(250);
        assert_eq!(run(&mut trials, 0, [Some(2); PROBES]), Admission::Granted);
        assert_eq!(trials.consider(WHO, at(2_000)), Admission::Granted);
        let mixed = [Some(2), None, Some(4), Some(3), None, Some(2), Some(2), Some(90)];
        assert_eq!(run(&mut trials, 5_000, mixed), Admission::Granted, "two lost and one slow");
        assert!(trials.failed().is_empty());
    }

    #[test]
    fn who_does_not_is_told_why_once_and_tried_again_later_each_time() {
        let mut trials = trials(250);
        let Admission::Refused(slow) = run(&mut trials, 0, [Some(12); PROBES]) else { panic!() };
        assert_eq!(slow.to_string(), "round trip 12 ms measured, 5 ms allowed");
        assert_eq!((trials.failed(), trials.failed()), (vec![(WHO, slow)], vec![]));
        assert_eq!(trials.consider(WHO, at(1_100)), Admission::Refused(slow));
        let lossy = [Some(1), None, Some(1), None, Some(1), None, Some(1), Some(1)];
        let Admission::Refused(lossy) = run(&mut trials, 5_000, lossy) else { panic!() };
        assert_eq!(lossy.to_string(), "loss 37.5 % measured, 0.01 % allowed");
        assert_eq!(trials.consider(WHO, at(7_000)), Admission::Refused(lossy));
        assert_eq!(run(&mut trials, 14_000, [Some(1); PROBES]), Admission::Granted);
    }
}
