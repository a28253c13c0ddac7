//! What the machine below withholds: virtual cores that stand still make daemons silent that are
//! well, and a change of configuration is then what is right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sys;
use crate::trouble::Trouble;

/// How often each core is looked at.
const NAP: Duration = Duration::from_millis(5);
/// After 250 ms a token is lost, of which an idle one rests for 70. Among the few that compete for
/// a core here nobody waits for so long, unless the core itself does.
const LONG: Duration = Duration::from_millis(180);
const RUNS_MAX: u32 = 3;

/// What was seen of the daemons and of the cores, from look to look.
pub(crate) struct Looks {
    watch: Watch,
    before: BTreeMap<usize, u64>,
    /// How many configurations each daemon has had.
    last: BTreeMap<usize, u64>,
    /// For how long a core stood still, and whether a configuration was new.
    stood: Vec<(Duration, bool)>,
}

impl Looks {
    pub(crate) fn start(before: &BTreeMap<usize, u64>) -> Result<Self, Trouble> {
        let (watch, stood) = (Watch::start()?, Vec::new());
        Ok(Self { watch, before: before.clone(), last: before.clone(), stood })
    }

    /// A daemon that does not answer in time is asked again; its count only grows.
    pub(crate) fn look(&mut self, configurations: BTreeMap<usize, u64>) {
        let withheld = self.watch.withheld();
        let is_new = configurations.iter().any(|(node, count)| self.last.get(node) != Some(count));
        self.last.extend(configurations);
        self.stood.push((withheld, is_new));
    }

    /// Of all daemons together.
    pub(crate) fn changes(&self) -> u64 {
        self.last.iter().map(|(node, count)| count - self.before[node]).sum()
    }

    /// For how long a core stood still when something changed; of several times the shortest, and
    /// without any the longest of all.
    pub(crate) fn withheld(&self) -> Duration {
        around_changes(&self.stood)
    }
}

/// A change may be seen a look later than the core that stood still, or one earlier: by daemons on
/// the others, before its own thread goes on.
fn around_changes(stood: &[(Duration, bool)]) -> Duration {
    let longest = |looks: &[(Duration, bool)]| looks.iter().map(|look| look.0).max();
    let changed = (0..stood.len()).filter(|at| stood[*at].1);
    let around = |at: usize| longest(&stood[at.saturating_sub(1)..stood.len().min(at + 2)]);
    changed.filter_map(around).min().or_else(|| longest(stood)).unwrap_or_default()
}

/// A thread on each core that sleeps, and notes how late it is woken.
struct Watch {
    late_ns: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    fn start() -> Result<Self, Trouble> {
        let cores = sys::cores().map_err(Trouble::io("cannot read which cores there are"))?;
        let mut watch = Self { late_ns: Arc::default(), ends: Arc::default(), threads: Vec::new() };
        for core in cores {
            let (late_ns, ends) = (Arc::clone(&watch.late_ns), Arc::clone(&watch.ends));
            let look = move || {
                // On another core it sees that one: less is known then, and nothing wrong.
                let _ = sys::stay_on(core);
                while !ends.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    thread::sleep(NAP);
                    let late = before.elapsed().saturating_sub(NAP).as_nanos();
                    late_ns.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
                }
            };
            watch.threads.push(thread::spawn(look));
        }
        Ok(watch)
    }

    /// The longest time for which a core was withheld since it was asked last.
    fn withheld(&self) -> Duration {
        Duration::from_nanos(self.late_ns.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It does nothing that panics.
            let _ = thread.join();
        }
    }
}

/// Of a run in which nothing may change.
pub(crate) trait Still {
    /// How many changes there were, and for how long a core was withheld at that time.
    fn changed(&self) -> (u64, Duration);
}

/// Runs it again where a change came as a core stood still: that says nothing of the daemons. The
/// last run counts, whatever it is.
pub(crate) fn where_cores_turn<T: Still>(
    mut run: impl FnMut() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut number = 1;
    loop {
        let seen = run()?;
        let (changes, withheld) = seen.changed();
        if changes == 0 || withheld < LONG || number == RUNS_MAX {
            return Ok(seen);
        }
        let ms = withheld.as_millis();
        eprintln!(
            "changes={changes}, but a core stood still for {ms} ms: run {number} says nothing"
        );
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Still for (u64, u64) {
        fn changed(&self) -> (u64, Duration) {
            (self.0, Duration::from_millis(self.1))
        }
    }

    fn last_of(runs: &[(u64, u64)]) -> (u64, u64) {
        let mut runs = runs.iter().copied();
        let last = where_cores_turn(|| Ok(runs.next().expect("no more runs"))).expect("no trouble");
        assert_eq!(runs.next(), None, "one run too few");
        last
    }

    #[test]
    fn a_change_counts_unless_a_core_stood_still() {
        assert_eq!(last_of(&[(0, 0)]), (0, 0));
        assert_eq!(last_of(&[(0, 900)]), (0, 900));
        assert_eq!(last_of(&[(5, 179)]), (5, 179));
        assert_eq!(last_of(&[(5, 200), (0, 3)]), (0, 3));
        assert_eq!(last_of(&[(5, 200), (5, 3)]), (5, 3));
        assert_eq!(last_of(&[(5, 200), (5, 200), (5, 200)]), (5, 200), "not for ever");
    }

    #[test]
    fn a_watch_says_how_late_its_threads_were_woken() {
        let started = Instant::now();
        let watch = Watch::start().expect("a watch");
        assert!(!watch.threads.is_empty());
        thread::sleep(10 * NAP);
        let withheld = watch.withheld();
        assert!(withheld > Duration::ZERO, "a thread is never woken at once");
        assert!(withheld < started.elapsed(), "{withheld:?} in {:?}", started.elapsed());
    }

    #[test]
    fn each_change_needs_an_excuse_of_its_own() {
        let around = |looks: &[(u64, bool)]| {
            let looks = looks.iter().map(|(ms, is_new)| (Duration::from_millis(*ms), *is_new));
            around_changes(&looks.collect::<Vec<_>>()).as_millis()
        };
        assert_eq!(around(&[]), 0);
        assert_eq!(around(&[(4, false), (300, false), (5, false)]), 300, "nothing has changed");
        assert_eq!(around(&[(300, false), (4, false), (5, true)]), 5, "long before");
        assert_eq!(around(&[(5, true), (4, false), (300, false)]), 5, "long after");
        for when in 0..3 {
            let looks = [0, 1, 2].map(|at| (if at == when { 300 } else { 4 }, at == 1));
            assert_eq!(around(&looks), 300);
        }
        let twice = [(300, true), (4, false), (4, false), (6, true)];
        assert_eq!(around(&twice), 6, "the second one has none");
    }
}
