//! A failing seed becomes a scenario: everything that its failure does not need is left out, as
//! long as it fails in the same way.

use crate::scenario::{Swarm, Verdict};

/// Settings that make a world simpler, tried one by one.
const SIMPLER: [&str; 19] = [
    "slow-nodes=0",
    "backlog=16777216",
    "loss=0",
    "residual-loss=0",
    "duplicate=0",
    "reorder=0",
    "corrupt=0",
    "replay=0",
    "late=0",
    "jitter=0us",
    "rate=0",
    "persist-failure=0",
    "timer-late=0us",
    "drift=0",
    "floor=0",
    "reserve=1024",
    "multicast=on",
    "mtu=1400",
    "window=512",
];
/// Runs after which it is small enough.
const RUNS_MAX: usize = 600;

struct Shrinker<P> {
    best: Swarm,
    verdict: Verdict,
    runs: usize,
    progress: P,
}

/// The shortest scenario that was found, as a file; `None` if the seed does not fail. `progress` is
/// told how many runs it took so far, and what is being left out.
pub fn shrink(swarm: Swarm, progress: impl FnMut(usize, &str)) -> Option<String> {
    let outcome = swarm.run().ok()?;
    let verdict = Verdict::from(&outcome);
    if verdict == Verdict::Passes {
        return None;
    }
    let all: Vec<u64> = (1..=outcome.faults).collect();
    let mut shrinker = Shrinker { best: swarm, verdict, runs: 1, progress };
    shrinker.time();
    shrinker.faults(&all);
    shrinker.traffic();
    shrinker.world();
    shrinker.faults(&all);
    shrinker.time();
    shrinker.best.without.faults.retain(|fault| *fault <= outcome.faults);
    Some(shrinker.best.file(verdict))
}

impl<P: FnMut(usize, &str)> Shrinker<P> {
    /// Keeps a candidate if it fails as the seed did.
    fn try_it(&mut self, candidate: Swarm) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let same = candidate.verdict() == self.verdict;
        if same {
            self.best = candidate;
        }
        same
    }

    /// Faults end earlier: the shortest time, by halves.
    fn time(&mut self) {
        let Ok(options) = self.best.options() else { return };
        let (mut low, mut high) = (0, options.fault_time_ms);
        (self.progress)(self.runs, &format!("faults last {high} ms"));
        while high - low > high / 16 + 1 {
            let middle = low + (high - low) / 2;
            let candidate = Swarm { until_ms: Some(middle), ..self.best.clone() };
            if self.try_it(candidate) { high = middle } else { low = middle }
        }
    }

    /// Delta debugging: large parts first, then smaller ones, until no single fault can go.
    fn faults(&mut self, all: &[u64]) {
        let mut size = all.len();
        while size >= 1 {
            let mut any = false;
            let kept: Vec<u64> =
                all.iter().copied().filter(|f| !self.best.without.skips(*f)).collect();
            (self.progress)(self.runs, &format!("{} faults, {size} at a time", kept.len()));
            for part in kept.chunks(size) {
                let mut candidate = self.best.clone();
                candidate.without.faults.extend(part);
                any |= self.try_it(candidate);
            }
            if !any || size > 1 {
                size /= 2;
            }
        }
    }

    /// As few nodes as possible speak.
    fn traffic(&mut self) {
        let Ok(options) = self.best.options() else { return };
        (self.progress)(self.runs, "traffic");
        for node in 0..options.nodes {
            let mut candidate = self.best.clone();
            candidate.without.traffic.insert(node);
            self.try_it(candidate);
        }
    }

    /// The world has as few faults of its own as possible.
    fn world(&mut self) {
        (self.progress)(self.runs, "the network and the machines");
        for word in SIMPLER {
            let mut candidate = self.best.clone();
            candidate.with.push(word.to_owned());
            self.try_it(candidate);
        }
    }
}
