//! What the machine below withholds: virtual cores that stand still make daemons silent that are
//! well, and a change of configuration is then what is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sys;
use crate::trouble::Trouble;

/// How often each core is looked at.
const NAP: Duration = Duration::from_millis(5);
/// Among the few that compete for a core here nobody waits for this long, unless the core itself
/// does. After 250 ms a token is lost.
const LONG: Duration = Duration::from_millis(100);
const RUNS_MAX: u32 = 3;

/// A thread on each core that sleeps, and notes how late it is woken.
pub(crate) struct Watch {
    late_ns: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start() -> Result<Self, Trouble> {
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
    pub(crate) fn withheld(&self) -> Duration {
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
        assert_eq!(last_of(&[(5, 99)]), (5, 99));
        assert_eq!(last_of(&[(5, 200), (0, 3)]), (0, 3));
        assert_eq!(last_of(&[(5, 200), (5, 3)]), (5, 3));
        assert_eq!(last_of(&[(5, 200), (5, 200), (5, 200)]), (5, 200), "not for ever");
    }

    #[test]
    fn a_core_that_turns_is_withheld_for_less_than_is_long() {
        let watch = Watch::start().expect("a watch");
        assert!(!watch.threads.is_empty());
        thread::sleep(10 * NAP);
        assert!(watch.withheld() > Duration::ZERO, "a thread is never woken at once");
    }
}
